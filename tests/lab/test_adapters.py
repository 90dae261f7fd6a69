"""The lifecycle's adapters against the real parts: what their own tests assume of the wire is so."""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from lab import fleet as make
from lab import redfish
from lab.fleet import Fleet
from lab.lab import Lab
from lifecycle.adapters.boot_store import DirectoryBoot
from lifecycle.adapters.clock import WallClock
from lifecycle.adapters.etcd import GatewayEtcd
from lifecycle.adapters.kube_api import ADMINISTRATOR, KubeApi, from_authority, from_kubeconfig
from lifecycle.adapters.kubernetes import TOKEN_GROUP, ApiKubernetes
from lifecycle.adapters.redfish import RedfishMachines
from lifecycle.adapters.roster import ConfigMapRoster
from lifecycle.adapters.secrets import BmcCredentials
from lifecycle.adapters.tls import trusting
from lifecycle.errors import NeedsAttention, PortError
from lifecycle.ports import Controller, Eviction, Member, Pin, Pod, Power
from tests.lab.clients import CLOCK, api_of, authority, etcd_of
from tests.lab.conftest import WORKERS, Space
from tests.lab.eventually import eventually
from tests.lifecycle.adapters.pinned import pin_of

pytestmark = pytest.mark.lab

WRITERS = 10


@pytest.fixture
def kubernetes(lab: Lab) -> ApiKubernetes:
    return ApiKubernetes(api_of(lab), CLOCK, frozenset({"storage"}))


class TestConnecting:
    """By a kubeconfig, or by a certificate that the step mints with the cluster's own authority."""

    def test_with_a_minted_certificate(self, lab: Lab) -> None:
        minted = KubeApi(
            lambda: from_authority(lab.layout.endpoint, authority(lab, "ca"), CLOCK.now_s(), ADMINISTRATOR),
            CLOCK,
        )
        assert ApiKubernetes(minted, CLOCK, frozenset()).answers()

    def test_to_another_cluster_is_refused(self, lab: Lab) -> None:
        other = authority(lab, "etcd-ca").certificate
        with pytest.raises(NeedsAttention, match="another certificate authority than the stack's"):
            from_kubeconfig(lab.kubeconfig, other)


class TestNodes:
    """Are read as their kubelets write them, and cordoned."""

    def test_are_read(self, kubernetes: ApiKubernetes) -> None:
        eventually(lambda: all(node.ready for node in kubernetes.nodes()), "all nodes Ready")
        node = kubernetes.node("w1")
        assert node is not None
        assert (node.os_image, node.kubelet) == (make.FEDORA_COREOS.os_image, make.FEDORA_COREOS.kubelet)
        assert len(node.machine_id) == 32
        assert {n.name for n in kubernetes.nodes()} >= {"cp1", *(f"w{i}" for i in range(1, WORKERS + 1))}
        assert kubernetes.control_plane_addresses() == {"127.0.0.11": "cp1"}

    def test_are_cordoned(self, kubernetes: ApiKubernetes) -> None:
        for value in (True, True, False):
            kubernetes.set_unschedulable("w1", value)
            node = kubernetes.node("w1")
            assert node is not None
            assert node.unschedulable is value

    def test_are_taken_out_of_service(self, kubernetes: ApiKubernetes, fleet: Fleet) -> None:
        fleet.create(make.node("dead", "10.2.0.2"))
        # While its kubelet writes, the adapter's write may lose, and it says so.
        eventually(lambda: (n := kubernetes.node("dead")) and n.ready, "the node Ready")
        for value in (True, True, False):
            kubernetes.set_out_of_service("dead", value)
            node = kubernetes.node("dead")
            assert node is not None
            assert node.out_of_service is value
        kubernetes.delete_node("dead")
        kubernetes.delete_node("dead")
        eventually(lambda: kubernetes.node("dead") is None, "its end to be seen by the watch, too")


