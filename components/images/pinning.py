"""Adding releases to the lock. A published release never changes, so neither does a pinned one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from components.images.document import LockError
from components.images.lock import Lock, Release

FIXED = ("os_image", "schematic", "installer", "signing_key")
"""Facts of a release that cannot become others. One that was not known before is filled in."""


def pin(lock: Lock, releases: Sequence[Release], where: str) -> Lock:
    """`lock` with `releases` added; `where` names what they were read from.

    AMIs of new regions are added to a pinned release; a kernel that was pinned by hand stays, because no
    publisher's metadata names one. Raises LockError if anything contradicts what is pinned: one of the
    two was tampered with or garbled.
    """
    pinned = {(r.os, r.key, r.architecture): r for r in lock.releases()}
    merged: list[Release] = []
    problems: list[str] = []
    for new in releases:
        old = pinned.get((new.os, new.key, new.architecture))
        if old is None:
            merged.append(new)
            continue
        problems += [
            f"{new}, {what}: expected what is pinned, {before}; found {after}. Ask the publisher which is right"
            for what, before, after in _contradictions(old, new)
        ]
        kept = {
            "amis": {**old.amis, **new.amis},
            "artifacts": {**old.artifacts, **new.artifacts},
            "kernel": old.kernel or new.kernel,
        }
        merged.append(new.model_copy(update=kept))
    if problems:
        raise LockError(where, problems)
    return lock.with_releases(merged)


def _contradictions(old: Release, new: Release) -> Iterator[tuple[str, object, object]]:
    """(what, before, after) of each fact that is known and now another."""
    pairs: list[tuple[str, object, object]] = [(name, getattr(old, name), getattr(new, name)) for name in FIXED]
    for name, artifact in new.artifacts.items():
        if name in old.artifacts:
            before: Mapping[str, object] = old.artifacts[name].model_dump()
            pairs += [(f"{name} {key}", before[key], after) for key, after in artifact.model_dump().items()]
    pairs += [(f"AMI of {region}", old.amis[region], ami) for region, ami in new.amis.items() if region in old.amis]
    return ((what, before, after) for what, before, after in pairs if before != after and before is not None)
