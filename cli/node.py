"""`ingot node`: what the engine's steps run. People may run them too; every verb may be run again.

A stored command carries only its format, stack, node and generation. Everything else is resolved
here, when it runs: the stack file of this checkout, credentials, endpoints, limits.
"""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Annotated

import typer

from cli import outcome
from lifecycle.commands import FLEET_VERBS, FORMAT, Step, Verb
from lifecycle.errors import LifecycleError
from lifecycle.ports import ClaimState, Ports

ROSTER_LIMIT_S = 30.0
"""What the roster takes on a slow day: loading libraries, the stack file, `pulumi stack export` (seconds for
a large state), then a few requests, for each node's state too. A cluster that is away says so sooner, by
the limit of a connection; too short a limit here would let a roll begin before what is out has healed."""
SILENT = '{"answered": false, "nodes": {}}'

app = typer.Typer(
    no_args_is_help=True, help="What the engine's steps run: a node's way in and out. Every verb may be run again."
)

Format = Annotated[int, typer.Option("--format", min=1, help="Version of the stored command's grammar.")]
Stack = Annotated[str, typer.Option("--stack", help="The stack, as in stacks/Pulumi.<stack>.yaml.")]
Node = Annotated[str, typer.Option("--node", help="The node, which is its host's name.")]
Generation = Annotated[
    str, typer.Option("--generation", help="First 16 hex digits of the digest of what the machine boots.")
]


@app.command(epilog="Example: ingot node provision --format 1 --stack metal --node w1 --generation 0123456789abcdef")
def provision(stack: Stack, node: Node, generation: Generation, format_: Format = FORMAT) -> None:
    """Claim the host, install the pinned image and boot it."""
    _run(Step(Verb.PROVISION, stack, node, generation, format_))


@app.command(epilog="Example: ingot node release --format 1 --stack metal --node w1 --generation 0123456789abcdef")
def release(stack: Stack, node: Node, generation: Generation = "", format_: Format = FORMAT) -> None:
    """Give the host back: power off; its claim stays, as left. Its data disks stay as they are."""
    _run(Step(Verb.RELEASE, stack, node, generation, format_))


@app.command(epilog="Example: ingot node enrol --format 1 --stack metal --node w1 --generation 0123456789abcdef")
def enrol(stack: Stack, node: Node, generation: Generation = "", format_: Format = FORMAT) -> None:
    """List the node in the roster as declared."""
    _run(Step(Verb.ENROL, stack, node, generation, format_))


@app.command(epilog="Example: ingot node leave --format 1 --stack metal --node w1 --generation 0123456789abcdef")
def leave(stack: Stack, node: Node, generation: Generation = "", format_: Format = FORMAT) -> None:
    """Take the node out safely: slot, gates, cordon, drain, detach, etcd, storage."""
    _run(Step(Verb.LEAVE, stack, node, generation, format_))


@app.command(epilog="Example: ingot node join --format 1 --stack metal --node w1 --generation 0123456789abcdef")
def join(stack: Stack, node: Node, generation: Generation, format_: Format = FORMAT) -> None:
    """Bring the node in and wait until it serves."""
    _run(Step(Verb.JOIN, stack, node, generation, format_))


@app.command(epilog="Example: ingot node vacate --format 2 --stack aws --node w1-01234567")
def vacate(stack: Stack, node: Node, generation: Generation = "", format_: Format = FORMAT) -> None:
    """Make sure that nothing is left of a node that another of its host succeeded."""
    _run(Step(Verb.VACATE, stack, node, generation, format_))


@app.command(epilog="Example: ingot node retire --format 1 --stack metal")
def retire(stack: Stack, generation: Generation = "", format_: Format = FORMAT) -> None:
    """Mark in the roster what the stack file says is retired."""
    _run(Step(Verb.RETIRE, stack, "", generation, format_))


@app.command(epilog="Example: ingot node gate --format 1 --stack metal --generation 0123456789abcdef")
def gate(stack: Stack, generation: Generation = "", format_: Format = FORMAT) -> None:
    """Wait until the whole fleet passes every gate."""
    _run(Step(Verb.GATE, stack, "", generation, format_))


@app.command(epilog="Example: ingot node roster --format 1 --stack metal")
def roster(stack: Stack, generation: Generation = "", format_: Format = FORMAT) -> None:
    """Print who is in and who is out as JSON: the roster, else the claims kept with the boot store.

    Never fails: if neither tells, it is `"answered": false`.
    """
    typer.echo(_roster(Step(Verb.ROSTER, stack, "", generation, format_)))


@app.command(hidden=True, epilog="Example: ingot node view --stack metal --folder .ingot/view/0123456789ab")
def view(stack: Stack, folder: Annotated[Path, typer.Option("--folder", help="Where its socket is.")]) -> None:
    """Keep one view of the cluster for all steps of a roll. Started by the first of them; ends by itself."""
    from cli.step_ports import keep_view

    keep_view(stack, folder)


def _run(step: Step) -> None:
    """Run the step and print its result. Exits with 1, and the error's text on stderr, if it halts; with 3 if it
    stops as asked."""
    from cli.step_ports import ports
    from lifecycle.run import execute
    from lifecycle.stops import StoppedAsAsked

    try:
        if step.format > FORMAT:
            raise NewerFormat(step)
        if step.verb not in FLEET_VERBS and not step.node:
            raise typer.BadParameter("a node's name is needed", param_hint="--node")
        outcome.begins(os.environ)
        typer.echo(execute(step, ports(step)))
    except LifecycleError as error:
        stopped = isinstance(error, StoppedAsAsked)
        outcome.note(os.environ, stopped=stopped)
        typer.echo(str(error), err=True)
        raise typer.Exit(outcome.STOPPED if stopped else 1) from None


def _roster(step: Step) -> str:
    """The roster; what the claims say when none came within ROSTER_LIMIT_S, for whatever reason; else SILENT."""
    found = [SILENT]

    def ask() -> None:
        from cli.step_ports import ports
        from lifecycle.run import execute

        try:
            found[0] = _claimed(step, ports(step))
            printed = execute(step, ports(step))
            if json.loads(printed).get("answered") is True:
                found[0] = printed
        except Exception:  # noqa: BLE001  # a preview must not fail because a cluster is away, or not there yet
            return

    # A daemon: what still waits for an answer when the time is up ends with the process.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(ROSTER_LIMIT_S)
    return found[0]


def _claimed(step: Step, ports: Ports) -> str:
    """What the claims of the stack's declared hosts say, in the words of the roster; SILENT if there are none,
    or the cluster was never initialised: then nothing can be out. `source` tells it from the roster."""
    if ports.records.initialised_by() is None:
        return SILENT
    from lifecycle.succession import predecessors

    claims = {node: ports.records.claim(node) for node in ports.pins.declared()}
    pins = [pin for pin in map(ports.pins.pin, claims) if pin]
    claims |= {node: ports.records.claim(node) for node in predecessors(ports, pins, step.stack)}
    nodes = {
        node: "in" if claim.state is ClaimState.JOINED else "out"
        for node, claim in claims.items()
        if claim is not None and claim.stack == step.stack
    }
    return json.dumps({"answered": True, "nodes": nodes, "source": "claims"}, sort_keys=True) if nodes else SILENT


class NewerFormat(LifecycleError):
    """The command was stored by a newer version of the project."""

    def __init__(self, step: Step) -> None:
        super().__init__(
            f"{step.verb.value} {step.node or step.stack}: expected a command of format {FORMAT} or older, found "
            f"format {step.format}; nothing was changed. Remedy: update this checkout, then run `pulumi up` again"
        )
        self.step = step
