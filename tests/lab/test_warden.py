"""A lab ends with whoever started it, also by SIGKILL; unless it was told to stay."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from lab import processes
from lab.lab import down
from tests.lab.eventually import eventually

CALLER = """
import sys, time
from pathlib import Path
from lab.processes import Part, start
from lab.warden import Warden
folder = Path(sys.argv[1])
warden = Warden(folder)
start(Part("one", [sys.executable, "-c", "import time; time.sleep(600)"], lambda: ""), folder)
if "stay" in sys.argv:
    warden.release()
print("started", flush=True)
time.sleep(600)
"""


def caller(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    """Someone who started a part and a warden, and lives."""
    process = subprocess.Popen([sys.executable, "-c", CALLER, str(folder), *words], stdout=subprocess.PIPE)
    if process.stdout is None or process.stdout.readline() != b"started\n":
        process.kill()
        raise RuntimeError("the caller did not start")
    return process


def end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate(timeout=10)


class TestAKilledCaller:
    """Nothing of its lab outlives it for long."""

    def test_takes_the_lab_with_it(self, tmp_path: Path) -> None:
        process = caller(tmp_path)
        assert set(processes.running(tmp_path)) == {"one", "warden"}
        end(process)
        eventually(lambda: not processes.running(tmp_path), "nothing to run")

    def test_leaves_what_was_told_to_stay(self, tmp_path: Path) -> None:
        end(caller(tmp_path, "stay"))
        assert set(processes.running(tmp_path)) == {"one"}
        assert down(tmp_path) == ["one"]

    def test_whose_warden_was_killed_too_is_cleaned_up_by_down(self, tmp_path: Path) -> None:
        process = caller(tmp_path)
        processes.stop(tmp_path, ["warden"])
        end(process)
        assert set(processes.running(tmp_path)) == {"one"}
        assert down(tmp_path) == ["one"]
        assert processes.running(tmp_path) == {}
