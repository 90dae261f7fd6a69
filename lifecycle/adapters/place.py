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
    """A bucket of S3. takes_reports: whether machines' reports get there. turns: a folder of this machine where those
    who would fetch one file for it take turns; None: nobody else does."""

    name: str
    region: str
    takes_reports: bool = True
    turns: Path | None = None


@dataclass(frozen=True)
class Matchbox:
    """A matchbox's folders. directory: its -data-path. assets: its -assets-path."""

    directory: Path
    assets: Path


Place = Folder | Bucket | Matchbox
