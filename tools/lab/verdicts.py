"""Asks Ignition itself whether it accepts a configuration: one process, as many questions as there are.

`verdicts` has all its questions beforehand; `validator` is for whoever makes the next one from the last answer.
"""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

NAME: Final = "ignition-validate"
"""The part of the lab that answers (tools/lab/ignition)."""
END_LIMIT_S: Final = 30.0
"""To end once nothing more is asked; it does at once."""
ANSWERS_LIMIT_S: Final = 120.0
"""Ten thousand configurations take a second."""


class ValidatorFailed(Exception):
    """The validator ended without an answer. `str()` says which, and what it said last."""


@dataclass(frozen=True)
class Verdict:
    """What Ignition says of one configuration. report: a line each; warnings too, which leave it valid."""

    valid: bool
    report: tuple[str, ...]


@dataclass(frozen=True)
class Validator:
    """A running validator. See `validator`."""

    binary: Path
    questions: IO[bytes]
    answers: IO[bytes]

    def judge(self, configuration: bytes) -> Verdict:
        """Ignition's verdict. Raises ValidatorFailed if it gives none."""
        try:
            self.questions.write(base64.b64encode(configuration) + b"\n")
            self.questions.flush()
            return _verdict(self.answers.readline())
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise _failed(self.binary, "a verdict", f"none ({type(error).__name__}: {error})") from error


@contextmanager
def validator(binary: Path) -> Iterator[Validator]:
    """Starts the validator, and ends it at the end. binary: as tools.lab.obtain has it."""
    with subprocess.Popen([str(binary)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        if process.stdin is None or process.stdout is None:
            raise ValidatorFailed(f"{binary}: expected pipes to it, found none")
        try:
            yield Validator(binary, process.stdin, process.stdout)
        finally:
            with suppress(OSError):  # it may be gone already
                process.stdin.close()
            try:
                process.wait(timeout=END_LIMIT_S)
            except subprocess.TimeoutExpired:
                process.kill()


def verdicts(binary: Path, configurations: Sequence[bytes]) -> tuple[Verdict, ...]:
    """Ignition's verdict on each, in order, from one run of the validator. Raises ValidatorFailed if one is missing, or
    they take too long."""
    asked = b"".join(base64.b64encode(configuration) + b"\n" for configuration in configurations)
    expected = f"{len(configurations)} verdicts"
    try:
        done = subprocess.run([str(binary)], input=asked, capture_output=True, timeout=ANSWERS_LIMIT_S, check=True)
        found = tuple(_verdict(line) for line in done.stdout.splitlines())
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError) as error:
        raise _failed(binary, expected, f"none ({type(error).__name__})") from error
    if len(found) != len(configurations):
        raise _failed(binary, expected, str(len(found)))
    return found


def _verdict(line: bytes) -> Verdict:
    said = json.loads(line)
    return Verdict(bool(said["valid"]), tuple(said["report"]))


def _failed(binary: Path, expected: str, found: str) -> ValidatorFailed:
    remedy = "`python -m tools.lab --ensure` builds it anew if it is not as it was recorded"
    return ValidatorFailed(f"{binary}: expected {expected}, found {found}. Remedy: {remedy}")
