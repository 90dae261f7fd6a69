"""rehearsal/aws/: what is done to the account stays done, comes out the same for a seed, and is judged as AWS would."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, ParamValidationError

from rehearsal.aws.account import Account, AccountInUse, open_account
from rehearsal.aws.calls import CallsUnreadable
from rehearsal.aws.placement import Refusal

REGION, ZONE, AMI = "eu-central-1", "eu-central-1a", "ami-0aaaaaaaaaaaaaaaa"
DISK = {"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 50, "DeleteOnTermination": True, "Encrypted": True}}


@dataclass(frozen=True)
class Host:
    """What a host has on EC2 before and after its instances."""

    account: Account
    subnet: str
    interface: str
    volume: str

    @property
    def ec2(self) -> Any:
        return self.account.client("ec2", REGION)

    def launch(self, token: str = "") -> dict[str, Any]:
        asked: dict[str, Any] = {"ClientToken": token} if token else {}
        network = [{"DeviceIndex": 0, "NetworkInterfaceId": self.interface}]
        template = {"LaunchTemplateName": "workers", "Version": "$Latest"}
        answer = self.ec2.run_instances(
            MinCount=1, MaxCount=1, LaunchTemplate=template, NetworkInterfaces=network, **asked
        )
        found: dict[str, Any] = answer["Instances"][0]
        return found

    def end(self, instance: str, holds: str = "") -> None:
        self.ec2.terminate_instances(InstanceIds=[instance])
        self.account.happens(REGION, "ends", instance=instance, because="", holds=holds)

    def state(self, instance: str) -> str:
        found = self.ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
        return str(found["State"]["Name"])

    def attached(self) -> list[str]:
        volumes = self.ec2.describe_volumes(VolumeIds=[self.volume])["Volumes"]
        return [a["InstanceId"] for a in volumes[0]["Attachments"]]


def host_of(account: Account) -> Host:
    """A network, a template, an address and a volume, as a fleet registers them."""
    account.publish_image(REGION, AMI, "x86_64", "OS 1")
    ec2 = account.client("ec2", REGION)
    vpc = ec2.create_vpc(CidrBlock="10.20.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.20.0.0/20", AvailabilityZone=ZONE)["Subnet"]["SubnetId"]
    interface = ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"]
    volume = ec2.create_volume(AvailabilityZone=ZONE, Size=200, VolumeType="gp3", Encrypted=True)["VolumeId"]
    ec2.create_placement_group(GroupName="apart", Strategy="spread")
    data = {
        "ImageId": AMI,
        "InstanceType": "m7i.xlarge",
        "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
        "BlockDeviceMappings": [DISK],
        "Placement": {"GroupName": "apart"},
    }
    ec2.create_launch_template(LaunchTemplateName="workers", LaunchTemplateData=data)
    return Host(account, subnet, interface, volume)


@pytest.fixture
def host() -> Iterator[Host]:
    with open_account(None, seed=1) as account:
        yield host_of(account)


def refused(code: str) -> Any:
    return pytest.raises(ClientError, match=rf"\({code}\)")


def ids(account: Account) -> dict[str, list[str]]:
    """What is in the account, by what AWS calls it."""
    ec2 = account.client("ec2", REGION)
    reservations = ec2.describe_instances()["Reservations"]
    interfaces = ec2.describe_network_interfaces()["NetworkInterfaces"]
    return {
        "instances": [f"{i['InstanceId']} {i['State']['Name']}" for r in reservations for i in r["Instances"]],
        "interfaces": [f"{i['NetworkInterfaceId']} {i['PrivateIpAddress']} {i['Status']}" for i in interfaces],
        "volumes": sorted(v["VolumeId"] for v in ec2.describe_volumes()["Volumes"]),
        "vpcs": sorted(v["VpcId"] for v in ec2.describe_vpcs()["Vpcs"]),
        "groups": [g["GroupId"] for g in ec2.describe_placement_groups()["PlacementGroups"]],
    }


class TestWhatWasDoneStaysDone:
    """Opened again, the account is as it was left, by whoever left it and however."""

    def test_with_every_id_and_state(self, tmp_path: Path) -> None:
        path = tmp_path / "aws.jsonl"
        with open_account(path, seed=1) as account:
            host = host_of(account)
            first = host.launch()["InstanceId"]
            account.happens(REGION, "runs", instance=first)
            host.end(first)
            host.launch()
            before = ids(account)
        assert [i.split()[1] for i in before["instances"]] == ["terminated", "pending"]
        with open_account(path, seed=1) as account:
            assert ids(account) == before

    def test_and_what_is_made_next_is_what_would_have_been_made(self, tmp_path: Path) -> None:
        made = []
        for lasting in (False, True):
            with open_account(tmp_path / "aws.jsonl", seed=1, lasting=lasting) as account:
                host = host_of(account)
                if lasting:
                    continue
                made.append(host.launch()["InstanceId"])
        with open_account(tmp_path / "aws.jsonl", seed=1) as account:
            made.append(Host(account, "", ids(account)["interfaces"][0].split()[0], "").launch()["InstanceId"])
        assert made[0] == made[1]

    def test_but_for_a_last_line_that_a_kill_cut_off(self, tmp_path: Path) -> None:
        path = tmp_path / "aws.jsonl"
        with open_account(path, seed=1) as account:
            host_of(account)
            before = ids(account)
        path.write_text(path.read_text() + '{"at_s": 1.0, "serv')
        for _ in range(2):
            with open_account(path, seed=1) as account:
                assert ids(account) == before
                account.client("ec2", REGION).create_volume(AvailabilityZone=ZONE, Size=1)
                before = ids(account)

    def test_and_is_nobodys_while_another_rack_has_one(self) -> None:
        first, second = open_account(None, seed=1), open_account(None, seed=1)
        with first, pytest.raises(AccountInUse, match="Remedy"), second:
            pass
        with open_account(None, seed=1) as account:
            assert ids(account)["instances"] == []

    @pytest.mark.parametrize("text", ["{}\n", "no json\n"])
    def test_unless_it_cannot_be_read(self, tmp_path: Path, text: str) -> None:
        path = tmp_path / "aws.jsonl"
        path.write_text(text)
        with pytest.raises(CallsUnreadable, match="ingot rack reset"), open_account(path, seed=1):
            pass
        assert path.read_text() == text

    def test_or_came_out_otherwise(self, tmp_path: Path) -> None:
        path = tmp_path / "aws.jsonl"
        with open_account(path, seed=1) as account:
            host_of(account)
        with pytest.raises(CallsUnreadable, match="answered with"), open_account(path, seed=2):
            pass


class TestASeedGivesOneAccount:
    """Whichever of several independent calls came first: the engine asks for them all at once."""

    def test_in_any_order(self) -> None:
        found = []
        for zones in (("a", "b", "c"), ("c", "a", "b")):
            with open_account(None, seed=1) as account:
                ec2 = account.client("ec2", REGION)
                made = {
                    z: ec2.create_volume(AvailabilityZone=f"{REGION}{z}", Size=1, Encrypted=True)["VolumeId"]
                    for z in zones
                }
                found.append(dict(sorted(made.items())))
        assert found[0] == found[1]
        assert len(set(found[0].values())) == 3

    def test_and_another_seed_another(self) -> None:
        found = []
        for seed in (1, 2):
            with open_account(None, seed=seed) as account:
                found.append(ids(account)["vpcs"] + [host_of(account).volume])
        assert not set(found[0]) & set(found[1])


class TestCalls:
    """What was asked, in order, with how it ended; reads are not told."""

    def test_are_told_in_order(self, host: Host) -> None:
        with refused("InvalidVolume.NotFound"):
            host.ec2.delete_volume(VolumeId="vol-0123456789abcdef0")
        host.ec2.describe_volumes()
        host.ec2.delete_volume(VolumeId=host.volume)
        last = host.account.calls[-2:]
        assert [(c.operation, c.error) for c in last] == [
            ("DeleteVolume", "InvalidVolume.NotFound"),
            ("DeleteVolume", ""),
        ]

    def test_of_a_shape_that_aws_has_not_are_no_calls(self, host: Host) -> None:
        before = len(host.account.calls)
        with pytest.raises(ParamValidationError):
            host.ec2.create_volume(Size="much")
        assert len(host.account.calls) == before

    def test_that_a_fault_strikes_are_refused_and_never_done_later(self, tmp_path: Path) -> None:
        path = tmp_path / "aws.jsonl"
        with open_account(path, seed=1) as account:
            host = host_of(account)
            account.strikes = lambda call: Refusal("RequestLimitExceeded", "Request limit exceeded.")
            with refused("RequestLimitExceeded"):
                host.launch()
            account.strikes = lambda call: None
            host.launch()
            before = ids(account)
        with open_account(path, seed=1) as account:
            assert ids(account) == before


class TestAnInstanceTakesItsTime:
    """pending, running, shutting-down, terminated; volumes and addresses are taken until the last."""

    def test_to_come(self, host: Host) -> None:
        one = host.launch()
        assert (one["State"]["Name"], host.state(one["InstanceId"])) == ("pending", "pending")
        with refused("IncorrectState"):
            host.ec2.attach_volume(VolumeId=host.volume, InstanceId=one["InstanceId"], Device="/dev/sdf")
        host.account.happens(REGION, "runs", instance=one["InstanceId"])
        assert host.state(one["InstanceId"]) == "running"
        host.ec2.attach_volume(VolumeId=host.volume, InstanceId=one["InstanceId"], Device="/dev/sdf")

    def test_and_to_go(self, host: Host) -> None:
        one = host.launch()["InstanceId"]
        host.account.happens(REGION, "runs", instance=one)
        host.ec2.attach_volume(VolumeId=host.volume, InstanceId=one, Device="/dev/sdf")
        host.ec2.terminate_instances(InstanceIds=[one])
        assert (host.state(one), host.attached()) == ("shutting-down", [one])
        with refused("InvalidNetworkInterface.InUse"):
            host.launch()
        host.account.happens(REGION, "ends", instance=one, because="", holds="")
        assert (host.state(one), host.attached()) == ("terminated", [])
        assert host.launch()["InstanceId"] != one

    def test_and_to_come_back_after_a_power_cut(self, host: Host) -> None:
        """With all that it had; but not one that is being ended."""
        one = host.launch()["InstanceId"]
        host.account.happens(REGION, "runs", instance=one)
        host.ec2.attach_volume(VolumeId=host.volume, InstanceId=one, Device="/dev/sdf")
        seen = []
        for what in ("stops", "starts", "runs"):
            host.account.happens(REGION, what, instance=one)
            seen.append(host.state(one))
            assert host.attached() == [one]
        assert seen == ["stopped", "pending", "running"]
        host.ec2.terminate_instances(InstanceIds=[one])
        host.account.happens(REGION, "stops", instance=one)
        assert host.state(one) == "shutting-down"

    def test_and_some_keep_their_volumes_for_longer(self, host: Host) -> None:
        one = host.launch()["InstanceId"]
        host.account.happens(REGION, "runs", instance=one)
        host.ec2.attach_volume(VolumeId=host.volume, InstanceId=one, Device="/dev/sdf")
        host.end(one, holds="volumes")
        assert (host.state(one), host.attached()) == ("terminated", [one])
        host.account.happens(REGION, "lets-go", instance=one)
        assert host.attached() == []

    def test_and_is_what_its_template_says(self, host: Host) -> None:
        one = host.launch()["InstanceId"]
        found = host.ec2.describe_instances(InstanceIds=[one])["Reservations"][0]["Instances"][0]
        assert found["MetadataOptions"]["HttpTokens"] == "required"
        assert [m["DeviceName"] for m in found["BlockDeviceMappings"]] == ["/dev/xvda"]

    def test_and_comes_once_for_one_token(self, host: Host) -> None:
        first = host.launch("token-1")["InstanceId"]
        assert host.launch("token-1")["InstanceId"] == first
        host.end(first)
        assert host.launch("token-1")["InstanceId"] == first
        assert host.launch("token-2")["InstanceId"] != first


class TestWhatIsInUseStays:
    """With AWS's own codes."""

    def test_an_address_of_an_instance(self, host: Host) -> None:
        one = host.launch()["InstanceId"]
        with refused("InvalidParameterValue"):
            host.ec2.delete_network_interface(NetworkInterfaceId=host.interface)
        host.end(one)
        host.ec2.delete_network_interface(NetworkInterfaceId=host.interface)

    def test_a_subnet_with_an_address_in_it(self, host: Host) -> None:
        with refused("DependencyViolation"):
            host.ec2.delete_subnet(SubnetId=host.subnet)

    def test_a_security_group_that_another_lets_in(self, host: Host) -> None:
        made = [host.ec2.create_security_group(GroupName=n, Description=n)["GroupId"] for n in ("one", "two")]
        pair = {"IpProtocol": "tcp", "FromPort": 1, "ToPort": 1, "UserIdGroupPairs": [{"GroupId": made[0]}]}
        host.ec2.authorize_security_group_ingress(GroupId=made[1], IpPermissions=[pair])
        with refused("DependencyViolation"):
            host.ec2.delete_security_group(GroupId=made[0])
        host.ec2.delete_security_group(GroupId=made[1])
        host.ec2.delete_security_group(GroupId=made[0])

    def test_a_volume_of_an_instance(self, host: Host) -> None:
        one = host.launch()["InstanceId"]
        host.account.happens(REGION, "runs", instance=one)
        host.ec2.attach_volume(VolumeId=host.volume, InstanceId=one, Device="/dev/sdf")
        with refused("VolumeInUse"):
            host.ec2.attach_volume(VolumeId=host.volume, InstanceId=one, Device="/dev/sdg")
        with refused("VolumeInUse"):
            host.ec2.delete_volume(VolumeId=host.volume)

    def test_a_volume_stays_in_its_zone(self, host: Host) -> None:
        one = host.launch()["InstanceId"]
        host.account.happens(REGION, "runs", instance=one)
        other = host.ec2.create_volume(AvailabilityZone=f"{REGION}b", Size=1)["VolumeId"]
        with refused("InvalidVolume.ZoneMismatch"):
            host.ec2.attach_volume(VolumeId=other, InstanceId=one, Device="/dev/sdf")

    def test_an_address_of_a_gateway(self, host: Host) -> None:
        address = host.ec2.allocate_address(Domain="vpc")["AllocationId"]
        gateway = host.ec2.create_nat_gateway(SubnetId=host.subnet, AllocationId=address)["NatGateway"]["NatGatewayId"]
        with refused("InvalidIPAddress.InUse"):
            host.ec2.release_address(AllocationId=address)
        host.ec2.delete_nat_gateway(NatGatewayId=gateway)
        host.ec2.release_address(AllocationId=address)

    def test_a_placement_group_of_an_instance(self, host: Host) -> None:
        one = host.launch()["InstanceId"]
        with refused("InvalidPlacementGroup.InUse"):
            host.ec2.delete_placement_group(GroupName="apart")
        host.end(one)
        host.ec2.delete_placement_group(GroupName="apart")
        with refused("InvalidPlacementGroup.Unknown"):
            host.launch()


