"""What EC2 has of a host: its instances, its address, its volumes, and what an instance is launched from.

Everything is found by tags or by name (lifecycle/ec2.py), never by an id that somebody kept: whoever was killed
before he could write one down has lost nothing. Changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from lifecycle import ec2
from lifecycle.adapters.ec2_api import Answered, Aws, Json, tag_filters, tags_of
from lifecycle.ec2 import Place
from lifecycle.errors import NeedsAttention, PortError

COMING: Final = frozenset({"pending", "running"})
ENDING, ENDED = "shutting-down", "terminated"
STATES: Final = COMING | {ENDING, ENDED, "stopping", "stopped"}
"""EC2 API reference, InstanceState."""
TEMPLATE = "runbooks/aws.md#template: run `pulumi up` from the checkout you mean, so that it is registered anew"
NETWORK = "runbooks/aws.md#network: run `pulumi up`, which registers it, and leave its tags as they are"
VOLUME = "runbooks/aws.md#volume, then run `pulumi up` again"
TWO = "runbooks/aws.md#two: see which one is the node, terminate the other, then run `pulumi up` again"
NOT_FOUND: Final = frozenset({"InvalidLaunchTemplateName.NotFoundException", "InvalidLaunchTemplateId.NotFound"})


@dataclass(frozen=True)
class Found:
    """An instance. token: the ClientToken that it was launched with. launched_s: a moment, on EC2's clock. kept:
    (device, volume id) of what would outlive it, dies: of what would be deleted with it. reason: of its state."""

    id: str
    host: str
    generation: str
    state: str
    ami: str
    subnet: str
    token: str
    launched_s: float
    reason: str
    root: str
    kept: tuple[tuple[str, str], ...]
    dies: tuple[tuple[str, str], ...]

    @property
    def alive(self) -> bool:
        """It may still write: also a stopped one has its volumes, and starts again when somebody says so."""
        return self.state not in (ENDING, ENDED)

    def __str__(self) -> str:
        return f"instance {self.id} ({self.state}, generation {self.generation or 'unknown'})"


@dataclass(frozen=True)
class Volume:
    """A data volume. holder: the instance it is attached to, "" for none; attachment: how far that is."""

    id: str
    name: str
    zone: str
    state: str
    holder: str
    attachment: str


@dataclass(frozen=True)
class Template:
    """A launch template's latest version."""

    version: str
    ami: str


@dataclass(frozen=True)
class Address:
    """A host's network interface. holder: the instance that has it, "" for none."""

    id: str
    zone: str
    subnet: str
    holder: str


class Finder:
    """Looks things up. stack: whose they are, as their tags have it."""

    def __init__(self, aws: Aws, stack: str) -> None:
        self._aws, self._stack = aws, stack
        self._zones: dict[str, str] = {}

    def instances(self, place: Place) -> tuple[Found, ...]:
        """All of the host, the latest first; those that ended are listed for about an hour. Without a host in `place`:
        all of the cluster."""
        filters = tag_filters(ec2.tags(self._stack, place.cluster, place.host))
        found = [
            _instance(place, one)
            for reservation in self._aws.all(place, "DescribeInstances", "Reservations", Filters=filters)
            for one in reservation["Instances"]
        ]
        return tuple(sorted(found, key=lambda one: (one.launched_s, one.id), reverse=True))

    def state(self, place: Place, instance: str) -> str:
        """Of any instance by id; ENDED for one that EC2 has forgotten."""
        return self.known_state(place, instance) or ENDED

    def known_state(self, place: Place, instance: str) -> str:
        """The same; "" for one that EC2 has forgotten, or does not know yet."""
        gone = frozenset({"InvalidInstanceID.NotFound"})
        try:
            answer = self._aws.ask(place, "DescribeInstances", told=gone, InstanceIds=[instance])
        except Answered:
            return ""
        states = [one["State"]["Name"] for each in answer["Reservations"] for one in each["Instances"]]
        return str(states[0]) if states else ""

    def failed_checks(self, place: Place, instance: str) -> tuple[str, ...]:
        """The status checks of a running instance that say `impaired`."""
        answer = self._aws.ask(place, "DescribeInstanceStatus", InstanceIds=[instance])
        return tuple(
            f"{name} {of['Status']}"
            for one in answer.get("InstanceStatuses", [])
            for name, of in (("system status", one["SystemStatus"]), ("instance status", one["InstanceStatus"]))
            if of.get("Status") == "impaired"
        )

    def zone(self, place: Place, subnet: str) -> str:
        """The zone of a subnet, which is that of whatever is in it. Asked once."""
        if subnet not in self._zones:
            answer = self._aws.ask(place, "DescribeSubnets", SubnetIds=[subnet])
            self._zones[subnet] = str(answer["Subnets"][0]["AvailabilityZone"])
        return self._zones[subnet]

    def template(self, place: Place, name: str) -> Template:
        """Raises NeedsAttention if there is none of this name."""
        what = f"launch template {name} in {place.region}, for {place.host}"
        try:
            answer = self._aws.ask(
                place,
                "DescribeLaunchTemplateVersions",
                told=NOT_FOUND,
                LaunchTemplateName=name,
                Versions=["$Latest"],
            )
        except Answered as missing:
            raise NeedsAttention(what, f"none ({missing.code})", TEMPLATE) from missing
        versions = answer["LaunchTemplateVersions"]
        if len(versions) != 1:
            raise NeedsAttention(what, f"{len(versions)} latest versions", TEMPLATE)
        data = versions[0]["LaunchTemplateData"]
        return Template(str(versions[0]["VersionNumber"]), str(data.get("ImageId", "")))

    def address(self, place: Place) -> Address:
        """The network interface that is the host's own. Raises NeedsAttention if there is not exactly one."""
        filters = tag_filters(ec2.tags(self._stack, place.cluster, place.host))
        # One that EC2 makes with an instance has that instance's tags, if a template says so; it goes with it.
        found = [
            one
            for one in self._aws.all(place, "DescribeNetworkInterfaces", "NetworkInterfaces", Filters=filters)
            if not (one.get("Attachment") or {}).get("DeleteOnTermination")
        ]
        if len(found) != 1:
            ids = ", ".join(sorted(str(one["NetworkInterfaceId"]) for one in found)) or "none"
            what = f"network interface of {place.host} in {place.region}, by its tags"
            raise NeedsAttention(what, f"{ids}, and not one", NETWORK)
        holder = str((found[0].get("Attachment") or {}).get("InstanceId", ""))
        of = found[0]
        return Address(str(of["NetworkInterfaceId"]), str(of["AvailabilityZone"]), str(of["SubnetId"]), holder)

    def subnet(self, place: Place, zone: str) -> str:
        """The stack's own subnet for machines in a zone. Raises NeedsAttention if there is not exactly one."""
        filters = tag_filters(ec2.tags(self._stack, place.cluster, role=ec2.ANY_ROLE))
        filters.append({"Name": "availability-zone", "Values": [zone]})
        subnets = self._aws.all(place, "DescribeSubnets", "Subnets", Filters=filters)
        found = sorted(str(one["SubnetId"]) for one in subnets)
        if len(found) != 1:
            what = f"subnet for machines in {zone}, by its tags"
            raise NeedsAttention(what, f"{', '.join(found) or 'none'}, and not one", NETWORK)
        return found[0]

    def groups(self, place: Place, role: str) -> list[str]:
        """The security groups of machines of a role. Raises NeedsAttention if there is none."""
        filters = tag_filters(ec2.tags(self._stack, place.cluster, role=role))
        found = self._aws.all(place, "DescribeSecurityGroups", "SecurityGroups", Filters=filters)
        ids = sorted(str(one["GroupId"]) for one in found)
        if not ids:
            raise NeedsAttention(f"security groups of {role} in {place.region}, by their tags", "none", NETWORK)
        return ids

    def volumes(self, place: Place) -> dict[str, Volume]:
        """The host's data volumes by name. Raises NeedsAttention if two have one name."""
        filters = tag_filters(ec2.tags(self._stack, place.cluster, place.host))
        filters.append({"Name": "tag-key", "Values": [ec2.VOLUME_TAG]})
        found: dict[str, Volume] = {}
        for one in map(_volume, self._aws.all(place, "DescribeVolumes", "Volumes", Filters=filters)):
            if one.state in ("deleting", "deleted"):
                continue
            if one.name in found:
                both = f"{found[one.name].id} and {one.id}"
                raise NeedsAttention(f"volume {one.name} of {place.host} in {place.region}", f"two, {both}", VOLUME)
            found[one.name] = one
        return found


