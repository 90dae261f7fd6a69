"""What AWS does and moto does not: it takes its time over instances, and it refuses what is in use.

moto answers from the state it is in, at once: an instance runs when it is asked for and is gone when it is
terminated, a volume can be attached twice, a subnet be deleted under its machines. Here is what of that a fleet
must meet, with AWS's own codes; sources are the errors and the life cycle of an instance in the EC2 user guide and
API reference. When an instance comes up or is gone is the rack's to say (rehearsal/rack/instances.py).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import EC2Backend, ec2_backends
from moto.ec2.models.amis import Ami
from moto.ec2.models.elastic_block_store import Volume
from moto.ec2.models.instances import Instance, MetadataOptions
from moto.elbv2.models import elbv2_backends
from moto.iam.access_control import IAMPolicy, PermissionResult
from moto.s3.models import FakeBucket, s3_backends

from rehearsal.aws.calls import Call
from rehearsal.aws.placement import UNKNOWN, PlacementGroups, Refusal

NUMBER = "123456789012"
"""moto's account for credentials that it never issued."""

TEMPLATE_TAG: Final = "aws:ec2launchtemplate:id"
VERSION_TAG: Final = "aws:ec2launchtemplate:version"
"""With which EC2 itself tags an instance that was launched from a template."""

GLOBAL: Final = "aws"
"""Where moto keeps what has no region."""
TRANSPORT: Final = frozenset({"aws:SecureTransport", "s3:TlsVersion"})

STATES: Final = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopped": 80}
"""Of an instance, with the codes of the API."""

NONE_MADE: Final = (
    "You cannot specify tags for network interfaces if there are no network interfaces being created by the request."
)
"""As seen by cluster-api-provider-aws (its issue 5594)."""

Parameters = Mapping[str, Any]


def backend(region: str) -> EC2Backend:
    return ec2_backends[NUMBER][region]


def refused(call: Call, groups: PlacementGroups) -> Refusal | None:
    """What AWS says to a call that moto would take."""
    check = CHECKS.get(call.operation) if call.service == "ec2" else None
    if check is None:
        return None
    account = backend(call.region)
    try:
        refusal = check(account, call.parameters)
        if call.operation == "RunInstances":
            group = _template(account, call.parameters).get("Placement", {}).get("GroupName", "")
            if group and not groups.knows(call.region, group):
                return Refusal(UNKNOWN, f"The Placement Group '{group}' is unknown.")
    except EC2ClientError:  # a name that moto does not know either: it says so itself when it is asked
        return None
    return refusal


def prepare(region: str) -> None:
    """The key that EBS encrypts with, which moto makes for the first volume."""
    backend(region)._create_default_encryption_key()


def launched_with(region: str, token: str) -> str | None:
    """The instance that was launched with this token."""
    return next((i.id for i in backend(region).all_instances() if i.client_token == token), None)


def groups_used(region: str) -> Iterator[str]:
    """The placement groups that instances are in."""
    for instance in backend(region).all_instances():
        tags = {tag["key"]: tag["value"] for tag in instance.get_tags()}
        template = {"LaunchTemplateId": tags.get(TEMPLATE_TAG), "Version": tags.get(VERSION_TAG)}
        if instance.state != "terminated" and template["LaunchTemplateId"]:
            yield _template(backend(region), {"LaunchTemplate": template}).get("Placement", {}).get("GroupName", "")


def answered(call: Call, parsed: dict[str, Any]) -> None:
    """moto has done it: what AWS would have done otherwise."""
    if call.operation == "RunInstances":
        for said in parsed["Instances"]:
            _launched(backend(call.region), call, said)
    elif call.operation == "DeleteNatGateway":  # moto keeps the interface of one that is gone
        account = backend(call.region)
        account.enis.pop(account.nat_gateways[call.parameters["NatGatewayId"]]._eni.id, None)

    elif call.operation == "PutBucketPolicy":
        _judge_transport(s3_backends[NUMBER][GLOBAL].get_bucket(call.parameters["Bucket"]))


def _judge_transport(bucket: FakeBucket) -> None:
    """moto refuses what a bucket's policy refuses to whoever comes without TLS, to everybody. These clients have it."""

    def permission(action: str, resource: str) -> PermissionResult:
        policy = json.loads(bucket.policy or b"{}")
        said = [s for s in policy.get("Statement", ()) if not _about_transport(s)]
        return IAMPolicy(json.dumps({**policy, "Statement": said})).is_action_permitted(action, resource)

    bucket.get_permission = permission  # type: ignore[method-assign]  # moto leaves no other way in


