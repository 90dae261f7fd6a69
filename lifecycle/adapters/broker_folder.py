"""Where a broker listens, and who may speak to it there: nobody but our own user, since messages are pickled.

The folder keeps others out; where the system tells who is at the other end of a socket, that is asked as well.
What earlier brokers left behind is bounded: their logs, and folders that nobody came back to.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import stat
import struct
from pathlib import Path
from typing import BinaryIO

from lifecycle.errors import PortError

SOCKET, LOCK, LOG = "view.sock", "view.lock", "log"
LOG_MAX = 2**18
"""Bytes of a log that the next broker still adds to: a broker writes some lines, and only if it fails."""
OLD_S = 7 * 86400.0
"""A folder that no broker was started in for so long is of a stack file, credentials or code of the past."""
CONNECT_S = 1.0


def private_folder(folder: Path) -> Path:
    """The folder, made if it is not there, that only its owner may enter, and nobody else may put another in the
    place of.

    Who shares a group with the owner is trusted not to: many systems give each user a group, and make every folder
    writable for it. Raises PortError.
    """
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700, parents=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PortError(f"folder {folder}", f"mode {found.st_mode & 0o777:04o} of user {found.st_uid}", "remove it")
    for parent in folder.resolve().parents:
        mode = parent.stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:  # in a sticky one, as /tmp is, each has but his own
            raise PortError(f"folder {folder}", f"{parent} that everybody may write to", f"run `chmod o-w {parent}`")
    return folder


def same_user(channel: socket.socket, user: int) -> bool:
    """Whether the process at the other end of a Unix socket runs as `user`; true where the system does not say."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True
    form = struct.Struct("3i")  # pid, user, group
    _, found, _ = form.unpack(channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, form.size))
    return bool(found == user)


def log_in(folder: Path) -> BinaryIO:
    """What the next broker there writes to: added to the last one's, unless that has grown too long."""
    file = folder / LOG
    with contextlib.suppress(FileNotFoundError):
        if file.stat().st_size > LOG_MAX:
            file.unlink()
    return file.open("ab")


def sweep(folder: Path, now_s: float) -> None:
    """Remove the folders beside `folder` that no broker was started in for OLD_S, nor listens in. Raises nothing."""
    try:
        others = [other for other in folder.parent.iterdir() if other.name != folder.name]
    except OSError:
        return
    for other in others:
        with contextlib.suppress(OSError):
            if now_s - _last_used_s(other) > OLD_S and not _listens(other):
                shutil.rmtree(other, ignore_errors=True)


def _last_used_s(folder: Path) -> float:
    """When something in it was last made or written to. Raises OSError for what is no folder, or just went."""
    return max([folder.stat().st_mtime, *(entry.stat().st_mtime for entry in folder.iterdir())])


def _listens(folder: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as channel:
        channel.settimeout(CONNECT_S)
        try:
            channel.connect(str(folder / SOCKET))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except OSError:
            return True  # it may
    return True
