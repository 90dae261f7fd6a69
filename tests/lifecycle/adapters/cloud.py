"""An account of AWS in this process (moto), with a stack's network, templates, addresses and volumes in it.

moto has no delays, no limits and no memory of client tokens; `Cloud` adds what EC2 does beyond it where a test says
so: an error for a call, a process that dies before or after one, an answer that comes late.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.awsrequest import AWSResponse
from moto import mock_aws, settings

from lifecycle import ec2
from lifecycle.adapters.ec2 import Ec2Machines
from lifecycle.adapters.ec2_api import Aws
from lifecycle.ec2 import ANY_ROLE, Instance
from lifecycle.errors import LifecycleError
from lifecycle.ports import Controller, Pin, Progress, Role
from tests.lifecycle.world import Killed

Json = dict[str, Any]

REGION, STACK, CLUSTER, POOL = "eu-central-1", "aws", "blue", "workers"
ZONES = (f"{REGION}a", f"{REGION}b")
TYPES = ("m7i.xlarge", "m6i.xlarge")
LOADER = botocore.session.get_session().get_component("data_loader")
"""Shared, since reading what EC2's API is like takes most of a test's time."""
AMI, OTHER_AMI = "ami-0aaaaaaaaaaaaaaaa", "ami-0bbbbbbbbbbbbbbbb"
MARKER = {"Key": "marker", "Value": "written by the application"}


@dataclass(frozen=True)
class Started:
    """Fulfils lifecycle.adapters.ec2_launch.UserData."""

    data: bytes
    stored: Mapping[str, bytes] = field(default_factory=dict)


@dataclass
class FakeStore:
    """Fulfils lifecycle.adapters.ec2.Store."""

    files: dict[str, bytes] = field(default_factory=dict)
    reports: dict[str, Progress] = field(default_factory=dict)
    error: LifecycleError | None = None

    def put(self, files: Mapping[str, bytes]) -> None:
        self.files.update(files)

    def forget(self, pin: Pin) -> None:
        self.reports.pop(pin.node, None)

    def progress(self, pin: Pin) -> Progress:
        if self.error is not None:
            raise self.error
        return self.reports.get(pin.node, Progress.NONE)


@dataclass
class FakeClock:
    """Fulfils lifecycle.ports.Clock, from the moment at which moto launches what it launches."""

    at_s: float

    def now_s(self) -> float:
        return self.at_s

    def sleep(self, seconds: float) -> None:
        self.at_s += seconds

    def wait(self, about: str, until_s: float) -> None:
        self.at_s = max(self.at_s, until_s)


def user_data(pin: Pin, zone: str) -> Started:
    """A configuration that says where it is, and is too long for user data."""
    return Started(f'{{"node": "{pin.node}", "zone": "{zone}"}}'.encode(), {f"boot/{pin.node}/{zone}": b"all of it"})


@dataclass
class Fault:
    """What a call ends with. times: how often yet. after: the call is carried out, and its answer is lost."""

    call: str
    happens: Callable[[], object]
    times: int = 1
    after: bool = False
    unless: Callable[[Json], bool] = lambda _: False


class Cloud:
    """The account, as somebody sees it who is not the adapter."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.calls: list[str] = []
        self.requests: list[Json] = []
        self.answered: dict[str, Json] = {}  # by client token
        self.unseen: dict[str, int] = {}  # instance -> lists that leave it out yet
        self.said: dict[str, str] = {}  # instance -> the state that is shown
        self.ending: dict[str, int] = {}  # instance -> looks that still show it shutting down
        self.held: dict[str, Json] = {}  # volume -> the attachment that is shown
        self.states: dict[str, str] = {}  # volume -> the state that is shown
        self.impaired = False
        self.store = FakeStore()
        self.see = fresh_session().client("ec2")
        self.subnets = self._network()
        self.template(AMI)

    def _network(self) -> dict[str, str]:
        vpc = self.see.create_vpc(CidrBlock="10.20.0.0/16")["Vpc"]["VpcId"]
        found = {}
        for number, zone in enumerate(ZONES):
            made = self.see.create_subnet(VpcId=vpc, CidrBlock=f"10.20.{number}.0/24", AvailabilityZone=zone)
            found[zone] = made["Subnet"]["SubnetId"]
        self.tag(*found.values(), **ec2.tags(STACK, CLUSTER, role=ANY_ROLE))
        group = self.see.create_security_group(GroupName="blue-worker", Description="workers", VpcId=vpc)["GroupId"]
        self.tag(group, **ec2.tags(STACK, CLUSTER, role=Role.WORKER))
        self.group = str(group)
        return found

    def tag(self, *ids: str, **tags: str) -> None:
        self.see.create_tags(Resources=list(ids), Tags=[{"Key": k, "Value": v} for k, v in tags.items()])

    def template(self, ami: str) -> None:
        """What the program registers for the pool; again for another image."""
        name, data = ec2.template_name(CLUSTER, POOL), {"ImageId": ami}
        if self.see.describe_launch_templates()["LaunchTemplates"]:
            self.see.create_launch_template_version(LaunchTemplateName=name, LaunchTemplateData=data)
        else:
            self.see.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=data)

    def address(self, host: str, zone: str) -> str:
        """What the program registers for a host of one zone."""
        made = self.see.create_network_interface(SubnetId=self.subnets[zone], Groups=[self.group])
        found = str(made["NetworkInterface"]["NetworkInterfaceId"])
        self.tag(found, **ec2.tags(STACK, CLUSTER, host))
        return found

    def volume(self, host: str, name: str, zone: str) -> str:
        """The same for a data volume, with something on it."""
        made = self.see.create_volume(AvailabilityZone=zone, Size=10, VolumeType="gp3", Encrypted=True)
        found = str(made["VolumeId"])
        self.tag(found, **ec2.tags(STACK, CLUSTER, host, volume=name))
        self.see.create_tags(Resources=[found], Tags=[MARKER])
        return found

    # ------------------------------------------------------------ what there is

    def instances(self, host: str = "w1", *states: str) -> list[Json]:
        """The host's instances in one of these states, else all that have not ended."""
        among = states or ("pending", "running", "stopping", "stopped")
        answer = self.see.describe_instances(
            Filters=[
                {"Name": f"tag:{ec2.HOST_TAG}", "Values": [host]},
                {"Name": "instance-state-name", "Values": list(among)},
            ]
        )
        return [one for reservation in answer["Reservations"] for one in reservation["Instances"]]

    def attached(self, volume: str) -> str:
        """Which instance has it, "" for none. Fails if the volume is gone, or was written anew."""
        one = self.see.describe_volumes(VolumeIds=[volume])["Volumes"][0]
        assert MARKER in one["Tags"]
        return str(one["Attachments"][0]["InstanceId"]) if one["Attachments"] else ""

    # ------------------------------------------------------------ what happens

    def fails(self, call: str, code: str, text: str = "said so", *, times: int = 1, status: int = 400) -> Fault:
        """The next calls of this name are answered with an error."""
        parsed = {"Error": {"Code": code, "Message": text}, "ResponseMetadata": {"HTTPStatusCode": status}}
        answer = (AWSResponse("", status, {}, None), parsed)
        self.faults.append(Fault(call, lambda: answer, times))
        return self.faults[-1]

    def swallows(self, call: str) -> None:
        """The next call of this name is answered as if it were done, and is not."""
        self.faults.append(Fault(call, lambda: (AWSResponse("", 200, {}, None), {})))

    def dies(self, call: str, *, after: bool) -> None:
        """The process is killed at the next call of this name, before it or before its answer is read."""
        self.faults.append(Fault(call, _killed, after=after))

    def session(self) -> Any:
        """For the adapter alone: through its events come the faults."""
        made = fresh_session()
        made.events.register("before-call.ec2", self._before)
        made.events.register("after-call.ec2", self._after)
        return made

    def _before(self, model: Any, params: Json, **_: Any) -> object:
        self.calls.append(model.name)
        asked = dict(params["body"])
        self.requests.append(asked)
        found = self._next(model.name, asked, after=False)
        if found is not None:
            return found.happens()
        known = self.answered.get(str(asked.get("ClientToken"))) if model.name == "RunInstances" else None
        return (AWSResponse("", 200, {}, None), known) if known else None

    def _after(self, model: Any, parsed: Json, context: Any, **_: Any) -> None:
        if model.name == "RunInstances" and "Instances" in parsed:
            self.answered[str(self.requests[-1].get("ClientToken"))] = parsed
        if model.name == "DescribeInstances":
            self._late(parsed)
        for one in parsed.get("Volumes", []):
            one["Attachments"] = [self.held[one["VolumeId"]]] if one["VolumeId"] in self.held else one["Attachments"]
            one["State"] = self.states.get(one["VolumeId"], one["State"])
        for one in parsed.get("InstanceStatuses", []) if self.impaired else []:
            one["InstanceStatus"]["Status"] = "impaired"
        found = self._next(model.name, self.requests[-1], after=True)
        if found is not None:
            found.happens()

    def _next(self, call: str, asked: Json, *, after: bool) -> Fault | None:
        for fault in self.faults:
            if fault.call == call and fault.after == after and fault.times > 0 and not fault.unless(asked):
                fault.times -= 1
                return fault
        return None

    def _late(self, parsed: Json) -> None:
        for reservation in parsed.get("Reservations", []):
            for one in list(reservation["Instances"]):
                one["State"]["Name"] = self.said.get(one["InstanceId"], one["State"]["Name"])
                if self.unseen.get(one["InstanceId"], 0) > 0:
                    self.unseen[one["InstanceId"]] -= 1
                    reservation["Instances"].remove(one)
                if self.ending.get(one["InstanceId"], 0) > 0 and one["State"]["Name"] == "terminated":
                    self.ending[one["InstanceId"]] -= 1
                    one["State"]["Name"] = "shutting-down"


