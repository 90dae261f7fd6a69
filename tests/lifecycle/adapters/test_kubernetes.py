"""The Kubernetes adapter against a server that answers as an API server, and its proxies, do."""

from __future__ import annotations

import base64
import ssl
from pathlib import Path
from typing import Any

import pytest

from lifecycle.adapters.kube_api import KubeApi, from_authority, from_kubeconfig
from lifecycle.adapters.kubernetes import ApiKubernetes
from lifecycle.errors import NeedsAttention, PortError
from lifecycle.ports import Attachment, Eviction, Pod
from tests.lifecycle.adapters.authority import ClusterAuthority
from tests.lifecycle.adapters.wire_server import Asked, Reply, StillClock, Wire, free_port, serving

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


def pod(name: str, *, namespace: str = "shop", node: str = "w1", **over: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": namespace, "uid": f"uid-{name}", **over.pop("metadata", {})},
        "spec": {"nodeName": node, **over.pop("spec", {})},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}], **over.pop("status", {})},
    }


@pytest.fixture
def api(wire: Wire, clock: StillClock) -> KubeApi:
    return connected(wire.url, clock)


def connected(url: str, clock: StillClock) -> KubeApi:
    from kubernetes import client

    configuration = client.Configuration(host=url)
    configuration.retries = False
    return KubeApi(lambda: client.ApiClient(configuration), clock)


@pytest.fixture
def kubernetes(api: KubeApi, clock: StillClock) -> ApiKubernetes:
    return ApiKubernetes(api, clock, frozenset({"simplyblock"}))