def _about_transport(statement: Parameters) -> bool:
    keys = {key for values in statement.get("Condition", {}).values() for key in values}
    return statement["Effect"] == "Deny" and bool(keys) and keys <= TRANSPORT


def _launched(account: EC2Backend, call: Call, said: dict[str, Any]) -> None:
    instance, template = account.get_instance(said["InstanceId"]), _template(account, call.parameters)
    options = template.get("MetadataOptions")
    instance.metadata_options = MetadataOptions(options) if options else instance.metadata_options
    _without_extra_disk(account, instance, template)
    instance.launch_time = said["LaunchTime"] = datetime.fromtimestamp(call.at_s, UTC)
    _set_state(instance, "pending")
    said["State"] = {"Name": "pending", "Code": STATES["pending"]}
    given = {i.get("NetworkInterfaceId") for i in call.parameters.get("NetworkInterfaces", ())}
    for interface in instance.nics.values():  # what it came with goes with it; moto keeps it
        interface.delete_on_termination = interface.id not in given
    # An interface that it was given says where it is; moto takes the region's first zone.
    instance.placement.zone = said["Placement"]["AvailabilityZone"] = instance.nics[0].subnet.availability_zone


def _without_extra_disk(account: EC2Backend, instance: Instance, template: Parameters) -> None:
    """moto gives an instance a disk of its own choice beside those of its template."""
    named = {disk["DeviceName"] for disk in template.get("BlockDeviceMappings", ())}
    for device, disk in list(instance.block_device_mapping.items()):
        if named and device not in named:
            account.detach_volume(disk.volume_id, instance.id, device)
            account.delete_volume(disk.volume_id)


def instead(call: Call) -> dict[str, Any] | None:
    """The answer to a call that moto is not asked at all; None for all others."""
    if call.operation != "TerminateInstances":
        return None
    said = []
    for instance in (backend(call.region).get_instance(i) for i in call.parameters["InstanceIds"]):
        before = instance.state
        if before != "terminated":
            _set_state(instance, "shutting-down")
        now = {"Name": instance.state, "Code": STATES[instance.state]}
        previous = {"Name": before, "Code": STATES[before]}
        said.append({"InstanceId": instance.id, "CurrentState": now, "PreviousState": previous})
    return {"TerminatingInstances": said}


def happens(call: Call) -> None:
    """An image was published, an instance came up, lost its power and has it again, or is gone."""
    account = backend(call.region)
    if call.operation == "image":
        ami = call.parameters["ami"]
        account.amis[ami] = Ami(
            account, ami, name=call.parameters["name"], architecture=call.parameters["architecture"]
        )
        return
    instance = account.get_instance(call.parameters["instance"])
    if call.operation == "runs" and instance.state == "pending":
        _set_state(instance, "running")
    elif call.operation == "stops" and instance.state in ("pending", "running"):
        _set_state(instance, "stopped")
    elif call.operation == "starts" and instance.state == "stopped":
        _set_state(instance, "pending")
    elif call.operation == "ends" and instance.state != "terminated":
        _end(account, instance, call.parameters)
    elif call.operation == "lets-go":
        for volume in _held(account, instance):
            volume.attachment = None


def _end(account: EC2Backend, instance: Instance, facts: Parameters) -> None:
    """moto deletes and frees the volumes; an interface that outlives its instance it leaves attached."""
    held = [(v, v.attachment) for v in _held(account, instance) if facts["holds"] and not _dies(instance, v.id)]
    account.terminate_instances([instance.id])
    for volume, attachment in held:
        if attachment is not None:
            attachment.status, volume.attachment = "busy", attachment
    for interface in instance.nics.values():
        interface.instance, interface.attachment_id, interface.attach_time = None, None, None
        interface.status, interface.device_index = "available", None
    if facts["because"]:
        instance.state_reason.code = instance.state_reason.message = facts["because"]


def _held(account: EC2Backend, instance: Instance) -> list[Volume]:
    return [v for v in account.volumes.values() if v.attachment and v.attachment.instance.id == instance.id]


def _dies(instance: Instance, volume: str) -> bool:
    return any(
        disk.volume_id == volume and disk.delete_on_termination for disk in instance.block_device_mapping.values()
    )


def _set_state(instance: Instance, name: str) -> None:
    instance._state.name, instance._state.code = name, STATES[name]


# ---------------------------------------------------------------- what is in use


def _template(account: EC2Backend, asked: Parameters) -> Parameters:
    """What the launch template of a call says; empty without one."""
    named = asked.get("LaunchTemplate")
    data: Parameters = account._get_template_from_args(named).data if named else {}
    return data


