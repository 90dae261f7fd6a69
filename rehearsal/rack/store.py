"""Where a rack is kept between calls: `.ingot/rack/<stack>/`, made durable before a step returns.

`world.json` is replaced atomically; `journal.jsonl` is only appended to, and what was written after
the last world is cut off when it is read again. One process at a time holds the lock; the kernel drops
it when that process dies, so a dead run never blocks the next.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from rehearsal.rack.world import World


class RackBusy(Exception):
    """Another run holds this rack. holder: what it wrote about itself, such as `pid 4711, ingot rack up metal`."""

    def __init__(self, stack: str, holder: str) -> None:
        super().__init__(
            f"rack {stack}: expected no other run, found {holder}. Nothing was changed. "
            "Remedy: wait until it has ended, or stop it, then run the same command again"
        )
        self.stack, self.holder = stack, holder


class WorldUnreadable(Exception):
    """The saved rack is not one that this version reads."""

    def __init__(self, path: Path, found: str) -> None:
        super().__init__(
            f"{path}: expected a saved rack of version 1, found {found}. Nothing was changed. "
            f"Remedy: `ingot rack reset {path.parent.name}` starts an empty rack"
        )


class StoreUnusable(Exception):
    """The rack's folder cannot be written or read."""

    def __init__(self, folder: Path, found: str) -> None:
        super().__init__(
            f"{folder}: expected a folder that can be written, found {found}. "
            "Remedy: make room or name another place by INGOT_HOME, then run the same command again"
        )


@contextmanager
def usable(folder: Path) -> Iterator[None]:
    """Say what is wrong with the place, not that something unexpected happened. Raises StoreUnusable."""
    try:
        yield
    except OSError as error:
        raise StoreUnusable(folder, error.strerror or str(error)) from None


KEPT = frozenset(
    {"aws.jsonl", "letter.json", "world.json", "world.new", "journal.jsonl", "journal.new", "state", "project", "typed"}
)
"""What a rack's folder holds beside its lock; nothing else is ever deleted."""


@dataclass
class Store:
    """One stack's rack on disk."""

    folder: Path

    @property
    def world_path(self) -> Path:
        return self.folder / "world.json"

    @property
    def journal_path(self) -> Path:
        return self.folder / "journal.jsonl"

    @property
    def account(self) -> Path:
        """What was asked of the rack's AWS (rehearsal/aws/calls.py)."""
        return self.folder / "aws.jsonl"

    @property
    def engine_state(self) -> Path:
        """The engine's file backend."""
        return self.folder / "state"

    @property
    def letter(self) -> Path:
        """What another terminal asks of the cluster (rehearsal/letters.py)."""
        return self.folder / "letter.json"

    def hold(self, what: str) -> TextIO:
        """Take the lock for this process; keep the file open for as long. Raises RackBusy, StoreUnusable."""
        with usable(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = (self.folder / "lock").open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "a process that has not said its name yet"
            lock.close()
            raise RackBusy(self.folder.name, holder) from None
        lock.seek(0)
        lock.truncate()
        lock.write(f"pid {os.getpid()}, {what}")
        lock.flush()
        return lock

    def load(self) -> tuple[World, list[dict[str, Any]]] | None:
        """The saved world and its journal, or None if there is none. Writes nothing. Raises WorldUnreadable."""
        if not self.world_path.exists():
            return None
        try:
            world = World.model_validate_json(self.world_path.read_bytes())
        except ValueError as error:
            raise WorldUnreadable(self.world_path, str(error).splitlines()[0]) from None
        if world.version != 1:
            raise WorldUnreadable(self.world_path, f"version {world.version}")
        return world, self._journal(world.journal_lines)

    def _journal(self, lines: int) -> list[dict[str, Any]]:
        try:
            said = self.journal_path.read_text().splitlines()[:lines] if lines else []
            entries: list[dict[str, Any]] = [json.loads(line) for line in said]
        except (OSError, ValueError) as error:
            raise WorldUnreadable(self.journal_path, str(error)) from None
        if len(entries) < lines:
            raise WorldUnreadable(self.journal_path, f"{len(entries)} of {lines} lines")
        return entries

    def cut_journal(self, entries: list[dict[str, Any]]) -> None:
        """Drop what was written after the last world, which a kill left behind. Lock held."""
        with usable(self.folder):
            self._replace(self.journal_path, "".join(json.dumps(e) + "\n" for e in entries))

    def half_reset(self) -> bool:
        """Whether the engine has state for a rack that is gone."""
        return not self.world_path.exists() and any(self.engine_state.rglob("*.json"))

    def save(self, world: World, new_entries: list[dict[str, Any]]) -> None:
        """Append the journal, then replace the world: a kill between the two loses only journal lines."""
        with usable(self.folder):
            if new_entries:
                with self.journal_path.open("a") as journal:
                    journal.write("".join(json.dumps(e) + "\n" for e in new_entries))
            self._replace(self.world_path, world.model_dump_json())

    def _replace(self, path: Path, text: str) -> None:
        """So that a reader, or a run after a kill, finds the old text or the new one."""
        written = path.with_suffix(".new")
        written.write_text(text)
        written.replace(path)

    def reset(self) -> None:
        """Forget the rack and the engine's state of it, the world last: a kill in between is noticed."""
        if not self.folder.exists():
            return
        with usable(self.folder):
            for path in sorted(self.folder.iterdir(), key=lambda p: p == self.world_path):
                if path.name in KEPT:
                    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
