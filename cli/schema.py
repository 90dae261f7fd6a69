"""`ingot schema`: the JSON Schema of stack files, so that editors complete and check them while one types.

It says what can be said of one value at a time; `components.stackfile` says the rest when a stack is used.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from components.environment import Environment
from components.stackfile import KEY

FILE: Final = Path(__file__).resolve().parents[1] / "stacks" / "environment.schema.json"
"""Where stack files look for it: their first line names it."""

app = typer.Typer(add_completion=False)


def document() -> dict[str, Any]:
    """The schema of a whole stack file. What belongs to Pulumi is allowed beside our one key, and not described."""
    environment = Environment.model_json_schema(ref_template="#/$defs/{model}")
    definitions = environment.pop("$defs")
    definitions["Environment"] = environment
    for definition in definitions.values():
        for field in definition["properties"].values():
            if "patternProperties" in field:  # a name that fits no pattern is refused, not ignored
                field["additionalProperties"] = False
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Stack file",
        "description": "stacks/Pulumi.<stack>.yaml: one environment of a fleet. docs/stack-file.md has all keys.",
        "type": "object",
        "required": ["config"],
        "properties": {
            "config": {
                "description": "The stack's configuration.",
                "type": "object",
                "required": [KEY],
                "properties": {KEY: {"$ref": "#/$defs/Environment"}},
                "additionalProperties": True,
            },
        },
        "additionalProperties": True,
        "$defs": definitions,
    }


def text() -> str:
    """The schema as it is written: the same models give the same bytes anywhere."""
    return json.dumps(document(), indent=2, ensure_ascii=True, sort_keys=False) + "\n"


@app.command(epilog="Example: ingot schema --check")
def schema(
    out: Annotated[Path, typer.Option(help="Where to write it.", dir_okay=False, show_default=FILE.name)] = FILE,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit 1 if the file differs.")] = False,
) -> None:
    """Write the JSON Schema of stack files, for editors."""
    made = text()
    if not check:
        try:
            out.write_text(made, encoding="utf-8", newline="\n")
        except OSError as error:
            typer.echo(f"{out}: expected a file that can be written, found: {error.strerror}. Remedy: --out", err=True)
            raise typer.Exit(1) from None
        typer.echo(f"{out} written")
        return
    try:
        stands = out.read_bytes()
    except OSError as error:
        stands = b""
        found = f"none that can be read: {error.strerror}"
    else:
        found = "other bytes"
    if stands != made.encode():
        remedy = "Remedy: ingot schema" + ("" if out == FILE else f" --out {out}")
        typer.echo(f"{out}: expected the schema of components/environment.py, found {found}. {remedy}", err=True)
        raise typer.Exit(1)
    typer.echo(f"{out} is up to date")
