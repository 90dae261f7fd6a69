"""etcd and the API: members, the leader, and who still answers.

Assumptions. A control plane that joins comes as a learner and is promoted once it has caught up,
15 to 40 s here for a small database (kubeadm adds learners since 1.29). A stopped leader is replaced
at once by the first healthy voter: elections take about a second, which no step can see.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from rehearsal.rack.world import Event, Member

if TYPE_CHECKING:
    from rehearsal.rack.rack import Rack

CATCH_UP_S = (15.0, 40.0)


def healthy(rack: Rack, member: Member) -> bool:
    host = rack.world.hosts[member.node]
    return host.power == "on" and host.joined


def api_answers(rack: Rack) -> bool:
    """Some control plane runs, and etcd has its majority."""
    voters = [m for m in rack.world.members.values() if m.voter]
    return bool(voters) and margin(rack) >= 0


def margin(rack: Rack) -> int:
    """How many more voters could fail before the majority is gone; negative once it is."""
    voters = [m for m in rack.world.members.values() if m.voter]
    return sum(healthy(rack, m) for m in voters) - (len(voters) // 2 + 1) if voters else 0


def member_starts(rack: Rack, node: str) -> None:
    """kubeadm added the node's member; the very first one is a voter at once. A member that a
    machine of this name left behind is replaced: kubeadm would otherwise refuse the join."""
    members = rack.world.members
    for stale in [m.id for m in members.values() if m.node == node]:
        del members[stale]
    host = rack.world.hosts[node]
    member = Member(id=f"{node}-{host.boots}", node=node, voter=not members, leader=not members)
    members[member.id] = member
    if not member.voter:
        member.lag = 10_000
        rack.later(rack.draw(*CATCH_UP_S, node, host.boots, "catch-up"), "caught-up", member.id)


def _caught_up(rack: Rack, event: Event) -> None:
    member = rack.world.members.get(event.subject)
    if member is not None and rack.world.dark and not api_answers(rack):
        rack.later(CATCH_UP_S[0], "caught-up", event.subject)
    elif member is not None:
        member.voter, member.lag = True, 0
        rack.changed("etcd")


def elect(rack: Rack) -> None:
    """Make sure that a healthy voter leads, if there is one."""
    members = rack.world.members
    if any(m.leader and healthy(rack, m) for m in members.values()):
        return
    for m in members.values():
        m.leader = False
    for m in sorted(members.values(), key=lambda m: m.id):
        if m.voter and healthy(rack, m):
            m.leader = True
            return


HANDLERS: Mapping[str, Callable[[Rack, Event], None]] = {"caught-up": _caught_up}
