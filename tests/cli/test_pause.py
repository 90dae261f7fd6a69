"""`ingot pause`: the roster's mark, set and taken away over a real connection."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.node import app as node_app
from cli.pause import app, whoever
from lifecycle.commands import Step, Verb
from lifecycle.pause import NothingToPause
from lifecycle.ports import ClaimState, Role
from lifecycle.roster import Entry, Roster, Standing
from tests.cli.test_node import api, claimed, initialised, project
from tests.lifecycle.adapters.test_roster import Store
from tests.lifecycle.adapters.wire_server import Reply, Wire

__all__ = ["api", "project"]

WITHOUT = dict.fromkeys(("KUBECONFIG", "INGOT_SECRETS_FILE", "INGOT_RUN")) | {"INGOT_PULUMI": "no-engine"}


@pytest.fixture
def cluster(project: Path, api: tuple[Wire, str]) -> tuple[Store, str]:
    """An API server with a roster, and a kubeconfig for it."""
    wire, kubeconfig = api
    wire.on("GET", "/readyz", Reply(body="ok"))
    store = Store(wire)
    entry = Entry(pool="workers", role=Role.WORKER, generation="g", fault_domain="a", standing=Standing.IN)
    store.document, store.version = Roster(nodes={"w1": entry}).model_dump_json(), 1
    initialised(project)
    return store, kubeconfig


def ingot_pause(kubeconfig: str, *words: str) -> Result:
    return CliRunner().invoke(app, ["metal", *words], env={**WITHOUT, "INGOT_KUBECONFIG": kubeconfig})


class TestPause:
    """It prints what it did, who paused, and why."""

    def test_and_resume(self, cluster: tuple[Store, str]) -> None:
        store, kubeconfig = cluster
        paused = ingot_pause(kubeconfig, "--reason", "the freeze")
        assert paused.exit_code == 0, paused.output
        assert paused.stdout.startswith(f"metal paused by {whoever()} since ")
        assert paused.stdout.rstrip().endswith("UTC: the freeze; no node is out")
        assert json.loads(store.document)["paused"]["reason"] == "the freeze"
        resumed = ingot_pause(kubeconfig, "--resume")
        assert "metal may go on" in resumed.stdout
        assert "paused" not in json.loads(store.document)

    def test_without_a_cluster(self, project: Path) -> None:
        ended = ingot_pause("none")
        assert isinstance(ended.exception, NothingToPause)


class TestAStepThatIsPaused:
    """Ends with 3 and says who paused."""

    def test_leave(self, project: Path, cluster: tuple[Store, str], api: tuple[Wire, str], tmp_path: Path) -> None:
        store, kubeconfig = cluster
        claimed(project, w1=ClaimState.JOINED)
        ingot_pause(kubeconfig, "--reason", "the freeze")
        leases = "/apis/coordination.k8s.io/v1/namespaces/ingot-system/leases"
        api[0].on("POST", leases, Reply(201, {}))
        api[0].on("GET", f"{leases}/ingot-roll", Reply(404, {}), lambda asked: Reply(body=_last(api[0], leases)))
        told = tmp_path / "outcome"
        words = Step(Verb.LEAVE, "metal", "w1", "0123456789abcdef").command().split()[2:]
        variables = {**WITHOUT, "INGOT_KUBECONFIG": kubeconfig, "INGOT_OUTCOME": str(told)}
        ended = CliRunner().invoke(node_app, words, env=variables)
        assert ended.exit_code == 3, ended.output
        assert f"paused by {whoever()}" in ended.stderr
        assert told.read_text() == "acts\nstopped\n"
        assert '"slot_since_s"' not in store.document


def _last(wire: Wire, leases: str) -> object:
    """The Lease as it was made."""
    made = next(a.body for a in wire.asked if a.method == "POST" and a.path == leases)
    return {**made, "metadata": {**made["metadata"], "resourceVersion": "1"}}
