"""`ingot engine`: which Pulumi engine is used, and why. The choice itself is tools/engine's."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from tools.engine import Engine, ensure, look

app = typer.Typer(add_completion=False)


@app.command(epilog="Example: ingot engine --get")
def engine(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    get: Annotated[bool, typer.Option("--get", help="Get it first if it is not there; this may build it.")] = False,
) -> None:
    """Show which Pulumi engine is used, every source considered, and why each was or was not taken."""
    chosen = ensure() if get else look()
    typer.echo(json.dumps(as_data(chosen), indent=2) if as_json else as_text(chosen))


def as_data(engine: Engine) -> dict[str, object]:
    """The engine as plain data; keys are only ever added."""
    return {
        "path": str(engine.path),
        "version": engine.version,
        "source": engine.source.value,
        "why": engine.why,
        "present": engine.present,
        "language_host": engine.language_host,
        "considered": [
            {"source": option.source.value, "taken": option.taken, "why": option.why} for option in engine.considered
        ],
    }


def as_text(engine: Engine) -> str:
    """The engine for a person's eye."""
    there = "" if engine.present else " (not there yet; `ingot engine --get` gets it)"
    lines = [f"Pulumi engine {engine.version}{there}", f"  {engine.path}", ""]
    lines += [
        f"  {'taken' if option.taken else '-':<7}{option.source.value:<11}{option.why}" for option in engine.considered
    ]
    typed = "yes" if engine.language_host else "no: it lacks pulumi-language-python (any ordinary installation has it)"
    return "\n".join([*lines, "", f"  rehearsals: yes; a typed `pulumi up`: {typed}"])
