"""The table of permissions against a real API server: what is missing, what is enough, and what nobody may."""

from __future__ import annotations

import base64
import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lab import audit
from lab import fleet as make
from lab.fleet import Fleet
from lab.lab import Lab
from lifecycle.adapters.access import attributes, may
from lifecycle.adapters.kubernetes import ApiKubernetes
from lifecycle.adapters.storage import SECRET, SimplyblockStorage, find_control
from lifecycle.commands import Verb
from lifecycle.permissions import NAMESPACE, STEPS, STORAGE_GROUP, Owner, Permission
from lifecycle.ports import ClaimState, Roll, Run
from lifecycle.stops import NotPermitted
from tests.lab.eventually import eventually
from tests.lab.leaving import serving
from tests.lab.owners import ALL, ROLL, STORAGE_NAMESPACE, Owned
from tests.lifecycle.adapters.test_storage import CLUSTER, TOKEN
from tests.lifecycle.adapters.test_storage import Cluster as StorageCluster
from tests.lifecycle.adapters.wire_server import serving as wire

pytestmark = pytest.mark.lab

ROOT = Path(__file__).resolve().parents[2]
STORAGE_PATH = f"/apis/{STORAGE_GROUP}/v1alpha1/namespaces/{STORAGE_NAMESPACE}"
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
        since = len(audit.lines(cluster.lab.layout))
        a_leave_and_a_join(cluster)
        what_seldom_happens(cluster)
        evacuation(cluster)
        for owner in STEPS:
            assert refused(cluster, owner, since) == []
            asked = {p for e in cluster.asked(owner, since) for p in ALL[owner] if covers(p, e)}
            assert [str(p) for p in ALL[owner] if p not in asked] == [], "nobody asks for it"

    def test_is_enough_for_whoever_follows_a_runbook(self, cluster: Owned, tmp_path: Path) -> None:
        since = len(audit.lines(cluster.lab.layout))
        for command in commands(tmp_path):
            what_it_needs(cluster)
            ran = kubectl(cluster, command, tmp_path)
            assert "forbidden" not in ran.stderr.lower(), f"{command}: {ran.stderr}"
            assert ran.returncode == 0, f"{command}: {ran.stderr}"
        assert refused(cluster, Owner.RECOVERY, since) == []
        asked = {p for e in cluster.asked(Owner.RECOVERY, since) for p in ALL[Owner.RECOVERY] if covers(p, e)}
        assert [str(p) for p in ALL[Owner.RECOVERY] if p not in asked] == [], "no runbook asks for it"

    def test_knows_every_command_that_a_text_of_ours_names(self, tmp_path: Path) -> None:
        known = {shortened(command) for command in commands(tmp_path)}
        named = {shortened(text): where for where, text in named_commands()}
        assert {text: where for text, where in named.items() if text not in known} == {}
        assert [command for command in known if command not in named] == [], "nothing names it any more"


