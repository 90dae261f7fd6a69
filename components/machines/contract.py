"""What every kind of machine fulfils, so that the rollout never asks which kind it rolls.

A kind is one module with a function of this shape and one line in `components.machines.KINDS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import pulumi


@dataclass(frozen=True)
class MachineArgs:
    """One machine. generation: the digest of what it boots; stack: whose machine it is."""

    host: str
    stack: str
    generation: str


class RegisterMachine(Protocol):
    """Registers the machine of one host.

    The resource is named `<host>.machine`, whatever pool the host is in; its id changes when, and only
    when, the machine boots anew; it is deleted before it is replaced; its delete gives the machine back.
    It takes no input from another node, and lists `depends_on` as its dependencies.
    """

    def __call__(
        self, args: MachineArgs, *, parent: pulumi.Resource, depends_on: Sequence[str]
    ) -> pulumi.CustomResource: ...
