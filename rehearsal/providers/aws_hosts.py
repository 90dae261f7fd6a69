"""The aws package's types of machines, as calls: launch templates, placement, addresses, volumes.

An instance is none of them: the step launches it (docs/decisions/0090.md).
"""

from __future__ import annotations

import ipaddress
import json
import zlib
from collections.abc import Mapping
from typing import Final

from rehearsal.providers.aws_kind import Api, Inputs, Kind, Made, found, given, shaped, tag_list, words
from rehearsal.providers.aws_network import TAGS, deletes, described, ec2_tags

BOOLEANS_IN_TEXT: Final = words("encrypted deleteOnTermination ebsOptimized associatePublicIpAddress")

# ---------------------------------------------------------------- launch templates

DATA: Final = {
    "blockDeviceMappings": "BlockDeviceMappings",
    "disableApiStop": "DisableApiStop",
    "disableApiTermination": "DisableApiTermination",
    "ebsOptimized": "EbsOptimized",
    "iamInstanceProfile": "IamInstanceProfile",
    "imageId": "ImageId",
    "instanceInitiatedShutdownBehavior": "InstanceInitiatedShutdownBehavior",
    "instanceType": "InstanceType",
    "keyName": "KeyName",
    "maintenanceOptions": "MaintenanceOptions",
    "metadataOptions": "MetadataOptions",
    "monitoring": "Monitoring",
    "networkInterfaces": "NetworkInterfaces",
    "placement": "Placement",
    "privateDnsNameOptions": "PrivateDnsNameOptions",
    "userData": "UserData",
    "vpcSecurityGroupIds": "SecurityGroupIds",
}


def _data(inputs: Inputs) -> Inputs:
    data = {to: shaped(inputs[of], BOOLEANS_IN_TEXT) for of, to in DATA.items() if inputs.get(of) is not None}
    tags = inputs.get("tagSpecifications") or ()
    if tags:
        data["TagSpecifications"] = [{"ResourceType": t["resourceType"], "Tags": tag_list(t["tags"])} for t in tags]
    return data


def _template(api: Api, inputs: Inputs) -> Made:
    asked = {"LaunchTemplateName": inputs["name"], **given(inputs, VersionDescription="description")}
    tags = ec2_tags("launch-template", inputs)
    made = api.ec2.create_launch_template(**asked, LaunchTemplateData=_data(inputs), **tags)["LaunchTemplate"]
    template = made["LaunchTemplateId"]
    versions = {"latestVersion": 1, "defaultVersion": 1}
    return Made(template, {"arn": api.arn("ec2", f"launch-template/{template}"), **versions})


def _next_version(api: Api, made: str, old: Inputs, new: Inputs) -> Inputs:
    """A template's versions are immutable: any change is a new one, whole."""
    asked = given(new, VersionDescription="description")
    version = api.ec2.create_launch_template_version(LaunchTemplateId=made, LaunchTemplateData=_data(new), **asked)
    latest = version["LaunchTemplateVersion"]["VersionNumber"]
    if new.get("updateDefaultVersion"):
        api.ec2.modify_launch_template(LaunchTemplateId=made, DefaultVersion=str(latest))
    default = latest if new.get("updateDefaultVersion") else old.get("defaultVersion", 1)
    return {"latestVersion": latest, "defaultVersion": default}


# ---------------------------------------------------------------- placement groups


def _placement(api: Api, inputs: Inputs) -> Made:
    asked = given(
        inputs, GroupName="name", Strategy="strategy", PartitionCount="partitionCount", SpreadLevel="spreadLevel"
    )
    made = api.ec2.create_placement_group(**asked, **ec2_tags("placement-group", inputs))["PlacementGroup"]
    name = inputs["name"]
    return Made(name, {"arn": api.arn("ec2", f"placement-group/{name}"), "placementGroupId": made["GroupId"]})


def _placement_is(api: Api, made: str, old: Inputs) -> bool:
    return found(lambda: api.ec2.describe_placement_groups(GroupNames=[made])["PlacementGroups"])


# ---------------------------------------------------------------- addresses

RESERVED: Final = 4
"""The first addresses of a subnet, which AWS keeps."""


