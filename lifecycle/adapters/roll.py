"""The roll's Lease (coordination.k8s.io/v1), replaced by compare-and-swap, and the thread that keeps it.

`spec` says it as Kubernetes' own controllers do; `leaseTransitions` is the roll's generation. An annotation
holds what tells a run's process from any other.
"""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from lifecycle.adapters.engine_process import EngineProcess
from lifecycle.adapters.kube_api import Json, KubeApi, path
from lifecycle.adapters.objects import entries, sub
from lifecycle.adapters.roster import LABELS, created
from lifecycle.adapters.view import NAMESPACE
from lifecycle.adapters.wire import Answer
from lifecycle.errors import PortError
from lifecycle.ports import Roll, Run
from lifecycle.rolls import LEASE_S

NAME, RUN = "ingot-roll", "ingot-run"
LEASES = ("apis", "coordination.k8s.io", "v1", "namespaces", NAMESPACE, "leases")


class LeaseRolls:
    """Fulfils `lifecycle.ports.Rolls`."""

    def __init__(self, api: KubeApi, engine: EngineProcess) -> None:
        self._api, self._engine = api, engine

    def run(self) -> Run:
        return self._engine.run

    def engine_lives(self) -> bool:
        return self._engine.lives()

    def lives(self, run: Run) -> bool | None:
        return self._engine.runs(run)

    def read(self) -> tuple[Roll | None, str]:
        answer = self._api.ask("roll", "GET", path(*LEASES, NAME), final=frozenset({404}))
        if answer.status == 404:
            return None, ""
        found = answer.document(self._api.named("roll"), "check what answers at this address")
        roll = dataclasses.replace(_roll(found), age_s=_age_s(found, answer))
        return roll, str(found["metadata"]["resourceVersion"])

    def write(self, roll: Roll, version: str) -> bool:
        """A write whose answer was lost is looked up, not guessed."""
        body, where = _body(roll, version), path(*LEASES, NAME)

        def write() -> bool:
            if not version:
                return created(self._api, "roll, create", path(*LEASES), body).ok
            final = frozenset({404, 409})
            return self._api.ask("roll, replace", "PUT", where, body=body, final=final, repeatable=False).ok

        def landed() -> bool | None:
            written, now = self.read()
            return None if now == version else written is not None and _body(written, "") == _body(roll, "")

        return self._api.surely(write, landed)

    @contextmanager
    def keep(self, renew: Callable[[], None], every_s: float) -> Iterator[None]:
        """A thread renews: a step may be busy for minutes with one slow controller."""
        over = threading.Event()

        def go_on() -> None:
            while not over.wait(every_s):
                with suppress(Exception):  # a thread that ends would let the Lease run out under a step at work
                    renew()

        threading.Thread(target=go_on, name="ingot-roll", daemon=True).start()
        try:
            yield
        finally:
            over.set()  # not joined: a request that hangs must not hold up a step that is done


def _body(roll: Roll, version: str) -> Json:
    meta: Json = {
        "name": NAME,
        "namespace": NAMESPACE,
        "labels": LABELS,
        "annotations": {RUN: json.dumps(dataclasses.asdict(roll.run), sort_keys=True)},
    }
    if version:
        meta["resourceVersion"] = version
    spec = {
        "holderIdentity": roll.run.id,
        "leaseDurationSeconds": round(LEASE_S),
        "acquireTime": _time(roll.since_s),
        "renewTime": _time(roll.renewed_s),
        "leaseTransitions": roll.generation,
    }
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta, "spec": spec}


def _roll(found: Json) -> Roll:
    """What the Lease says. One that a person wrote has no annotation: its holder is then known by name alone."""
    try:
        spec: dict[str, Any] = found["spec"]
        holder = str(spec.get("holderIdentity") or "nobody")
        told = json.loads((found["metadata"].get("annotations") or {}).get(RUN, "null"))
        run = Run(**told) if isinstance(told, dict) and told.get("id") == holder else Run(holder)
        since_s, renewed_s = _seconds(spec.get("acquireTime")), _seconds(spec.get("renewTime"))
        return Roll(run, int(spec.get("leaseTransitions") or 0), since_s, renewed_s)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise PortError(
            f"Lease {NAMESPACE}/{NAME}",
            f"one that does not fit: {type(error).__name__}: {error}",
            f"see that no run is at work, then `kubectl delete lease {NAME} -n {NAMESPACE}`",
        ) from error


def _age_s(found: Json, answer: Answer) -> float | None:
    """How long ago the API server took the last renewal, on its own clock throughout; None if it does not say.

    `renewTime` is what the runner's clock said: one that was set an hour ahead would call every live Lease ended.
    """
    renewals = [
        str(entry.get("time") or "")
        for entry in entries(found, "metadata", "managedFields")
        if "f:renewTime" in sub(entry, "fieldsV1", "f:spec")
    ]
    try:
        newest_s = max(datetime.fromisoformat(text).timestamp() for text in renewals)
        return parsedate_to_datetime(answer.header("Date")).timestamp() - newest_s
    except (ValueError, TypeError):  # no such entry, or no date
        return None


def _time(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _seconds(text: object) -> float:
    return datetime.fromisoformat(str(text)).timestamp() if text else 0.0
