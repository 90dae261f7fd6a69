"""A fleet on AWS that goes: nothing is left but what the stack file keeps, and nothing goes that nobody gave up."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from rehearsal.aws.calls import Call
from tests.rehearsal.fleet import OLD, Fleet, Outcome
from tests.rehearsal.on_aws import CONTROL_PLANES, HOSTS, KEPT, STORING, calls, copied, retired, seen, small


@dataclass(frozen=True)
class Gone:
    """A fleet after its destroy, what that did, and what was asked of AWS for it."""

    before: Fleet
    fleet: Fleet
    outcome: Outcome
    asked: list[Call]


@pytest.fixture(scope="module")
def gone(aws_up: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Gone:
    """Retired by an up, then destroyed."""
    fleet = copied(aws_up, tmp_path_factory.mktemp("gone"))
    said = fleet.up(OLD, change=retired)
    assert (said.error, said.verbs) == ("", ["retire"])
    count = len(calls(fleet))
    return Gone(aws_up, fleet, fleet.destroy(OLD, change=retired), calls(fleet)[count:])


def at(outcome: Outcome, step: str) -> int:
    return outcome.steps.index(step)


class TestRetiredAndDestroyed:
    """Looked for with boto3, in every service that a fleet uses."""

    def test_leaves_nothing_but_what_is_kept(self, gone: Gone) -> None:
        assert (gone.outcome.error, gone.outcome.broken) == ("", [])
        with seen(gone.before) as account:
            kept = account.volumes()[KEPT]
            assert len(account.everything()) > 50
        with seen(gone.fleet) as account:
            assert account.everything() == [f"volume {kept}"]
            assert account.volumes() == {KEPT: kept}
            assert account.ec2("describe_volumes", "Volumes")[0]["Attachments"] == []
        assert gone.fleet.resources() == []

    def test_ends_every_instance_once_its_node_left(self, gone: Gone) -> None:
        verbs = gone.outcome.verbs
        for host in HOSTS:
            assert verbs.index(f"leave {host}") < verbs.index(f"release {host}")
        ended = [c.parameters["InstanceIds"] for c in gone.asked if c.operation == "TerminateInstances" and not c.error]
        assert len(ended) == len(HOSTS)

    def test_takes_volumes_addresses_and_targets_only_after_the_leave(self, gone: Gone) -> None:
        """As the engine did it: a membership's delete is the leave, a machine's the end of the instance."""
        left = {host: at(gone.outcome, f"delete {host}.membership") for host in HOSTS}
        for host in CONTROL_PLANES:
            assert left[host] < at(gone.outcome, f"delete {host}.target")
        for host in CONTROL_PLANES + STORING:
            assert left[host] < at(gone.outcome, f"delete {host}.machine") < at(gone.outcome, f"delete {host}.address")
        for host in STORING:
            assert at(gone.outcome, f"delete {host}.machine") < at(gone.outcome, f"delete {host}.data-1")

    def test_and_never_tears_a_volume_from_an_instance(self, gone: Gone) -> None:
        order = [(c.operation, c.at_s) for c in gone.asked if not c.error]
        assert "DetachVolume" not in dict(order)
        ends = max(s for operation, s in order if operation == "ends")
        assert min(s for operation, s in order if operation in ("DeleteVolume", "DeregisterTargets")) >= ends

    def test_is_refused_nothing_on_the_way(self, gone: Gone) -> None:
        """Whatever depends on something goes before it."""
        asked = [c for c in gone.asked if c.error and not c.parameters.get("Key", "").endswith(".preflight")]
        assert asked == []


class TestNotRetired:
    """Nobody said that anything may be lost."""

    @pytest.mark.faults
    def test_is_refused_and_loses_nothing(self, aws_up: Fleet, tmp_path: Path) -> None:
        fleet = copied(aws_up, tmp_path)
        with seen(fleet) as account:
            before, volumes = account.everything(), account.volumes()
        refused = fleet.destroy(OLD, change=small)
        assert refused.broken == []
        assert "`retire: true`" in refused.error
        assert "Nothing was changed" in refused.error
        assert refused.nodes_asked("release") == []
        with seen(fleet) as account:
            assert (account.everything(), account.volumes()) == (before, volumes)
        again = fleet.up(OLD, change=small)
        assert again.error == ""
        again.assert_whole(OLD, HOSTS)

    def test_names_what_would_be_lost(self, aws_up: Fleet, tmp_path: Path) -> None:
        refused = copied(aws_up, tmp_path).destroy(OLD, change=small)
        assert "a destroy would lose default/data-kafka-0, default/data-postgres-0 with it" in refused.error
