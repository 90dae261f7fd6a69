"""`ingot up`: `pulumi up`, with an exit code that tells a roll that stopped as asked from one that halted."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from cli import engine_child, outcome
from cli.stack_name import stack_name
from lifecycle.errors import NeedsAttention
from tools.engine import ensure

ROOT = Path(__file__).resolve().parents[1]
"""The project."""

GIVE_BACK_LIMIT_S = 10.0
"""For one read and one write: a cluster that takes longer keeps the next run waiting for no more than a minute."""

app = typer.Typer(add_completion=False)


@app.command(
    epilog="Example: ingot up metal -- --yes --skip-preview",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def up(
    context: typer.Context,
    stack: Annotated[
        str, typer.Argument(help="A stack: stacks/Pulumi.<STACK>.yaml.", metavar="STACK", callback=stack_name)
    ],
) -> None:
    """Run `pulumi up` on STACK; what follows `--` is handed through to it.

    Exit codes: 0 done; 3 stopped as asked, between two nodes, by a pause or the stack file's rollout; 1 halted.
    Ctrl-C lets the engine end its steps and write its state; a second one ends it at once.
    """
    engine = ensure()
    if not engine.language_host:
        raise NeedsAttention(
            f"engine {engine.path}",
            "no Python language host (pulumi-language-python) beside it",
            "install Pulumi the ordinary way, then run this again; `ingot rack up` needs none",
        )
    words = [str(engine.path), "up", "--stack", stack, *context.args]
    found, _ = run(words, stack, ROOT)
    if found:
        raise typer.Exit(found)


def run(words: Sequence[str], stack: str, folder: Path) -> tuple[int, int]:
    """Run an `up` of the engine in `folder`, with this terminal; says so on stderr if it stopped as asked.

    Returns the run's exit code, as `cli.outcome.code` has it, and the engine's own.
    """
    with tempfile.TemporaryDirectory(prefix="ingot-") as own:
        told = Path(own) / "outcome"
        told.touch()
        ended, pid = engine_child.run(outcome.words_with(words, told), folder, outcome.environment_with(told))
        found, acted = outcome.code(ended, told), outcome.acted(told)
    if found == outcome.STOPPED:
        typer.echo(f"{stack}: stopped as asked, between two nodes; the step's own words above say until when", err=True)
    if acted and ended >= 0:  # an engine that was killed may have left a step behind
        _give_back(stack, pid, folder)
    return found, ended


def _give_back(stack: str, pid: int, folder: Path) -> None:
    """The roll of the engine that just ended, for whoever comes next. It runs out by itself if that fails."""

    def ask() -> None:
        from cli.step_ports import ports
        from lifecycle.adapters.engine_process import place
        from lifecycle.commands import Step, Verb
        from lifecycle.rolls import give_back

        with suppress(Exception):  # the up is over, and no trouble of this one is the user's
            give_back(ports(Step(Verb.ROSTER, stack), folder).rolls, pid, place())

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(GIVE_BACK_LIMIT_S)
