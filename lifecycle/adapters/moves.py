"""Volumes on their way from node to node: the moment of each stage, as the watches show it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from lifecycle.ports import Attachment, Move, Node, Pod

KEPT = 20_000
"""Moves remembered, the last of each volume: two for each volume of a large fleet."""


class Moves:
    """Fed with every change, old and new. volumes_of: the PersistentVolumes of a pod, with their name in a
    Node's lists. Nothing here waits, and nothing is asked."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._of: dict[str, Move] = {}

    def left(self, node: str) -> tuple[Move, ...]:
        """The last move of each volume, of those that left `node`."""
        return tuple(sorted((m for m in self._of.values() if m.from_node == node), key=lambda m: m.volume))

    def pod_changed(self, old: Pod | None, new: Pod | None, volumes: Iterable[tuple[str, str]]) -> None:
        """volumes: (PersistentVolume, claim) of the pod."""
        if new is not None and new.node and new.terminating and not (old and old.terminating):
            for volume, claim in volumes:
                self._keep(Move(volume, claim, new.node, pod=new.key, evicted_s=self._now_s()))
        elif new is not None and new.ready and new.node and not new.terminating:
            for volume, _ in volumes:
                move = self._of.get(volume)
                if move and move.ready_s is None and new.node != move.from_node:
                    self._keep(replace(move, to_node=new.node, ready_s=self._now_s()))

    def node_changed(self, old: Node | None, new: Node | None, names: Callable[[str], str]) -> None:
        """names: a volume as the Node's lists name it -> its PersistentVolume, "" if it is not known."""
        if old is None or new is None:
            return
        for name in old.volumes_in_use - new.volumes_in_use:
            move = self._of.get(names(name))
            if move and move.from_node == new.name and move.unmounted_s is None:
                self._keep(replace(move, unmounted_s=self._now_s()))

    def attachment_changed(self, old: Attachment | None, new: Attachment | None) -> None:
        seen = new or old
        move = self._of.get(seen.volume) if seen else None
        if move is None:
            return
        if new is None and old is not None and old.node == move.from_node and move.detached_s is None:
            self._keep(replace(move, detached_s=self._now_s()))
        elif new is not None and new.attached and new.node != move.from_node and move.attached_s is None:
            self._keep(replace(move, to_node=new.node, attached_s=self._now_s()))

    def _keep(self, move: Move) -> None:
        self._of.pop(move.volume, None)
        self._of[move.volume] = move
        if len(self._of) > KEPT:
            del self._of[next(iter(self._of))]
