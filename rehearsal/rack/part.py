"""What every port of the rack shares: its lock, faults asked of a call, saving what changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lifecycle.errors import PortError
from rehearsal.rack.rack import Rack

Save = Callable[[], None]
"""Makes the world durable; called with the clock's lock held."""


class Part:
    """A port on one rack, for the step of one lane. name: of the port, in a `fails` fault."""

    name = ""

    def __init__(self, rack: Rack, lane: str, save: Save) -> None:
        self._rack, self._lane, self._save = rack, lane, save

    @contextmanager
    def _call(self, method: str, node: str = "", *, changes: bool = False) -> Iterator[None]:
        with self._rack.clock.lock:
            if self._rack.faults.call_fails(f"{self.name}.{method}", node or self._lane):
                raise PortError(
                    f"{self.name}.{method} for {node or self._lane}", "a fault asked of the rack", "run again"
                )
            yield
            self._rack.faults.call_done(f"{self.name}.{method}", node or self._lane)
            if changes:
                self._rack.settle()
                self._save()
