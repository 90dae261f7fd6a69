"""`ingot up`: the engine's own end, told apart by what its steps said."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO, ClassVar

import pytest

from cli import outcome
from cli.main import load

PROJECT = Path(__file__).resolve().parents[2]
LIMIT_S = 60
ENGINE = """#!/bin/sh
case "$1" in
version) echo v3.999.0; exit 0 ;;
esac
echo "engine $*"
case "$5" in
--stops) echo stopped >> "$INGOT_OUTCOME"; exit 255 ;;
--stops-and-another-fails)
    echo stopped >> "$INGOT_OUTCOME"
    for urn in urn:w2.membership urn:w2.membership urn:some.release; do
        echo '{"resOpFailedEvent": {"metadata": {"op": "delete", "urn": "'$urn'"}, "status": 0, "steps": 1}}' >> "$7"
    done
    exit 255 ;;
--stops-alone)
    echo stopped >> "$INGOT_OUTCOME"
    echo '{"resOpFailedEvent": {"metadata": {"op": "delete", "urn": "urn:w2.membership"}}}' >> "$7"
    echo '{"diagnosticEvent": {"severity": "error", "urn": "urn:w2.membership"}}' >> "$7"
    printf '{"resOpFailedEv' >> "$7"
    exit 255 ;;
--stops-and-halts) echo stopped >> "$INGOT_OUTCOME"; echo halted >> "$INGOT_OUTCOME"; exit 255 ;;
--fails) exit 255 ;;
--waits)
    trap 'trap "echo cut short" INT; sleep 1; echo state written; exit 255' INT
    echo waiting
    while :; do sleep 0.1; done ;;
esac
"""

TAKES_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    """A folder with programs that are called as the engine's are."""
    for name in ("pulumi", "pulumi-language-python"):
        script = tmp_path / name
        script.write_text(ENGINE)
        script.chmod(0o755)
    return tmp_path


def up(engine: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cli.main", "up", "metal", *words],
        cwd=PROJECT,
        env={**os.environ, "PATH": f"{engine}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


class TestExitCode:
    """0 done, 3 stopped as asked, 1 for everything else."""

    @pytest.mark.parametrize(
        ("word", "code"),
        [
            ("--yes", 0),
            ("--stops", 3),
            ("--stops-alone", 3),
            ("--stops-and-halts", 1),
            ("--stops-and-another-fails", 1),
            ("--fails", 1),
        ],
        ids=str,
    )
    def test_of(self, engine: Path, word: str, code: int) -> None:
        ended = up(engine, "--", "--skip-preview", word)
        assert ended.returncode == code, ended.stderr
        assert f"engine up --stack metal --skip-preview {word}" in ended.stdout
        assert ("stopped as asked" in ended.stderr) is (code == outcome.STOPPED)

    def test_an_engine_that_cannot_run_the_program_is_named(self, engine: Path) -> None:
        (engine / "pulumi-language-python").unlink()
        ended = up(engine, "--", "--yes")
        if "engine up" in ended.stdout:
            pytest.skip("this machine has a language host of its own on PATH")
        assert ended.returncode == 1
        assert "no Python language host" in ended.stderr

    def test_a_stack_is_a_name(self) -> None:
        ended = subprocess.run([sys.executable, "-m", "cli.main", "up", "../x"], cwd=PROJECT, check=False)
        assert ended.returncode == 2


class TestInterrupted:
    """The engine ends in its own time, as without `ingot`: killed, it would leave its lock and a stale state."""

    WORDS: ClassVar = [sys.executable, "-m", "cli.main", "up", "metal", "--", "--yes", "--waits"]

    def environment(self, engine: Path) -> dict[str, str]:
        return {**os.environ, "PATH": f"{engine}{os.pathsep}{os.environ['PATH']}"}

    def test_by_a_terminal(self, engine: Path) -> None:
        ours, theirs = os.openpty()
        with subprocess.Popen(
            [sys.executable, "-c", TAKES_TERMINAL, *self.WORDS],
            cwd=PROJECT,
            env=self.environment(engine),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        ) as ingot:
            os.close(theirs)
            with open(ours, "r+b", buffering=0) as terminal:
                said = self.until(terminal, b"waiting")
                terminal.write(b"\x03")
                said += self.until(terminal, b"state written")
                assert ingot.wait(LIMIT_S) == 1
        assert b"cut short" not in said

    @pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
    def test_by_whoever_cancels_a_job(self, engine: Path, sent: signal.Signals) -> None:
        with subprocess.Popen(
            self.WORDS, cwd=PROJECT, env=self.environment(engine), stdout=subprocess.PIPE, start_new_session=True
        ) as ingot:
            assert ingot.stdout is not None
            self.until(ingot.stdout, b"waiting")
            os.killpg(ingot.pid, sent)
            said = ingot.stdout.read()
            assert ingot.wait(LIMIT_S) == 1
        assert said.split(b"\n") == [b"state written", b""]

    def until(self, stream: IO[bytes], word: bytes) -> bytes:
        """All that is read up to a line with `word`."""
        said = b""
        while word not in said or not said.endswith(b"\n"):
            byte = stream.read(1)
            assert byte, said
            said += byte
        return said


class TestOutcome:
    """What a step leaves for whoever waits for the engine."""

    def test_nobody_waits(self) -> None:
        outcome.note({}, stopped=True)

    def test_lines_of_several_steps(self, tmp_path: Path) -> None:
        told = tmp_path / "outcome"
        told.touch()
        variables = {outcome.VARIABLE: str(told)}
        outcome.begins(variables)
        assert outcome.code(255, told) == 1
        outcome.note(variables, stopped=True)
        assert outcome.code(255, told) == outcome.STOPPED
        outcome.note(variables, stopped=False)
        assert outcome.code(255, told) == 1
        assert outcome.code(0, told) == 0

    def test_a_file_that_is_gone_stops_no_step(self, tmp_path: Path) -> None:
        outcome.note({outcome.VARIABLE: str(tmp_path / "gone" / "outcome")}, stopped=True)


def test_it_is_a_verb() -> None:
    assert load("up").name == "up"
