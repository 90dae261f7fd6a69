"""What a stack may be called on the command line: a name, never a path."""

from __future__ import annotations

import re

import typer

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def stack_name(value: str) -> str:
    """The same value. Raises typer.BadParameter: a rack is kept in, and reset with, the folder of that name."""
    if not NAME.fullmatch(value):
        raise typer.BadParameter(
            f"expected a stack's name (letters, digits, '-', '_' and '.'), found {value!r}. "
            "Remedy: name a file of stacks/ without `Pulumi.` and `.yaml`"
        )
    return value
