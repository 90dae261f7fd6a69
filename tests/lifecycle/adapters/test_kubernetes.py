"""The Kubernetes adapter against a server that answers as an API server, and its proxies, do."""

from __future__ import annotations

import base64
import socket
import ssl
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import pytest

from lifecycle.adapters.kube_api import (
    ADMINISTRATOR,
    ANSWERED_S,
    IDLE_S,
    PROBE_S,
    PROBES,
    RENEW_S,
    KubeApi,
    from_authority,
    from_kubeconfig,
)
from lifecycle.adapters.kubernetes import ApiKubernetes
from lifecycle.adapters.store import STALE_S
from lifecycle.errors import NeedsAttention, PortError
from lifecycle.ports import Attachment, Eviction, Pod
from tests.lifecycle.adapters.api_server import Api, attachment, budget, connected, node, pod, volume
from tests.lifecycle.adapters.authority import ClusterAuthority
from tests.lifecycle.adapters.wire_server import Asked, Reply, StillClock, Wire, serving, silent_port

NODE: dict[str, Any] = {
    "kind": "Node",
    "metadata": {"name": "w1", "uid": "n-1"},
    "spec": {"unschedulable": True, "aNewField": {"a": 1}},
    "status": {
        "conditions": [{"type": "MemoryPressure", "status": "False"}, {"type": "Ready", "status": "True"}],
        "addresses": [{"type": "Hostname", "address": "w1"}, {"type": "InternalIP", "address": "10.0.0.7"}],
        "nodeInfo": {
            "osImage": "Fedora CoreOS 44.20260621.3.1",
            "kernelVersion": "6.19.4-200.fc44.x86_64",
            "kubeletVersion": "v1.36.3",
            "machineID": "m-1",
            "bootID": "b-1",
        },
        "volumesInUse": ["kubernetes.io/csi/csi.simplyblock.io^a:b:c"],
        "volumesAttached": [{"name": "kubernetes.io/csi/csi.simplyblock.io^a:b:d", "devicePath": ""}],
    },
}


@pytest.fixture
def api(wire: Wire, clock: StillClock) -> KubeApi:
    return connected(wire.url, clock)


def asked(server: Api, *methods: str) -> list[Asked]:
    """What was asked with these methods, in order."""
    return [a for a in server.wire.asked if a.method in methods]


