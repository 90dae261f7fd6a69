"""What the steps of a rehearsal said, as a real roll leaves it: the same lines, written by the same adapter.

So `ingot timeline` reads both. Virtual seconds become moments of 1970. What only the rack sees (its laws, its
gauges) is in no step's evidence, and not in these lines either.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lifecycle.adapters.evidence import FileEvidence
from lifecycle.ports import Move
from report.evidence import Begin, End, Event, Note, Volume, Waited

Entries = Iterable[Mapping[str, Any]]


class _Then:
    """A clock that stands at the moment of the entry that is being written."""

    def __init__(self) -> None:
        self.at_s = 0.0

    def now_s(self) -> float:
        return self.at_s

    def sleep(self, seconds: float) -> None:
        self.at_s += seconds

    def wait(self, about: str, until_s: float) -> None:
        self.at_s = until_s


def write(entries: Entries, path: Path) -> None:
    """Replace the file by what these entries of the journal say."""
    path.write_bytes(b"")
    then = _Then()
    evidence = FileEvidence(lambda: path, then, io.StringIO())
    for e in entries:
        then.at_s = e["at"]
        match e["kind"]:
            case "begin":
                evidence.begin(e["node"], e["phase"], e["detail"])
            case "end":
                evidence.end(e["node"], e["outcome"])
            case "waited":
                evidence.waited(e["node"], e["what"], e["start_s"], e["end_s"], e["limit_s"], e["met"])
            case "volume":
                evidence.volume(e["node"], Move(**{f.name: e[f.name] for f in fields(Move)}))
            case "note":
                evidence.note(e["node"], e["text"])


def events(entries: Entries) -> tuple[Event, ...]:
    """The same, as the report reads it from that file."""
    return tuple(event for e in entries if (event := _event(e)))


def _event(e: Mapping[str, Any]) -> Event | None:
    match e["kind"]:
        case "begin":
            return Begin(at=_at(e["at"]), node=e["node"], event="begin", phase=e["phase"], detail=e["detail"])
        case "end":
            return End(at=_at(e["at"]), node=e["node"], event="end", outcome=e["outcome"])
        case "note":
            return Note(at=_at(e["at"]), node=e["node"], event="note", text=e["text"])
        case "waited":
            return Waited(
                at=_at(e["at"]),
                node=e["node"],
                event="waited",
                what=e["what"],
                start=_at(e["start_s"]),
                end=_at(e["end_s"]),
                limit_s=e["limit_s"],
                met=e["met"],
            )
        case "volume":
            stages = ("evicted", "detached", "attached", "ready")
            came = {stage: _at(at_s) for stage in stages if (at_s := e[f"{stage}_s"]) is not None}
            of = {"volume": e["volume"], "pod": e["pod"], "to": e["to_node"]}
            return Volume.model_validate({"at": _at(e["at"]), "node": e["node"], "event": "volume", **of, **came})
    return None


def _at(at_s: float) -> datetime:
    return datetime.fromtimestamp(round(at_s, 3), UTC)
