"""Hosts on EC2: one instance each, found by its tags, whatever became of whoever launched it."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest

from lifecycle import ec2
from lifecycle.adapters.ec2 import Ec2Machines
from lifecycle.adapters.ec2_launch import TOKENS_MAX
from lifecycle.errors import NeedsAttention, PortError
from lifecycle.ports import Controller, Pin, Power, Progress
from tests.lifecycle.adapters.cloud import (
    AMI,
    CLUSTER,
    OTHER_AMI,
    STACK,
    TYPES,
    ZONES,
    Cloud,
    FakeClock,
    controller,
    machines,
    pin,
)
from tests.lifecycle.world import Killed


def bound(*volumes: str) -> Pin:
    """A host with an address, and with the two volumes of `storing` unless others are named."""
    return pin(zones=ZONES[:1], fixed_address=True, volumes=volumes or ("data-1", "data-2"))


def storing(cloud: Cloud, host: str = "w1") -> tuple[str, dict[str, str]]:
    """What the program registers for a host with two volumes: (address, volumes by name)."""
    return cloud.address(host, ZONES[0]), {n: cloud.volume(host, n, ZONES[0]) for n in ("data-1", "data-2")}


def come_up(cloud: Cloud, of: Ec2Machines, at: Pin) -> str:
    """Install, and let it report that it runs; returns the instance."""
    of.install(at.node, at)
    cloud.store.reports[at.node] = Progress.RUNNING
    for _ in range(3):
        try:
            assert of.progress(at.node, at) is Progress.RUNNING
        except PortError:
            continue
        return of.identity(at.node, at.controller)["instance"]
    raise AssertionError("it does not come up")


class TestInstall:
    """Launches what is pinned, and says whose it is."""

    def test_an_instance_of_the_template_in_the_first_zone(self, cloud: Cloud, of: Ec2Machines) -> None:
        of.install("w1", pin())
        (one,) = cloud.instances()
        assert (one["ImageId"], one["InstanceType"], one["SubnetId"]) == (AMI, TYPES[0], cloud.subnets[ZONES[0]])
        assert [group["GroupId"] for group in one["SecurityGroups"]] == [cloud.group]
        tags = {tag["Key"]: tag["Value"] for tag in one["Tags"]}
        assert ec2.tags(STACK, CLUSTER, "w1", generation="g1").items() <= tags.items()
        assert cloud.store.files == {f"boot/w1/{ZONES[0]}": b"all of it"}

    def test_with_user_data_for_the_zone(self, cloud: Cloud, of: Ec2Machines) -> None:
        of.install("w1", pin())
        (one,) = cloud.instances()
        seen = cloud.see.describe_instance_attribute(InstanceId=one["InstanceId"], Attribute="userData")
        said = base64.b64decode(seen["UserData"]["Value"]).decode()
        assert said == f'{{"node": "w1", "zone": "{ZONES[0]}"}}'

    def test_on_the_address_that_is_the_hosts(self, cloud: Cloud, of: Ec2Machines) -> None:
        address, _ = storing(cloud)
        of.install("w1", bound())
        (one,) = cloud.instances()
        assert [each["NetworkInterfaceId"] for each in one["NetworkInterfaces"]] == [address]

    def test_in_a_network_that_somebody_else_keeps(self, cloud: Cloud, of: Ec2Machines) -> None:
        other = cloud.subnets[ZONES[1]]
        of.install("w1", pin(subnets=((ZONES[0], other),)))
        assert cloud.instances()[0]["SubnetId"] == other

    def test_twice_is_one_instance(self, cloud: Cloud, of: Ec2Machines) -> None:
        of.install("w1", pin())
        of.install("w1", pin())
        assert len(cloud.instances()) == 1

    def test_the_template_that_is_launched_is_the_one_that_was_checked(self, cloud: Cloud, of: Ec2Machines) -> None:
        of.install("w1", pin())
        asked = cloud.requests[cloud.calls.index("RunInstances")]
        assert asked["LaunchTemplate.Version"] == "1"

    def test_forgets_what_earlier_instances_reported(self, cloud: Cloud, of: Ec2Machines) -> None:
        cloud.store.reports["w1"] = Progress.RUNNING
        of.install("w1", pin())
        assert of.progress("w1", pin()) is Progress.NONE


class TestInstallRefuses:
    """What is not as it is pinned; nothing is launched."""

    @pytest.fixture(autouse=True)
    def nothing(self, cloud: Cloud) -> Iterator[None]:
        yield
        assert cloud.instances() == []

    def test_a_template_of_another_image(self, cloud: Cloud, of: Ec2Machines) -> None:
        cloud.template(OTHER_AMI)
        with pytest.raises(NeedsAttention, match=f"version 2: found image {OTHER_AMI}, and {AMI} is pinned for w1"):
            of.install("w1", pin())

    def test_no_template(self, cloud: Cloud, of: Ec2Machines) -> None:
        with pytest.raises(NeedsAttention, match=r"launch template blue-other .*runbooks/aws.md#template"):
            of.install("w1", pin(template="blue-other"))

    def test_a_host_without_its_address(self, of: Ec2Machines) -> None:
        with pytest.raises(NeedsAttention, match="network interface of w1 in eu-central-1, by its tags: found none"):
            of.install("w1", pin(zones=ZONES[:1], fixed_address=True))

    def test_an_address_in_another_zone(self, cloud: Cloud, of: Ec2Machines) -> None:
        cloud.address("w1", ZONES[1])
        with pytest.raises(NeedsAttention, match=f"zone {ZONES[1]}, none of {ZONES[0]}"):
            of.install("w1", pin(zones=ZONES[:1], fixed_address=True))

    def test_two_addresses(self, cloud: Cloud, of: Ec2Machines) -> None:
        both = sorted(cloud.address("w1", ZONES[0]) for _ in range(2))
        with pytest.raises(NeedsAttention, match=", ".join(both)):
            of.install("w1", pin(zones=ZONES[:1], fixed_address=True))

    def test_an_address_that_another_instance_has(self, cloud: Cloud, of: Ec2Machines) -> None:
        address, _ = storing(cloud)
        on_it: Any = [{"DeviceIndex": 0, "NetworkInterfaceId": address}]
        made = cloud.see.run_instances(ImageId=AMI, MinCount=1, MaxCount=1, NetworkInterfaces=on_it)
        other = made["Instances"][0]["InstanceId"]
        with pytest.raises(NeedsAttention, match=f"{address} of w1: found instance {other} on it, which is running"):
            of.install("w1", bound())
        cloud.see.terminate_instances(InstanceIds=[other])
        cloud.ending[other] = 1
        with pytest.raises(PortError, match=f"instance {other} on it, which is shutting-down"):
            of.install("w1", bound())

    def test_a_volume_that_is_not_there(self, cloud: Cloud, of: Ec2Machines) -> None:
        storing(cloud)
        with pytest.raises(NeedsAttention, match="none of the name data-3"):
            of.install("w1", bound("data-1", "data-3"))

    def test_a_volume_in_another_zone(self, cloud: Cloud, of: Ec2Machines) -> None:
        volume = cloud.volume("w1", "data-1", ZONES[1])
        with pytest.raises(NeedsAttention, match=rf"data-1 \({volume}\) in {ZONES[1]}.*does not change its zone"):
            of.install("w1", pin(zones=ZONES[:1], volumes=("data-1",)))

    def test_a_zone_without_a_subnet(self, of: Ec2Machines) -> None:
        with pytest.raises(NeedsAttention, match="subnet for machines in eu-central-1c, by its tags: found none"):
            of.install("w1", pin(zones=("eu-central-1c",)))

    def test_a_pin_of_another_stack(self, of: Ec2Machines) -> None:
        with pytest.raises(NeedsAttention, match="nothing of an instance of stack aws"):
            of.install("w1", pin(stack="other"))


class TestCapacity:
    """What EC2 does not have is looked for where else the stack file allows."""

    def test_is_looked_for_in_the_next_type_first(self, cloud: Cloud, of: Ec2Machines) -> None:
        cloud.fails("RunInstances", "InsufficientInstanceCapacity")
        of.install("w1", pin())
        (one,) = cloud.instances()
        assert (one["InstanceType"], one["SubnetId"]) == (TYPES[1], cloud.subnets[ZONES[0]])

    @pytest.mark.parametrize(
        "code", ["InsufficientHostCapacity", "InsufficientReservedInstanceCapacity", "Unsupported", "VcpuLimitExceeded"]
    )
    def test_is_looked_for_in_the_next_zone_then(self, cloud: Cloud, of: Ec2Machines, code: str) -> None:
        cloud.fails("RunInstances", code, times=2)
        of.install("w1", pin())
        (one,) = cloud.instances()
        assert (one["InstanceType"], one["SubnetId"]) == (TYPES[0], cloud.subnets[ZONES[1]])
        assert of.identity("w1", controller())["zone"] == ZONES[1]
        assert f"boot/w1/{ZONES[1]}" in cloud.store.files

    def test_that_is_nowhere_is_told_with_every_answer(self, cloud: Cloud, of: Ec2Machines) -> None:
        cloud.fails("RunInstances", "InsufficientInstanceCapacity", "We currently do not have sufficient", times=4)
        with pytest.raises(PortError) as refused:
            of.install("w1", pin())
        said = str(refused.value)
        for zone in ZONES:
            for kind in TYPES:
                assert f"{kind} in {zone}: InsufficientInstanceCapacity: We currently do not have" in said
        assert "EC2 of w1 in eu-central-1, RunInstances" in said
        assert "runbooks/aws.md#capacity" in said
        assert cloud.instances() == []

    def test_a_host_with_an_address_stays_in_its_zone(self, cloud: Cloud, of: Ec2Machines) -> None:
        storing(cloud)
        cloud.fails("RunInstances", "InsufficientInstanceCapacity", times=2)
        with pytest.raises(PortError) as refused:
            of.install("w1", bound())
        assert ZONES[1] not in str(refused.value)


class TestALaunchThatWasCutOff:
    """Is gone on with: exactly one instance remains."""

    @pytest.mark.parametrize("after", [False, True], ids=["before it was asked for", "before its answer was read"])
    def test_by_the_end_of_its_process(self, cloud: Cloud, ec2_clock: FakeClock, after: bool) -> None:
        cloud.dies("RunInstances", after=after)
        with pytest.raises(Killed):
            machines(cloud, ec2_clock).install("w1", pin())
        then = machines(cloud, ec2_clock)
        assert then.underway("w1", pin()) is after
        come_up(cloud, then, pin())
        assert len(cloud.instances()) == 1

    def test_while_ec2_does_not_list_it_yet(self, cloud: Cloud, ec2_clock: FakeClock) -> None:
        cloud.dies("RunInstances", after=True)
        with pytest.raises(Killed):
            machines(cloud, ec2_clock).install("w1", pin())
        (first,) = cloud.instances()
        cloud.unseen[first["InstanceId"]] = 3
        then = machines(cloud, ec2_clock)
        assert not then.underway("w1", pin())
        then.install("w1", pin())
        assert [one["InstanceId"] for one in cloud.instances()] == [first["InstanceId"]]

    def test_whose_instance_ended_since(self, cloud: Cloud, of: Ec2Machines) -> None:
        cloud.fails("RunInstances", "IdempotentInstanceTerminated")
        of.install("w1", pin())
        assert len(cloud.instances()) == 1

    def test_again_and_again_is_told(self, cloud: Cloud, of: Ec2Machines) -> None:
        cloud.fails("RunInstances", "IdempotentInstanceTerminated", times=TOKENS_MAX)
        with pytest.raises(NeedsAttention, match=r"30 instances that ended.*runbooks/aws.md#ended"):
            of.install("w1", pin())

    def test_by_a_lost_answer(self, cloud: Cloud, of: Ec2Machines) -> None:
        cloud.fails("RunInstances", "InternalError", status=500)
        with pytest.raises(PortError, match="InternalError"):
            of.install("w1", pin())
        of.install("w1", pin())
        assert len(cloud.instances()) == 1

    def test_a_repeated_request_never_brings_back_one_that_ended(self, cloud: Cloud, ec2_clock: FakeClock) -> None:
        of = machines(cloud, ec2_clock)
        first = come_up(cloud, of, pin())
        of.power_off("w1", controller())
        assert of.power("w1", controller()) is Power.OFF
        second = come_up(cloud, machines(cloud, ec2_clock), pin())
        assert second != first

    def test_nor_one_that_ec2_has_forgotten(self, cloud: Cloud, ec2_clock: FakeClock) -> None:
        of = machines(cloud, ec2_clock)
        first = come_up(cloud, of, pin())
        of.power_off("w1", controller())
        cloud.unseen[first] = 99
        ec2_clock.at_s += 7200
        second = come_up(cloud, machines(cloud, ec2_clock), pin())
        assert second != first


class TestUnderway:
    """Only what comes is gone on with."""

    def test_not_while_there_is_none(self, of: Ec2Machines) -> None:
        assert not of.underway("w1", pin())

    def test_not_one_of_another_generation(self, of: Ec2Machines) -> None:
        of.install("w1", pin())
        assert of.underway("w1", pin())
        assert not of.underway("w1", pin(generation="g2"))

    def test_not_one_of_another_image(self, of: Ec2Machines) -> None:
        of.install("w1", pin())
        assert not of.underway("w1", pin(ami=OTHER_AMI))

    def test_not_another_hosts(self, of: Ec2Machines) -> None:
        of.install("w1", pin())
        assert not of.underway("w2", pin("w2"))

    def test_not_one_that_had_its_time_and_did_not_come(
        self, cloud: Cloud, of: Ec2Machines, ec2_clock: FakeClock
    ) -> None:
        of.install("w1", pin())
        ec2_clock.at_s += 3600
        assert not of.underway("w1", pin())
        cloud.store.reports["w1"] = Progress.RUNNING
        assert of.underway("w1", pin())

    def test_not_one_that_stopped(self, cloud: Cloud, of: Ec2Machines) -> None:
        of.install("w1", pin())
        cloud.see.stop_instances(InstanceIds=[cloud.instances()[0]["InstanceId"]])
        assert not of.underway("w1", pin())


class TestPower:
    """Off is what has ended, and nothing else."""

    def test_is_not_guessed_from_a_state_that_nobody_knows(self, cloud: Cloud, of: Ec2Machines) -> None:
        of.install("w1", pin())
        cloud.said[cloud.instances()[0]["InstanceId"]] = "hibernating"
        with pytest.raises(PortError, match="state 'hibernating', not one of pending, running"):
            of.power("w1", controller())

    def test_of_a_host_without_an_instance(self, of: Ec2Machines) -> None:
        assert of.power("w1", controller()) is Power.OFF

    def test_goes_off_with_the_instance(self, cloud: Cloud, of: Ec2Machines) -> None:
        come_up(cloud, of, pin())
        assert of.power("w1", controller()) is Power.ON
        of.power_off("w1", controller())
        assert of.power("w1", controller()) is Power.OFF
        of.power_off("w1", controller())

    def test_stays_on_in_one_that_only_stopped(self, cloud: Cloud, of: Ec2Machines) -> None:
        one = come_up(cloud, of, pin())
        cloud.see.stop_instances(InstanceIds=[one])
        assert of.power("w1", controller()) is Power.ON
        of.power_off("w1", controller())
        assert of.power("w1", controller()) is Power.OFF

    def test_stays_on_until_the_end_has_come(self, cloud: Cloud, of: Ec2Machines) -> None:
        one = come_up(cloud, of, pin())
        of.power_off("w1", controller())
        cloud.ending[one] = 1
        assert of.power("w1", controller()) is Power.ON
        assert of.power("w1", controller()) is Power.OFF

    def test_of_one_that_ended_by_itself(self, cloud: Cloud, of: Ec2Machines) -> None:
        cloud.see.terminate_instances(InstanceIds=[come_up(cloud, of, pin())])
        assert of.power("w1", controller()) is Power.OFF

    def test_off_ends_all_that_stand_for_the_host(self, cloud: Cloud, of: Ec2Machines) -> None:
        first = come_up(cloud, of, pin())
        copy = cloud.see.run_instances(ImageId=AMI, MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
        cloud.tag(copy, **ec2.tags(STACK, CLUSTER, "w1", generation="g1"))
        with pytest.raises(NeedsAttention, match=rf"(?s){first}.*{copy}|{copy}.*{first}"):
            of.identity("w1", controller())
        assert not of.underway("w1", pin())
        of.power_off("w1", controller())
        assert cloud.instances() == []

    def test_off_leaves_other_hosts_clusters_and_stacks_alone(self, cloud: Cloud, of: Ec2Machines) -> None:
        of.install("w1", pin())
        others = []
        for tags in (
            ec2.tags(STACK, CLUSTER, "w2"),
            ec2.tags(STACK, "green", "w1"),
            ec2.tags("other", CLUSTER, "w1"),
        ):
            made = cloud.see.run_instances(ImageId=AMI, MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
            cloud.tag(made, **tags)
            others.append(made)
        of.power_off("w1", controller())
        states = cloud.see.describe_instance_status(InstanceIds=others)["InstanceStatuses"]
        assert {one["InstanceState"]["Name"] for one in states} == {"running"}

    def test_a_terminated_one_that_holds_a_volume_is_no_proof(self, cloud: Cloud, of: Ec2Machines) -> None:
        _, volumes = storing(cloud)
        one = come_up(cloud, of, bound())
        of.power_off("w1", controller())
        held = {"State": "detaching", "InstanceId": one, "VolumeId": volumes["data-1"], "Device": "/dev/sdf"}
        cloud.held[volumes["data-1"]] = held
        with pytest.raises(PortError, match=rf"volume data-1 \({volumes['data-1']}\) detaching at {one}"):
            of.power("w1", controller())


class TestProgress:
    """As far as the instance reports, once its volumes are there."""

    def test_is_none_before_there_is_anything(self, of: Ec2Machines) -> None:
        assert of.progress("w1", pin()) is Progress.NONE

    def test_is_what_it_reports(self, cloud: Cloud, of: Ec2Machines) -> None:
        of.install("w1", pin())
        assert of.progress("w1", pin()) is Progress.NONE
        cloud.store.reports["w1"] = Progress.RUNNING
        assert of.progress("w1", pin()) is Progress.RUNNING

    def test_names_why_an_instance_ended_by_itself(self, cloud: Cloud, of: Ec2Machines) -> None:
        of.install("w1", pin())
        one = cloud.instances()[0]["InstanceId"]
        cloud.see.terminate_instances(InstanceIds=[one])
        with pytest.raises(NeedsAttention) as ended:
            of.progress("w1", pin())
        said = str(ended.value)
        assert f"instance {one} (terminated, generation g1), which says Client.UserInitiatedShutdown" in said
        assert "EC2 of w1 in eu-central-1" in said
        assert "runbooks/aws.md#ended" in said

    def test_names_an_instance_that_stopped(self, cloud: Cloud, of: Ec2Machines) -> None:
        of.install("w1", pin())
        cloud.see.stop_instances(InstanceIds=[cloud.instances()[0]["InstanceId"]])
        with pytest.raises(NeedsAttention, match="stopped, generation g1"):
            of.progress("w1", pin())

    def test_is_not_that_of_the_instance_before(self, cloud: Cloud, of: Ec2Machines) -> None:
        first = come_up(cloud, of, pin())
        cloud.see.terminate_instances(InstanceIds=[first])
        of.install("w1", pin())
        (second,) = cloud.instances()
        cloud.unseen[second["InstanceId"]] = 1
        assert of.progress("w1", pin()) is Progress.NONE

    def test_names_the_status_check_that_fails(self, cloud: Cloud, of: Ec2Machines) -> None:
        of.install("w1", pin())
        cloud.impaired = True
        with pytest.raises(PortError, match="instance status impaired"):
            of.progress("w1", pin())


class TestIdentity:
    """What the host is known by."""

    def test_is_its_instance_and_zone(self, cloud: Cloud, of: Ec2Machines) -> None:
        of.install("w1", pin())
        assert of.identity("w1", controller()) == {
            "instance": cloud.instances()[0]["InstanceId"],
            "zone": ZONES[0],
        }

    def test_is_nothing_without_one(self, of: Ec2Machines) -> None:
        assert of.identity("w1", controller()) == {}

    def test_there_is_no_boot_override(self, cloud: Cloud, of: Ec2Machines) -> None:
        of.clear_boot_override("w1", controller())
        assert cloud.calls == []

    @pytest.mark.parametrize("url", ["ec2://eu-central-1/blue", "ec2://eu-central-1/blue/w2"])
    def test_an_address_that_is_not_the_hosts_is_refused(self, of: Ec2Machines, url: str) -> None:
        with pytest.raises(NeedsAttention, match="controller of w1"):
            of.power("w1", Controller(url))