@contextmanager
def runner(document: dict[str, Any]) -> Iterator[Any]:
    """A session of somebody who has this policy, in an account that goes by it."""
    iam = boto3.client("iam", region_name=REGION)
    iam.create_user(UserName="runner")
    iam.put_user_policy(UserName="runner", PolicyName="steps", PolicyDocument=json.dumps(document))
    key = iam.create_access_key(UserName="runner")["AccessKey"]
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
        environment.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
        environment.delenv("AWS_SESSION_TOKEN", raising=False)
        environment.setattr(settings, "INITIAL_NO_AUTH_ACTION_COUNT", 0)
        yield fresh_session


@contextmanager
def account() -> Iterator[Cloud]:
    """An account of its own. Without moto's list of public images: reading it takes longer than a test."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
        with mock_aws():
            yield Cloud()


def fresh_session() -> Any:
    """One without anybody's event handlers."""
    core = botocore.session.get_session()
    core.register_component("data_loader", LOADER)
    return boto3.session.Session(botocore_session=core, region_name=REGION)


def _killed() -> object:
    raise Killed


def machines(cloud: Cloud, clock: FakeClock, boot_s: float = 1800) -> Ec2Machines:
    """A step's own adapter: it knows nothing of the one before."""
    return Ec2Machines(Aws(cloud.session, attempts=1), STACK, user_data, cloud.store, clock, lambda: boot_s)


def pin(host: str = "w1", generation: str = "g1", **particulars: object) -> Pin:
    """Of a worker that may be in both zones, unless particulars say otherwise."""
    fields: dict[str, object] = {
        "region": REGION,
        "cluster": CLUSTER,
        "stack": STACK,
        "template": ec2.template_name(CLUSTER, POOL),
        "ami": AMI,
        "zones": ZONES,
        "instance_types": TYPES,
        "fixed_address": False,
        **particulars,
    }
    instance = Instance(**fields)  # type: ignore[arg-type]  # a bag of fields, checked by what uses them
    return Pin(
        node=host,
        pool=POOL,
        role=Role.WORKER,
        generation=generation,
        os_image="OS",
        kubelet="v1.36.3",
        boot_url="",
        controller=controller(host),
        mac="",
        os_disk="",
        data_disks=(),
        fault_domain=instance.zones[0],
        max_unavailable=1,
        stores=False,
        particulars=instance,
    )


def controller(host: str = "w1") -> Controller:
    return Controller(ec2.url(REGION, CLUSTER, host))
