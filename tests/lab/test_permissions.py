"""The table of permissions against a real API server: what is missing, what is enough, and what nobody may."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from lab import fleet as make
from lab.fleet import Fleet
from lab.lab import Lab
from lifecycle.adapters.kubernetes import ApiKubernetes
from lifecycle.adapters.storage import SECRET, SimplyblockStorage, find_control
from lifecycle.commands import Verb
from lifecycle.permissions import BY_DEFAULT, STEPS, STORAGE_GROUP, Owner, Permission
from lifecycle.ports import ClaimState
from lifecycle.stops import NotPermitted
from tests.lab.eventually import eventually
from tests.lab.leaving import serving
from tests.lab.owners import ALL, ROLL, STORAGE_NAMESPACE, Owned
from tests.lifecycle.adapters.test_storage import CLUSTER, TOKEN
from tests.lifecycle.adapters.test_storage import Cluster as StorageCluster
from tests.lifecycle.adapters.wire_server import serving as wire

pytestmark = pytest.mark.lab

WORKERS = ("w1", "w2", "w3", "w4")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Owned]:
    """Four workers that serve, with an application on w1, and no roles yet."""
    with Lab.start(tmp_path_factory.mktemp("lab"), systems=1) as lab:
        Fleet(lab.kubeconfig).create_nodes(len(WORKERS))
        found = serving(lab, WORKERS)
        cluster = Owned(found.lab, found.fleet, found.world)
        pins = cluster.world.pins
        pins |= {name: replace(pin, max_unavailable=len(WORKERS)) for name, pin in pins.items()}
        cluster.app("web", replicas=2, on="w1", budget=1)
        yield cluster


@pytest.fixture
def cluster(shared: Owned) -> Owned:
    """With the roles as they are to be."""
    shared.grant()
    return shared


class TestAClusterWithoutRoles:
    """Gets them from the first step that needs them, since its authority is the stack's own."""

    def test_is_given_them_and_the_node_leaves(self, shared: Owned) -> None:
        shared.forget_roles()
        assert shared.leave("w4") == "w4 left"
        assert shared.step_ports().access.forbidden() == ()

    def test_of_somebody_elses_is_not(self, shared: Owned) -> None:
        shared.forget_roles()
        before = shared.touched()
        with pytest.raises(NotPermitted) as refused:
            replace(shared, ours=False).leave("w1", run="guest")
        assert refused.value.names == tuple(str(p) for p in ROLL)
        assert shared.touched() == before


class TestOneVerbMissing:
    """The first step names it, and nothing is touched: node, pods, roster, Lease and claim stay as they are."""

    @pytest.mark.parametrize("missing", ROLL, ids=str)
    def test_is_named(self, shared: Owned, missing: Permission) -> None:
        shared.grant(but=missing)
        before = shared.touched()
        with pytest.raises(NotPermitted) as refused:
            shared.leave("w1", run=f"without {missing}")
        assert refused.value.names == (str(missing),)
        said = str(refused.value)
        assert f"user {missing.owner.user} (groups {missing.owner.group}, system:authenticated) may not" in said
        assert missing.why in said
        assert "Nothing was changed." in said
        assert shared.touched() == before


class TestTheTable:
    """What the owners' code asks for, and nothing else."""

    def test_is_enough_for_a_roll_and_holds_nothing_else(self, cluster: Owned) -> None:
        since = len(cluster.lab.layout.audit_log.read_text(encoding="utf-8").splitlines())
        a_leave_and_a_join(cluster)
        what_seldom_happens(cluster)
        evacuation(cluster)
        for owner in STEPS:
            assert refused(cluster, owner, since) == []
            asked = {p for e in cluster.asked(owner, since) for p in ALL[owner] if covers(p, e)}
            assert [str(p) for p in ALL[owner] if p not in asked] == [], "nobody asks for it"


def a_leave_and_a_join(cluster: Owned) -> None:
    """w1, with a volume and a budget in its way, and as a new machine back."""
    cluster.app("db", replicas=1, on="w1", claim="data")
    eventually(lambda: cluster.ports().kubernetes.attachments_on("w1"), "the volume attached")
    assert cluster.leave("w1") == "w1 left"
    world, left = cluster.world, cluster.world.claims["w1"]
    world.claims["w1"] = replace(left, state=ClaimState.PROVISIONING, installed=True)
    with ThreadPoolExecutor(1) as pool:
        joining = pool.submit(cluster.step, Verb.JOIN, "w1")
        eventually(lambda: "w1" in world.delivered or joining.done(), "its credentials delivered")
        cluster.fleet.create(make.node("w1", "10.1.0.1", install=2))
        assert joining.result(120) == "w1 serves"


