"""The real ports of a step, with the project's own way to read a stack file and to make what a host boots.

lifecycle/ does not know components/, so the two meet here.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from lifecycle.adapters import build
from lifecycle.adapters.pins import Declared, stack_file_name
from lifecycle.commands import Step
from lifecycle.ports import Limits, Pin, Ports

if TYPE_CHECKING:
    from components.boot.pin import NodeBoot
    from components.environment import Environment
    from components.images.lock import Lock
    from lifecycle.adapters.kube_api import KubeApi

STACKS, LOCK = "stacks", "images.lock.json"


def ports(step: Step, start: Path | None = None) -> Ports:
    """The real ports of `step`, of the project that `start` is in, else the working directory. Raises nothing."""
    return build.ports(step, declared, contents, patches, start, broker=_broker)


def keep_view(stack: str, folder: Path) -> None:
    """Keep the view that the steps of `stack` share, until none needs it."""
    build.keep_view(stack, declared, folder)


def administrator(stack: str) -> KubeApi:
    """A connection to the stack's cluster that may do everything. Connects when it is first asked."""
    return build.administrator_of(stack, declared)


def _broker(folder: Path, stack: str) -> list[str]:
    return [sys.executable, "-m", "cli.main", "node", "view", "--stack", stack, "--folder", str(folder)]


def declared(root: Path, stack: str) -> Declared:
    """What the stack file declares. Raises StackFileError, LockError, UnknownRelease, BootConfigurationError."""
    from components.boot.kubeadm import endpoint
    from components.boot.pin import eraser, pins, rollout

    environment, lock = _files(root, stack)
    return Declared(
        pins=pins(environment, lock),
        limits=Limits(**environment.limits.model_dump()),
        endpoint=endpoint(environment.cluster),
        boot_store=root / environment.boot_store.directory,
        boot_url=environment.boot_store.url,
        storage_cluster=environment.storage.driver.cluster_id,
        rollout=rollout(environment),
        eraser=partial(eraser, environment, lock),
    )


def environment(root: Path, stack: str) -> Environment:
    """The whole stack file. Raises StackFileError, LockError."""
    return _files(root, stack)[0]


def boot_of(root: Path, stack: str, node: str) -> NodeBoot:
    """What a declared node boots. Raises as `declared` does."""
    from components.boot import pin

    environment, lock = _files(root, stack)
    return pin.boot_of(environment, lock, node)


def boots(root: Path, stack: str) -> list[NodeBoot]:
    """What each declared node boots. Raises as `declared` does."""
    from components.boot import pin

    return pin.boots(*_files(root, stack))


def contents(root: Path, stack: str, pin: Pin) -> Mapping[str, bytes]:
    """Path in the boot store and bytes of all that the pin's host fetches. Raises as `declared` does."""
    from components.boot.pin import publish, publish_eraser

    environment, lock = _files(root, stack)
    return (publish_eraser(environment, lock, pin) if pin.erases else publish(environment, lock, pin.node)).files


def patches(root: Path, stack: str, pin: Pin) -> tuple[str, str]:
    """Of a machine that runs Talos, its pool's patch and its own. Raises as `declared` does."""
    from components.boot.pin import node_patch

    environment, lock = _files(root, stack)
    return node_patch(environment, lock, pin)


@lru_cache(maxsize=1)  # one step sees one state of the files
def _files(root: Path, stack: str) -> tuple[Environment, Lock]:
    from components import stackfile
    from components.images import lock

    return stackfile.load(root / STACKS / stack_file_name(stack)), lock.load(root / STACKS / LOCK)
