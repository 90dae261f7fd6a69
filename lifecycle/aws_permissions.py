"""Every permission on AWS that steps need, and what for. Data, and the policy that grants it.

The preflight proves these (lifecycle/adapters/ec2_access.py) and `ingot aws policy` prints this; a test holds the
table against all that the adapters ask of AWS, both ways. What `pulumi up` itself needs to register a fleet's network,
templates and the like is the provider's, and not here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from lifecycle import ec2
from lifecycle.facts import Role
from lifecycle.permissions import Owner

Json = dict[str, Any]


class On(StrEnum):
    """What a permission is on."""

    ALL = "all of the region"
    LAUNCHED = "what an instance is launched with"
    OURS = "instances and volumes of the stack"
    ROLES = "the roles of the cluster's machines"
    BUCKET = "the bucket"
    OBJECTS = "the bucket's objects"


@dataclass(frozen=True)
class Right:
    """One permission. action: as IAM names it."""

    action: str
    on: On
    why: str
    owner: Owner = Owner.HOST_LIFECYCLE

    def __str__(self) -> str:
        return f"{self.action} on {self.on.value}"


@dataclass(frozen=True)
class Extent:
    """Whose rights they are. cluster: whose machines are on AWS, "" where none is. bucket: "" for a boot store that is
    none."""

    region: str
    stack: str
    cluster: str
    bucket: str = ""

    @property
    def partition(self) -> str:
        """The first part of every ARN of the region (IAM user guide, "ARN format")."""
        for prefix, partition in (("cn-", "aws-cn"), ("us-gov-", "aws-us-gov")):
            if self.region.startswith(prefix):
                return partition
        return "aws"


RIGHTS = (
    Right("ec2:DescribeInstances", On.ALL, "to find a host's instance by its tags"),
    Right("ec2:DescribeInstanceStatus", On.ALL, "to see that it came up"),
    Right("ec2:DescribeVolumes", On.ALL, "to find a host's data volumes, and what has them"),
    Right("ec2:DescribeNetworkInterfaces", On.ALL, "to find a host's address"),
    Right("ec2:DescribeSubnets", On.ALL, "to find a zone's subnet"),
    Right("ec2:DescribeSecurityGroups", On.ALL, "to find what a host without an address of its own is in"),
    Right("ec2:DescribeLaunchTemplateVersions", On.ALL, "to see that a template launches the pinned image"),
    Right("ec2:RunInstances", On.LAUNCHED, "to launch an instance"),
    Right("ec2:CreateTags", On.LAUNCHED, "to say whose it is, with the launch itself"),
    Right("iam:PassRole", On.ROLES, "to launch it with its role"),
    Right("ec2:AttachVolume", On.OURS, "to give it its host's data volumes"),
    Right("ec2:ModifyInstanceAttribute", On.OURS, "to keep EC2 from deleting one with it"),
    Right("ec2:TerminateInstances", On.OURS, "to end it"),
    Right("s3:ListBucket", On.BUCKET, "to list records, and to tell a missing object from a forbidden one"),
    Right("s3:ListBucketVersions", On.BUCKET, "to take away credentials with all their versions"),
    Right("s3:GetObject", On.OBJECTS, "to read records and reports"),
    Right("s3:PutObject", On.OBJECTS, "to write records, boot configurations and one-time credentials"),
    Right("s3:DeleteObject", On.OBJECTS, "to take records away"),
    Right("s3:DeleteObjectVersion", On.OBJECTS, "to take away credentials with all their versions"),
)
BY_ACTION = {right.action: right for right in RIGHTS}

_NEW = ("instance", "volume")
_NEEDED = ("launch-template", "network-interface", "placement-group", "security-group", "subnet")
_PUBLIC = ("image", "snapshot")
"""What RunInstances is asked for on (service authorization reference, "Actions defined by Amazon EC2"): what it makes,
what it uses of the account, and of anybody's."""


def policy(extent: Extent) -> Json:
    """The IAM policy document that grants exactly the table's rights."""
    return {"Version": "2012-10-17", "Statement": list(_statements(extent))}


def _statements(extent: Extent) -> Iterator[Json]:
    if extent.cluster:
        yield from _of_machines(extent)
    if extent.bucket:
        bucket = f"arn:{extent.partition}:s3:::{extent.bucket}"
        yield _allow("KeepRecords", _on(On.BUCKET), [bucket])
        yield _allow("KeepObjects", _on(On.OBJECTS), [f"{bucket}/*"])


def _of_machines(extent: Extent) -> Iterator[Json]:
    account = f"arn:{extent.partition}:ec2:{extent.region}:*:"
    tagged = {f"aws:RequestTag/{ec2.STACK_TAG}": extent.stack}
    ours = {f"aws:ResourceTag/{ec2.STACK_TAG}": extent.stack}
    region = {"aws:RequestedRegion": extent.region}
    new = [f"{account}{kind}/*" for kind in _NEW]
    needed = [f"{account}{kind}/*" for kind in _NEEDED]
    public = [f"arn:{extent.partition}:ec2:{extent.region}::{kind}/*" for kind in _PUBLIC]
    roles = [f"arn:{extent.partition}:iam::*:role/{ec2.role_name(extent.cluster, role)}" for role in Role]
    run = {"ec2:RunInstances"}
    yield _allow("Look", _on(On.ALL), ["*"], StringEquals=region)
    yield _allow("LaunchAsOurs", run, new, StringEquals=tagged)
    yield _allow("LaunchFrom", run, [*needed, *public])
    yield _allow("TagAtLaunch", {"ec2:CreateTags"}, new, StringEquals={"ec2:CreateAction": "RunInstances"})
    yield _allow("GiveRole", _on(On.ROLES), roles, StringEquals={"iam:PassedToService": "ec2.amazonaws.com"})
    yield _allow("SwitchOurs", _on(On.OURS), new, StringEquals=ours)


def _on(on: On) -> Iterable[str]:
    return (right.action for right in RIGHTS if right.on is on)


def _allow(sid: str, actions: Iterable[str], resources: list[str], **condition: Json) -> Json:
    said: Json = {"Sid": sid, "Effect": "Allow", "Action": sorted(actions), "Resource": resources}
    return {**said, "Condition": condition} if condition else said
