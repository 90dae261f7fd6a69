"""A made-up but plausible roll: for tests of the report and for looking at it without a rehearsal.

Nothing here is measured. `example()` is three control planes and six workers, rolled in about two
hours; it can be made larger, and made to halt. The same arguments give the same record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

from report.record import AttachTime, Failure, Law, NodeRow, Pool, Roll, Sample, Series, Span, Wait

FROM, TO = "44.20260621.3.1", "44.20260707.3.1"

CONTROL_PLANE = (
    ("slot", 1), ("gates", 4), ("cordon", 1), ("drain", 14), ("etcd-out", 9),
    ("power-off", 8), ("install", 236), ("boot", 182),
    ("credentials", 3), ("register", 41), ("etcd-in", 52),
)  # fmt: skip
"""Phases and their usual length in seconds."""

WORKER = (
    ("slot", 1), ("gates", 6), ("cordon", 1), ("drain", 84), ("detach", 19), ("storage-out", 7),
    ("power-off", 9), ("install", 248), ("boot", 190),
    ("credentials", 3), ("register", 46), ("storage-in", 216), ("attach", 27),
)  # fmt: skip

WAITS = {
    "drain": ("pods evicted", 900), "detach": ("volumes detached", 300), "etcd-in": ("etcd voter caught up", 300),
    "boot": ("installed system running", 1800), "register": ("node Ready", 900),
    "storage-in": ("storage redundant again", 3600), "attach": ("volumes attached and pods Ready", 300),
    "soak": ("soak of the canary", 600),
}  # fmt: skip

VOLUMES_A_NODE = 5
STUCK_AFTER_S = 300.0

LAWS = (
    ("quorum", "etcd never has fewer healthy voters than a majority."),
    ("redundancy", "Every volume keeps a replica in sync in another fault domain."),
    ("budget", "No more nodes of a pool are out than its budget allows."),
    ("leave-first", "No machine that serves loses power before its node has left."),
    ("data-disks", "No installer ever writes a data disk."),
    ("exact-image", "A node joins only with exactly the pinned image and a new machine id."),
    ("forward-only", "A control plane never returns with an older etcd data directory."),
)


@dataclass
class _Course:
    """The record while it grows. changes: (moment, key, difference), summed up into the series. load: how
    much one node's way weighs on I/O, the less the larger the fleet."""

    spans: list[Span] = field(default_factory=list)
    waits: list[Wait] = field(default_factory=list)
    attaches: list[AttachTime] = field(default_factory=list)
    changes: list[tuple[float, str, float]] = field(default_factory=list)
    journal: list[tuple[float, str]] = field(default_factory=list)
    done: set[str] = field(default_factory=set)
    failure: Failure | None = None
    load: float = 1.0


def _jitter(node: str, phase: str) -> float:
    """A factor between 0.88 and 1.17 that depends on the names alone."""
    return 0.88 + sum(ord(c) * (i + 3) for i, c in enumerate(node + phase)) % 30 / 100


@cache
def example(*, workers: int = 6, lanes: int = 1, halt_at: str = "", law_broken: bool = False) -> Roll:
    """A roll of three control planes and `workers` workers in `lanes` lanes, a canary first.

    halt_at: a worker on which a volume never detaches, so that the roll halts there.
    """
    control_planes = [f"cp{i}" for i in (1, 2, 3)]
    hosts = [f"w{i}" for i in range(1, workers + 1)]
    course, now = _Course(load=1 / lanes), 0.0
    for node in control_planes:
        now = _turn(course, node, CONTROL_PLANE, now, hosts, "") + 2
    now = _turn(course, hosts[0], (*WORKER, ("soak", 300)), now, hosts, halt_at) + 2
    ends = []
    for lane in range(min(lanes, workers - 1)):
        at = now
        for node in hosts[1:][lane::lanes]:
            if course.failure and at >= course.failure.at_s:
                break
            at = _turn(course, node, WORKER, at, hosts, halt_at) + 2
        ends.append(at)
    roll_s = max(ends, default=now)
    return _record(course, control_planes, hosts, lanes, roll_s, law_broken)


