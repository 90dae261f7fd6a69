"""rehearsal/providers/aws: what the engine is told of a type, and which calls become of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pulumi.runtime.proto import provider_pb2

from lifecycle.ports import Pin
from rehearsal.aws.account import Account, open_account
from rehearsal.providers.aws import INVOKES, KINDS, Aws
from rehearsal.providers.base import Refused, read, write
from rehearsal.rack.rack import Rack
from rehearsal.rack.world import World

REGION = "eu-central-1"
NO_PINS: dict[str, Pin] = {}


CONTEXT: Any = None
"""Of a call that nobody cancels: none of these looks at it."""


@pytest.fixture
def account() -> Iterator[Account]:
    with open_account(None, seed=1) as opened:
        yield opened


@pytest.fixture
def provider(account: Account) -> Iterator[Aws]:
    rack = Rack(World(seed=1), NO_PINS)
    made = Aws(rack, account)
    made.Configure(provider_pb2.ConfigureRequest(args=write({"region": REGION})), CONTEXT)
    yield made
    rack.clock.close()


def urn(kind: str, name: str = "one") -> str:
    return f"urn:pulumi:aws::ingot::{kind}::{name}"


def checked(provider: Aws, kind: str, inputs: dict[str, Any]) -> list[str]:
    """Why inputs are refused before anything is done."""
    answer = provider.Check(provider_pb2.CheckRequest(urn=urn(kind), news=write(inputs)), CONTEXT)
    return [failure.reason for failure in answer.failures]


def differs(provider: Aws, kind: str, old: dict[str, Any], new: dict[str, Any]) -> Any:
    asked = provider_pb2.DiffRequest(urn=urn(kind), old_inputs=write(old), news=write(new))
    return provider.Diff(asked, CONTEXT)


VPC, TEMPLATE = "aws:ec2/vpc:Vpc", "aws:ec2/launchTemplate:LaunchTemplate"


class TestWhatItDoesNotKnow:
    """Is refused by name, at preview already."""

    def test_a_type(self, provider: Aws) -> None:
        (reason,) = checked(provider, "aws:rds/instance:Instance", {})
        assert "found type aws:rds/instance:Instance" in reason

    def test_an_input_of_a_type_that_it_knows(self, provider: Aws) -> None:
        (reason,) = checked(provider, VPC, {"cidrBlock": "10.0.0.0/16", "ipv6CidrBlock": "::/56"})
        assert "found input ipv6CidrBlock of aws:ec2/vpc:Vpc" in reason

    def test_a_function(self, provider: Aws) -> None:
        with pytest.raises(Refused, match="function aws:ec2/getAmi:getAmi"):
            provider.invoke("aws:ec2/getAmi:getAmi", {})

    def test_and_what_it_knows_is_not(self, provider: Aws) -> None:
        assert checked(provider, VPC, {"cidrBlock": "10.0.0.0/16", "tags": {"team": "platform"}}) == []
        assert all(kind.startswith("aws:") for kind in (*KINDS, *INVOKES))


class TestADiff:
    """Says whether the resource is changed in place or replaced, as the package does."""

    def test_of_what_changes_in_place(self, provider: Aws) -> None:
        answer = differs(provider, TEMPLATE, {"name": "t", "imageId": "ami-1"}, {"name": "t", "imageId": "ami-2"})
        assert (list(answer.replaces), list(answer.diffs)) == ([], ["imageId"])

    def test_of_what_replaces(self, provider: Aws) -> None:
        answer = differs(provider, VPC, {"cidrBlock": "10.0.0.0/16"}, {"cidrBlock": "10.1.0.0/16"})
        assert list(answer.replaces) == ["cidrBlock"]
        assert not answer.deleteBeforeReplace

    def test_of_what_has_a_name_that_is_unique(self, provider: Aws) -> None:
        kind, old = "aws:ec2/placementGroup:PlacementGroup", {"name": "g", "strategy": "spread"}
        answer = differs(provider, kind, old, {**old, "strategy": "cluster"})
        assert (list(answer.replaces), answer.deleteBeforeReplace) == (["strategy"], True)


class TestAResource:
    """Is made, changed, looked for and taken away by calls."""

    def test_that_is_refused_says_so_in_awss_words(self, provider: Aws) -> None:
        with pytest.raises(Refused, match=r"aws:ec2/subnet:Subnet one, create: .*InvalidVpcID\.NotFound"):
            provider.create("aws:ec2/subnet:Subnet", "one", {"vpcId": "vpc-1", "cidrBlock": "10.0.0.0/24"}, CONTEXT)

    def test_that_changes_gets_new_outputs(self, provider: Aws, account: Account) -> None:
        inputs = {"name": "workers", "imageId": "ami-1", "tags": {"a": "1", "b": "2"}}
        made, old = provider.create(TEMPLATE, "one", inputs, CONTEXT)
        assert (old["latestVersion"], old["id"]) == (1, made)
        news = {"name": "workers", "imageId": "ami-2", "updateDefaultVersion": True, "tags": {"b": "3"}}
        new = provider.update(TEMPLATE, "one", old, news)
        assert (new["latestVersion"], new["defaultVersion"], new["imageId"]) == (2, 2, "ami-2")
        ec2 = account.client("ec2", REGION)
        (version,) = ec2.describe_launch_template_versions(LaunchTemplateId=made, Versions=["$Latest"])[
            "LaunchTemplateVersions"
        ]
        assert version["LaunchTemplateData"]["ImageId"] == "ami-2"
        tags = ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [made]}])["Tags"]
        assert {t["Key"]: t["Value"] for t in tags} == {"b": "3"}

    def test_that_is_gone_is_deleted_again_without_a_word(self, provider: Aws, account: Account) -> None:
        _, old = provider.create(VPC, "one", {"cidrBlock": "10.0.0.0/16"}, CONTEXT)
        provider.delete(VPC, "one", old, CONTEXT)
        provider.delete(VPC, "one", old, CONTEXT)
        assert [c.error for c in account.calls if c.operation == "DeleteVpc"] == ["", "InvalidVpcID.NotFound"]

    def test_that_somebody_took_away_is_seen_by_a_refresh(self, provider: Aws, account: Account) -> None:
        made, old = provider.create(VPC, "one", {"cidrBlock": "10.0.0.0/16"}, CONTEXT)
        asked = provider_pb2.ReadRequest(id=made, urn=urn(VPC), properties=write(old))
        assert provider.Read(asked, CONTEXT).id == made
        account.client("ec2", REGION).delete_vpc(VpcId=made)
        assert provider.Read(asked, CONTEXT).id == ""

    def test_in_a_preview_is_not_made(self, provider: Aws, account: Account) -> None:
        asked = provider_pb2.CreateRequest(urn=urn(VPC), properties=write({"cidrBlock": "10.0.0.0/16"}), preview=True)
        assert read(provider.Create(asked, CONTEXT).properties) == {"cidrBlock": "10.0.0.0/16"}
        assert account.calls == []


class TestAddresses:
    """AWS never gives one twice."""

    def test_of_one_subnet_differ(self, provider: Aws) -> None:
        _, vpc = provider.create(VPC, "one", {"cidrBlock": "10.0.0.0/16"}, CONTEXT)
        where = {"vpcId": vpc["id"], "cidrBlock": "10.0.0.0/28", "availabilityZone": f"{REGION}a"}
        _, subnet = provider.create("aws:ec2/subnet:Subnet", "one", where, CONTEXT)
        kind, addresses = "aws:ec2/networkInterface:NetworkInterface", set()
        for host in range(11):
            inputs = {"subnetId": subnet["id"], "tags": {"ingot:host": f"w{host}"}}
            addresses.add(provider.create(kind, f"w{host}.address", inputs, CONTEXT)[1]["privateIp"])
        assert addresses == {f"10.0.0.{n}" for n in range(4, 15)}
