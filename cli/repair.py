"""`ingot repair`: nodes that a new machine would heal, and their replacement by the engine, gates and all."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.survey import AsJson, Image, OnRack, Stack, look
from cli.table import table
from lifecycle.errors import LifecycleError
from lifecycle.repair import BROKEN_AFTER_S, Kind, Unwell, refuse_many, refuse_roll, to_replace, unwell
from lifecycle.succession import host_of

if TYPE_CHECKING:
    from components.environment import Environment
    from lifecycle.ports import Pin

app = typer.Typer(add_completion=False)

Go = Annotated[bool, typer.Option("--go", help="Replace them; without it they are only listed.")]
Yes = Annotated[bool, typer.Option("--yes", help="With --go: do not let the engine ask before it begins.")]
After = Annotated[float, typer.Option("--broken-after", min=0, help="Seconds without Ready that make a node broken.")]


class EngineEnded(LifecycleError):
    """The up that should repair did not end well; what halted stands above, in the engine's own output."""

    def __init__(self, stack: str, code: int) -> None:
        super().__init__(
            f"repair of stack {stack}: expected `pulumi up` to end with 0, found {code}. Remedy: mend what it names "
            "above, then run the same command again; `ingot drift` shows what is left"
        )
        self.code = code


@app.command("repair", epilog="Example: ingot repair metal --go")
def repair(
    stack: Stack,
    rack: OnRack = False,
    image: Image = None,
    go: Go = False,
    yes: Yes = False,
    broken_after: After = BROKEN_AFTER_S,
    as_json: AsJson = False,
) -> None:
    """List the nodes that are broken or drifted, pool by pool; with --go, replace them.

    They go the way of every roll, through the same gates: `pulumi up`, told to replace their machines. The
    broken ones heal first, control planes one at a time. Refuses, with exit code 1, when more than a fifth of
    a pool is unhealthy (one node may always be), or when the stack file has changes that an up would roll out.
    With --go it ends as `ingot up` does: 3 if it stopped as asked, between two nodes.
    """
    looked = look(stack, rack=rack, image=image)
    found = in_order(looked.environment, looked.survey.pins, unwell(looked.survey, broken_after))
    if as_json:
        typer.echo(json.dumps({"stack": stack, "unwell": [asdict(sick) for sick in found]}))
    else:
        typer.echo(_text(stack, found))
    refuse_many(looked.survey.pins, found)
    if not found or not go:
        return
    refuse_roll(looked.survey)
    if rack:
        from cli.rack import run

        run(stack, "up", image, None, 1, replace=to_replace(found))
    else:
        _up(stack, to_replace(found), yes=yes)


def in_order(environment: Environment, pins: Mapping[str, Pin], found: Sequence[Unwell]) -> tuple[Unwell, ...]:
    """The order in which the engine will take them: the planner's, which heals before it spends. pins: of all nodes."""
    from components.fleet import pool_orders
    from components.rollout.planner import Standing, plan

    known = {sick.node: sick for sick in found}
    standing = {
        node: Standing.OUT if node in known and known[node].kind is not Kind.DRIFTED else Standing.IN for node in pins
    }
    orders = pool_orders(environment, {host_of(pin): pin.generation for pin in pins.values()})
    planned = [n.node for n in plan(orders, standing).nodes]
    return tuple(known[node] for node in planned if node in known)


def _text(stack: str, found: Sequence[Unwell]) -> str:
    if not found:
        return f"{stack}: no node is broken or drifted"
    rows = [(sick.pool, sick.node, sick.kind.value, "; ".join(sick.why)) for sick in found]
    return table(("pool", "node", "state", "why"), rows) + f"{stack}: {len(found)} to repair, in this order"


def up_command(program: str, stack: str, nodes: Sequence[str], *, yes: bool) -> list[str]:
    """The command that a person would type. A node's machine is named by its host alone, whatever its pool."""
    replaced = [word for node in nodes for word in ("--replace", f"**::{node}.machine")]
    return [program, "up", "--stack", stack, *replaced, *(["--yes"] if yes else [])]


def _up(stack: str, nodes: Sequence[str], *, yes: bool) -> None:
    """The engine, with this terminal. Raises NoEngine, EngineEnded; typer.Exit if it stopped as asked."""
    from cli import outcome
    from cli.up import run
    from lifecycle.adapters.pins import project_root
    from tools.engine import ensure

    program = os.environ.get("INGOT_PULUMI") or str(ensure().path)
    found, code = run(up_command(program, stack, nodes, yes=yes), stack, project_root(Path.cwd()))
    if found == outcome.STOPPED:
        raise typer.Exit(found)
    if found:
        raise EngineEnded(stack, code)
