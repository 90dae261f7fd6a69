"""One table of what steps ask of AWS, and the policy made from it."""

from __future__ import annotations

import pytest

from lifecycle import ec2
from lifecycle.aws_permissions import RIGHTS, Extent, On, Right, policy

EXTENT = Extent("eu-central-1", "aws", "blue", "example-ingot-aws")


def statements(extent: Extent = EXTENT) -> dict[str, dict[str, object]]:
    return {one["Sid"]: one for one in policy(extent)["Statement"]}


def granted(extent: Extent = EXTENT) -> set[str]:
    return {action for one in policy(extent)["Statement"] for action in one["Action"]}


class TestPolicy:
    """Grants the table, and nothing beside it."""

    def test_names_each_action_and_no_pattern(self) -> None:
        assert granted() == {right.action for right in RIGHTS}
        assert not any("*" in action for action in granted())

    def test_switches_only_what_is_tagged_as_the_stacks(self) -> None:
        one = statements()["SwitchOurs"]
        assert one["Condition"] == {"StringEquals": {f"aws:ResourceTag/{ec2.STACK_TAG}": "aws"}}
        assert one["Action"] == sorted(right.action for right in RIGHTS if right.on is On.OURS)

    def test_launches_only_what_it_tags_so(self) -> None:
        one = statements()["LaunchAsOurs"]
        assert one["Condition"] == {"StringEquals": {f"aws:RequestTag/{ec2.STACK_TAG}": "aws"}}
        assert one["Resource"] == [f"arn:aws:ec2:eu-central-1:*:{kind}/*" for kind in ("instance", "volume")]
        assert not {kind for kind in ("instance", "volume") if kind in str(statements()["LaunchFrom"]["Resource"])}

    def test_tags_nothing_that_is_there(self) -> None:
        one = statements()["TagAtLaunch"]
        assert one["Condition"] == {"StringEquals": {"ec2:CreateAction": "RunInstances"}}
        assert one["Resource"] == statements()["LaunchAsOurs"]["Resource"], "what a launch makes, and no interface"

    def test_gives_only_the_clusters_roles_and_only_to_instances(self) -> None:
        one = statements()["GiveRole"]
        assert one["Resource"] == ["arn:aws:iam::*:role/blue-control-plane", "arn:aws:iam::*:role/blue-worker"]
        assert one["Condition"] == {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}

    def test_no_action_of_it_deletes_or_detaches_a_volume(self) -> None:
        of_volumes = {action for action in granted() if "Volume" in action and "Describe" not in action}
        assert of_volumes == {"ec2:AttachVolume"}

    def test_has_nothing_of_a_bucket_where_there_is_none(self) -> None:
        extent = Extent("eu-central-1", "aws", "blue")
        assert granted(extent) == {right.action for right in RIGHTS if not right.action.startswith("s3:")}

    @pytest.mark.parametrize(
        ("region", "partition"),
        [("eu-central-1", "aws"), ("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")],
    )
    def test_is_of_the_regions_partition(self, region: str, partition: str) -> None:
        resources = [r for one in policy(Extent(region, "aws", "blue", "b"))["Statement"] for r in one["Resource"]]
        assert {r.split(":")[1] for r in resources if r != "*"} == {partition}

    def test_names_a_right_with_what_it_is_on(self) -> None:
        right = Right("ec2:RunInstances", On.LAUNCHED, "")
        assert str(right) == "ec2:RunInstances on what an instance is launched with"
