"""A folder of our own for a broker, and what earlier ones left there."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from lifecycle.adapters.broker_folder import LOG, LOG_MAX, OLD_S, SOCKET, log_in, private_folder, sweep
from lifecycle.errors import PortError

NOW_S = 10 * OLD_S


class TestPrivateFolder:
    """Nobody else may enter it, or put another in its place."""

    def test_one_open_to_others_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "open").mkdir(mode=0o755)
        with pytest.raises(PortError, match="mode 0755"):
            private_folder(tmp_path / "open")

    def test_a_new_one_is_not(self, tmp_path: Path) -> None:
        assert private_folder(tmp_path / "new").stat().st_mode & 0o777 == 0o700

    def test_a_link_to_another_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "there").mkdir(mode=0o700)
        (tmp_path / "link").symlink_to(tmp_path / "there")
        with pytest.raises(PortError, match="remove it"):
            private_folder(tmp_path / "link")

    @pytest.mark.parametrize(("mode", "refused"), [(0o777, True), (0o1777, False), (0o775, False), (0o703, True)])
    def test_below_one_that_everybody_may_write_to(self, tmp_path: Path, mode: int, refused: bool) -> None:
        """Unless it is sticky, as /tmp is: there nobody can rename what is another's."""
        shared = tmp_path / "shared"
        own = shared / "a" / "b"
        own.mkdir(mode=0o700, parents=True)
        shared.chmod(mode)
        if not refused:
            assert private_folder(own) == own
            return
        with pytest.raises(PortError, match=f"{shared} that everybody may write to") as caught:
            private_folder(own)
        assert f"chmod o-w {shared}" in caught.value.remedy


class TestWhatIsLeftBehind:
    """Bounded, however many brokers there were."""

    def test_a_log_is_added_to_until_it_is_long(self, tmp_path: Path) -> None:
        for line in (b"a\n", b"b\n", b"x" * LOG_MAX, b"c\n"):
            with log_in(tmp_path) as log:
                log.write(line)
        assert (tmp_path / LOG).read_bytes() == b"c\n"

    def folder(self, tmp_path: Path, name: str, age_s: float) -> Path:
        made = private_folder(tmp_path / name)
        (made / LOG).write_text("it")
        for path in (made / LOG, made):
            os.utime(path, (NOW_S - age_s, NOW_S - age_s))
        return made

    def test_folders_that_nobody_came_back_to_go(self, tmp_path: Path) -> None:
        mine, old = self.folder(tmp_path, "mine", 2 * OLD_S), self.folder(tmp_path, "old", 2 * OLD_S)
        young, used = self.folder(tmp_path, "young", OLD_S / 2), self.folder(tmp_path, "used", 2 * OLD_S)
        os.utime(used / LOG, (NOW_S, NOW_S))
        (tmp_path / "a file").touch()
        sweep(mine, NOW_S)
        assert [path.exists() for path in (mine, old, young, used)] == [True, False, True, True]

    def test_one_in_which_a_broker_listens_stays(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        root = tmp_path_factory.mktemp("v")  # a socket's path is short
        mine, old = self.folder(root, "mine", 0), self.folder(root, "old", 2 * OLD_S)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(old / SOCKET))
            listener.listen()
            for path in (old / SOCKET, old):
                os.utime(path, (NOW_S - 2 * OLD_S, NOW_S - 2 * OLD_S))
            sweep(mine, NOW_S)
            assert old.exists()
        sweep(mine, NOW_S)
        assert not old.exists()

    def test_what_cannot_be_removed_keeps_nobody(self, tmp_path: Path) -> None:
        sweep(tmp_path / "gone" / "mine", NOW_S)
