"""What a drain would lose for good, and refuses to unless the stack file says otherwise. Looks only."""

from __future__ import annotations

from collections.abc import Sequence

from lifecycle.errors import Halt, UnmanagedPods
from lifecycle.ports import DrainPolicy, Pod


class DataWouldBeLost(Halt):
    """Pods whose data lies on the node itself, so that it does not follow them. pods: with what each would lose."""

    expected = "only pods whose data follows them"
    remedy = (
        "runbooks/drain.md#data: move the data, or allow the loss with `rollout.drain` of the pool in the stack "
        "file, then run `pulumi up` again"
    )
    shows = "kubectl get pods -A --field-selector spec.nodeName={node}"

    def __init__(self, node: str, pods: tuple[str, ...]) -> None:
        super().__init__(node, f"pods that would lose it: {', '.join(pods)}")
        self.pods = pods


def refuse(node: str, pods: Sequence[Pod], policy: DrainPolicy) -> None:
    """Return if the drain of these pods loses nothing that the policy keeps. Raises UnmanagedPods, DataWouldBeLost."""
    unmanaged = () if policy.unmanaged else tuple(sorted(p.key for p in pods if not p.owner))
    if unmanaged:
        raise UnmanagedPods(node, unmanaged)
    lost = []
    for pod in sorted(pods, key=lambda p: p.key):
        if pod.empty_dir and not policy.empty_dir:
            lost.append(f"{pod.key} (emptyDir)")
        if pod.local_volumes and not policy.local_volumes:
            lost.append(f"{pod.key} (local PersistentVolume {', '.join(pod.local_volumes)})")
    if lost:
        raise DataWouldBeLost(node, tuple(lost))
