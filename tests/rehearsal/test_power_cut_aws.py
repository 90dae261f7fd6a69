"""The same of a fleet on AWS: every instance stops at once, and EC2 starts each again with all that it had."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rehearsal.fleet import NEW, OLD, Fleet
from tests.rehearsal.on_aws import CONTROL_PLANES, HOSTS, STORING, Data, Seen, calls, copied, seen, small
from tests.rehearsal.test_power_cut import Cut

pytestmark = pytest.mark.faults  # each a fleet on AWS; tests/rehearsal/test_power_cut.py has metal's in every run


@pytest.fixture(scope="module")
def cut(aws_up: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Cut:
    folder = tmp_path_factory.mktemp("cut")
    return Cut.of(copied(aws_up, folder / "back"), copied(aws_up, folder / "dark"))


def what_each_has(account: Seen, *states: str) -> dict[str, tuple[str, str, str]]:
    """Instance, address and root volume of each host."""
    return {
        host: (one["InstanceId"], one["PrivateIpAddress"], one["BlockDeviceMappings"][0]["Ebs"]["VolumeId"])
        for one in account.instances(*states)
        for host in account.by_host([one], "InstanceId")
    }


class TestAFleetThatServes:
    """It comes back by itself; `cut_power` sees to it that no step asks for anything and nothing is launched."""

    def test_went_dark(self, cut: Cut) -> None:
        with seen(cut.dark) as account:
            assert sorted(what_each_has(account, "stopped")) == sorted(HOSTS)
            assert account.instances("running", "pending") == []
        assert cut.dark.world().dark == set(HOSTS)

    def test_serves_again(self, cut: Cut) -> None:
        cut.after.assert_whole(OLD, HOSTS)
        assert cut.after.world.dark == set()

    def test_has_what_it_had(self, cut: Cut, aws_up: Fleet) -> None:
        with seen(aws_up) as account:
            before, volumes = what_each_has(account, "running"), account.volumes()
        with seen(cut.fleet) as account:
            assert what_each_has(account, "running") == before
            assert account.volumes() == volumes
        assert calls(cut.fleet)[: len(calls(aws_up))] == calls(aws_up)
        assert {c.service for c in calls(cut.fleet)[len(calls(aws_up)) :]} == {"rack"}

    def test_is_the_same(self, cut: Cut) -> None:
        was, now = cut.before, cut.after.world
        assert {n: k.machine_id for n, k in now.nodes.items()} == {n: k.machine_id for n, k in was.nodes.items()}
        assert {n: h.markers for n, h in now.hosts.items()} == {n: h.markers for n, h in was.hosts.items()}
        assert {n: h.boots for n, h in now.hosts.items()} == {n: h.boots + 1 for n, h in was.hosts.items()}
        assert sorted(m.node for m in now.members.values() if m.voter) == CONTROL_PLANES
        assert {m.id for m in now.members.values()} == {m.id for m in was.members.values()}
        assert now.claims == was.claims

    def test_an_up_finds_nothing_to_do(self, cut: Cut) -> None:
        again = cut.fleet.up(OLD, change=small)
        assert (again.error, again.verbs) == ("", [])


def web_rolled(data: Data) -> None:
    """The image of one pool, of one host."""
    small(data)
    data["pools"]["web"]["image"] = {**data["image"], "version": NEW}


class TestARollOfOneNode:
    """Cut while its new instance boots."""

    def test_ends_well_by_the_next_up(self, aws_up: Fleet, tmp_path: Path) -> None:
        fleet = copied(aws_up, tmp_path)
        first = fleet.up(OLD, "power-cut:3:35", change=web_rolled)
        assert "web1" in first.error
        assert "(stopped, generation" in first.error
        assert first.broken == []
        resumed = fleet.up(OLD, change=web_rolled)
        assert (resumed.error, resumed.broken) == ("", [])
        assert resumed.image_of("web1") == NEW
        with seen(fleet) as account:
            assert sorted(what_each_has(account, "running")) == sorted(HOSTS)
            assert len(account.instances()) == len(HOSTS)


PROVISION_W1 = 5 * 3 + 3
"""After the three control planes: leave, release, provision."""


class TestARoll:
    """Cut in its midst: whatever becomes of the run, the next ends well, with every volume."""

    @pytest.mark.parametrize(
        ("step", "after_s"),
        [
            (1, 10),
            (PROVISION_W1 - 1, 20),  # while its instance is shut down
            (PROVISION_W1, 5),  # while the next one is pending
            (PROVISION_W1, 40),  # while it boots
            (PROVISION_W1 + 2, 15),  # while it joins
        ],
    )
    def test_ends_well_by_the_next_up(self, aws_up: Fleet, tmp_path: Path, step: int, after_s: int) -> None:
        fleet = copied(aws_up, tmp_path)
        first = fleet.up(NEW, f"power-cut:{step}:{after_s}", change=small)
        assert [e for e in first.journal if e["kind"] == "cut"], "the power never went"
        assert first.broken == []
        resumed = fleet.up(NEW, change=small)
        assert resumed.error == ""
        resumed.assert_whole(NEW, HOSTS)
        with seen(aws_up) as account:
            volumes = account.volumes()
        with seen(fleet) as account:
            assert account.volumes() == volumes
            assert sorted(what_each_has(account, "running")) == sorted(HOSTS)
            assert len(account.instances()) == len(HOSTS)
        assert all(set(resumed.world.hosts[h].markers.values()) == {f"{h} data"} for h in STORING)
