"""What starts an installation, for boot services that name its parts one by one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Artifact:
    """A file of the image's publisher, as pinned."""

    url: str
    sha256: str

    @property
    def path(self) -> str:
        """Where a boot store keeps it: by its content."""
        return f"boot/sha256/{self.sha256}/{PurePosixPath(urlsplit(self.url).path).name}"


@dataclass(frozen=True)
class Installer:
    """arguments: of the kernel. fetch: a file of the publisher's by its URL, on disk while the context lasts, not
    verified yet; raises what explains itself."""

    kernel: Artifact
    initrd: Artifact
    arguments: tuple[str, ...]
    fetch: Callable[[str], AbstractContextManager[Path]]
