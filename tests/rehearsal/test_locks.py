"""One run at a time: a second is refused, naming the first; what a dead one left is cleared, a live one's never."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rehearsal import engine_lock
from rehearsal.session import ROOT
from tests.rehearsal.fleet import NEW, OLD, Fleet

INGOT = [sys.executable, "-m", "cli.main"]
WAIT_S = 60
LOOK_S = 0.02


def variables(home: Path) -> dict[str, str]:
    return {**os.environ, "INGOT_HOME": str(home), "PYTHONPATH": str(ROOT)}


@contextmanager
def running(home: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """`ingot` in a process group of its own, which ends with the block."""
    process = subprocess.Popen(
        [*INGOT, *arguments],
        cwd=ROOT,
        env=variables(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def ingot(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*INGOT, *arguments], cwd=ROOT, env=variables(home), capture_output=True, text=True, timeout=WAIT_S, check=False
    )


def until_it_rolls(fleet: Fleet, process: subprocess.Popen[str], word: bytes = b"") -> None:
    """Return once a step of the run was made durable. word: that must be in what the journal holds of the run."""
    journal = fleet.folder / "journal.jsonl"
    until = time.monotonic() + WAIT_S
    before = journal.stat().st_size
    while len(now := journal.read_bytes()[before:]) == 0 or word not in now:
        assert process.poll() is None, "the first run ended before a second could begin"
        assert time.monotonic() < until
        time.sleep(LOOK_S)


def at_rest(folder: Path) -> dict[Path, bytes]:
    """Every file's content, once it reads the same twice: a stopped process stops a moment after it is told to."""
    until = time.monotonic() + WAIT_S
    found, seen = contents(folder), None
    while found != seen:
        assert time.monotonic() < until
        time.sleep(LOOK_S)
        found, seen = contents(folder), found
    return found


def contents(folder: Path) -> dict[Path, bytes]:
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


class TestTwoRuns:
    """The second is refused at once and changes nothing; the first goes on to its end."""

    def test_the_second_names_the_first(self, brought_up: Path, tmp_path: Path) -> None:
        fleet = Fleet(tmp_path / "rack" / "metal")
        shutil.copytree(brought_up, fleet.folder)
        with running(tmp_path, "rack", "up", "metal", "--image", NEW) as first:
            until_it_rolls(fleet, first)
            os.killpg(first.pid, signal.SIGSTOP)  # it holds everything it has, for as long as it takes to look
            before = at_rest(fleet.folder)
            for verb in (["up", "metal", "--image", OLD], ["destroy", "metal"]):
                second = ingot(tmp_path, "rack", *verb)
                assert second.returncode == 1
                assert f"pid {first.pid}, ingot rack up metal" in second.stderr
                assert "Nothing was changed" in second.stderr
                assert "Traceback" not in second.stderr
            assert at_rest(fleet.folder) == before
            os.killpg(first.pid, signal.SIGCONT)
            said, _ = first.communicate(timeout=2 * WAIT_S)
            assert first.returncode == 0, said
        fleet.preview(NEW).assert_whole(NEW)


def lock_of(state: Path) -> list[Path]:
    return sorted((state / ".pulumi" / "locks").rglob("*.json"))


def locked_by(fleet: Fleet, pid: int) -> Path:
    """The engine's lock, as a run with that pid leaves it."""
    folder = fleet.folder / "state" / ".pulumi" / "locks" / "organization" / "ingot" / "metal"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "00000000-0000-4000-8000-000000000000.json"
    path.write_text(json.dumps({"pid": pid, "username": "", "hostname": "", "timestamp": "2026-07-07T00:00:00Z"}))
    return path


class TestTheEnginesLock:
    """It names its process: a dead one's is cleared with its pending operations, a live engine's is respected."""

    def test_of_a_dead_run_and_its_pending_operation_are_cleared(self, fleet: Fleet) -> None:
        assert fleet.killed_up(NEW, "both", 4) != 0
        state = fleet.folder / "state"
        assert lock_of(state)
        assert "pending_operations" in _checkpoint(fleet)
        back = fleet.preview(NEW)
        assert back.error == ""
        assert lock_of(state) == []
        assert not _checkpoint(fleet).get("pending_operations")

    def test_of_a_process_that_is_no_engine_is_cleared(self, fleet: Fleet) -> None:
        """The kernel gave the dead engine's pid to another program."""
        lock = locked_by(fleet, os.getpid())
        assert fleet.preview(OLD).error == ""
        assert not lock.exists()

    def test_of_a_live_engine_is_never(self, fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(engine_lock, "DYING_S", 0.2)
        stand_in = tmp_path / "pulumi"
        stand_in.symlink_to(shutil.which("sleep") or "/bin/sleep")
        at_work = {**os.environ, "PULUMI_BACKEND_URL": f"file://{fleet.folder / 'state'}"}
        with subprocess.Popen([stand_in, "600"], env=at_work) as engine:
            try:
                lock = locked_by(fleet, engine.pid)
                before = lock.read_bytes(), _checkpoint(fleet)
                with pytest.raises(engine_lock.EngineStillRuns, match=f"pid {engine.pid}"):
                    fleet.up(NEW)
                assert (lock.read_bytes(), _checkpoint(fleet)) == before
                assert engine.poll() is None
            finally:
                engine.kill()
        assert fleet.preview(OLD).error == ""

    def test_of_another_stacks_engine_is_cleared(self, fleet: Fleet, tmp_path: Path) -> None:
        """The kernel gave the dead engine's pid to an engine that is at work elsewhere."""
        stand_in = tmp_path / "pulumi"
        stand_in.symlink_to(shutil.which("sleep") or "/bin/sleep")
        with subprocess.Popen([stand_in, "600"]) as engine:
            try:
                lock = locked_by(fleet, engine.pid)
                assert fleet.preview(OLD).error == ""
                assert not lock.exists()
            finally:
                engine.kill()


def _checkpoint(fleet: Fleet) -> dict[str, object]:
    (path,) = (fleet.folder / "state" / ".pulumi" / "stacks").rglob("metal.json")
    found: dict[str, object] = json.loads(path.read_text())["checkpoint"]["latest"]
    return found
