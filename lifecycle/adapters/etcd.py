"""etcd through the JSON gateway that every member serves beside gRPC."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from lifecycle.adapters.wire import HttpJson
from lifecycle.address import plain
from lifecycle.errors import LifecycleError, PortError
from lifecycle.ports import Member

REMEDY = "see `etcdctl endpoint status --cluster -w table` on a control plane"
NOT_FOUND = frozenset({404})
ATTEMPTS = 2
"""For one member: when it does not answer, the next one is asked instead."""


@dataclass(frozen=True)
class _Status:
    """What a member says of itself. applied: the last entry it has applied."""

    leader: int
    term: int
    applied: int
    troubled: bool


class GatewayEtcd:
    """Fulfils `lifecycle.ports.Etcd`.

    endpoints: finds client URLs to ask first, any member's; asked at each call, may raise PortError.
    nodes: finds the nodes by their addresses, for a member that never started: it has no name yet, and
    whose it is only its peer URL tells. Asked only if there is one; may raise LifecycleError.
    """

    def __init__(
        self, http: HttpJson, endpoints: Callable[[], Sequence[str]], nodes: Callable[[], Mapping[str, str]] = dict
    ) -> None:
        self._http, self._endpoints, self._nodes = http, endpoints, nodes

    def members(self) -> tuple[Member, ...]:
        """Raises PortError if no member answers, or no majority does (the list is a linearizable read)."""
        listed = self._listed()
        statuses = {_number(m, "ID"): self._status(m) for m in listed}
        answered = {i: s for i, s in statuses.items() if s is not None}
        newest = max((s.term for s in answered.values()), default=0)
        leader = next((s.leader for s in answered.values() if s.term == newest and s.leader), 0)
        front = (
            answered[leader].applied if leader in answered else max((s.applied for s in answered.values()), default=0)
        )
        for entry in listed:  # one that was asked before the leader gets a second look, against the same entry
            i = _number(entry, "ID")
            if i in answered and answered[i].applied < front:
                statuses[i] = self._status(entry) or answered[i]
        names = self._names(listed)
        return tuple(
            _member(entry, names[i], statuses[i], leader, front) for entry in listed for i in (_number(entry, "ID"),)
        )

    def _names(self, listed: Sequence[dict[str, Any]]) -> dict[int, str]:
        """Of each member: its own, else that of the node at its peer URL, else its id and that URL, for texts."""
        names = {_number(entry, "ID"): str(entry.get("name") or "") for entry in listed}
        if all(names.values()):
            return names
        try:
            nodes = self._nodes()
        except LifecycleError:  # etcd is asked without the API server too
            nodes = {}
        for entry in listed:
            i, peers = _number(entry, "ID"), [str(u) for u in entry.get("peerURLs") or []]
            at = next((node for url in peers if (node := nodes.get(_address(url)))), "")
            names[i] = names[i] or at or f"{i:x} ({', '.join(peers) or 'no peer URL'}, never started)"
        return names

    def move_leader(self, to: Member) -> None:
        """Asks the leader; idempotent. Raises PortError if there is none, or it refuses."""
        listed = self._listed()
        statuses = {_number(m, "ID"): self._status(m) for m in listed}
        leaders = {i for i, s in statuses.items() if s is not None and s.leader == i}
        if int(to.id, 16) in leaders:
            return
        for entry in listed:
            if _number(entry, "ID") in leaders:
                self._post(
                    _urls(entry),
                    "/v3/maintenance/transfer-leadership",
                    {"targetID": str(int(to.id, 16))},
                    f"etcd leader to {to.name}",
                )
                return
        raise PortError(f"etcd, moving its leader to {to.name}", "no member that leads", REMEDY)

    def remove(self, member: Member) -> None:
        """Idempotent: a member already gone is no error."""
        self._post(
            self._endpoints(),
            "/v3/cluster/member/remove",
            {"ID": str(int(member.id, 16))},
            f"etcd member {member.name}, remove",
        )

    def _listed(self) -> list[dict[str, Any]]:
        found = self._post(self._endpoints(), "/v3/cluster/member/list", {"linearizable": True}, "etcd member list")
        members = found.get("members")
        if not isinstance(members, list) or not members:
            raise PortError("etcd member list", "an answer without members", REMEDY)
        return [m for m in members if isinstance(m, dict)]

    def _status(self, entry: dict[str, Any]) -> _Status | None:
        """None for a member that does not answer: that is a state, not an error."""
        urls = _urls(entry)
        if not urls:
            return None  # added, never started
        try:
            found = self._post(urls, "/v3/maintenance/status", {}, f"etcd member {entry.get('name')}", attempts=1)
        except LifecycleError:
            return None
        return _Status(
            _number(found, "leader"),
            _number(found, "raftTerm"),
            _number(found, "raftAppliedIndex"),
            bool(found.get("errors")),
        )

    def _post(
        self, urls: Sequence[str], path: str, body: object, what: str, attempts: int = ATTEMPTS
    ) -> dict[str, Any]:
        """The answer of the first of `urls` that gives one. {} for what is not found (already removed)."""
        failed = PortError(
            what, "no client URL to ask", "set INGOT_ETCD_ENDPOINTS, or check that the control planes are Nodes"
        )
        for url in urls:
            try:
                answer = self._http.ask(
                    what, "POST", url.rstrip("/") + path, body, remedy=REMEDY, final=NOT_FOUND, attempts=attempts
                )
            except PortError as error:
                failed = error
                continue
            if answer.status == 404:
                if "member not found" in answer.text:
                    return {}
                failed = PortError(
                    f"{what} at {url}", "HTTP 404: no JSON gateway there", "start etcd with --enable-grpc-gateway=true"
                )
                continue
            return answer.document(f"{what} at {url}", REMEDY)
        raise failed


def _member(entry: dict[str, Any], name: str, status: _Status | None, leader: int, front: int) -> Member:
    i = _number(entry, "ID")
    return Member(
        id=f"{i:x}",
        name=name,
        voter=not entry.get("isLearner", False),
        healthy=status is not None and status.leader != 0 and not status.troubled,
        leader=i == leader,
        lag=max(0, front - status.applied) if status else front,
    )


def _urls(entry: dict[str, Any]) -> list[str]:
    return [str(u) for u in entry.get("clientURLs") or []]


def _address(url: str) -> str:
    """The host of a URL in one form, "" if there is none."""
    try:
        return plain(urlsplit(url).hostname or "")
    except ValueError:
        return ""


def _number(found: dict[str, Any], key: str) -> int:
    """A protobuf 64-bit number, which JSON carries as text; absent means 0."""
    value = found.get(key, "0")
    try:
        return int(value)
    except (TypeError, ValueError):
        raise PortError("etcd", f"{key} {value!r}, not a number", REMEDY) from None
