"""Small durable files: written whole or not at all, changed by one process at a time."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from lifecycle.errors import NeedsAttention, PortError
from lifecycle.ports import Clock

LOCK_LIMIT_S = 15.0
"""A holder writes one small file; longer than this means a hung file server or a stopped process."""
LOCK_POLL_S = 0.02


def safe_name(name: str) -> str:
    """`name` as one path component: `/` and a leading `.` cannot lead out of the directory."""
    quoted = quote(name, safe="")
    return "%2E" + quoted[1:] if quoted.startswith(".") else quoted


def write_atomically(path: Path, data: bytes, mode: int) -> None:
    """Replace `path` by `data` so that a reader, or a crash, sees the old bytes or the new.

    Makes no directory. mode: of the file, whatever the umask. Raises NeedsAttention if the system refuses.
    """
    try:
        handle, temporary = tempfile.mkstemp(prefix=".new-", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                os.fchmod(file.fileno(), mode)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        sync_directory(path.parent)
    except OSError as error:
        raise refused(path, error) from error


def sync_directory(directory: Path) -> None:
    """Make renames and removals in `directory` survive a power cut."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_directory(directory: Path, mode: int, *, below: Path) -> None:
    """Make `directory` and its parents down from `below`, which must be there already.

    Raises NeedsAttention if `below` is missing: a boot store that is not mounted must not look like an
    empty one, in which no host is claimed and no cluster initialised.
    """
    if not below.is_dir():
        raise NeedsAttention(
            f"boot store directory {below}",
            "no such directory",
            "mount or create it, or correct `boot_store.directory` in the stack file; nothing was changed",
        )
    try:
        for parent in [*reversed(directory.relative_to(below).parents), directory.relative_to(below)]:
            with contextlib.suppress(FileExistsError):
                (below / parent).mkdir(mode=mode)
    except OSError as error:
        raise refused(directory, error) from error


@contextlib.contextmanager
def locked(path: Path, clock: Clock, limit_s: float = LOCK_LIMIT_S, poll_s: float = LOCK_POLL_S) -> Iterator[None]:
    """Hold the lock file `path` exclusively, across processes. The kernel frees it if we die.

    Raises PortError after limit_s, NeedsAttention if the file cannot be opened.
    """
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise refused(path, error) from error
    try:
        until_s = clock.now_s() + limit_s
        while not _try_lock(handle, path):
            if clock.now_s() >= until_s:
                raise PortError(
                    f"lock {path}",
                    f"it held by another process for {limit_s:.0f} s",
                    f"see `fuser {path}`; end that step or wait for it, then run `pulumi up` again",
                )
            clock.sleep(poll_s)
        yield
    finally:
        os.close(handle)


def _try_lock(handle: int, path: Path) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        raise refused(path, error) from error
    return True


def private(path: Path, what: str) -> str:
    """The text of a file that holds secrets. Raises NeedsAttention unless only its owner may read it."""
    try:
        mode = path.stat().st_mode & 0o777
        if mode & 0o077:
            raise NeedsAttention(f"{what} {path}", f"mode {mode:04o}, readable by others", f"run `chmod 600 {path}`")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise NeedsAttention(
            f"{what} {path}", _reason(error), "make it readable for this user, UTF-8 text, mode 0600"
        ) from error


def refused(path: Path, error: OSError) -> NeedsAttention:
    """The NeedsAttention for what the operating system said of `path`."""
    return NeedsAttention(
        f"file {path}", _reason(error), "check owner, free space and mount of its directory, then run again"
    )


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else "bytes that are not UTF-8"
