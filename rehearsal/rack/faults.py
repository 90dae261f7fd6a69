"""Faults that can be asked of the rack, each a cause that lasts until the run ends.

A spec is `KIND:SUBJECT`, or for a call `fails:PORT.METHOD:NODE[:TIMES]`, for one of AWS's
`throttled:OPERATION[:TIMES]`, and for a kill `kill:engine|program|both:STEP` or, once that call was made and before
its answer, `kill:engine|program|both:PORT.METHOD:NODE`. The next run without the spec is the world with the cause gone.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

KINDS = {
    "bmc-timeout": "the host's management controller does not answer",
    "never-boots": "the host never gets past its installer",
    "never-joins": "the node boots but never registers",
    "wrong-image": "the node registers with another image than the pinned one",
    "never-ready": "the app's pods do not become Ready again once they had to move",
    "pdb-never-allows": "the app's PodDisruptionBudget allows no eviction, ever",
    "no-capacity": "EC2 has no instance of that type, or none in that zone",
    "terminates": "the host's instance ends by itself before its system runs",
    "throttled": "EC2 answers that operation with a limit, the given number of times (always, if none is given)",
    "volume-attached": "EC2 keeps the volumes of the host's instance attached once it is terminated",
    "volume-stuck": "volumes do not detach from the node",
    "storage-degraded": "replicas on the node never get back in sync",
    "other-roll": "a run of that name, elsewhere, has the roll and renews it",
    "fails": "a port's method fails for a node, the given number of times (all, if none is given)",
    "kill": "SIGKILL of the engine, the program or both when a step begins, or once a port's method did its work",
}
"""Each kind, in words."""

VICTIMS = ("engine", "program", "both")


class BadFault(ValueError):
    """The spec is not one; the text lists the kinds."""


@dataclass
class Fault:
    """One cause. times: how often a `fails` or a `throttled` still strikes, None for always; for a kill, the
    step. method: the call that fails, or after which is killed. struck:
    whether it made a difference yet."""

    kind: str
    subject: str
    method: str = ""
    times: int | None = None
    spec: str = ""
    struck: bool = False


def parse(spec: str) -> Fault:
    """Read a spec. Raises BadFault."""
    kind, _, rest = spec.partition(":")
    parts = rest.split(":") if rest else []
    if kind == "kill" and len(parts) == 2 and parts[0] in VICTIMS and parts[1].isdigit():
        return Fault("kill", parts[0], times=int(parts[1]), spec=spec)
    if kind == "fails" and len(parts) in (2, 3) and "." in parts[0] and (len(parts) == 2 or parts[2].isdigit()):
        return Fault("fails", parts[1], parts[0], int(parts[2]) if len(parts) == 3 else None, spec)
    if kind == "throttled" and len(parts) in (1, 2) and (len(parts) == 1 or parts[1].isdigit()):
        return Fault("throttled", parts[0], times=int(parts[1]) if len(parts) == 2 else None, spec=spec)
    if kind == "kill" and len(parts) == 3 and parts[0] in VICTIMS and "." in parts[1]:
        return Fault("kill", parts[0], f"{parts[1]}:{parts[2]}", spec=spec)
    if kind in KINDS and kind not in ("kill", "fails", "throttled") and len(parts) == 1:
        return Fault(kind, parts[0], spec=spec)
    kinds = "\n".join(f"  {name}: {text}" for name, text in KINDS.items())
    raise BadFault(
        f"fault {spec!r}: expected KIND:SUBJECT, fails:PORT.METHOD:NODE[:TIMES], throttled:OPERATION[:TIMES], "
        f"kill:{'|'.join(VICTIMS)}:STEP or kill:{'|'.join(VICTIMS)}:PORT.METHOD:NODE, found something else. "
        f"The kinds:\n{kinds}"
    )


@dataclass
class Faults:
    """The causes in force during one run."""

    faults: list[Fault] = field(default_factory=list)
    engine_pid: Callable[[], int | None] = lambda: None
    steps: int = 0

    @classmethod
    def of(cls, specs: Iterable[str]) -> Faults:
        return cls([parse(s) for s in specs])

    def active(self, kind: str, subject: str) -> bool:
        found = [f for f in self.faults if f.kind == kind and f.subject == subject]
        for f in found:
            f.struck = True
        return bool(found)

    def named(self, kind: str) -> str:
        """The subject of the first fault of that kind, "" if there is none; it strikes."""
        for f in self.faults:
            if f.kind == kind:
                f.struck = True
                return f.subject
        return ""

    def idle(self) -> tuple[str, ...]:
        """The specs that made no difference: a name that is not on the rack, a call that nobody made."""
        return tuple(f.spec for f in self.faults if not f.struck)

    def call_fails(self, method: str, subject: str) -> bool:
        """Whether this call is to fail; counts it."""
        for f in self.faults:
            if f.kind == "fails" and f.method == method and f.subject == subject and f.times != 0:
                f.struck = True
                if f.times is not None:
                    f.times -= 1
                return True
        return False

    def call_throttled(self, operation: str) -> bool:
        """Whether AWS answers this call with a limit; counts it."""
        for f in self.faults:
            if f.kind == "throttled" and f.subject == operation and f.times != 0:
                f.struck = True
                if f.times is not None:
                    f.times -= 1
                return True
        return False

    def call_done(self, method: str, subject: str) -> None:
        """Kill whom a fault names once this call was made."""
        for f in self.faults:
            if f.kind == "kill" and f.method == f"{method}:{subject}" and not f.struck:
                f.struck = True
                self._kill(f.subject)

    def step_begins(self) -> None:
        """Count a step of the engine, and kill whom a fault names at that count."""
        self.steps += 1
        for f in self.faults:
            if f.kind == "kill" and f.times == self.steps:
                f.struck = True
                self._kill(f.subject)

    def _kill(self, victim: str) -> None:
        engine = self.engine_pid()
        if victim in ("engine", "both") and engine is not None:
            os.kill(engine, signal.SIGKILL)
        if victim in ("program", "both"):
            os.kill(os.getpid(), signal.SIGKILL)
