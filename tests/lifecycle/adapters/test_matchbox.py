"""A matchbox: what it finds in its folders, and that a host installs once."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from lifecycle.adapters.directory_objects import DirectoryObjects
from lifecycle.adapters.installer import Artifact, Installer
from lifecycle.adapters.matchbox import MatchboxBoot
from lifecycle.adapters.place import Matchbox
from lifecycle.adapters.records import StoredRecords
from lifecycle.adapters.stores import Stores
from lifecycle.errors import NeedsAttention, PortError
from lifecycle.ports import Pin, Progress
from tests.lifecycle.adapters.pinned import GENERATION, pin_of
from tests.lifecycle.adapters.wire_server import StillClock

URL = "https://matchbox.example/assets"
KERNEL, INITRD = b"a kernel", b"an initramfs"
ARGUMENTS = ("initrd=main", "ignition.firstboot", f"ignition.config.url={URL}/boot/{GENERATION}/w1.ign")
PROFILE = f"ingot-w1-{GENERATION}"


def pin() -> Pin:
    return replace(pin_of("w1"), boot_url=f"{URL}/boot/{GENERATION}/w1.ipxe")


def artifact(name: str, data: bytes) -> Artifact:
    digest = hashlib.sha256(data).hexdigest()
    return Artifact(f"https://publisher.example/44/{name}", digest, f"boot/sha256/{digest}/{name}")


@dataclass
class Site:
    """A matchbox's folders, and the publisher that kernel and initrd come from."""

    root: Path
    published: dict[str, bytes] = field(default_factory=dict)
    fetched: list[str] = field(default_factory=list)

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def assets(self) -> Path:
        return self.root / "assets"

    def boot(self, config: bytes = b'{"ignition": {"version": "3.4.0"}}') -> MatchboxBoot:
        clock = StillClock()
        contents = {f"boot/{GENERATION}/w1.ipxe": b"#!ipxe", f"boot/{GENERATION}/w1.ign": config}
        installer = Installer(artifact("vmlinuz", KERNEL), artifact("initramfs.img", INITRD), ARGUMENTS, self.fetch)
        data, assets = DirectoryObjects(self.data, clock), DirectoryObjects(self.assets, clock)
        return MatchboxBoot(data, assets, lambda: f"{URL}/", lambda _: contents, lambda _: installer)

    @contextlib.contextmanager
    def fetch(self, url: str) -> Iterator[Path]:
        self.fetched.append(url)
        if url not in self.published:
            raise PortError(url, "HTTP 503", "ask again")
        file = self.root / "fetched"
        file.write_bytes(self.published[url])
        yield file
        file.unlink()

    def json(self, path: str) -> Any:
        return json.loads((self.data / path).read_text())


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site(tmp_path)
    made.data.mkdir()
    made.assets.mkdir()
    for name, data in (("vmlinuz", KERNEL), ("initramfs.img", INITRD)):
        made.published[artifact(name, data).url] = data
    return made


class TestPublish:
    """matchbox leads the host's next network boot to the installer that is pinned."""

    def test_a_group_selects_the_machine_by_its_mac(self, site: Site) -> None:
        site.boot().publish(pin())
        group = site.json("groups/ingot-w1.json")
        assert (group["id"], group["profile"]) == ("ingot-w1", PROFILE)
        assert group["selector"] == {"mac": "52:54:00:00:01:01"}

    def test_its_profile_boots_the_installer(self, site: Site) -> None:
        """As matchbox's own template writes it: `kernel <kernel> <args>`, then `initrd <each>`."""
        site.boot().publish(pin())
        profile = site.json(f"profiles/{PROFILE}.json")
        kernel, initrd = (artifact(n, d).path for n, d in (("vmlinuz", KERNEL), ("initramfs.img", INITRD)))
        assert (profile["id"], profile["ignition_id"]) == (PROFILE, f"{PROFILE}.ign")
        assert profile["boot"] == {
            "kernel": f"{URL}/{kernel}",
            "initrd": [f"--name main {URL}/{initrd}"],
            "args": list(ARGUMENTS),
        }
        assert (site.assets / kernel).read_bytes() == KERNEL
        assert (site.assets / initrd).read_bytes() == INITRD

    def test_before_that_its_files_can_be_had_and_lead_nowhere(self, site: Site) -> None:
        boot = site.boot()
        boot.prepare(pin())
        assert len(site.fetched) == 2
        assert {f.name for f in site.root.rglob("*") if f.is_file()} == {"vmlinuz", "initramfs.img", ".lock"}
        boot.publish(pin())
        assert len(site.fetched) == 2

    def test_ignition_is_the_same_wherever_it_is_asked_for(self, site: Site) -> None:
        site.boot().publish(pin())
        ours = site.data / f"ignition/{PROFILE}.ign"
        assert ours.read_bytes() == (site.assets / f"boot/{GENERATION}/w1.ign").read_bytes()

    def test_whoever_serves_may_read_it(self, site: Site) -> None:
        site.boot().publish(pin())
        files = [f for f in (*site.data.rglob("*"), *site.assets.rglob("*")) if f.is_file() and f.name != ".lock"]
        assert len(files) == 7
        assert {f.stat().st_mode & 0o777 for f in files} == {0o644}

    def test_twice_fetches_once(self, site: Site) -> None:
        for _ in range(2):
            site.boot().publish(pin())
        assert len(site.fetched) == 2

    def test_another_configuration_of_the_same_generation_is_refused(self, site: Site) -> None:
        site.boot().publish(pin())
        with pytest.raises(NeedsAttention, match="other bytes"):
            site.boot(b"{}").publish(pin())


