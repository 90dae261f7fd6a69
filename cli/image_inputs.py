"""What `ingot image` is given: files, URLs, mirrors, versions and states of the lock, each found or refused."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import typer

if TYPE_CHECKING:
    from components.images.lock import Lock, Release
    from components.images.request import Given
    from components.images.sources import Source

GIT_LIMIT_S: Final = 30.0


def source(os: str, files: Path | None) -> Source:
    """Where an OS's files come from. Raises typer.BadParameter for an OS that nobody publishes."""
    from components.images.publishers import PUBLISHERS
    from components.images.sources import Folder, Wire
    from lifecycle.adapters.clock import WallClock

    if os not in PUBLISHERS:
        raise typer.BadParameter(f"expected one of {', '.join(PUBLISHERS)}, found {os!r}", param_hint="OS")
    if files is None:
        return Wire(PUBLISHERS[os], WallClock(), told=lambda url: typer.echo(f"fetching {url}", err=True))
    if not files.is_dir():
        raise typer.BadParameter(f"expected a folder, found none at {files}", param_hint="--files")
    return Folder(files, PUBLISHERS[os])


def documents(names: Sequence[str] | None, where: Source) -> tuple[Given, ...]:
    """Each `--metadata`, from its file or through the source. Raises LockError, NotFetched."""
    return tuple(_document(name, where) for name in names or ())


def offers(names: Sequence[str] | None) -> tuple[Given, ...]:
    """Each `--metadata` where the OS is not said: a URL's is whoever owns it. Raises LockError, NotFetched."""
    from components.images.publishers import PUBLISHERS

    owners = {name: next((os for os, p in PUBLISHERS.items() if p.owns(name)), "") for name in names or ()}
    return tuple(_document(name, source(os or next(iter(PUBLISHERS)), None)) for name, os in owners.items())


def _document(name: str, where: Source) -> Given:
    from components.images.document import BYTES_MAX
    from components.images.request import Given

    if "://" not in name:
        return file(Path(name))
    return Given(urlsplit(name).path.rpartition("/")[2], where.read(name, bytes_max=BYTES_MAX), name)


def file(path: Path) -> Given:
    """A file at hand, of a size that a document may have. Raises LockError."""
    from components.images.document import BYTES_MAX, LockError
    from components.images.request import Given

    try:
        with path.open("rb") as opened:
            data = opened.read(BYTES_MAX + 1)
    except OSError as error:
        raise LockError(str(path), [f"expected a readable file, found: {error.strerror}"]) from None
    if len(data) > BYTES_MAX:
        raise LockError(str(path), [f"expected at most {BYTES_MAX} bytes, found more"])
    return Given(path.name, data, str(path))


def architectures(asked: Sequence[str], os: str) -> tuple[str, ...]:
    """Those asked for, each once, if the OS is built for all. Raises typer.BadParameter."""
    from components.images import fedora_coreos, flatcar, talos

    known = next(m.ARCHITECTURES for m in (fedora_coreos, flatcar, talos) if os == m.OS)
    if unknown := [a for a in asked if a not in known]:
        raise typer.BadParameter(f"expected {', '.join(known)} for {os}, found {unknown[0]!r}", param_hint="--arch")
    return tuple(dict.fromkeys(asked))


def releases(
    lock: Lock, os: str | None, version: str | None, arch: Sequence[str] | None, schematic: str | None
) -> list[Release]:
    """The pinned releases that are meant; what is None or empty is any. Raises UnknownRelease if one is not there."""
    from components.images.lock import UnknownRelease

    found = [
        r
        for r in lock.releases()
        if os in (None, r.os)
        and version in (None, r.version, r.key)
        and schematic in (None, r.schematic)
        and (not arch or r.architecture in arch)
    ]
    missing = [a for a in arch or () if a not in {r.architecture for r in found}]
    if missing or not found:
        what = " ".join(["image", *filter(None, (os, version, schematic, *missing))])
        raise UnknownRelease(what, [str(r) for r in lock.releases()])
    return found


def named(lock: Lock, word: str, os: str | None) -> list[Release]:
    """The releases whose version, or version and schematic, the word is; none if it is something else.

    Raises typer.BadParameter if it is a version of several OSes, or a version with several schematics.
    """
    found = [r for r in lock.releases() if word in (r.version, r.key) and os in (None, r.os)]
    if len({r.os for r in found}) > 1:
        raise typer.BadParameter(f"{word} is pinned of {', '.join(sorted({r.os for r in found}))}", param_hint="--os")
    if len({r.key for r in found}) > 1:
        raise typer.BadParameter(f"expected one of {', '.join(sorted({r.key for r in found}))}, found {word}")
    return found


def pairs(old: list[Release], new: list[Release], arch: Sequence[str] | None) -> Iterator[tuple[Release, Release]]:
    """Both by architecture. Raises typer.BadParameter if no architecture is pinned of both."""
    after = {r.architecture: r for r in new}
    common = [r for r in old if r.architecture in after and (not arch or r.architecture in arch)]
    if not common or old[0].os != new[0].os:
        raise typer.BadParameter(f"expected one OS and architecture of both, found {old[0]} and {new[0]}")
    return ((r, after[r.architecture]) for r in common)


def state(word: str, lock: Path) -> Lock:
    """A lock file, or the lock as a git revision has it. Raises LockError."""
    from components.images.document import LockError
    from components.images.lock import LOCK_FILE, load, parse

    if Path(word).is_file():
        return load(Path(word))
    where = f"{word}:./{lock.name}"
    expected = "expected a pinned version, a lock file or a git revision that has the lock"
    if word.startswith("-"):
        raise LockError(word, [f"{expected}, found an option"])
    try:
        shown = subprocess.run(
            ["git", "cat-file", "blob", where], cwd=lock.parent, capture_output=True, timeout=GIT_LIMIT_S, check=False
        )
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise LockError(word, [f"{expected}, found: git did not answer ({type(error).__name__})"]) from None
    if shown.returncode != 0:
        said = shown.stderr.decode("utf-8", "replace").strip().splitlines() or ["nothing"]
        raise LockError(word, [f"{expected}, found none of them; git says: {said[0]}"])
    return parse(shown.stdout, f"{LOCK_FILE} at {word}")