class TestNodes:
    """What a Node object says arrives whole; unknown fields are no matter."""

    def test_a_node_is_read(self, server: Api, kubernetes: ApiKubernetes) -> None:
        server.put("nodes", NODE)
        node = kubernetes.node("w1")
        assert node is not None
        assert (node.ready, node.unschedulable, node.os_image) == (True, True, "Fedora CoreOS 44.20260621.3.1")
        assert (node.kernel, node.kubelet) == ("6.19.4-200.fc44.x86_64", "v1.36.3")
        assert (node.machine_id, node.boot_id) == ("m-1", "b-1")
        assert node.volumes_in_use == {"kubernetes.io/csi/csi.simplyblock.io^a:b:c"}
        assert node.volumes_attached == {"kubernetes.io/csi/csi.simplyblock.io^a:b:d"}

    def test_its_labels_and_taints_are_read(self, server: Api, kubernetes: ApiKubernetes) -> None:
        key = "node-role.kubernetes.io/control-plane"
        taints = [{"key": key, "effect": "NoSchedule"}, {"key": "gpu", "value": "yes", "effect": "NoExecute"}]
        labelled = {"name": "w1", "labels": {key: "", "topology.kubernetes.io/zone": "rack-a"}}
        server.put("nodes", {"metadata": labelled, "spec": {"taints": taints}})
        node = kubernetes.node("w1")
        assert node is not None
        assert node.labels == {key: "", "topology.kubernetes.io/zone": "rack-a"}
        assert node.taints == {f"{key}:NoSchedule", "gpu=yes:NoExecute"}

    @pytest.mark.parametrize(
        ("told", "found"),
        [("2026-11-25T10:00:00Z", 1795600800.0), ("2026-11-25T10:00:00", None), ("soon", None), (None, None)],
    )
    def test_since_when_it_is_not_ready(
        self, server: Api, kubernetes: ApiKubernetes, told: str | None, found: float | None
    ) -> None:
        condition = {"type": "Ready", "status": "Unknown", "lastTransitionTime": told}
        server.put("nodes", {"metadata": {"name": "w1"}, "status": {"conditions": [condition]}})
        node = kubernetes.node("w1")
        assert node is not None
        assert (node.ready, node.ready_changed_s) == (False, found)

    def test_no_node_is_none(self, server: Api, kubernetes: ApiKubernetes) -> None:
        assert kubernetes.node("w9") is None

    def test_a_list_is_read_to_its_last_page(self, server: Api, kubernetes: ApiKubernetes) -> None:
        for number in range(1100):
            server.put("nodes", node(f"w{number}"))
        assert {n.name for n in kubernetes.nodes()} == {f"w{number}" for number in range(1100)}
        assert sum(a.path == "/api/v1/nodes" and "limit=500" in a.query for a in server.wire.asked) == 3

    def test_cordon_patches_one_field(self, server: Api, kubernetes: ApiKubernetes) -> None:
        server.put("nodes", NODE)
        kubernetes.set_unschedulable("w1", True)
        (patch,) = asked(server, "PATCH")
        assert patch.body == {"spec": {"unschedulable": True}}
        assert patch.headers["Content-Type"] == "application/merge-patch+json"

    def test_a_node_that_is_gone_needs_no_cordon_and_no_taint(self, wire: Wire, kubernetes: ApiKubernetes) -> None:
        wire.on("GET", "/api/v1/nodes/w1", Reply(body=NODE), Reply(404, {"message": "not found"}))
        wire.on("PATCH", "/api/v1/nodes/w1", Reply(404, {"message": "not found"}))
        kubernetes.set_unschedulable("w1", True)
        kubernetes.set_out_of_service("w1", True)
        asked = [line for line in wire.lines() if line.endswith("/w1")]
        assert asked == [f"{method} /api/v1/nodes/w1" for method in ("PATCH", "GET", "PATCH", "GET")]

    def test_what_was_written_here_is_read_back_however_late_the_watch_is(
        self, wire: Wire, kubernetes: ApiKubernetes
    ) -> None:
        old, new = ({**NODE, "metadata": {"name": "w1", "resourceVersion": v}} for v in ("7", "9"))
        wire.on("GET", "/api/v1/nodes", Reply(body={"metadata": {"resourceVersion": "7"}, "items": [old]}))
        wire.on("PATCH", "/api/v1/nodes/w1", Reply(body=new))
        wire.on("GET", "/api/v1/nodes/w1", Reply(body={**new, "spec": {}}))
        kubernetes.set_unschedulable("w1", False)
        seen = kubernetes.node("w1")
        assert seen is not None
        assert not seen.unschedulable

    def test_out_of_service_is_one_taint_more_and_one_less(self, server: Api, kubernetes: ApiKubernetes) -> None:
        other = {"key": "team", "effect": "NoSchedule"}
        ours = {"key": "node.kubernetes.io/out-of-service", "value": "nodeshutdown", "effect": "NoExecute"}
        for before, value, after in (([other], True, [other, ours]), ([other, ours], False, [other])):
            stored = server.put("nodes", {**NODE, "spec": {"taints": before}})
            kubernetes.set_out_of_service("w1", value)
            version = stored["metadata"]["resourceVersion"]
            assert asked(server, "PATCH")[-1].body == {
                "metadata": {"resourceVersion": version},
                "spec": {"taints": after},
            }
            seen = kubernetes.node("w1")
            assert seen is not None
            assert seen.out_of_service is value
            kubernetes.set_out_of_service("w1", value)  # as it is
        assert len(asked(server, "PATCH")) == 2

    def test_a_lost_race_for_its_taints_is_run_again(self, wire: Wire, kubernetes: ApiKubernetes) -> None:
        versions = [Reply(body={**NODE, "metadata": {"name": "w1", "resourceVersion": v}}) for v in ("7", "9")]
        wire.on("GET", "/api/v1/nodes/w1", *versions)
        wire.on("PATCH", "/api/v1/nodes/w1", Reply(409, {"message": "modified"}), versions[1])
        kubernetes.set_out_of_service("w1", True)
        sent = [a.body["metadata"]["resourceVersion"] for a in wire.asked if a.method == "PATCH"]
        assert sent == ["7", "9"]

    def test_a_race_for_its_taints_that_never_ends_is_named(self, wire: Wire, kubernetes: ApiKubernetes) -> None:
        wire.on("GET", "/api/v1/nodes/w1", Reply(body=NODE))
        wire.on("PATCH", "/api/v1/nodes/w1", Reply(409, {"message": "modified"}))
        with pytest.raises(PortError, match=r"node w1, out of service.*another writer at each of 10 tries"):
            kubernetes.set_out_of_service("w1", True)

    def test_deleting_a_node_that_is_gone_is_no_error(self, wire: Wire, kubernetes: ApiKubernetes) -> None:
        kubernetes.delete_node("w1")
        assert wire.lines() == ["DELETE /api/v1/nodes/w1"]

    def test_control_planes_are_found_by_their_label(self, server: Api, kubernetes: ApiKubernetes) -> None:
        labels = {"node-role.kubernetes.io/control-plane": ""}
        server.put("nodes", {**NODE, "metadata": {"name": "c1", "labels": labels}})
        server.put("nodes", NODE)
        assert kubernetes.control_plane_addresses() == {"10.0.0.7": "c1"}


