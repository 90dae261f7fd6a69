"""Where machines are reached: a VPC of the stack's own, or one that is there.

In an own one, machines are in private subnets, one a zone, and get out by a NAT gateway of their own zone: a fleet
that outlives the loss of a zone must also boot machines meanwhile, and one gateway for all would be in one zone.
The bucket is reached by a gateway endpoint, which costs nothing and keeps boot configurations off the NAT gateways.
Nothing gets in from outside; who else may reach the machines is components/aws/firewall.py's.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pulumi
from pulumi_aws import ec2 as aws

from components.aws.scope import Scope
from components.machines.aws import ExistingNetwork, OwnNetwork
from lifecycle import ec2

PRIVATE_BITS, PUBLIC_BITS = 3, 6
"""Of eight parts of the range, six at most are the zones' private subnets and the last is the public ones', in
eighths: a public subnet holds a NAT gateway and nothing else."""
EVERYWHERE: Final = "0.0.0.0/0"


@dataclass(frozen=True)
class Network:
    """subnets: by zone, where machines are. ready: what must be there before a machine boots."""

    vpc: pulumi.Input[str]
    subnets: Mapping[str, pulumi.Input[str]]
    ready: Sequence[pulumi.Resource] = ()


def register_network(scope: Scope, asked: OwnNetwork | ExistingNetwork) -> Network:
    """Make the network, or name the one that is there."""
    if isinstance(asked, ExistingNetwork):
        return Network(asked.vpc, asked.subnets)
    name = ec2.network_name(scope.cluster)
    vpc = aws.Vpc(
        "vpc",
        cidr_block=asked.cidr,
        enable_dns_support=True,
        enable_dns_hostnames=True,  # without it, a private zone answers nobody
        tags=scope.tags(name),
        opts=scope.options(),
    )
    gateway = aws.InternetGateway("internet", vpc_id=vpc.id, tags=scope.tags(name), opts=scope.options())
    public = aws.RouteTable("public", vpc_id=vpc.id, tags=scope.tags(f"{name}-public"), opts=scope.options())
    out = aws.Route(
        "public-out",
        route_table_id=public.id,
        destination_cidr_block=EVERYWHERE,
        gateway_id=gateway.id,
        opts=scope.options(),
    )
    subnets: dict[str, pulumi.Input[str]] = {}
    tables: list[pulumi.Input[str]] = []
    ready: list[pulumi.Resource] = []
    for zone in asked.zones:
        private, inside = subnet_ranges(asked, zone)
        nat, through = _nat(scope, vpc.id, public, zone, inside, out)
        subnet, table, route, association = _private(scope, vpc.id, zone, private, nat)
        subnets[zone] = subnet.id
        tables.append(table.id)
        ready += [through, route, association]
    endpoint = aws.VpcEndpoint(
        "bucket-endpoint",
        vpc_id=vpc.id,
        service_name=f"com.amazonaws.{scope.region}.s3",
        vpc_endpoint_type="Gateway",
        route_table_ids=tables,
        tags=scope.tags(f"{name}-s3"),
        opts=scope.options(),
    )
    return Network(vpc.id, subnets, (*ready, endpoint))


def subnet_ranges(asked: OwnNetwork, zone: str) -> tuple[str, str]:
    """The private and the public range of a zone: by its letter, so that a zone more or less moves no other."""
    whole, at = ipaddress.ip_network(asked.cidr), ord(zone[-1]) - ord("a")
    eighths = list(whole.subnets(prefixlen_diff=PRIVATE_BITS))
    public = list(whole.subnets(prefixlen_diff=PUBLIC_BITS))[-len(eighths) :]
    return str(eighths[at]), str(public[at])


def _nat(
    scope: Scope, vpc: pulumi.Input[str], public: aws.RouteTable, zone: str, cidr: str, out: aws.Route
) -> tuple[aws.NatGateway, pulumi.Resource]:
    """The way out of a zone."""
    name = f"{ec2.network_name(scope.cluster)}-public-{zone}"
    subnet = aws.Subnet(
        f"public-{zone}",
        vpc_id=vpc,
        cidr_block=cidr,
        availability_zone=zone,
        tags=scope.tags(name),
        opts=scope.options(),
    )
    association = aws.RouteTableAssociation(
        f"public-{zone}", route_table_id=public.id, subnet_id=subnet.id, opts=scope.options()
    )
    address = aws.Eip(f"nat-{zone}", domain="vpc", tags=scope.tags(name), opts=scope.options([out]))
    nat = aws.NatGateway(
        f"nat-{zone}",
        subnet_id=subnet.id,
        allocation_id=address.id,
        tags=scope.tags(name),
        opts=scope.options([out, association]),
    )
    return nat, association


def _private(
    scope: Scope, vpc: pulumi.Input[str], zone: str, cidr: str, nat: aws.NatGateway
) -> tuple[aws.Subnet, aws.RouteTable, aws.Route, aws.RouteTableAssociation]:
    """Where a zone's machines are. The step finds the subnet by its tags."""
    name = f"{ec2.network_name(scope.cluster)}-private-{zone}"
    subnet = aws.Subnet(
        f"private-{zone}",
        vpc_id=vpc,
        cidr_block=cidr,
        availability_zone=zone,
        map_public_ip_on_launch=False,
        tags=scope.tags(name, role=ec2.ANY_ROLE),
        opts=scope.options(),
    )
    table = aws.RouteTable(f"private-{zone}", vpc_id=vpc, tags=scope.tags(name), opts=scope.options())
    route = aws.Route(
        f"private-out-{zone}",
        route_table_id=table.id,
        destination_cidr_block=EVERYWHERE,
        nat_gateway_id=nat.id,
        opts=scope.options(),
    )
    association = aws.RouteTableAssociation(
        f"private-{zone}", route_table_id=table.id, subnet_id=subnet.id, opts=scope.options()
    )
    return subnet, table, route, association
