"""The example stack of Talos, end to end on the real engine: bring up, roll, replace; and what its state holds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from components import stackfile
from components.boot.pin import node_patch, pins
from lifecycle.adapters import talos_state
from lifecycle.adapters.machine_configuration import completed
from lifecycle.drift import drift
from lifecycle.ports import Limits, Progress
from rehearsal import session
from rehearsal.rack.ports import ports
from rehearsal.rack.store import Store
from rehearsal.session import Options, Session, open_session
from tools.lab.talos_config import ask, kept

OLD, NEW = "v1.13.8", "v1.13.9"
NODES = ("cp1", "cp2", "cp3", "w1", "w2", "w3", "w4", "w5", "w6")


def run(folder: Path, version: str, then: Callable[[Session], Any] = lambda _: None, **options: Any) -> Any:
    """One up of the example stack; what `then` finds before the session ends."""
    with open_session("talos", Options(version=version, **options), folder) as opened:
        opened.up()
        return then(opened)


def steps(opened: Session, verb: str, since: int = 0) -> list[str]:
    entries = opened.rack.journal.entries[since:]
    return [e["node"] for e in entries if e["kind"] == "step" and e["verb"] == verb]


def images(opened: Session) -> dict[str, str]:
    return {n: node.os_image for n, node in opened.rack.world.nodes.items()}


@dataclass(frozen=True)
class BroughtUp:
    """A rack with the fleet on the older release, and the engine's state of it, decrypted."""

    folder: Path
    resources: list[dict[str, Any]]


@pytest.fixture(scope="module")
def brought_up(engine: Path, tmp_path_factory: pytest.TempPathFactory) -> BroughtUp:
    folder = tmp_path_factory.mktemp("rack") / "talos"
    found, resources = run(folder, OLD, lambda opened: (images(opened), opened.resources()))
    assert found == dict.fromkeys(NODES, f"Talos ({OLD})")
    return BroughtUp(folder, resources)


@pytest.fixture
def folder(brought_up: BroughtUp, tmp_path: Path) -> Path:
    shutil.copytree(brought_up.folder, tmp_path / "talos")
    return tmp_path / "talos"


@pytest.mark.faults
class TestEndToEnd:
    """Every node leaves, erases its disk, is installed anew and serves; no law is broken."""

    def test_rolls_to_the_next_release(self, folder: Path) -> None:
        def found(opened: Session) -> tuple[dict[str, str], list[str], list[str]]:
            entries = opened.rack.journal.entries
            erased = {e["node"] for e in entries if e["kind"] == "begin" and "erases its disk" in e["detail"]}
            self.assert_made_anew(opened)
            return images(opened), [e["law"] for e in entries if e["kind"] == "law"], sorted(erased)

        assert run(folder, NEW, found) == (dict.fromkeys(NODES, f"Talos ({NEW})"), [], list(NODES))

    @staticmethod
    def assert_made_anew(opened: Session) -> None:
        """A step that runs now finds the configuration of its own generation."""
        lock = session.pinned(opened.environment)
        kept = talos_state.configurations(opened.resources())
        for pin in pins(opened.environment, lock).values():
            shared, _ = node_patch(opened.environment, lock, pin)
            assert NEW in kept[pin.pool].text
            assert kept[pin.pool].patch == talos_state.patch_digest(shared)

    def test_one_whose_disk_could_not_be_erased_does_not_come_back_as_it_was(self, folder: Path) -> None:
        """A dead machine is switched off unasked, and the next one must not take what its disk holds."""
        store = Store(folder)
        loaded = store.load()
        assert loaded is not None
        world = loaded[0]
        world.hosts["w6"].progress = Progress.NONE  # it answers nobody
        store.save(world, [])
        with pytest.raises(session.Halted, match="node w6: expected a new machine to register") as halted:
            run(folder, OLD, replace=("w6",))
        assert "runbooks/join.md#register" in str(halted.value)
        loaded = Store(folder).load()
        assert loaded is not None
        noted = [e["text"] for e in loaded[1] if e["kind"] == "note" and e["node"] == "w6"]
        assert any("runbooks/talos.md#disk" in text for text in noted)

    def test_one_that_drifted_is_told_and_it_alone_is_replaced(self, folder: Path) -> None:
        store = Store(folder)
        loaded = store.load()
        assert loaded is not None
        world = loaded[0]
        world.nodes["w3"].os_image = "Talos (v1.13.1)"
        store.save(world, [])
        environment = stackfile.load(session.ROOT / "stacks" / "Pulumi.talos.yaml")
        declared = pins(environment, session.pinned(environment))
        with open_session("talos", Options(version=OLD), folder) as opened:
            seen = ports(opened.rack, "drift", Limits(), lambda: None).kubernetes.nodes()
        told = drift(declared, world.claims, {node.name: node for node in seen})
        assert [(f.node, f.what, f.found) for f in told] == [("w3", "image", "Talos (v1.13.1)")]
        assert run(folder, OLD, lambda opened: steps(opened, "provision")[len(NODES) :], replace=("w3",)) == ["w3"]


