"""Storage policies become StorageClasses: a pure translation, refused as a whole or honoured as a whole.

A driver that would drop a field in silence would hand an application less than its policy says, and
nobody would notice before the data is gone. So every field is either translated or refused, here, in
the program: while the cluster does not exist yet, the engine asks no provider.

A StorageClass cannot be changed, and volumes keep the one they were made with: its name carries a hash
of its content, so that a changed policy is a new class beside the old one, never an edit.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from components.environment import Storage, StoragePolicy

DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


@dataclass(frozen=True)
class StorageClass:
    """One StorageClass, as its driver understands it. Parameters are strings, as the API demands."""

    policy: str
    provisioner: str
    parameters: Mapping[str, str]
    reclaim: str
    binding: str
    expansion: bool
    default: bool = field(default=False)

    @property
    def name(self) -> str:
        """The policy's name and 8 hex digits over everything that cannot be changed afterwards."""
        content = [self.provisioner, dict(self.parameters), self.reclaim, self.binding, self.expansion]
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        return f"{self.policy}-{digest[:8]}"

    @property
    def annotations(self) -> Mapping[str, str]:
        """Not part of the name: what is the default may change while the class stays."""
        return {DEFAULT_CLASS: "true"} if self.default else {}


class Driver(Protocol):
    """What a storage driver must know to honour policies. Pure; one module a driver."""

    @property
    def provisioner(self) -> str: ...

    def parameters(self, policy: StoragePolicy) -> Mapping[str, str]:
        """Every field of the policy that the driver takes per class, as its own parameters."""
        ...

    def refusals(self, policies: Mapping[str, StoragePolicy], nodes: int) -> list[str]:
        """What the driver cannot honour on so many storage nodes: path in the stack file, found, fix."""
        ...


class PolicyRefused(ValueError):
    """Storage policies ask what the driver cannot give. refusals: all of them, a line each."""

    def __init__(self, refusals: list[str]) -> None:
        lines = "\n".join(f"- {r}" for r in refusals)
        super().__init__(f"storage policies are refused; nothing was registered:\n{lines}")
        self.refusals = tuple(refusals)


def storage_classes(storage: Storage, driver: Driver, nodes: int) -> tuple[StorageClass, ...]:
    """The StorageClasses of all policies, in file order. nodes: how many machines hold replicas.

    Raises PolicyRefused, naming everything that `driver` cannot honour at once.
    """
    refusals = driver.refusals(storage.policies, nodes)
    defaults = [name for name, policy in storage.policies.items() if policy.default]
    if len(defaults) > 1:
        refusals.append(f"storage.policies: expected one default at most, found {defaults}; leave it on one of them")
    if refusals:
        raise PolicyRefused(refusals)
    return tuple(
        StorageClass(
            policy=name,
            provisioner=driver.provisioner,
            parameters=driver.parameters(policy),
            reclaim=policy.reclaim,
            binding=policy.binding,
            expansion=policy.expansion,
            default=policy.default,
        )
        for name, policy in storage.policies.items()
    )