class TestEvictions:
    """Honour disruption budgets as the real eviction API counts them."""

    @pytest.fixture
    def pods(self, space: Space, kubernetes: ApiKubernetes) -> list[Pod]:
        deployment = make.deployment("app", 2)
        space.create(deployment)
        eventually(lambda: space.status(deployment).get("readyReplicas") == 2, "two Ready pods")
        return self.pods_of(space, kubernetes)

    def pods_of(self, space: Space, kubernetes: ApiKubernetes) -> list[Pod]:
        return [p for n in kubernetes.nodes() for p in kubernetes.pods_on(n.name) if p.namespace == space.name]

    def allowed(self, space: Space, kubernetes: ApiKubernetes) -> int | None:
        """What the budget allows, None until the controller manager has counted its pods."""
        mine = [b for b in kubernetes.budgets() if b.namespace == space.name and b.expected_pods == 2]
        return mine[0].disruptions_allowed if mine and mine[0].desired_healthy <= 2 else None

    def test_are_refused_while_the_budget_is_spent(
        self, space: Space, kubernetes: ApiKubernetes, pods: list[Pod]
    ) -> None:
        space.create(make.budget("app", "app", min_available=2))
        eventually(lambda: self.allowed(space, kubernetes) is not None, "a budget that knows its pods")
        assert self.allowed(space, kubernetes) == 0
        assert kubernetes.evict(pods) == dict.fromkeys((pod.key for pod in pods), Eviction.REFUSED)
        assert not any(p.terminating for n in {p.node for p in pods} for p in kubernetes.pods_on(n) if p in pods)

    def test_are_granted_one_at_a_time(self, space: Space, kubernetes: ApiKubernetes) -> None:
        # Nobody's pods: a controller may have the first one's successor Ready before the second is asked for.
        twins = [make.pod(name) for name in ("one", "two")]
        for pod in twins:
            pod["metadata"]["labels"] = {"app": "app"}
        space.create(*twins, make.budget("app", "app", min_available=1))
        eventually(lambda: self.allowed(space, kubernetes) == 1, "a budget that allows one")
        pods = self.pods_of(space, kubernetes)
        answers = kubernetes.evict(pods)
        assert sorted(map(str, answers.values())) == [Eviction.GRANTED, Eviction.REFUSED]
        (gone,) = [pod for pod in pods if answers[pod.key] is Eviction.GRANTED]
        eventually(lambda: gone.key not in {p.key for p in kubernetes.pods_on(gone.node)}, "it to be gone")
        assert kubernetes.evict([gone]) == {gone.key: Eviction.GONE}

    def test_of_one_that_was_replaced_leave_its_successor_alone(self, space: Space, kubernetes: ApiKubernetes) -> None:
        pod = make.pod("twin", on="w1")
        space.create(pod)
        eventually(lambda: space.status(pod).get("phase") == "Running", "the pod to run")
        seen = next(p for p in kubernetes.pods_on("w1") if p.namespace == space.name)
        space.fleet.delete(pod, space.name)
        eventually(lambda: space.read(pod) is None, "the pod to be gone")
        space.create(pod)
        assert kubernetes.evict([seen]) == {seen.key: Eviction.GONE}
        assert space.read(pod) is not None


class TestVolumes:
    """Are found on their node under the name of their claim."""

    def test_are_found(self, space: Space, kubernetes: ApiKubernetes) -> None:
        space.create(make.claim("data"), make.pod("db", on="w4", claim="data"))
        key = f"{space.name}/data"
        eventually(lambda: [a for a in kubernetes.attachments_on("w4") if a.claim == key and a.attached], "it attached")
        eventually(lambda: (n := kubernetes.node("w4")) and n.volumes_attached and n.volumes_in_use, "it in use")
        assert key in kubernetes.claims_by_handle(make.DRIVER).values()
        assert [p.claims for p in kubernetes.pods_on("w4") if p.namespace == space.name] == [("data",)]


class TestTokens:
    """Let a kubelet in as kubeadm's bindings know it, and not for long."""

    def whoever(self, lab: Lab, token: str) -> dict[str, Any]:
        answer = httpx.post(
            f"https://{lab.layout.endpoint}/apis/authentication.k8s.io/v1/selfsubjectreviews",
            json={"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"},
            headers={"Authorization": f"Bearer {token}"},
            verify=trusting(authority(lab, "ca")),
            trust_env=False,
        )
        return {"status": answer.status_code, **(answer.json().get("status") or {} if answer.is_success else {})}

    def test_name_the_joining_node(self, lab: Lab, kubernetes: ApiKubernetes) -> None:
        token = kubernetes.mint_token(600)
        found = eventually(lambda: self.whoever(lab, token).get("userInfo", {}), "the token to be known")
        assert found["username"] == f"system:bootstrap:{token[:6]}"
        assert TOKEN_GROUP in found["groups"]

    def test_run_out(self, lab: Lab, kubernetes: ApiKubernetes) -> None:
        token = kubernetes.mint_token(1)
        eventually(lambda: self.whoever(lab, token)["status"] == httpx.codes.UNAUTHORIZED, "the token refused")
        where = f"bootstrap-token-{token[:6]}"
        eventually(lambda: kubernetes.secret("kube-system", where) is None, "the token's Secret removed")


