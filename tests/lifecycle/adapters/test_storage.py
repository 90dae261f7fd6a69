"""The storage contract on simplyblock's control API, as its version 2 answers."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from lifecycle.adapters.kubernetes import ApiKubernetes
from lifecycle.adapters.storage import Control, SimplyblockStorage, find_control
from lifecycle.errors import PortError
from lifecycle.ports import Verdict
from tests.lifecycle.adapters.api_server import connected
from tests.lifecycle.adapters.wire_server import Asked, Reply, StillClock, Wire

CLUSTER = "4502977c-ae2d-4046-a8c5-ccc7fa78eb9a"
BASE = f"/api/v2/clusters/{CLUSTER}"
OPS = "/apis/storage.simplyblock.io/v1alpha1/namespaces/simplyblock/storagenodeops"
TOKEN = "cluster-s3cret"


class Cluster:
    """A storage cluster of six nodes, fault tolerance one."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.cluster: dict[str, Any] = {
            "id": CLUSTER,
            "status": "active",
            "is_re_balancing": False,
            "max_fault_tolerance": 1,
            "enable_failure_domain": False,
            "secret": TOKEN,
        }
        self.nodes = {
            f"w{n}": {
                "id": f"sn-{n}",
                "hostname": f"w{n}_4420",
                "status": "online",
                "health_check": True,
                "device_count": 2,
                "online_device_count": 2,
                "failure_domain": n % 3,
            }
            for n in range(1, 7)
        }
        self.volumes = [self.volume("pvc-a", 1, 2), self.volume("pvc-b", 3, 4)]
        self.posted: list[str] = []
        wire.on("GET", f"{BASE}/", self.checked(lambda: self.cluster))
        wire.on("GET", f"{BASE}/storage-nodes/", self.checked(lambda: list(self.nodes.values())))
        wire.on("GET", f"{BASE}/storage-pools/", self.checked(lambda: [{"id": "pool-1", "name": "pool1"}]))
        wire.on("GET", f"{BASE}/storage-pools/pool-1/volumes/", self.checked(lambda: self.volumes))

    def volume(self, name: str, first: int, second: int, **over: Any) -> dict[str, Any]:
        return {
            "id": f"v-{name}",
            "name": name,
            "status": "online",
            "health_check": True,
            "io_error": False,
            "migrating": False,
            "storage_node_id": f"sn-{first}",
            "nodes": [f"http://api{BASE}/storage-nodes/sn-{n}/" for n in (first, second)],
            "high_availability": True,
            "npcs": 1,
            **over,
        }

    def checked(self, give: Any) -> Any:
        def script(asked: Asked) -> Reply:
            token = {k.lower(): v for k, v in asked.headers.items()}.get("authorization")
            return Reply(body=give()) if token == f"Bearer {TOKEN}" else Reply(401, {"detail": "Invalid token"})

        return script

    def on_post(self, node: str, action: str, *states: str) -> None:
        """`action` on the storage node of `node` is accepted; each look after it shows the next state."""
        coming = list(states)

        def accepted(asked: Asked) -> Reply:
            self.posted.append(f"{action} {node}")
            return Reply(202)

        def look() -> Any:
            if f"{action} {node}" in self.posted and coming:
                self.nodes[node]["status"] = coming.pop(0)
            return list(self.nodes.values())

        self.wire.on("POST", f"{BASE}/storage-nodes/{self.nodes[node]['id']}/{action}", accepted)
        self.wire.on("GET", f"{BASE}/storage-nodes/", self.checked(look))


@pytest.fixture
def cluster(wire: Wire) -> Cluster:
    """Of storage; it takes the place of the shared fixture, which is of Kubernetes."""
    return Cluster(wire)


@pytest.fixture
def storage(wire: Wire, clock: StillClock) -> SimplyblockStorage:
    api = connected(wire.url, clock)
    kubernetes = ApiKubernetes(api, clock, frozenset({"simplyblock"}))
    return SimplyblockStorage(lambda: Control(wire.url, CLUSTER, TOKEN), kubernetes, api, clock, "simplyblock")


