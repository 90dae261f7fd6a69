"""A boot store in a directory: what a web server beside it may see while a step writes, and once one was killed."""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from lifecycle.adapters.directory_objects import CHUNK_BYTES, DirectoryObjects
from tests.lifecycle.adapters.wire_server import StillClock

DATA = os.urandom(3 * CHUNK_BYTES)
DIGEST = hashlib.sha256(DATA).hexdigest()
ARTIFACT = f"boot/sha256/{DIGEST}/image.raw.xz"
KEEPS = """
import contextlib, pathlib, sys
from lifecycle.adapters.clock import WallClock
from lifecycle.adapters.directory_objects import DirectoryObjects

@contextlib.contextmanager
def fetch():
    yield pathlib.Path(sys.argv[2])

DirectoryObjects(pathlib.Path(sys.argv[1]), WallClock()).keep(sys.argv[3], sys.argv[4], fetch)
"""


class TestAStepThatIsKilledWhileItKeepsAFile:
    """Half a file is none, and the next step begins anew."""

    def test_in_the_middle(self, tmp_path: Path) -> None:
        store, pipe, whole = tmp_path / "store", tmp_path / "pipe", tmp_path / "whole"
        store.mkdir()
        os.mkfifo(pipe)
        whole.write_bytes(DATA)
        step = subprocess.Popen([sys.executable, "-c", KEEPS, str(store), str(pipe), ARTIFACT, DIGEST])
        try:
            with pipe.open("wb") as sent:
                sent.write(DATA[: 2 * CHUNK_BYTES])  # returns once the step has read all but what a pipe holds
                step.kill()
                step.wait(60)
        finally:
            step.kill()
            step.wait(60)
        objects = DirectoryObjects(store, StillClock())
        assert objects.below("boot/") == ()
        left = [file for file in store.rglob("*") if file.is_file() and file.stat().st_size]
        assert [file.stat().st_mode & 0o077 for file in left] == [0]  # a server that is another user reads none of it

        @contextlib.contextmanager
        def fetch() -> Iterator[Path]:
            yield whole

        objects.keep(ARTIFACT, DIGEST, fetch)
        assert [file for file in store.rglob("*") if file.is_file() and file.stat().st_size] == [store / ARTIFACT]
        assert (store / ARTIFACT).stat().st_mode & 0o777 == 0o644
        assert (store / ARTIFACT).read_bytes() == DATA