class TestPods:
    """A drain learns of a pod what it must, and of finished pods nothing."""

    def test_pods_of_one_node(self, server: Api, kubernetes: ApiKubernetes) -> None:
        owners = [{"kind": "Other"}, {"kind": "StatefulSet", "controller": True}]
        volumes = [{"name": "e", "ephemeral": {}}, {"name": "tmp", "emptyDir": {}}]
        server.put("pods", pod("db-0", "w1", ownerReferences=owners, claims=("data-db-0",), volumes=volumes))
        server.put("pods", {**pod("done", "w1"), "status": {"phase": "Succeeded"}})
        server.put("pods", pod("api-w1", "w1", annotations={"kubernetes.io/config.mirror": "x"}))
        ending = {"deletionTimestamp": "2027-01-15T08:00:00Z", "finalizers": ["example.com/keep"]}
        server.put("pods", pod("spdk", "w1", namespace="simplyblock", **ending))
        server.put("pods", pod("slow", "w1", ready=False))
        server.put("pods", pod("far", "w2"))
        found = {p.name: p for p in kubernetes.pods_on("w1")}
        assert sorted(found) == ["api-w1", "db-0", "slow", "spdk"]
        assert (found["db-0"].owner, found["db-0"].claims) == ("StatefulSet", ("data-db-0", "db-0-e"))
        assert (found["db-0"].empty_dir, found["slow"].empty_dir) == (True, False)
        assert found["api-w1"].mirror
        assert (found["spdk"].storage_daemon, found["spdk"].terminating) == (True, True)
        assert (found["spdk"].ends_s, found["spdk"].finalizers) == (1_800_000_000.0, ("example.com/keep",))
        assert not found["db-0"].storage_daemon
        assert not found["slow"].ready

    def test_after_a_cordon_none_is_missed_however_late_the_watch_is(
        self, server: Api, kubernetes: ApiKubernetes
    ) -> None:
        server.put("nodes", node("w1"))
        server.put("pods", pod("early", "w1"))
        server.put("pods", pod("done", "w1") | {"status": {"phase": "Succeeded"}})
        server.put("pods", pod("elsewhere", "w2"))
        assert [p.name for p in kubernetes.pods_on("w1")] == ["early"]
        server.until_watched()
        server.wire.on("WATCH", "/api/v1/pods", Reply(503, "apiserver is shutting down"))
        server.cut_watches()
        server.put("pods", pod("late", "w1"))
        assert [p.name for p in kubernetes.pods_on("w1")] == ["early"]
        kubernetes.set_unschedulable("w1", True)
        with pytest.raises(PortError, match=r"watch of pods on w1.*nothing yet of shop/late, which it lists"):
            kubernetes.pods_on("w1")
        server.wire.on("WATCH", "/api/v1/pods", server.answer)
        self.until(kubernetes, ["early", "late"])
        lists = [a for a in server.wire.asked if "nodeName" in a.query]
        assert [p.name for p in kubernetes.pods_on("w1")] == ["early", "late"]
        assert len([a for a in server.wire.asked if "nodeName" in a.query]) == len(lists), "asked once it was proven"

    def until(self, kubernetes: ApiKubernetes, names: list[str]) -> None:
        """Return once these are on w1; looked at as often as a busy machine may need."""
        for _ in range(1000):
            try:
                if [p.name for p in kubernetes.pods_on("w1")] == names:
                    return
            except PortError:
                threading.Event().wait(0.01)
        pytest.fail(f"never {names}")

    def test_unready_pods_with_claims_are_found_also_unscheduled(self, server: Api, kubernetes: ApiKubernetes) -> None:
        server.put("pods", pod("db-0", claims=("data-db-0",), ready=False))
        server.put("pods", pod("db-1", "w1", claims=("data-db-1",)))
        server.put("pods", pod("web", "w1", ready=False))
        assert [(p.name, p.node) for p in kubernetes.unready_claimants()] == [("db-0", "")]

    LOCAL: ClassVar[dict[str, dict[str, Any]]] = {
        "local": {"local": {"path": "/mnt/a"}},
        "hostPath": {"hostPath": {"path": "/mnt/a"}},
        "one-host": {
            "csi": {"driver": "disk", "volumeHandle": "1"},
            "nodeAffinity": {
                "required": {
                    "nodeSelectorTerms": [
                        {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["w1"]}]}
                    ]
                }
            },
        },
    }

    @pytest.mark.parametrize("kind", LOCAL)
    def test_volumes_on_the_hosts_own_disks_are_named(self, server: Api, kubernetes: ApiKubernetes, kind: str) -> None:
        server.put("persistentvolumes", volume("pv-1", "data", **self.LOCAL[kind]))
        server.put("persistentvolumes", volume("pv-2", "more"))
        server.put("pods", pod("db-0", "w1", claims=("data", "more")))
        assert [p.local_volumes for p in kubernetes.pods_on("w1")] == [("pv-1",)]

    def test_a_daemon_set_that_is_gone_leaves_its_pod_unmanaged(self, server: Api, kubernetes: ApiKubernetes) -> None:
        server.put("daemonsets", {"metadata": {"namespace": "shop", "name": "its-owner", "uid": "uid-of-DaemonSet"}})
        server.put("pods", pod("agent", "w1", owner="DaemonSet"))
        server.put("pods", pod("left-over", "w1", namespace="old", owner="DaemonSet"))
        assert {p.name: p.owner for p in kubernetes.pods_on("w1")} == {"agent": "DaemonSet", "left-over": ""}

    def test_a_daemon_set_that_the_watch_has_not_seen_yet_is_asked_for(
        self, wire: Wire, kubernetes: ApiKubernetes
    ) -> None:
        wire.on("GET", "/api/v1/pods", Reply(body={"items": [pod("agent", "w1", owner="DaemonSet")]}))
        where = "/apis/apps/v1/namespaces/shop/daemonsets/its-owner"
        wire.on("GET", where, Reply(body={"metadata": {"name": "its-owner", "uid": "uid-of-DaemonSet"}}))
        (agent,) = kubernetes.pods_on("w1")
        assert (agent.owner, agent.daemon_set) == ("DaemonSet", "shop/its-owner")


