"""Where `ingot drift` and `ingot repair` look: at the real fleet, or at a simulated rack as it was left."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.stack_name import stack_name
from lifecycle.drift import Survey, survey

if TYPE_CHECKING:
    from components.environment import Environment
    from lifecycle.ports import Ports

Stack = Annotated[
    str, typer.Argument(help="A stack: stacks/Pulumi.<STACK>.yaml.", metavar="STACK", callback=stack_name)
]
OnRack = Annotated[bool, typer.Option("--rack", help="Look at the simulated rack of that stack, as it was left.")]
Image = Annotated[
    str | None, typer.Option("--image", help="With --rack: the release it was brought to, if not the stack file's.")
]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]


@dataclass(frozen=True)
class Looked:
    """What was found, and the stack file that it was compared with."""

    survey: Survey
    environment: Environment


def look(stack: str, *, rack: bool, image: str | None) -> Looked:
    """Raises typer.BadParameter, StackFileError, LockError, UnknownRelease, NoRack, NeverBroughtUp, PortError."""
    if image and not rack:
        raise typer.BadParameter("only a rack can have another release than its stack file", param_hint="--image")
    with _rack(stack, image) if rack else _real(stack) as (environment, ports):
        return Looked(survey(ports, stack), environment)


@contextmanager
def _real(stack: str) -> Iterator[tuple[Environment, Ports]]:
    from cli.step_ports import environment, ports
    from lifecycle.adapters.pins import project_root
    from lifecycle.commands import Step, Verb

    # A step that only looks: the roster's.
    yield environment(project_root(Path.cwd()), stack), ports(Step(Verb.ROSTER, stack))


@contextmanager
def _rack(stack: str, image: str | None) -> Iterator[tuple[Environment, Ports]]:
    from rehearsal.saved import saved_rack

    with saved_rack(stack, image) as found:
        yield found
