"""All that a fleet on AWS stands on, put together. Fulfils components.infrastructure.Register."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pulumi

from components.aws.access import register_access
from components.aws.balancer import register_balancer
from components.aws.firewall import register_firewall
from components.aws.hosts import HostParts, register_host
from components.aws.network import register_network
from components.aws.scope import scope
from components.aws.store import register_store
from components.aws.templates import register_template
from components.boot_stores import S3Store
from components.environment import Environment
from components.infrastructure import Surroundings
from components.machines.aws import AwsMachines
from components.rollout.steps import settled
from lifecycle.ec2 import Instance
from lifecycle.facts import Role


class AwsInfrastructure(pulumi.ComponentResource):
    """Groups it for a reader."""

    def __init__(self, name: str, *, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("ingot:index:Aws", name, {}, opts)
        self.register_outputs({})


async def register(
    environment: Environment, stack: str, particulars: Mapping[str, object], parent: pulumi.Resource
) -> Surroundings:
    """Fulfils components.infrastructure.Register. Raises what `settled` does."""
    aws, store, cluster = environment.aws, environment.boot_store, environment.cluster
    if aws is None or not isinstance(store, S3Store):
        raise ValueError("expected an environment with `aws` and a bucket, found none: validate it first")
    group = AwsInfrastructure(cluster.name, opts=pulumi.ResourceOptions(parent=parent))
    of = scope(stack, cluster.name, aws, group)
    network = register_network(of, aws.network)
    firewall = register_firewall(of, network, cluster.endpoint_port, aws.runners)
    access = register_access(of, store.bucket)
    balancer = register_balancer(of, network, firewall, cluster, aws.endpoint_record)
    bucket = register_store(of, store.bucket)
    ready = (*network.ready, *firewall.ready, *access.ready, *balancer.ready, *bucket)
    templates: dict[str, pulumi.CustomResource] = {}
    parts: dict[str, tuple[str, HostParts]] = {}
    for pool, declared in environment.pools.items():
        machines, role = declared.machines, Role(declared.role)
        if not isinstance(machines, AwsMachines):
            continue
        profile, ami = access.profiles[role], _ami(particulars, machines.hosts)
        templates[pool] = register_template(of, pool, machines, ami=ami, profile=profile, after=ready)
        groups = firewall.of_machine(role, stores=environment.stores(pool))
        targets = balancer.targets if role is Role.CONTROL_PLANE else None
        for name, host in machines.hosts.items():
            subnet = network.subnets[host.zones[0]]
            parts[name] = (pool, register_host(of, name, host, subnet=subnet, groups=groups, targets=targets))
    machine = {name: await _urns([templates[pool], *part.machine]) for name, (pool, part) in parts.items()}
    membership = {name: await _urns(part.membership) for name, (_, part) in parts.items()}
    return Surroundings(machine, membership, {"load_balancer": balancer.address})


async def _urns(resources: Sequence[pulumi.CustomResource]) -> tuple[str, ...]:
    return tuple([await settled(resource.pulumi_resource_name, resource) for resource in resources])


def _ami(particulars: Mapping[str, object], hosts: Iterable[str]) -> str:
    """Of a pool: what the pins of its hosts name, so that the steps find in the template what they expect."""
    (found,) = {p.ami for h in hosts if isinstance(p := particulars.get(h), Instance)}
    return found
