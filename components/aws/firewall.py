"""Who may speak to whom: a security group for control planes, workers, storage hosts, and the API's load balancer.

Everything that is let in is in `OPENINGS`, with the reason. Machines may open connections to anywhere: registries,
time servers and whatever the applications on them call are not this stack's to know.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import pulumi
from pulumi_aws import ec2 as aws
from pulumi_aws import vpc

from components.aws.network import EVERYWHERE, Network
from components.aws.scope import Scope
from lifecycle.facts import Role

Who = Literal["control-plane", "worker", "storage", "api"]

GROUPS: Final[Mapping[Who, str]] = {
    "control-plane": "Control planes of the cluster",
    "worker": "Workers of the cluster",
    "storage": "Workers that keep replicas, besides what all workers have",
    "api": "Load balancer in front of the API",
}
API_PORT: Final = 6443
"""Where each control plane serves the API, whatever port the load balancer shows."""
ETCD_PORT: Final = 2379


@dataclass(frozen=True)
class Opening:
    """Ports of `to` that `sources` may reach. name: of the rules. port_max: the last of a range."""

    name: str
    to: Who
    sources: tuple[Who, ...]
    port: int
    port_max: int = 0
    protocol: Literal["tcp", "udp"] = "tcp"


MACHINES: Final[tuple[Who, ...]] = ("control-plane", "worker")

# Kubernetes: "Ports and Protocols" of its reference. Pods reach the API by its service, which leads to the control
# planes themselves; programs of the machines reach it by the load balancer.
# Flannel: its backend is VXLAN, on the port of Linux (components/kubernetes/cni.py).
# simplyblock: ports that its documentation asks to be open between nodes; clients are all workers.
OPENINGS: Final = (
    Opening("api-of-control-planes", "control-plane", ("api", *MACHINES), API_PORT),
    Opening("etcd", "control-plane", ("control-plane",), ETCD_PORT, ETCD_PORT + 1),
    Opening("kubelet-of-control-planes", "control-plane", ("control-plane",), 10250),
    Opening("kubelet-of-workers", "worker", ("control-plane",), 10250),
    Opening("pods-of-control-planes", "control-plane", MACHINES, 8472, protocol="udp"),
    Opening("pods-of-workers", "worker", MACHINES, 8472, protocol="udp"),
    Opening("nvme-tcp", "storage", ("worker",), 4420, 4499),
    Opening("storage-node-api", "storage", ("worker",), 5000),
    Opening("storage-rpc", "storage", ("worker",), 8080, 9044),
    Opening("storage-control-api", "storage", ("worker",), 80),
)


@dataclass(frozen=True)
class Firewall:
    """ids: of each group. ready: the rules, which must be there before a machine boots."""

    ids: Mapping[Who, pulumi.Input[str]]
    ready: Sequence[pulumi.Resource]

    def of_machine(self, role: Role, *, stores: bool) -> list[pulumi.Input[str]]:
        """The groups of a machine."""
        own = self.ids["control-plane" if role is Role.CONTROL_PLANE else "worker"]
        return [own, self.ids["storage"]] if stores else [own]


def register_firewall(scope: Scope, network: Network, api_port: int, runners: Sequence[str]) -> Firewall:
    """api_port: of the load balancer. runners: ranges of addresses that steps run from."""
    groups = {who: _group(scope, network, who, about) for who, about in GROUPS.items()}
    ids: dict[Who, pulumi.Input[str]] = {who: group.id for who, group in groups.items()}
    openings = (*OPENINGS, Opening("api", "api", MACHINES, api_port))
    ready = [rule for opening in openings for rule in _let_in(scope, ids, opening)]
    for i, runner in enumerate(runners):
        ready += _let_steps_in(scope, ids, api_port, i, runner)
    ready += (_let_out(scope, ids[who], who) for who in GROUPS if who not in ("api", "storage"))
    to_api = vpc.SecurityGroupEgressRule(
        "api-out",
        security_group_id=ids["api"],
        referenced_security_group_id=ids["control-plane"],
        ip_protocol="tcp",
        from_port=API_PORT,
        to_port=API_PORT,
        description="To the API of control planes, also for health checks",
        tags=scope.tags(f"{scope.cluster}-api-out"),
        opts=scope.options(),
    )
    return Firewall(ids, (*ready, to_api))


def _group(scope: Scope, network: Network, who: Who, about: str) -> aws.SecurityGroup:
    role = who if who in tuple(Role) else ""  # by which the step finds a machine's
    name = f"{scope.cluster}-{who}"
    return aws.SecurityGroup(
        who,
        name=name,
        description=about,
        vpc_id=network.vpc,
        tags=scope.tags(name, role=role),
        opts=scope.options(),
    )


def _let_in(scope: Scope, ids: Mapping[Who, pulumi.Input[str]], o: Opening) -> Iterator[pulumi.Resource]:
    for source in o.sources:
        name = f"{o.name}-from-{source}"
        yield vpc.SecurityGroupIngressRule(
            name,
            security_group_id=ids[o.to],
            referenced_security_group_id=ids[source],
            ip_protocol=o.protocol,
            from_port=o.port,
            to_port=o.port_max or o.port,
            description=f"{o.name} from {source}",
            tags=scope.tags(f"{scope.cluster}-{name}"),
            opts=scope.options(),
        )


def _let_steps_in(
    scope: Scope, ids: Mapping[Who, pulumi.Input[str]], api_port: int, i: int, runner: str
) -> Iterator[pulumi.Resource]:
    """Steps ask the API by its load balancer, and etcd's members themselves."""
    for who, port in (("api", api_port), ("control-plane", ETCD_PORT)):
        name = f"steps-{i}-to-{who}"
        yield vpc.SecurityGroupIngressRule(
            name,
            security_group_id=ids["api" if who == "api" else "control-plane"],
            cidr_ipv4=runner,
            ip_protocol="tcp",
            from_port=port,
            to_port=port,
            description="Where steps run",
            tags=scope.tags(f"{scope.cluster}-{name}"),
            opts=scope.options(),
        )


def _let_out(scope: Scope, group: pulumi.Input[str], who: Who) -> vpc.SecurityGroupEgressRule:
    return vpc.SecurityGroupEgressRule(
        f"{who}-out",
        security_group_id=group,
        cidr_ipv4=EVERYWHERE,
        ip_protocol="-1",
        description="Whatever machines and applications call",
        tags=scope.tags(f"{scope.cluster}-{who}-out"),
        opts=scope.options(),
    )
