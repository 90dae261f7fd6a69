"""The port to the API that some machines serve themselves; lifecycle/ports.py has all the others."""

from __future__ import annotations

from typing import Protocol


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