def _interface(api: Api, inputs: Inputs) -> Made:
    subnet = inputs["subnetId"]
    chosen = (inputs.get("privateIps") or [_free_address(api, subnet, inputs)])[0]
    asked = given(inputs, SubnetId="subnetId", Groups="securityGroups", Description="description")
    tags = ec2_tags("network-interface", inputs)
    made = api.ec2.create_network_interface(**asked, PrivateIpAddress=chosen, **tags)["NetworkInterface"]
    interface = made["NetworkInterfaceId"]
    outputs = {
        "arn": api.arn("ec2", f"network-interface/{interface}"),
        "privateIp": made["PrivateIpAddress"],
        "privateIps": [made["PrivateIpAddress"]],
        "macAddress": made["MacAddress"],
        "ownerId": api.number,
        "privateDnsName": made.get("PrivateDnsName", ""),
    }
    if inputs.get("sourceDestCheck") is False:
        _source_check(api, interface, {}, inputs)
    return Made(interface, outputs)


def _free_address(api: Api, subnet: str, inputs: Inputs) -> str:
    """moto draws an address without looking whether it is taken, which AWS never gives twice. The first to look for
    comes from what is asked, so that it does not depend on who asks first unless two would get the same."""
    (described_as,) = api.ec2.describe_subnets(SubnetIds=[subnet])["Subnets"]
    of_subnet = [{"Name": "subnet-id", "Values": [subnet]}]
    taken = {i["PrivateIpAddress"] for i in api.ec2.describe_network_interfaces(Filters=of_subnet)["NetworkInterfaces"]}
    network = ipaddress.ip_network(described_as["CidrBlock"])
    count = network.num_addresses - RESERVED - 1
    first = zlib.crc32(json.dumps(inputs, sort_keys=True).encode()) % count
    addresses = (str(network[RESERVED + (first + i) % count]) for i in range(count))
    return next(a for a in addresses if a not in taken)


def _groups(api: Api, made: str, old: Inputs, new: Inputs) -> None:
    api.ec2.modify_network_interface_attribute(NetworkInterfaceId=made, Groups=new["securityGroups"])


def _source_check(api: Api, made: str, old: Inputs, new: Inputs) -> None:
    on = {"Value": new.get("sourceDestCheck", True)}
    api.ec2.modify_network_interface_attribute(NetworkInterfaceId=made, SourceDestCheck=on)


# ---------------------------------------------------------------- volumes

VOLUME: Final = {
    "AvailabilityZone": "availabilityZone",
    "Size": "size",
    "VolumeType": "type",
    "Iops": "iops",
    "Throughput": "throughput",
    "Encrypted": "encrypted",
    "KmsKeyId": "kmsKeyId",
    "SnapshotId": "snapshotId",
}


def _volume(api: Api, inputs: Inputs) -> Made:
    made = api.ec2.create_volume(**given(inputs, **VOLUME), **ec2_tags("volume", inputs))["VolumeId"]
    return Made(made, {"arn": api.arn("ec2", f"volume/{made}")})


def _volume_grows(api: Api, made: str, old: Inputs, new: Inputs) -> None:
    asked = given(new, Size="size", VolumeType="type", Iops="iops", Throughput="throughput")
    api.ec2.modify_volume(VolumeId=made, **asked)


KINDS: Final[Mapping[str, Kind]] = {
    "aws:ec2/launchTemplate:LaunchTemplate": Kind(
        _template,
        deletes("delete_launch_template", "LaunchTemplateId"),
        described("describe_launch_templates", "LaunchTemplateIds", "LaunchTemplates"),
        words("name"),
        {**TAGS, **dict.fromkeys((*DATA, "tagSpecifications", "description", "updateDefaultVersion"), _next_version)},
    ),
    "aws:ec2/placementGroup:PlacementGroup": Kind(
        _placement,
        deletes("delete_placement_group", "GroupName"),
        _placement_is,
        words("name strategy partitionCount spreadLevel tags"),
    ),
    "aws:ec2/networkInterface:NetworkInterface": Kind(
        _interface,
        deletes("delete_network_interface", "NetworkInterfaceId"),
        described("describe_network_interfaces", "NetworkInterfaceIds", "NetworkInterfaces"),
        words("subnetId privateIps description"),
        {**TAGS, "securityGroups": _groups, "sourceDestCheck": _source_check},
    ),
    "aws:ebs/volume:Volume": Kind(
        _volume,
        deletes("delete_volume", "VolumeId"),
        described("describe_volumes", "VolumeIds", "Volumes"),
        words("availabilityZone encrypted kmsKeyId snapshotId"),
        {**TAGS, **dict.fromkeys(("size", "type", "iops", "throughput"), _volume_grows)},
    ),
}
