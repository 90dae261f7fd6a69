"""What a person sees of the rack in a terminal: progress while it runs, its state afterwards."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from pulumi.automation.events import EngineEvent
from rich.console import Console
from rich.live import Live
from rich.table import Table

from rehearsal.rack.rack import Rack
from rehearsal.rack.store import Store
from rehearsal.rehearse import Rehearsed
from rehearsal.session import Session
from report.words import duration, names

REFRESH_HZ = 8
ROWS_MAX = 40
PHASE_MAX = 60
"""Characters of an outcome in the table; the whole text comes at the end."""


class Display:
    """A table of the nodes that renews itself; plain lines, one a phase, where there is no terminal."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._rack: Rack | None = None
        self._title = ""
        self._steps = 0
        self._lock = threading.Lock()
        self._live = Live(console=self._console, refresh_per_second=REFRESH_HZ, get_renderable=self._table)

    def __enter__(self) -> Display:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    @contextmanager
    def over(self, rack: Rack, title: str) -> Iterator[None]:
        """Show one run."""
        self.follow(rack, title)
        with self:
            yield

    def follow(self, rack: Rack, title: str) -> None:
        with self._lock:
            self._rack, self._title, self._steps = rack, title, 0
        if not self._console.is_terminal:
            self._console.print(f"{title} ...")

    def event(self, event: EngineEvent) -> None:
        """Called by the engine for each of its events."""
        if event.res_outputs_event is not None:
            self._steps += 1

    def _table(self) -> Table:
        with self._lock:
            rack, title = self._rack, self._title
        table = Table(title=title, title_justify="left", expand=False)
        for heading in ("node", "pool", "phase", "image on disk", "volumes"):
            table.add_column(heading)
        if rack is None:
            return table
        table.caption = (
            f"{duration(rack.now_s)} of rack time, {self._steps} engine steps, {rack.clock.jumps} clock jumps"
        )
        phases = dict(rack.journal.phase_of)
        for name, pin in list(rack.pins.items())[:ROWS_MAX]:
            host = rack.world.hosts[name]
            volumes = sum(v.attached_to == name for v in list(rack.world.volumes.values()))
            table.add_row(
                name, pin.pool, phases.get(name, "off").splitlines()[0][:60], host.os_image, str(volumes or "")
            )
        return table


@dataclass(frozen=True)
class Summary:
    """What a run ended with. good: all that it promised is so."""

    text: str
    good: bool


def summary(session: Session, verb: str, journal_before: int) -> Summary:
    """Of one run, from the journal's entries since `journal_before`."""
    world, rack = session.rack.world, session.rack
    laws = [e for e in rack.journal.entries[journal_before:] if e["kind"] == "law"]
    serve = sum(1 for n in rack.pins if (node := world.nodes.get(n)) and node.ready and not node.unschedulable)
    count = f"{serve} of {len(rack.pins)} nodes serve"
    lines = [f"rack {session.stack_name}: {count}, {duration(world.now_s)} of rack time"]
    if verb == "preview" and session.plans:
        lines += ["the plan:", *(f"  {line}" for line in session.plans[-1].in_words())]
    lines += [f"LAW BROKEN at {e['at']:.0f} s: {e['text']}" for e in laws]
    lines += idle_faults(rack.faults.idle())
    whole = serve == len(rack.pins) or verb != "up"
    return Summary("\n".join(lines), whole and not laws and not rack.faults.idle())


def verdict(found: Rehearsed) -> str:
    """The outcome of a rehearsal, in lines."""
    roll = found.roll
    replaced = sum(names(row.image_after, roll.image_to) for row in roll.nodes)
    broken = [f"LAW BROKEN: {law.text}: {text}" for law in roll.laws for text in law.broken]
    halted = [f"halted at {duration(f.at_s)}: {f.text}" for f in roll.failures]
    head = f"{replaced} of {len(roll.nodes)} nodes on {roll.image_to} after {duration(roll.roll_s)} of rack time"
    other = [found.error] if found.error and not halted else []
    return "\n".join([head, *roll.stand_ins, *broken, *halted, *other, *idle_faults(found.idle_faults)])


def idle_faults(specs: tuple[str, ...]) -> list[str]:
    """A fault that made no difference proves nothing: say so."""
    return [f"fault {spec} never struck: look for a typo in its name, or a call that nobody makes" for spec in specs]


def status_json(folder: Path) -> dict[str, Any]:
    """The saved rack as data: nodes, claims, volumes. Empty before the first up."""
    loaded = Store(folder).load()
    if loaded is None:
        return {"nodes": {}, "volumes": {}, "now_s": 0}
    world, _ = loaded
    nodes = {}
    for name, host in world.hosts.items():
        node, claim = world.nodes.get(name), world.claims.get(name)
        nodes[name] = {
            "power": host.power,
            "image": node.os_image if node is not None else "",
            "ready": bool(node is not None and node.ready),
            "cordoned": bool(node is not None and node.unschedulable),
            "claim": claim.state.value if claim is not None else "",
            "generation": claim.generation if claim is not None else "",
            "boots": host.boots,
        }
    volumes = {
        v.name: {
            "attached_to": v.attached_to,
            "replicas": {n: "in sync" if ok else "behind" for n, ok in v.replicas.items()},
        }
        for v in world.volumes.values()
    }
    return {"nodes": nodes, "volumes": volumes, "now_s": world.now_s, "seed": world.seed}


def status_table(folder: Path) -> str:
    """The same for people."""
    found = status_json(folder)
    table = Table("node", "power", "ready", "claim", "image", "boots")
    for name, n in found["nodes"].items():
        ready = "cordoned" if n["cordoned"] else "yes" if n["ready"] else "no"
        table.add_row(name, n["power"], ready, n["claim"], n["image"], str(n["boots"]))
    console = Console(width=110)
    with console.capture() as captured:
        console.print(table)
    return f"{captured.get()}{len(found['volumes'])} volumes, {duration(found['now_s'])} of rack time"
