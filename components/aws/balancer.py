"""One name for the API, whichever control plane answers: a network load balancer inside the network.

Its targets are addresses, not instances: a control plane's address outlives its machines, so a target is registered
once for each host's life and goes only after the host left. The name is the stack file's `cluster.endpoint`, in a
private zone of exactly that name, which shadows nothing else; or somebody else leads a CNAME to `Balancer.address`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pulumi
from pulumi_aws import lb, route53

from components.aws.firewall import API_PORT, Firewall
from components.aws.network import Network
from components.aws.scope import Scope
from components.environment import Cluster
from lifecycle import ec2

CHECK_S: Final = 10
"""Between two health checks. A control plane that stops answering gets nothing new after two of them."""
DRAIN_S: Final = 30
"""Until the connections of a target that goes are cut; clients of the API connect again."""


@dataclass(frozen=True)
class Balancer:
    """targets: the group that control planes are registered in. address: its own name on AWS. ready: what must be
    there before a machine boots."""

    targets: pulumi.Input[str]
    address: pulumi.Output[str]
    ready: Sequence[pulumi.Resource]


def register_balancer(scope: Scope, network: Network, firewall: Firewall, cluster: Cluster, record: str) -> Balancer:
    """record: as the stack file's `aws.endpoint_record`."""
    name = ec2.balancer_name(scope.cluster)
    balancer = lb.LoadBalancer(
        "api",
        name=name,
        internal=True,
        load_balancer_type="network",
        subnets=list(network.subnets.values()),
        security_groups=[firewall.ids["api"]],
        enable_cross_zone_load_balancing=True,  # a zone whose control plane is out is served by the others
        tags=scope.tags(name),
        opts=scope.options(),
    )
    targets = lb.TargetGroup(
        "api",
        name=name,
        port=API_PORT,
        protocol="TCP",
        target_type="ip",
        vpc_id=network.vpc,
        # With it, a control plane that is led to itself would get an answer from where it did not ask.
        preserve_client_ip="false",
        deregistration_delay=DRAIN_S,
        health_check={
            "protocol": "HTTPS",
            "path": "/readyz",
            "matcher": "200",
            "interval": CHECK_S,
            "healthy_threshold": 2,
            "unhealthy_threshold": 2,
        },
        tags=scope.tags(name),
        opts=scope.options(),
    )
    listener = lb.Listener(
        "api",
        load_balancer_arn=balancer.arn,
        port=cluster.endpoint_port,
        protocol="TCP",
        default_actions=[{"type": "forward", "target_group_arn": targets.arn}],
        tags=scope.tags(name),
        opts=scope.options(),
    )
    ready = [listener]
    if record == "private-zone":
        ready.append(_record(scope, network, cluster.endpoint, balancer))
    return Balancer(targets.arn, balancer.dns_name, ready)


def _record(scope: Scope, network: Network, endpoint: str, balancer: lb.LoadBalancer) -> route53.Record:
    zone = route53.Zone(
        "endpoint",
        name=endpoint,
        comment=f"Where the API of cluster {scope.cluster} answers",
        vpcs=[{"vpc_id": network.vpc, "vpc_region": scope.region}],
        tags=scope.tags(endpoint),
        opts=scope.options(),
    )
    return route53.Record(
        "endpoint",
        zone_id=zone.zone_id,
        name=endpoint,
        type="A",
        aliases=[{"name": balancer.dns_name, "zone_id": balancer.zone_id, "evaluate_target_health": False}],
        opts=scope.options(),
    )