def _turn(
    course: _Course, node: str, phases: Sequence[tuple[str, int]], at: float, hosts: list[str], halt_at: str
) -> float:
    """One node's way out and in from `at` on; the moment it serves, or halts."""
    begin: dict[str, float] = {}
    start = at
    for phase, usual_s in phases:
        stuck = node == halt_at and phase == "detach"
        end = at + (STUCK_AFTER_S if stuck else round(usual_s * (1.0 if phase == "soak" else _jitter(node, phase)), 1))
        detail = "waits for pv-7 (shop/orders-db-2)" if stuck else ""
        course.spans.append(Span(node=node, phase=phase, start_s=at, end_s=end, detail=detail))
        if phase in WAITS:
            what, limit_s = WAITS[phase]
            course.waits.append(Wait(node=node, what=what, start_s=at, end_s=end, limit_s=limit_s, met=not stuck))
        begin[phase] = at
        if stuck:
            _halt(course, node, end)
            _measure(course, node, begin, None)
            return end
        at = end
    _measure(course, node, begin, at)
    _move_volumes(course, node, begin, hosts)
    course.done.add(node)
    course.journal += [
        (start, f"{node} leaves: image differs"),
        (begin["power-off"], f"{node} left after {at - start:.0f} s"),
        (begin["boot"], f"{node} installed {TO}"),
        (at, f"{node} joined: Ready, exactly {TO}"),
    ]
    return at


def _halt(course: _Course, node: str, at: float) -> None:
    text = (
        f"node {node}: expected 2 clear polls, got 0 in {STUCK_AFTER_S:.0f} s; still attached: pv-7 "
        "(claim shop/orders-db-2, VolumeAttachment csi-9f31c2). The node stays cordoned; its machine and its "
        "disks were not touched. Remedy: runbooks/detach.md#stuck; "
        "`kubectl describe volumeattachment csi-9f31c2` shows more; then run `pulumi up` again."
    )
    course.failure = Failure(at_s=at, node=node, text=text)
    course.journal.append((at, f"{node} halts: pv-7 still attached after {STUCK_AFTER_S:.0f} s"))


def _measure(course: _Course, node: str, begin: dict[str, float], end: float | None) -> None:
    """What the turn did to the series."""

    def change(at: float, key: str, by: float) -> None:
        course.changes.append((at, key, by * course.load if key == "io_p99_ms" else by))

    change(begin["cordon"], "nodes_out", 1)
    for phase, io in (("drain", 0.2), ("detach", 0.1)):
        if phase in begin:
            change(begin[phase], "io_p99_ms", io)
    if end is None:
        return
    change(begin.get("soak", end), "nodes_out", -1)
    if "storage-out" not in begin:
        change(begin["etcd-out"], "etcd_margin", -1)
        change(end, "etcd_margin", 1)
        change(end, "io_p99_ms", -0.2)
        return
    degraded, resync = 0.2 + _jitter(node, "io") / 4, 1.1 * _jitter(node, "resync")
    back, attach = begin["storage-in"], begin["attach"]
    change(begin["storage-out"], "volumes_degraded", 12)
    change(begin["storage-out"], "replicas_missing", 14)
    change(begin["storage-out"], "io_p99_ms", degraded)
    change(back, "io_p99_ms", resync)
    for i in range(12):
        at = round(back + (attach - back) * (i + 3) / 15, 1)
        change(at, "volumes_degraded", -1)
        change(at, "replicas_missing", -1 if i < 10 else -2)
        change(at, "io_p99_ms", -resync / 12)
    change(attach, "io_p99_ms", -0.3 - degraded)


