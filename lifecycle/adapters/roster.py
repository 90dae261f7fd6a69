"""The roster's store: one ConfigMap, replaced by compare-and-swap on its resourceVersion."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from lifecycle.adapters.kube_api import Json, KubeApi, path
from lifecycle.adapters.objects import ROSTER_KEY, is_newer, roster_seen, version_of
from lifecycle.adapters.turns import Turns
from lifecycle.adapters.view import NAME, NAMESPACE, Source
from lifecycle.adapters.wire import Answer

LABELS = {"app.kubernetes.io/managed-by": "ingot"}


class ConfigMapRoster:
    """Fulfils `lifecycle.ports.RosterStore`.

    source: where it is read from, else each time from the API. A watch may be behind for a moment: what was
    written here is never read older than that, and that somebody else wrote, or that there is none, is asked.
    turns: of the steps of this machine, if there are others.
    """

    def __init__(self, api: KubeApi, source: Source | None = None, turns: Turns | None = None) -> None:
        self._api, self._source, self._turns = api, source, turns
        self._known = ("", "")
        self._doubtful = False

    def read(self) -> tuple[str, str]:
        if self._source is None:
            return self._ask()
        found = self._source.roster()
        if not self._doubtful and self._known[1] and not is_newer(found[1], self._known[1]):
            return self._known
        if self._doubtful or not found[1]:
            self._known, self._doubtful = self._ask(), False
            return self._known
        return found

    def _ask(self) -> tuple[str, str]:
        found = self._api.get("roster", path("api", "v1", "namespaces", NAMESPACE, "configmaps", NAME))
        return ("", "") if found is None else roster_seen(found)

    def write(self, document: str, version: str) -> bool:
        """A write whose answer was lost is looked up, not guessed: true if the document is there."""
        self._doubtful = True  # until we know that it was us

        def write() -> bool:
            answer = self._replace(document, version) if version else self._create(document)
            if answer.ok:
                self._known = (document, _version_in(answer))
                self._doubtful = not self._known[1]
                if self._turns is not None and not self._doubtful:
                    self._turns.keep(*self._known)
            return answer.ok

        def landed() -> bool | None:
            written, now = self._ask()
            return None if now == version else written == document

        return self._api.surely(write, landed)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """What another step of this machine wrote last is known here too, before any watch shows it."""
        if self._turns is None:
            yield
            return
        with self._turns.turn():
            last = self._turns.last()
            if last[1] and (not self._known[1] or is_newer(last[1], self._known[1])):
                self._known = last
            yield

    def _create(self, document: str) -> Answer:
        maps = path("api", "v1", "namespaces", NAMESPACE, "configmaps")
        return created(self._api, "roster, create", maps, _body(document, ""))

    def _replace(self, document: str, version: str) -> Answer:
        where = path("api", "v1", "namespaces", NAMESPACE, "configmaps", NAME)
        return self._api.ask(
            "roster, replace",
            "PUT",
            where,
            body=_body(document, version),
            final=frozenset({404, 409}),
            repeatable=False,
        )


def _version_in(answer: Answer) -> str:
    """The version that was written, "" if the answer does not say."""
    try:
        return version_of(json.loads(answer.text))
    except ValueError:
        return ""


def created(api: KubeApi, what: str, where: str, body: Json) -> Answer:
    """Make the object, and the namespace if that is not there yet. The answer is a 409 if somebody else made it.

    Raises Unsure if it may have been made all the same.
    """
    answer = api.ask(what, "POST", where, body=body, final=frozenset({404, 409}), repeatable=False)
    if answer.status != 404:
        return answer
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": LABELS}}
    namespaces = path("api", "v1", "namespaces")
    api.ask(f"namespace {NAMESPACE}, create", "POST", namespaces, body=namespace, final=frozenset({409}))
    return api.ask(what, "POST", where, body=body, final=frozenset({409}), repeatable=False)


def _body(document: str, version: str) -> Json:
    meta: Json = {"name": NAME, "namespace": NAMESPACE, "labels": LABELS}
    if version:
        meta["resourceVersion"] = version
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {ROSTER_KEY: document}}
