"""What may go wrong with a lab: each error names the object, what was expected and found, and what to do."""

from __future__ import annotations

from pathlib import Path


class LabError(Exception):
    """Of a lab, not of the product."""


class PartFailed(LabError):
    """A part did not come up. Everything that was started with it has been stopped."""

    def __init__(self, part: str, limit_s: float, found: str, log: Path, last_lines: str) -> None:
        self.part, self.found, self.log = part, found, log
        super().__init__(
            f"lab part {part}: expected an answer within {limit_s:.0f} s, found {found}. "
            f"Its last lines:\n{last_lines}\n"
            f"Remedy: read {log}; if its port was taken meanwhile, run the same command again."
        )


class PartStillRuns(LabError):
    """A part outlived SIGTERM and SIGKILL."""

    def __init__(self, parts: dict[str, int], limit_s: float) -> None:
        self.parts = parts
        shown = ", ".join(f"{name} (process {pid})" for name, pid in sorted(parts.items()))
        super().__init__(
            f"lab parts {shown}: expected them gone {limit_s:.0f} s after SIGKILL, found them running. "
            "Remedy: a process that SIGKILL does not end waits for a disk; see its state in /proc/PID/status, then "
            "run `ingot lab down` again."
        )


class LabIsUp(LabError):
    """A lab of this name runs already, or parts of it do."""

    def __init__(self, folder: Path, parts: list[str]) -> None:
        self.folder, self.parts = folder, parts
        super().__init__(
            f"lab {folder.name}: expected none of its parts to run, found {', '.join(parts)}. "
            f"Remedy: `ingot lab status --name {folder.name}`, or `ingot lab down --name {folder.name}` first."
        )


class LabIsDown(LabError):
    """There is no lab of this name, or it cannot be read."""

    def __init__(self, folder: Path, found: str) -> None:
        self.folder = folder
        super().__init__(
            f"lab {folder.name}: expected {folder / 'lab.json'} of a lab that is up, found {found}. "
            f"Remedy: `ingot lab up --name {folder.name}`."
        )


class NoFreePort(LabError):
    """Too few ports of loopback are free."""

    def __init__(self, wanted: int, found: int) -> None:
        super().__init__(
            f"loopback: expected {wanted} free ports, found {found}. "
            "Remedy: `ss -ltn` shows who listens; `ingot lab down` stops a lab that was left."
        )


class NotLinux(LabError):
    """The lab finds its processes in /proc and listens on all of 127.0.0.0/8."""

    def __init__(self, found: str) -> None:
        super().__init__(
            f"lab: expected Linux, found {found}. Remedy: run it in a Linux container or virtual machine; "
            "`ingot rehearse` needs no Linux."
        )