def _move_volumes(course: _Course, node: str, begin: dict[str, float], hosts: list[str]) -> None:
    if "detach" not in begin:
        return
    index = hosts.index(node)
    for i in range(VOLUMES_A_NODE):
        evicted = begin["drain"] + 6 + 11 * i
        detached = evicted + round(9 * _jitter(node, f"pv{i}"), 1)
        attached = detached + round(4.4 * _jitter(node, f"at{i}"), 1)
        volume = index * VOLUMES_A_NODE + i + 1
        course.attaches.append(
            AttachTime(
                volume=f"pv-{volume}",
                pod=f"shop/{('orders-db', 'search', 'queue', 'ledger', 'media')[i]}-{index}",
                from_node=node,
                to_node=hosts[(index + 1 + i) % len(hosts)],
                evicted_s=evicted,
                detached_s=detached,
                attached_s=attached,
                ready_s=attached + round(13 * _jitter(node, f"rd{i}"), 1),
            )
        )
        course.journal.append((attached, f"pv-{volume} attached to {hosts[(index + 1 + i) % len(hosts)]}"))


def _series(
    course: _Course, key: str, title: str, unit: str, start: float, limit: float | None, limit_is: str
) -> Series:
    value, samples = start, [Sample(at_s=0, value=start)]
    for at, _, by in sorted(c for c in course.changes if c[1] == key):
        value += by
        samples.append(Sample(at_s=at, value=abs(round(value, 2))))
    return Series(key=key, title=title, unit=unit, samples=tuple(samples), limit=limit, limit_is=limit_is)


def _record(
    course: _Course, control_planes: list[str], hosts: list[str], lanes: int, roll_s: float, law_broken: bool
) -> Roll:
    rows = [_row(node, i, course) for names in (control_planes, hosts) for i, node in enumerate(names)]
    broken = ("[4021 s] pv-12: its last replica in sync was on w2, which left",) if law_broken else ()
    last = " ".join(hosts[1:]) if lanes == 1 else f"{len(hosts) - 1} workers in {lanes} lanes"
    return Roll(
        stack="metal",
        seed=0,
        image_from=FROM,
        image_to=TO,
        written="2026-07-14T09:30:00+00:00",
        succeeded=course.failure is None,
        bring_up_s=1508,
        roll_s=roll_s,
        faults=("volume pv-7 does not detach",) if course.failure else (),
        plan=(
            f"wave 0 control-plane control-plane: {' '.join(control_planes)} (control planes one at a time)",
            f"wave 1 workers canary: {hosts[0]} (canary)",
            f"wave 2 workers lane 1: {last} ({lanes} out at most)",
        ),
        nodes=tuple(rows),
        pools=(
            Pool(name="control-plane", role="control-plane", hosts=tuple(control_planes)),
            Pool(
                name="workers",
                role="worker",
                hosts=tuple(hosts),
                max_unavailable=lanes,
                canary=True,
                soak_s=300,
                keeps=True,
            ),
        ),
        spans=tuple(course.spans),
        series=(
            _series(course, "etcd_margin", "etcd members that could still fail", "members", 1, 0, "min"),
            _series(course, "replicas_missing", "Replicas missing or out of sync", "replicas", 0, None, "max"),
            _series(course, "volumes_degraded", "Volumes with a replica missing", "volumes", 0, None, "max"),
            _series(course, "io_p99_ms", "I/O latency, 99th percentile", "ms", 0.9, 5, "max"),
            _series(course, "nodes_out", "Nodes out", "nodes", 0, lanes, "max"),
        ),
        attaches=tuple(course.attaches),
        waits=tuple(course.waits),
        laws=tuple(Law(name=n, text=t, broken=broken if n == "redundancy" else (), checks=18402) for n, t in LAWS),
        failures=(course.failure,) if course.failure else (),
        journal=tuple(f"[{at:>6.0f} s] {text}" for at, text in sorted(course.journal)),
    )


def _row(node: str, index: int, course: _Course) -> NodeRow:
    control_plane = node.startswith("cp")
    return NodeRow(
        node=node,
        pool="control-plane" if control_plane else "workers",
        role="control-plane" if control_plane else "worker",
        fault_domain=f"rack-{'abc'[index % 3]}",
        image_before=FROM,
        image_after=TO if node in course.done else FROM,
        boots=2 if node in course.done else 0,
        data_disks_kept=True,
    )