def what_seldom_happens(cluster: Owned) -> None:
    """Requests that only some leaves make: a dead host, a pod deleted by force, a run that goes on for long, a
    DaemonSet that one watch has seen and the other has not, the first roster and Lease."""
    at = cluster.step_ports()
    for value in (True, False):
        at.kubernetes.set_out_of_service("w2", value)
    at.kubernetes.delete_pod(eventually(lambda: at.kubernetes.pods_on("w2"), "a pod on w2")[0])
    roll, version = at.rolls.read()
    assert roll is not None
    assert at.rolls.write(replace(roll, renewed_s=roll.renewed_s + 1), version)
    document, _ = at.roster.read()
    for kind in ("configmaps/ingot-roster", "leases/ingot-roll"):
        api = "api/v1" if kind.startswith("config") else "apis/coordination.k8s.io/v1"
        cluster.api(None).ask("start anew", "DELETE", f"/{api}/namespaces/ingot-system/{kind}")
    fresh = cluster.step_ports()
    assert fresh.roster.write(document, fresh.roster.read()[1])
    assert fresh.rolls.write(roll, "")
    orphan = make.pod("orphan", on="w2")
    orphan["metadata"]["ownerReferences"] = [
        {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "gone", "uid": "gone", "controller": True}
    ]
    cluster.fleet.create(orphan)
    eventually(lambda: [p for p in at.kubernetes.pods_on("w2") if p.name == "orphan"], "the orphan on w2")


def evacuation(cluster: Owned) -> None:
    """Storage is found by the driver's own Secret and moves its replicas off w2 by its operator's objects."""
    administrator = cluster.api(None)
    for kind in ("StorageNode", "StorageNodeOps"):
        crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        administrator.ask(f"{kind}, define", "POST", crds, body=definition(kind), final=frozenset({409}))
    cluster.fleet.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": STORAGE_NAMESPACE}})
    within = f"/apis/{STORAGE_GROUP}/v1alpha1/namespaces/{STORAGE_NAMESPACE}"
    node = {
        "apiVersion": f"{STORAGE_GROUP}/v1alpha1",
        "kind": "StorageNode",
        "metadata": {"name": "sn-2"},
        "spec": {"workerNode": "w2"},
    }
    ask = administrator.ask
    final = frozenset({404, 409})
    eventually(lambda: ask("", "POST", f"{within}/storagenodes", body=node, final=final).ok, "StorageNodes served")
    eventually(lambda: ask("", "GET", f"{within}/storagenodeops", final=final).ok, "StorageNodeOps served")
    with wire() as control:
        StorageCluster(control)
        entry = {"cluster_id": CLUSTER, "cluster_endpoint": control.url, "cluster_secret": TOKEN}
        secret = {"secret.json": base64.b64encode(json.dumps({"clusters": [entry]}).encode()).decode()}
        secrets = f"/api/v1/namespaces/{STORAGE_NAMESPACE}/secrets"
        ask("", "POST", secrets, body={"kind": "Secret", "metadata": {"name": SECRET}, "data": secret})
        clock, api = cluster.fleet.clock, cluster.api(Owner.STORAGE_POLICY)
        own = ApiKubernetes(api, clock, frozenset())
        found = SimplyblockStorage(
            lambda: find_control({}, own, STORAGE_NAMESPACE, CLUSTER),
            ApiKubernetes(cluster.api(Owner.HOST_LIFECYCLE), clock, frozenset()),
            api,
            clock,
            STORAGE_NAMESPACE,
        )
        assert found.evacuate("w2").reasons == ("storage node sn-2: removal begins",)
        assert found.evacuate("w2").reasons == ("storage node sn-2: Pending, 0 volumes to move",)


def definition(kind: str) -> dict[str, Any]:
    """A CustomResourceDefinition of the storage operator's, as far as it matters here."""
    plural = "storagenodes" if kind == "StorageNode" else "storagenodeops"
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{STORAGE_GROUP}"},
        "spec": {
            "group": STORAGE_GROUP,
            "scope": "Namespaced",
            "names": {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List"},
            "versions": [{"name": "v1alpha1", "served": True, "storage": True, "schema": schema}],
        },
    }


# ---------------------------------------------------------------- the audit log


def covers(p: Permission, event: dict[str, Any]) -> bool:
    """Whether it is this permission that the request needs."""
    of = event.get("objectRef", {})
    resource = "/".join(filter(None, (of.get("resource"), of.get("subresource"))))
    where = (p.namespace in ("", of.get("namespace")), p.name in ("", of.get("name")))
    return all(where) and (p.verb, p.group, p.resource) == (event["verb"], of.get("apiGroup", ""), resource)


def refused(cluster: Owned, owner: Owner, since: int) -> list[str]:
    """What the owner asked for and the table does not hold, or the API server refused; a line each."""
    found = []
    for event in cluster.asked(owner, since):
        of = event.get("objectRef", {})
        free = event["requestURI"].partition("?")[0] in BY_DEFAULT or of.get("resource", "").startswith("selfsubject")
        status = event.get("responseStatus", {}).get("code")
        if status == 403 or not (free or any(covers(p, event) for p in ALL[owner])):
            found.append(f"{status} {event['verb']} {event['requestURI']}")
    return found
