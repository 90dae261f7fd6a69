"""A rack as it was left, to be looked at: its world through the lifecycle's ports, with nobody to change it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from components import stackfile
from components.boot.pin import pins
from components.environment import Environment
from lifecycle.errors import LifecycleError
from lifecycle.ports import Ports
from rehearsal.rack.ports import ports
from rehearsal.rack.rack import Rack
from rehearsal.rack.store import Store
from rehearsal.session import Options, home, limits, pinned, stack_data


class NoRack(LifecycleError):
    """Nothing was ever brought up there."""

    def __init__(self, stack: str, folder: Path) -> None:
        super().__init__(
            f"rack {stack}: expected one that was brought up, found none in {folder}. "
            f"Remedy: `ingot rack up {stack}` brings it up"
        )
        self.stack = stack


@contextmanager
def saved_rack(
    stack: str, version: str | None, folder: Path | None = None, options: Options | None = None
) -> Iterator[tuple[Environment, Ports]]:
    """The stack file in force, and ports that show the rack. Whatever is done to them is forgotten.

    version: replaces the stack file's image. folder: where the rack is kept; default as `open_session`.
    Raises what reading the stack file raises, NoRack, WorldUnreadable.
    """
    chosen = options or Options()
    chosen.version = version
    environment = stackfile.validate(stack_data(stack, chosen), f"stacks/Pulumi.{stack}.yaml")
    where = folder or home() / "rack" / stack
    loaded = Store(where).load()
    if loaded is None:
        raise NoRack(stack, where)
    rack = Rack(loaded[0], pins(environment, pinned(environment), stack=stack))
    try:
        yield environment, ports(rack, "saved", limits(environment), lambda: None)
    finally:
        rack.clock.close()
