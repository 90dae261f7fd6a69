"""`ingot drift`: what of the fleet is not as it is pinned. Changes nothing."""

from __future__ import annotations

import json
from dataclasses import asdict

import typer

from cli.survey import AsJson, Image, OnRack, Stack, look
from cli.table import table
from lifecycle.drift import Finding

DRIFTED = 4
"""The exit code where something drifted: 1 says that it could not be told, 2 that the verb was wrongly called, and 3
is that of a roll that stopped as asked."""

app = typer.Typer(add_completion=False)


@app.command("drift", epilog="Example: ingot drift metal --json")
def compare(stack: Stack, rack: OnRack = False, image: Image = None, as_json: AsJson = False) -> None:
    """Compare each node with what is pinned: image, kernel, boot configuration, kubelet, machine, labels, taints; and
    each machine with the one that was installed: serial number, MAC addresses, instance.

    Changes nothing. Exit code 0: as pinned; 4: something drifted; 1: could not tell, the reason on stderr.
    What is only worth knowing, such as a reboot that nobody asked for or a node that a roll is just replacing, leaves
    the exit code at 0.
    """
    seen = look(stack, rack=rack, image=image).survey
    found = seen.findings()
    if as_json:
        typer.echo(json.dumps({"stack": stack, "nodes": len(seen.pins), "findings": [asdict(f) for f in found]}))
    else:
        typer.echo(_text(stack, len(seen.pins), found))
    if any(not f.information for f in found):
        raise typer.Exit(DRIFTED)


def _text(stack: str, declared: int, found: tuple[Finding, ...]) -> str:
    drifted = len({f.node for f in found if not f.information})
    verdict = f"{stack}: {drifted} of {declared} declared nodes drifted" if drifted else f"{stack}: as pinned"
    if not found:
        return f"{verdict}, {declared} nodes"
    rows = [(f.node, f.what, f.expected, f.found) for f in found]
    nodes: dict[str, list[str]] = {}
    for f in found:
        nodes.setdefault("information only" if f.information else f.remedy, []).append(f.node)
    # Beside the table, so that a command stays on one line and can be copied.
    remedies = [f"{', '.join(dict.fromkeys(of))}: {remedy}" for remedy, of in nodes.items()]
    return table(("node", "what", "expected", "found"), rows) + "\n".join([*remedies, verdict])
