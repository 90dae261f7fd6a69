"""What steps left behind, read into the report's record: the JSON lines of lifecycle/adapters/evidence.py.

The same lines come from a real roll and from a rehearsed one, so that both can be drawn and set side by side.
A line that cannot be read is counted and named, and never fatal: a killed process may leave half of one, and
a newer version may write events that this one does not know.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from lifecycle.errors import LifecycleError
from report.record import AttachTime, Failure, NodeRow, Roll, Source, Span, Wait
from report.summary import Fate, by_node, fate
from report.words import listed

SILENCE_S = 7200.0
"""Nothing for longer than this lies between two rolls. A wait is something, however long a stack file lets it be."""

VIRTUAL_BEFORE_S = 365 * 86400.0
"""A rack's clock begins at zero, so its moments lie in 1970."""

HALTED = "halted: "
"""How the outcome of a step that halted begins (lifecycle.ports.Evidence)."""

LINE_CHARS_MAX = 100_000
"""No step writes a longer one."""

LEFT_OUT = (
    "etcd's margin, storage redundancy, I/O latency and how many nodes were out: steps do not measure them",
    "the image that each node ran before, its boots and data disks, and the plan: no step says them",
    "laws: only the rack sees every instant; what a real roll proves is the gates that each node passed",
)


class Line(BaseModel, extra="ignore", frozen=True):
    """What every event has. node: "" or `fleet` for what concerns no single one."""

    at: AwareDatetime
    node: str

    @property
    def at_s(self) -> float:
        return self.at.timestamp()


class Begin(Line, frozen=True):
    """A phase begins; it ends where the node's next begins, or its way ends."""

    event: Literal["begin"]
    phase: str
    detail: str = ""


class End(Line, frozen=True):
    """A node's way out or in is over."""

    event: Literal["end"]
    outcome: str


class Waited(Line, frozen=True):
    """A wait is over."""

    event: Literal["waited"]
    what: str
    start: AwareDatetime
    end: AwareDatetime
    limit_s: float = Field(allow_inf_nan=False)
    met: bool


class Note(Line, frozen=True):
    """Something that a reader should know."""

    event: Literal["note"]
    text: str


class Volume(Line, frozen=True):
    """How far a volume has come on its way from `node`; said again when more is known, the last counts."""

    event: Literal["volume"]
    volume: str
    pod: str = ""
    to: str = ""
    evicted: AwareDatetime | None = None
    detached: AwareDatetime | None = None
    attached: AwareDatetime | None = None
    ready: AwareDatetime | None = None


Event = Begin | End | Waited | Note | Volume
KINDS: Mapping[str, type[Event]] = {"begin": Begin, "end": End, "waited": Waited, "note": Note, "volume": Volume}


@dataclass(frozen=True)
class Unread:
    """A line that could not be read. number: from 1."""

    number: int
    why: str

    def __str__(self) -> str:
        return f"line {self.number}: {self.why}"


@dataclass(frozen=True)
class Evidence:
    """A whole file. events: in order of time; of one moment, in the order of the file."""

    events: tuple[Event, ...]
    unread: tuple[Unread, ...]


class NoEvidence(LifecycleError):
    """There is nothing to draw."""

    def __init__(self, where: str, found: str) -> None:
        super().__init__(
            f"{where}: expected the events of a roll, found {found}. Remedy: runbooks/timeline.md#nothing: name the "
            "file with --file, or an earlier moment with --since"
        )
        self.where = where


def read(lines: Iterable[str]) -> Evidence:
    """Read all lines; empty ones are no matter. Raises nothing."""
    events: list[Event] = []
    unread: list[Unread] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        found = _event(line)
        if isinstance(found, str):
            unread.append(Unread(number, found))
        else:
            events.append(found)
    return Evidence(tuple(sorted(events, key=lambda e: e.at)), tuple(unread))


def _event(line: str) -> Event | str:
    """The event, or why there is none."""
    if len(line) > LINE_CHARS_MAX:
        return f"longer than {LINE_CHARS_MAX:,} characters"
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return "not JSON"
    if not isinstance(found, dict):
        return "not a JSON object"
    kind = found.get("event")
    if not isinstance(kind, str) or kind not in KINDS:
        return f"an event {kind!r:.40} that this version does not know"
    try:
        return KINDS[kind].model_validate(found)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        return f"{kind} with {'.'.join(map(str, first['loc']))}: {first['msg']}"


def last_roll(events: Sequence[Event]) -> tuple[Event, ...]:
    """The events since the last silence of SILENCE_S: the roll that ran last, or still runs."""
    first, since_s = len(events), float("inf")
    while first > 0 and (first == len(events) or since_s - events[first - 1].at_s <= SILENCE_S):
        first -= 1
        since_s = min(since_s, _from_s(events[first]))
    return tuple(events[first:])


def _from_s(e: Event) -> float:
    """Since when the event's step was at work: a wait is recorded when it is over."""
    return min(e.at_s, e.start.timestamp()) if isinstance(e, Waited) else e.at_s


# ---------------------------------------------------------------- the parts of the record


def spans(events: Iterable[Event], zero_s: float) -> tuple[Span, ...]:
    """Every phase of every node, seconds from `zero_s`."""
    said: dict[str, list[Begin | End]] = {}
    for e in events:
        if isinstance(e, Begin | End):
            said.setdefault(e.node, []).append(e)
    found = []
    for node, own in said.items():
        for i, e in enumerate(own):
            if isinstance(e, Begin):
                end_s = _since(own[i + 1].at_s, zero_s) if i + 1 < len(own) else None
                found.append(
                    Span(node=node, phase=e.phase, start_s=_since(e.at_s, zero_s), end_s=end_s, detail=e.detail)
                )
    return tuple(found)