class TestRoster:
    """No write is lost, whoever writes at the same time."""

    @pytest.mark.usefixtures("no_records")
    def test_under_ten_racing_writers(self, lab: Lab) -> None:
        all_read = threading.Barrier(WRITERS)

        def add(writer: int) -> int:
            """Add one's own number by compare-and-swap; how often it was lost."""
            roster, lost = ConfigMapRoster(api_of(lab)), 0
            document, version = roster.read()
            all_read.wait(60)  # the same, so that all but one lose
            while True:
                names = json.loads(document) if document else []
                if roster.write(json.dumps([*names, writer]), version):
                    return lost
                lost += 1
                document, version = roster.read()

        with ThreadPoolExecutor(WRITERS) as pool:
            losses = list(pool.map(add, range(WRITERS)))
        document, version = ConfigMapRoster(api_of(lab)).read()
        assert sorted(json.loads(document)) == list(range(WRITERS))
        assert sum(losses) >= WRITERS - 1  # else nobody raced
        assert not ConfigMapRoster(api_of(lab)).write("[]", str(int(version) - 1))


class TestEtcd:
    """Three members: read, the leader moved, one lost, one removed."""

    def test_members_are_read(self, three_member_lab: Lab) -> None:
        members = etcd_of(three_member_lab).members()
        assert sorted(member.name for member in members) == ["cp1", "cp2", "cp3"]
        assert all(member.voter and member.healthy for member in members)
        assert sum(member.leader for member in members) == 1

    def test_the_leader_moves(self, three_member_lab: Lab) -> None:
        etcd = etcd_of(three_member_lab)
        for _ in range(2):
            target = next(member for member in etcd.members() if not member.leader)
            for _ in range(2):  # the second changes nothing
                eventually(functools.partial(self.moved, etcd, target), "the new leader")

    @staticmethod
    def moved(etcd: GatewayEtcd, member: Member) -> bool:
        """Whether it leads, told to. An election may be under way by itself: then nobody can be told."""
        try:
            etcd.move_leader(member)
        except PortError:
            return False
        return any(found.leader for found in etcd.members() if found.id == member.id)

    def test_a_lost_member_is_seen(self, three_member_lab: Lab) -> None:
        etcd = etcd_of(three_member_lab)
        three_member_lab.kill_etcd(3)
        try:
            assert {m.name: m.healthy for m in etcd.members()} == {"cp1": True, "cp2": True, "cp3": False}
        finally:
            three_member_lab.restart("etcd-3")
        eventually(lambda: all(member.healthy for member in etcd.members()), "it healthy again")

    def test_a_member_is_removed(self, tmp_path: Path) -> None:
        with Lab.start(tmp_path, etcd_members=3, systems=1) as lab:
            etcd = etcd_of(lab)
            gone = next(member for member in etcd.members() if not member.leader)
            eventually(lambda: self.removed(etcd, gone), "members that etcd has known long enough to let one go")
            etcd.remove(gone)
            assert gone.name not in {member.name for member in etcd.members()}
            assert api_of(lab).get("namespace", "/api/v1/namespaces/default")

    @staticmethod
    def removed(etcd: GatewayEtcd, member: Member) -> bool:
        """etcd refuses for the first five seconds of its members' connections: it calls them unhealthy till then."""
        try:
            etcd.remove(member)
        except PortError as refused:
            if "unhealthy cluster" not in refused.found:
                raise
            return False
        return True


class TestRedfish:
    """Power is off only when the controller says so, some seconds after it was told."""

    @pytest.fixture
    def machines(self, lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RedfishMachines]:
        def files(pin: Pin) -> dict[str, bytes]:
            return {pin.boot_url.removeprefix("https://boot.example/"): b"#!ipxe"}

        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(lab.layout.bmc_authority().pair.certificate))
        store = DirectoryBoot(lambda: tmp_path, lambda: "https://boot.example", files)
        made = RedfishMachines(lambda _: BmcCredentials(redfish.USERNAME, redfish.PASSWORD), store, WallClock())
        yield made
        made.close()

    def test_power_is_proven_off_and_comes_back_with_an_installation(self, lab: Lab, machines: RedfishMachines) -> None:
        controller = Controller(redfish.system_url(lab.layout, 2))
        assert machines.power("w2", controller) is Power.ON
        machines.power_off("w2", controller)
        eventually(lambda: machines.power("w2", controller) is Power.OFF, "the power off")
        machines.power_off("w2", controller)
        assert machines.power("w2", controller) is Power.OFF
        machines.install("w2", pin_of("w2", controller))
        eventually(lambda: machines.power("w2", controller) is Power.ON, "the power on")
        machines.clear_boot_override("w2", controller)

    def test_another_password_needs_attention(self, lab: Lab, machines: RedfishMachines, tmp_path: Path) -> None:
        del machines  # for its certificate authority
        store = DirectoryBoot(lambda: tmp_path, lambda: "", lambda _: {})
        wrong = RedfishMachines(lambda _: BmcCredentials("lab", "another"), store, WallClock())
        with pytest.raises(NeedsAttention, match="the credentials are refused"):
            wrong.power("w2", Controller(redfish.system_url(lab.layout, 2)))
        wrong.close()
