"""Virtual time under the real engine: it jumps when everyone who could act waits.

The engine's steps run on threads. A step first waits for zero seconds (so that steps that become
ready at one instant act in the order of their names), and the clock wakes one waiter at a time: the
next is woken when that one waits again, or has ended and the course (the plan's progress) expects
nobody else. So a run is a sequence, the same for the same seed.

After a failure, on a destroy and for deletes at the end there is no course to go by: then the clock
jumps once no provider was called for QUIET_S of real time. A stall is named, never silent.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from rehearsal.rack.course import Course

QUIET_S = 0.15
"""Real seconds without provider activity after which the engine has asked for all it can. Measured:
five identical runs of eight lanes with one failing, both cores loaded."""

LOOSEN_S = 45.0
"""Real seconds of a due node not arriving after which the course is taken to be wrong. Only a machine that
stands still for so long gets here; `loosened` says that the run is not reproducible any more."""

STALL_S = 120.0
"""Real seconds without any progress after which waiting steps are failed with the lanes' states."""


class Stalled(Exception):
    """No step could go on. The text lists who waits for what and whom the course expected."""


class StepCancelled(BaseException):
    """The engine that asked for the step is gone; not an Exception, so that no step handles it."""


@dataclass
class _Waiter:
    """A parked step. Its place in the heap is (at_s, lane); an entry whose at_s is not the
    waiter's any more is void."""

    at_s: float
    lane: str
    about: str
    woken: threading.Event = field(default_factory=threading.Event)
    failure: BaseException | None = None


