"""What a host keeps while its machines come and go: its address, its data volumes, its place behind the API.

The machine depends on address and volumes, the membership on the target: so on a destroy the node leaves, then its
target goes, its machine ends, and last go volumes and address.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pulumi
from pulumi_aws import ebs, lb
from pulumi_aws import ec2 as aws

from components.aws.scope import Scope
from components.machines.aws import AwsHost, fixed
from lifecycle import ec2


@dataclass(frozen=True)
class HostParts:
    """Of one host: what its machine and what its membership depend on."""

    machine: Sequence[pulumi.CustomResource]
    membership: Sequence[pulumi.CustomResource]


def register_host(
    scope: Scope,
    name: str,
    host: AwsHost,
    *,
    subnet: pulumi.Input[str],
    groups: Sequence[pulumi.Input[str]],
    targets: pulumi.Input[str] | None,
) -> HostParts:
    """subnet: of its zone. groups: its security groups. targets: of the API's load balancer, for a control plane."""
    volumes = tuple(_volumes(scope, name, host))
    if not fixed(host):
        return HostParts(volumes, ())
    address = aws.NetworkInterface(
        f"{name}.address",
        subnet_id=subnet,
        security_groups=list(groups),
        description=f"Host {name} of cluster {scope.cluster}",
        tags=scope.tags(f"{scope.cluster}-{name}", name),
        opts=scope.options(),
    )
    if targets is None:
        return HostParts((address, *volumes), ())
    target = lb.TargetGroupAttachment(
        f"{name}.target", target_group_arn=targets, target_id=address.private_ip, opts=scope.options()
    )
    return HostParts((address, *volumes), (target,))


def _volumes(scope: Scope, name: str, host: AwsHost) -> Iterator[pulumi.CustomResource]:
    """Their zone is for life: what makes a volume anew would lose what is on it. A host that is written into another
    zone is refused by its step, which finds its volumes in this one."""
    for volume, said in host.data_volumes.items():
        yield ebs.Volume(
            f"{name}.{volume}",
            availability_zone=host.zones[0],
            type="gp3",
            size=said.gib,
            iops=said.iops,
            throughput=said.throughput_mibps,
            encrypted=True,
            tags=scope.tags(f"{ec2.network_name(scope.cluster)}-{name}-{volume}", name, volume=volume),
            opts=scope.options(
                ignore_changes=["availabilityZone", "encrypted", "kmsKeyId"], retain_on_delete=said.keep
            ),
        )