class TestIsRedundant:
    """Yes only when cluster, nodes, devices and volumes all say so."""

    def test_all_well(self, cluster: Cluster, storage: SimplyblockStorage) -> None:
        assert storage.is_redundant() == Verdict(True)

    @pytest.mark.parametrize(
        ("field", "value", "reason"),
        [("status", "degraded", "the cluster is degraded"), ("is_re_balancing", True, "the cluster re-balances")],
    )
    def test_the_cluster_says_no(
        self, cluster: Cluster, storage: SimplyblockStorage, field: str, value: Any, reason: str
    ) -> None:
        cluster.cluster[field] = value
        assert storage.is_redundant() == Verdict(False, (reason,))

    def test_a_field_that_is_missing_is_no_yes(self, cluster: Cluster, storage: SimplyblockStorage) -> None:
        del cluster.cluster["is_re_balancing"]
        assert not storage.is_redundant().ok

    @pytest.mark.parametrize(
        ("over", "why"),
        [
            ({"status": "offline"}, "offline"),
            ({"health_check": None}, "failing its health check"),
            ({"online_device_count": 1}, "missing 1 devices"),
        ],
    )
    def test_a_node_is_not_whole(
        self, cluster: Cluster, storage: SimplyblockStorage, over: dict[str, Any], why: str
    ) -> None:
        cluster.nodes["w3"].update(over)
        assert storage.is_redundant() == Verdict(False, (f"storage node w3 is {why}",))

    @pytest.mark.parametrize(
        ("over", "why"),
        [({"io_error": True}, "failing I/O"), ({"health_check": False}, "failing its"), ({"migrating": True}, "being")],
    )
    def test_a_volume_is_not_well(
        self, cluster: Cluster, storage: SimplyblockStorage, over: dict[str, Any], why: str
    ) -> None:
        cluster.volumes[1].update(over)
        assert storage.is_redundant().reasons[0].startswith(f"volume pvc-b is {why}")


class TestIsRedundantBut:
    """A node's own trouble excuses what follows from it, and nothing else."""

    def test_its_own(self, cluster: Cluster, storage: SimplyblockStorage) -> None:
        cluster.nodes["w1"]["status"], cluster.cluster["status"] = "offline", "degraded"
        cluster.volumes[0]["health_check"] = False  # on w1 and w2
        assert storage.is_redundant_but("w1") == Verdict(True)
        assert not storage.is_redundant_but("w3").ok

    def test_not_anothers(self, cluster: Cluster, storage: SimplyblockStorage) -> None:
        cluster.nodes["w1"]["status"] = "offline"
        cluster.nodes["w3"]["online_device_count"] = 1
        cluster.volumes[1]["migrating"] = True
        reasons = ("storage node w3 is missing 1 devices", "volume pvc-b is being moved")
        assert storage.is_redundant_but("w1") == Verdict(False, reasons)

    def test_none_while_it_is_well(self, cluster: Cluster, storage: SimplyblockStorage) -> None:
        cluster.cluster["status"] = "degraded"
        assert storage.is_redundant_but("w1") == storage.is_redundant()


class TestCanLose:
    """The fault tolerance of the cluster, less what is out already."""

    def test_one_of_a_whole_cluster(self, cluster: Cluster, storage: SimplyblockStorage) -> None:
        assert storage.can_lose("w1") == Verdict(True)

    def test_not_while_another_is_out(self, cluster: Cluster, storage: SimplyblockStorage) -> None:
        cluster.nodes["w4"]["status"] = "unreachable"
        verdict = storage.can_lose("w1")
        assert verdict == Verdict(False, ("the cluster tolerates 1 out at once; out already: w4",))

    def test_the_one_that_is_out_itself(self, cluster: Cluster, storage: SimplyblockStorage) -> None:
        cluster.nodes["w1"]["status"] = "offline"
        assert storage.can_lose("w1") == Verdict(True)

    def test_another_of_the_same_failure_domain(self, cluster: Cluster, storage: SimplyblockStorage) -> None:
        cluster.cluster["enable_failure_domain"] = True
        cluster.nodes["w4"]["status"] = "unreachable"
        assert storage.can_lose("w1").ok  # w1 and w4 share domain 1
        assert not storage.can_lose("w2").ok

    def test_not_while_it_rebalances(self, cluster: Cluster, storage: SimplyblockStorage) -> None:
        cluster.cluster["is_re_balancing"] = True
        assert storage.can_lose("w1").reasons == ("the cluster re-balances",)

    def test_not_what_holds_the_only_copy(self, cluster: Cluster, storage: SimplyblockStorage) -> None:
        cluster.volumes.append(cluster.volume("pvc-c", 1, 1, high_availability=False, npcs=0))
        assert storage.can_lose("w1").reasons == ("volume pvc-c has no copy elsewhere",)
        assert storage.can_lose("w2").ok

    def test_a_node_without_storage(self, cluster: Cluster, storage: SimplyblockStorage) -> None:
        cluster.cluster["status"] = "degraded"
        assert storage.can_lose("cp1") == Verdict(True)

    def test_a_tolerance_that_is_no_number_is_an_error(self, cluster: Cluster, storage: SimplyblockStorage) -> None:
        cluster.cluster["max_fault_tolerance"] = "one"
        with pytest.raises(PortError, match=r"max_fault_tolerance.*'one'"):
            storage.can_lose("w1")


