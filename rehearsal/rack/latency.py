"""The report's gauges, I/O latency among them.

Assumptions. A quiet NVMe/TCP volume answers with a p99 of 0.9 ms; a resynchronisation on the same
disks adds half of that for the share of volumes under it, a missing replica a tenth (fewer targets
share the reads); during a planned failover, 2 s, the slowest requests wait for the other path: 24 ms.
These are the rack's own figures: they show the shape of a roll, not what a product measures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rehearsal.rack import quorum, volumes

if TYPE_CHECKING:
    from rehearsal.rack.rack import Rack

QUIET_MS = 0.9
FAILOVER_MS = 24.0


def gauges(rack: Rack) -> dict[str, float]:
    """Key of a series -> its value now."""
    world = rack.world
    found = {"nodes_out": float(sum(len(names) for names in rack.out.values()))}
    if world.members:
        found["etcd_margin"] = float(quorum.margin(rack))
    if world.volumes:
        missing = [len(v.replicas) - len(volumes.live_replicas(rack, v)) for v in world.volumes.values()]
        found["replicas_missing"] = float(sum(missing))
        found["volumes_degraded"] = float(sum(m > 0 for m in missing))
        share = len(world.resyncing) / len(world.volumes)
        degraded = found["volumes_degraded"] / len(world.volumes)
        p99_ms = QUIET_MS * (1 + 0.5 * min(share, 1.0) + 0.1 * degraded)
        found["io_p99_ms"] = FAILOVER_MS if rack.now_s < world.failover_until_s else round(p99_ms, 3)
    return found
