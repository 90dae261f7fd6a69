"""`ingot aws`: what a stack's steps need of AWS, to grant or to check, and the machines that nobody knows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.stack_name import stack_name
from cli.table import table
from lifecycle.errors import LifecycleError

if TYPE_CHECKING:
    from lifecycle.aws_permissions import Extent

MISSING = 1
"""The exit code of check where something is missing."""

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="What a stack's steps need of AWS: printed, or checked."
)
Stack = Annotated[
    str, typer.Argument(help="A stack: stacks/Pulumi.<STACK>.yaml.", metavar="STACK", callback=stack_name)
]


class NothingOnAws(LifecycleError):
    """The stack has no host and no boot store on AWS."""

    def __init__(self, stack: str) -> None:
        super().__init__(
            f"stack {stack}: expected a pool of kind aws or a boot store of kind s3, found neither. Remedy: name "
            "another stack; docs/aws.md has one"
        )


@app.command(epilog="Example: ingot aws policy aws > policy.json")
def policy(stack: Stack) -> None:
    """Print the IAM policy that whoever runs the steps needs, made from one table of what they ask for.

    What `pulumi up` itself registers (network, templates, volumes) needs rights of its own, which are not in it.
    """
    from lifecycle.aws_permissions import policy as document

    typer.echo(json.dumps(document(_extent(stack)), indent=2))


@app.command(epilog="Example: ingot aws check aws")
def check(stack: Stack) -> None:
    """Ask AWS what is missing for a roll, and list machines of this stack that no claim knows. Changes nothing.

    The exit code is 1 if there is either. A roll asks the same before it touches anything.
    """
    from cli.step_ports import ports
    from lifecycle.commands import Step, Verb
    from lifecycle.preflight import unknown_machines

    _extent(stack)
    at = ports(Step(Verb.ROSTER, stack))
    missing, unknown = at.cloud.forbidden(), unknown_machines(at, stack)
    if not missing and not unknown:
        typer.echo(f"{stack}: nothing is missing for a roll, and every machine has a claim")
        return
    if missing:
        rows = [(str(one.permission), one.permission.why, one.who) for one in missing]
        typer.echo(table(("may not", "needed", "identity"), rows), nl=False)
    if unknown:
        listed = [(host or "none", words) for host, said in unknown.items() for words in said]
        typer.echo(table(("host", "a machine that no claim knows"), listed), nl=False)
    raise typer.Exit(MISSING)


def _extent(stack: str) -> Extent:
    """What the stack has on AWS. Raises NothingOnAws, and what the stack file's reader does."""
    from cli.step_ports import declared
    from lifecycle.adapters.ec2_wiring import stack_tag
    from lifecycle.adapters.pins import project_root
    from lifecycle.adapters.place import Bucket
    from lifecycle.aws_permissions import Extent
    from lifecycle.ec2 import Instance

    found = declared(project_root(Path.cwd()), stack)
    ours = [pin.particulars for pin in found.pins.values() if isinstance(pin.particulars, Instance)]
    bucket = found.boot_store if isinstance(found.boot_store, Bucket) else None
    if ours:
        return Extent(ours[0].region, stack_tag(stack), ours[0].cluster, bucket.name if bucket else "")
    if bucket is None:
        raise NothingOnAws(stack)
    return Extent(bucket.region, stack_tag(stack), "", bucket.name)
