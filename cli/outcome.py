"""How a run ended, beyond good or bad: what its steps leave for whoever waits for the engine.

The engine ends alike whether a step halted or stopped as it was asked to. So `ingot up` names a file in the
environment, which every step inherits: each adds a line to it when it begins, and one when it does not end well.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
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
    """The run's exit code: 0 done, STOPPED if steps stopped as asked and none halted, else 1."""
    if engine_code == 0:
        return 0
    return STOPPED if _said(told) - {ACT} == {STOP} else 1


def acted(told: Path) -> bool:
    """Whether any step of the run acted."""
    return ACT in _said(told)


def _said(told: Path) -> set[str]:
    return set(told.read_text(encoding="ascii").split())


def environment_with(told: Path) -> dict[str, str]:
    """This process's environment, with the file named in it."""
    return {**os.environ, VARIABLE: str(told)}
