"""Virtual time: the same order for the same plan, no waiting for whom nobody expects, no silent stall."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from components.rollout.planner import PoolOrder, plan
from rehearsal.rack.clock import StepCancelled, VirtualClock
from rehearsal.rack.course import Course

JOIN_S = 20


class Lanes:
    """Steps on threads of their own, as the engine's are."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.log: list[tuple[float, str]] = []
        self.failures: list[BaseException] = []
        self._threads: list[threading.Thread] = []

    def start(self, lane: str, step: Callable[[], None]) -> None:
        def run() -> None:
            try:
                self.clock.step_begins(lane)
                step()
            except BaseException as failure:  # noqa: BLE001 - a thread's failure is what the test looks at
                self.failures.append(failure)
            finally:
                self.clock.step_ends(lane)

        thread = threading.Thread(target=run, daemon=True)
        self._threads.append(thread)
        thread.start()

    def said(self, lane: str) -> None:
        self.log.append((self.clock.now_s, lane))

    def waits(self, lane: str, until_s: float, about: str = "", course: Course | None = None) -> None:
        """A step that waits once, says so, and is done for its course."""

        def step() -> None:
            self.clock.park(lane, until_s, about)
            self.said(lane)
            if course is not None:
                with self.clock.lock:
                    course.node_done(lane)

        self.start(lane, step)

    def join(self) -> None:
        for thread in self._threads:
            thread.join(JOIN_S)
            assert not thread.is_alive(), "a step never came back"


@pytest.fixture
def clock() -> Iterator[VirtualClock]:
    made = VirtualClock(0, lambda: None, lambda: None)
    yield made
    made.close()


@pytest.fixture
def lanes(clock: VirtualClock) -> Lanes:
    return Lanes(clock)


def course(*hosts: str) -> Course:
    return Course(plan([PoolOrder("workers", False, hosts)], {}))


class TestOrder:
    """Equal moments go by name, whatever order the threads came in."""

    @pytest.mark.parametrize("arrival", [("w1", "w2", "w3"), ("w3", "w1", "w2"), ("w2", "w3", "w1")])
    def test_equal_times_go_by_name(self, clock: VirtualClock, lanes: Lanes, arrival: tuple[str, ...]) -> None:
        made = course("w1", "w2", "w3")
        clock.begin_phase(made)

        def step(lane: str) -> None:
            for _ in range(3):
                lanes.said(lane)
                clock.park(lane, clock.now_s + 10, "")
            with clock.lock:
                made.node_done(lane)

        for name in arrival:
            lanes.start(name, partial(step, name))
        lanes.join()
        assert lanes.log == [(t, n) for t in (0, 10, 20) for n in ("w1", "w2", "w3")]

    def test_time_stands_until_a_due_lane_has_come(self, clock: VirtualClock, lanes: Lanes) -> None:
        made = course("w1", "w2")
        clock.begin_phase(made)
        lanes.waits("w1", 100, course=made)
        assert clock.now_s == 0
        lanes.waits("w2", 5, course=made)
        lanes.join()
        assert lanes.log == [(5, "w2"), (100, "w1")]


class TestChange:
    """Who waits about something looks again at the moment it changes."""

    def test_a_change_wakes_before_the_deadline(self, clock: VirtualClock, lanes: Lanes) -> None:
        made = course("w1", "w2")
        clock.begin_phase(made)

        def changes() -> None:
            clock.park("w2", 7, "")
            with clock.lock:
                clock.changed("storage")
                made.node_done("w2")

        lanes.waits("w1", 900, "storage", made)
        lanes.start("w2", changes)
        lanes.join()
        assert lanes.log == [(7, "w1")]


class TestWithoutCourse:
    """A destroy has no plan to go by: the clock jumps once the engine is quiet."""

    def test_jumps_when_quiet(self, clock: VirtualClock, lanes: Lanes) -> None:
        clock.begin_phase(None)
        lanes.waits("w1", 60)
        lanes.join()
        assert lanes.log == [(60, "w1")]


class TestCancel:
    """A step whose engine went away ends; the others go on."""

    def test_a_cancelled_step_ends_where_it_waits(self, clock: VirtualClock, lanes: Lanes) -> None:
        begun = threading.Event()
        go_on = threading.Event()

        def step() -> None:
            begun.set()
            go_on.wait(JOIN_S)
            clock.park("w1", 900, "")

        clock.begin_phase(course("w1"))
        lanes.start("w1", step)
        assert begun.wait(JOIN_S)
        clock.begin_phase(course("w1", "never comes"))
        clock.cancel("w1")
        go_on.set()
        lanes.join()
        assert [type(f) for f in lanes.failures] == [StepCancelled]
        assert clock.now_s == 0

    def test_close_ends_every_waiter(self, clock: VirtualClock, lanes: Lanes) -> None:
        clock.begin_phase(course("w1", "never comes"))
        lanes.start("w1", lambda: clock.park("w1", 900, ""))
        clock.close()
        lanes.join()
        assert [type(f) for f in lanes.failures] == [StepCancelled]
