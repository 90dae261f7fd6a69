"""The lab as a whole: it comes up, its parts can be killed and come back, and it goes without a trace."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from lab import processes
from lab.errors import LabIsDown, LabIsUp
from lab.fleet import Fleet
from lab.lab import Lab, down
from lab.layout import ETCD_HOSTS, Layout, Shape
from tests.lab.conftest import WORKERS
from tests.lab.eventually import eventually

PARTS = {"etcd-1", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok", "redfish", "warden"}

CALLER = "import sys; from pathlib import Path; from lab.lab import Lab; Lab.start(Path(sys.argv[1])); input()"


def trusting(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate))


def listens(host: str, port: int) -> bool:
    with socket.socket() as asking:
        asking.settimeout(5)
        return asking.connect_ex((host, port)) == 0


def listening(shape: Shape) -> set[int]:
    """Those of a lab's ports at which somebody answers."""
    ones = ("api_port", "controller_manager_port", "scheduler_port", "kwok_port", "redfish_port")
    at = [("127.0.0.1", int(getattr(shape, one))) for one in ones]
    at += list(zip(ETCD_HOSTS, shape.client_ports, strict=False)) + list(
        zip(ETCD_HOSTS, shape.peer_ports, strict=False)
    )
    return {port for host, port in at if listens(host, port)}


@pytest.mark.lab
class TestUp:
    """Every part runs and serves."""

    def test_all_parts_run(self, lab: Lab) -> None:
        assert set(lab.running()) == PARTS
        assert len(listening(lab.layout.shape)) == 7

    def test_nodes_become_ready(self, fleet: Fleet) -> None:
        def ready() -> bool:
            nodes = list(fleet.api.items("nodes", "/api/v1/nodes"))
            return len(nodes) == WORKERS + 1 and all(
                any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"].get("conditions", []))
                for node in nodes
            )

        eventually(ready, "all nodes Ready")

    def test_again_is_refused(self, lab: Lab) -> None:
        with pytest.raises(LabIsUp, match="found etcd-1, kube-apiserver"):
            Lab.start(lab.folder)

    def test_it_is_found_by_another_process(self, lab: Lab) -> None:
        assert Lab.attach(lab.folder).layout == lab.layout


@pytest.mark.lab
class TestClients:
    """Nobody is let in without a certificate of the lab's own."""

    def test_without_a_certificate(self, lab: Lab) -> None:
        trusted = lab.layout.authority().pair.certificate
        for path in ("/api/v1/nodes", "/readyz", "/version"):
            answer = httpx.get(f"https://{lab.layout.endpoint}{path}", verify=trusting(trusted), trust_env=False)
            assert answer.status_code == httpx.codes.UNAUTHORIZED

    def test_without_a_certificate_at_etcd(self, lab: Lab) -> None:
        trusted = lab.layout.etcd_authority().pair.certificate
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{lab.layout.etcd_endpoints[0]}/health", verify=trusting(trusted), trust_env=False)

    def test_of_an_owner_may_do_nothing_before_it_is_granted(self, lab: Lab) -> None:
        owner = Fleet(lab.layout.kubeconfig("storage-owner", "storage-owner", "owners"))
        refused = owner.api.ask("nodes", "GET", "/api/v1/nodes", final=frozenset({403}))
        assert 'User "storage-owner" cannot list resource "nodes"' in json.loads(refused.text)["message"]


@pytest.mark.lab
class TestFaults:
    """A part that is killed comes back with its data."""

    def test_the_api_server(self, lab: Lab, fleet: Fleet) -> None:
        before = lab.running()["kube-apiserver"].pid
        lab.restart_apiserver(kill=True)
        assert lab.running()["kube-apiserver"].pid != before
        assert fleet.api.get("node w1", "/api/v1/nodes/w1")

    def test_a_member_of_etcd(self, three_member_lab: Lab) -> None:
        three = Fleet(three_member_lab.kubeconfig)
        three_member_lab.kill_etcd(2)
        assert "etcd-2" not in three_member_lab.running()
        assert three.api.get("node w1", "/api/v1/nodes/w1")  # a majority is left
        three_member_lab.restart("etcd-2")
        assert "etcd-2" in three_member_lab.running()


@pytest.mark.lab
class TestDown:
    """Leaves no process, no port, no key."""

    def test_after_a_whole_life(self, tmp_path: Path) -> None:
        with Lab.start(tmp_path / "one", systems=1) as lab:
            shape = lab.layout.shape
            assert len(listening(shape)) == 7
        assert processes.running(lab.folder) == {}
        assert listening(shape) == set()
        assert sorted(entry.name for entry in lab.folder.iterdir()) == ["lock", "logs"]
        assert lab.stop() == []

    def test_of_a_lab_that_was_left_running(self, tmp_path: Path) -> None:
        with Lab.start(tmp_path / "one", systems=1) as lab:
            lab.detach()
        assert set(lab.running()) == PARTS - {"warden"}
        assert set(down(lab.folder)) == PARTS - {"warden"}
        assert listening(lab.layout.shape) == set()

    def test_of_a_caller_that_was_killed(self, tmp_path: Path) -> None:
        folder = tmp_path / "one"
        caller = subprocess.Popen([sys.executable, "-c", CALLER, str(folder)], stdin=subprocess.PIPE)
        eventually(lambda: "kube-apiserver" in processes.running(folder), "the API server to run")  # in mid-start
        shape = Layout.read(folder, {}).shape
        caller.kill()
        caller.communicate(timeout=10)
        down(folder)
        assert processes.running(folder) == {}
        assert listening(shape) == set()


class TestNoLab:
    """Is no error to stop, and one to attach to."""

    def test_down(self, tmp_path: Path) -> None:
        assert down(tmp_path / "none") == []
        assert not (tmp_path / "none").exists()

    @pytest.mark.lab
    def test_attach(self, tmp_path: Path) -> None:
        with pytest.raises(LabIsDown, match="found no such file"):
            Lab.attach(tmp_path)
        Layout(tmp_path, Shape.choose(1, 1), {}).write()
        with pytest.raises(LabIsDown, match="that file, and no process"):
            Lab.attach(tmp_path)
