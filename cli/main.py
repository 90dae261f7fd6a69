"""`ingot`: the one command line for people, and for the steps that the engine runs.

Verbs live in modules of their own and are imported only when they are called: a step must start
fast and must never load the engine's SDK. This module owns the list, and what a user sees when
something fails; it knows nothing of what the verbs do.
"""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

CRASHES = Path(__file__).resolve().parents[1] / ".ingot" / "crashes"
"""Where tracebacks go that no user should have to read."""


class Verb(NamedTuple):
    """Where a verb is implemented: a module's attribute that is a `typer.Typer`; help is its line in the list."""

    module: str
    attribute: str
    help: str


VERBS = {
    "rehearse": Verb("cli.rehearse", "app", "Bring a stack up on the simulated rack, roll it, write the report."),
    "rack": Verb("cli.rack", "app", "The simulated rack, kept on disk: up, preview, destroy, refresh, status, serve."),
    "engine": Verb("cli.engine", "app", "Show which Pulumi engine is used, and why."),
    "schema": Verb("cli.schema", "app", "Write the JSON Schema of stack files, for editors."),
    "node": Verb("cli.node", "app", "What the engine's steps run: join, leave and their kin."),
}
"""Every verb, in the order in which `ingot --help` lists them."""

EXPECTED = (
    "lifecycle.errors.LifecycleError",
    "lifecycle.commands.NotAStoredCommand",
    "components.stackfile.problem.StackFileError",
    "rehearsal.engine_lock.EngineStillRuns",
    "rehearsal.rack.faults.BadFault",
    "rehearsal.rack.store.RackBusy",
    "rehearsal.rack.store.WorldUnreadable",
    "tools.engine.cache.LockTimeout",
    "tools.engine.choice.NoEngine",
)
"""Errors whose text is written for the user. By name: importing them here would load what most verbs never need."""


class Verbs(TyperGroup):
    """The group that loads a verb when it is called, and lists all of them without loading any."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = {name: TyperCommand(name=name, help=verb.help) for name, verb in VERBS.items()}

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, listed, rest = super().resolve_command(ctx, args)
        return name, listed if name is None else load(name), rest


def load(name: str) -> TyperCommand | TyperGroup:
    """Import the verb's module and make its command. Raises ImportError, AttributeError or TypeError."""
    verb = VERBS[name]
    app = getattr(importlib.import_module(verb.module), verb.attribute)
    if not isinstance(app, typer.Typer):
        raise TypeError(f"{verb.module}.{verb.attribute}: expected a typer.Typer, found {type(app).__name__}")
    command = typer.main.get_command(app)
    if not isinstance(command, TyperCommand | TyperGroup):
        raise TypeError(
            f"{verb.module}.{verb.attribute}: expected one of Typer's commands, found {type(command).__name__}"
        )
    command.name = name
    return command


app = typer.Typer(
    cls=Verbs,
    no_args_is_help=True,
    help="A fleet of immutable Kubernetes hosts whose storage stays attached while every node is replaced.",
    epilog="Example: ingot rehearse metal",
)


def _print_version(asked: bool) -> None:
    if asked:
        import importlib.metadata  # here, because it costs more than all the rest and only this needs it

        typer.echo(f"ingot {importlib.metadata.version('ingot')}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Options before the verb."""


def is_expected(error: BaseException) -> bool:
    """Whether the error's text is all that a user needs."""
    return any(f"{kind.__module__}.{kind.__qualname__}" in EXPECTED for kind in type(error).__mro__)


def record_crash(error: BaseException, folder: Path = CRASHES) -> Path:
    """Write the error's traceback to a file of its own, in `folder` or, if that fails, among temporary files."""
    text = "".join(traceback.format_exception(error))
    name = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{os.getpid()}.txt"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / name
        path.write_text(text, encoding="utf-8")
    except OSError:
        path = Path(tempfile.mkdtemp(prefix="ingot-")) / name
        path.write_text(text, encoding="utf-8")
    return path


def main(arguments: list[str] | None = None) -> None:
    """Run one verb and exit: 0 done, 1 failed with a text on stderr, 2 wrongly called."""
    try:
        typer.main.get_command(app)(arguments, prog_name="ingot")
    except Exception as error:  # noqa: BLE001 the last stop: whatever it is, the user gets a line and not a traceback
        if is_expected(error):
            print(error, file=sys.stderr)
        else:
            first = (str(error).splitlines() or [""])[0]
            line = f"ingot: unexpected {type(error).__name__}: {first}"
            print(
                f"{line}\nThe full traceback is in {record_crash(error)}; please attach it to a report.",
                file=sys.stderr,
            )
        sys.exit(1)


if __name__ == "__main__":
    main()
