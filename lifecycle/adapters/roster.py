"""The roster's store: one ConfigMap, replaced by compare-and-swap on its resourceVersion."""

from __future__ import annotations

from lifecycle.adapters.kube_api import Json, KubeApi, path
from lifecycle.adapters.wire import Unsure

NAMESPACE, NAME, KEY = "ingot-system", "ingot-roster", "roster.json"
LABELS = {"app.kubernetes.io/managed-by": "ingot"}


class ConfigMapRoster:
    """Fulfils `lifecycle.ports.RosterStore`."""

    def __init__(self, api: KubeApi) -> None:
        self._api = api

    def read(self) -> tuple[str, str]:
        found = self._api.get("roster", path("api", "v1", "namespaces", NAMESPACE, "configmaps", NAME))
        if found is None:
            return "", ""
        return str((found.get("data") or {}).get(KEY, "")), str(
            (found.get("metadata") or {}).get("resourceVersion", "")
        )

    def write(self, document: str, version: str) -> bool:
        """A write whose answer was lost is looked up, not guessed: true if the document is there."""
        try:
            return self._replace(document, version) if version else self._create(document)
        except Unsure:
            written, now = self.read()
            if written == document and now != version:
                return True
            if now != version:
                return False
            raise  # the version still stands: nothing was written, and the server said why

    def _create(self, document: str) -> bool:
        maps = path("api", "v1", "namespaces", NAMESPACE, "configmaps")
        return created(self._api, "roster, create", maps, _body(document, ""))

    def _replace(self, document: str, version: str) -> bool:
        where = path("api", "v1", "namespaces", NAMESPACE, "configmaps", NAME)
        answer = self._api.ask(
            "roster, replace",
            "PUT",
            where,
            body=_body(document, version),
            final=frozenset({404, 409}),
            repeatable=False,
        )
        return answer.ok


def created(api: KubeApi, what: str, where: str, body: Json) -> bool:
    """Make the object, and the namespace if that is not there yet. False if somebody else made the object.

    Raises Unsure if it may have been made all the same.
    """
    for final in (frozenset({404, 409}), frozenset({409})):
        answer = api.ask(what, "POST", where, body=body, final=final, repeatable=False)
        if answer.status != 404:
            return answer.ok
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": LABELS}}
        namespaces = path("api", "v1", "namespaces")
        api.ask(f"namespace {NAMESPACE}, create", "POST", namespaces, body=namespace, final=frozenset({409}))
    return False


def _body(document: str, version: str) -> Json:
    meta: Json = {"name": NAME, "namespace": NAMESPACE, "labels": LABELS}
    if version:
        meta["resourceVersion"] = version
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {KEY: document}}