def waits(events: Iterable[Event], zero_s: float) -> tuple[Wait, ...]:
    """Every wait, in the order in which they ended."""
    return tuple(
        Wait(
            node=e.node,
            what=e.what,
            start_s=_since(e.start.timestamp(), zero_s),
            end_s=_since(e.end.timestamp(), zero_s),
            limit_s=e.limit_s,
            met=e.met,
        )
        for e in events
        if isinstance(e, Waited)
    )


def attaches(events: Iterable[Event], zero_s: float) -> tuple[AttachTime, ...]:
    """Every volume that moved with its pod, as far as it came."""
    last = {(e.volume, e.node, e.evicted): e for e in events if isinstance(e, Volume) and e.evicted is not None}

    def at(moment: AwareDatetime | None) -> float | None:
        return None if moment is None else _since(moment.timestamp(), zero_s)

    return tuple(
        AttachTime(
            volume=e.volume,
            pod=e.pod,
            from_node=e.node,
            to_node=e.to,
            evicted_s=at(e.evicted) or 0.0,
            detached_s=at(e.detached),
            attached_s=at(e.attached),
            ready_s=at(e.ready),
        )
        for e in last.values()
    )


def failures(events: Iterable[Event], zero_s: float) -> tuple[Failure, ...]:
    """Every step that halted, with the first line of what it said."""
    return tuple(
        Failure(at_s=_since(e.at_s, zero_s), node=e.node, text=e.outcome.removeprefix(HALTED))
        for e in events
        if isinstance(e, End) and e.outcome.startswith(HALTED)
    )


def in_words(e: Event, zero_s: float) -> str:
    """The event as people read it; "" for what is drawn, not told."""
    match e:
        case Begin():
            said = f"{e.node} {e.phase}{': ' + e.detail if e.detail else ''}"
        case End():
            said = f"{e.node} {e.outcome}"
        case Note():
            said = f"{e.node} {e.text}"
        case Volume() if e.ready is not None:
            said = f"{e.volume} moved {e.node} -> {e.to} with {e.pod}"
        case _:
            return ""
    return f"[{_since(e.at_s, zero_s):6.0f} s] {said}"


def _since(at_s: float, zero_s: float) -> float:
    """To a tenth of a millisecond: a difference of two large numbers has no more to say."""
    return round(at_s - zero_s, 4)


# ---------------------------------------------------------------- the record


@dataclass(frozen=True)
class Known:
    """What the stack file says of a node, for the heading that its row stands under."""

    pool: str
    role: str
    fault_domain: str


def roll(
    stack: str, events: Sequence[Event], unread: Sequence[Unread], known: Mapping[str, Known], written: str
) -> Roll:
    """The record of these events. known: of each declared node. Raises NoEvidence if there are none."""
    if not events:
        raise NoEvidence(f"evidence of stack {stack}", "none")
    zero_s = events[0].at_s
    ways, halts = spans(events, zero_s), failures(events, zero_s)
    of = by_node(ways)
    ended = [fate(own, halts) for own in of.values()]
    return Roll(
        stack=stack,
        source=Source.REHEARSED if zero_s < VIRTUAL_BEFORE_S else Source.REAL,
        began=events[0].at.strftime("%Y-%m-%d %H:%M:%S UTC") if zero_s >= VIRTUAL_BEFORE_S else "",
        image_to=_image(ways),
        written=written,
        succeeded=bool(of) and all(f is Fate.REPLACED for f in ended),
        roll_s=_since(max(e.at_s for e in events), zero_s),
        nodes=tuple(_row(node, own, known.get(node)) for node, own in _in_order(of, known)),
        spans=ways,
        attaches=attaches(events, zero_s),
        waits=waits(events, zero_s),
        failures=halts,
        journal=tuple(filter(None, (in_words(e, zero_s) for e in events))),
        left_out=(*LEFT_OUT, *_silent(known, of)),
        unread=tuple(str(u) for u in unread),
    )


def _silent(known: Collection[str], of: Collection[str]) -> Iterable[str]:
    """Declared nodes that said nothing: not reached, or of another time."""
    silent = [node for node in known if node not in of]
    return [f"what became of {listed(silent)}: declared, and no step said anything"] if silent else []


def _in_order(of: Mapping[str, tuple[Span, ...]], known: Mapping[str, Known]) -> Iterable[tuple[str, tuple[Span, ...]]]:
    """Nodes as the stack file has them, then all others in the order of their turns."""
    place = {node: i for i, node in enumerate(known)}
    return sorted(of.items(), key=lambda item: (place.get(item[0], len(place)), item[1][0].start_s))


def _row(node: str, own: Sequence[Span], known: Known | None) -> NodeRow:
    return NodeRow(
        node=node,
        pool=known.pool if known else "not in the stack file",
        role=known.role if known else "",
        fault_domain=known.fault_domain if known else "",
        image_after=_image(own),
    )


def _image(ways: Iterable[Span]) -> str:
    """What was installed: a machine's install names it. Where it differs between nodes, each of them."""
    return ", ".join(dict.fromkeys(s.detail for s in ways if s.phase == "install" and s.detail))