class TestPathsAndLoss:
    """Which volumes miss a path, and which would be lost."""

    def test_paths_are_complete(self, cluster: Cluster, storage: SimplyblockStorage) -> None:
        assert storage.paths_complete() == Verdict(True)

    def test_a_node_that_serves_is_not_up(self, cluster: Cluster, storage: SimplyblockStorage) -> None:
        cluster.nodes["w2"]["status"] = "in_restart"
        assert storage.paths_complete() == Verdict(False, ("volume pvc-a: 1 of its 2 nodes are not up",))

    def test_what_would_be_lost_is_named_by_its_claim(
        self, wire: Wire, cluster: Cluster, storage: SimplyblockStorage
    ) -> None:
        cluster.volumes += [
            cluster.volume("pvc-c", 1, 1, high_availability=False, npcs=0),
            cluster.volume("pvc-d", 1, 1, high_availability=False, npcs=0),
        ]
        csi = {"driver": "csi.simplyblock.io", "volumeHandle": f"{CLUSTER}:pool-1:v-pvc-c"}
        claim = {"namespace": "shop", "name": "data-db-0"}
        other = {"csi": {"driver": "other", "volumeHandle": "v-pvc-d"}, "claimRef": claim}
        volumes = [
            {"metadata": {"name": "pv-1"}, "spec": {"csi": csi, "claimRef": claim}},
            {"metadata": {"name": "pv-2"}, "spec": other},
        ]
        wire.on("GET", "/api/v1/persistentvolumes", Reply(body={"items": volumes}))
        assert storage.only_on("w1") == ("shop/data-db-0", "volume pvc-d")
        assert storage.only_on("w2") == ()
        assert storage.only_on("cp1") == ()