class TestALaunchTagsOnlyWhatItMakes:
    """An interface that is there has its own tags."""

    def test_or_it_is_refused(self, host: Host) -> None:
        kinds, tag = ("volume", "network-interface"), {"Key": "a", "Value": "b"}
        tags = [{"ResourceType": kind, "Tags": [tag]} for kind in kinds]
        data = {"ImageId": AMI, "InstanceType": "m7i.xlarge", "TagSpecifications": tags}
        host.ec2.create_launch_template_version(LaunchTemplateName="workers", LaunchTemplateData=data)
        with refused("InvalidParameterValue"):
            host.launch()
        data["TagSpecifications"] = tags[:1]
        host.ec2.create_launch_template_version(LaunchTemplateName="workers", LaunchTemplateData=data)
        host.launch()


class TestOnlyWhatIsPublishedIsLaunched:
    """An AMI is of one region."""

    def test_elsewhere_it_is_not_found(self, host: Host) -> None:
        data = {"ImageId": "ami-0bbbbbbbbbbbbbbbb", "InstanceType": "m7i.xlarge"}
        host.ec2.create_launch_template_version(LaunchTemplateName="workers", LaunchTemplateData=data)
        with refused("InvalidAMIID.NotFound"):
            host.launch()
        assert ids(host.account)["instances"] == []


