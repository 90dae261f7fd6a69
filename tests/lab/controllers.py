"""Management controllers without the rest of a lab."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lab import processes, redfish
from lab.layout import Layout, Shape

START_LIMIT_S = 120.0


def controllers_alone(folder: Path, systems: int) -> Iterator[Layout]:
    """The emulator, in a folder of its own, of so many systems that are on."""
    found = Layout(folder, Shape.choose(1, systems), {})
    part = redfish.part(found)
    child = processes.start(part, folder)
    try:
        processes.wait_until_it_answers(part, child, folder, START_LIMIT_S)
        yield found
    finally:
        processes.stop(folder)
        child.wait(processes.KILL_LIMIT_S)
