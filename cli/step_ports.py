"""The real ports of a step, with the project's own way to read a stack file and to make what a host boots.

lifecycle/ does not know components/, so the two meet here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from lifecycle.adapters import build
from lifecycle.adapters.clock import WallClock
from lifecycle.adapters.installer import Artifact, Installer
from lifecycle.adapters.pins import Declared, stack_file_name
from lifecycle.adapters.place import Bucket, Folder, Matchbox, Place
from lifecycle.commands import Step
from lifecycle.errors import NeedsAttention
from lifecycle.ports import Limits, Pin, Ports

if TYPE_CHECKING:
    from components.boot.contract import Publication
    from components.boot.pin import NodeBoot
    from components.boot.user_data import UserData
    from components.environment import Environment
    from components.images.lock import Lock
    from components.images.sources import Source
    from lifecycle.adapters.kube_api import KubeApi
    from lifecycle.adapters.machines import Kit
    from lifecycle.ports import Machines

STACKS, LOCK = "stacks", "images.lock.json"
BY_HAND = "runbooks/boot-store.md#publisher, then run `pulumi up` again"


def ports(step: Step, start: Path | None = None) -> Ports:
    """The real ports of `step`, of the project that `start` is in, else the working directory. Raises nothing."""
    return build.ports(
        step,
        declared,
        contents,
        patches,
        start,
        broker=_broker,
        installers=installer,
        launches=user_data,
        switched=_switched,
    )


def _switched(kit: Kit) -> Mapping[str, Machines]:
    from components.machines import adapters

    return adapters(kit)


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
        pins=pins(environment, lock, stack=stack),
        limits=Limits(**environment.limits.model_dump()),
        endpoint=endpoint(environment.cluster),
        boot_store=_place(root, environment),
        boot_url=environment.store_url,
        storage_cluster=environment.storage.driver.cluster_id,
        rollout=rollout(environment),
        eraser=partial(eraser, environment, lock),
    )


def _place(root: Path, environment: Environment) -> Place:
    """Where steps find the boot store. root: of the project, which a test's directory may be relative to."""
    store = environment.boot_store
    if store.kind == "s3":
        takes = store.signed or store.reports
        return Bucket(store.bucket, environment.store_region, takes_reports=takes, turns=root / ".ingot" / "fetch")
    if store.kind == "matchbox":
        return Matchbox(root / store.directory, root / store.assets_directory)
    return Folder(root / store.directory)


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
    """Path in the boot store and bytes of all that is made for the pin's host. Raises as `declared` does."""
    return _publication(root, stack, pin).files


def _publication(root: Path, stack: str, pin: Pin) -> Publication:
    from components.boot.pin import publish, publish_eraser

    environment, lock = _files(root, stack)
    return publish_eraser(environment, lock, pin) if pin.erases else publish(environment, lock, pin.node)


def user_data(root: Path, stack: str, pin: Pin, zone: str) -> UserData:
    """What an instance of the pin's host is launched with in that zone. Raises as `declared` does."""
    from components.boot.pin import user_data

    environment, lock = _files(root, stack)
    return user_data(environment, lock, pin.node, zone)


def patches(root: Path, stack: str, pin: Pin) -> tuple[str, str]:
    """Of a machine that runs Talos, its pool's patch and its own. Raises as `declared` does."""
    from components.boot.pin import node_patch

    environment, lock = _files(root, stack)
    return node_patch(environment, lock, pin)


def installer(root: Path, stack: str, pin: Pin) -> Installer:
    """What the pin's host boots of its image's publisher. Raises as `declared` does."""
    from components.boot import layout
    from components.images.artifacts import INITRAMFS, KERNEL, METAL
    from components.images.publishers import PUBLISHERS
    from components.images.sources import Wire

    made = _publication(root, stack, pin)
    pinned = {name: made.release.artifact(name) for name in made.keeps}
    wire = Wire(PUBLISHERS[made.release.os], WallClock())
    kept = {name: Artifact(found.url, found.sha256, layout.kept(found)) for name, found in pinned.items()}
    return Installer(
        kernel=kept.pop(KERNEL),
        initrd=kept.pop(INITRAMFS),
        arguments=made.kernel_arguments,
        fetch=partial(fetched, wire),
        beside=tuple(kept.values()),
        signatures={layout.kept_signature(image): partial(signature, wire, image.signature)}
        if (image := pinned.get(METAL)) is not None and image.signature is not None
        else {},
    )


def signature(source: Source, url: str) -> bytes:
    """A signature of the publisher's, which a machine will judge. Raises NeedsAttention: `source` asks again itself."""
    from components.images.signature import SIGNATURE_BYTES_MAX, NotVerified, require_signature
    from components.images.sources import NotFetched

    try:
        found = source.read(url, bytes_max=SIGNATURE_BYTES_MAX)
        require_signature(found, url)
    except (NotFetched, NotVerified) as error:
        raise NeedsAttention(url, error.found, BY_HAND) from error
    return found


@contextmanager
def fetched(source: Source, url: str) -> Iterator[Path]:
    """A file of the publisher's, on disk while the context lasts. Raises NeedsAttention: `source` asks again itself."""
    from components.images.sources import NotFetched

    try:
        with source.file(url) as file:
            yield file
    except NotFetched as error:
        raise NeedsAttention(url, error.found, BY_HAND) from error


@lru_cache(maxsize=1)  # one step sees one state of the files
def _files(root: Path, stack: str) -> tuple[Environment, Lock]:
    from components import stackfile
    from components.images import lock

    return stackfile.load(root / STACKS / stack_file_name(stack)), lock.load(root / STACKS / LOCK)