class TestMaintenance:
    """A shutdown is graceful and waited for; a restart is asked for until it takes."""

    def test_begin_shuts_down_and_waits(self, cluster: Cluster, storage: SimplyblockStorage) -> None:
        cluster.on_post("w1", "shutdown", "in_shutdown", "in_shutdown", "offline")
        storage.begin_maintenance("w1")
        assert cluster.posted == ["shutdown w1"]

    def test_begin_twice_asks_for_nothing(self, cluster: Cluster, storage: SimplyblockStorage) -> None:
        cluster.nodes["w1"]["status"] = "offline"
        storage.begin_maintenance("w1")
        assert cluster.posted == []

    def test_begin_waits_for_a_shutdown_that_the_operator_began(
        self, wire: Wire, cluster: Cluster, storage: SimplyblockStorage
    ) -> None:
        looks = iter(["in_shutdown", "in_shutdown", "offline"])
        nodes = list(cluster.nodes.values())
        wire.on(
            "GET",
            f"{BASE}/storage-nodes/",
            cluster.checked(lambda: [{**nodes[0], "status": next(looks)}, *nodes[1:]]),
        )
        storage.begin_maintenance("w1")
        assert not [line for line in wire.lines() if line.startswith("POST")]

    def test_begin_refused_says_why(self, wire: Wire, cluster: Cluster, storage: SimplyblockStorage) -> None:
        refused = {"detail": "migration tasks are running"}
        wire.on("POST", f"{BASE}/storage-nodes/sn-1/shutdown", Reply(409, refused))
        with pytest.raises(PortError, match=r"storage node w1, shutdown.*HTTP 409.*migration tasks are running"):
            storage.begin_maintenance("w1")

    def test_begin_that_never_ends_is_an_error(
        self, cluster: Cluster, storage: SimplyblockStorage, clock: StillClock
    ) -> None:
        cluster.on_post("w1", "shutdown", "in_shutdown")
        with pytest.raises(PortError, match=r"storage of w1, to be shut down within 300 s.*sn-1 in_shutdown"):
            storage.begin_maintenance("w1")
        assert 300 <= sum(clock.slept) <= 310

    def test_end_restarts_and_waits(self, cluster: Cluster, storage: SimplyblockStorage) -> None:
        cluster.nodes["w1"]["status"] = "offline"
        cluster.on_post("w1", "restart", "in_restart", "online")
        storage.end_maintenance("w1")
        assert cluster.posted == ["restart w1"]

    def test_end_asks_again_when_a_restart_was_dropped(self, cluster: Cluster, storage: SimplyblockStorage) -> None:
        cluster.nodes["w1"]["status"] = "offline"
        cluster.on_post("w1", "restart", *["offline"] * 20, "in_restart", "online")
        storage.end_maintenance("w1")
        assert cluster.posted == ["restart w1", "restart w1"]

    @pytest.mark.parametrize("node", ["w1", "cp1"])
    def test_end_of_what_serves_or_has_none_asks_for_nothing(
        self, wire: Wire, cluster: Cluster, storage: SimplyblockStorage, node: str
    ) -> None:
        storage.end_maintenance(node)
        assert wire.lines() == [f"GET {BASE}/storage-nodes/"]


class TestEvacuate:
    """Replicas are moved by the operator, one removal a storage node."""

    def test_it_begins_goes_on_and_ends(self, wire: Wire, cluster: Cluster, storage: SimplyblockStorage) -> None:
        made = {"metadata": {"name": "set-w1-0"}, "spec": {"workerNode": "w1"}}
        other = {"metadata": {"name": "set-w2-0"}, "spec": {"workerNode": "w2"}}
        wire.on("GET", OPS.removesuffix("ops") + "s", Reply(body={"items": [made, other]}))
        wire.on("POST", OPS, Reply(201, {}))
        assert storage.evacuate("w1") == Verdict(False, ("storage node set-w1-0: removal begins",))
        spec = {"storageNodeRef": "set-w1-0", "action": "remove"}
        assert wire.asked[-1].body["spec"] == spec

        job = f"{OPS}/ingot-remove-set-w1-0"
        wire.on("GET", job, Reply(body={"status": {"phase": "Running", "subPhase": "Migrating", "volumesPending": 3}}))
        assert storage.evacuate("w1").reasons == ("storage node set-w1-0: Migrating, 3 volumes to move",)
        wire.on("GET", job, Reply(body={"status": {"phase": "Succeeded"}}))
        assert storage.evacuate("w1") == Verdict(True)

    def test_a_failed_removal_is_an_error(self, wire: Wire, cluster: Cluster, storage: SimplyblockStorage) -> None:
        made = {"metadata": {"name": "set-w1-0"}, "spec": {"workerNode": "w1"}}
        wire.on("GET", OPS.removesuffix("ops") + "s", Reply(body={"items": [made]}))
        failed = {"status": {"phase": "Failed", "message": "pinned volume pvc-a"}}
        wire.on("GET", f"{OPS}/ingot-remove-set-w1-0", Reply(body=failed))
        with pytest.raises(PortError, match=r"pinned volume pvc-a.*kubectl"):
            storage.evacuate("w1")

    def test_what_holds_nothing_is_empty(self, cluster: Cluster, storage: SimplyblockStorage) -> None:
        assert storage.evacuate("cp1") == Verdict(True)

    def test_an_operator_without_the_resource_is_named(self, cluster: Cluster, storage: SimplyblockStorage) -> None:
        with pytest.raises(PortError, match=r"no StorageNode\.storage\.simplyblock\.io.*26\.2\.8"):
            storage.evacuate("w1")


