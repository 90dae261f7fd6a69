"""`ingot schema`: JSON Schemas, so that editors complete and check files while one types.

Of stack files, and of the image lock, which a program writes and people review. They say what can be said of
one value at a time; `components.stackfile` and `components.images.lock` say the rest when a file is used.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from components.environment import Environment
from components.images.lock import Lock
from components.stackfile import KEY

FILE: Final = Path(__file__).resolve().parents[1] / "stacks" / "environment.schema.json"
"""Where stack files look for it: their first line names it."""
LOCK_FILE: Final = FILE.with_name("images.lock.schema.json")
"""Beside the lock."""

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


def lock_document() -> dict[str, Any]:
    """The schema of stacks/images.lock.json."""
    made = Lock.model_json_schema(ref_template="#/$defs/{model}")
    for model in (made, *made["$defs"].values()):
        model["additionalProperties"] = False
        for field in model["properties"].values():
            _close(field)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made, "title": "Image lock"}


def _close(field: dict[str, Any]) -> None:
    """A name that fits no pattern is refused, not ignored; at every depth."""
    for pattern, inner in field.get("patternProperties", {}).items():
        field["additionalProperties"] = False
        _close(field["patternProperties"][pattern] if inner else inner)


def text(made: dict[str, Any] | None = None) -> str:
    """The schema as it is written: the same models give the same bytes anywhere."""
    return json.dumps(document() if made is None else made, indent=2, ensure_ascii=True, sort_keys=False) + "\n"


@app.command(epilog="Example: ingot schema --check")
def schema(
    out: Annotated[
        Path | None, typer.Option(help="Where to write that of stack files.", dir_okay=False, show_default=FILE.name)
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit 1 if a file differs.")] = False,
) -> None:
    """Write the JSON Schemas of stack files and of the image lock, for editors. With --out only the former."""
    made = {out or FILE: (text(), "components/environment.py", f" --out {out}" if out else "")}
    if out is None:
        made[LOCK_FILE] = (text(lock_document()), "components/images/lock.py", "")
    for path, (schema_text, models, option) in made.items():
        _compare(path, schema_text, models, option) if check else _write(path, schema_text)


def _write(path: Path, made: str) -> None:
    try:
        path.write_text(made, encoding="utf-8", newline="\n")
    except OSError as error:
        typer.echo(f"{path}: expected a file that can be written, found: {error.strerror}. Remedy: --out", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"{path} written")


def _compare(path: Path, made: str, models: str, option: str) -> None:
    try:
        stands = path.read_bytes()
    except OSError as error:
        stands, found = b"", f"none that can be read: {error.strerror}"
    else:
        found = "other bytes"
    if stands != made.encode():
        remedy = f"Remedy: ingot schema{option}"
        typer.echo(f"{path}: expected the schema of {models}, found {found}. {remedy}", err=True)
        raise typer.Exit(1)
    typer.echo(f"{path} is up to date")
