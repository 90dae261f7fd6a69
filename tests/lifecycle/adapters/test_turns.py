"""Steps of one machine change the roster in turn; nothing about it may fail a step."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from lifecycle.adapters.clock import WallClock
from lifecycle.adapters.turns import FRESH_S, LAST, LOCK, Turns
from lifecycle.errors import PortError

LIMIT_S = 10.0


@pytest.fixture
def turns(tmp_path: Path) -> Turns:
    return Turns(lambda: tmp_path, WallClock())


class TestOneAfterAnother:
    """Two steps are never inside at one time, wherever they can meet."""

    def test_waits_for_the_one_inside(self, turns: Turns, tmp_path: Path) -> None:
        entered, second = threading.Event(), Turns(lambda: tmp_path, WallClock())

        def enter() -> None:
            with second.turn():
                entered.set()

        waiting = threading.Thread(target=enter, daemon=True)
        with turns.turn():
            waiting.start()
            assert not entered.wait(0.2)
        assert entered.wait(LIMIT_S)
        waiting.join(LIMIT_S)

    def test_ends_with_an_error_inside(self, turns: Turns) -> None:
        with pytest.raises(PortError), turns.turn():
            raise PortError("the API", "no answer", "ask again")
        with turns.turn():
            pass


class TestNothingFailsAStep:
    """It is a courtesy: where it cannot be had, the step goes on alone."""

    def test_without_a_folder(self, tmp_path: Path) -> None:
        nowhere = Turns(lambda: tmp_path / "missing", WallClock())
        with nowhere.turn():
            nowhere.keep("{}", "7")
        assert nowhere.last() == ("", "")

    def test_with_a_folder_that_is_refused(self) -> None:
        def refused() -> Path:
            raise PortError("folder x", "mode 0777", "remove it")

        with Turns(refused, WallClock()).turn():
            assert Turns(refused, WallClock()).last() == ("", "")

    def test_with_a_lock_that_cannot_be_opened(self, turns: Turns, tmp_path: Path) -> None:
        (tmp_path / LOCK).mkdir()
        with turns.turn():
            pass


class TestWhatWasWrittenLast:
    """It is handed on whole, while it is fresh, or not at all."""

    DOCUMENT = '{"nodes":{"wärmer":1}}\nand a second line'

    def test_is_known_to_the_next(self, turns: Turns, tmp_path: Path) -> None:
        turns.keep("{}", "7")
        turns.keep(self.DOCUMENT, "8")
        assert Turns(lambda: tmp_path, WallClock()).last() == (self.DOCUMENT, "8")

    def test_not_once_it_is_old(self, turns: Turns, tmp_path: Path) -> None:
        turns.keep(self.DOCUMENT, "8")
        then = (tmp_path / LAST).stat().st_mtime - FRESH_S - 1
        os.utime(tmp_path / LAST, (then, then))
        assert turns.last() == ("", "")

    @pytest.mark.parametrize("torn", [b"", b"8", b"8 0123\n{}", "8\n{}".encode("utf-16")])
    def test_not_one_that_is_torn(self, turns: Turns, tmp_path: Path, torn: bytes) -> None:
        (tmp_path / LAST).write_bytes(torn)
        assert turns.last() == ("", "")
