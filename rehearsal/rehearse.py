"""A whole rehearsal: an empty rack, the fleet on one image, the roll to the next, and its record."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from components import stackfile
from components.images import lock as image_lock
from lifecycle.errors import LifecycleError
from rehearsal import session, stand_in
from rehearsal.evidence import events
from rehearsal.rack.faults import Faults
from rehearsal.rack.laws import TEXTS
from rehearsal.rack.rack import Rack
from rehearsal.rack.store import Store
from report import evidence
from report.record import (
    AttachTime,
    Failure,
    Law,
    NodeRow,
    Roll,
    Sample,
    Series,
)
from report.words import names

Entries = list[dict[str, Any]]

TITLES = {
    "nodes_out": ("Nodes out", "nodes"),
    "etcd_margin": ("etcd members that could still fail", "members"),
    "volumes_degraded": ("Volumes below full redundancy", "volumes"),
    "replicas_missing": ("Replicas missing", "replicas"),
    "io_p99_ms": ("I/O latency, p99", "ms"),
}


class NothingToRollTo(LifecycleError):
    """No pinned release differs from the one to start from."""

    def __init__(self, version: str, pinned: list[str]) -> None:
        found = ", ".join(pinned) or "none"
        super().__init__(
            f"stacks/images.lock.json: expected a pinned release other than {version} to roll to, found {found}. "
            "Nothing was changed. Remedy: pin another release, or name one with --to"
        )
        self.version = version


@dataclass
class Rehearsed:
    """What a rehearsal ended with. error: the engine's words, if the roll halted. idle_faults: the specs
    that never struck. entries: of the journal, since the last phase began."""

    roll: Roll
    error: str = ""
    idle_faults: tuple[str, ...] = ()
    entries: tuple[Mapping[str, Any], ...] = ()


def choose_releases(stack: str, image_from: str | None, image_to: str | None) -> tuple[str, str]:
    """Where a rehearsal starts and ends: the stack file's release and the next pinned one (the one
    before it, if it is the newest; where none is pinned, its next revision). Raises StackFileError,
    LockError, UnknownRelease, NothingToRollTo."""
    environment = stackfile.load(session.ROOT / "stacks" / f"Pulumi.{stack}.yaml")
    releases = image_lock.load(session.IMAGES).releases()
    found = {r.version for r in releases if r.os == environment.image.os}
    pinned = sorted(found, key=lambda v: [int(part) for part in v.split(".")])
    start = image_from or environment.image.version
    if not found:
        return start, image_to or stand_in.next_revision(start)
    others = [v for v in pinned if v != start]
    if image_to is None and not others:
        raise NothingToRollTo(start, pinned)
    later = [v for v in others if start in pinned and pinned.index(v) > pinned.index(start)]
    end = image_to or (later or others[::-1])[0]
    if end == start:
        raise NothingToRollTo(start, pinned)
    for version in (start, end):
        image_lock.load(session.IMAGES).release(environment.image.os, version, environment.image.architecture)
    return start, end


def rehearse(
    stack: str,
    *,
    image_from: str,
    image_to: str,
    options: session.Options,
    folder: Path,
    on_rack: Callable[[Rack, str], None] = lambda rack, phase: None,
) -> Rehearsed:
    """Bring `stack` up on `image_from`, roll it to `image_to`.

    folder: emptied first. Faults strike during the roll only. on_rack: called with the rack before each
    of the two phases, for a display. Raises what `session.open_session` raises; a roll that halts is a
    result, a bring-up that halts too.
    """
    Faults.of(options.faults)
    error = ""
    options = replace(options, locked=True)
    bring_up, roll_on = replace(options, version=image_from, faults=()), replace(options, version=image_to)
    store = Store(folder)
    with store.hold(f"{options.what} {stack}"):
        store.reset()
        for phase, chosen in (("bring up", bring_up), ("roll", roll_on)):
            with session.open_session(stack, chosen, folder) as opened:
                on_rack(opened.rack, phase)
                opened.rack.journal.add(opened.rack.now_s, "phase", name=phase)
                try:
                    opened.up()
                except session.Halted as failed:
                    error = str(failed)
                opened.rack.journal.add(opened.rack.now_s, "phase", name="end")
                roll = record(opened, image_from, image_to, options, error)
                idle = opened.rack.faults.idle()
                entries = tuple(_last_phase(opened.rack.journal.entries))
            if error:
                break
    return Rehearsed(roll, error, idle, entries)


def _last_phase(entries: Entries) -> Entries:
    begin = max(i for i, e in enumerate(entries) if e["kind"] == "phase" and e["name"] != "end")
    return entries[begin:]


def record(opened: session.Session, image_from: str, image_to: str, options: session.Options, error: str) -> Roll:
    """What the journal says of the last phase, from its own zero."""
    rack = opened.rack
    entries = rack.journal.entries
    begins = [i for i, e in enumerate(entries) if e["kind"] == "phase" and e["name"] != "end"]
    zero_s = float(entries[begins[-1]]["at"])
    now = entries[begins[-1] :]
    failures = tuple(
        Failure(at_s=e["at"] - zero_s, node=e["node"], text=e["text"]) for e in now if e["kind"] == "failure"
    )
    rows, said = _rows(rack, entries[: begins[-1]]), events(now)
    return Roll(
        stack=opened.stack_name,
        seed=rack.world.seed,
        image_from=image_from,
        image_to=image_to,
        written=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        succeeded=not error and not failures and all(names(r.image_after, image_to) for r in rows),
        bring_up_s=zero_s if len(begins) > 1 else rack.now_s,
        roll_s=rack.now_s - zero_s,
        faults=options.faults,
        plan=opened.plans[-1].in_words() if opened.plans else (),
        nodes=rows,
        spans=evidence.spans(said, zero_s),
        series=_series(entries, begins[-1], zero_s, rack),
        attaches=tuple(_attach(e, zero_s) for e in now if e["kind"] == "attach"),
        waits=evidence.waits(said, zero_s),
        laws=_laws(entries, rack.laws.checks),
        failures=failures,
        journal=tuple(filter(None, (_words(e, zero_s) for e in now))),
        stand_ins=_stand_ins(opened, image_from),
    )


def _stand_ins(opened: session.Session, version: str) -> tuple[str, ...]:
    """Of the release that the rehearsal began with: what it rolled to is its next revision, if that is none."""
    data = session.stack_data(opened.stack_name, replace(opened.options, version=version))
    environment = stackfile.validate(data, opened.stack_name)
    return stand_in.completed(environment, image_lock.load(session.IMAGES))[1]


def _rows(rack: Rack, before: Entries) -> tuple[NodeRow, ...]:
    images = {e["node"]: e["image"] for e in before if e["kind"] == "image"}
    rows = []
    for name, pin in rack.pins.items():
        host = rack.world.hosts[name]
        node = rack.world.nodes.get(name)
        rows.append(
            NodeRow(
                node=name,
                pool=pin.pool,
                role=pin.role.value,
                fault_domain=pin.fault_domain,
                image_before=images.get(name, ""),
                image_after=node.os_image if node is not None else "",
                boots=host.boots,
                data_disks_kept=all(marker == f"{name} data" for marker in host.markers.values()),
            )
        )
    return tuple(rows)


def _series(entries: Entries, begin: int, zero_s: float, rack: Rack) -> tuple[Series, ...]:
    at_zero: dict[str, float] = {}
    samples: dict[str, list[Sample]] = {}
    for i, e in enumerate(entries):
        if e["kind"] != "sample":
            continue
        if i < begin:
            at_zero[e["key"]] = e["value"]
        else:
            samples.setdefault(e["key"], []).append(Sample(at_s=e["at"] - zero_s, value=e["value"]))
    limits = {
        "etcd_margin": 0.0,
        "nodes_out": float(max(p.max_unavailable for p in rack.pins.values())),
    }
    found = []
    for key, (title, unit) in TITLES.items():
        start = [Sample(at_s=0, value=at_zero[key])] if key in at_zero else []
        steps = tuple(start + samples.get(key, []))
        if steps:
            limit_is = "min" if key == "etcd_margin" else "max"
            found.append(
                Series(key=key, title=title, unit=unit, samples=steps, limit=limits.get(key), limit_is=limit_is)
            )
    return tuple(found)


def _since(at_s: float | None, zero_s: float) -> float | None:
    return None if at_s is None else at_s - zero_s


def _attach(e: Mapping[str, Any], zero_s: float) -> AttachTime:
    return AttachTime(
        volume=e["volume"],
        pod=e["pod"],
        from_node=e["from_node"],
        to_node=e["to_node"],
        evicted_s=e["evicted_s"] - zero_s,
        detached_s=_since(e["detached_s"], zero_s),
        attached_s=_since(e["attached_s"], zero_s),
        ready_s=_since(e["ready_s"], zero_s),
    )


def _laws(entries: Entries, checks: int) -> tuple[Law, ...]:
    broken: dict[str, list[str]] = {}
    for e in entries:
        if e["kind"] == "law":
            broken.setdefault(e["law"], []).append(f"{e['at']:.0f} s: {e['text']}")
    return tuple(
        Law(name=name, text=text, broken=tuple(broken.get(name, ())), checks=checks) for name, text in TEXTS.items()
    )


def _words(e: Mapping[str, Any], zero_s: float) -> str:
    """A line of the journal as people read it; samples and waits are drawn, not told."""
    kind = e["kind"]
    said = {
        "begin": lambda: f"{e['node']} {e['phase']}{': ' + e['detail'] if e['detail'] else ''}",
        "end": lambda: f"{e['node']} {e['outcome']}",
        "note": lambda: f"{e['node']} {e['text']}",
        "attach": lambda: f"{e['volume']} moved {e['from_node']} -> {e['to_node']} with {e['pod']}",
        "law": lambda: f"LAW BROKEN {e['law']}: {e['text']}",
        "failure": lambda: f"{e['node']} halted: {e['text'].splitlines()[0]}",
    }.get(kind)
    return f"[{e['at'] - zero_s:6.0f} s] {said()}" if said is not None else ""
