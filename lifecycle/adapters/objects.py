"""What Kubernetes' objects say, reduced to the lifecycle's facts: pure functions of one object's JSON.

Only what a step asks for is kept, so that a fleet's worth of pods fits into little memory. A field
that is missing or null reads as its default; an object without a name is a PortError.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from lifecycle import labels
from lifecycle.address import plain
from lifecycle.errors import PortError
from lifecycle.ports import Attachment, Budget, Node, Pod

Json = dict[str, Any]

OUT_OF_SERVICE = labels.OUT_OF_SERVICE
"""With this taint the cluster deletes a dead node's pods by force and detaches their volumes at once."""
CONTROL_PLANE = labels.CONTROL_PLANE
FINISHED = frozenset({"Succeeded", "Failed"})
"""Phases in which a pod holds neither a volume nor a place in a budget: a drain has nothing to do for it."""
OPERATORS = ("DoesNotExist", "Exists", "In", "NotIn")
"""All that a LabelSelector may say of a key."""
ROSTER_KEY = "roster.json"


@dataclass(frozen=True)
class NodeSeen:
    """A Node and the version of its object. addresses: the internal ones, of a control plane only."""

    node: Node
    version: str
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True)
class PodSeen:
    """A pod with its labels. owner_key, owner_uid: of its DaemonSet, as `namespace/name`; "" for other owners."""

    pod: Pod
    labels: tuple[tuple[str, str], ...] = ()
    owner_key: str = ""
    owner_uid: str = ""


@dataclass(frozen=True)
class VolumeSeen:
    """A PersistentVolume. in_use: how a Node's lists name it. local: its data lies on one host's own disks."""

    name: str
    claim: str
    driver: str = ""
    handle: str = ""
    local: bool = False

    @property
    def in_use(self) -> str:
        return f"kubernetes.io/csi/{self.driver}^{self.handle}" if self.driver else ""


@dataclass(frozen=True)
class Term:
    """One requirement of a label selector."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Raises PortError for an operator that Kubernetes did not have when this was written."""
        if self.operator == "In":
            return labels.get(self.key) in self.values
        if self.operator == "NotIn":  # also holds where there is no such label
            return labels.get(self.key) not in self.values
        if self.operator == "Exists":
            return self.key in labels
        if self.operator == "DoesNotExist":
            return self.key not in labels
        raise PortError(
            "a PodDisruptionBudget's selector", f"operator {self.operator!r}", f"expected one of {list(OPERATORS)}"
        )


@dataclass(frozen=True)
class BudgetSeen:
    """A PodDisruptionBudget without its pods. terms: None if it selects nothing, () if it selects every pod."""

    budget: Budget
    terms: tuple[Term, ...] | None

    def selects(self, labels: Mapping[str, str]) -> bool:
        return self.terms is not None and all(term.holds(labels) for term in self.terms)


# ---------------------------------------------------------------- one function a kind


def node_seen(item: Json) -> NodeSeen:
    info = sub(item, "status", "nodeInfo")
    addresses: tuple[str, ...] = ()
    if CONTROL_PLANE in sub(item, "metadata", "labels"):
        said = (a for a in entries(item, "status", "addresses") if a.get("type") == "InternalIP" and a.get("address"))
        addresses = tuple(plain(str(a["address"])) for a in said)
    node = Node(
        name=name_of(item),
        ready=is_true(item, "Ready"),
        unschedulable=bool(sub(item, "spec").get("unschedulable")),
        os_image=str(info.get("osImage", "")),
        kernel=str(info.get("kernelVersion", "")),
        kubelet=str(info.get("kubeletVersion", "")),
        machine_id=str(info.get("machineID", "")),
        boot_id=str(info.get("bootID", "")),
        volumes_in_use=frozenset(str(v) for v in sub(item, "status").get("volumesInUse") or []),
        volumes_attached=frozenset(str(v.get("name")) for v in entries(item, "status", "volumesAttached")),
        out_of_service=out_of_service(item),
        labels={str(k): str(v) for k, v in sub(item, "metadata", "labels").items()},
        taints=frozenset(
            labels.taint(str(t.get("key", "")), str(t.get("value") or ""), str(t.get("effect", "")))
            for t in entries(item, "spec", "taints")
        ),
        ready_changed_s=_ready_changed_s(item),
    )
    return NodeSeen(node, version_of(item), addresses)


