"""A host whose kubelet is dead: nobody ends its pods, and nobody can tell that they no longer write.

Once its power is proven off, the cluster may forget its pods and detach its volumes at once.
"""

from __future__ import annotations

from lifecycle import drain, power
from lifecycle.ports import Controller, Node, Ports
from lifecycle.waiting import OBSERVE_S

DEAD_S = 300.0
"""Without one Ready in between: as long as the cluster's own default before it evicts pods from such a node."""


def is_dead(ports: Ports, node: str) -> bool:
    """Whether the Node is not Ready for DEAD_S on end while it holds pods or volumes that only it could give up."""
    kubernetes, clock = ports.kubernetes, ports.clock
    start_s = clock.now_s()
    while True:
        seen = kubernetes.node(node)
        if seen is None or seen.ready or not _holds(ports, seen):
            return False
        if seen.out_of_service:
            return True  # it was cut off in an earlier run
        now_s = clock.now_s()
        if now_s - start_s >= DEAD_S:
            ports.evidence.waited(node, "its kubelet may come back", start_s, now_s, DEAD_S, False)
            return True
        clock.sleep(min(OBSERVE_S, start_s + DEAD_S - now_s))
        ports.fence.alive(node)


def _holds(ports: Ports, node: Node) -> bool:
    held = node.volumes_in_use or ports.kubernetes.attachments_on(node.name)
    return bool(held) or any(not drain.stays(p) for p in ports.kubernetes.pods_on(node.name))


def cut(ports: Ports, node: str, controller: Controller, why: str) -> None:
    """Power off, proven, and only then out of service. Raises ControllerUnreachable and NeverPoweredOff."""
    ports.evidence.note(node, f"{why}: its power is cut, then what is left on it is given up")
    power.off(ports, node, controller, steady_s=power.DARK_S)
    ports.kubernetes.set_out_of_service(node, True)


def lift(ports: Ports, node: str) -> None:
    """The Node may be used again, by whatever machine registers next."""
    seen = ports.kubernetes.node(node)
    if seen is not None and seen.out_of_service:
        ports.kubernetes.set_out_of_service(node, False)
