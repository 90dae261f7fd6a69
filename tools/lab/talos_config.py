"""Asks the program that makes and validates Talos' machine configurations: many requests in one run of it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tools.lab import obtain
from tools.lab.parts import TALOS_CONFIG

ANSWER_LIMIT_S = 120.0
"""A hundred configurations take a second; secrets take two each (keys of 4096 bits)."""


class TalosRefused(Exception):
    """What was asked for cannot be: Talos' own words."""


class TalosConfigFailed(Exception):
    """The program itself did not answer."""


def kept() -> Path | None:
    """The program, if it was built and is as it was recorded."""
    return obtain.kept(TALOS_CONFIG)


def ask(program: Path, requests: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The answer to each request, in order; tools/lab/talos/main.go says what may be asked.

    Requests and answers hold secrets, so neither is in any error. Raises TalosConfigFailed.
    """
    lines = "".join(json.dumps(request) + "\n" for request in requests)
    try:
        done = subprocess.run(
            [str(program)], input=lines, capture_output=True, text=True, timeout=ANSWER_LIMIT_S, check=True
        )
        answers = [json.loads(line) for line in done.stdout.splitlines()]
    except subprocess.CalledProcessError as error:
        found = f"exit code {error.returncode}"
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        found = type(error).__name__
    else:
        if len(answers) == len(requests):
            return answers
        found = f"{len(answers)} answers"
    raise TalosConfigFailed(
        f"{program}: expected {len(requests)} answers, found {found}. "
        "Remedy: `python -m tools.lab --ensure` builds it anew, if its folder is removed first"
    )


def answered(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """The same answer. Raises TalosRefused if it is a refusal."""
    if "error" in answer:
        raise TalosRefused(str(answer["error"]))
    return answer