def _ready_changed_s(item: Json) -> float | None:
    ready = next((c for c in entries(item, "status", "conditions") if c.get("type") == "Ready"), {})
    return _moment_s(str(ready.get("lastTransitionTime") or ""))


def pod_seen(item: Json, storage_namespaces: frozenset[str]) -> PodSeen:
    meta, name, volumes = sub(item, "metadata"), name_of(item), entries(item, "spec", "volumes")
    owner = next((o for o in entries(item, "metadata", "ownerReferences") if o.get("controller")), {})
    namespace, kind = str(meta.get("namespace", "")), str(owner.get("kind", ""))
    pod = Pod(
        namespace=namespace,
        name=name,
        node=str(sub(item, "spec").get("nodeName") or ""),
        owner=kind,
        mirror="kubernetes.io/config.mirror" in sub(item, "metadata", "annotations"),
        storage_daemon=namespace in storage_namespaces,
        terminating=bool(meta.get("deletionTimestamp")),
        ready=is_true(item, "Ready"),
        claims=tuple(_claims(name, volumes)),
        uid=str(meta.get("uid", "")),
        empty_dir=any("emptyDir" in v for v in volumes),
        ends_s=_moment_s(str(meta.get("deletionTimestamp") or "")),
        finalizers=tuple(str(f) for f in meta.get("finalizers") or []),
        daemon_set=f"{namespace}/{owner.get('name', '')}" if kind == "DaemonSet" else "",
    )
    labelled = tuple(sorted((str(k), str(v)) for k, v in sub(item, "metadata", "labels").items()))
    if kind != "DaemonSet":
        return PodSeen(pod, labelled)
    return PodSeen(pod, labelled, pod.daemon_set, str(owner.get("uid", "")))


def budget_seen(item: Json) -> BudgetSeen:
    meta, status = sub(item, "metadata"), sub(item, "status")
    # A status older than the budget says nothing of it: the eviction API refuses then, and so do we.
    current = int(status.get("observedGeneration") or 0) >= int(meta.get("generation") or 0)
    budget = Budget(
        namespace=str(meta.get("namespace", "")),
        name=name_of(item),
        disruptions_allowed=int(status.get("disruptionsAllowed") or 0) if current else 0,
        expected_pods=int(status.get("expectedPods") or 0),
        desired_healthy=int(status.get("desiredHealthy") or 0),
        current_healthy=int(status.get("currentHealthy") or 0),
    )
    selector = sub(item, "spec").get("selector")
    return BudgetSeen(budget, tuple(_terms(selector)) if isinstance(selector, dict) else None)


def attachment_seen(item: Json) -> Attachment:
    """A VolumeAttachment, without the claim, which only its volume knows."""
    spec = sub(item, "spec")
    return Attachment(
        name=name_of(item),
        volume=str(sub(spec, "source").get("persistentVolumeName") or ""),
        claim="",
        node=str(spec.get("nodeName") or ""),
        attached=bool(sub(item, "status").get("attached")),
    )


def volume_seen(item: Json) -> VolumeSeen:
    spec = sub(item, "spec")
    claim, csi = sub(spec, "claimRef"), sub(spec, "csi")
    return VolumeSeen(
        name=name_of(item),
        claim=f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else "",
        driver=str(csi.get("driver") or ""),
        handle=str(csi.get("volumeHandle") or ""),
        local="local" in spec or "hostPath" in spec or _one_host_only(spec),
    )


