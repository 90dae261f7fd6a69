"""`ingot pause`: stop a roll at the next node boundary, from any terminal or from a pipeline."""

from __future__ import annotations

import getpass
import socket
from typing import Annotated

import typer

from cli.stack_name import stack_name

app = typer.Typer(add_completion=False)


@app.command(epilog="Example: ingot pause metal --reason 'the freeze before the holidays'")
def pause(
    stack: Annotated[
        str, typer.Argument(help="A stack: stacks/Pulumi.<STACK>.yaml.", metavar="STACK", callback=stack_name)
    ],
    resume: Annotated[bool, typer.Option("--resume", help="Let nodes leave again.")] = False,
    reason: Annotated[str, typer.Option("--reason", help="Shown to whoever runs into the pause.")] = "",
) -> None:
    """Stop the roll of STACK at the next node boundary: no further node leaves until --resume.

    A node that is out is finished first. The mark is in the cluster's roster, so it holds for every run.
    """
    from cli.step_ports import ports
    from lifecycle import pause as pausing
    from lifecycle.commands import Step, Verb
    from lifecycle.roster import Paused

    at = ports(Step(Verb.ROSTER, stack))
    if resume:
        typer.echo(pausing.resume(at, stack))
    else:
        typer.echo(pausing.pause(at, stack, Paused(by=whoever(), since_s=at.clock.now_s(), reason=reason)))


def whoever() -> str:
    """Who asks, as `user@host`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = "somebody"
    return f"{user}@{socket.gethostname()}"
