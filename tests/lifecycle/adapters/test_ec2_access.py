"""What is missing on AWS is known before a roll begins; moto goes by IAM's policies here."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from lifecycle.adapters.ec2_access import AwsAccount
from lifecycle.adapters.ec2_api import Aws
from lifecycle.aws_permissions import RIGHTS, Extent, policy
from lifecycle.errors import NeedsAttention, PortError
from lifecycle.ports import Pin, Progress
from tests.lifecycle.adapters.cloud import (
    CLUSTER,
    REGION,
    STACK,
    ZONES,
    Cloud,
    FakeClock,
    account,
    controller,
    machines,
    pin,
    runner,
)

BUCKET = "example-ingot-aws"


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with account() as made:
        boto3.client("s3", region_name=REGION).create_bucket(
            Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION}
        )
        made.address("w1", ZONES[0])
        made.volume("w1", "data-1", ZONES[0])
        yield made


def storing() -> Pin:
    return pin(zones=ZONES[:1], fixed_address=True, volumes=("data-1",))


def running(cloud: Cloud, clock: FakeClock) -> None:
    """A host that runs, with its volume."""
    of = machines(cloud, clock)
    of.install("w1", storing())
    cloud.store.reports["w1"] = Progress.RUNNING
    with pytest.raises(PortError):
        of.progress("w1", storing())
    assert of.progress("w1", storing()) is Progress.RUNNING


def without(*actions: str) -> dict[str, Any]:
    """The policy of the table, but these."""
    document = policy(Extent(REGION, STACK, CLUSTER, BUCKET))
    for statement in document["Statement"]:
        statement["Action"] = [action for action in statement["Action"] if action not in actions]
        statement["Resource"] = "*"  # moto goes by actions alone
        statement.pop("Condition", None)
    document["Statement"] = [statement for statement in document["Statement"] if statement["Action"]]
    return document


def asked(session: Any, *pins: Pin) -> AwsAccount:
    return AwsAccount(Aws(session, attempts=1), STACK, lambda: pins or (storing(),), lambda: (BUCKET, REGION))


PROVABLE = sorted({right.action for right in RIGHTS} - {"ec2:CreateTags", "iam:PassRole", "s3:DeleteObjectVersion"})
"""moto does not ask for what a call implies, and nobody deletes a version to see whether he may."""


class TestForbidden:
    """Each permission that is missing, by name, and no other."""

    def test_nothing_with_the_policy_that_is_printed(self, cloud: Cloud) -> None:
        running(cloud, FakeClock(time.time()))
        with runner(without()) as session:
            assert asked(session).forbidden() == ()

    @pytest.mark.parametrize("action", PROVABLE)
    def test_one(self, cloud: Cloud, action: str) -> None:
        running(cloud, FakeClock(time.time()))
        with runner(without(action)) as session:
            missing = asked(session).forbidden()
        assert [one.permission for one in missing] == [right for right in RIGHTS if right.action == action]
        assert missing[0].who.endswith("user/runner")

    def test_is_what_the_answer_names(self, cloud: Cloud) -> None:
        text = "User: x is not authorized to perform: iam:PassRole on resource: arn:aws:iam::1:role/blue-worker because"
        cloud.fails("RunInstances", "UnauthorizedOperation", text)
        (one,) = asked(cloud.session, pin()).forbidden()
        assert str(one.permission) == "iam:PassRole on the roles of the cluster's machines"

    def test_is_not_what_is_only_wrong_with_the_question(self, cloud: Cloud) -> None:
        cloud.fails("RunInstances", "InvalidParameterValue")
        assert asked(cloud.session).forbidden() == ()

    def test_is_not_known_without_an_answer(self, cloud: Cloud) -> None:
        cloud.fails("RunInstances", "RequestLimitExceeded")
        with pytest.raises(PortError, match="RequestLimitExceeded"):
            asked(cloud.session).forbidden()

    def test_says_so_if_the_credentials_are_none(self, cloud: Cloud) -> None:
        cloud.fails("DescribeInstances", "AuthFailure")
        with pytest.raises(NeedsAttention, match=r"AuthFailure.*runbooks/aws.md#credentials"):
            asked(cloud.session).forbidden()

    def test_changes_nothing(self, cloud: Cloud) -> None:
        running(cloud, FakeClock(time.time()))
        before = (cloud.instances(), cloud.see.describe_volumes()["Volumes"])
        assert asked(cloud.session).forbidden() == ()
        assert (cloud.instances(), cloud.see.describe_volumes()["Volumes"]) == before
        s3 = boto3.client("s3", region_name=REGION)
        assert s3.list_object_versions(Bucket=BUCKET).get("Versions", []) == []
        assert s3.list_object_versions(Bucket=BUCKET).get("DeleteMarkers", []) == []

    def test_asks_nothing_for_a_fleet_of_metal(self, cloud: Cloud) -> None:
        account_of_metal = AwsAccount(Aws(cloud.session), STACK, tuple, lambda: None)
        assert account_of_metal.forbidden() == ()
        assert account_of_metal.machines() == {}
        assert cloud.calls == []

    def test_before_anything_is_registered(self) -> None:
        with account() as empty:
            empty.see.delete_launch_template(LaunchTemplateName="blue-workers")
            assert asked(empty.session).forbidden() == ()


class TestMachines:
    """Whatever says that it is this stack's."""

    def test_by_host(self, cloud: Cloud) -> None:
        clock = FakeClock(time.time())
        running(cloud, clock)
        (one,) = cloud.instances()
        found = asked(cloud.session).machines()
        assert found == {"w1": (f"instance {one['InstanceId']} (running, generation g1)",)}
        machines(cloud, clock).power_off("w1", controller())
        assert asked(cloud.session).machines() == {}


class TestTheTable:
    """Holds all that the adapters ask for."""

    def test_covers_every_call_of_a_hosts_life(self, cloud: Cloud) -> None:
        clock = FakeClock(time.time())
        running(cloud, clock)
        of = machines(cloud, clock)
        of.install("w2", pin("w2"))
        assert of.underway("w2", pin("w2"))
        assert of.progress("w2", pin("w2")) is Progress.NONE
        of.identity("w1", controller())
        one = cloud.instances()[0]["InstanceId"]
        doomed = [{"DeviceName": "/dev/sdf", "Ebs": {"DeleteOnTermination": True}}]
        cloud.see.modify_instance_attribute(InstanceId=one, BlockDeviceMappings=doomed)
        of.power_off("w1", controller())
        known = {right.action.removeprefix("ec2:") for right in RIGHTS if right.action.startswith("ec2:")}
        assert set(cloud.calls) == known - {"CreateTags"}
