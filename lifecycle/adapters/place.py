"""Where a boot store is, as the machine that runs the steps sees it: one form a kind."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Folder:
    """A directory that a web server serves."""

    directory: Path


@dataclass(frozen=True)
class Bucket:
    """A bucket of S3."""

    name: str
    region: str


@dataclass(frozen=True)
class Matchbox:
    """A matchbox's folders. directory: its -data-path. assets: its -assets-path."""

    directory: Path
    assets: Path


Place = Folder | Bucket | Matchbox