class TestHostileWire:
    """An unknown state is an error that names it; garbage is no empty cluster."""

    def test_a_state_nobody_knows(self, cluster: Cluster, storage: SimplyblockStorage) -> None:
        cluster.nodes["w5"]["status"] = "hibernating"
        with pytest.raises(PortError, match=r"storage node w5_4420.*'hibernating'"):
            storage.is_redundant()

    @pytest.mark.parametrize("body", ["<html>", '{"detail": "?"}', "[7]"])
    def test_garbage(self, wire: Wire, cluster: Cluster, storage: SimplyblockStorage, body: str) -> None:
        wire.on("GET", f"{BASE}/storage-nodes/", Reply(body=body))
        with pytest.raises(PortError, match="storage nodes"):
            storage.can_lose("w1")

    def test_throttling_is_waited_out(
        self, wire: Wire, cluster: Cluster, storage: SimplyblockStorage, clock: StillClock
    ) -> None:
        wire.on("GET", f"{BASE}/", Reply(429, "", {"Retry-After": "4"}), cluster.checked(lambda: cluster.cluster))
        assert storage.is_redundant().ok
        assert clock.slept == [4.0]

    def test_a_wrong_token_is_not_shown(self, wire: Wire, cluster: Cluster, clock: StillClock) -> None:
        api = connected(wire.url, clock)
        kubernetes = ApiKubernetes(api, clock, frozenset())
        control = Control(wire.url, CLUSTER, "wr0ng")
        assert "wr0ng" not in repr(control)
        with pytest.raises(PortError, match="HTTP 401") as caught:
            SimplyblockStorage(lambda: control, kubernetes, api, clock, "simplyblock").is_redundant()
        assert "wr0ng" not in str(caught.value)


class TestFindingTheApi:
    """The driver's own Secret, unless the environment says otherwise."""

    WHERE = "/api/v1/namespaces/simplyblock/secrets/simplyblock-csi-secret-v2"

    def secret(self, **entry: str) -> Reply:
        clusters = [{"cluster_id": "other"}, {"cluster_id": CLUSTER, **entry}]
        text = base64.b64encode(json.dumps({"clusters": clusters}).encode()).decode()
        return Reply(body={"metadata": {"name": "s"}, "data": {"secret.json": text}})

    @pytest.fixture
    def kubernetes(self, wire: Wire, clock: StillClock) -> ApiKubernetes:
        return ApiKubernetes(connected(wire.url, clock), clock, frozenset())

    def test_from_the_secret(self, wire: Wire, kubernetes: ApiKubernetes) -> None:
        wire.on("GET", self.WHERE, self.secret(cluster_endpoint="http://sb", cluster_secret=TOKEN))
        assert find_control({}, kubernetes, "simplyblock", CLUSTER) == Control("http://sb", CLUSTER, TOKEN)

    def test_the_address_from_the_environment(self, wire: Wire, kubernetes: ApiKubernetes) -> None:
        wire.on("GET", self.WHERE, self.secret(cluster_endpoint="http://sb", cluster_secret=TOKEN))
        env = {"INGOT_STORAGE_URL": "https://outside"}
        assert find_control(env, kubernetes, "simplyblock", CLUSTER).url == "https://outside"

    def test_both_from_the_environment_without_asking(self, wire: Wire, kubernetes: ApiKubernetes) -> None:
        env = {"INGOT_STORAGE_URL": "https://outside", "INGOT_STORAGE_SECRET": "t"}
        assert find_control(env, kubernetes, "simplyblock", CLUSTER) == Control("https://outside", CLUSTER, "t")
        assert wire.asked == []

    @pytest.mark.parametrize("broken", ["none", "other", "garbage"])
    def test_an_error_names_both_ways_and_no_secret(self, wire: Wire, kubernetes: ApiKubernetes, broken: str) -> None:
        if broken == "other":
            wire.on(
                "GET", self.WHERE, Reply(body={"data": {"secret.json": base64.b64encode(b'{"clusters": []}').decode()}})
            )
        if broken == "garbage":
            wire.on("GET", self.WHERE, Reply(body={"data": {"secret.json": base64.b64encode(TOKEN.encode()).decode()}}))
        with pytest.raises(PortError, match=r"INGOT_STORAGE_URL.*simplyblock-csi-secret-v2") as caught:
            find_control({}, kubernetes, "simplyblock", CLUSTER)
        assert TOKEN not in str(caught.value)
