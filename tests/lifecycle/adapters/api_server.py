"""A Kubernetes API in memory, behind the wire: objects with versions, paged lists, watches, evictions.

It forgets old versions when it is told to (`compact`), ends or breaks its watches, and is stopped and
started again on the same port, as the real one is.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs

from lifecycle.adapters.kube_api import KubeApi
from lifecycle.ports import Clock
from tests.lifecycle.adapters.wire_server import Asked, Reply, Wire, serving

Json = dict[str, Any]

COLLECTIONS = {
    "nodes": "/api/v1/nodes",
    "pods": "/api/v1/pods",
    "persistentvolumes": "/api/v1/persistentvolumes",
    "configmaps": "/api/v1/namespaces/ingot-system/configmaps",
    "daemonsets": "/apis/apps/v1/daemonsets",
    "poddisruptionbudgets": "/apis/policy/v1/poddisruptionbudgets",
    "volumeattachments": "/apis/storage.k8s.io/v1/volumeattachments",
}
"""Where each kind is listed over all namespaces; the roster's only in its own."""


class Api:
    """What etcd holds. `evicted` is called, lock held, with each pod whose eviction was granted."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.objects: dict[str, dict[str, Json]] = {kind: {} for kind in COLLECTIONS}
        self.version, self.compacted = 1, 0
        self.log: list[tuple[int, str, str, Json]] = []  # version, kind, what, object
        self.evicted: Callable[[Json], None] = lambda pod: None
        self.lock = threading.Condition(threading.RLock())
        self.cut = 0  # watches opened so far that have to end
        self.opened = 0
        self.torn = ""  # what a watch that is cut says last
        self.bookmarks: list[str] = []
        self.open: dict[str, int] = {}
        wire.otherwise = self.answer

    # ------------------------------------------------------------ as tests change it

    def put(self, kind: str, item: Json) -> Json:
        with self.lock:
            self.version += 1
            key = key_of(item)
            what = "MODIFIED" if key in self.objects[kind] else "ADDED"
            stored = json.loads(json.dumps(item))
            stored["metadata"]["resourceVersion"] = str(self.version)
            self.objects[kind][key] = stored
            self._announce(kind, what, stored)
            return json.loads(json.dumps(stored))  # type: ignore[no-any-return]  # JSON in, the same out

    def delete(self, kind: str, key: str) -> None:
        with self.lock:
            self.version += 1
            gone = self.objects[kind].pop(key)
            self._announce(
                kind, "DELETED", {**gone, "metadata": {**gone["metadata"], "resourceVersion": f"{self.version}"}}
            )

    def edit(self, kind: str, key: str, change: Callable[[Json], None]) -> None:
        with self.lock:
            item = json.loads(json.dumps(self.objects[kind][key]))
            change(item)
            self.put(kind, item)

    def compact(self) -> None:
        """Forget every version but the present."""
        with self.lock:
            self.compacted = self.version
            self.log.clear()
            self.lock.notify_all()

    def cut_watches(self, torn: str = "") -> None:
        """Every watch that is open now ends; torn: with this half of a line, and no proper end."""
        with self.lock:
            self.torn, self.cut = torn, self.opened
            self.lock.notify_all()

    def bookmark(self) -> None:
        """Tell every watch how far it is."""
        with self.lock:
            self.version += 1
            for kind in COLLECTIONS:
                self._announce(kind, "BOOKMARK", {"kind": kind, "metadata": {"resourceVersion": str(self.version)}})

    def _announce(self, kind: str, what: str, item: Json) -> None:
        self.log.append((self.version, kind, what, item))
        self.lock.notify_all()

    def until_watched(self, count: int = len(COLLECTIONS)) -> None:
        """Return once so many watches are open."""
        with self.lock:
            assert self.lock.wait_for(lambda: sum(self.open.values()) >= count, 60), self.open

    # ------------------------------------------------------------ as the wire asks it

    def answer(self, asked: Asked) -> Reply:
        if asked.path == "/readyz":
            return Reply(body="ok")
        query = {key: values[0] for key, values in parse_qs(asked.query).items()}
        kind = next((kind for kind, path in COLLECTIONS.items() if path == asked.path), "")
        if kind and asked.method == "GET":
            if query.get("watch"):
                return self._watch(kind, query)
            return self._list(kind, query)
        return self._one(asked)

    def _list(self, kind: str, query: dict[str, str]) -> Reply:
        with self.lock:
            on = query.get("fieldSelector", "").partition("spec.nodeName=")[2]
            here = {k: o for k, o in self.objects[kind].items() if not on or o["spec"].get("nodeName") == on}
            found = sorted(here.items())
            start, limit = int(query.get("continue", "0")), int(query.get("limit", "0")) or len(found)
            page = found[start : start + limit]
            meta = {"resourceVersion": str(self.version)}
            if start + limit < len(found):
                meta["continue"] = str(start + limit)
            return Reply(body={"metadata": meta, "items": [item for _, item in page]})

    def _watch(self, kind: str, query: dict[str, str]) -> Reply:
        since = int(query["resourceVersion"])
        with self.lock:
            if since < self.compacted:
                return expired_status()
            self.opened += 1
            return Reply(stream=self._events(kind, since, self.opened))

    def _events(self, kind: str, since: int, number: int) -> Iterator[bytes | None]:
        with self.lock:
            self.open[kind] = self.open.get(kind, 0) + 1
            self.lock.notify_all()
        try:
            while True:
                with self.lock:
                    self._until_news(kind, since, number)
                    if number <= self.cut or self.wire.closing.is_set():
                        if self.torn:
                            yield self.torn.encode()
                            yield None
                        return
                    if since < self.compacted:
                        yield line("ERROR", {"kind": "Status", "code": 410, "message": "too old resource version"})
                        return
                    news = [(v, what, item) for v, k, what, item in self.log if k == kind and v > since]
                for version, what, item in news:
                    yield line(what, item)
                    since = version
        finally:
            with self.lock:
                self.open[kind] -= 1

    def _until_news(self, kind: str, since: int, number: int) -> None:
        def any_news() -> bool:
            late = number <= self.cut or since < self.compacted
            return late or any(k == kind and v > since for v, k, _, _ in reversed(self.log))

        self.lock.wait_for(any_news, 0.2)  # no longer, since nobody notifies when the server closes

    def _one(self, asked: Asked) -> Reply:
        """A single object: its path ends in kind and name, or in the kind that one is made of."""
        parts = asked.path.strip("/").split("/")
        if parts[-1] == "eviction":
            return self._evict(f"{parts[-4]}/{parts[-2]}", asked)
        with self.lock:
            if asked.method == "POST" and parts[-1] in self.objects:
                return Reply(201, self.put(parts[-1], asked.body))
            kind, name = parts[-2], parts[-1]
            key = f"{parts[parts.index('namespaces') + 1]}/{name}" if "namespaces" in parts else name
            found = self.objects.get(kind, {}).get(key)
            if found is None:
                return Reply(404, {"kind": "Status", "message": "not found", "code": 404})
            if asked.method == "GET":
                return Reply(body=found)
            if asked.method == "DELETE":
                self.delete(kind, key)
                return Reply(body={"kind": "Status"})
            said = asked.body.get("metadata", {}).get("resourceVersion")
            if said not in (None, found["metadata"]["resourceVersion"]):
                return Reply(409, {"kind": "Status", "message": "conflict", "code": 409})
            return Reply(body=self.put(kind, asked.body if asked.method == "PUT" else merged(found, asked.body)))

    def _evict(self, key: str, asked: Asked) -> Reply:
        with self.lock:
            pod = self.objects["pods"].get(key)
            if pod is None:
                return Reply(404, {"kind": "Status", "code": 404})
            if not pod["metadata"].get("deletionTimestamp"):
                self.edit("pods", key, lambda p: p["metadata"].update(deletionTimestamp="2027-01-15T08:00:30Z"))
                self.evicted(self.objects["pods"][key])
            return Reply(201, {"kind": "Status", "status": "Success"})


def merged(base: Json, patch: Json) -> Json:
    """A JSON merge patch, applied."""
    out = dict(base)
    for key, value in patch.items():
        out[key] = merged(out.get(key) or {}, value) if isinstance(value, dict) else value
    return out


def key_of(item: Json) -> str:
    meta = item["metadata"]
    return f"{meta['namespace']}/{meta['name']}" if meta.get("namespace") else str(meta["name"])


def line(what: str, item: Json) -> bytes:
    return json.dumps({"type": what, "object": item}).encode() + b"\n"


def expired_status() -> Reply:
    return Reply(410, {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"})


def connected(url: str, clock: Clock) -> KubeApi:
    """The real transport to `url`, without authentication."""
    from kubernetes import client

    configuration = client.Configuration(host=url)
    configuration.retries = False
    configuration.connection_pool_maxsize = 32
    return KubeApi(lambda: client.ApiClient(configuration), clock)


@contextmanager
def api_server(port: int = 0) -> Iterator[Api]:
    """port: to listen on, 0 for any."""
    made: list[Api] = []
    with serving(port=port, prepare=lambda wire: made.append(Api(wire))):
        yield made[0]


# ------------------------------------------------------------ objects, as the API server shows them


def node(name: str, **status: Any) -> Json:
    conditions = [{"type": "Ready", "status": "True" if status.pop("ready", True) else "False"}]
    return {"metadata": {"name": name}, "spec": {}, "status": {"conditions": conditions, **status}}


def pod(name: str, on: str = "", namespace: str = "shop", **over: Any) -> Json:
    """over: labels, claims, volumes, owner (a kind), ready, uid; anything else goes into metadata."""
    claims = [{"name": c, "persistentVolumeClaim": {"claimName": c}} for c in over.pop("claims", ())]
    owner = over.pop("owner", "ReplicaSet")
    uid = over.pop("uid", f"uid-{name}")
    owners = [{"kind": owner, "name": "its-owner", "uid": f"uid-of-{owner}", "controller": True}] if owner else []
    ready, volumes = over.pop("ready", True), over.pop("volumes", [])
    meta = {"name": name, "namespace": namespace, "uid": uid, "ownerReferences": owners, **over}
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    spec: Json = {"nodeName": on, "volumes": claims + list(volumes)}
    return {"metadata": meta, "spec": spec, "status": {"phase": "Running", "conditions": conditions}}


def budget(name: str, selector: Json, namespace: str = "shop", **status: Any) -> Json:
    said = {"observedGeneration": 1, "disruptionsAllowed": 1, "expectedPods": 3, "desiredHealthy": 2, **status}
    meta = {"name": name, "namespace": namespace, "generation": 1}
    return {"metadata": meta, "spec": {"selector": selector}, "status": said}


def attachment(name: str, on: str, volume: str, *, attached: bool = True) -> Json:
    spec = {"attacher": "csi.example", "nodeName": on, "source": {"persistentVolumeName": volume}}
    return {"metadata": {"name": name}, "spec": spec, "status": {"attached": attached}}


def volume(name: str, claim: str = "", namespace: str = "shop", **spec: Any) -> Json:
    said = spec or {"csi": {"driver": "csi.example", "volumeHandle": name}}
    ref = {"claimRef": {"namespace": namespace, "name": claim}} if claim else {}
    return {"metadata": {"name": name}, "spec": {**said, **ref}, "status": {}}
