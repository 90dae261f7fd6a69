"""A host's installation, from the power on: by each of its ways to boot in turn, until the installed system runs.

Owns no opinion about what a way is: `lifecycle.ports.Machines.install` orders the first of those it is given that can
be ordered. An order that was taken and not followed is known by the installer, which does not report.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial

from lifecycle import power
from lifecycle.errors import NeverBooted, WaitedTooLong
from lifecycle.ports import BootMethod, Pin, Ports, Progress
from lifecycle.waiting import LOOK_AGAIN_S, Blocked, wait_until

ELSEWHERE_S = 300.0
"""For so long the controller has to show that the host boots something else: some clear a boot override late, when
the installer is being fetched already."""

ERASED = "its OS disk is erased"
"""What a machine boots for that installs nothing (lifecycle/erase.py)."""


class InstallerNeverRan(WaitedTooLong):
    """The host was told to boot its installer, by each of its ways in turn, and none of them ran it. The boot
    override was ignored, or led nowhere."""

    expected = "one of its ways to boot to lead to its installer"
    remedy = "runbooks/bmc.md#ignored, then run `pulumi up` again"


def installed(ports: Ports, pin: Pin) -> None:
    """Install the host, whose power is off, and return once the installed system runs, or the controller does not
    report how far it is (then the join's own gates decide).

    Each way to boot gets `start_s` until the installer runs, then the next one is ordered, with the power off
    between; `boot_s` is for the one that ran it. Raises ControllerUnreachable, NeverPoweredOff, NeverBooted,
    InstallerNeverRan with what became of each way.
    """
    host, left = pin.node, pin.boot
    came: list[str] = []
    while True:
        ports.fence.check(host)
        ports.evidence.begin(host, *(("power-off", ERASED) if pin.erases else ("install", pin.os_image)))
        install = partial(ports.machines.install, host, replace(pin, boot=left))
        took = power.order(ports, host, pin.controller, "install", install)
        try:
            _wait_booted(ports, pin, took)
            return
        except InstallerNeverRan as never:
            came.append(never.blocked)
            left = left[left.index(BootMethod(took)) + 1 :] if took else ()
            if not left:
                raise InstallerNeverRan(host, "; ".join(came), never.names, never.limit_s) from None
            ports.evidence.note(host, f"{never.blocked}; tried next: {left[0]}")
        power.off(ports, host, pin.controller)


@dataclass
class _Boot:
    """What was seen of one boot. start_s: when it was ordered. elsewhere: since when, empty while it is not."""

    ports: Ports
    pin: Pin
    took: str | None
    start_s: float
    seen: set[Progress] = field(default_factory=set)
    elsewhere: list[float] = field(default_factory=list)

    def look(self) -> bool | Blocked:
        """Raises NeverBooted, at once if the installer starts a second time, and InstallerNeverRan."""
        ports, pin = self.ports, self.pin
        far = ports.machines.progress(pin.node, pin)
        if far is Progress.INSTALLING and Progress.INSTALLED in self.seen:
            why = "the installer started again: the host does not boot its disk first"
            raise NeverBooted(pin.node, why, (pin.os_disk,), ports.clock.now_s() - self.start_s)
        if far is Progress.INSTALLED and far not in self.seen:
            ports.evidence.begin(pin.node, "boot")
        if far not in (Progress.NONE, Progress.ELSEWHERE):
            self.seen.add(far)
        if far in (Progress.RUNNING, Progress.UNKNOWN, Progress.ERASED):
            return True
        return Blocked(f"{far} on {pin.os_disk}, from {pin.boot_url}", look_s=self._patience_s(far))

    def _patience_s(self, far: Progress) -> float:
        """How long until the next look. Raises InstallerNeverRan once an installer that never reported is given up."""
        if self.took is None or self.seen:
            return LOOK_AGAIN_S
        now_s = self.ports.clock.now_s()
        if far is not Progress.ELSEWHERE:
            self.elsewhere.clear()
        elif not self.elsewhere:
            self.elsewhere.append(now_s)
        limits = self.ports.pins.limits()
        limit_s = min(limits.start_s, limits.boot_s)
        start_left_s = self.start_s + limit_s - now_s
        if self.elsewhere and now_s - self.elsewhere[0] >= ELSEWHERE_S:
            self._give_up("the controller still holds the boot override, and the host booted something else", now_s)
        if start_left_s <= 0:
            self._give_up(f"no installer reported within {limit_s:g} s", now_s)
        return min(LOOK_AGAIN_S, max(1.0, start_left_s))

    def _give_up(self, why: str, now_s: float) -> None:
        after_s = now_s - self.start_s
        raise InstallerNeverRan(self.pin.node, f"{self.took}: {why}", (self.pin.os_disk,), after_s)


def _wait_booted(ports: Ports, pin: Pin, took: str | None) -> None:
    boot = _Boot(ports, pin, took, ports.clock.now_s())
    wait_until(
        boot.look,
        what=ERASED if pin.erases else "the pinned image boots",
        node=pin.node,
        about=f"host/{pin.node}",
        ports=ports,
        limit_s=ports.pins.limits().boot_s,
        error=NeverBooted,
    )
