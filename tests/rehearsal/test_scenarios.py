"""What people do to a fleet by intent or mistake, on the real engine: no live host is touched undrained."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import pulumi
import pytest
import yaml
from pulumi import automation

from components.rollout.nodes import Nodes
from components.stackfile.example import example
from lifecycle.ports import ClaimState
from rehearsal.session import PASSPHRASE
from tests.rehearsal.conftest import Rolled
from tests.rehearsal.fleet import NEW, NODES, OLD, WORKERS, Fleet, moved

Data = dict[str, Any]


class TestNamesOfPools:
    """They are names: a node is its host, whatever pool lists it."""

    def test_renamed_and_split_touches_no_node(self, fleet: Fleet) -> None:
        def change(data: Data) -> None:
            moved(data, ["w5", "w6"], "more")
            data["pools"]["nodes"] = data["pools"].pop("workers")
            data["storage"]["nodes"] = ["nodes", "more"]

        before = fleet.world()
        after = fleet.up(OLD, change=change)
        assert (after.error, after.verbs) == ("", [])
        assert (after.world.hosts, after.world.nodes) == (before.hosts, before.nodes)

    def test_a_host_moved_to_a_pool_that_stores_nothing_leaves_first_with_its_replicas(self, fleet: Fleet) -> None:
        after = fleet.up(OLD, change=lambda data: moved(data, ["w6"], "web"))
        assert after.error == ""
        assert [v for v in after.verbs if v != "gate"] == [
            f"{verb} w6" for verb in ("leave", "release", "provision", "enrol", "join")
        ]
        after.assert_whole(OLD)
        assert not [v.name for v in after.world.volumes.values() if "w6" in v.replicas]
        assert not after.world.claims["w6"].stores


class TestAProgramThatRaises:
    """In the middle of registration: what it did not register is not taken for removed."""

    def test_no_leave_runs_and_the_next_up_is_fine(self, fleet: Fleet) -> None:
        register = Nodes.machine

        def raising(self: Nodes, host: str, pool: str, *, machine_after: Sequence[str]) -> pulumi.CustomResource:
            if host == "w3":
                raise KeyError("a mistake in how machines are registered")
            return register(self, host, pool, machine_after=machine_after)

        before = fleet.world()
        with mock.patch.object(Nodes, "machine", raising):
            halted = fleet.up(OLD)
        assert "a mistake in how machines are registered" in halted.error
        assert halted.verbs == []
        again = fleet.up(OLD)
        assert (again.error, again.verbs) == ("", [])
        assert (again.world.hosts, again.world.nodes) == (before.hosts, before.nodes)


class TestContinueOnError:
    """The engine never answers a program after a delete failed: the run ends by itself all the same."""

    @pytest.mark.faults
    def test_a_leave_that_fails_ends_the_run(self, fleet: Fleet) -> None:
        halted = fleet.up(OLD, "fails:storage.begin_maintenance:w1", continue_on_error=True, replace=("w1", "w2"))
        assert "storage.begin_maintenance for w1" in halted.error
        assert halted.verbs == ["leave w1"]
        again = fleet.up(OLD)
        assert again.error == ""
        again.assert_whole(OLD)


class TestLooking:
    """A preview and a refresh touch nothing."""

    def test_a_first_preview(self, empty: Fleet) -> None:
        seen = empty.preview(OLD)
        assert (seen.error, seen.verbs) == ("", [])
        assert {h.power for h in seen.world.hosts.values()} == {"off"}
        assert (seen.world.claims, seen.world.roster, seen.world.now_s) == ({}, "", 0)
        assert empty.resources() == []

    def test_of_a_roll_and_a_refresh(self, fleet: Fleet) -> None:
        world, state = fleet.world(), fleet.resources()
        seen = fleet.preview(NEW)
        assert (seen.error, seen.verbs) == ("", [])
        assert [s for s in seen.steps if s.startswith("replace") and s.endswith(".machine")]
        refreshed = fleet.refresh(OLD)
        assert (refreshed.error, refreshed.verbs) == ("", [])
        assert fleet.world() == world
        assert [(r["urn"], r.get("id")) for r in fleet.resources()] == [(r["urn"], r.get("id")) for r in state]


class TestSecrets:
    """Keys and tokens are in the engine's own ciphertext, and nowhere else."""

    def test_nowhere_in_the_clear(self, once_rolled: Rolled) -> None:
        folder = once_rolled.fleet.folder
        config = yaml.safe_load(_kubeconfig(folder))
        key = config["users"][0]["user"]["client-key-data"]
        pem = base64.b64decode(key).decode()
        assert "PRIVATE KEY" in pem
        inner = "".join(pem.split("\n")[1:3])
        texts = {str(p): p.read_text(errors="replace") for p in folder.rglob("*") if p.is_file()}
        texts["what the engine and the program said"] = once_rolled.outcome.said
        assert len(once_rolled.outcome.said) > 10_000
        for word in (key, key[:60], inner, inner[:40], "PRIVATE KEY", "rackon.lyrackonlyracko"):
            assert [name for name, text in texts.items() if word in text] == []


