"""Processes of a lab: found by their mark, stopped for sure, and nobody else's touched."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import processes
from lab.errors import PartFailed, PartStillRuns
from lab.processes import Part
from tests.lab.eventually import eventually

IDLE = "import time; print('idle', flush=True); time.sleep(600)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {IDLE}"


def part(folder: Path, name: str, script: str = IDLE) -> Part:
    """A part that serves once it has said something."""
    log = processes.log_path(folder, name)
    return Part(name, [sys.executable, "-c", script], lambda: "" if log.read_text(encoding="utf-8") else "nothing")


def up(folder: Path, name: str, script: str = IDLE) -> subprocess.Popen[bytes]:
    made = part(folder, name, script)
    process = processes.start(made, folder)
    processes.wait_until_it_answers(made, process, folder, 30)
    return process


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    processes.stop(tmp_path)


class TestRunning:
    """Whatever carries the lab's mark is a part of it, whoever started it."""

    def test_names_its_parts_with_facts(self, folder: Path) -> None:
        process = up(folder, "one")
        found = processes.running(folder)
        assert [(name, part.pid) for name, part in found.items()] == [("one", process.pid)]
        assert found["one"].start_ticks > 0
        assert found["one"].memory_bytes > 1 << 20

    def test_of_another_lab_are_not_its(self, folder: Path) -> None:
        up(folder, "one")
        assert processes.running(folder / "other") == {}

    def test_one_that_ended_and_was_not_collected_does_not_count(self, folder: Path) -> None:
        process = up(folder, "one")
        os.kill(process.pid, signal.SIGKILL)
        eventually(lambda: not processes.running(folder), "nothing to run")
        assert process.poll() == -signal.SIGKILL


class TestAPartThatDoesNotServe:
    """Its last words are in the error."""

    def test_because_it_ended(self, folder: Path) -> None:
        made = Part("one", [sys.executable, "-c", "raise SystemExit('no port')"], lambda: "nothing at its port")
        with pytest.raises(PartFailed, match=r"(?s)one: expected .* found that it ended with 1\. .*no port\nRemedy"):
            processes.wait_until_it_answers(made, processes.start(made, folder), folder, 30)

    def test_in_time(self, folder: Path) -> None:
        made = Part("one", [sys.executable, "-c", IDLE], lambda: "HTTP 500")
        with pytest.raises(PartFailed, match="within 0 s, found HTTP 500"):
            processes.wait_until_it_answers(made, processes.start(made, folder), folder, 0)


class TestStop:
    """SIGTERM, then SIGKILL, then an error; only for what is the lab's."""

    def test_ends_all_and_says_whom(self, folder: Path) -> None:
        up(folder, "one")
        up(folder, "two")
        assert processes.stop(folder) == ["one", "two"]
        assert processes.running(folder) == {}
        assert processes.stop(folder) == []

    def test_ends_the_named_ones(self, folder: Path) -> None:
        up(folder, "one")
        up(folder, "two")
        assert processes.stop(folder, ["two", "three"]) == ["two"]
        assert list(processes.running(folder)) == ["one"]

    def test_kills_what_ignores_sigterm(self, folder: Path) -> None:
        process = up(folder, "one", STUBBORN)
        assert processes.stop(folder, term_limit_s=0.2) == ["one"]
        assert process.wait(10) == -signal.SIGKILL

    def test_says_what_is_left(self, folder: Path) -> None:
        process = up(folder, "one", STUBBORN)
        with pytest.raises(PartStillRuns, match=rf"one \(process {process.pid}\): expected them gone 0 s"):
            processes.stop(folder, term_limit_s=0, kill_limit_s=0)

    def test_comes_last_to_what_the_others_need(self, folder: Path) -> None:
        leaving = f"""
import pathlib, signal, sys, time
def end(*_):
    pathlib.Path('told').open('a').write(sys.argv[0] + ' ')
    time.sleep(0.3)  # whoever is told at the same time is told by then
    pathlib.Path('told').open('a').write('gone ')
    sys.exit()
signal.signal(signal.SIGTERM, end)
{IDLE}"""
        store = dataclasses.replace(part(folder, "store", leaving.replace("sys.argv[0]", "'store'")), last=True)
        processes.wait_until_it_answers(store, processes.start(store, folder), folder, 30)
        up(folder, "user", leaving.replace("sys.argv[0]", "'user'"))
        processes.stop(folder)
        assert (folder / "told").read_text(encoding="utf-8").split() == ["user", "gone", "store", "gone"]

    def test_leaves_a_process_without_the_mark_alone(self, folder: Path) -> None:
        with subprocess.Popen([sys.executable, "-c", IDLE], stdout=subprocess.DEVNULL, cwd=folder) as other:
            up(folder, "one")
            processes.stop(folder)
            assert other.poll() is None
            other.kill()


class TestTheirEnvironment:
    """A part meets its own lab, not what the caller's shell points at."""

    def test_leads_nowhere_else(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("KUBECONFIG", "HTTPS_PROXY", "ETCD_NAME"):
            monkeypatch.setenv(name, "elsewhere")
        assert "elsewhere" not in processes.caller_environment().values()
