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
    def engine_state(self) -> Path:
        """The engine's file backend."""
        return self.folder / "state"

    def hold(self, what: str) -> TextIO:
        """Take the lock for this process; keep the file open for as long. Raises RackBusy."""
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
        """The saved world and its journal, or None if there is none. Raises WorldUnreadable."""
        if not self.world_path.exists():
            return None
        try:
            world = World.model_validate_json(self.world_path.read_bytes())
        except ValueError as error:
            raise WorldUnreadable(self.world_path, str(error).splitlines()[0]) from None
        if world.version != 1:
            raise WorldUnreadable(self.world_path, f"version {world.version}")
        lines = self.journal_path.read_text().splitlines()[: world.journal_lines] if world.journal_lines else []
        self.journal_path.write_text("".join(f"{line}\n" for line in lines))
        return world, [json.loads(line) for line in lines]

    def save(self, world: World, new_entries: list[dict[str, Any]]) -> None:
        """Append the journal, then replace the world: a kill between the two loses only journal lines."""
        if new_entries:
            with self.journal_path.open("a") as journal:
                journal.write("".join(json.dumps(e) + "\n" for e in new_entries))
        written = self.world_path.with_suffix(".new")
        written.write_text(world.model_dump_json())
        written.replace(self.world_path)

    def reset(self) -> None:
        """Forget the rack and the engine's state of it."""
        for path in self.folder.iterdir() if self.folder.exists() else ():
            if path.name != "lock":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