def _kubeconfig(folder: Path) -> str:
    """As the stack's owner gets it."""
    env = {"PULUMI_BACKEND_URL": f"file://{folder / 'state'}", "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE}
    workspace = automation.LocalWorkspace(work_dir=str(folder / "project"), env_vars={**os.environ, **env})
    found = automation.Stack.select("metal", workspace).outputs()["kubeconfig"]
    assert found.secret
    return str(found.value)


class TestAFirstBringUp:
    """Machines boot together."""

    @pytest.mark.faults
    @pytest.mark.parametrize("hosts", [30, 100])
    def test_takes_the_time_of_the_slowest_few(self, empty: Fleet, hosts: int) -> None:
        def many(data: Data) -> None:
            data.clear()
            data.update(example(hosts - 3, 5))

        up = empty.up(OLD, change=many, durable=False)
        assert (up.error, up.broken) == ("", [])
        assert [c.state for c in up.world.claims.values()] == [ClaimState.JOINED] * hosts
        began = {e["node"]: e["at"] for e in up.journal if e["kind"] == "step" and e["verb"] == "provision"}
        ended = {e["node"]: e["at"] for e in up.journal if e["kind"] == "end" and e["node"] in began}
        waits: dict[str, list[float]] = {}
        for e in up.journal:
            if e["kind"] == "waited":
                waits.setdefault(e["what"], []).append(e["end_s"] - e["start_s"])
        slowest = max(waits["the pinned image boots"]) + max(waits["a new machine registers"])
        assert (len(ended), set(began.values())) == (hosts, {0})
        assert max(ended.values()) < 2 * slowest


@pytest.mark.faults
class TestAFirstJoinThatFails:
    """On an empty rack: then another image, then the node is taken out while all others roll."""

    def test_the_others_roll_and_it_leaves(self, empty: Fleet) -> None:
        def without_w6(data: Data) -> None:
            del data["pools"]["workers"]["machines"]["hosts"]["w6"]

        assert "node w6" in empty.up(OLD, "never-joins:w6").error
        assert empty.up(NEW, "never-joins:w6").verbs == [
            f"{verb} w6" for verb in ("leave", "release", "provision", "enrol", "join")
        ]
        gone = empty.up(NEW, change=without_w6)
        assert gone.error == ""
        assert gone.nodes_asked("leave") == [*NODES[:3], *WORKERS[:5], "w6"]
        assert gone.world.hosts["w6"].power == "off"
        assert not {"w6"} & (gone.world.nodes.keys() | json.loads(gone.world.roster)["nodes"].keys())
        assert gone.world.claims["w6"].state is ClaimState.LEFT
        gone.assert_whole(NEW, [n for n in NODES if n != "w6"])
