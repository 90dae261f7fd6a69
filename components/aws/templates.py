"""What a pool's instances are launched from: image, rights, disk and placement, typed and reviewed with every change.

A template holds nothing of the network and no instance type: the step chooses zone and type, or brings the host's own
address (lifecycle/ec2.py). A new image is a new version of it, and shows in the preview beside the machines that are
replaced because of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pulumi
from pulumi_aws import ec2 as aws

from components.aws.scope import Scope
from components.machines.aws import AwsMachines
from components.machines.aws_fields import PARTITIONS
from lifecycle import ec2

ROOT_DEVICE: Final = "/dev/xvda"
"""Of the AMIs that Fedora CoreOS and Flatcar publish."""
TAGGED: Final = ("instance", "volume")
"""Of what a launch makes. No interface: most hosts are launched on one that is registered for them and has its tags,
and EC2 refuses to tag at a launch what it does not make (API reference, LaunchTemplateTagSpecificationRequest)."""


def register_template(
    scope: Scope,
    pool: str,
    machines: AwsMachines,
    *,
    ami: str,
    profile: pulumi.Input[str],
    after: Sequence[pulumi.Resource],
) -> aws.LaunchTemplate:
    """after: all that machines of the pool stand on; whatever depends on the template depends on it too."""
    name = ec2.template_name(scope.cluster, pool)
    placement = None
    if machines.placement != "none":
        group = aws.PlacementGroup(
            f"{pool}.placement",
            name=name,
            strategy=machines.placement,
            partition_count=PARTITIONS if machines.placement == "partition" else None,
            tags=scope.tags(name),
            opts=scope.options(),
        )
        placement = {"group_name": group.name}
    return aws.LaunchTemplate(
        f"{pool}.template",
        name=name,
        description=f"Machines of pool {pool}",
        update_default_version=True,
        image_id=ami,
        iam_instance_profile={"name": profile},
        # Only with a session token, and not from a pod's own network: no pod takes on the machine's role.
        metadata_options={
            "http_endpoint": "enabled",
            "http_tokens": "required",
            "http_put_response_hop_limit": 1,
            "instance_metadata_tags": "disabled",
        },
        block_device_mappings=[
            {
                "device_name": ROOT_DEVICE,
                "ebs": {
                    "volume_type": "gp3",
                    "volume_size": machines.root_gib,
                    "encrypted": "true",
                    "delete_on_termination": "true",
                },
            }
        ],
        placement=placement,
        tag_specifications=[{"resource_type": kind, "tags": scope.tags(name)} for kind in TAGGED],
        tags=scope.tags(name),
        opts=scope.options(after),
    )
