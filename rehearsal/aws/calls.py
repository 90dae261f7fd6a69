"""What was asked of the rack's AWS, in the order it was asked, and how that is kept.

The account is its history: the same calls, made again with the same chance, make the same account with the same
ids. So what is kept is no picture of moto's insides, which may change with any release, but this list.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

READS = ("Describe", "Get", "Head", "List")
"""How the names of operations begin that change nothing."""

RACK = "rack"
"""The service of what happens in the account without a call, such as an instance that comes up."""


class CallsUnreadable(Exception):
    """The saved account is not one that this version reads, or it came out differently."""

    def __init__(self, where: str, found: str) -> None:
        super().__init__(
            f"{where}: expected the calls that made the rack's AWS account, found {found}. Nothing was changed. "
            "Remedy: `ingot rack reset` starts an empty rack"
        )


@dataclass(frozen=True)
class Call:
    """One call that was meant to change something. at_s: on the rack's clock. error: the code it was refused with.
    fault: a fault asked of the rack refused it, so that it was never seen by anybody who could do it."""

    at_s: float
    service: str
    region: str
    operation: str
    parameters: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    fault: bool = False

    @property
    def content(self) -> str:
        """What it asked for, the same whenever it is asked. Chance is drawn from it, so that the ids of what is made
        at one time do not depend on which call came first."""
        return f"{self.service}:{self.region}:{self.operation}:{_written(self.parameters)}"


def changes(operation: str) -> bool:
    return not operation.startswith(READS)


class Calls:
    """The list, and the file it is in. path: None keeps it in memory alone."""

    def __init__(self) -> None:
        self.path: Path | None = None
        self.all: list[Call] = []

    def add(self, call: Call) -> None:
        """On disk when this returns: what AWS did stays done, whoever is killed next."""
        self.all.append(call)
        if self.path is not None:
            with self.path.open("a") as file:
                file.write(_written(asdict(call)) + "\n")


def read(path: Path) -> list[Call]:
    """The calls in that file; none if there is no such file. A last line that a kill cut off was never answered, so it
    is dropped. Raises CallsUnreadable."""
    if not path.exists():
        return []
    lines = path.read_text().splitlines(keepends=True)
    try:
        return [Call(**json.loads(line, object_hook=_revived)) for line in _whole(lines)]
    except (TypeError, ValueError) as error:
        raise CallsUnreadable(str(path), str(error)) from None


def cut(path: Path) -> None:
    """Drop a last line that a kill cut off, so that the next begins on a line of its own."""
    if path.exists():
        lines = path.read_text().splitlines(keepends=True)
        whole = list(_whole(lines))
        if len(whole) < len(lines):
            path.write_text("".join(whole))


def _whole(lines: list[str]) -> Iterable[str]:
    return lines if not lines or lines[-1].endswith("\n") else lines[:-1]


def _written(value: object) -> str:
    return json.dumps(value, sort_keys=True, default=_plain)


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    raise TypeError(f"expected what JSON can say, or bytes, found a {type(value).__name__}")


def _revived(value: dict[str, Any]) -> object:
    return base64.b64decode(value["base64"]) if value.keys() == {"base64"} else value
