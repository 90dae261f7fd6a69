"""What a roll was: the one record that the HTML page and the Markdown are made from.

Plain data, no I/O. Seconds count from the start of the roll, on the clock of whoever made the record: a rack's
virtual one (rehearsal/rehearse.py), or the runner's (report/evidence.py). What a maker does not know is left at
its default, and the report then says so instead of drawing a zero.
"""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel


class Span(BaseModel, extra="forbid", frozen=True):
    """One phase of one node. phase: one of lifecycle.evidence.PHASES. end_s None: never ended."""

    node: str
    phase: str
    start_s: float
    end_s: float | None
    detail: str = ""


class Sample(BaseModel, extra="forbid", frozen=True):
    at_s: float
    value: float


class Series(BaseModel, extra="forbid", frozen=True):
    """A step function over the roll: a value holds until the next sample.

    key: `etcd_margin` (members that could still fail), `replicas_missing`, `volumes_degraded`,
    `io_p99_ms`, `nodes_out`. limit: the line it must not cross, with the side it must stay on.
    """

    key: str
    title: str
    unit: str
    samples: tuple[Sample, ...]
    limit: float | None = None
    limit_is: str = "max"


class AttachTime(BaseModel, extra="forbid", frozen=True):
    """One volume that moved with its pod. All in seconds from the start; None: did not get there."""

    volume: str
    pod: str
    from_node: str
    to_node: str
    evicted_s: float
    detached_s: float | None
    attached_s: float | None
    ready_s: float | None


class Wait(BaseModel, extra="forbid", frozen=True):
    """Something a step waited for. met False: its limit ran out and the roll halted."""

    node: str
    what: str
    start_s: float
    end_s: float
    limit_s: float
    met: bool


class Source(StrEnum):
    """What the record was made from."""

    RACK = "rack"  # the rehearsal's own rack, which sees everything
    REHEARSED = "rehearsed"  # what the steps of a rehearsal said
    REAL = "real"  # what the steps of a real roll said


class NodeRow(BaseModel, extra="forbid", frozen=True):
    """A node before and after. boots, data_disks_kept: None where nobody looked."""

    node: str
    pool: str
    role: str
    fault_domain: str
    image_before: str = ""
    image_after: str = ""
    boots: int | None = None
    data_disks_kept: bool | None = None


class Pool(BaseModel, extra="forbid", frozen=True):
    """A pool as its stack file has it. hosts: in roll order. keeps: disks that stay with their hosts, or replicas.
    doubles: a host's next machine can be made while its last one runs.

    price: of an hour of one of its machines, in `currency`; None where nobody gave one.
    """

    name: str
    role: str
    hosts: tuple[str, ...]
    strategy: str = "rolling"
    max_unavailable: int = 1
    canary: bool = False
    soak_s: float = 0.0
    keeps: bool = False
    doubles: bool = True
    price: float | None = None
    currency: str = ""


class Law(BaseModel, extra="forbid", frozen=True):
    """A rule the rack checked at every instant, and each time it was broken (empty: never).

    checks: how many times it was checked; 0: not counted.
    """

    name: str
    text: str
    broken: tuple[str, ...] = ()
    checks: int = 0


class Failure(BaseModel, extra="forbid", frozen=True):
    """A step that halted, with the text the user saw."""

    at_s: float
    node: str
    text: str


class Roll(BaseModel, extra="forbid", frozen=True):
    """A whole roll. written: the only field that differs between two rehearsals of one seed. began: the moment
    that all seconds count from, "" on a rack. pools: in file order, () where the stack file is not known. stand_ins:
    what a rehearsal only stood in for. left_out: what the record cannot tell. unread: of its source.
    """

    stack: str
    source: Source = Source.RACK
    began: str = ""
    seed: int | None = None
    image_from: str = ""
    image_to: str = ""
    written: str
    succeeded: bool
    bring_up_s: float = 0.0
    roll_s: float
    faults: tuple[str, ...] = ()
    plan: tuple[str, ...] = ()
    nodes: tuple[NodeRow, ...]
    pools: tuple[Pool, ...] = ()
    spans: tuple[Span, ...]
    series: tuple[Series, ...] = ()
    attaches: tuple[AttachTime, ...] = ()
    waits: tuple[Wait, ...]
    laws: tuple[Law, ...] = ()
    failures: tuple[Failure, ...]
    journal: tuple[str, ...]
    stand_ins: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
