"""Where engines are kept in the cache folder, and what is recorded of each."""

from __future__ import annotations

import json
import platform
from pathlib import Path

from tools.cache import digest
from tools.engine.choice import PINNED, Found, Source

RECORD = "record.json"
"""Beside each cached engine: its version, source and digest."""


def home(cache: Path) -> Path:
    """Where the pinned engine for this kind of machine is kept; its binary is `bin/pulumi`."""
    return cache / "engine" / f"pulumi-{PINNED}-{platform.system().lower()}-{platform.machine().lower()}"


def write_record(root: Path, source: Source, reports: str) -> None:
    """Record what was put under `root`, so that `examine` can tell whether it is still that."""
    record = {"version": reports, "source": source.value, "sha256": digest(root / "bin" / "pulumi")}
    (root / RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def examine(root: Path) -> Found | None:
    """The engine under `root` compared with its record, without running it; None if there is none."""
    binary = root / "bin" / "pulumi"
    if not binary.exists():
        return None
    try:
        record = json.loads((root / RECORD).read_text(encoding="utf-8"))
        reports, recorded, origin = str(record["version"]), str(record["sha256"]), str(record["source"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        return Found(binary, "", f"its record {root / RECORD} cannot be read ({type(error).__name__})")
    actual = digest(binary)
    if actual != recorded:
        return Found(binary, reports, f"its SHA-256 is {actual[:16]}..., recorded was {recorded[:16]}...")
    return Found(binary, reports, origin=origin)
