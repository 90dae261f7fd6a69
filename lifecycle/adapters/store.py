"""What the watches brought, indexed as it arrives, and how far each kind can be trusted just now."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from lifecycle.adapters.kube_api import Refusal
from lifecycle.adapters.moves import Moves
from lifecycle.adapters.objects import BudgetSeen, NodeSeen, PodSeen, VolumeSeen
from lifecycle.adapters.reflector import Kind
from lifecycle.adapters.topics import Topics
from lifecycle.adapters.wire import ATTEMPTS, RETRY_LIMIT_S
from lifecycle.errors import LifecycleError, NeedsAttention, PortError
from lifecycle.ports import Attachment, Clock

STALE_S = 20.0
"""A kind that was not watched for longer is not read: an API server restarts within it, and TCP notices
within it that the far side vanished."""


@dataclass
class Watched:
    """How a kind stands. lost_s: since when its changes go unseen, None while they are seen. failures: before
    it was first listed. error: the last one."""

    objects: dict[str, Any] = field(default_factory=dict)
    listed: bool = False
    lost_s: float | None = None
    failures: int = 0
    error: LifecycleError | None = None

    @property
    def hopeless(self) -> bool:
        """Whether waiting for the first list is no use: only a person can help, or it failed often enough."""
        refused = isinstance(self.error, Refusal) and self.error.status in (401, 403)
        return refused or isinstance(self.error, NeedsAttention) or self.failures >= ATTEMPTS


class Index:
    """Keys by what they belong to: `of(group)` costs no scan."""

    def __init__(self) -> None:
        self._of: dict[Any, dict[str, None]] = {}

    def of(self, group: Any) -> tuple[str, ...]:
        return tuple(self._of.get(group, ()))

    def move(self, key: str, old: Iterable[Any], new: Iterable[Any]) -> None:
        """`key` belongs to the groups `new`, no more to those of `old` that are not among them."""
        kept = list(new)
        for group in old:
            if group not in kept:
                keys = self._of.get(group, {})
                keys.pop(key, None)
                if not keys:
                    self._of.pop(group, None)
        for group in kept:
            self._of.setdefault(group, {})[key] = None


class Store:
    """Fulfils lifecycle.adapters.reflector.Sink. Its indexes are read with `reading` held."""

    def __init__(self, names: Iterable[str], clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self._listed = threading.Condition(self._lock)
        self.topics = Topics(self._lock)
        self.moves = Moves(clock.now_s)
        self.kinds = {name: Watched() for name in names}
        self.pods_on = Index()
        self.pods_in = Index()
        self.pods_labelled = Index()
        self.budgets_in = Index()
        self.attachments_on = Index()
        self.volumes_claimed = Index()
        self.claimants: dict[str, None] = {}
        self._volume_of: dict[str, str] = {}
        self._apply: dict[str, Callable[[str, Any, Any], Iterable[str]]] = {
            "nodes": self._node,
            "pods": self._pod,
            "poddisruptionbudgets": self._budget,
            "volumeattachments": self._attachment,
            "persistentvolumes": self._volume,
            "daemonsets": lambda key, old, new: (),
            "roster": lambda key, old, new: ("roster",),
        }

    # ------------------------------------------------------------ reading

    @contextmanager
    def reading(self, *names: str) -> Iterator[tuple[dict[str, Any], ...]]:
        """The objects of these kinds by key, steady while the block runs.

        Waits for their first list for as long as one request would be tried. Raises PortError for a kind that
        cannot be trusted, NeedsAttention if only a person can help.
        """
        with self._lock:
            for name in names:
                self._trust(name)
            yield tuple(self.kinds[name].objects for name in names)

    def _trust(self, name: str) -> None:
        kind = self.kinds[name]
        if not kind.listed:
            self._listed.wait_for(lambda: kind.listed or kind.hopeless, RETRY_LIMIT_S)
        if not kind.listed:
            raise kind.error or PortError(
                f"Kubernetes API, list of {name}", f"none after {RETRY_LIMIT_S:g} s", "see the API server's log"
            )
        if isinstance(kind.error, NeedsAttention):
            raise kind.error
        if kind.lost_s is not None and self._clock.now_s() - kind.lost_s > STALE_S:
            last = f"; last: {kind.error.found}" if isinstance(kind.error, PortError) else ""
            raise PortError(
                f"Kubernetes API, watch of {name}",
                f"nothing for {self._clock.now_s() - kind.lost_s:.0f} s{last}",
                kind.error.remedy if isinstance(kind.error, PortError) else "see the API server's log",
            )

    # ------------------------------------------------------------ what the reflectors bring

    def replaced(self, kind: Kind, objects: Mapping[str, Any]) -> None:
        with self._lock:
            watched = self.kinds[kind.name]
            for key in [key for key in watched.objects if key not in objects]:
                self._change(kind.name, key, None)
            for key, found in objects.items():
                self._change(kind.name, key, found)
            watched.listed, watched.failures = True, 0
            self._listed.notify_all()

    def put(self, kind: Kind, key: str, found: Any) -> None:
        with self._lock:
            self._change(kind.name, key, found)

    def gone(self, kind: Kind, key: str) -> None:
        with self._lock:
            self._change(kind.name, key, None)

    def watching(self, kind: Kind) -> None:
        with self._lock:
            watched = self.kinds[kind.name]
            watched.lost_s, watched.error = None, None

    def failed(self, kind: Kind, error: LifecycleError) -> None:
        with self._lock:
            watched = self.kinds[kind.name]
            watched.error, watched.failures = error, watched.failures + 1
            if watched.lost_s is None:
                watched.lost_s = self._clock.now_s()
            self._listed.notify_all()

    def _change(self, name: str, key: str, new: Any) -> None:
        objects = self.kinds[name].objects
        old = objects.get(key)
        if new == old:
            return
        if new is None:
            del objects[key]
        else:
            objects[key] = new
        self.topics.publish(self._apply[name](key, old, new))

    # ------------------------------------------------------------ one function a kind: indexes, topics

    def _node(self, key: str, old: NodeSeen | None, new: NodeSeen | None) -> Iterable[str]:
        was, now = old.node if old else None, new.node if new else None
        if was == now:
            return
        self.moves.node_changed(was, now, lambda name: self._volume_of.get(name, ""))
        yield f"node/{key}"
        if bool(was and was.ready) != bool(now and now.ready):
            yield "roster"

    def _pod(self, key: str, old: PodSeen | None, new: PodSeen | None) -> Iterable[str]:
        was, now = old.pod if old else None, new.pod if new else None
        self.pods_on.move(key, _on(was), _on(now))
        self.pods_in.move(key, [was.namespace] if was else [], [now.namespace] if now else [])
        self.pods_labelled.move(key, _labels(old), _labels(new))
        if now and now.claims:
            found = ((v, c) for c in self._claims(now) for v in self.volumes_claimed.of(c))
            self.moves.pod_changed(was, now, found)
        if was == now:
            return
        waits = bool(now and now.claims and not now.ready)
        if waits:
            self.claimants[key] = None
        if waits or key in self.claimants:
            yield "claimants"
        if not waits:
            self.claimants.pop(key, None)
        yield from {f"pods/{node}" for node in (*_on(was), *_on(now))}

    def _claims(self, pod: Any) -> list[str]:
        return [f"{pod.namespace}/{claim}" for claim in pod.claims]

    def _budget(self, key: str, old: BudgetSeen | None, new: BudgetSeen | None) -> Iterable[str]:
        self.budgets_in.move(key, [old.budget.namespace] if old else [], [new.budget.namespace] if new else [])
        was = old.budget.disruptions_allowed if old else 0
        if new is None or (was > 0) != (new.budget.disruptions_allowed > 0):
            yield "budgets"
        if new is None or new.budget.disruptions_allowed <= was:
            return
        pods: dict[str, PodSeen] = self.kinds["pods"].objects
        near = (pods[pod] for pod in self.candidates(new))
        yield from {f"pods/{p.pod.node}" for p in near if p.pod.node and new.selects(dict(p.labels))}

    def candidates(self, seen: BudgetSeen) -> Iterable[str]:
        """The pods that the budget may select, by the rarest label that it asks for."""
        namespace = seen.budget.namespace
        asked = [t for t in seen.terms or () if t.operator == "In"]
        by_label = [{k for v in t.values for k in self.pods_labelled.of((namespace, t.key, v))} for t in asked]
        by_label.sort(key=len)
        return by_label[0] if by_label else self.pods_in.of(namespace)

    def _attachment(self, key: str, old: Attachment | None, new: Attachment | None) -> Iterable[str]:
        before, after = [old.node] if old else [], [new.node] if new else []
        self.attachments_on.move(key, before, after)
        self.moves.attachment_changed(old, new)
        return {f"node/{node}" for node in before + after}

    def _volume(self, key: str, old: VolumeSeen | None, new: VolumeSeen | None) -> Iterable[str]:
        before, after = [old.claim] if old and old.claim else [], [new.claim] if new and new.claim else []
        self.volumes_claimed.move(key, before, after)
        if old and old.in_use:
            self._volume_of.pop(old.in_use, None)
        if new and new.in_use:
            self._volume_of[new.in_use] = key
        return ()


def _on(pod: Any) -> tuple[str, ...]:
    return (pod.node,) if pod and pod.node else ()


def _labels(seen: PodSeen | None) -> list[tuple[str, str, str]]:
    return [(seen.pod.namespace, key, value) for key, value in seen.labels] if seen else []
