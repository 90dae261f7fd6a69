"""What a bump changes: two releases, or two whole locks, compared fact by fact. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from components.images.lock import Lock, Release

FACTS = ("os_image", "kernel", "schematic", "installer", "signing_key")


@dataclass(frozen=True)
class Change:
    """One fact that differs. before, after: None where it is not there."""

    release: str
    what: str
    before: str | None
    after: str | None

    @property
    def kind(self) -> Literal["gained", "lost", "changed"]:
        return "gained" if self.before is None else "lost" if self.after is None else "changed"


def between_releases(old: Release, new: Release) -> tuple[Change, ...]:
    """What is another in `new`; named by both."""
    name = str(new) if str(old) == str(new) else f"{old} -> {new}"
    return tuple(Change(name, what, a, b) for what, a, b in _pairs(_facts(old), _facts(new)))


def between_locks(old: Lock, new: Lock) -> tuple[Change, ...]:
    """Releases gained and lost, and facts of the same release that changed, which never happens to a published one."""
    before, after = _releases(old), _releases(new)
    changes: list[Change] = []
    for name in sorted(before.keys() | after.keys()):
        if name not in before:
            changes.append(Change(name, "release", None, _summary(after[name])))
        elif name not in after:
            changes.append(Change(name, "release", _summary(before[name]), None))
        else:
            changes += (Change(name, what, a, b) for what, a, b in _pairs(before[name], after[name]))
    return tuple(changes)


def _releases(lock: Lock) -> dict[str, Mapping[str, str]]:
    """Facts by name, of images and of Kubernetes."""
    found: dict[str, Mapping[str, str]] = {f"{r.os} {r.key} ({r.architecture})": _facts(r) for r in lock.releases()}
    for version, architectures in lock.kubernetes.items():
        for architecture, facts in architectures.items():
            found[f"kubernetes {version} ({architecture})"] = dict(_artifacts(facts.model_dump(exclude_none=True)))
    return found


def _facts(release: Release) -> dict[str, str]:
    flat = {name: str(value) for name in FACTS if (value := getattr(release, name)) is not None}
    flat |= _artifacts({name: a.model_dump(exclude_none=True) for name, a in release.artifacts.items()})
    return flat | {f"AMI {region}": ami for region, ami in release.amis.items()}


def _artifacts(artifacts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    return ((f"{name} {key}", str(value)) for name, a in artifacts.items() for key, value in a.items())


def _pairs(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[tuple[str, str | None, str | None]]:
    names = [*old, *(name for name in new if name not in old)]
    return ((name, old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name))


def _summary(facts: Mapping[str, str]) -> str:
    artifacts = sum(1 for name in facts if name.endswith(" sha256"))
    amis = sum(1 for name in facts if name.startswith("AMI "))
    return f"{artifacts} artifacts, {amis} AMIs"