class TestDigests:
    """Nothing boots but what is pinned: no group leads to anything else."""

    def test_what_the_publisher_sends_now_is_another_file(self, site: Site) -> None:
        site.published[artifact("initramfs.img", INITRD).url] = b"another"
        with pytest.raises(NeedsAttention, match=r"initramfs\.img: found a file of digest .*images\.md#digest"):
            site.boot().publish(pin())
        assert not list(site.data.rglob("*.json"))
        assert [f.name for f in site.assets.rglob("*") if f.is_file() and f.name != ".lock"] == ["vmlinuz"]

    def test_a_file_that_somebody_changed_is_not_booted(self, site: Site) -> None:
        site.boot().publish(pin())
        (site.assets / artifact("vmlinuz", KERNEL).path).write_bytes(b"another")
        (site.data / "groups/ingot-w1.json").unlink()
        with pytest.raises(NeedsAttention, match=r"vmlinuz: found other bytes"):
            site.boot().publish(pin())
        assert not (site.data / "groups/ingot-w1.json").exists()

    def test_a_publisher_that_does_not_answer(self, site: Site) -> None:
        site.published.clear()
        with pytest.raises(PortError, match="HTTP 503"):
            site.boot().publish(pin())
        assert not list(site.data.rglob("*.json"))


class TestInstalledOnce:
    """Once it is on the disk, no network boot by accident installs again."""

    def test_withdrawn(self, site: Site) -> None:
        site.boot().publish(pin())
        (site.data / "groups/default.json").write_text('{"profile": "rescue"}')
        for _ in range(2):
            site.boot().withdraw("w1")
        assert [f.name for f in (site.data / "groups").iterdir()] == ["default.json"]

    def test_of_this_host_alone(self, site: Site) -> None:
        site.boot().publish(pin())
        site.boot().withdraw("w")
        assert (site.data / "groups/ingot-w1.json").exists()

    @pytest.mark.parametrize("mac", ["52:54:00:00:01:01", "52-54-00-00-01-01", "52:54:00:00:01:01".upper()])
    def test_another_group_for_the_machine_is_refused_first(self, site: Site, mac: str) -> None:
        (site.data / "groups").mkdir()
        (site.data / "groups/theirs.json").write_text(json.dumps({"profile": "x", "selector": {"mac": mac}}))
        with pytest.raises(NeedsAttention, match=r"theirs\.json: found one that selects 52:54.*#matchbox"):
            site.boot().publish(pin())
        assert [f.name for f in site.root.rglob("*") if f.is_file()] == ["theirs.json"]

    @pytest.mark.parametrize(
        "text", ["", "[]", '{"selector": {"mac": 7}}', '{"selector": {"mac": "52:54:00:00:01:02"}}']
    )
    def test_groups_of_other_machines_are_let_be(self, site: Site, text: str) -> None:
        (site.data / "groups").mkdir()
        (site.data / "groups/theirs.json").write_text(text)
        site.boot().publish(pin())
        assert (site.data / "groups/theirs.json").read_text() == text


class TestReports:
    """matchbox takes none; a web server in front of it may."""

    def test_without_a_place_for_them(self, site: Site) -> None:
        assert site.boot().progress(pin()) is Progress.UNKNOWN

    def test_with_one(self, site: Site) -> None:
        (site.assets / "progress").mkdir()
        (site.assets / "progress/w1").write_text(f'{{"generation": "{GENERATION}", "state": "installed"}}')
        assert site.boot().progress(pin()) is Progress.INSTALLED
        site.boot().publish(pin())
        assert site.boot().progress(pin()) is Progress.NONE


class TestPlaces:
    """What nobody may fetch is not among the assets; what machines fetch is."""

    def test_records_and_credentials(self, site: Site) -> None:
        stores = Stores(lambda: Matchbox(site.data, site.assets), StillClock())
        StoredRecords(stores.private, "metal", StillClock()).record_initialised("cp1")
        stores.served().put("once/w1", b"{}")
        assert (site.data / "records/stacks/metal/initialised.json").exists()
        assert [f.name for f in site.assets.rglob("*") if f.is_file()] == ["w1"]
