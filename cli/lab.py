"""`ingot lab`: real parts on this machine, kept running between calls."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Annotated

import typer

from cli.stack_name import stack_name

app = typer.Typer(
    help="Real parts on this machine: etcd, Kubernetes' control plane, KWOK's nodes, a Redfish emulator.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

ROOT = Path(__file__).resolve().parents[1]

Name = Annotated[str, typer.Option("--name", help="Of the lab; several may run side by side.", callback=stack_name)]


@app.command(epilog="Example: ingot lab up --nodes 9 --etcd 3")
def up(
    nodes: Annotated[int, typer.Option("--nodes", min=0, max=5000, help="Workers, named w1 and so on.")] = 6,
    etcd: Annotated[int, typer.Option("--etcd", min=1, max=3, help="Members of etcd: 1 or 3.")] = 1,
    name: Name = "default",
) -> None:
    """Bring a lab up, and leave it running until `ingot lab down`. Builds its parts first if need be."""
    from lab.fleet import Fleet
    from lab.lab import Lab
    from lab.layout import ETCD_HOSTS

    if etcd not in (1, 3):
        raise typer.BadParameter(f"expected 1 or 3, found {etcd}: two members tolerate no loss, as one does")
    started_s = time.monotonic()
    with Lab.start(_folder(name), etcd_members=etcd) as lab:
        Fleet(lab.kubeconfig).create_nodes(nodes, ETCD_HOSTS[:etcd])
        lab.detach()
    typer.echo(f"lab {name}: up in {time.monotonic() - started_s:.0f} s, {etcd} + {nodes} nodes")
    typer.echo(f"  export KUBECONFIG={lab.kubeconfig}")
    typer.echo(f"  {lab.layout.binaries['kubectl']} get nodes")
    typer.echo(f"  Redfish: {lab.layout.redfish_url}/redfish/v1/Systems (user lab, password lab)")
    typer.echo(f"  its certificate authority: {lab.layout.bmc_authority().pair.certificate}")
    typer.echo(f"  stop it with: ingot lab down{'' if name == 'default' else f' --name {name}'}")


@app.command(epilog="Example: ingot lab down")
def down(name: Name = "default") -> None:
    """Stop the lab, also what a killed `up` left of it."""
    from lab.lab import down as stop

    stopped = stop(_folder(name))
    typer.echo(f"lab {name}: stopped {', '.join(stopped)}" if stopped else f"lab {name}: nothing runs")


@app.command(epilog="Example: ingot lab status --json")
def status(
    name: Name = "default", as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False
) -> None:
    """Show the lab's parts. Exit code 1 if it is not up."""
    from lab.processes import running

    folder = _folder(name).resolve()
    parts = running(folder)
    found = {part.name: {"pid": part.pid, "memory_mib": part.memory_bytes >> 20} for part in parts.values()}
    if as_json:
        typer.echo(json.dumps({"name": name, "folder": str(folder), "parts": dict(sorted(found.items()))}, indent=2))
    else:
        typer.echo(f"lab {name}: {'up' if found else 'nothing runs'}")
        for part, facts in sorted(found.items()):
            typer.echo(f"  {part:<26}{facts['memory_mib']:>6} MiB   process {facts['pid']}")
    if not found:
        raise typer.Exit(1)


def _folder(name: str) -> Path:
    """Under INGOT_HOME, else `.ingot` of the project (git-ignored)."""
    return Path(os.environ.get("INGOT_HOME", ROOT / ".ingot")) / "lab" / name
