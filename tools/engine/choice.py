"""Which engine is used, and why: one pure function over what the probes found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from tools.version import Version

MINIMUM = Version(3, 220, 0)
"""The oldest engine taken from PATH. `replacement_trigger` came with 3.208 and settled over the releases after it."""

PINNED = Version(3, 259, 0)
"""What is installed or built. tools/engine/go.mod requires the same (a test compares them)."""


class Source(StrEnum):
    """Where an engine comes from, in order of preference."""

    PATH = "path"
    CACHE = "cache"
    INSTALLER = "installer"
    MODULE = "module"


@dataclass(frozen=True)
class Option:
    """One source, whether it is the one taken, and why or why not."""

    source: Source
    taken: bool
    why: str


@dataclass(frozen=True)
class Engine:
    """The engine in use, or, while `present` is False, the one that `ensure` would get.

    path: the `pulumi` binary. version: what it reports, or must report once it is there.
    language_host: `pulumi-language-python` is found, which a typed `pulumi up` needs.
    considered: every source, in order.
    """

    path: Path
    version: str
    source: Source
    why: str
    present: bool
    language_host: bool
    considered: tuple[Option, ...]

    @property
    def root(self) -> Path | None:
        """What `pulumi.automation.PulumiCommand(root=...)` wants; None means the one on PATH."""
        return None if self.source is Source.PATH else self.path.parent.parent


@dataclass(frozen=True)
class Found:
    """A binary that was seen. reports: what `pulumi version` printed, "" if it did not run.

    trouble: why it cannot be used whatever its version, "" if nothing is wrong with it.
    origin: the source that a cached one was got from.
    """

    path: Path
    reports: str
    trouble: str = ""
    origin: str = ""


class Probes(Protocol):
    """What is to be known of the machine. Asking changes nothing."""

    def on_path(self) -> Found | None:
        """`pulumi` on PATH, asked for its version."""
        ...

    def cached(self) -> Found | None:
        """The cached engine of the pinned version, its digest compared with the recorded one."""
        ...

    def destination(self) -> Path:
        """Where an engine got by `ensure` ends up: the path of its `pulumi` binary."""
        ...

    def language_host_beside(self, engine: Path) -> bool:
        """Whether `pulumi-language-python` is on PATH or next to the engine."""
        ...


class NoEngine(Exception):
    """No source yielded an engine. `str()` names every source with its reason, and what to do."""

    def __init__(self, considered: tuple[Option, ...]) -> None:
        self.considered = considered
        reasons = "\n".join(f"  {option.source}: {option.why}" for option in considered)
        super().__init__(
            f"Pulumi engine: expected {MINIMUM} or later from {len(considered)} sources, found none:\n{reasons}\n"
            "Remedy: install Pulumi (https://www.pulumi.com/docs/install/) so that `pulumi version` works in this "
            "shell; or allow HTTPS to get.pulumi.com, or to the Go module proxy and PyPI; then run the command again."
        )


def decide(probes: Probes, refused: Mapping[Source, str]) -> Engine:
    """The engine to use. Pure but for what the probes look at; gets, builds and writes nothing.

    refused: sources that were tried in this run and failed, each with its reason.
    Raises NoEngine once no source is left.
    """
    considered: list[Option] = []
    for source in Source:
        found, present, why = _consider(source, probes, refused)
        considered.append(Option(source, found is not None, why))
        if found is None:
            continue
        rest = tuple(Option(other, False, "not needed") for other in list(Source)[len(considered) :])
        host = probes.language_host_beside(found.path)
        return Engine(found.path, found.reports, source, why, present, host, (*considered, *rest))
    raise NoEngine(tuple(considered))


def _consider(source: Source, probes: Probes, refused: Mapping[Source, str]) -> tuple[Found | None, bool, str]:
    """(what would be taken or None, whether it is there already, why or why not)."""
    match source:
        case Source.PATH:
            return _on_path(probes.on_path())
        case Source.CACHE:
            return _cached(probes.cached())
        case Source.INSTALLER | Source.MODULE:
            if source in refused:
                return None, False, refused[source]
            wanted = Found(probes.destination(), f"v{PINNED}")
            how = "downloads" if source is Source.INSTALLER else "builds"
            return wanted, False, f"no usable engine is there yet; {how} {PINNED} into {wanted.path.parent}"


def _on_path(found: Found | None) -> tuple[Found | None, bool, str]:
    if found is None:
        return None, False, "no `pulumi` on PATH"
    version = Version.parse(found.reports)
    if found.trouble or version is None:
        return None, False, f"{found.path} does not work: {found.trouble or f'it reports {found.reports!r}'}"
    if version.major != MINIMUM.major:
        return None, False, f"{found.path} is {version}; expected major version {MINIMUM.major}"
    if version < MINIMUM:
        return None, False, f"{found.path} is {version}, older than {MINIMUM}"
    return found, True, f"{found.path} is {version}, {MINIMUM} or later"


def _cached(found: Found | None) -> tuple[Found | None, bool, str]:
    if found is None:
        return None, False, f"no engine {PINNED} is cached"
    if found.trouble:
        return None, False, f"{found.path} cannot be trusted: {found.trouble}"
    if found.reports != f"v{PINNED}":
        return None, False, f"{found.path} reports {found.reports!r}, expected v{PINNED}"
    return found, True, f"{found.path} is {PINNED}, got from {found.origin}; its digest is the recorded one"