def _run(account: EC2Backend, asked: Parameters) -> Refusal | None:
    template = _template(account, asked)
    image = asked.get("ImageId") or template.get("ImageId", "")
    if image not in account.amis:
        return Refusal("InvalidAMIID.NotFound", f"The image id '[{image}]' does not exist")
    interfaces = asked.get("NetworkInterfaces", ())
    tagged = {t["ResourceType"] for said in (template, asked) for t in said.get("TagSpecifications", ())}
    if "network-interface" in tagged and interfaces and all(i.get("NetworkInterfaceId") for i in interfaces):
        return Refusal("InvalidParameterValue", NONE_MADE)
    for interface in interfaces:
        found = interface.get("NetworkInterfaceId", "")
        if found and account.get_network_interface(found).attachment_id:
            return Refusal("InvalidNetworkInterface.InUse", f"Interface: [{found}] in use.")
    return None


def _attach(account: EC2Backend, asked: Parameters) -> Refusal | None:
    volume, instance = account.get_volume(asked["VolumeId"]), account.get_instance(asked["InstanceId"])
    if volume.attachment:
        return Refusal("VolumeInUse", f"{volume.id} is already attached to an instance")
    if instance.state != "running":
        return Refusal("IncorrectState", f"Instance '{instance.id}' is not 'running'.")
    if volume.zone.name != instance.availability_zone:
        return Refusal(
            "InvalidVolume.ZoneMismatch",
            f"The volume '{volume.id}' is not in the same availability zone as instance '{instance.id}'",
        )
    return None


def _delete_interface(account: EC2Backend, asked: Parameters) -> Refusal | None:
    found = account.enis.get(asked["NetworkInterfaceId"])
    if found is not None and found.attachment_id:
        return Refusal("InvalidParameterValue", f"Network interface '{found.id}' is currently in use.")
    return None


def _delete_subnet(account: EC2Backend, asked: Parameters) -> Refusal | None:
    subnet = asked["SubnetId"]
    used = [e.id for e in _interfaces(account) if e.subnet.id == subnet]
    used += [g.id for g in account.nat_gateways.values() if g.subnet_id == subnet and g.state != "deleted"]
    used += [b for b, subnets in _balancers(account) if subnet in subnets]
    used += [e.id for e in account.vpc_end_points.values() if subnet in (e.subnet_ids or ()) and e.state != "deleted"]
    return _depended_on("subnet", subnet, used)


def _delete_group(account: EC2Backend, asked: Parameters) -> Refusal | None:
    group = asked["GroupId"]
    used = [e.id for e in _interfaces(account) if group in (g.id for g in e._group_set)]
    for groups in account.groups.values():
        for other in groups.values():
            named = {r.source_group.get("GroupId") for r in (*other.ingress_rules, *other.egress_rules)}
            used += [other.id] if other.id != group and group in named else []
    return _depended_on("resource", group, used)


def _release(account: EC2Backend, asked: Parameters) -> Refusal | None:
    allocation = asked.get("AllocationId", "")
    used = [
        g.id
        for g in account.nat_gateways.values()
        if g.state != "deleted" and allocation in [a.get("allocationId") for a in g.address_set]
    ]
    return Refusal("InvalidIPAddress.InUse", f"Address {allocation} is in use by {used[0]}") if used else None


def _terminate(account: EC2Backend, asked: Parameters) -> Refusal | None:
    known = {i.id for i in account.all_instances()}
    for instance in asked["InstanceIds"]:
        if instance not in known:
            return Refusal("InvalidInstanceID.NotFound", f"The instance ID '{instance}' does not exist")
    return None


def _interfaces(account: EC2Backend) -> Iterator[Any]:
    """Those that are somebody's: what an instance came with is gone with it."""
    return (e for e in account.enis.values() if e.instance is None or e.instance.state != "terminated")


def _balancers(account: EC2Backend) -> Iterator[tuple[str, list[str]]]:
    for found in elbv2_backends[NUMBER][account.region_name].load_balancers.values():
        yield found.name, [s.id for s in found.subnets]


def _depended_on(what: str, name: str, used: list[str]) -> Refusal | None:
    if not used:
        return None
    return Refusal("DependencyViolation", f"{what} {name} has a dependent object: {', '.join(sorted(used))}")


CHECKS: Mapping[str, Callable[[EC2Backend, Parameters], Refusal | None]] = {
    "RunInstances": _run,
    "AttachVolume": _attach,
    "TerminateInstances": _terminate,
    "DeleteNetworkInterface": _delete_interface,
    "DeleteSubnet": _delete_subnet,
    "DeleteSecurityGroup": _delete_group,
    "ReleaseAddress": _release,
}