class TestEnds:
    """What comes before the first node, and after the last."""

    def test_a_first_preview_knows_no_secret_yet(self, engine: Path, tmp_path: Path) -> None:
        with open_session("talos", Options(version=OLD), tmp_path / "talos") as opened:
            planned = {str(op): count for op, count in opened.preview().change_summary.items()}
        assert [op for op in planned if "create" not in op] == []
        assert sum(planned.values()) > 3 * len(NODES)

    @pytest.mark.faults
    def test_destroyed_hosts_keep_no_configuration_on_their_disks(self, folder: Path) -> None:
        data = stackfile.environment_of(session.ROOT / "stacks" / "Pulumi.talos.yaml")
        data["cluster"]["retire"] = True
        with open_session("talos", Options(version=OLD, data=data), folder) as opened:
            opened.up()
            since = len(opened.rack.journal.entries)
            opened.destroy()
            notes = [e["text"] for e in opened.rack.journal.entries[since:] if e["kind"] == "note"]
            assert sorted(steps(opened, "release", since)) == sorted(NODES)
            assert [text for text in notes if "erased" in text] == []
            assert {host.power for host in opened.rack.world.hosts.values()} == {"off"}


class TestState:
    """What the program keeps there is what the steps of a real run read."""

    def test_steps_find_authorities_and_every_nodes_configuration(self, brought_up: BroughtUp) -> None:
        resources = brought_up.resources
        pems = talos_state.authorities(resources)
        assert {"ca", "ca-key", "etcd-ca", "etcd-ca-key", "os-ca", "os-ca-key", "service-account-key"} <= pems.keys()
        pools = talos_state.configurations(resources)
        environment = stackfile.load(session.ROOT / "stacks" / "Pulumi.talos.yaml")
        lock = session.pinned(environment)
        wholes = {}
        for node, pin in pins(environment, lock).items():
            shared, own = node_patch(environment, lock, pin)
            assert pools[pin.pool].patch == talos_state.patch_digest(shared)
            wholes[node] = completed(pools[pin.pool].text, own, node)
        machine = json.loads(wholes["w1"].split("---\n")[0])["machine"]
        assert machine["install"]["disk"] == "/dev/disk/by-id/nvme-EXAMPLE_OS_W1"
        self.assert_valid(wholes)

    @staticmethod
    def assert_valid(wholes: Mapping[str, str]) -> None:
        """Where Talos' own packages are there, they made it and they take it."""
        program = kept()
        if program is not None:
            asked = [{"verb": "validate", "mode": "metal", "configuration": text} for text in wholes.values()]
            assert ask(program, asked) == [{"valid": True}] * len(wholes)

    def test_no_secret_rests_in_the_clear(self, brought_up: BroughtUp) -> None:
        [found] = [r for r in brought_up.resources if r["type"] == talos_state.SECRETS_TYPE]
        made = talos_state.plain(found["outputs"]["machineSecrets"])
        keys = [pair["key"] for pair in made["certs"].values()]
        written = {path: path.read_text(errors="replace") for path in brought_up.folder.rglob("*") if path.is_file()}
        assert any(path.name == "talos.json" for path in written)
        for secret in (made["trustdinfo"]["token"], made["cluster"]["secret"], *keys):
            assert [path.name for path, text in written.items() if secret in text] == []


class TestWithoutTheProgram:
    """A machine without Go rehearses all the same."""

    def test_brings_up(self, engine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("INGOT_CACHE", str(tmp_path / "cache"))
        assert kept() is None
        found = run(tmp_path / "talos", OLD, lambda opened: (images(opened), opened.resources()))
        assert found[0] == dict.fromkeys(NODES, f"Talos ({OLD})")
        pems, pools = talos_state.authorities(found[1]), talos_state.configurations(found[1])
        assert pems["os-ca-key"].startswith("-----BEGIN PRIVATE KEY-----\n")
        assert sorted(pools) == ["control-plane", "workers"]
        assert "install" in pools["workers"].text
