"""A boot store's objects as files: the paths below one directory, which may be a mount that others write too."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO, Final

from lifecycle.adapters.files import locked, make_directory, refused, sync_directory, write_atomically
from lifecycle.adapters.object_store import (
    KEEP_LIMIT_S,
    ONCE,
    PROGRESS,
    RECORDS,
    Fetch,
    Stored,
    other_bytes,
    other_digest,
)
from lifecycle.ports import Clock

MODES: Final = {RECORDS: (0o600, 0o700), ONCE: (0o640, 0o750)}
"""Of files and directories by the first part of their paths: records are for their owner alone, credentials for the
group of the web server that hands them to a machine."""
PUBLIC: Final = (0o644, 0o755)
"""Of all others, which the web server reads as any user: public within the site, they hold no secret."""
LOCK: Final = ".lock"
NEW, KEPT_NEW = ".new-", ".kept-"
"""What a file is called until it is whole; the second, large ones, which only who holds the lock writes."""
CHUNK_BYTES: Final = 1 << 20
KEEP_POLL_S: Final = 0.25


class DirectoryObjects:
    """Fulfils `object_store.Objects`. A version is the digest of the bytes; whoever compares one holds the lock file
    beside the object, across processes and, where the file server has locks, across machines.

    directory: must be there; nothing ever makes it.
    """

    def __init__(self, directory: Path, clock: Clock) -> None:
        self._directory, self._clock = directory, clock

    def where(self, path: str) -> str:
        return str(self._directory / path)

    def read(self, path: str) -> Stored | None:
        data = _bytes_in(self._file(path))
        return None if data is None else Stored(data, _version(data))

    def write(self, path: str, data: bytes, expected: str | None) -> bool:
        file = self._made(path)
        with locked(file.with_suffix(LOCK), self._clock):
            if _version_in(file) != expected:
                return False
            write_atomically(file, data, _modes(path)[0])
            return True

    def put(self, path: str, data: bytes) -> None:
        write_atomically(self._made(path), data, _modes(path)[0])

    def write_once(self, path: str, data: bytes) -> None:
        file = self._made(path)
        if not _same(file, data):
            _link_new(file, lambda new: new.write(data), _modes(path)[0])
            _same(file, data)

    def keep(self, path: str, sha256: str, fetch: Fetch) -> None:
        file = self._made(path)
        if _holds(file, sha256):
            return
        with locked(file.parent / LOCK, self._clock, KEEP_LIMIT_S, KEEP_POLL_S):
            if _holds(file, sha256):
                return
            for left in file.parent.glob(f"{KEPT_NEW}*"):  # by a step that was killed: its lock is ours now
                _unlink(left)
            with fetch() as source:
                _link_new(file, partial(_copy, source, sha256, str(file)), _modes(path)[0], KEPT_NEW)
        _holds(file, sha256)

    def remove(self, path: str, expected: str) -> bool:
        file = self._made(path)
        with locked(file.with_suffix(LOCK), self._clock):
            if _version_in(file) != expected:
                return False
            _unlink(file)
            return True

    def erase(self, path: str) -> None:
        _unlink(self._file(path))

    def below(self, prefix: str) -> tuple[str, ...]:
        store = self._store()
        try:
            files = [file for file in (store / prefix).rglob("*") if file.is_file()]
        except OSError as error:
            raise refused(store / prefix, error) from error
        kept = (file for file in files if not file.name.startswith(".") and file.suffix != LOCK)
        return tuple(sorted(str(file.relative_to(store)) for file in kept))

    def takes_reports(self) -> bool:
        return (self._store() / PROGRESS).is_dir()

    def _file(self, path: str) -> Path:
        return self._store() / path

    def _store(self) -> Path:
        """The directory. Raises NeedsAttention if it is not there: one that is not mounted must not look empty."""
        make_directory(self._directory, PUBLIC[1], below=self._directory)
        return self._directory

    def _made(self, path: str) -> Path:
        """The object's file, in a directory that is there."""
        file = self._directory / path
        make_directory(file.parent, _modes(path)[1], below=self._directory)
        return file


def _modes(path: str) -> tuple[int, int]:
    return MODES.get(path.split("/", maxsplit=1)[0], PUBLIC)


def _version(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _version_in(file: Path) -> str | None:
    data = _bytes_in(file)
    return None if data is None else _version(data)


def _bytes_in(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise refused(file, error) from error


def _link_new(file: Path, fill: Callable[[IO[bytes]], object], mode: int, prefix: str = NEW) -> None:
    """Write a new file beside `file`, and give it that name once it is whole, unless another has it by then. Nobody
    else may read it before."""
    try:
        handle, temporary = tempfile.mkstemp(prefix=prefix, dir=file.parent)
        try:
            with os.fdopen(handle, "wb") as new:
                fill(new)
                os.fchmod(new.fileno(), mode)
                new.flush()
                os.fsync(new.fileno())
            with contextlib.suppress(FileExistsError):  # another step wrote it just now
                os.link(temporary, file)
        finally:
            os.unlink(temporary)
        sync_directory(file.parent)
    except OSError as error:
        raise refused(file, error) from error


def _holds(file: Path, sha256: str) -> bool:
    """Whether a file of this digest is there. Raises NeedsAttention if another one is."""
    try:
        with file.open("rb") as found:
            if hashlib.file_digest(found, "sha256").hexdigest() == sha256:
                return True
    except FileNotFoundError:
        return False
    except OSError as error:
        raise refused(file, error) from error
    raise other_bytes(str(file))


def _copy(source: Path, sha256: str, where: str, new: IO[bytes]) -> None:
    """What is hashed is what is written. Raises NeedsAttention if it has another digest."""
    digest = hashlib.sha256()
    with source.open("rb") as old:
        while chunk := old.read(CHUNK_BYTES):
            digest.update(chunk)
            new.write(chunk)
    if digest.hexdigest() != sha256:
        raise other_digest(where, digest.hexdigest(), sha256)


def _same(file: Path, data: bytes) -> bool:
    found = _bytes_in(file)
    if found is not None and found != data:
        raise other_bytes(str(file))
    return found is not None


def _unlink(file: Path) -> None:
    try:
        file.unlink()
        sync_directory(file.parent)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise refused(file, error) from error
