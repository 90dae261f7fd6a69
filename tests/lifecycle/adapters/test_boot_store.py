"""The boot store: published once, never changed; reports of machines are read with suspicion."""

from __future__ import annotations

from pathlib import Path

import pytest

from lifecycle.adapters.boot_store import BootStore, DirectoryBoot
from lifecycle.errors import NeedsAttention
from lifecycle.ports import Progress
from tests.lifecycle.adapters.pinned import GENERATION, pin_of

SCRIPT, CONFIG = f"boot/{GENERATION}/w1.ipxe", f"boot/{GENERATION}/w1.ign"


def store_of(directory: Path, script: bytes = b"#!ipxe") -> BootStore:
    return DirectoryBoot(
        lambda: directory, lambda: "https://boot.example/", lambda pin: {SCRIPT: script, CONFIG: b"{}"}
    )


class TestPublish:
    """What is published is whole, and never replaced by something else."""

    def test_files_are_there_and_readable_by_the_web_server(self, tmp_path: Path) -> None:
        store_of(tmp_path).publish(pin_of("w1"))
        assert (tmp_path / SCRIPT).read_bytes() == b"#!ipxe"
        assert (tmp_path / CONFIG).stat().st_mode & 0o777 == 0o644
        assert sorted(p.name for p in (tmp_path / SCRIPT).parent.iterdir()) == ["w1.ign", "w1.ipxe"]

    def test_twice_changes_nothing(self, tmp_path: Path) -> None:
        store_of(tmp_path).publish(pin_of("w1"))
        inode = (tmp_path / SCRIPT).stat().st_ino
        store_of(tmp_path).publish(pin_of("w1"))
        assert (tmp_path / SCRIPT).stat().st_ino == inode

    def test_other_bytes_are_refused_and_kept(self, tmp_path: Path) -> None:
        store_of(tmp_path).publish(pin_of("w1"))
        with pytest.raises(NeedsAttention, match=r"w1\.ipxe.*other bytes"):
            store_of(tmp_path, b"#!ipxe other").publish(pin_of("w1"))
        assert (tmp_path / SCRIPT).read_bytes() == b"#!ipxe"

    def test_the_hosts_network_boot_leads_to_it(self, tmp_path: Path) -> None:
        store_of(tmp_path).publish(pin_of("w1"))
        pointer = (tmp_path / "next/52-54-00-00-01-01.ipxe").read_text()
        assert pointer == f"#!ipxe\nchain --replace https://boot.example/{SCRIPT}\n"

    def test_earlier_reports_are_forgotten(self, tmp_path: Path) -> None:
        (tmp_path / "progress").mkdir()
        (tmp_path / "progress/w1").write_text(f'{{"generation": "{GENERATION}", "state": "running"}}')
        store_of(tmp_path).publish(pin_of("w1"))
        assert store_of(tmp_path).progress(pin_of("w1")) is Progress.NONE

    def test_a_pin_of_another_checkout_is_refused_before_anything_is_written(self, tmp_path: Path) -> None:
        with pytest.raises(NeedsAttention, match=r"no file for https://boot\.example/boot/0123456789abcdef/w2\.ipxe"):
            store_of(tmp_path).publish(pin_of("w2"))
        assert list(tmp_path.iterdir()) == []

    def test_a_store_that_is_not_mounted_is_not_made(self, tmp_path: Path) -> None:
        with pytest.raises(NeedsAttention, match=r"absent.*mount"):
            store_of(tmp_path / "absent").publish(pin_of("w1"))
        assert list(tmp_path.iterdir()) == []

    def test_withdrawing_is_of_this_host_alone(self, tmp_path: Path) -> None:
        store_of(tmp_path).publish(pin_of("w1"))
        store_of(tmp_path).withdraw("1")
        assert len(list((tmp_path / "next").iterdir())) == 1
        store_of(tmp_path).withdraw("w1")
        store_of(tmp_path).withdraw("w1")
        assert list((tmp_path / "next").iterdir()) == []


class TestProgress:
    """A report counts only for the generation that it is about."""

    def report(self, directory: Path, text: str) -> Progress:
        (directory / "progress").mkdir()
        (directory / "progress/w1").write_text(text)
        return store_of(directory).progress(pin_of("w1"))

    @pytest.mark.parametrize("state", ["installing", "installed", "running"])
    def test_it_is_read(self, tmp_path: Path, state: str) -> None:
        assert self.report(tmp_path, f'{{"generation": "{GENERATION}", "state": "{state}"}}') == Progress(state)

    def test_of_the_machine_before_it_is_none(self, tmp_path: Path) -> None:
        assert self.report(tmp_path, '{"generation": "feedfeedfeedfeed", "state": "running"}') is Progress.NONE

    def test_without_a_place_for_reports_it_is_unknown(self, tmp_path: Path) -> None:
        assert store_of(tmp_path).progress(pin_of("w1")) is Progress.UNKNOWN

    def test_a_failure_halts(self, tmp_path: Path) -> None:
        with pytest.raises(NeedsAttention, match=r"progress/w1.*'failed'.*console of w1"):
            self.report(tmp_path, f'{{"generation": "{GENERATION}", "state": "failed"}}')

    @pytest.mark.parametrize("text", ["", "[]", "7", '{"generation": "0123456789abcdef"}', "<html>"])
    def test_garbage_is_named(self, tmp_path: Path, text: str) -> None:
        with pytest.raises(NeedsAttention, match=r"report .*progress/w1"):
            self.report(tmp_path, text)
