"""`ingot up`: `pulumi up`, with an exit code that tells a roll that stopped as asked from one that halted."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from cli import engine_child, outcome
from cli.stack_name import stack_name
from lifecycle.errors import NeedsAttention
from tools.engine import ensure

ROOT = Path(__file__).resolve().parents[1]
"""The project."""

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
    with tempfile.TemporaryDirectory(prefix="ingot-") as folder:
        told = Path(folder) / "outcome"
        told.touch()
        words = [str(engine.path), "up", "--stack", stack, *context.args]
        found = outcome.code(engine_child.run(words, ROOT, outcome.environment_with(told)), told)
    if found == outcome.STOPPED:
        typer.echo(f"{stack}: stopped as asked, between two nodes; the step's own words above say until when", err=True)
    if found:
        raise typer.Exit(found)
