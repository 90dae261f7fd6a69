"""The kubernetes package, as far as a fleet uses it: objects are kept, two charts change the rack.

The real provider fills in a name where none is given; so does this one. A StorageClass is immutable,
as it is in Kubernetes.
"""

from __future__ import annotations

from collections.abc import Callable

import grpc

from rehearsal.providers.base import Properties, Provider
from rehearsal.rack import hosts, volumes
from rehearsal.rack.rack import Rack

CNI_CHARTS = frozenset({"flannel", "cilium", "tigera-operator"})
STORAGE_CHARTS = frozenset({"simplyblock-operator", "spdk-csi"})


class Kubernetes(Provider):
    """Objects by `kind namespace/name`. save: makes the world durable, lock held."""

    version = "4.34.2"

    def __init__(self, rack: Rack, save: Callable[[], None]) -> None:
        self._rack, self._save = rack, save

    def touch(self) -> None:
        self._rack.clock.touch()

    def replaces(self, kind: str, old: Properties, new: Properties) -> list[str]:
        if kind.endswith(":StorageClass"):
            return sorted(k for k in old.keys() | new.keys() if old.get(k) != new.get(k))
        return ["metadata"] if _key(kind, "", old) != _key(kind, "", new) else []

    def create(self, kind: str, name: str, new: Properties, context: grpc.ServicerContext) -> tuple[str, Properties]:
        if kind.endswith(":Release"):
            return self._release(name, new)
        made = {**new, "metadata": {"name": name, **new.get("metadata", {})}}
        with self._rack.clock.lock:
            self._rack.world.objects[_key(kind, name, made)] = kind
            self._save()
        return _key(kind, name, made).partition(" ")[2], made

    def _release(self, name: str, new: Properties) -> tuple[str, Properties]:
        released = new.get("name") or name
        namespace = new.get("namespace") or "default"
        chart = str(new.get("chart", ""))
        with self._rack.clock.lock:
            self._rack.world.objects[f"Release {namespace}/{released}"] = chart
            if chart in CNI_CHARTS:
                hosts.cni_comes_up(self._rack)
            elif chart in STORAGE_CHARTS:
                volumes.driver_installed(self._rack)
            self._save()
        status = {"name": released, "namespace": namespace, "chart": chart, "status": "deployed", "revision": 1}
        return f"{namespace}/{released}", {**new, "name": released, "status": status}

    def delete(self, kind: str, name: str, old: Properties, context: grpc.ServicerContext) -> None:
        with self._rack.clock.lock:
            self._rack.world.objects.pop(_key(kind, name, old), None)
            self._save()


def _key(kind: str, name: str, properties: Properties) -> str:
    metadata = properties.get("metadata") or {}
    found = metadata.get("name") or properties.get("name") or name
    namespace = metadata.get("namespace") or properties.get("namespace") or ""
    return f"{kind.rpartition(':')[2]} {namespace + '/' if namespace else ''}{found}"