class TestEviction:
    """201, 404 and a budget's 429 are answers; so is a namespace that ends. Nothing else is."""

    BUDGET: ClassVar[dict[str, Any]] = {
        "message": "Cannot evict pod as it would violate the pod's disruption budget.",
        "details": {"causes": [{"reason": "DisruptionBudget", "message": "The disruption budget db needs 2"}]},
    }

    POD = Pod("shop", "db-0", "w1", uid="uid-db-0")
    PATH = "/api/v1/namespaces/shop/pods/db-0/eviction"

    def evict(self, kubernetes: ApiKubernetes) -> Eviction | PortError:
        return kubernetes.evict([self.POD])["shop/db-0"]

    def test_granted(self, wire: Wire, kubernetes: ApiKubernetes) -> None:
        wire.on("POST", self.PATH, Reply(201, {"kind": "Status", "status": "Success"}))
        assert self.evict(kubernetes) is Eviction.GRANTED
        assert wire.asked[0].body["apiVersion"] == "policy/v1"

    def test_gone(self, kubernetes: ApiKubernetes) -> None:
        assert self.evict(kubernetes) is Eviction.GONE

    def test_refused_by_a_budget_is_not_tried_again_here(self, wire: Wire, kubernetes: ApiKubernetes) -> None:
        wire.on("POST", self.PATH, Reply(429, self.BUDGET))
        assert self.evict(kubernetes) is Eviction.REFUSED
        assert len(wire.asked) == 1

    def test_a_retry_after_is_waited_out_without_asking(
        self, wire: Wire, clock: StillClock, kubernetes: ApiKubernetes
    ) -> None:
        wire.on("POST", self.PATH, Reply(429, self.BUDGET, {"Retry-After": "10"}), Reply(201, {}))
        assert [self.evict(kubernetes) for _ in range(3)] == [Eviction.REFUSED] * 3
        assert len(wire.asked) == 1
        clock.now += 10
        assert self.evict(kubernetes) is Eviction.GRANTED

    BUSY = Reply(429, "Too many requests, please try again later.", {"Retry-After": "1"})
    """As the API server's own limits answer: no Status."""

    def test_a_server_that_is_busy_is_asked_again_when_it_says(
        self, wire: Wire, clock: StillClock, kubernetes: ApiKubernetes
    ) -> None:
        wire.on("POST", self.PATH, self.BUSY, self.BUSY, Reply(201, {}))
        begun_s = clock.now_s()
        assert self.evict(kubernetes) is Eviction.GRANTED
        assert (len(wire.asked), clock.now_s() - begun_s) == (3, 2)

    def test_one_that_stays_busy_is_no_budget(self, wire: Wire, kubernetes: ApiKubernetes) -> None:
        wire.on("POST", self.PATH, self.BUSY)
        failed = self.evict(kubernetes)
        assert isinstance(failed, PortError)
        assert "HTTP 429 Too many requests" in str(failed)

    def test_all_of_a_node_are_asked_though_one_fails(self, wire: Wire, kubernetes: ApiKubernetes) -> None:
        pods = [Pod("shop", f"db-{number}", "w1") for number in range(30)]
        wire.on("POST", "/api/v1/namespaces/shop/pods/db-3/eviction", Reply(422, {"message": "no"}))
        answers = dict(kubernetes.evict(pods))
        assert len(wire.asked) == 30
        failed = answers.pop("shop/db-3")
        assert isinstance(failed, PortError)
        assert "pod shop/db-3, evict" in str(failed)
        assert "HTTP 422 no" in str(failed)
        assert set(answers.values()) == {Eviction.GONE}

    def test_none_waits_for_another(self, wire: Wire, kubernetes: ApiKubernetes) -> None:
        both = threading.Barrier(2, timeout=10)

        def meet(asked: Asked) -> Reply:
            both.wait()
            return Reply(201, {})

        pods = [Pod("shop", name, "w1") for name in ("a", "b")]
        for one in pods:
            wire.on("POST", f"/api/v1/namespaces/shop/pods/{one.name}/eviction", meet)
        assert set(kubernetes.evict(pods).values()) == {Eviction.GRANTED}

    def test_a_namespace_that_is_being_deleted_takes_its_pods_along(
        self, wire: Wire, kubernetes: ApiKubernetes
    ) -> None:
        details = {"causes": [{"reason": "NamespaceTerminating", "message": "namespace shop is being terminated"}]}
        wire.on("POST", self.PATH, Reply(403, {"reason": "Forbidden", "message": "no", "details": details}))
        assert self.evict(kubernetes) is Eviction.GRANTED

    def test_a_verb_that_we_lack_is_an_error_that_says_so(self, wire: Wire, kubernetes: ApiKubernetes) -> None:
        wire.on("POST", self.PATH, Reply(403, {"reason": "Forbidden", "message": "cannot create pods/eviction"}))
        failed = self.evict(kubernetes)
        assert isinstance(failed, PortError)
        assert failed.found == "HTTP 403 cannot create pods/eviction"
        assert "grant this verb" in failed.remedy

    def test_only_the_pod_that_was_seen_is_evicted(self, wire: Wire, kubernetes: ApiKubernetes) -> None:
        conflict = {"message": "Operation cannot be fulfilled: Precondition failed: UID in precondition: uid-db-0"}
        wire.on("POST", self.PATH, Reply(409, conflict))
        assert self.evict(kubernetes) is Eviction.GONE
        assert wire.asked[0].body["deleteOptions"] == {"preconditions": {"uid": "uid-db-0"}}

    def test_two_budgets_on_one_pod_refuse_it(self, wire: Wire, kubernetes: ApiKubernetes) -> None:
        said = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
        wire.on("POST", self.PATH, Reply(500, {"message": said}))
        assert self.evict(kubernetes) is Eviction.REFUSED
        assert len(wire.asked) == 1

    def test_a_server_that_fails_is_an_error(self, wire: Wire, kubernetes: ApiKubernetes) -> None:
        wire.on("POST", self.PATH, Reply(500, {"message": "etcdserver: request timed out"}))
        failed = self.evict(kubernetes)
        assert isinstance(failed, PortError)
        assert failed.found == "HTTP 500 etcdserver: request timed out"

    def test_delete_is_of_the_pod_that_was_seen(self, wire: Wire, kubernetes: ApiKubernetes) -> None:
        kubernetes.delete_pod(self.POD)
        assert wire.asked[0].body["preconditions"] == {"uid": "uid-db-0"}


