"""The cache folder: where what was got or built is kept, and who may write there."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

VARIABLE = "INGOT_CACHE"
"""Environment variable that moves the cache folder, for instance to one that checkouts share."""

SCRATCH = "new-"
"""Begins the names of folders in which something is being made."""

LOCK_POLL_S = 0.5
"""How often a waiting caller asks for the lock again."""


class LockTimeout(Exception):
    """Another process held the lock too long. `str()` names the lock and its holder."""


def folder(project: Path) -> Path:
    """The cache folder: $INGOT_CACHE, else `.cache` of the project."""
    chosen = os.environ.get(VARIABLE, "")
    return Path(chosen).expanduser().resolve() if chosen else project / ".cache"


def digest(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sweep(folder: Path) -> None:
    """Make the folder, and remove what callers left there that were killed. Hold the lock."""
    folder.mkdir(parents=True, exist_ok=True)
    for left in [*folder.glob(f"{SCRATCH}*"), *folder.glob("*.old-*")]:
        shutil.rmtree(left, ignore_errors=True)


def put_in_place(made: Path, root: Path) -> None:
    """Move a finished folder to `root` in one step; what was there before is removed after it."""
    root.parent.mkdir(parents=True, exist_ok=True)
    old = root.with_name(f"{root.name}.old-{os.getpid()}")
    if root.exists():
        root.rename(old)
    made.rename(root)
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def lock(folder: Path, limit_s: float, waiting: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock of a folder. `waiting` is told once who holds it. Raises LockTimeout after `limit_s`.

    The kernel drops the lock with its holder, however that ends.
    """
    path = folder / "lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    until_s = time.monotonic() + limit_s
    with path.open("a+", encoding="utf-8") as file:
        told = False
        while not _try_lock(file.fileno()):
            file.seek(0)
            holder = f"process {file.read().strip() or '?'}"
            if time.monotonic() > until_s:
                raise LockTimeout(f"lock {path}: expected it free within {limit_s:.0f} s, still held by {holder}")
            if not told:
                waiting(holder)
                told = True
            time.sleep(LOCK_POLL_S)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
