"""What happened: JSON lines for machines, short lines on stderr for whoever watches the engine.

One line a fact: `at` (RFC 3339, UTC), `node`, `event` (`begin`, `end`, `waited`, `volume` or `note`), and the
event's own fields, named as in `lifecycle.ports.Evidence`. Several steps append to one file at a time.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from lifecycle.adapters.files import safe_name
from lifecycle.errors import LifecycleError
from lifecycle.ports import Clock, Move


def evidence_file(root: Path, stack: str) -> Path:
    """Where the steps of a stack leave it, in the project at `root`."""
    return root / ".ingot" / "evidence" / f"{safe_name(stack)}.jsonl"


class FileEvidence:
    """Fulfils `lifecycle.ports.Evidence`. path: finds the file, asked at each line.

    A disk that is full must not stop a drain half way: what cannot be written is said once on the
    stream, and the step goes on.
    """

    def __init__(self, path: Callable[[], Path], clock: Clock, stream: TextIO | None = None) -> None:
        self._path, self._clock, self._stream = path, clock, stream
        self._told = False

    def begin(self, node: str, phase: str, detail: str = "") -> None:
        self._append(node, "begin", phase=phase, detail=detail)
        self._say(node, f"{phase}: {detail}" if detail else phase)

    def end(self, node: str, outcome: str) -> None:
        self._append(node, "end", outcome=outcome)
        self._say(node, outcome)

    def waited(self, node: str, what: str, start_s: float, end_s: float, limit_s: float, met: bool) -> None:
        self._append(node, "waited", what=what, start=_moment(start_s), end=_moment(end_s), limit_s=limit_s, met=met)
        if met:
            self._say(node, f"waited {end_s - start_s:.0f} s for {what}")
        else:
            self._say(node, f"gave up after {end_s - start_s:.0f} s of {limit_s:.0f} s: {what}")

    def volume(self, node: str, move: Move) -> None:
        moments = {"evicted": move.evicted_s, "unmounted": move.unmounted_s, "detached": move.detached_s}
        moments |= {"attached": move.attached_s, "ready": move.ready_s}
        shown = {stage: None if at_s is None else _moment(at_s) for stage, at_s in moments.items()}
        of = {"volume": move.volume, "claim": move.claim, "pod": move.pod, "to": move.to_node}
        self._append(node, "volume", **of, **shown)
        start_s, known = (
            move.evicted_s,
            [
                f"{stage} {at_s - (move.evicted_s or at_s):.1f} s"
                for stage, at_s in moments.items()
                if at_s is not None and stage != "evicted"
            ],
        )
        if start_s is not None and known:
            self._say(node, f"volume {move.volume} after its eviction: {', '.join(known)}")

    def note(self, node: str, text: str) -> None:
        self._append(node, "note", text=text)
        self._say(node, text)

    def _append(self, node: str, event: str, **fields: object) -> None:
        line = json.dumps({"at": _moment(self._clock.now_s()), "node": node, "event": event, **fields}) + "\n"
        try:
            path = self._path()
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
            try:
                data = b"\n" * _is_torn(handle) + line.encode()
                if os.write(handle, data) < len(data):  # one write, so that lines of several steps do not mix
                    raise OSError(errno.ENOSPC, "only half a line was written")
            finally:
                os.close(handle)
        except (OSError, LifecycleError) as error:
            if not self._told:
                self._told = True
                self._say(node, f"evidence is not kept: {error}")

    def _say(self, node: str, text: str) -> None:
        print(f"{node or 'fleet'} {text}", file=self._stream or sys.stderr, flush=True)


def _is_torn(handle: int) -> bool:
    """Whether the file ends with half a line, of a disk that was full or a machine that lost its power: the next
    line would be lost with it."""
    size = os.fstat(handle).st_size
    return size > 0 and os.pread(handle, 1, size - 1) != b"\n"


def _moment(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
