"""Control planes that leave while a member of etcd is down: nobody else goes out, and it goes on once it is back."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from lab.fleet import Fleet
from lab.lab import Lab
from lab.layout import ETCD_HOSTS
from lifecycle.errors import EtcdNotSafe, PortError
from lifecycle.ports import Etcd, Member
from tests.lab.clients import etcd_of
from tests.lab.eventually import eventually
from tests.lab.leaving import Before, Cluster, serving, tap

pytestmark = pytest.mark.lab

LEAVE_S = 240
"""For a leave on a loaded machine: longer than any of its own limits."""

PLANES = ("cp1", "cp2", "cp3")


@pytest.fixture(scope="module")
def planes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A lab of its own: who leaves etcd does not come back."""
    with Lab.start(tmp_path_factory.mktemp("lab"), etcd_members=3, systems=1) as lab:
        Fleet(lab.kubeconfig).create_nodes(1, ETCD_HOSTS)
        cluster = serving(lab, PLANES, etcd=etcd_of(lab))
        yield cluster
        cluster.close()


def members(cluster: Cluster) -> dict[str, Member]:
    return {member.name: member for member in etcd_of(cluster.lab).members()}


def others_serve(cluster: Cluster) -> bool:
    """The two that are left: the one that was killed may have led."""
    try:
        found = members(cluster)
    except PortError:
        return False
    healthy = {name for name, member in found.items() if member.healthy}
    led = any(member.leader for member in found.values())
    return healthy == {"cp1", "cp2"} and led and cluster.ports().kubernetes.answers()


def whole(cluster: Cluster, *names: str) -> bool:
    found = members(cluster)
    return set(found) == set(names) and all(member.healthy for member in found.values())


class TestAMemberThatIsDown:
    """Is one less to spare: the others hold the majority, and none of them may leave."""

    def test_keeps_the_others_in(self, planes: Cluster) -> None:
        short = replace(planes, world=replace(planes.world, limits=replace(planes.world.limits, gate_s=3)))
        planes.lab.kill_etcd(3)
        eventually(lambda: others_serve(planes), "the two that are left to serve")
        with pytest.raises(EtcdNotSafe, match="1 healthy of 2 without it, 2 needed; unhealthy: cp3") as refused:
            short.leave("cp2")
        assert refused.value.untouched
        assert not planes.is_cordoned("cp2")
        assert planes.entry("cp2").slot_since_s is None
        assert set(members(planes)) == set(PLANES)
        planes.lab.restart("etcd-3")
        eventually(lambda: whole(planes, *PLANES), "all members healthy again")

    def test_that_dies_in_the_middle_of_a_leave_is_waited_for(self, planes: Cluster) -> None:
        etcd = etcd_of(planes.lab)
        etcd.move_leader(members(planes)["cp2"])
        eventually(lambda: members(planes)["cp2"].leader, "cp2 to lead")
        looks = 0

        class Counted(Before):
            """Counts the looks at etcd after the member died."""

            def __init__(self, inner: Etcd) -> None:
                super().__init__(inner, "", lambda: None)

            def members(self) -> tuple[Member, ...]:
                nonlocal looks
                looks += "etcd-3" not in planes.lab.running()
                return etcd.members()

        dies = tap("begin", lambda: planes.lab.kill_etcd(3), "cp2", "etcd-out")
        with ThreadPoolExecutor(1) as pool:
            leaving = pool.submit(planes.leave, "cp2", evidence=dies, etcd=Counted)
            # Beyond the looks at who leads: one at whether etcd can spare it, and another after that.
            eventually(lambda: looks > 4 or leaving.done(), "the leave to look at etcd again and again")
            assert not leaving.done()
            held = members(planes)
            assert set(held) == set(PLANES)
            assert held["cp1"].leader
            planes.lab.restart("etcd-3")
            assert leaving.result(LEAVE_S) == "cp2 left"
        planes.check_left("cp2")
        assert whole(planes, "cp1", "cp3")