class VirtualClock:
    """One clock for the rack.

    next_event_s: moment of the world's next event, or None. run_event: lets that event happen.
    Both are called with the lock held.
    """

    def __init__(self, now_s: float, next_event_s: Callable[[], float | None], run_event: Callable[[], None]) -> None:
        self.lock = threading.RLock()
        self.now_s = now_s
        self.course: Course | None = None
        self.jumps = 0
        self.loosened = ""
        self._next_event_s, self._run_event = next_event_s, run_event
        self._heap: list[tuple[float, str]] = []
        self._parked: dict[str, _Waiter] = {}
        self._about: dict[str, set[str]] = defaultdict(set)
        self._active: set[str] = set()
        self._cancelled: set[str] = set()
        self._loose = False
        self._last_activity = time.monotonic()
        self._last_progress = time.monotonic()
        self._closing = False
        self._watch = threading.Thread(target=self._watch_quiet, name="rack-clock", daemon=True)
        self._watch.start()

    # ---------------------------------------------------------------- for the providers

    def begin_phase(self, course: Course | None) -> None:
        """A new preview, up or destroy begins."""
        with self.lock:
            self.course, self._loose, self.loosened = course, False, ""
            self.touch()

    def touch(self) -> None:
        """The engine asked something: it is not quiet."""
        self._last_activity = time.monotonic()

    def idle_s(self) -> float:
        """Real seconds since the engine asked anything; 0 while a step runs."""
        with self.lock:
            return 0.0 if self._active else time.monotonic() - self._last_activity

    def loosen(self) -> None:
        """A step failed: the engine will not ask for all that the course expects."""
        with self.lock:
            self._loose = True

    def step_begins(self, lane: str) -> None:
        """A step of `lane` starts; it takes its turn before it touches anything."""
        with self.lock:
            self.touch()
            self._active.add(lane)
            self._cancelled.discard(lane)
        self.park(lane, self.now_s, "")

    def step_ends(self, lane: str) -> None:
        with self.lock:
            self.touch()
            self._active.discard(lane)
            self._advance()

    def progressed(self) -> None:
        """The course moved on without a step (a resource that does not differ)."""
        with self.lock:
            self.touch()
            self._advance()

    def cancel(self, lane: str) -> None:
        """The engine gave up on the step of `lane`: it ends where it waits, now or next."""
        with self.lock:
            self._cancelled.add(lane)
            waiter = self._parked.get(lane)
            if waiter is not None:
                self._wake(waiter, StepCancelled(lane))

    def close(self) -> None:
        """Fail every waiter; the rack is shutting down."""
        with self.lock:
            self._closing = True
            for waiter in list(self._parked.values()):
                self._wake(waiter, StepCancelled(waiter.lane))

    # ---------------------------------------------------------------- for steps

    def park(self, lane: str, until_s: float, about: str) -> None:
        """Wait until `until_s`, or until something about `about` changes."""
        with self.lock:
            if self._closing or lane in self._cancelled:
                raise StepCancelled(lane)
            waiter = _Waiter(max(round(until_s, 1), self.now_s), lane, about)
            self._parked[lane] = waiter
            if about:
                self._about[about].add(lane)
            heapq.heappush(self._heap, (waiter.at_s, lane))
            self._advance()
        waiter.woken.wait()
        if waiter.failure is not None:
            raise waiter.failure

    def changed(self, about: str) -> None:
        """Something about `about` changed now: who waits for it looks again. Lock held."""
        for lane in self._about.pop(about, ()):
            waiter = self._parked.get(lane)
            if waiter is not None and waiter.about == about and waiter.at_s > self.now_s:
                waiter.at_s = self.now_s
                heapq.heappush(self._heap, (self.now_s, lane))

    def let_pass(self, seconds: float) -> None:
        """Let the world go on by itself for so long, while no step runs."""
        with self.lock:
            until_s = self.now_s + seconds
            while (event_s := self._next_event_s()) is not None and event_s <= until_s:
                self.now_s = max(self.now_s, event_s)
                self._run_event()
            self.now_s = until_s

    # ---------------------------------------------------------------- the jump

    def _may_jump(self) -> bool:
        if not self._parked or len(self._parked) < len(self._active):
            return False
        quiet = time.monotonic() - self._last_activity >= QUIET_S
        if self._loose or self.course is None or self.course.finished:
            return quiet
        if self.course.due <= self._parked.keys():
            return True
        # A step outside the plan, such as the marking of what retires, holds everybody else up.
        return quiet and any(not self.course.knows(lane) for lane in self._parked)

    def _advance(self) -> None:
        if self._may_jump():
            self._jump()

    def _jump(self) -> None:
        while self._heap:
            at_s, lane = self._heap[0]
            waiter = self._parked.get(lane)
            if waiter is None or waiter.at_s != at_s:
                heapq.heappop(self._heap)
                continue
            event_s = self._next_event_s()
            if event_s is not None and event_s <= at_s:
                self.now_s = max(self.now_s, event_s)
                self._run_event()
                continue
            heapq.heappop(self._heap)
            self.now_s = max(self.now_s, at_s)
            self.jumps += 1
            self._wake(waiter, None)
            return

    def _wake(self, waiter: _Waiter, failure: BaseException | None) -> None:
        waiter.failure = failure
        self._parked.pop(waiter.lane, None)
        if waiter.about:
            self._about[waiter.about].discard(waiter.lane)
        self._last_progress = time.monotonic()
        waiter.woken.set()

    def _watch_quiet(self) -> None:
        while not self._closing:
            time.sleep(QUIET_S / 6)
            with self.lock:
                try:
                    self._look()
                except Exception as error:  # noqa: BLE001 - a broken model must end the run, not this thread
                    self._fail_all(f"the rack's model failed: {type(error).__name__}: {error}")

    def _look(self) -> None:
        idle_s = time.monotonic() - max(self._last_activity, self._last_progress)
        if self._parked and len(self._parked) >= len(self._active):
            if idle_s > LOOSEN_S and not self._loose and self.course is not None:
                late = sorted(self.course.due - self._parked.keys())
                self._loose, self.loosened = True, f"{', '.join(late)} did not come within {LOOSEN_S:.0f} s"
            self._advance()
        if self._parked and idle_s > STALL_S:
            self._fail_all(f"expected progress within {STALL_S:.0f} s of real time, found none")

    def _fail_all(self, why: str) -> None:
        due = sorted(self.course.due) if self.course is not None else []
        waiting = ", ".join(f"{w.lane} for {w.about or 'time'} until {w.at_s:.0f} s" for w in self._parked.values())
        text = (
            f"rack clock at {self.now_s:.0f} s: {why}; waiting: {waiting}; due: {due}. "
            "Remedy: run `ingot rack up` again; if it happens again, report this line"
        )
        for waiter in list(self._parked.values()):
            self._wake(waiter, Stalled(text))
