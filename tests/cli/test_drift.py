"""`ingot drift` and `ingot repair` on a real API: what they say, how they end, and what they type."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli import main as cli
from cli.repair import EngineEnded, up_command
from cli.step_ports import declared
from lifecycle import labels
from lifecycle.adapters.clock import WallClock
from lifecycle.adapters.engine_process import place
from lifecycle.adapters.records import DirectoryRecords
from lifecycle.adapters.roll import RUN
from lifecycle.drift import NeverBroughtUp
from lifecycle.errors import PortError
from lifecycle.ports import Claim, ClaimState, Pin
from lifecycle.repair import TooManyUnhealthy
from tests.lifecycle.adapters.wire_server import Reply, Wire, serving

REPOSITORY = Path(__file__).resolve().parents[2]
KERNEL = "6.18.4-200.fc44.x86_64"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/ingot-system/leases/ingot-roll"


@dataclass
class Site:
    """A checkout, its boot store, an API server that knows every declared node, and an engine that notes how it
    was called."""

    root: Path
    wire: Wire
    nodes: dict[str, dict[str, Any]]

    def ingot(self, *words: str, **environment: str) -> Result:
        self.wire.on("GET", "/api/v1/nodes", Reply(body={"metadata": {}, "items": list(self.nodes.values())}))
        return CliRunner().invoke(cli.app, list(words), env=environment)

    def typed(self) -> list[str]:
        """The words with which the engine was told to begin an up; none if it was not."""
        called = self.root / "called"
        return called.read_text().splitlines() if called.exists() else []


def as_pinned(pin: Pin) -> dict[str, Any]:
    """A Node object of a machine that runs what is pinned."""
    said = {"osImage": pin.os_image, "kernelVersion": KERNEL, "kubeletVersion": pin.kubelet}
    condition = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    taints = [{"key": labels.taint_key(t), "effect": "NoSchedule"} for t in labels.taints(pin.role)]
    return {
        "metadata": {"name": pin.node, "labels": labels.labels(pin.role, pin.fault_domain, stores=pin.stores)},
        "spec": {"taints": taints},
        "status": {
            "nodeInfo": {**said, "machineID": f"m-{pin.node}", "bootID": f"b-{pin.node}"},
            "conditions": [condition],
        },
    }


def lease(pid: int) -> dict[str, Any]:
    """The roll's, of a run below the process of this id."""
    run = {"id": "it", "host": "here", "place": place(), "pid": pid, "started_s": 1.0}
    return {
        "metadata": {"name": "ingot-roll", "resourceVersion": "7", "annotations": {RUN: json.dumps(run)}},
        "spec": {"holderIdentity": "it", "leaseTransitions": 3, "renewTime": "2026-01-01T00:00:00.000000Z"},
    }


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    root = tmp_path / "project"
    (root / "stacks").mkdir(parents=True)
    (root / "store").mkdir()
    (root / "Pulumi.yaml").write_text("name: ingot\n")
    shutil.copy(REPOSITORY / "stacks/images.lock.json", root / "stacks")
    text = (REPOSITORY / "stacks/Pulumi.metal.yaml").read_text()
    (root / "stacks/Pulumi.metal.yaml").write_text(text.replace("directory: /srv/ingot", f"directory: {root}/store"))
    engine = tmp_path / "pulumi"
    engine.write_text(
        f'#!/bin/sh\n[ "$1" = up ] || exit 1\nprintf "%s\\n" "$@" > "{root}/called"\n'
        f'echo $$ > "{root}/pid"\n'
        '[ -z "$STEP_SAYS" ] || echo "$STEP_SAYS" >> "$INGOT_OUTCOME"\nexit "${PULUMI_CODE:-0}"\n'
    )
    engine.chmod(0o755)
    monkeypatch.chdir(root)
    monkeypatch.setenv("INGOT_PULUMI", str(engine))
    monkeypatch.delenv("INGOT_SECRETS_FILE", raising=False)
    pins = declared(root, "metal").pins
    records = DirectoryRecords(lambda: root / "store", "metal", WallClock())
    records.record_initialised("cp1")
    for node, p in pins.items():
        claim = Claim("metal", node, p.generation, ClaimState.JOINED, p.controller, p.pool, p.role, p.stores)
        claim = replace(claim, machine_id=f"m-{node}", kernel=KERNEL, boot_id=f"b-{node}")
        assert records.put_claim(node, claim, None)
    with serving() as wire:
        file = tmp_path / "kubeconfig"
        file.write_text(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\n"
            f"clusters: [{{name: k, cluster: {{server: '{wire.url}'}}}}]\n"
            "users: [{name: u, user: {token: t}}]\ncontexts: [{name: c, context: {cluster: k, user: u}}]\n"
        )
        monkeypatch.setenv("INGOT_KUBECONFIG", str(file))
        yield Site(root, wire, {node: as_pinned(p) for node, p in pins.items()})


