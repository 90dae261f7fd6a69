"""KWOK: nodes and pods without machines. What it makes of them is in `stages/`, one file a kind."""

from __future__ import annotations

from pathlib import Path

from lab import probes
from lab.layout import ADMIN_GROUP, HOST, Layout
from lab.processes import Part

NAME = "kwok"

STAGES = Path(__file__).with_name("stages")
"""What each object goes through, and when."""

LEASE_S = 40
"""Of a node's Lease, as a kubelet's. A lapsed one makes the controller manager call the node's state unknown."""


def part(layout: Layout) -> Part:
    """Every node is KWOK's. It plays kubelets, a provisioner and an attacher, so no single role fits it."""
    server, authority = layout.server(), layout.authority()
    flags = {
        "kubeconfig": str(layout.kubeconfig(NAME, "lab:kwok", ADMIN_GROUP)),
        "manage-all-nodes": "true",
        "node-ip": HOST,
        "node-port": str(layout.shape.kwok_port),
        "node-lease-duration-seconds": str(LEASE_S),
        "server-address": f"{HOST}:{layout.shape.kwok_port}",
        "tls-cert-file": str(server.certificate),
        "tls-private-key-file": str(server.key),
    }
    stages = [f"--config={path}" for path in sorted(STAGES.glob("*.yaml"))]
    return Part(
        NAME,
        [str(layout.binaries["kwok"]), *(f"--{flag}={value}" for flag, value in flags.items()), *stages],
        probes.Asked(f"https://{HOST}:{layout.shape.kwok_port}/healthz", authority.pair.certificate),
    )
