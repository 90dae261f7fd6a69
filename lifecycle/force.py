"""What a pool asked for that says `force`: a deadline that ends with harm to what did not go, never silently.

Only workers that store nothing may say so (`Leaving.forces_drain`); whoever calls has checked that.
"""

from __future__ import annotations

from lifecycle import drain
from lifecycle.errors import DrainBlocked, VolumesStillAttached
from lifecycle.gates import Leaving


def delete_left(leaving: Leaving, blocked: DrainBlocked) -> None:
    """Delete the node's pods past their budgets, each with its own grace period; return once they are gone.

    Pods that come meanwhile go likewise. Raises DrainBlocked after another `drain_s`: a pod that does not end
    then is no budget's fault.
    """
    ports, node = leaving.ports, leaving.node
    for pod in drain.workloads(ports.kubernetes.pods_on(node)):
        budgets = ", ".join(f"{b.namespace}/{b.name}" for b in ports.kubernetes.budgets() if pod.key in b.pods)
        past = f"past PodDisruptionBudget {budgets}" if budgets else "without asking any budget"
        why = f"FORCED after {blocked.limit_s:g} s, as its pool says"
        ports.evidence.note(node, f"{why}: pod {pod.key} is deleted {past}")
        ports.kubernetes.delete_pod(pod)
    drain.drain(ports, node, drain.workloads, forced=True)


def tell_detach(leaving: Leaving, stuck: VolumesStillAttached) -> str:
    """Name each volume that is taken away from the node; return why."""
    for name in stuck.names:
        leaving.ports.evidence.note(leaving.node, f"FORCED: {name} is taken away from it")
    return f"FORCED after {stuck.limit_s:g} s, as its pool says, with {', '.join(stuck.names)} attached"