class TestDrift:
    """0: as pinned, 4: drifted, 1: could not tell, 2: wrongly called. Nothing but GET is ever asked."""

    def test_as_pinned(self, site: Site) -> None:
        shown = site.ingot("drift", "metal")
        assert (shown.exit_code, shown.stdout) == (0, "metal: as pinned, 9 nodes\n")
        assert {asked.method for asked in site.wire.asked} == {"GET"}

    def test_drifted(self, site: Site) -> None:
        site.nodes["w2"]["status"]["nodeInfo"]["kernelVersion"] = "6.19.0"
        site.nodes["x1"] = {"metadata": {"name": "x1"}}
        shown = site.ingot("drift", "metal")
        assert shown.exit_code == 4
        assert "x1: runbooks/drift.md#stranger" in shown.stdout
        assert "metal: 2 of 9" in shown.stdout

    def test_not_by_a_node_that_a_roll_is_just_replacing(self, site: Site) -> None:
        records = DirectoryRecords(lambda: site.root / "store", "metal", WallClock())
        was = records.claim("w2")
        assert was is not None
        assert records.put_claim("w2", replace(was, state=ClaimState.LEFT), was)
        assert site.ingot("drift", "metal").exit_code == 4
        goes_on = lease(os.getpid())
        goes_on["metadata"]["annotations"][RUN] = json.dumps({"id": "it", "host": "there", "place": "there", "pid": 1})
        goes_on["spec"]["renewTime"] = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
        site.wire.on("GET", LEASE, Reply(body=goes_on))
        shown = site.ingot("drift", "metal")
        assert (shown.exit_code, shown.stdout.splitlines()[-2:]) == (0, ["w2: information only", "metal: as pinned"])

    def test_not_by_a_controller_that_does_not_answer(self, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("INGOT_BMC_USERNAME", "u")
        monkeypatch.setenv("INGOT_BMC_PASSWORD", "p")
        stacks = site.root / "stacks/Pulumi.metal.yaml"
        stacks.write_text(stacks.read_text().replace("https://bmc-w2.metal.example", "https://127.0.0.1:1"))
        records = DirectoryRecords(lambda: site.root / "store", "metal", WallClock())
        was = records.claim("w2")
        assert was is not None
        assert records.put_claim("w2", replace(was, identity={"serial": "SN-4711"}), was)
        shown = site.ingot("drift", "metal")
        assert shown.exit_code == 0, shown.output
        assert "serial SN-4711" in shown.stdout
        assert "not to be had: BMC of w2" in shown.stdout

    def test_as_json(self, site: Site) -> None:
        site.nodes["w2"]["status"]["nodeInfo"]["kernelVersion"] = "6.19.0"
        shown = site.ingot("drift", "metal", "--json")
        (finding,) = json.loads(shown.stdout)["findings"]
        assert finding == {
            "node": "w2",
            "what": "kernel",
            "expected": KERNEL,
            "found": "6.19.0",
            "replaces": True,
            "remedy": "runbooks/drift.md#replace: `ingot repair` replaces it",
            "information": False,
        }

    def test_a_cluster_that_does_not_answer(self, site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        nowhere = (tmp_path / "kubeconfig").read_text().replace(site.wire.url, "http://127.0.0.1:1")
        (tmp_path / "nowhere").write_text(nowhere)
        shown = site.ingot("drift", "metal", INGOT_KUBECONFIG=str(tmp_path / "nowhere"))
        assert isinstance(shown.exception, PortError)
        assert (shown.exit_code, shown.stdout) == (1, "")

    def test_a_cluster_that_was_never_brought_up(self, site: Site) -> None:
        shutil.rmtree(site.root / "store" / "records" / "stacks")
        assert isinstance(site.ingot("drift", "metal").exception, NeverBroughtUp)

    def test_another_release_is_a_racks_alone(self, site: Site) -> None:
        shown = site.ingot("drift", "metal", "--image", "44.20260707.3.1")
        assert shown.exit_code == 2
        assert shown.stdout == ""
        assert "only a rack" in shown.output


class TestRepair:
    """Without --go it lists; with it the engine is told which machines to replace, and asks as it always does."""

    def broken(self, site: Site, *nodes: str) -> None:
        for node in nodes:
            site.nodes[node]["status"]["conditions"][0]["status"] = "Unknown"

    def test_lists(self, site: Site) -> None:
        self.broken(site, "w4")
        shown = site.ingot("repair", "metal")
        assert shown.exit_code == 0
        assert "not Ready for" in shown.stdout
        assert site.typed() == []

    def test_replaces_through_the_engine(self, site: Site) -> None:
        self.broken(site, "w4")
        site.nodes["cp3"]["status"]["nodeInfo"]["machineID"] = "another"
        shown = site.ingot("repair", "metal", "--go")
        assert shown.exit_code == 0, shown.output
        words = ["up", "--stack", "metal", "--replace", "**::w4.machine", "--replace", "**::cp3.machine"]
        assert site.typed()[: len(words)] == words
        assert [*words, "--yes"] == up_command("pulumi", "metal", ("w4", "cp3"), yes=True)[1:]

    def test_the_engine_halts(self, site: Site) -> None:
        self.broken(site, "w4")
        shown = site.ingot("repair", "metal", "--go", PULUMI_CODE="255")
        assert isinstance(shown.exception, EngineEnded)
        assert "found 255" in str(shown.exception)

    def test_the_engine_stops_as_asked(self, site: Site) -> None:
        self.broken(site, "w4")
        shown = site.ingot("repair", "metal", "--go", PULUMI_CODE="255", STEP_SAYS="stopped")
        assert shown.exit_code == 3
        assert "stopped as asked" in shown.stderr

    @pytest.mark.parametrize(("steps_say", "given_back"), [("acts", True), ("", False)], ids=["acted", "did nothing"])
    def test_gives_the_roll_back_if_a_step_of_it_acted(self, site: Site, steps_say: str, given_back: bool) -> None:
        self.broken(site, "w4")
        pid = site.root / "pid"  # there is no roll before the engine runs
        site.wire.on("GET", LEASE, lambda _: Reply(body=lease(int(pid.read_text()))) if pid.exists() else Reply(404))
        site.wire.on("PUT", LEASE, Reply(body={}))
        assert site.ingot("repair", "metal", "--go", STEP_SAYS=steps_say).exit_code == 0
        put = [asked.body["spec"]["renewTime"] for asked in site.wire.asked if asked.method == "PUT"]
        assert put == ["1970-01-01T00:00:00.000000Z"] * given_back

    def test_nothing_to_repair_starts_no_engine(self, site: Site) -> None:
        shown = site.ingot("repair", "metal", "--go")
        assert (shown.exit_code, shown.stdout) == (0, "metal: no node is broken or drifted\n")
        assert site.typed() == []

    def test_too_many_start_no_engine(self, site: Site) -> None:
        self.broken(site, "w4", "w5")
        shown = site.ingot("repair", "metal", "--go")
        assert shown.exit_code == 1
        assert isinstance(shown.exception, TooManyUnhealthy)
        assert "w5" in shown.stdout  # listed all the same
        assert site.typed() == []

    def test_a_limit_that_is_longer(self, site: Site) -> None:
        self.broken(site, "w4")
        shown = site.ingot("repair", "metal", "--broken-after", "1e12")
        assert shown.stdout == "metal: no node is broken or drifted\n"
