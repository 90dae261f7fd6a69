"""Which run of the engine may roll the fleet, and whether a step may still act for it.

One Lease in the cluster names the run. The first step of a run that changes something takes it, every step
keeps it while it is at work, and looks at it again before what cannot be taken back. A run that ended is
followed at once where that can be known, else when its Lease has run out. Before there is a cluster there is
no Lease: claims alone decide then (docs/decisions/0072.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime

from lifecycle.commands import Step, Verb
from lifecycle.errors import LifecycleError, PortError
from lifecycle.ports import Ports, Roll, Rolls
from lifecycle.preflight import account, preflight
from lifecycle.stops import EngineGone, NotPermitted, RollLost, RollTaken
from lifecycle.waiting import Blocked, wait_until

LEASE_S = 60.0
"""How long a run that shows no sign keeps the roll: longer than an API server takes to restart, and short enough
to be waited for."""

RENEW_S = 15.0
"""Between two renewals of a run: three may be lost before the Lease runs out."""

SKEW_S = 240.0
"""Clocks of two API servers may differ by so much. What runners' clocks say decides nothing: one may be set."""

GIVEN_BACK_S = 0.0
"""When a Lease was renewed last that its run gave back: a mark that no run's clock ever shows."""

TRIES = 30
"""Of a compare-and-swap: all the lanes of a run that begins take the roll at one time."""


def moment(at_s: float) -> str:
    """A moment for a person, in UTC."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


class _Silent(Exception):
    """The Lease could not be read or written: no verdict, and nothing to wait for here."""


class Held:
    """The fence of one step: what it knows of the roll. Fulfils `lifecycle.ports.Fence`.

    Two threads may use it: the step's, and the one that renews.
    """

    def __init__(self, step: Step, ports: Ports) -> None:
        self._ports, self._verb, self._run = ports, step.verb, ports.rolls.run()
        self._stack = step.stack
        self._generation: int | None = None
        self._lost = ""
        self._permitted = False

    # ---------------------------------------------------------------- fence

    def alive(self, node: str) -> None:
        """Raises EngineGone, and RollLost if a renewal found that out."""
        if not self._ports.rolls.engine_lives():
            raise EngineGone(node, f"{self._run} ended; nothing further was done")
        if self._lost:
            raise RollLost(node, self._lost)

    def check(self, node: str) -> None:
        """Raises EngineGone, RollLost, RollTaken, NotPermitted; PortError where only the cluster can tell and is
        silent.

        A machine is given back and installed also while the API is away (that may be what brings it back): its
        claim decides then, and whoever would take the roll meets the same silence.
        """
        self.alive(node)
        try:
            self._confirm(node)
        except PortError:
            if self._verb is Verb.LEAVE:
                raise

    def begin(self, node: str) -> None:
        """Take the roll if there is a cluster that answers; else `check` does, once there is. Raises RollTaken,
        NotPermitted."""
        if self._there():
            try:
                self._take(node)
            except PortError:
                return  # as `check` has it; a leave asks again before it takes its slot
            except NotPermitted as refused:
                refused.untouched = refused.limit_s == 0  # else roles were made, and waited for
                raise

    def renew(self) -> None:
        """Show that the run lives, if no other step of it did lately; not once its engine is gone. Raises nothing."""
        with suppress(LifecycleError):
            if self._generation is not None and self._ports.rolls.engine_lives():
                self._look(self._ports.clock.now_s())

    # ---------------------------------------------------------------- what it rests on

    def _there(self) -> bool:
        return self._ports.records.initialised_by() is not None and self._ports.kubernetes.answers()

    def _confirm(self, node: str) -> None:
        if self._generation is not None:
            self._look(self._ports.clock.now_s())
            self.alive(node)
        elif self._ports.records.initialised_by() is not None:
            self._take(node)

    def _look(self, now_s: float) -> None:
        """One read; one write if the run has shown no sign for RENEW_S. Notes a roll that is lost."""
        roll, version = self._ports.rolls.read()
        if roll is None:
            self._lost = "no Lease, which somebody deleted; nothing further was done"
        elif (roll.run.id, roll.generation) != (self._run.id, self._generation):
            self._lost = f"{told(roll)}; nothing further was done"
        else:
            self._shown(roll, version, now_s)

    def _shown(self, roll: Roll, version: str, now_s: float) -> None:
        """The run lives. A write that lost found that another of its steps had said so, or the next look tells."""
        age_s = now_s - roll.renewed_s if roll.age_s is None else roll.age_s
        if not 0 <= age_s < RENEW_S:  # before its time, too: the clock that wrote it was ahead, or was set back since
            self._ports.rolls.write(replace(roll, renewed_s=now_s), version)

    def _take(self, node: str) -> None:
        """Have the roll. Raises RollTaken, naming who has it, NotPermitted, and PortError."""
        seen: list[tuple[Roll, float]] = []

        def taken() -> int | Blocked:
            try:
                return self._try(node, seen)
            except PortError as silent:
                raise _Silent from silent

        try:
            self._generation = wait_until(
                taken,
                what="the roll",
                node=node,
                about="roster",
                ports=self._ports,
                limit_s=LEASE_S + RENEW_S,
                error=RollTaken,
            )
        except _Silent as silent:
            if isinstance(silent.__cause__, PortError):
                raise silent.__cause__ from None
            raise

    def _try(self, node: str, seen: list[tuple[Roll, float]]) -> int | Blocked:
        """The generation, once this run has the roll. seen: the first look at another run's, and when it was."""
        rolls, now_s = self._ports.rolls, self._ports.clock.now_s()
        for _ in range(TRIES):
            roll, version = self._read(node)
            if roll is not None and roll.run.id == self._run.id:
                self._shown(roll, version, now_s)
                return roll.generation
            self._preflight(node)  # whoever has the roll has passed it
            left_s = 0.0 if roll is None else self._left_s(node, roll, now_s, seen)
            if roll is not None and left_s > 0:
                return Blocked(told(roll), (roll.run.id,), look_s=min(RENEW_S, left_s))
            new = Roll(self._run, 0 if roll is None else roll.generation + 1, now_s, now_s)
            if rolls.write(new, version):
                if seen and roll is not None:
                    self._ports.evidence.note(node, f"takes the roll over from {roll.run}, silent for {LEASE_S:g} s")
                return new.generation
        return Blocked(f"another writer of the Lease at each of {TRIES} tries", look_s=1)

    def _read(self, node: str) -> tuple[Roll | None, str]:
        """The Lease. One that cannot be read may be one that may not be: then that is said, with all the rest."""
        try:
            return self._ports.rolls.read()
        except PortError:
            self._preflight(node)
            return self._ports.rolls.read()

    def _preflight(self, node: str) -> None:
        if not self._permitted:
            account(self._ports, node, self._stack)
            preflight(self._ports, node)
            self._permitted = True

    def _left_s(self, node: str, roll: Roll, now_s: float, seen: list[tuple[Roll, float]]) -> float:
        """How long the other run's Lease still lasts: watched from here, on this clock, unless it ended long ago
        on the server's. Raises RollTaken at once if that run is known to live."""
        if roll.renewed_s == GIVEN_BACK_S:
            return 0.0
        lives = self._ports.rolls.lives(roll.run)
        ended = roll.age_s is not None and roll.age_s > LEASE_S + SKEW_S
        if lives is False or (ended and not lives):
            return 0.0
        first, since_s = seen[0] if seen else (roll, now_s)
        if lives or first != roll:  # renewed while we looked
            raise RollTaken(node, told(roll), (roll.run.id,), now_s - since_s)
        seen[:] = [(first, since_s)]
        return since_s + LEASE_S - now_s