class TestNodes:
    """What a Node object says arrives whole; unknown fields are no matter."""

    def test_a_node_is_read(self, wire: Wire, kubernetes: ApiKubernetes) -> None:
        wire.on("GET", "/api/v1/nodes/w1", Reply(body=NODE))
        node = kubernetes.node("w1")
        assert node is not None
        assert (node.ready, node.unschedulable, node.os_image) == (True, True, "Fedora CoreOS 44.20260621.3.1")
        assert (node.kernel, node.kubelet) == ("6.19.4-200.fc44.x86_64", "v1.36.3")
        assert (node.machine_id, node.boot_id) == ("m-1", "b-1")
        assert node.volumes_in_use == {"kubernetes.io/csi/csi.simplyblock.io^a:b:c"}
        assert node.volumes_attached == {"kubernetes.io/csi/csi.simplyblock.io^a:b:d"}

    def test_its_labels_and_taints_are_read(self, wire: Wire, kubernetes: ApiKubernetes) -> None:
        key = "node-role.kubernetes.io/control-plane"
        taints = [{"key": key, "effect": "NoSchedule"}, {"key": "gpu", "value": "yes", "effect": "NoExecute"}]
        labelled = {"name": "w1", "labels": {key: "", "topology.kubernetes.io/zone": "rack-a"}}
        wire.on("GET", "/api/v1/nodes/w1", Reply(body={"metadata": labelled, "spec": {"taints": taints}}))
        node = kubernetes.node("w1")
        assert node is not None
        assert node.labels == {key: "", "topology.kubernetes.io/zone": "rack-a"}
        assert node.taints == {f"{key}:NoSchedule", "gpu=yes:NoExecute"}

    @pytest.mark.parametrize(
        ("told", "found"),
        [("2026-11-25T10:00:00Z", 1795600800.0), ("2026-11-25T10:00:00", None), ("soon", None), (None, None)],
    )
    def test_since_when_it_is_not_ready(
        self, wire: Wire, kubernetes: ApiKubernetes, told: str | None, found: float | None
    ) -> None:
        condition = {"type": "Ready", "status": "Unknown", "lastTransitionTime": told}
        wire.on(
            "GET", "/api/v1/nodes/w1", Reply(body={"metadata": {"name": "w1"}, "status": {"conditions": [condition]}})
        )
        node = kubernetes.node("w1")
        assert node is not None
        assert (node.ready, node.ready_changed_s) == (False, found)

    def test_no_node_is_none(self, kubernetes: ApiKubernetes) -> None:
        assert kubernetes.node("w9") is None

    def test_a_list_is_read_to_its_last_page(self, wire: Wire, kubernetes: ApiKubernetes) -> None:
        second = {**NODE, "metadata": {"name": "w2"}}
        wire.on(
            "GET",
            "/api/v1/nodes",
            Reply(body={"metadata": {"continue": "t0k/en="}, "items": [NODE]}),
            Reply(body={"metadata": {}, "items": [second]}),
        )
        assert [n.name for n in kubernetes.nodes()] == ["w1", "w2"]
        assert "continue=t0k%2Fen%3D" in wire.asked[1].query

    def test_cordon_patches_one_field(self, wire: Wire, kubernetes: ApiKubernetes) -> None:
        wire.on("PATCH", "/api/v1/nodes/w1", Reply(body=NODE))
        kubernetes.set_unschedulable("w1", True)
        assert wire.asked[0].body == {"spec": {"unschedulable": True}}
        assert wire.asked[0].headers["Content-Type"] == "application/merge-patch+json"

    def test_out_of_service_is_one_taint_more_and_one_less(self, wire: Wire, kubernetes: ApiKubernetes) -> None:
        other = {"key": "team", "effect": "NoSchedule"}
        ours = {"key": "node.kubernetes.io/out-of-service", "value": "nodeshutdown", "effect": "NoExecute"}
        wire.on("PATCH", "/api/v1/nodes/w1", Reply(body=NODE))
        for before, value, after in (([other], True, [other, ours]), ([other, ours], False, [other])):
            found = {**NODE, "metadata": {"name": "w1", "resourceVersion": "7"}, "spec": {"taints": before}}
            wire.on("GET", "/api/v1/nodes/w1", Reply(body=found))
            seen = kubernetes.node("w1")
            assert seen is not None
            assert seen.out_of_service is not value
            kubernetes.set_out_of_service("w1", value)
            assert wire.asked[-1].body == {"metadata": {"resourceVersion": "7"}, "spec": {"taints": after}}
            kubernetes.set_out_of_service("w1", not value)  # as it is
            assert wire.asked[-1].method == "GET"

    def test_deleting_a_node_that_is_gone_is_no_error(self, wire: Wire, kubernetes: ApiKubernetes) -> None:
        kubernetes.delete_node("w1")
        assert wire.lines() == ["DELETE /api/v1/nodes/w1"]

    def test_control_planes_are_found_by_their_label(self, wire: Wire, kubernetes: ApiKubernetes) -> None:
        wire.on("GET", "/api/v1/nodes", Reply(body={"items": [NODE]}))
        assert kubernetes.control_plane_addresses() == {"10.0.0.7": "w1"}
        assert "node-role.kubernetes.io%2Fcontrol-plane" in wire.asked[0].query


