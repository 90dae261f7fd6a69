"""A data volume outlives every instance of its host, whatever happens between two of them."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle import ec2
from lifecycle.adapters.ec2 import Ec2Machines
from lifecycle.errors import LifecycleError, NeedsAttention, PortError
from lifecycle.ports import Pin, Power, Progress
from tests.lifecycle.adapters.cloud import (
    AMI,
    OTHER_AMI,
    ZONES,
    Cloud,
    FakeClock,
    account,
    controller,
    machines,
    pin,
)
from tests.lifecycle.world import Killed

NAMES = ("data-1", "data-2")


def storing(generation: str = "g1", ami: str = AMI) -> Pin:
    """A host with an address and two volumes."""
    return pin(generation=generation, ami=ami, zones=ZONES[:1], fixed_address=True, volumes=NAMES)


@pytest.fixture
def volumes(cloud: Cloud) -> dict[str, str]:
    """What the program registers for it."""
    cloud.address("w1", ZONES[0])
    return {name: cloud.volume("w1", name, ZONES[0]) for name in NAMES}


def until_up(cloud: Cloud, of: Ec2Machines, at: Pin) -> str:
    """What a step does from the install on, with more patience than any fault; returns the instance."""
    for _ in range(20):
        try:
            of.install("w1", at)
            cloud.store.reports["w1"] = Progress.RUNNING
            if of.progress("w1", at) is Progress.RUNNING:
                return of.identity("w1", at.controller)["instance"]
        except PortError:
            continue
    raise AssertionError("it does not come up")


def until_off(of: Ec2Machines) -> None:
    """The same for its way out."""
    for _ in range(20):
        with suppress(PortError):
            of.power_off("w1", controller())
            if of.power("w1", controller()) is Power.OFF:
                return
    raise AssertionError("it does not go off")


def doomed(cloud: Cloud) -> list[str]:
    """Data volumes that would be deleted with their instances."""
    found = cloud.see.describe_volumes(Filters=[{"Name": "tag-key", "Values": [ec2.VOLUME_TAG]}])["Volumes"]
    ours = {one["VolumeId"] for one in found}
    return [
        mapping["Ebs"]["VolumeId"]
        for one in cloud.instances()
        for mapping in one["BlockDeviceMappings"]
        if mapping["Ebs"]["VolumeId"] in ours and mapping["Ebs"]["DeleteOnTermination"]
    ]


class TestAttach:
    """Each instance gets its host's volumes, once it runs."""

    def test_both_before_it_counts_as_running(self, cloud: Cloud, of: Ec2Machines, volumes: dict[str, str]) -> None:
        of.install("w1", storing())
        cloud.store.reports["w1"] = Progress.RUNNING
        with pytest.raises(PortError, match=rf"volume data-1 \({volumes['data-1']}\) attaching"):
            of.progress("w1", storing())
        assert of.progress("w1", storing()) is Progress.RUNNING
        (one,) = cloud.instances()
        assert [cloud.attached(volume) for volume in volumes.values()] == [one["InstanceId"]] * 2
        devices = {m["Ebs"]["VolumeId"]: m["DeviceName"] for m in one["BlockDeviceMappings"]}
        assert [devices[volume] for volume in volumes.values()] == list(ec2.DEVICES[:2])

    def test_goes_on_with_one_that_is_attached(
        self, cloud: Cloud, ec2_clock: FakeClock, volumes: dict[str, str]
    ) -> None:
        cloud.dies("AttachVolume", after=True)
        with pytest.raises(Killed):
            until_up(cloud, machines(cloud, ec2_clock), storing())
        one = until_up(cloud, machines(cloud, ec2_clock), storing())
        assert {cloud.attached(volume) for volume in volumes.values()} == {one}
        assert len(cloud.instances()) == 1

    def test_waits_for_one_that_the_instance_before_still_has(
        self, cloud: Cloud, of: Ec2Machines, volumes: dict[str, str]
    ) -> None:
        first = until_up(cloud, of, storing())
        until_off(of)
        held = {"State": "detaching", "InstanceId": first, "VolumeId": volumes["data-2"], "Device": "/dev/sdg"}
        cloud.held[volumes["data-2"]] = held
        with pytest.raises(PortError) as waits:
            of.install("w1", storing("g2"))
        expected = f"volume data-2 ({volumes['data-2']}) of w1: expected an answer, found detaching at instance {first}"
        assert expected in str(waits.value)
        assert cloud.instances() == []
        cloud.held.clear()
        assert until_up(cloud, of, storing("g2")) != first

    def test_refuses_one_that_another_live_instance_has(
        self, cloud: Cloud, of: Ec2Machines, volumes: dict[str, str]
    ) -> None:
        other = cloud.see.run_instances(ImageId=AMI, MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
        cloud.see.attach_volume(VolumeId=volumes["data-1"], InstanceId=other, Device="/dev/sdf")
        with pytest.raises(NeedsAttention) as refused:
            of.install("w1", storing())
        assert f"volume data-1 ({volumes['data-1']}) of w1: found attached at instance {other}" in str(refused.value)
        assert "which is running" in str(refused.value)
        assert "runbooks/aws.md#volume" in str(refused.value)
        assert cloud.instances() == []
        assert cloud.attached(volumes["data-1"]) == other

    def test_is_refused_for_one_that_ec2_gave_up(self, cloud: Cloud, of: Ec2Machines, volumes: dict[str, str]) -> None:
        cloud.states[volumes["data-1"]] = "error"
        with pytest.raises(NeedsAttention, match="state error"):
            of.install("w1", storing())

    def test_is_refused_where_two_volumes_have_one_name(
        self, cloud: Cloud, of: Ec2Machines, volumes: dict[str, str]
    ) -> None:
        again = cloud.volume("w1", "data-1", ZONES[0])
        with pytest.raises(NeedsAttention, match=rf"two, .*({again}|{volumes['data-1']})"):
            of.install("w1", storing())


class TestTheEndOfAnInstance:
    """Takes nothing with it but the disk it ran from."""

    def test_deletes_no_data_volume(self, cloud: Cloud, of: Ec2Machines, volumes: dict[str, str]) -> None:
        until_up(cloud, of, storing())
        until_off(of)
        assert [cloud.attached(volume) for volume in volumes.values()] == ["", ""]

    def test_is_not_ordered_before_that_is_proven(self, cloud: Cloud, of: Ec2Machines, volumes: dict[str, str]) -> None:
        one = until_up(cloud, of, storing())
        changed = [{"DeviceName": ec2.DEVICES[0], "Ebs": {"DeleteOnTermination": True}}]
        cloud.see.modify_instance_attribute(InstanceId=one, BlockDeviceMappings=changed)
        assert doomed(cloud) == [volumes["data-1"]]
        cloud.fails("ModifyInstanceAttribute", "UnauthorizedOperation")
        with pytest.raises(NeedsAttention, match="no permission for ec2:ModifyInstanceAttribute"):
            of.power_off("w1", controller())
        assert len(cloud.instances()) == 1
        of.power_off("w1", controller())
        assert [cloud.attached(volume) for volume in volumes.values()] == ["", ""]

    def test_is_not_ordered_while_ec2_would_delete_one_all_the_same(
        self, cloud: Cloud, of: Ec2Machines, volumes: dict[str, str]
    ) -> None:
        one = until_up(cloud, of, storing())
        changed = [{"DeviceName": ec2.DEVICES[0], "Ebs": {"DeleteOnTermination": True}}]
        cloud.see.modify_instance_attribute(InstanceId=one, BlockDeviceMappings=changed)
        cloud.swallows("ModifyInstanceAttribute")
        with pytest.raises(PortError, match=f"{volumes['data-1']}, to be deleted with it"):
            of.power_off("w1", controller())
        assert len(cloud.instances()) == 1

    def test_nothing_that_writes_or_detaches_a_volume_is_ever_asked_for(
        self, cloud: Cloud, of: Ec2Machines, volumes: dict[str, str]
    ) -> None:
        for generation in ("g1", "g2", "g3"):
            until_up(cloud, of, storing(generation))
            until_off(of)
        of_volumes = {call for call in cloud.calls if "Volume" in call or "Snapshot" in call}
        assert of_volumes == {"AttachVolume", "DescribeVolumes"}


class TestTenReplacements:
    """An image after the other, and the same volumes all the time."""

    def test_keep_id_and_content_of_each_volume(
        self, cloud: Cloud, ec2_clock: FakeClock, volumes: dict[str, str]
    ) -> None:
        seen = set()
        for number in range(10):
            ami = (AMI, OTHER_AMI)[number % 2]
            cloud.template(ami)
            at = storing(f"g{number}", ami)
            one = until_up(cloud, machines(cloud, ec2_clock), at)
            assert {cloud.attached(volume) for volume in volumes.values()} == {one}
            assert cloud.instances()[0]["ImageId"] == ami
            seen.add(one)
            until_off(machines(cloud, ec2_clock))
        assert len(seen) == 10


CALLS = (
    "RunInstances",
    "AttachVolume",
    "TerminateInstances",
    "DescribeInstances",
    "DescribeVolumes",
    "DescribeNetworkInterfaces",
    "DescribeLaunchTemplateVersions",
    "ModifyInstanceAttribute",
)
CODES = ("RequestLimitExceeded", "InternalError", "InsufficientInstanceCapacity", "IncorrectState", "InvalidParameter")
faults = st.one_of(
    st.tuples(st.just("fails"), st.sampled_from(CALLS), st.sampled_from(CODES)),
    st.tuples(st.just("dies"), st.sampled_from(CALLS), st.sampled_from(["before", "after"])),
    st.just(("ends by itself", "", "")),
)
doom = st.just(("made to be deleted", "", ""))
orders = st.sampled_from(["install", "progress", "power off", "bring up"])
story = st.lists(st.tuples(orders, st.sampled_from(["g1", "g2"]), st.none() | faults | doom), min_size=1, max_size=8)
"""From a host that is up: an order, for a generation, and what goes wrong with it."""


def happens(cloud: Cloud, fault: tuple[str, str, str] | None) -> None:
    """Before an order."""
    alive = [one["InstanceId"] for one in cloud.instances()]
    if fault is None:
        return
    if fault[0] == "fails":
        cloud.fails(fault[1], fault[2], status=500 if fault[2] == "InternalError" else 400)
    elif fault[0] == "dies":
        cloud.dies(fault[1], after=fault[2] == "after")
    elif fault[0] == "ends by itself" and alive and not doomed(cloud):
        cloud.see.terminate_instances(InstanceIds=alive)
    elif fault[0] == "made to be deleted":
        for one in cloud.instances():
            data = [m["DeviceName"] for m in one["BlockDeviceMappings"] if m["DeviceName"] in ec2.DEVICES]
            changed = [{"DeviceName": device, "Ebs": {"DeleteOnTermination": True}} for device in data]
            if changed:
                cloud.see.modify_instance_attribute(InstanceId=one["InstanceId"], BlockDeviceMappings=changed)


def told(of: Ec2Machines, order: str, at: Pin) -> None:
    """One order, as a step gives it; to bring up is all that follows the proof that the power is off."""
    if order in ("install", "bring up"):
        of.install("w1", at)
    if order in ("progress", "bring up"):
        of.progress("w1", at)
    if order == "power off":
        of.power_off("w1", at.controller)


class TestWhateverHappens:
    """Faults, kills and orders of any run, in any order; then it heals."""

    @settings(max_examples=10, deadline=None, derandomize=True)
    @given(story=story)
    def test_one_instance_at_most_and_every_volume_ends_on_it(
        self, story: list[tuple[str, str, tuple[str, str, str] | None]]
    ) -> None:
        with account() as cloud:
            ec2_clock = FakeClock(time.time())
            cloud.address("w1", ZONES[0])
            volumes = {name: cloud.volume("w1", name, ZONES[0]) for name in NAMES}
            of = machines(cloud, ec2_clock)
            until_up(cloud, of, storing())
            for order, generation, fault in story:
                happens(cloud, fault)
                try:
                    told(of, order, storing(generation))
                except Killed:
                    of = machines(cloud, ec2_clock)
                except LifecycleError:
                    pass
                assert len(cloud.instances()) <= 1
                assert all(cloud.attached(volume) is not None for volume in volumes.values())
            cloud.faults.clear()
            until_off(machines(cloud, ec2_clock))
            one = until_up(cloud, machines(cloud, ec2_clock), storing("g3"))
            assert [found["InstanceId"] for found in cloud.instances()] == [one]
            assert {cloud.attached(volume) for volume in volumes.values()} == {one}
            assert doomed(cloud) == []