class TestPlacementGroups:
    """The three calls of EC2's API that moto leaves out."""

    def test_are_found_by_name_and_tag(self, host: Host) -> None:
        tags = [{"ResourceType": "placement-group", "Tags": [{"Key": "ingot:stack", "Value": "aws"}]}]
        asked = {"GroupName": "in-seven", "Strategy": "partition", "PartitionCount": 7}
        host.ec2.create_placement_group(**asked, TagSpecifications=tags)
        filters = [{"Name": "tag:ingot:stack", "Values": ["aws"]}]
        found = host.ec2.describe_placement_groups(Filters=filters)["PlacementGroups"]
        assert [(g["GroupName"], g["PartitionCount"]) for g in found] == [("in-seven", 7)]
        with refused("InvalidPlacementGroup.Unknown"):
            host.ec2.describe_placement_groups(GroupNames=["none"])

    def test_are_refused_as_aws_refuses_them(self, host: Host) -> None:
        with refused("InvalidPlacementGroup.Duplicate"):
            host.ec2.create_placement_group(GroupName="apart", Strategy="spread")
        with refused("InvalidParameterCombination"):
            host.ec2.create_placement_group(GroupName="more", Strategy="spread", PartitionCount=7)
        with refused("InvalidPlacementGroup.Unknown"):
            host.ec2.delete_placement_group(GroupName="none")
