"""The example stack of Talos, end to end on the real engine: bring up, roll, replace; and what its state holds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from components import stackfile
from components.boot.pin import node_patch, pins
from lifecycle.adapters import talos_state
from lifecycle.adapters.machine_configuration import completed
from rehearsal import session
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


@pytest.fixture(scope="module")
def brought_up(engine: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rack") / "talos"
    assert run(folder, OLD, images) == dict.fromkeys(NODES, f"Talos ({OLD})")
    return folder


@pytest.fixture
def folder(brought_up: Path, tmp_path: Path) -> Path:
    shutil.copytree(brought_up, tmp_path / "talos")
    return tmp_path / "talos"


class TestEndToEnd:
    """Every node leaves, erases its disk, is installed anew and serves; no law is broken."""

    def test_rolls_to_the_next_release(self, folder: Path) -> None:
        def found(opened: Session) -> tuple[dict[str, str], list[str], list[str]]:
            entries = opened.rack.journal.entries
            noted = [e["text"] for e in entries if e["kind"] == "note" and "erased" in e["text"]]
            return images(opened), [e["law"] for e in entries if e["kind"] == "law"], noted

        assert run(folder, NEW, found) == (dict.fromkeys(NODES, f"Talos ({NEW})"), [], [])

    def test_replaces_one_that_is_told_to_be(self, folder: Path) -> None:
        assert run(folder, OLD, lambda opened: steps(opened, "provision")[len(NODES) :], replace=("w3",)) == ["w3"]

    def test_nothing_to_do_touches_nothing(self, folder: Path) -> None:
        assert run(folder, OLD, lambda opened: steps(opened, "provision")[len(NODES) :]) == []


class TestEnds:
    """What comes before the first node, and after the last."""

    def test_a_first_preview_knows_no_secret_yet(self, engine: Path, tmp_path: Path) -> None:
        with open_session("talos", Options(version=OLD), tmp_path / "talos") as opened:
            planned = {str(op): count for op, count in opened.preview().change_summary.items()}
        assert [op for op in planned if "create" not in op] == []
        assert sum(planned.values()) > 3 * len(NODES)

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

    def test_steps_find_authorities_and_every_nodes_configuration(self, folder: Path) -> None:
        resources = run(folder, OLD, lambda opened: opened.resources())
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

    def test_no_secret_rests_in_the_clear(self, folder: Path) -> None:
        def found(opened: Session) -> list[str]:
            made = talos_state.plain(
                next(r for r in opened.resources() if r["type"] == talos_state.SECRETS_TYPE)["outputs"][
                    "machineSecrets"
                ]
            )
            certs = made["certs"]
            return [made["trustdinfo"]["token"], made["cluster"]["secret"], *(pair["key"] for pair in certs.values())]

        secrets = run(folder, OLD, found)
        written = [path for path in folder.rglob("*") if path.is_file()]
        assert any(path.name == "talos.json" for path in written)
        assert [p.name for p in written for s in secrets if s in p.read_text(encoding="utf-8", errors="replace")] == []


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
