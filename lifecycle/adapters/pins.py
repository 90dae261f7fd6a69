"""What the stack file of this checkout says, read when the step runs.

How a stack file is read belongs to components/, which this layer does not know: the command line hands
in the function that does (`Read`), and gets back plain facts (`Declared`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from lifecycle.adapters.place import Place
from lifecycle.errors import LifecycleError, NeedsAttention
from lifecycle.ports import Claim, Erasure, Limits, Pin, Rollout

PROJECT_FILE = "Pulumi.yaml"


@dataclass(frozen=True)
class Declared:
    """All that a step needs of one stack file.

    pins: by node, in file order. endpoint: `host:port` of the cluster. boot_store: where it is, as this
    machine sees it; boot_url: the same, as the hosts do. storage_cluster: the storage cluster's id.
    eraser: makes what a host boots to erase its OS disk; None where nobody asks for it.
    """

    pins: Mapping[str, Pin]
    limits: Limits
    endpoint: str
    boot_store: Place
    boot_url: str
    storage_cluster: str
    rollout: Rollout = field(default_factory=Rollout)
    eraser: Callable[[Claim, Erasure], Pin] | None = None


Read = Callable[[Path, str], Declared]
"""(project root, stack) -> what its stack file declares. May raise anything whose text explains it."""


def project_root(start: Path) -> Path:
    """The nearest directory from `start` upwards that holds Pulumi.yaml. Raises NeedsAttention if none does."""
    for directory in (start, *start.parents):
        if (directory / PROJECT_FILE).is_file():
            return directory
    raise NeedsAttention(
        f"project of {start}", f"no {PROJECT_FILE} there or above it", "run this inside a checkout of the project"
    )


class StackFilePins:
    """Fulfils `lifecycle.ports.Pins`, and lends the other adapters the addresses beside the pins.

    start: where to look for the project. Read once, on first use: one step sees one file. Raises
    NeedsAttention, with every problem of the file in it.
    """

    def __init__(self, start: Path, stack: str, read: Read) -> None:
        self._start, self.stack, self._read = start, stack, read

    def pin(self, node: str) -> Pin | None:
        return self.stack_file.pins.get(node)

    def declared(self) -> tuple[str, ...]:
        return tuple(self.stack_file.pins)

    def limits(self) -> Limits:
        return self.stack_file.limits

    def rollout(self) -> Rollout:
        return self.stack_file.rollout

    def eraser(self, claim: Claim, erasure: Erasure) -> Pin:
        made = self.stack_file.eraser
        if made is None:
            raise NeedsAttention(f"eraser of {claim.node}", "nobody who makes it", "report this line")
        try:
            return made(claim, erasure)
        except LifecycleError:
            raise
        except Exception as error:
            raise NeedsAttention(
                f"eraser of {claim.node}", str(error), "runbooks/boot.md#erase, then run the same command again"
            ) from error

    @cached_property
    def root(self) -> Path:
        return project_root(self._start)

    @cached_property
    def stack_file(self) -> Declared:
        root = self.root
        try:
            return self._read(root, self.stack)
        except LifecycleError:
            raise
        except Exception as error:  # `Read` may raise anything; its text says what is wrong
            found = str(error) or type(error).__name__
            raise NeedsAttention(
                f"stack file of {self.stack} in {root}", found, "correct it, then run `pulumi up` again"
            ) from error


def stack_file_name(stack: str) -> str:
    """`org/project/stack` is one way to say `stack`; the file is named by the last part alone."""
    return f"Pulumi.{stack.rsplit('/', 1)[-1]}.yaml"