def only_one(place: Place, alive: tuple[Found, ...]) -> Found | None:
    """The host's instance, or None. Raises NeedsAttention if several are alive."""
    if len(alive) > 1:
        both = " and ".join(str(one) for one in sorted(alive, key=lambda one: one.id))
        raise NeedsAttention(f"EC2 of {place.host} in {place.region}", f"{both}, for one host", TWO)
    return alive[0] if alive else None


def _instance(place: Place, one: Json) -> Found:
    tags, state = tags_of(one), str(one["State"]["Name"])
    if state not in STATES:
        raise PortError(
            f"instance {one['InstanceId']} of {place.host}",
            f"state {state!r}, not one of {', '.join(sorted(STATES))}",
            "update this checkout, then run `pulumi up` again",
        )
    reason = one.get("StateReason") or {}
    said = ": ".join(dict.fromkeys(part for part in (reason.get("Code"), reason.get("Message")) if part))
    mapped = tuple(_mapped(one))
    return Found(
        id=str(one["InstanceId"]),
        host=tags.get(ec2.HOST_TAG, ""),
        generation=tags.get(ec2.GENERATION_TAG, ""),
        state=state,
        ami=str(one.get("ImageId", "")),
        subnet=str(one.get("SubnetId", "")),
        token=str(one.get("ClientToken", "")),
        launched_s=moment_of(one),
        reason=said or str(one.get("StateTransitionReason", "")) or "no reason given",
        root=str(one.get("RootDeviceName", "")),
        kept=tuple((device, volume) for device, volume, dies in mapped if not dies),
        dies=tuple((device, volume) for device, volume, dies in mapped if dies),
    )


def moment_of(one: Json) -> float:
    """When an instance was launched, on EC2's clock."""
    launched = one.get("LaunchTime")
    return launched.timestamp() if isinstance(launched, datetime) else 0.0


def _mapped(one: Json) -> Iterator[tuple[str, str, bool]]:
    for mapping in one.get("BlockDeviceMappings", []):
        ebs: Mapping[str, object] = mapping.get("Ebs") or {}
        yield str(mapping["DeviceName"]), str(ebs.get("VolumeId", "")), bool(ebs.get("DeleteOnTermination"))


def _volume(one: Json) -> Volume:
    held = [each for each in one.get("Attachments", []) if each.get("State") != "detached"]
    return Volume(
        id=str(one["VolumeId"]),
        name=tags_of(one).get(ec2.VOLUME_TAG, ""),
        zone=str(one["AvailabilityZone"]),
        state=str(one["State"]),
        holder=str(held[0].get("InstanceId", "")) if held else "",
        attachment=str(held[0].get("State", "")) if held else "",
    )