def daemon_set_seen(item: Json) -> str:
    """All that is asked of a DaemonSet: whether it is there, and is the one that a pod names."""
    return str(sub(item, "metadata").get("uid", ""))


def roster_seen(item: Json) -> tuple[str, str]:
    """(document, version) of the roster's ConfigMap."""
    return str(sub(item, "data").get(ROSTER_KEY, "")), version_of(item)


def with_local_volumes(pod: Pod, names: Iterable[str]) -> Pod:
    """The pod with the names of those of its volumes that cannot follow it."""
    found = tuple(sorted(names))
    return replace(pod, local_volumes=found) if found else pod


# ---------------------------------------------------------------- parts of an object


def sub(item: Any, *keys: str) -> Json:
    """The object at `keys`, {} where anything on the way is missing or null."""
    for key in keys:
        item = item.get(key) if isinstance(item, dict) else None
    return item if isinstance(item, dict) else {}


def entries(item: Json, *keys: str) -> list[Json]:
    """The objects of the list at `keys`, [] where there is none."""
    found = sub(item, *keys[:-1]).get(keys[-1])
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def name_of(item: Json) -> str:
    name = sub(item, "metadata").get("name")
    if not isinstance(name, str) or not name:
        raise PortError(
            "Kubernetes API, an object", "one without metadata.name", "check what answers at the cluster's address"
        )
    return name


def key_of(item: Json) -> str:
    """`namespace/name`, or the name alone of what has no namespace."""
    namespace = sub(item, "metadata").get("namespace")
    return f"{namespace}/{name_of(item)}" if namespace else name_of(item)


def version_of(item: Json) -> str:
    return str(sub(item, "metadata").get("resourceVersion", ""))


def is_newer(version: str, than: str) -> bool:
    """Whether one version of an object is at least as new as another. They are numbers that grow with each
    change, which the API promises for the objects of one kind; anything else is new only if it is the same."""
    if version.isdigit() and than.isdigit():
        return int(version) >= int(than)
    return version == than


def is_true(item: Json, condition: str) -> bool:
    said = entries(item, "status", "conditions")
    return any(c.get("type") == condition and c.get("status") == "True" for c in said)


def out_of_service(item: Json) -> bool:
    return any(t.get("key") == OUT_OF_SERVICE for t in entries(item, "spec", "taints"))


def is_finished(item: Json) -> bool:
    return sub(item, "status").get("phase") in FINISHED


def _claims(pod: str, volumes: Iterable[Json]) -> Iterable[str]:
    for volume in volumes:
        if volume.get("persistentVolumeClaim"):
            yield str(sub(volume, "persistentVolumeClaim").get("claimName"))
        elif volume.get("ephemeral") is not None:  # its claim is made for this pod, and named after both
            yield f"{pod}-{volume.get('name')}"


def _terms(selector: Json) -> Iterable[Term]:
    for key, value in sub(selector, "matchLabels").items():
        yield Term(str(key), "In", frozenset({str(value)}))
    for said in entries(selector, "matchExpressions"):
        values = frozenset(str(v) for v in said.get("values") or [])
        yield Term(str(said.get("key", "")), str(said.get("operator", "")), values)


def _one_host_only(spec: Json) -> bool:
    """Whether every place that the volume's affinity allows is one and the same host."""
    terms = entries(spec, "nodeAffinity", "required", "nodeSelectorTerms")
    hosts: set[str] = set()
    for term in terms:
        said = [e for e in entries(term, "matchExpressions") if e.get("key") == "kubernetes.io/hostname"]
        named = [e for e in said if e.get("operator") == "In"]
        if not named:
            return False
        hosts |= {str(v) for e in named for v in e.get("values") or []}
    return len(hosts) == 1


def _moment_s(text: str) -> float | None:
    """RFC 3339 as seconds since 1970; None if it is absent, unreadable or of no time zone."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at.timestamp() if at.tzinfo else None