MAY_NOT = (
    ("host-lifecycle", "get", "secrets", "", "default", "a Secret of an application's"),
    ("host-lifecycle", "list", "secrets", "", "kube-system", "the tokens that it made"),
    ("host-lifecycle", "get", "secrets", "", "simplyblock", "the storage's credentials"),
    ("host-lifecycle", "create", "secrets", "", "default", "Secrets anywhere else"),
    ("host-lifecycle", "get", "configmaps", "", "default", "an application's settings"),
    ("host-lifecycle", "create", "pods", "", "default", "pods"),
    ("host-lifecycle", "create", "pods/exec", "", "default", "a shell in a pod"),
    ("host-lifecycle", "patch", "pods", "", "default", "a pod's finalizers"),
    ("host-lifecycle", "delete", "persistentvolumes", "", "", "a volume"),
    ("host-lifecycle", "delete", "persistentvolumeclaims", "", "default", "a claim"),
    ("host-lifecycle", "delete", "volumeattachments", "storage.k8s.io", "", "an attachment that does not go"),
    ("host-lifecycle", "patch", "poddisruptionbudgets", "policy", "default", "a budget that is in its way"),
    ("host-lifecycle", "delete", "configmaps", "", "ingot-system", "the roster"),
    ("host-lifecycle", "delete", "leases", "coordination.k8s.io", "ingot-system", "another run's Lease"),
    ("host-lifecycle", "create", "storagenodeops", "storage.simplyblock.io", "simplyblock", "storage's replicas"),
    ("host-lifecycle", "update", "clusterroles", "rbac.authorization.k8s.io", "", "its own role"),
    ("host-lifecycle", "impersonate", "users", "", "", "another's name"),
    ("host-lifecycle", "create", "serviceaccounts/token", "", "ingot-system", "another owner's token"),
    ("storage-policy", "create", "pods/eviction", "", "default", "a drain"),
    ("storage-policy", "delete", "pods", "", "default", "a pod"),
    ("storage-policy", "patch", "nodes", "", "", "a cordon"),
    ("storage-policy", "delete", "nodes", "", "", "a Node"),
    ("storage-policy", "get", "secrets", "", "simplyblock", "any other Secret"),
    ("storage-policy", "update", "configmaps", "", "ingot-system", "the roster"),
    ("storage-policy", "update", "leases", "coordination.k8s.io", "ingot-system", "the roll"),
    ("storage-policy", "delete", "persistentvolumes", "", "", "a volume"),
    ("storage-policy", "delete", "storagenodes", "storage.simplyblock.io", "simplyblock", "a storage node itself"),
    ("recovery", "delete", "persistentvolumes", "", "", "a volume"),
    ("recovery", "delete", "persistentvolumeclaims", "", "default", "a claim"),
    ("recovery", "delete", "volumeattachments", "storage.k8s.io", "", "an attachment"),
    ("recovery", "delete", "pods", "", "default", "a pod past its budget"),
    ("recovery", "get", "secrets", "", "default", "a Secret"),
    ("recovery", "get", "secrets", "", "kube-system", "a join token"),
    ("recovery", "create", "secrets", "", "kube-system", "a new join token"),
    ("recovery", "update", "configmaps", "", "ingot-system", "the roster by hand"),
    ("recovery", "delete", "configmaps", "", "ingot-system", "the roster"),
    ("recovery", "create", "leases", "coordination.k8s.io", "ingot-system", "a roll of its own"),
    ("recovery", "create", "storagenodeops", "storage.simplyblock.io", "simplyblock", "an evacuation"),
    ("recovery", "delete", "namespaces", "", "", "a namespace"),
)


class TestNobodyMay:
    """Do what another owner does, or what no owner should."""

    @pytest.mark.parametrize(("owner", "verb", "resource", "group", "namespace", "what"), MAY_NOT)
    def test_touch(
        self, cluster: Owned, owner: str, verb: str, resource: str, group: str, namespace: str, what: str
    ) -> None:
        asking = Owner(owner)
        asked = Permission(asking, verb, resource, group, what, namespace)
        assert not may(cluster.api(asking), asked)
        assert not account_may(cluster, asked)

    def test_but_a_service_account_may_what_its_owner_may(self, cluster: Owned) -> None:
        granted = [p for owner in Owner for p in ALL[owner]]
        assert [str(p) for p in granted if not account_may(cluster, p)] == []


def account_may(cluster: Owned, p: Permission) -> bool:
    """What the API server says of the owner's ServiceAccount."""
    account = f"system:serviceaccount:{NAMESPACE}:{p.owner.value}"
    groups = ["system:serviceaccounts", f"system:serviceaccounts:{NAMESPACE}", "system:authenticated"]
    spec = {"user": account, "groups": groups, "resourceAttributes": attributes(p)}
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
    reviews = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    answer = cluster.api(None).ask(f"may {account} {p}", "POST", reviews, body=body)
    return answer.document("review", "").get("status", {}).get("allowed") is True


# ---------------------------------------------------------------- what makes the requests


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
    orphan["metadata"]["ownerReferences"] = [owned_by_no_daemon_set()]

    def seen() -> bool:
        cluster.fleet.create(orphan)  # again and again: the garbage collector may be quicker than a look
        return any(p.name == "orphan" for p in at.kubernetes.pods_on("w2"))

    eventually(seen, "the orphan on w2")


def evacuation(cluster: Owned) -> None:
    """Storage is found by the driver's own Secret and moves its replicas off w2 by its operator's objects."""
    storage_kinds(cluster)
    node = {
        "apiVersion": f"{STORAGE_GROUP}/v1alpha1",
        "kind": "StorageNode",
        "metadata": {"name": "sn-2"},
        "spec": {"workerNode": "w2"},
    }
    ask = cluster.api(None).ask
    ask("storage node", "POST", f"{STORAGE_PATH}/storagenodes", body=node, final=frozenset({409}))
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


def storage_kinds(cluster: Owned) -> None:
    """The storage operator's namespace and kinds, as its chart brings them."""
    ask = cluster.api(None).ask
    cluster.fleet.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": STORAGE_NAMESPACE}})
    for kind, plural in (("StorageNode", "storagenodes"), ("StorageNodeOps", "storagenodeops")):
        crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        ask(f"{kind}, define", "POST", crds, body=definition(kind, plural), final=frozenset({409}))
        served = partial(cluster.api(None).get, plural, f"{STORAGE_PATH}/{plural}")
        eventually(served, f"{plural} served")


