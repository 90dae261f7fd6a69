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
import threading
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

CRASHES = Path(__file__).resolve().parents[1] / ".ingot" / "crashes"
"""Where tracebacks go that no user should have to read."""


OURS = frozenset({"cli", "components", "lab", "lifecycle", "rehearsal", "report", "tools"})
"""An error class of one of these packages is worded for the user (docs: R4); any other error is a fault of ours."""


class Verb(NamedTuple):
    """Where a verb is implemented: a module's attribute, a `typer.Typer` or a function of Typer's options.

    help: its line in the list of verbs. example: shown by its `--help`.
    """

    module: str
    attribute: str
    help: str
    example: str


VERBS = {
    "rehearse": Verb(
        "cli.rehearse",
        "rehearse",
        "Bring a stack up on the simulated rack, roll it, write the report.",
        "ingot rehearse metal --fault bmc-timeout:w3",
    ),
    "up": Verb(
        "cli.up",
        "app",
        "Run `pulumi up`; exit code 3 if the roll stopped as asked.",
        "ingot up metal -- --yes --skip-preview",
    ),
    "pause": Verb(
        "cli.pause",
        "app",
        "Stop a roll at the next node boundary, from any terminal.",
        "ingot pause metal --reason 'the freeze before the holidays'",
    ),
    "rack": Verb(
        "cli.rack",
        "app",
        "The simulated rack, kept on disk: up, pause, preview, destroy, refresh, status, reset, serve.",
        "ingot rack up metal",
    ),
    "lab": Verb("cli.lab", "app", "Real parts on this machine, for tests: up, down, status.", "ingot lab up --nodes 9"),
    "drift": Verb("cli.drift", "app", "Show what of the fleet is not as it is pinned.", "ingot drift metal --json"),
    "repair": Verb("cli.repair", "app", "List broken and drifted nodes, or replace them.", "ingot repair metal --go"),
    "hosts": Verb(
        "cli.hosts",
        "app",
        "Prove hosts and their management controllers before a roll; import them from an inventory.",
        "ingot hosts check metal",
    ),
    "timeline": Verb(
        "cli.timeline",
        "app",
        "Draw a real roll from what its steps recorded, or set it beside its rehearsal.",
        "ingot timeline metal --against .ingot/reports/metal.jsonl",
    ),
    "rbac": Verb(
        "cli.rbac",
        "app",
        "Print, apply or check the roles that the owners need in the cluster.",
        "ingot rbac metal --check",
    ),
    "aws": Verb(
        "cli.aws",
        "app",
        "What the steps of a stack on AWS need there: policy, check.",
        "ingot aws policy aws",
    ),
    "engine": Verb("cli.engine", "app", "Show which Pulumi engine is used, and why.", "ingot engine --json"),
    "image": Verb(
        "cli.image",
        "app",
        "Pin, verify, list and compare the images that machines boot.",
        "ingot image pin fedora-coreos 44.20260707.3.1",
    ),
    "boot-config": Verb(
        "cli.boot_config",
        "app",
        "Print what a node boots.",
        "ingot boot-config metal w1 --files",
    ),
    "schema": Verb(
        "cli.schema", "app", "Write the JSON Schemas of stack files and of the image lock, for editors.", "ingot schema"
    ),
    "node": Verb(
        "cli.node",
        "app",
        "What the engine's steps run: provision, join, leave and their kin.",
        "ingot node leave --format 1 --stack metal --node w1 --generation 0123456789abcdef",
    ),
}
"""Every verb, in the order in which `ingot --help` lists them."""

COMPLETION = frozenset({"install_completion", "show_completion"})
"""Options that Typer gives to every app, and that belong to `ingot` alone."""


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
    target = getattr(importlib.import_module(verb.module), verb.attribute)
    if not isinstance(target, typer.Typer):
        function, target = target, typer.Typer()
        target.command(name)(function)
    command = typer.main.get_command(target)
    if not isinstance(command, TyperCommand | TyperGroup):
        raise TypeError(f"{verb.module}.{verb.attribute}: expected a Typer app or function, found {type(command)}")
    command.name = name
    command.epilog = command.epilog or f"Example: {verb.example}"
    command.params = [option for option in command.params if option.name not in COMPLETION]
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
    return any(kind.__module__.partition(".")[0] in OURS for kind in type(error).__mro__)


def record_crash(error: BaseException, folder: Path) -> Path:
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


INTERRUPTED = 130
"""The exit code that Typer ends with after Ctrl-C."""


def _quiet_threads(failed: threading.ExceptHookArgs) -> None:
    """A thread of the engine's SDK that an interrupt cut off has nothing to tell a user."""
    if not issubclass(failed.exc_type, ValueError | OSError):
        threading.__excepthook__(failed)


def main(arguments: list[str] | None = None, crashes: Path = CRASHES) -> None:
    """Run one verb and exit: 0 done, 1 failed with a text on stderr, 2 wrongly called, 3 stopped as asked.
    `crashes`: see record_crash."""
    threading.excepthook = _quiet_threads
    try:
        typer.main.get_command(app)(arguments, prog_name="ingot")
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            print("ingot: interrupted; run the same command again to go on from here", file=sys.stderr)
        raise
    except Exception as error:  # noqa: BLE001 the last stop: whatever it is, the user gets a line and not a traceback
        if is_expected(error):
            print(error, file=sys.stderr)
        else:
            first = (str(error).splitlines() or [""])[0]
            print(f"ingot: unexpected {type(error).__name__}: {first}", file=sys.stderr)
            print(
                f"The full traceback is in {record_crash(error, crashes)}; please attach it to a report.",
                file=sys.stderr,
            )
        sys.exit(1)


if __name__ == "__main__":
    main()
