"""The engine's steps on the example stack of AWS, with all of their own adapters, on an account in this process."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest

from cli.step_ports import declared, ports
from lifecycle import ec2
from lifecycle.commands import Step, Verb
from lifecycle.ec2 import Instance
from lifecycle.ports import ClaimState, Pin, Ports, Power
from lifecycle.run import execute
from tests.lifecycle.adapters.cloud import REGION, Cloud, FakeClock, account
from tests.lifecycle.world import Killed

REPOSITORY = Path(__file__).resolve().parents[2]
STACK, HOST, BUCKET = "aws", "w1", "example-ingot-aws"


class Booting(FakeClock):
    """While a step waits, the machine that it waits for boots and says so."""

    def __init__(self, at_s: float, boots: Callable[[], None]) -> None:
        super().__init__(at_s)
        self._boots = boots

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self._boots()

    def wait(self, about: str, until_s: float) -> None:
        super().wait(about, until_s)
        self._boots()


@pytest.fixture
def pin(monkeypatch: pytest.MonkeyPatch) -> Pin:
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.setenv("INGOT_PULUMI", "no-engine")
    monkeypatch.setenv("INGOT_VIEW", "own")
    return declared(REPOSITORY, STACK).pins[HOST]


@pytest.fixture
def of(pin: Pin) -> Instance:
    assert isinstance(pin.particulars, Instance)
    return pin.particulars


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with account() as made:
        yield made


@pytest.fixture
def volume(cloud: Cloud, of: Instance) -> str:
    """What the program registers for the host, and its volume."""
    where: Any = {"LocationConstraint": REGION}
    boto3.client("s3", region_name=REGION).create_bucket(Bucket=BUCKET, CreateBucketConfiguration=where)
    cloud.see.create_launch_template(LaunchTemplateName=of.template, LaunchTemplateData={"ImageId": of.ami})
    address = cloud.address(HOST, of.zones[0])
    (name,) = of.volumes
    made = cloud.volume(HOST, name, of.zones[0])
    cloud.tag(address, made, **ec2.tags(of.stack, of.cluster, HOST))
    return made


def run(verb: Verb, pin: Pin, *, dies: Callable[[], bool] = lambda: False) -> Ports:
    """One step, in ports of its own; returns them. dies: whether it is killed now that it waits."""
    step = Step(verb, STACK, HOST, pin.generation)
    body = json.dumps({"generation": pin.generation, "state": "running"}).encode()

    def boots() -> None:
        if dies():
            raise Killed
        boto3.client("s3", region_name=REGION).put_object(Bucket=BUCKET, Key=f"progress/worker/{HOST}", Body=body)

    at = replace(ports(step), clock=Booting(time.time(), boots))
    execute(step, at)
    return at


class TestAHostsLife:
    """Provisioned, released and provisioned again: another instance, the same volume."""

    def test_from_stored_commands_alone(self, cloud: Cloud, pin: Pin, of: Instance, volume: str) -> None:
        at = run(Verb.PROVISION, pin)
        (first,) = cloud.instances(HOST)
        assert cloud.attached(volume) == first["InstanceId"]
        assert (first["ImageId"], first["InstanceType"]) == (of.ami, of.instance_types[0])
        claim = at.records.claim(HOST)
        assert claim is not None
        assert (claim.state, claim.installed, claim.fault_domain) == (ClaimState.PROVISIONING, True, of.zones[0])

        at = run(Verb.RELEASE, pin)
        assert cloud.instances(HOST) == []
        assert cloud.attached(volume) == ""
        assert at.machines.power(HOST, pin.controller) is Power.OFF
        left = at.records.claim(HOST)
        assert left is not None
        assert left.state is ClaimState.LEFT

        run(Verb.PROVISION, pin)
        (second,) = cloud.instances(HOST)
        assert second["InstanceId"] != first["InstanceId"]
        assert cloud.attached(volume) == second["InstanceId"]

    def test_a_run_that_died_with_its_instance_pending_is_gone_on_with(
        self, cloud: Cloud, pin: Pin, of: Instance, volume: str
    ) -> None:
        with pytest.raises(Killed):
            run(Verb.PROVISION, pin, dies=lambda: bool(cloud.instances(HOST)))
        (first,) = cloud.instances(HOST)
        at = run(Verb.PROVISION, pin)
        (one,) = cloud.instances(HOST, "pending", "running", "shutting-down", "terminated")
        assert one["InstanceId"] == first["InstanceId"] == cloud.attached(volume)
        claim = at.records.claim(HOST)
        assert claim is not None
        assert claim.installed
