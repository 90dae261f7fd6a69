"""How a run ended, beyond good or bad: what its steps leave for whoever waits for the engine.

The engine ends alike whether a step halted or stopped as it was asked to. So `ingot up` names a file in the
environment, which every step inherits: each adds a line to it when it begins, and one when it does not end well.
What fails beside our steps says nothing there, so the engine's own events are counted too.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

STOPPED = 3
"""The exit code of a run that stopped as asked: 1 says that something is wrong, 2 that a verb was wrongly called."""

VARIABLE = "INGOT_OUTCOME"
ACT, STOP, HALT = "acts", "stopped", "halted"


def begins(environment: Mapping[str, str]) -> None:
    """Say that a step acts."""
    _tell(environment, ACT)


def note(environment: Mapping[str, str], *, stopped: bool) -> None:
    """Say how this step ended, if anybody wants to know. A file that cannot be written leaves the run halted."""
    _tell(environment, STOP if stopped else HALT)


def _tell(environment: Mapping[str, str], word: str) -> None:
    path = environment.get(VARIABLE)
    if path:
        try:
            with open(path, "a", encoding="ascii") as told:
                told.write(f"{word}\n")
        except OSError:
            return


def code(engine_code: int, told: Path) -> int:
    """The run's exit code: 0 done, STOPPED if steps stopped as asked, none halted, and no resource failed beside
    them, else 1."""
    if engine_code == 0:
        return 0
    said = _said(told)
    stops = said.count(STOP)
    return STOPPED if stops and HALT not in said and len(set(_failed(told))) <= stops else 1


def acted(told: Path) -> bool:
    """Whether any step of the run acted."""
    return ACT in _said(told)


def _said(told: Path) -> list[str]:
    return told.read_text(encoding="ascii").split()


def _failed(told: Path) -> Iterator[str]:
    """The resources whose operation failed, a step that stopped among them, as far as the engine wrote its events."""
    try:
        lines = _events(told).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:  # the last one of an engine that was killed
            continue
        failed = event.get("resOpFailedEvent") if isinstance(event, dict) else None
        if failed:
            yield str(failed["metadata"]["urn"])


def _events(told: Path) -> Path:
    return told.with_name(f"{told.name}.events")


def words_with(words: Sequence[str], told: Path) -> list[str]:
    """The engine's command, told to write its events beside the file."""
    return [*words, "--event-log", str(_events(told))]


def environment_with(told: Path) -> dict[str, str]:
    """This process's environment, with the file named in it. The engine takes `--event-log` as one of its commands
    for debugging; its Automation API has it by the same variable."""
    return {**os.environ, VARIABLE: str(told), "PULUMI_DEBUG_COMMANDS": "true"}
