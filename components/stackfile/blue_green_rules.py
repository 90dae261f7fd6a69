"""What must hold of a pool that rolls blue-green, each rule by itself (see components/stackfile/rules.py).

A new machine is made before the old one leaves, and nothing of the old one comes back.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from components.machines import DOUBLING
from components.stackfile.problem import Flaw, Path, path_text
from components.stackfile.sketch import PoolSketch, Sketch
from lifecycle.succession import LONGEST, may_be_of

BLUE_GREEN: Final = "blue-green"
OTHERWISE: Final = "write strategy: rolling"


def _pools(s: Sketch) -> Iterator[PoolSketch]:
    return (pool for pool in s.pools or () if pool.strategy == BLUE_GREEN)


def _at(pool: PoolSketch) -> Path:
    return (*pool.path, "rollout", "strategy")


def workers_only(s: Sketch) -> Iterator[Flaw]:
    """A second machine of a control plane would be one member of etcd more, and nothing of its member comes back."""
    for pool in _pools(s):
        if pool.role == "control-plane":
            fix = f"{OTHERWISE}, or take the key out; control planes are replaced in place, one at a time"
            yield Flaw(_at(pool), BLUE_GREEN, "rolling for control planes", fix)


def machines_can_be_two(s: Sketch) -> Iterator[Flaw]:
    """A host in a rack is one machine: its next one cannot be made while its last one runs."""
    for pool in _pools(s):
        if isinstance(pool.kind, str) and pool.kind not in DOUBLING and pool.role != "control-plane":
            kinds = " or ".join(sorted(DOUBLING))
            expected = f"rolling, as a host of kind {pool.kind} is one machine"
            fix = f"{OTHERWISE}, or make it a pool of a kind that can make a second machine: {kinds}"
            yield Flaw(_at(pool), BLUE_GREEN, expected, fix)


def nothing_is_stored(s: Sketch) -> Iterator[Flaw]:
    """Replicas stay on their host's disks; to move all of them for an image would spend redundancy for nothing."""
    storing = {name for _, name in s.storage_nodes or ()}
    for pool in _pools(s):
        if pool.name in storing and pool.role != "control-plane":
            fix = f"{OTHERWISE}, or take {pool.name} out of storage.nodes"
            yield Flaw(_at(pool), BLUE_GREEN, f"rolling, as pool {pool.name} stores", fix)


def nothing_is_kept(s: Sketch) -> Iterator[Flaw]:
    """A disk that outlives its machine can be at one machine only, and that is the old one until it has left."""
    disks = {host.path: host for pool in _pools(s) for host in pool.hosts or ()}
    fix = f"take it out, or {OTHERWISE} in the pool"
    for path, host in disks.items():
        kept: list[Path] = [(*path, "data_disks")] if host.data_disks else []
        kept += [(*path, "mounts", name) for name, _ in host.mounts]
        for at in kept:
            yield Flaw(at, "a disk that is kept", "no kept disks in a pool that rolls blue-green", fix)
    for aws_host in (host for pool in s.aws.pools for host in pool.hosts if host.path in disks):
        for volume in aws_host.volumes:
            yield Flaw(volume.path, "a volume that is kept", "no kept volumes in a pool that rolls blue-green", fix)


def names_have_room(s: Sketch) -> Iterator[Flaw]:
    """The node's name is the host's with a generation after it, and no name of another."""
    names = {host.name: host.path for host in s.hosts if host.name is not None}
    for pool in _pools(s):
        for host in pool.hosts or ():
            if host.name is None:
                continue
            if len(host.name) > LONGEST:
                expected = f"{LONGEST} characters at most, as 8 digits of the generation follow"
                yield Flaw(host.path, f"a name of {len(host.name)}", expected, "write a shorter name")
            for other, path in names.items():
                if other != host.name and may_be_of(host.name, other):
                    found = f"{other}, which a node of {path_text(host.path)} could be called"
                    yield Flaw(path, found, "a name that no node of another host has", "write another name")


BLUE_GREEN_RULES: Final = (workers_only, machines_can_be_two, nothing_is_stored, nothing_is_kept, names_have_room)
