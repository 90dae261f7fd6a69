"""`ingot rbac`: the roles that the three owners need in the cluster, to read, to apply, or to check."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from cli.stack_name import stack_name
from cli.table import table

MISSING = 1
"""The exit code of --check where something is missing."""

app = typer.Typer(add_completion=False)


@app.command("rbac", epilog="Example: ingot rbac metal | kubectl apply --server-side -f -")
def roles(
    stack: Annotated[
        str, typer.Argument(help="A stack: stacks/Pulumi.<STACK>.yaml.", metavar="STACK", callback=stack_name)
    ],
    apply: Annotated[bool, typer.Option("--apply", help="Make them, with the stack's own authority.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Ask the cluster what is missing for a roll.")] = False,
) -> None:
    """Print ServiceAccounts and roles of the owners as YAML, made from one table of what their code asks for.

    A fleet's first join makes them; whoever administers a cluster for others applies what this prints. With
    --apply they are brought to what this checkout needs. With --check nothing is changed, and the exit code is
    1 if something is missing for the identity that the steps have here.
    """
    if apply and check:
        raise typer.BadParameter("either --apply or --check", param_hint="--check")
    if apply:
        _apply(stack)
    elif check:
        _check(stack)
    else:
        _print()


def _print() -> None:
    import yaml

    from lifecycle.adapters.build import storage_namespace
    from lifecycle.rbac import manifests

    made = manifests(storage_namespace(os.environ))
    # Each by itself: what two of them share is written twice, not by a reference.
    typer.echo("".join(yaml.safe_dump(item, sort_keys=False, explicit_start=True) for item in made), nl=False)


def _apply(stack: str) -> None:
    from cli.step_ports import administrator
    from lifecycle.adapters.access import apply
    from lifecycle.adapters.build import storage_namespace
    from lifecycle.rbac import manifests

    made = manifests(storage_namespace(os.environ))
    apply(administrator(stack), made)
    typer.echo(f"{stack}: {len(made)} objects are as this checkout needs them")


def _check(stack: str) -> None:
    from cli.step_ports import ports
    from lifecycle.commands import Step, Verb

    missing = ports(Step(Verb.ROSTER, stack)).access.forbidden()
    if not missing:
        typer.echo(f"{stack}: nothing is missing for a roll")
        return
    rows = [(one.permission.owner.value, str(one.permission), one.permission.why, one.who) for one in missing]
    typer.echo(table(("owner", "may not", "needed", "identity"), rows), nl=False)
    raise typer.Exit(MISSING)
