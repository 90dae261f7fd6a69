"""The ports to machines: what switches them, and the API that some serve themselves. The others: ports.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from lifecycle.facts import Controller, Pin, Power, Progress


class MachineApi(Protocol):
    """The API that a machine of Way.TALOS serves itself, whether it is a node or not."""

    def bootstrap(self, node: str) -> None:
        """Let etcd begin a new cluster on this machine. Idempotent there, and to be asked of one machine only,
        ever. Raises PortError also while the machine cannot do it yet."""
        ...

    def wipe(self, node: str) -> None:
        """Erase the disk that the machine runs from and switch it off; it ends later, by the power being off.
        No other disk is touched."""
        ...


class Machines(Protocol):
    """Machines, through whatever switches them."""

    def power(self, host: str, controller: Controller) -> Power:
        """OFF only where it is proven: also if there is no such machine any more."""
        ...

    def power_off(self, host: str, controller: Controller) -> None:
        """Ask for it, at once; `power` proves it. What was on the machine's data disks stays."""
        ...

    def underway(self, host: str, pin: Pin) -> bool:
        """Whether a machine of the pin's very generation is coming already, which `install` would go on with. Asked
        only if an installation of it was begun; False for one that had its time and did not come."""
        ...

    def prepare(self, host: str, pin: Pin) -> None:
        """Have at hand whatever `install` needs from elsewhere, such as files of the image's publisher. Asked before
        the host's node is touched, so it changes nothing of the machine. Idempotent."""
        ...

    def install(self, host: str, pin: Pin) -> str | None:
        """Have the machine boot what is pinned, and return. A host boots once into the installer at
        `pin.boot_url`, which writes the OS disk named by the pin and nothing else. Idempotent.

        Returns which of `pin.boot` it took, the first that could be ordered; None where the kind has no choice."""
        ...

    def progress(self, host: str, pin: Pin) -> Progress:
        """How far the machine has come, once `install` was told; may do what has to be done on the way. PortError:
        what it waits for; NeedsAttention: it failed."""
        ...

    def clear_boot_override(self, host: str, controller: Controller) -> None:
        """However the machine starts from now on, it boots from its own disk. Idempotent."""
        ...

    def identity(self, host: str, controller: Controller) -> Mapping[str, str]:
        """What the machine itself is known by, such as `serial`, `mac` (several with commas between) or `instance`: the
        same over reboots and installations of one machine, another for another machine; empty if there is nothing.
        `zone`: the fault domain that it came up in, of a kind that may choose one."""
        ...
