"""What a dead run left in the engine's state: its lock and its pending operations.

The file backend's lock names the process that holds it. A run that was killed leaves it behind, and an
engine whose program was killed needs a moment to notice. So: wait for that process to end, within a
deadline, and only then clear; a live one is never cleared.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from pulumi import automation

DYING_S = 60.0
"""Real seconds that an engine may take to notice that its program is gone."""


class EngineStillRuns(Exception):
    """The process that holds the lock is alive and is an engine."""

    def __init__(self, pid: int, state: Path) -> None:
        super().__init__(
            f"engine state {state}: expected no run, found pulumi with pid {pid} still running after {DYING_S:.0f} s. "
            "Nothing was changed. Remedy: wait until it has ended, or stop it, then run the same command again"
        )
        self.pid = pid


def _locks(state: Path) -> list[Path]:
    return sorted((state / ".pulumi" / "locks").rglob("*.json"))


def engine_pid(state: Path) -> int | None:
    """The process that holds the state's lock, or None."""
    for path in _locks(state):
        try:
            return int(json.loads(path.read_text())["pid"])
        except (OSError, ValueError, KeyError):
            continue
    return None


def _is_engine(pid: int, state: Path) -> bool:
    """Whether that process lives and is an engine on this very state; when in doubt it is.

    A pid may have been given to another program since, or to a pulumi of another stack.
    """
    process = Path(f"/proc/{pid}")
    if not Path("/proc/self").exists():
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True
    try:
        words = (process / "cmdline").read_bytes().split(b"\0")
        status = (process / "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    if status == "Z" or not Path(words[0].decode(errors="replace")).name.startswith("pulumi"):
        return False
    try:
        return str(state).encode() in (process / "environ").read_bytes()
    except OSError:
        return True


def clear_dead_run(stack: automation.Stack, state: Path) -> None:
    """Make the stack usable again after a kill. Raises EngineStillRuns.

    Pending operations are dropped: every step is idempotent and keyed by its host, so the engine
    may ask for it again whether or not it was done.
    """
    pid = engine_pid(state)
    if pid is not None:
        until = time.monotonic() + DYING_S
        while _is_engine(pid, state):
            if time.monotonic() >= until:
                raise EngineStillRuns(pid, state)
            time.sleep(0.05)
        stack.cancel()
    for path in _locks(state):  # cut off while it was written, so that it names nobody
        if pid is None:
            path.unlink()
    checkpoint = state / ".pulumi" / "stacks"
    if not any('"pending_operations"' in p.read_text() for p in checkpoint.rglob("*.json") if p.is_file()):
        return
    exported = stack.export_stack()
    deployment = dict(exported.deployment or {})
    if deployment.get("pending_operations"):
        deployment["pending_operations"] = []
        stack.import_stack(automation.Deployment(version=exported.version, deployment=deployment))
