"""The boot store: what a host boots, published as files; what its machine reports back, read from files.

Paths are those of components/boot/layout.py. What is under `boot/` holds its own digest in its path, so it
is written once and never changed. `next/<mac>.ipxe` alone changes: it leads the host's one network boot to
the installer, and is taken away afterwards, so that no later network boot by accident installs again.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lifecycle.adapters.files import make_directory, refused, safe_name, sync_directory, write_atomically
from lifecycle.errors import NeedsAttention
from lifecycle.ports import Pin, Progress, Way

FILE_MODE, DIRECTORY_MODE = 0o644, 0o755
"""Public within the site: the web server reads them as any user. They hold no secret."""
NEXT, PROGRESS = "next", "progress"
LOADER = "ipxe.efi"
"""The network boot program, put there with the boot store: it chains to `next/${mac:hexhyp}.ipxe` beside it."""
ISO = "ipxe.iso"
"""The same program as a bootable image, for a controller's virtual CD; put there likewise."""
MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
STATES = {
    "installing": Progress.INSTALLING,
    "installed": Progress.INSTALLED,
    "running": Progress.RUNNING,
    "erasing": Progress.INSTALLING,
    "erased": Progress.ERASED,
}
"""What a machine reports -> the port's word for it. `failed` is an error, told by `progress`."""


@dataclass(frozen=True)
class BootTarget:
    """What a host boots once. url: an EFI program. iso: an image for a virtual CD. Each "" where the boot store has
    none: then the network's own boot service (PXE) names it."""

    url: str
    iso: str = ""


class BootStore:
    """Both ends of the boot store, as the machine that runs the steps sees it.

    directory, url: find where it is, asked on first use. contents: path -> bytes of all that a pin's host
    fetches. All three may raise NeedsAttention.
    """

    def __init__(
        self, directory: Callable[[], Path], url: Callable[[], str], contents: Callable[[Pin], Mapping[str, bytes]]
    ) -> None:
        self._directory, self._url, self._contents = directory, url, contents

    def publish(self, pin: Pin) -> BootTarget:
        """Make sure that everything the pin boots is there, forget earlier reports, point the host at it."""
        store, url, contents = self._directory(), self._url().rstrip("/"), self._contents(pin)
        if pin.boot_url not in {f"{url}/{path}" for path in contents}:
            raise NeedsAttention(
                f"boot store, for {pin.node}",
                f"no file for {pin.boot_url} among {sorted(contents)}",
                "use one checkout for stack file and step",
            )
        for path, data in sorted(contents.items()):
            target = store / path
            make_directory(target.parent, DIRECTORY_MODE, below=store)
            write_once(target, data)
        _remove(store / PROGRESS / safe_name(pin.node))
        pointer = store / NEXT / f"{_mac(pin).replace(':', '-')}.ipxe"
        make_directory(pointer.parent, DIRECTORY_MODE, below=store)
        write_atomically(pointer, f"#!ipxe\nchain --replace {pin.boot_url}\n".encode(), FILE_MODE)
        return self.target()

    def target(self) -> BootTarget:
        """What there is to boot a host with, whichever it is. Publishes nothing."""
        store, url = self._directory(), self._url().rstrip("/")
        return BootTarget(*(f"{url}/{name}" if (store / name).is_file() else "" for name in (LOADER, ISO)))

    def withdraw(self, host: str) -> None:
        """No network boot of `host` installs any more. Idempotent."""
        folder = self._directory() / NEXT
        for pointer in sorted(folder.glob("*.ipxe")):
            with contextlib.suppress(FileNotFoundError):
                if pointer.read_text(encoding="utf-8", errors="replace").rstrip().endswith(f"/{host}.ipxe"):
                    _remove(pointer)

    def progress(self, pin: Pin) -> Progress:
        """What the machine last reported for this generation; NONE before its first report, UNKNOWN where
        the boot store takes no reports (no directory for them), or the machine's system makes none.

        Raises NeedsAttention if the machine reports a failure, or something that is no report.
        """
        folder = self._directory() / PROGRESS
        path = folder / safe_name(pin.node)
        if not folder.is_dir() or pin.way is Way.TALOS:
            return Progress.UNKNOWN
        try:
            report = json.loads(path.read_text(encoding="utf-8"))
            generation, state = report["generation"], report["state"]
        except FileNotFoundError:
            return Progress.NONE
        except OSError as error:
            raise refused(path, error) from error
        except (ValueError, TypeError, KeyError):
            raise NeedsAttention(f"report {path}", "something that is no report", _look(pin)) from None
        if generation != pin.generation:
            return Progress.NONE  # of the machine before
        if state not in STATES:
            raise NeedsAttention(f"report {path}", f"state {state!r}, not one of {sorted(STATES)}", _look(pin))
        return STATES[state]


def write_once(path: Path, data: bytes) -> None:
    """Write `data` to `path` unless it is there already. Raises NeedsAttention, and changes nothing, if other
    bytes are: the path says what they have to be, so somebody changed them or the digest is wrong."""
    try:
        if _same(path, data):
            return
        handle, temporary = tempfile.mkstemp(prefix=".new-", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                os.fchmod(file.fileno(), FILE_MODE)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(FileExistsError):  # another step wrote it just now: compared below
                os.link(temporary, path)
        finally:
            os.unlink(temporary)
        sync_directory(path.parent)
        _same(path, data)
    except OSError as error:
        raise refused(path, error) from error


def _same(path: Path, data: bytes) -> bool:
    try:
        found = path.read_bytes()
    except FileNotFoundError:
        return False
    if found != data:
        raise NeedsAttention(
            f"boot store file {path}",
            "other bytes than this generation's",
            "find out who changed it; move it away once no machine boots from it, then run `pulumi up` again",
        )
    return True


def _mac(pin: Pin) -> str:
    mac = pin.mac.lower()
    if not MAC.fullmatch(mac):
        raise NeedsAttention(
            f"pin of {pin.node}", f"MAC address {pin.mac!r}", "write six pairs of hex digits with colons"
        )
    return mac


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise refused(path, error) from error


def _look(pin: Pin) -> str:
    return f"see the console of {pin.node}"