def give_back(rolls: Rolls, pid: int, place: str) -> bool:
    """Whether the Lease was of the run whose engine was that process, and is given back now: that engine ended by
    itself, so no step of it is left, and a run on another machine need not wait until the Lease runs out.

    A run that was named by hand has no process, may go on below another engine, and keeps it. Raises PortError.
    """
    roll, version = rolls.read()
    if roll is None or (roll.run.pid, roll.run.place) != (pid, place):
        return False
    return rolls.write(replace(roll, renewed_s=GIVEN_BACK_S), version)


def going_on(rolls: Rolls) -> bool:
    """Whether a run rolls the fleet now, as far as one look tells: not once it gave its Lease back, or is known to
    have ended. Raises PortError."""
    roll, _ = rolls.read()
    if roll is None or roll.renewed_s == GIVEN_BACK_S:
        return False
    lives = rolls.lives(roll.run)
    return lives if lives is not None else roll.age_s is None or roll.age_s <= LEASE_S + SKEW_S


def told(roll: Roll) -> str:
    """Who has the roll, in words."""
    ends = moment(roll.renewed_s + LEASE_S)
    return f"{roll.run} that rolls it since {moment(roll.since_s)}; its Lease ends at {ends} unless it is renewed"


@contextmanager
def fenced(step: Step, ports: Ports) -> Iterator[Ports]:
    """The ports of a step that may act for its run, and keeps the roll for it. Raises RollTaken, NotPermitted,
    EngineGone."""
    held = Held(step, ports)
    node = step.node or step.verb.value
    held.alive(node)
    held.begin(node)
    with ports.rolls.keep(held.renew, RENEW_S):
        yield replace(ports, fence=held)
