"""The example on AWS, run as the language host runs it, with changes."""

from __future__ import annotations

import functools
import json
import runpy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pulumi

from components import stackfile
from tests.components.boot.fleet import changed
from tests.components.program import Monitor, Registered, run

ROOT = Path(__file__).resolve().parents[3]
STACK = ROOT / "stacks" / "Pulumi.aws.yaml"
AWS = "aws:"


def registered(changes: Mapping[str, Any] | None = None, *, preview: bool = False) -> Monitor:
    """What the program registers. changes: to the example, by paths such as `pools/web/machines/placement`."""
    data = stackfile.environment_of(STACK)
    for at, value in (changes or {}).items():
        data = changed(data, at, value)

    def configured() -> None:
        pulumi.runtime.set_all_config({"ingot:environment": json.dumps(data)})
        runpy.run_path(str(ROOT / "__main__.py"), run_name="__main__")

    return run(configured, Monitor(preview=preview))


@functools.cache
def example() -> Monitor:
    """The example as it stands, made once: it takes seconds."""
    return registered()


def of_aws(monitor: Monitor, type_: str = "") -> list[Registered]:
    """All that is of AWS, or of one type such as `ec2/vpc`."""
    return [r for r in monitor.registered if r.type.startswith(f"{AWS}{type_}")]


def below(monitor: Monitor, urn: str) -> set[str]:
    """URNs of all that a resource depends on, and what that depends on: what goes later than it on a destroy."""
    by_urn = {r.urn: r for r in monitor.registered}
    found: set[str] = set()
    todo = list(by_urn[urn].dependencies)
    while todo:
        here = todo.pop()
        if here not in found:
            found.add(here)
            todo += by_urn[here].dependencies
    return found


def statements(document: str) -> Iterator[dict[str, Any]]:
    """Of a policy as IAM takes it."""
    yield from json.loads(document)["Statement"]


def short(r: Registered) -> str:
    """Its type without the module, and its name."""
    return f"{r.type.partition('/')[0]}:{r.type.rpartition(':')[2]} {r.name}"
