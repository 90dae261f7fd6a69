"""etcd's share of a node's way out and in: margin, leadership, membership, catching up."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from lifecycle.errors import EtcdNotHealthy, EtcdNotSafe, NoSuccessor, NotInEtcd, WaitedTooLong
from lifecycle.ports import Member, Ports
from lifecycle.waiting import RETRY_S, Blocked, wait_until

LAG_MAX = 100
"""Entries a voter may be behind and count as caught up: a second or two of a busy cluster's writes, and
far below the thousands at which a member would need a snapshot."""


def majority_of(voters: int) -> int:
    """How many voters make a majority."""
    return voters // 2 + 1


def unsafe_without(members: Sequence[Member], node: str, *, pair_refused: bool) -> str:
    """Why etcd cannot spare `node`'s member now, "" if it can or has none of it.

    Counts on the membership as it will be: voters that are left, minus the unhealthy ones, must be a
    majority of it. pair_refused: also refuse to take one of two members that both serve, because the one
    that is left would be the only copy. A member that is sick itself is no copy to lose.
    """
    mine = [m for m in members if m.name == node]
    others = [m for m in members if m.name != node]
    if not mine:
        return ""
    learners = sorted(m.name for m in others if not m.voter)
    if learners:
        return f"learner {', '.join(learners)} is not a voter yet"
    sick = sorted(m.name for m in others if not m.healthy)
    if len(others) - len(sick) < majority_of(len(others)):
        why = f"unhealthy: {', '.join(sick)}" if sick else "it is the only member"
        return (
            f"{len(others) - len(sick)} healthy of {len(others)} without it, {majority_of(len(others))} needed; {why}"
        )
    if pair_refused and mine[0].voter and mine[0].healthy and len(others) == 1:
        return f"two members; {others[0].name} would be the only copy"
    return ""


def caught_up(member: Member) -> bool:
    """Whether the member could lead at once."""
    return member.voter and member.healthy and member.lag <= LAG_MAX


def ids_of(ports: Ports, node: str) -> frozenset[str]:
    """The ids of `node`'s members: a machine that joins under its name later has another."""
    return frozenset(m.id for m in ports.etcd.members() if m.name == node)


def move_out(
    ports: Ports,
    node: str,
    ids: Collection[str],
    *,
    rolled: Collection[str],
    pair_refused: bool,
    forced: bool,
    before_removal: Callable[[], None],
) -> None:
    """Take `node`'s members `ids` out: leadership to a caught-up voter (of `rolled` first), remove, wait until
    the rest is whole. Does nothing if there is none of them, or (forced: the whole cluster retires) it is the
    last one. before_removal: raises if the member is not to be removed after all; asked before each try. Raises
    EtcdNotSafe, NoSuccessor, EtcdNotHealthy.
    """
    members = ports.etcd.members()
    if not any(m.id in ids for m in members) or (forced and len(members) == 1):
        return
    _hand_over(ports, node, rolled)
    if not forced:
        _wait_safe(ports, node, pair_refused=pair_refused)
    _remove(ports, node, ids, pair_refused=pair_refused, forced=forced, before_removal=before_removal)
    _wait(ports, lambda: _whole(ports, ids), node, "etcd is whole without it", EtcdNotHealthy)


def _remove(
    ports: Ports,
    node: str,
    ids: Collection[str],
    *,
    pair_refused: bool,
    forced: bool,
    before_removal: Callable[[], None],
) -> None:
    """Return once etcd took the removal. It refuses one (503, unhealthy cluster) for some seconds after any member
    started, until it has been connected to them for five (HealthInterval). Raises EtcdNotHealthy, EtcdNotSafe."""

    def removed() -> bool | Blocked:
        members = ports.etcd.members()
        mine = [m for m in members if m.id in ids]
        if not mine:
            return True  # the try before this one did it, though its answer was lost
        why = "" if forced else unsafe_without(members, node, pair_refused=pair_refused)
        if why:
            return Blocked(why, error=EtcdNotSafe)
        before_removal()
        for member in mine:
            ports.etcd.remove(member)
        return True

    _wait(ports, removed, node, "etcd lets its member go", EtcdNotHealthy)


def _hand_over(ports: Ports, node: str, rolled: Collection[str]) -> None:
    """Return once another member leads. Raises NoSuccessor."""

    def led_by_another() -> bool | Blocked:
        members = ports.etcd.members()
        if not any(m.leader and m.name == node for m in members):
            return True
        able = [m for m in members if m.name != node and caught_up(m)]
        if not able:
            return Blocked("no other member is a healthy, caught-up voter", look_s=RETRY_S)
        ports.etcd.move_leader(min(able, key=lambda m: (m.name not in rolled, m.lag, m.name)))
        if any(m.leader and m.name == node for m in ports.etcd.members()):
            return Blocked("it still leads", look_s=RETRY_S)
        return True

    _wait(ports, led_by_another, node, "another etcd member leads", NoSuccessor)


def _wait_safe(ports: Ports, node: str, *, pair_refused: bool) -> None:
    def safe() -> bool | Blocked:
        why = unsafe_without(ports.etcd.members(), node, pair_refused=pair_refused)
        return Blocked(why) if why else True

    _wait(ports, safe, node, "etcd can spare it", EtcdNotSafe)


def _whole(ports: Ports, gone: Collection[str]) -> bool | Blocked:
    members = ports.etcd.members()
    wrong = sorted(m.name for m in members if not m.healthy or m.id in gone)
    if wrong:
        return Blocked("not healthy or not gone: " + ", ".join(wrong), tuple(wrong))
    return True if any(m.leader for m in members) else Blocked("no leader")


def wait_joined(ports: Ports, node: str, *, full: bool) -> None:
    """Return once `node`'s member is a healthy voter; full: caught up as well. Raises NotInEtcd."""

    def joined() -> bool | Blocked:
        mine = [m for m in ports.etcd.members() if m.name == node]
        if not mine:
            return Blocked("no such member")
        m = mine[0]
        if not (m.voter and m.healthy):
            return Blocked(f"{'voter' if m.voter else 'learner'}, {'healthy' if m.healthy else 'unhealthy'}")
        return Blocked(f"{m.lag} entries behind, {LAG_MAX} allowed") if full and not caught_up(m) else True

    _wait(ports, joined, node, "its etcd member is caught up", NotInEtcd)


def _wait(ports: Ports, check: Callable[[], bool | Blocked], node: str, what: str, error: type[WaitedTooLong]) -> None:
    limit_s = ports.pins.limits().etcd_s
    wait_until(check, what=what, node=node, about="etcd", ports=ports, limit_s=limit_s, error=error)
