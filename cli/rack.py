"""`ingot rack`: the simulated rack of a stack, kept on disk between calls."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from cli.outcome import STOPPED
from cli.stack_name import stack_name

app = typer.Typer(
    help="Run a stack on the simulated rack: the real engine, no cloud, no hardware.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Stack = Annotated[
    str, typer.Argument(help="A stack: stacks/Pulumi.<STACK>.yaml.", metavar="STACK", callback=stack_name)
]
Image = Annotated[str | None, typer.Option("--image", help="Roll to this release instead of the stack file's.")]
Faults = Annotated[list[str] | None, typer.Option("--fault", help="A cause that lasts for this run; repeatable.")]
Seed = Annotated[int, typer.Option("--seed", help="Of a new rack; a rack that exists keeps its own.")]
Careless = Annotated[
    bool, typer.Option("--continue-on-error", help="Hand the engine's flag through. No roll needs it.")
]


def _example(line: str) -> str:
    return f"Example: {line}"


@app.command(epilog=_example("ingot rack up metal --fault volume-stuck:w3"))
def up(
    stack: Stack, image: Image = None, fault: Faults = None, seed: Seed = 1, continue_on_error: Careless = False
) -> None:
    """Make the rack as the stack file says; goes on where an interrupted run stopped.

    Exit code 3: it stopped as asked, between two nodes (a pause, or the stack file's rollout).
    """
    run(stack, "up", image, fault, seed, continue_on_error=continue_on_error)


@app.command(epilog=_example("ingot rack pause metal --reason 'the freeze before the holidays'"))
def pause(
    stack: Stack,
    resume: Annotated[bool, typer.Option("--resume", help="Let nodes leave again.")] = False,
    reason: Annotated[str, typer.Option("--reason", help="Shown to whoever runs into the pause.")] = "",
) -> None:
    """Stop the roll at the next node boundary, also one that runs in another terminal; or let it go on."""
    from cli.pause import whoever
    from rehearsal import letters
    from rehearsal.session import known_stack

    known_stack(stack)
    typer.echo(letters.resume(_folder(stack)) if resume else letters.pause(_folder(stack), whoever(), reason))


@app.command(epilog=_example("ingot rack preview metal"))
def preview(stack: Stack, image: Image = None) -> None:
    """Show what an up would do; nothing happens to the rack."""
    run(stack, "preview", image, None, 1)


@app.command(epilog=_example("ingot rack destroy metal"))
def destroy(stack: Stack, fault: Faults = None) -> None:
    """Take the fleet down; refuses what would lose data unless the stack file says `retire: true`."""
    run(stack, "destroy", None, fault, 1)


@app.command(epilog=_example("ingot rack refresh metal"))
def refresh(stack: Stack) -> None:
    """Let the engine read every resource again."""
    run(stack, "refresh", None, None, 1)


@app.command(epilog=_example("ingot rack status metal"))
def status(stack: Stack, as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False) -> None:
    """Show the rack as it was last left: hosts, nodes, claims, volumes."""
    from rehearsal.session import known_stack
    from rehearsal.show import status_json, status_table

    known_stack(stack)
    typer.echo(json.dumps(status_json(_folder(stack)), indent=2) if as_json else status_table(_folder(stack)))


@app.command(epilog=_example("ingot rack reset metal"))
def reset(stack: Stack) -> None:
    """Forget the rack and the engine's state of it."""
    from rehearsal.rack.store import Store

    store = Store(_folder(stack))
    with store.hold(f"ingot rack reset {stack}"):
        store.reset()
    typer.echo(f"rack {stack}: empty")


@app.command(epilog=_example("ingot rack serve metal"))
def serve(stack: Stack, fault: Faults = None, seed: Seed = 1) -> None:
    """Serve the rack, and print the environment with which `pulumi up` in another terminal meets it."""
    from cli.engine_path import use_decided_engine
    from rehearsal.serve import serve_until_interrupted

    engine = use_decided_engine()
    serve_until_interrupted(stack, tuple(fault or ()), seed, _folder(stack), engine)


def _folder(stack: str) -> Path:
    from rehearsal.session import home

    return home() / "rack" / stack


def run(
    stack: str,
    verb: str,
    image: str | None,
    fault: list[str] | None,
    seed: int,
    *,
    continue_on_error: bool = False,
    replace: tuple[str, ...] = (),
) -> None:
    """Let the engine do `verb` to the rack, and tell how it ended. replace: nodes that get new machines all the
    same. Raises typer.Exit(1) if less came of it than was promised, and what `open_session` raises."""
    from cli.engine_path import use_decided_engine
    from rehearsal import show
    from rehearsal.session import Halted, Options, open_session

    use_decided_engine()
    options = Options(
        version=image,
        seed=seed,
        faults=tuple(fault or ()),
        what=f"ingot rack {verb}",
        continue_on_error=continue_on_error,
        replace=replace,
    )
    display = show.Display()
    options.on_event = display.event
    with open_session(stack, options, _folder(stack)) as session:
        before = len(session.rack.journal.entries)
        try:
            with display.over(session.rack, f"{verb} {stack}"):
                done = getattr(session, verb)()
        except Halted as halted:
            if not halted.stopped:
                raise
            typer.echo(str(halted), err=True)
            raise typer.Exit(STOPPED) from None
        found = show.summary(session, verb, before)
    typer.echo(found.text)
    if verb == "preview":
        counts = ", ".join(f"{count} to {operation}" for operation, count in done.change_summary.items())
        typer.echo(f"resources: {counts}")
    if not found.good:
        raise typer.Exit(1)
