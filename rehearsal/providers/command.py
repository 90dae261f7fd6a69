"""The command package: stored commands run here, through the same lifecycle functions, on the rack.

Facts of the real package (1.2.1) that are kept: nothing runs in a preview; a changed `triggers`
replaces; any other change runs `update`, or `create` where there is none; `delete` runs as stored.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import grpc

from lifecycle.commands import NotAStoredCommand, Step, Verb, parse
from lifecycle.errors import LifecycleError
from lifecycle.ports import Limits, Ports, Rollout
from lifecycle.run import execute
from lifecycle.stops import StoppedAsAsked
from rehearsal.providers.base import Properties, Provider, Refused
from rehearsal.rack.clock import Stalled, StepCancelled
from rehearsal.rack.course import FLEET
from rehearsal.rack.ports import ports
from rehearsal.rack.rack import Rack

NOTHING = "true"
"""The shell's command that does nothing: what an update of a stored command runs."""


class Command(Provider):
    """Commands on one rack.

    limits: the deadlines in force; rollout: when a roll stops by itself. save: makes the world durable, lock
    held. on_roster: called with what the roster answered whenever the program asks, which is when a phase's
    plan is made.
    """

    version = "1.2.1"

    def __init__(
        self,
        rack: Rack,
        limits: Limits,
        rollout: Rollout,
        save: Callable[[], None],
        on_roster: Callable[[dict[str, str]], None],
    ) -> None:
        self._rack, self._limits, self._rollout = rack, limits, rollout
        self._save, self._on_roster = save, on_roster

    def touch(self) -> None:
        self._rack.clock.touch()

    def begin_phase(self) -> None:
        self._rack.clock.begin_phase(None)
        with self._rack.clock.lock:
            self._rack.begin_run()

    def replaces(self, kind: str, old: Properties, new: Properties) -> list[str]:
        return ["triggers"] if old.get("triggers") != new.get("triggers") else []

    def unchanged(self, kind: str, name: str, new: Properties) -> None:
        if name not in self._rack.world.deleted:  # else its step comes: a replacement that an earlier run began
            self._mark(parse(new["create"]))

    def create(self, kind: str, name: str, new: Properties, context: grpc.ServicerContext) -> tuple[str, Properties]:
        step = parse(new["create"])
        text = self._run(step, context, lambda: self._rack.world.deleted.discard(name))
        with self._rack.clock.lock:
            self._rack.world.next_seq += 1
            made = f"{name}-{self._rack.world.next_seq}"
        self._mark(step)
        return made, {**new, "stdout": text, "stderr": ""}

    def update(self, kind: str, name: str, old: Properties, new: Properties) -> Properties:
        if new.get("update") != NOTHING:
            raise NotAStoredCommand(f"{name}: expected `update` to be {NOTHING!r}, found {new.get('update')!r}")
        self._mark(parse(new["create"]))
        return {**new, "stdout": old.get("stdout", ""), "stderr": ""}

    def delete(self, kind: str, name: str, old: Properties, context: grpc.ServicerContext) -> None:
        def gone() -> None:
            self._rack.world.deleted.add(name)

        if old.get("delete"):
            self._run(parse(old["delete"]), context, gone)
        else:
            with self._rack.clock.lock:
                gone()

    def invoke(self, token: str, arguments: Properties) -> Properties:
        step = parse(arguments["command"])
        if step.verb is not Verb.ROSTER:
            raise NotAStoredCommand(f"{arguments['command']}: only the roster is asked for by a program")
        text = execute(step, self._ports("roster"))
        self._on_roster(json.loads(text)["nodes"])
        return {**arguments, "stdout": text, "stderr": ""}

    # ---------------------------------------------------------------- a step

    def _ports(self, lane: str) -> Ports:
        return ports(self._rack, lane, self._limits, self._save, self._rollout)

    def _mark(self, step: Step) -> None:
        course = self._rack.clock.course
        if course is None:
            return
        with self._rack.clock.lock:
            if step.verb is Verb.PROVISION:
                course.machine_done(step.node)
            elif step.verb is Verb.JOIN:
                course.node_done(step.node)
            elif step.verb is Verb.VACATE:
                course.node_left(step.node)
            elif step.verb is Verb.GATE:
                course.node_done(FLEET)
        self._rack.clock.progressed()

    def _run(self, step: Step, context: grpc.ServicerContext, done: Callable[[], None]) -> str:
        """What the step says. done: what holds from then on, kept with it, also where the engine is killed next."""
        clock, lane = self._rack.clock, step.node or (FLEET if step.verb is Verb.GATE else step.verb.value)
        running, stopped = [True], False
        context.add_callback(lambda: clock.cancel(lane) if running else None)
        try:
            clock.step_begins(lane)
            with clock.lock:
                self._rack.faults.step_begins()
                self._rack.journal.add(self._rack.now_s, "step", verb=step.verb.value, node=step.node)
            text = execute(step, self._ports(lane))
            with clock.lock:
                done()
            return text
        except StoppedAsAsked as error:
            failure, stopped = str(error), True
        except (LifecycleError, Stalled) as error:
            failure = str(error)
        except StepCancelled:
            failure = f"{lane}: the engine went away; nothing further was done. Remedy: run `up` again"
        except Exception as error:  # noqa: BLE001 - a step's mistake is that step's failure, and the user's to read
            failure = f"{lane}: unexpected {type(error).__name__}: {error}. Remedy: please report this line"
        finally:
            running.clear()
            try:
                with clock.lock:
                    self._save()
            finally:
                clock.step_ends(lane)
        self._failed(step, failure, stopped=stopped)
        raise Refused(failure)

    def _failed(self, step: Step, text: str, *, stopped: bool) -> None:
        """stopped: nothing is wrong, the roll ends here as it was asked to."""
        clock = self._rack.clock
        with clock.lock:
            clock.loosen()
            facts = {"node": step.node, "verb": step.verb.value, "text": text, **({"stopped": True} if stopped else {})}
            self._rack.journal.add(self._rack.now_s, "failure", **facts)
            self._save()
