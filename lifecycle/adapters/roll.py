"""The roll's Lease (coordination.k8s.io/v1), replaced by compare-and-swap, and the thread that keeps it.

`spec` says it as Kubernetes' own controllers do; `leaseTransitions` is the roll's generation. An annotation
holds what tells a run's process from any other.
"""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from lifecycle import permissions
from lifecycle.adapters.engine_process import EngineProcess
from lifecycle.adapters.kube_api import Json, KubeApi, path
from lifecycle.adapters.roster import LABELS, created
from lifecycle.adapters.view import NAMESPACE
from lifecycle.adapters.wire import Unsure
from lifecycle.errors import PortError
from lifecycle.ports import Roll, Run
from lifecycle.rolls import LEASE_S

NAME, RUN = permissions.ROLL, "ingot-run"
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
        found = self._api.get("roll", path(*LEASES, NAME))
        return (None, "") if found is None else (_roll(found), str(found["metadata"]["resourceVersion"]))

    def write(self, roll: Roll, version: str) -> bool:
        """A write whose answer was lost is looked up, not guessed."""
        body = _body(roll, version)
        try:
            if not version:
                return created(self._api, "roll, create", path(*LEASES), body).ok
            final = frozenset({404, 409})
            where = path(*LEASES, NAME)
            return self._api.ask("roll, replace", "PUT", where, body=body, final=final, repeatable=False).ok
        except Unsure:
            written, now = self.read()
            if now == version:
                raise  # it still stands: nothing was written, and the server said why
            return written is not None and _body(written, "") == _body(roll, "")

    @contextmanager
    def keep(self, renew: Callable[[], None], every_s: float) -> Iterator[None]:
        """A thread renews: a step may be busy for minutes with one slow controller."""
        over = threading.Event()

        def go_on() -> None:
            while not over.wait(every_s):
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


def _time(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _seconds(text: object) -> float:
    return datetime.fromisoformat(str(text)).timestamp() if text else 0.0