def owned_by_no_daemon_set() -> dict[str, Any]:
    """An owner as a DaemonSet's pods have it; there is no such DaemonSet."""
    return {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "gone", "uid": "gone", "controller": True}


def definition(kind: str, plural: str) -> dict[str, Any]:
    """A CustomResourceDefinition of the storage operator's, as far as it matters here."""
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


# ---------------------------------------------------------------- a person with a runbook


def commands(folder: Path) -> tuple[str, ...]:
    """Every kubectl command of a runbook or of an error's text, with names that are there."""
    roster = folder / "roster.json"
    roster.write_text("{}", encoding="utf-8")
    return (
        "get --raw /readyz?verbose",
        "get nodes -o wide",
        "get node w2 -o yaml",
        "describe node w2",
        "get pods -A -o wide",
        "describe pod lonely",
        "-n simplyblock get pods",
        "get pdb -A",
        "get volumeattachments",
        "get namespace default -o yaml",
        "get lease ingot-roll -n ingot-system -o yaml",
        "get configmap -n ingot-system -o yaml",
        "get configmap ingot-roster -n ingot-system -o yaml",
        "taint node w2 example.org/k=v:NoSchedule",
        "label node w2 example.org/k=v",
        "drain w3 --ignore-daemonsets --force --timeout=60s",
        "delete node w3",
        "delete lease ingot-roll -n ingot-system",
        "-n simplyblock delete storagenodeops failed",
        "create namespace restored --dry-run=server",
        f"-n ingot-system create configmap restored --from-file={roster}",
    )


def what_it_needs(cluster: Owned) -> None:
    """What the commands look at or delete."""
    storage_kinds(cluster)
    cluster.fleet.create(make.node("w3", "10.1.0.3"))
    cluster.fleet.create(make.daemon_set("agent"))
    cluster.fleet.create(make.pod("lonely", on="w2"))
    kubernetes = cluster.step_ports().kubernetes
    eventually(
        lambda: [p for p in kubernetes.pods_on("w3") if p.daemon_set], "a daemon on w3, for a drain to ask about"
    )
    job = {"apiVersion": f"{STORAGE_GROUP}/v1alpha1", "kind": "StorageNodeOps", "metadata": {"name": "failed"}}
    ask, final = cluster.api(None).ask, frozenset({409})
    ask("failed removal", "POST", f"{STORAGE_PATH}/storagenodeops", body=job, final=final)
    cluster.step_ports().rolls.write(Roll(Run("one"), 0, 0, 0), "")


def kubectl(cluster: Owned, command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """As the recovery's owner runs it."""
    layout, owner = cluster.lab.layout, Owner.RECOVERY
    config = layout.kubeconfig(owner.value, owner.user, owner.group)
    line = [str(layout.binaries["kubectl"]), f"--kubeconfig={config}", *shlex.split(command)]
    environment = {"KUBECACHEDIR": str(folder), "PATH": os.environ["PATH"]}
    return subprocess.run(line, env=environment, capture_output=True, text=True, timeout=120, check=False)


VERBS = r"kubectl ((?:-|get|describe|create|delete|drain|taint|label|\{verb)[^`\"\n]*)"


def named_commands() -> Iterator[tuple[str, str]]:
    """(where, kubectl's words) of each command that a runbook or the lifecycle's own text tells a person to run."""
    for path in (*sorted((ROOT / "runbooks").glob("*.md")), *sorted((ROOT / "lifecycle").rglob("*.py"))):
        for said in re.findall(VERBS, path.read_text(encoding="utf-8")):
            for verb in ("label", "taint") if said.startswith("{verb}") else ("",):
                yield path.name, said.replace("{verb}", verb)


def shortened(command: str) -> str:
    """Verb and kind: `get node`."""
    words = [w for w in re.sub(r"-n \S+ ?", "", command).split() if not w.startswith("-") or w == "--raw"]
    return " ".join(words[:1] if words[0] == "drain" else [words[0], words[1].removesuffix("s")])


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
        free = not of or of["resource"].startswith("selfsubject")  # what every user may
        status = event.get("responseStatus", {}).get("code")
        if status == 403 or not (free or any(covers(p, event) for p in ALL[owner])):
            found.append(f"{status} {event['verb']} {event['requestURI']}")
    return found
