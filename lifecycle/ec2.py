"""How a fleet's things on AWS are named and tagged, and what a pin says of a host there. Pure.

One list for those who register them (components/) and for the steps that find them by it (lifecycle.adapters.ec2).
Region, cluster, pool and host are the stack file's own words, so all of them are in small letters already.

What a step finds, and by what:
- the pool's launch template by its name. It holds nothing of the network (no security group, no subnet, no
  interface), or an instance could not be given the interface that is the host's: EC2 takes either.
- the host's address (`fixed_address`), a network interface, by the tags of `tags(stack, cluster, host)`. It has its
  security groups itself.
- for a host without one: its zone's subnet, from the pin or by `tags(stack, cluster, role=ANY_ROLE)`; its security
  groups by `tags(stack, cluster, role=...)`, all that there are.
- the host's data volumes by `tags(stack, cluster, host, volume=...)`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from lifecycle.facts import Role

SCHEME: Final = "ec2"
"""Of a controller's URL, by which lifecycle.adapters.machines finds the adapter."""

STACK_TAG: Final = "ingot:stack"
CLUSTER_TAG: Final = "ingot:cluster"
"""On everything. Their values are the stack's name as Pulumi has it, and the cluster's."""
HOST_TAG: Final = "ingot:host"
"""On all that is one host's: its instance, its address, its data volumes."""
GENERATION_TAG: Final = "ingot:generation"
"""On an instance: what it boots."""
VOLUME_TAG: Final = "ingot:volume"
"""On a data volume: its name in the stack file."""

ROLE_TAG: Final = "ingot:role"
"""On a security group: of machines of this role. On a subnet for machines, of the stack's own network: ANY_ROLE, which
a public one does not have."""
ANY_ROLE: Final = "any"

DEVICES: Final = tuple(f"/dev/sd{letter}" for letter in "fghijklmnop")
"""Where data volumes are attached, in the pin's order: the names that AWS recommends for them. A host has as many at
most. Nitro machines show NVMe devices instead, found by volume id under /dev/disk/by-id."""


@dataclass(frozen=True)
class Instance:
    """A host on EC2: the particulars of its pin (lifecycle.ports.Pin).

    template: name of the launch template. ami: what its latest version must launch, or the step refuses. zones,
    instance_types: those allowed, tried in this order. fixed_address: it comes up with the network interface that is
    registered for it, which outlives it. volumes: names of its data volumes. subnets: (zone, id) of an existing
    network's; without any the stack's own are found by their tags.
    """

    region: str
    cluster: str
    stack: str
    template: str
    ami: str
    zones: tuple[str, ...]
    instance_types: tuple[str, ...]
    fixed_address: bool
    volumes: tuple[str, ...] = ()
    subnets: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Place:
    """Which host a controller's URL means."""

    region: str
    cluster: str
    host: str


def url(region: str, cluster: str, host: str) -> str:
    """Of the host's controller: `ec2://eu-central-1/blue/w1`. No credentials and no instance id: an instance comes and
    goes, the host stays."""
    return f"{SCHEME}://{region}/{cluster}/{host}"


def place(controller_url: str) -> Place:
    """What `url` was made of. Raises ValueError for a URL of another form."""
    parts = urlsplit(controller_url)
    names = parts.path.strip("/").split("/")
    whole = parts.scheme == SCHEME and parts.netloc and len(names) == 2 and all(names)
    if not whole or parts.query or parts.fragment:
        raise ValueError(f"expected {url('<region>', '<cluster>', '<host>')}, found {controller_url}")
    return Place(parts.netloc, *names)


def network_name(cluster: str) -> str:
    """Of the VPC, and of what there is once in it."""
    return cluster


def template_name(cluster: str, pool: str) -> str:
    """Of the pool's launch template."""
    return f"{cluster}-{pool}"


def role_name(cluster: str, role: Role) -> str:
    """Of the IAM role and the instance profile that all machines of a role have."""
    return f"{cluster}-{role.value}"


def balancer_name(cluster: str) -> str:
    """Of the load balancer in front of the API."""
    return f"{cluster}-api"


def tags(
    stack: str, cluster: str, host: str = "", *, generation: str = "", volume: str = "", role: str = ""
) -> dict[str, str]:
    """The tags of one thing. host: it is that host's alone. generation: of an instance. volume: of a data volume.
    role: a Role's value, or ANY_ROLE."""
    found = {STACK_TAG: stack, CLUSTER_TAG: cluster}
    own = {HOST_TAG: host, GENERATION_TAG: generation, VOLUME_TAG: volume, ROLE_TAG: role}
    return found | {key: value for key, value in own.items() if value}