class TestBudgets:
    """A budget's status counts only if it is about the budget as it is; its pods are found by their labels."""

    TERMS: ClassVar[dict[str, tuple[dict[str, Any], set[str]]]] = {
        "labels": ({"matchLabels": {"app": "db"}}, {"db-0", "db-1"}),
        "In": ({"matchExpressions": [{"key": "tier", "operator": "In", "values": ["a", "b"]}]}, {"db-0", "web"}),
        "NotIn": ({"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["a"]}]}, {"db-1", "web"}),
        "Exists": ({"matchExpressions": [{"key": "tier", "operator": "Exists"}]}, {"db-0", "web"}),
        "DoesNotExist": ({"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}, {"db-1"}),
        "both": (
            {"matchLabels": {"app": "db"}, "matchExpressions": [{"key": "tier", "operator": "Exists"}]},
            {"db-0"},
        ),
        "empty": ({}, {"db-0", "db-1", "web"}),
    }

    @pytest.mark.parametrize("on", ["", "w1"])
    @pytest.mark.parametrize("term", TERMS)
    def test_selects(self, server: Api, kubernetes: ApiKubernetes, term: str, on: str) -> None:
        selector, expected = self.TERMS[term]
        server.put("poddisruptionbudgets", budget("it", selector))
        server.put("pods", pod("db-0", "w1", labels={"app": "db", "tier": "a"}))
        server.put("pods", pod("db-1", "w1", labels={"app": "db"}))
        server.put("pods", pod("web", "w1", labels={"app": "web", "tier": "b"}))
        server.put("pods", pod("other", "w1", namespace="far", labels={"app": "db", "tier": "a"}))
        (found,) = kubernetes.budgets(on)
        assert found.pods == {f"shop/{name}" for name in expected}
        assert (found.disruptions_allowed, found.expected_pods, found.desired_healthy) == (1, 3, 2)

    def test_of_one_node_with_its_pods_only(self, server: Api, kubernetes: ApiKubernetes) -> None:
        for name in ("db", "web"):
            server.put("poddisruptionbudgets", budget(name, {"matchLabels": {"app": name}}))
        server.put("pods", pod("db-0", "w1", labels={"app": "db"}))
        server.put("pods", pod("db-1", "w2", labels={"app": "db"}))
        server.put("pods", pod("web-0", "w2", labels={"app": "web"}))
        assert [(b.name, set(b.pods)) for b in kubernetes.budgets("w1")] == [("db", {"shop/db-0"})]

    def test_by_their_names_those_that_there_are(self, server: Api, kubernetes: ApiKubernetes) -> None:
        for name in ("db", "web"):
            server.put("poddisruptionbudgets", budget(name, {}, currentHealthy=1, disruptionsAllowed=0))
        (found,) = kubernetes.budgets_named(frozenset({"shop/web", "shop/gone"}))
        assert (found.key, found.current_healthy, found.desired_healthy) == ("shop/web", 1, 2)

    def test_without_a_selector_none(self, server: Api, kubernetes: ApiKubernetes) -> None:
        without = budget("db", {})
        del without["spec"]["selector"]
        server.put("poddisruptionbudgets", without)
        server.put("pods", pod("db-0", "w1"))
        assert kubernetes.budgets("w1") == ()

    def test_a_status_of_an_older_budget_allows_nothing(self, server: Api, kubernetes: ApiKubernetes) -> None:
        server.put("poddisruptionbudgets", budget("db", {}, observedGeneration=0))
        assert kubernetes.budgets()[0].disruptions_allowed == 0

    def test_an_operator_nobody_knows_is_named(self, server: Api, kubernetes: ApiKubernetes) -> None:
        strange = {"matchExpressions": [{"key": "a", "operator": "Near", "values": []}]}
        server.put("poddisruptionbudgets", budget("db", strange))
        server.put("pods", pod("db-0", "w1"))
        with pytest.raises(PortError, match="Near"):
            kubernetes.budgets("w1")


class TestAttachments:
    """A VolumeAttachment is joined with its volume's claim."""

    def test_those_of_the_node(self, server: Api, kubernetes: ApiKubernetes) -> None:
        server.put("volumeattachments", attachment("a1", "w1", "pv-7"))
        server.put("volumeattachments", attachment("a2", "w2", "pv-8"))
        server.put("volumeattachments", attachment("a3", "w1", "pv-9", attached=False))
        server.put("persistentvolumes", volume("pv-7", "data-db-0"))
        assert kubernetes.attachments_on("w1") == (
            Attachment("a1", "pv-7", "shop/data-db-0", "w1", True),
            Attachment("a3", "pv-9", "", "w1", False),
        )


class TestToken:
    """A bootstrap token is a Secret that kubeadm knows, and its text is never shown."""

    SECRETS = "/api/v1/namespaces/kube-system/secrets"

    def test_it_is_written_as_kubeadm_reads_it(self, wire: Wire, clock: StillClock, kubernetes: ApiKubernetes) -> None:
        wire.on("POST", self.SECRETS, Reply(201, {"kind": "Secret"}))
        token = kubernetes.mint_token(3600)
        body = wire.asked[0].body
        token_id, _, secret = token.partition(".")
        assert (len(token_id), len(secret)) == (6, 16)
        assert body["type"] == "bootstrap.kubernetes.io/token"
        assert body["metadata"] == {"name": f"bootstrap-token-{token_id}", "namespace": "kube-system"}
        data = body["stringData"]
        assert (data["token-id"], data["token-secret"]) == (token_id, secret)
        assert data["expiration"] == "2027-01-15T09:00:00Z"
        assert (data["usage-bootstrap-signing"], data["usage-bootstrap-authentication"]) == ("true", "true")
        assert data["auth-extra-groups"] == "system:bootstrappers:kubeadm:default-node-token"

    def test_a_name_that_is_taken_gives_another(self, wire: Wire, kubernetes: ApiKubernetes) -> None:
        wire.on("POST", self.SECRETS, Reply(409, {"message": "already exists"}), Reply(201, {}))
        assert kubernetes.mint_token(60).startswith(wire.asked[1].body["stringData"]["token-id"])

    def test_a_refusal_that_quotes_the_token_is_not_repeated(self, wire: Wire, kubernetes: ApiKubernetes) -> None:
        def quoting(asked: Asked) -> Reply:
            return Reply(422, {"message": f"Invalid value: {asked.body['stringData']['token-secret']}"})

        wire.on("POST", self.SECRETS, quoting)
        with pytest.raises(PortError, match="HTTP 422") as caught:
            kubernetes.mint_token(60)
        assert wire.asked[0].body["stringData"]["token-secret"] not in str(caught.value)


class TestHostileWire:
    """What is transient is tried again within bounds; the rest is an error that names the object."""

    def test_retry_after_is_obeyed_on_the_steps_clock(self, wire: Wire, clock: StillClock, api: KubeApi) -> None:
        wire.on("GET", "/api/v1/nodes/w1", Reply(429, "Too many requests", {"Retry-After": "7"}), Reply(body=NODE))
        assert api.get("node w1", "/api/v1/nodes/w1") is not None
        assert clock.slept == [7.0]

    @pytest.mark.parametrize("asked", ["soon", "-1", ""])
    def test_a_retry_after_nobody_understands_is_left_aside(
        self, wire: Wire, clock: StillClock, api: KubeApi, asked: str
    ) -> None:
        wire.on("GET", "/api/v1/nodes/w1", Reply(503, "", {"Retry-After": asked}), Reply(body=NODE))
        assert api.get("node w1", "/api/v1/nodes/w1") is not None
        assert clock.slept == [0.5]

    def test_a_retry_after_of_a_day_does_not_stop_the_step_for_a_day(
        self, wire: Wire, clock: StillClock, api: KubeApi
    ) -> None:
        wire.on("GET", "/api/v1/nodes/w1", Reply(503, "", {"Retry-After": "86400"}))
        with pytest.raises(PortError, match=r"node w1.*HTTP 503"):
            api.get("node w1", "/api/v1/nodes/w1")
        assert sum(clock.slept) <= 120

    def test_a_server_that_stays_down_ends_in_an_error(self, wire: Wire, clock: StillClock, api: KubeApi) -> None:
        wire.on("GET", "/api/v1/nodes/w1", Reply(502, "<html>Bad Gateway</html>"))
        with pytest.raises(PortError, match=r"127\.0\.0\.1.*node w1.*HTTP 502 <html>Bad Gateway"):
            api.get("node w1", "/api/v1/nodes/w1")
        assert len(wire.asked) == 5

    def test_a_reset_connection_is_tried_again(self, wire: Wire, api: KubeApi) -> None:
        wire.on("GET", "/api/v1/nodes/w1", Reply(reset=True), Reply(body=NODE))
        assert api.get("node w1", "/api/v1/nodes/w1") is not None

    def test_nobody_listens(self, clock: StillClock) -> None:
        api = connected(f"http://127.0.0.1:{silent_port()}", clock)
        with pytest.raises(PortError, match=r"node w1.*NewConnectionError.*VIP"):
            api.get("node w1", "/api/v1/nodes/w1")

    @pytest.mark.parametrize("body", ["<html>login</html>", "[1]", '{"items": 7}', ""])
    def test_garbage_is_an_error_never_an_empty_cluster(self, wire: Wire, kubernetes: ApiKubernetes, body: str) -> None:
        wire.on("GET", "/api/v1/pods", Reply(body=body))
        with pytest.raises(PortError, match=r"127\.0\.0\.1.*, pods: expected an answer"):
            kubernetes.pods_on("w1")

    @pytest.mark.parametrize(("status", "remedy"), [(401, "stack's `ca`"), (403, "ingot rbac")])
    def test_a_refusal_says_what_to_do(self, wire: Wire, api: KubeApi, status: int, remedy: str) -> None:
        wire.on("GET", "/api/v1/nodes/w1", Reply(status, {"message": "no"}))
        with pytest.raises(PortError, match=rf"HTTP {status} no.*{remedy}"):
            api.get("node w1", "/api/v1/nodes/w1")
        assert len(wire.asked) == 1

    def test_answers_is_what_readyz_says(self, wire: Wire, api: KubeApi) -> None:
        wire.on("GET", "/readyz", Reply(body="ok"), Reply(500, "[-]etcd failed"), Reply(reset=True))
        assert [api.answers() for _ in range(3)] == [True, False, False]

    def test_what_has_just_answered_is_not_asked(self, wire: Wire, clock: StillClock, api: KubeApi) -> None:
        wire.on("GET", "/api/v1/nodes/w1", Reply(body={"metadata": {"name": "w1"}}))
        wire.on("GET", "/readyz", Reply(500, "[-]etcd failed"))
        api.get("node w1", "/api/v1/nodes/w1")
        assert api.answers()
        clock.sleep(ANSWERED_S)
        assert not api.answers()

    @pytest.mark.parametrize("failed", [Reply(404), Reply(409), Reply(429), Reply(503), Reply(reset=True)])
    def test_what_failed_since_then_is_asked(self, wire: Wire, api: KubeApi, failed: Reply) -> None:
        """Nothing else than a request that was carried out shows that the API can do so."""
        wire.on("GET", "/api/v1/nodes/w1", Reply(body={"metadata": {"name": "w1"}}), failed)
        wire.on("GET", "/readyz", Reply(500, "[-]etcd failed"))
        api.get("node w1", "/api/v1/nodes/w1")
        with suppress(PortError):
            api.ask("node w1", "GET", "/api/v1/nodes/w1", final=frozenset({404, 409, 429, 503}))
        assert not api.answers()

    def test_answers_never_raises(self, clock: StillClock) -> None:
        def broken() -> Any:
            raise PortError("secrets of stack s", "no ca", "")

        assert not KubeApi(broken, clock).answers()


class Counting:
    """Connects to `url`; `count` is how often."""

    def __init__(self, url: str, clock: StillClock) -> None:
        self.url, self.clock, self.count = url, clock, 0

    def __call__(self) -> Any:
        self.count += 1
        return connected(self.url, self.clock)._connect()


CLUSTERS = (
    "server: '{https}', certificate-authority-data: {other}",
    "server: '{https}', certificate-authority-data: {both}",
    "server: '{https}', certificate-authority-data: bm9uZQ==",
    "server: '{https}'",
    "server: '{https}', certificate-authority-data: {own}, insecure-skip-tls-verify: true",
    "server: '{http}', certificate-authority-data: {own}",
)
"""What a kubeconfig may say of a cluster that is, or could be, another one than the stack's."""


def kubeconfig(folder: Path, cluster: str) -> Path:
    """A kubeconfig with the fields `cluster`, and a user with a token."""
    file = folder / "config"
    file.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n"
        f"clusters: [{{name: k, cluster: {{{cluster}}}}}]\n"
        "users: [{name: u, user: {token: t0ken}}]\ncontexts: [{name: c, context: {cluster: k, user: u}}]\n"
    )
    return file


class TestConnecting:
    """With the stack's own authority, or as a kubeconfig says."""

    def test_the_minted_certificate_is_signed_by_the_clusters_authority(
        self, clock: StillClock, cluster: ClusterAuthority
    ) -> None:
        with serving(cluster.server_context()) as wire:
            wire.on("GET", "/api/v1/nodes/w1", Reply(body=NODE))
            endpoint = wire.url.removeprefix("https://")
            api = KubeApi(lambda: from_authority(endpoint, cluster.authority, cluster.now_s, ADMINISTRATOR), clock)
            assert api.get("node w1", "/api/v1/nodes/w1") is not None

    def test_a_server_of_another_authority_is_refused(
        self, clock: StillClock, cluster: ClusterAuthority, other_cluster: ClusterAuthority
    ) -> None:
        with serving(other_cluster.server_context()) as wire:
            endpoint = wire.url.removeprefix("https://")
            api = KubeApi(lambda: from_authority(endpoint, cluster.authority, cluster.now_s, ADMINISTRATOR), clock)
            with pytest.raises(PortError, match="CERTIFICATE_VERIFY_FAILED"):
                api.get("node w1", "/api/v1/nodes/w1")
            assert wire.asked == []

    def test_a_kubeconfig_overrides(self, wire: Wire, clock: StillClock, tmp_path: Path) -> None:
        wire.on("GET", "/api/v1/nodes/w1", Reply(body=NODE))
        file = kubeconfig(tmp_path, f"server: '{wire.url}'")
        assert KubeApi(lambda: from_kubeconfig(file), clock).get("node w1", "/api/v1/nodes/w1") is not None
        assert wire.asked[0].headers["authorization"] == "Bearer t0ken"

    @pytest.mark.parametrize("fields", CLUSTERS, ids=str)
    def test_a_kubeconfig_of_another_cluster_is_refused(
        self, fields: str, tmp_path: Path, clock: StillClock, cluster: ClusterAuthority, other_cluster: ClusterAuthority
    ) -> None:
        with serving(other_cluster.server_context()) as wire:
            both = other_cluster.authority.certificate + cluster.authority.certificate
            pems = {"own": cluster.authority.certificate, "other": other_cluster.authority.certificate, "both": both}
            encoded = {name: base64.b64encode(pem.encode()).decode() for name, pem in pems.items()}
            file = kubeconfig(tmp_path, fields.format(https=wire.url, http="http://127.0.0.1:1", **encoded))
            api = KubeApi(lambda: from_kubeconfig(file, cluster.authority.certificate), clock)
            with pytest.raises(NeedsAttention, match=r"kubeconfig .*config.*nothing was asked of it"):
                api.get("node w1", "/api/v1/nodes/w1")
            assert wire.asked == []

    def test_a_kubeconfig_of_this_cluster_is_used(
        self, tmp_path: Path, clock: StillClock, cluster: ClusterAuthority
    ) -> None:
        context = cluster.server_context()
        context.verify_mode = ssl.CERT_NONE  # the client shows a token
        with serving(context) as wire:
            wire.on("GET", "/api/v1/nodes/w1", Reply(body=NODE))
            ca = base64.b64encode(cluster.authority.certificate.encode()).decode()
            file = kubeconfig(tmp_path, f"server: '{wire.url}', certificate-authority-data: {ca}")
            api = KubeApi(lambda: from_kubeconfig(file, cluster.authority.certificate), clock)
            assert api.get("node w1", "/api/v1/nodes/w1") is not None

    def test_a_connection_is_made_anew_before_its_certificate_ends(self, wire: Wire, clock: StillClock) -> None:
        made = Counting(wire.url, clock)
        api = KubeApi(made, clock)
        for after_s in (0, RENEW_S - 1, 2, RENEW_S + 1):
            clock.now += after_s
            api.get("node w1", "/api/v1/nodes/w1")
        assert made.count == 3

    def test_one_that_is_not_taken_any_more_is_not_shown_again(self, wire: Wire, clock: StillClock) -> None:
        wire.on("GET", "/api/v1/nodes/w1", Reply(401, {"message": "expired"}), Reply(body=NODE))
        made = Counting(wire.url, clock)
        api = KubeApi(made, clock)
        with pytest.raises(PortError, match="HTTP 401"):
            api.get("node w1", "/api/v1/nodes/w1")
        assert api.get("node w1", "/api/v1/nodes/w1") is not None
        assert made.count == 2

    def test_a_far_side_that_vanished_is_noticed_by_tcp(self, tmp_path: Path) -> None:
        made = from_kubeconfig(kubeconfig(tmp_path, "server: 'http://127.0.0.1:1'"))
        options = made.rest_client.pool_manager.connection_pool_kw["socket_options"]
        assert (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1) in options
        assert IDLE_S + PROBE_S * PROBES <= STALE_S

    def test_a_kubeconfig_that_is_none_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "config").write_text("a: [")
        with pytest.raises(NeedsAttention, match=r"kubeconfig .*config.*INGOT_KUBECONFIG"):
            from_kubeconfig(tmp_path / "config")
