"""No volume may be attached to a machine whose power goes: wait until none is. Changes nothing."""

from __future__ import annotations

from contextlib import suppress

from lifecycle.errors import PortError, VolumesStillAttached
from lifecycle.ports import Ports
from lifecycle.waiting import WATCHED_S, Blocked, wait_until

CLEAR = 2
"""Looks in a row that must find nothing: the attachment and the node's own list go at different times."""


def wait_detached(ports: Ports, node: str) -> None:
    """Return once CLEAR looks in a row find no VolumeAttachment and nothing in the Node's own lists.

    Raises VolumesStillAttached after `detach_s`, naming attachment, volume, claim and pod.
    """
    wait_until(
        lambda: _held(ports, node) or True,
        what="volumes detach",
        node=node,
        about=f"node/{node}",
        ports=ports,
        limit_s=ports.pins.limits().detach_s,
        error=VolumesStillAttached,
        consecutive=CLEAR,
        observe_s=WATCHED_S,
    )


def record(ports: Ports, node: str) -> None:
    """Keep as evidence how far each volume that left the node has come. A view that cannot tell is no error."""
    with suppress(PortError):
        for move in ports.kubernetes.moves(node):
            ports.evidence.volume(node, move)


def _held(ports: Ports, node: str) -> Blocked | None:
    held: list[str] = []
    names: set[str] = set()
    users = {claim: pod.key for pod in ports.kubernetes.pods_on(node) for claim in pod.claims}
    for a in sorted(ports.kubernetes.attachments_on(node), key=lambda a: a.name):
        claim = a.claim.rsplit("/", 1)[-1]
        user = f", pod {users[claim]}" if claim in users else ""
        held.append(f"VolumeAttachment {a.name} of PersistentVolume {a.volume} (claim {a.claim or 'unknown'}{user})")
        names |= {a.name, a.volume}
    said = ports.kubernetes.node(node)
    if said:
        in_use = frozenset() if said.out_of_service else said.volumes_in_use  # a dead kubelet takes nothing off it
        held += [f"{v} in the node's volumesInUse" for v in sorted(in_use - names)]
        held += [f"{v} in the node's volumesAttached" for v in sorted(said.volumes_attached - names)]
        names |= in_use | said.volumes_attached
    return Blocked("; ".join(held), tuple(sorted(names))) if held else None