class TestPods:
    """A drain learns of a pod what it must, and of finished pods nothing."""

    def test_pods_of_one_node_are_asked_for(self, wire: Wire, kubernetes: ApiKubernetes) -> None:
        owner = {"ownerReferences": [{"kind": "Other"}, {"kind": "StatefulSet", "controller": True}]}
        claim = {
            "volumes": [
                {"name": "d", "persistentVolumeClaim": {"claimName": "data-db-0"}},
                {"name": "e", "ephemeral": {}},
            ]
        }
        wire.on(
            "GET",
            "/api/v1/pods",
            Reply(
                body={
                    "items": [
                        pod("db-0", metadata=owner, spec=claim),
                        pod("done", status={"phase": "Succeeded"}),
                        pod("api-w1", metadata={"annotations": {"kubernetes.io/config.mirror": "x"}}),
                        pod("spdk", namespace="simplyblock", metadata={"deletionTimestamp": "2026-07-07T00:00:00Z"}),
                        pod("slow", status={"conditions": [{"type": "Ready", "status": "False"}]}),
                    ]
                }
            ),
        )
        found = {p.name: p for p in kubernetes.pods_on("w1")}
        assert wire.asked[0].query.startswith("fieldSelector=spec.nodeName%3Dw1")
        assert sorted(found) == ["api-w1", "db-0", "slow", "spdk"]
        assert found["db-0"].owner == "StatefulSet"
        assert "data-db-0" in found["db-0"].claims
        assert found["api-w1"].mirror
        assert found["spdk"].storage_daemon
        assert found["spdk"].terminating
        assert not found["db-0"].storage_daemon
        assert not found["slow"].ready

    def test_unready_pods_with_claims_are_found_also_unscheduled(self, wire: Wire, kubernetes: ApiKubernetes) -> None:
        claim = {"volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "data-db-0"}}]}
        waiting = pod("db-0", spec={**claim, "nodeName": None}, status={"phase": "Pending", "conditions": None})
        items = [waiting, pod("db-1", spec=claim), pod("web", status={"phase": "Pending", "conditions": []})]
        wire.on("GET", "/api/v1/pods", Reply(body={"items": items}))
        assert [(p.name, p.node) for p in kubernetes.unready_claimants()] == [("db-0", "")]


class TestEviction:
    """201, 404 and 429 are answers; nothing else is."""

    POD = Pod("shop", "db-0", "w1")
    PATH = "/api/v1/namespaces/shop/pods/db-0/eviction"

    def test_granted(self, wire: Wire, kubernetes: ApiKubernetes) -> None:
        wire.on("POST", self.PATH, Reply(201, {"kind": "Status", "status": "Success"}))
        assert kubernetes.evict(self.POD) is Eviction.GRANTED
        assert wire.asked[0].body["apiVersion"] == "policy/v1"

    def test_gone(self, kubernetes: ApiKubernetes) -> None:
        assert kubernetes.evict(self.POD) is Eviction.GONE

    def test_refused_by_a_budget_is_not_tried_again_here(self, wire: Wire, kubernetes: ApiKubernetes) -> None:
        wire.on(
            "POST", self.PATH, Reply(429, {"message": "Cannot evict pod as it would violate"}, {"Retry-After": "10"})
        )
        assert kubernetes.evict(self.POD) is Eviction.REFUSED
        assert len(wire.asked) == 1

    def test_only_the_pod_that_was_seen_is_evicted(self, wire: Wire, kubernetes: ApiKubernetes) -> None:
        wire.on("GET", "/api/v1/pods", Reply(body={"items": [pod("db-0")]}))
        conflict = {"message": "Operation cannot be fulfilled: Precondition failed: UID in precondition: uid-db-0"}
        wire.on("POST", self.PATH, Reply(409, conflict))
        kubernetes.pods_on("w1")
        assert kubernetes.evict(self.POD) is Eviction.GONE
        assert wire.asked[1].body["deleteOptions"] == {"preconditions": {"uid": "uid-db-0"}}

    def test_two_budgets_on_one_pod_are_an_error_that_says_so(self, wire: Wire, kubernetes: ApiKubernetes) -> None:
        wire.on("POST", self.PATH, Reply(500, {"message": "This pod has more than one PodDisruptionBudget"}))
        with pytest.raises(PortError, match=r"shop/db-0.*more than one PodDisruptionBudget"):
            kubernetes.evict(self.POD)

    def test_delete_is_of_the_pod_that_was_seen(self, wire: Wire, kubernetes: ApiKubernetes) -> None:
        wire.on("GET", "/api/v1/pods", Reply(body={"items": [pod("db-0")]}))
        wire.on("DELETE", "/api/v1/namespaces/shop/pods/db-0", Reply(409, {"message": "Precondition failed: UID"}))
        kubernetes.pods_on("w1")
        kubernetes.delete_pod(self.POD)
        assert wire.asked[1].body["preconditions"] == {"uid": "uid-db-0"}


class TestBudgets:
    """A budget's status counts only if it is about the budget as it is."""

    LIST = "/apis/policy/v1/poddisruptionbudgets"

    def budget(self, **over: Any) -> dict[str, Any]:
        status = {"observedGeneration": 2, "disruptionsAllowed": 1, "expectedPods": 3, "desiredHealthy": 2}
        selector = {
            "matchLabels": {"app": "db"},
            "matchExpressions": [{"key": "tier", "operator": "In", "values": ["a", "b"]}],
        }
        return {
            "metadata": {"namespace": "shop", "name": "db", "generation": 2},
            "spec": {"selector": over.pop("selector", selector)},
            "status": {**status, **over},
        }

    def test_it_is_read_with_the_pods_it_selects(self, wire: Wire, kubernetes: ApiKubernetes) -> None:
        wire.on("GET", self.LIST, Reply(body={"items": [self.budget()]}))
        wire.on("GET", "/api/v1/namespaces/shop/pods", Reply(body={"items": [pod("db-0"), pod("db-1")]}))
        (budget,) = kubernetes.budgets()
        assert (budget.disruptions_allowed, budget.expected_pods, budget.desired_healthy) == (1, 3, 2)
        assert budget.pods == {"shop/db-0", "shop/db-1"}
        assert wire.asked[1].query.startswith("labelSelector=app%3Ddb%2Ctier+in+%28a%2Cb%29")

    def test_a_status_of_an_older_budget_allows_nothing(self, wire: Wire, kubernetes: ApiKubernetes) -> None:
        wire.on("GET", self.LIST, Reply(body={"items": [self.budget(observedGeneration=1)]}))
        wire.on("GET", "/api/v1/namespaces/shop/pods", Reply(body={"items": []}))
        assert kubernetes.budgets()[0].disruptions_allowed == 0

    def test_an_operator_nobody_knows_is_named(self, wire: Wire, kubernetes: ApiKubernetes) -> None:
        strange = {"matchExpressions": [{"key": "a", "operator": "Near", "values": []}]}
        wire.on("GET", self.LIST, Reply(body={"items": [self.budget(selector=strange)]}))
        with pytest.raises(PortError, match="Near"):
            kubernetes.budgets()


class TestAttachments:
    """A VolumeAttachment is joined with its volume's claim."""

    def test_those_of_the_node(self, wire: Wire, kubernetes: ApiKubernetes) -> None:
        def attachment(name: str, node: str, volume: str, attached: bool) -> dict[str, Any]:
            source = {"persistentVolumeName": volume}
            spec = {"attacher": "csi.simplyblock.io", "nodeName": node, "source": source}
            return {"metadata": {"name": name}, "spec": spec, "status": {"attached": attached}}

        items = [
            attachment("a1", "w1", "pv-7", True),
            attachment("a2", "w2", "pv-8", True),
            attachment("a3", "w1", "pv-9", False),
        ]
        wire.on("GET", "/apis/storage.k8s.io/v1/volumeattachments", Reply(body={"items": items}))
        claimed = {"metadata": {"name": "pv-7"}, "spec": {"claimRef": {"namespace": "shop", "name": "data-db-0"}}}
        wire.on("GET", "/api/v1/persistentvolumes", Reply(body={"items": [claimed]}))
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

    def test_retry_after_is_obeyed_on_the_steps_clock(
        self, wire: Wire, clock: StillClock, kubernetes: ApiKubernetes
    ) -> None:
        wire.on("GET", "/api/v1/nodes/w1", Reply(429, "Too many requests", {"Retry-After": "7"}), Reply(body=NODE))
        assert kubernetes.node("w1") is not None
        assert clock.slept == [7.0]

    @pytest.mark.parametrize("asked", ["soon", "-1", ""])
    def test_a_retry_after_nobody_understands_is_left_aside(
        self, wire: Wire, clock: StillClock, kubernetes: ApiKubernetes, asked: str
    ) -> None:
        wire.on("GET", "/api/v1/nodes/w1", Reply(503, "", {"Retry-After": asked}), Reply(body=NODE))
        assert kubernetes.node("w1") is not None
        assert clock.slept == [0.5]

    def test_a_retry_after_of_a_day_does_not_stop_the_step_for_a_day(
        self, wire: Wire, clock: StillClock, kubernetes: ApiKubernetes
    ) -> None:
        wire.on("GET", "/api/v1/nodes/w1", Reply(503, "", {"Retry-After": "86400"}))
        with pytest.raises(PortError, match=r"node w1.*HTTP 503"):
            kubernetes.node("w1")
        assert sum(clock.slept) <= 120

    def test_a_server_that_stays_down_ends_in_an_error(
        self, wire: Wire, clock: StillClock, kubernetes: ApiKubernetes
    ) -> None:
        wire.on("GET", "/api/v1/nodes/w1", Reply(502, "<html>Bad Gateway</html>"))
        with pytest.raises(PortError, match=r"127\.0\.0\.1.*node w1.*HTTP 502 <html>Bad Gateway"):
            kubernetes.node("w1")
        assert len(wire.asked) == 5

    def test_a_reset_connection_is_tried_again(self, wire: Wire, kubernetes: ApiKubernetes) -> None:
        wire.on("GET", "/api/v1/nodes/w1", Reply(reset=True), Reply(body=NODE))
        assert kubernetes.node("w1") is not None

    def test_nobody_listens(self, clock: StillClock) -> None:
        api = connected(f"http://127.0.0.1:{free_port()}", clock)
        with pytest.raises(PortError, match=r"node w1.*NewConnectionError.*VIP"):
            ApiKubernetes(api, clock, frozenset()).node("w1")

    @pytest.mark.parametrize("body", ["<html>login</html>", "[1]", '{"items": 7}', ""])
    def test_garbage_is_an_error_never_an_empty_cluster(self, wire: Wire, kubernetes: ApiKubernetes, body: str) -> None:
        wire.on("GET", "/api/v1/pods", Reply(body=body))
        with pytest.raises(PortError, match="pods on w1"):
            kubernetes.pods_on("w1")

    @pytest.mark.parametrize(("status", "remedy"), [(401, "stack's `ca`"), (403, "auth can-i")])
    def test_a_refusal_says_what_to_do(self, wire: Wire, kubernetes: ApiKubernetes, status: int, remedy: str) -> None:
        wire.on("GET", "/api/v1/nodes/w1", Reply(status, {"message": "no"}))
        with pytest.raises(PortError, match=rf"HTTP {status} no.*{remedy}"):
            kubernetes.node("w1")
        assert len(wire.asked) == 1

    def test_answers_is_what_readyz_says(self, wire: Wire, kubernetes: ApiKubernetes) -> None:
        wire.on("GET", "/readyz", Reply(body="ok"), Reply(500, "[-]etcd failed"), Reply(reset=True))
        assert [kubernetes.answers() for _ in range(3)] == [True, False, False]

    def test_answers_never_raises(self, clock: StillClock) -> None:
        def broken() -> Any:
            raise PortError("secrets of stack s", "no ca", "")

        assert not KubeApi(broken, clock).answers()


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
            api = KubeApi(lambda: from_authority(endpoint, cluster.authority, cluster.now_s), clock)
            assert api.get("node w1", "/api/v1/nodes/w1") is not None

    def test_a_server_of_another_authority_is_refused(
        self, clock: StillClock, cluster: ClusterAuthority, other_cluster: ClusterAuthority
    ) -> None:
        with serving(other_cluster.server_context()) as wire:
            endpoint = wire.url.removeprefix("https://")
            api = KubeApi(lambda: from_authority(endpoint, cluster.authority, cluster.now_s), clock)
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

    def test_a_kubeconfig_that_is_none_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "config").write_text("a: [")
        with pytest.raises(NeedsAttention, match=r"kubeconfig .*config.*INGOT_KUBECONFIG"):
            from_kubeconfig(tmp_path / "config")
