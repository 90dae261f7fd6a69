"""EC2 instances: launched from the pinned image's AMI, one at a time, by the steps.

Here is what a stack file says of them, and where they stand. What is registered around them is components/aws/;
how one is launched, found again and ended is lifecycle/adapters/ec2's. Why an instance is no resource of its own:
docs/decisions/0090.md.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from components.fields import Cidr, Closed, InOrder, Label
from components.machines.aws_fields import (
    InstanceType,
    Region,
    RootGib,
    SubnetId,
    Tag,
    TagKey,
    VolumeGib,
    VolumeIops,
    VolumeThroughput,
    VpcId,
    Zone,
)
from components.machines.contract import Declared, Own, Place, Platform
from lifecycle import ec2
from lifecycle.facts import Controller

VOLUMES_MAX: Final = len(ec2.DEVICES)


class OwnNetwork(Closed):
    """A VPC of the stack's own, with a public and a private subnet in each zone. Machines are in the private ones."""

    kind: Literal["own"]
    """A network of the stack's own."""
    cidr: Cidr
    """Its IPv4 addresses, /16 to /22."""
    zones: tuple[Zone, ...] = Field(min_length=1, max_length=6)
    """Its availability zones, of the region; three, so that etcd outlives the loss of one."""

    @property
    def zone_names(self) -> tuple[str, ...]:
        return self.zones


class ExistingNetwork(Closed):
    """A VPC that somebody else keeps, with ways to the image registries and to S3."""

    kind: Literal["existing"]
    """A network that is there."""
    vpc: VpcId
    """The VPC."""
    subnets: dict[Zone, SubnetId] = Field(min_length=1, max_length=6)
    """By availability zone, the subnet in which machines are; private ones."""

    @property
    def zone_names(self) -> tuple[str, ...]:
        return tuple(self.subnets)


Network = Annotated[OwnNetwork | ExistingNetwork, Field(discriminator="kind")]
"""Where machines on AWS are reached."""


class Aws(Closed):
    """Where all machines on AWS are. Credentials are those that the AWS SDKs find, and never stand here."""

    region: Region
    """The region."""
    network: Network
    """Its network, made or there."""
    endpoint_record: Literal["private-zone", "none"] = "private-zone"
    """Who leads cluster.endpoint to the API's load balancer. private-zone: this stack, in a private zone of exactly
    that name, for the VPC. none: somebody else, by a CNAME."""
    runners: tuple[Cidr, ...] = ()
    """IPv4 ranges that the steps run from, which ask the API and etcd; without any, only machines reach those."""
    tags: dict[TagKey, Tag] = Field(default={}, max_length=40)
    """Put on everything besides the stack's own."""


class DataVolume(Closed):
    """A gp3 volume of the host's own, encrypted. It outlives each of the host's machines."""

    gib: VolumeGib
    """Its size."""
    iops: VolumeIops = 3000
    """Operations a second; 500 for each GiB at most."""
    throughput_mibps: VolumeThroughput = 125
    """MiB a second; a quarter of iops at most."""
    keep: bool = False
    """Whether it outlives the stack: whoever destroys that leaves it behind, with its tags."""


class AwsHost(Closed):
    """One host on EC2. Its name is the node's name for life; its instances come and go."""

    zones: tuple[Zone, ...] = Field(min_length=1, max_length=6)
    """Where it may be, tried in this order. Exactly one for control planes, for pools that store and for hosts with
    data volumes: address and volumes do not move between zones. The others go where there is capacity."""
    data_volumes: dict[Label, DataVolume] = Field(default={}, max_length=VOLUMES_MAX)
    """By name; attached to each new machine of the host, never written by an installation."""
    retire: bool = False
    """The host leaves for good, and its volumes may be lost."""


class AwsMachines(Closed):
    """EC2 instances, launched one by one; no auto-scaling group, because the plan owns the order."""

    kind: Literal["aws"]
    """The kind of machine."""
    instance_types: tuple[InstanceType, ...] = Field(min_length=1)
    """Tried in this order where capacity is missing; all of the image's architecture."""
    root_gib: RootGib = 50
    """Of the root volume: gp3, encrypted, gone with its machine."""
    placement: Literal["none", "spread", "partition"] = "none"
    """spread: no two on the same hardware, 7 in a zone at most. partition: in 7 groups that share none."""
    hosts: Annotated[dict[Label, AwsHost], InOrder] = Field(min_length=1)
    """By name; they roll in the natural order of their names (w2 before w10)."""

    doubles: ClassVar[bool] = True

    @property
    def platform(self) -> Platform:
        return "aws"

    def own(self, host: str) -> Own:
        """Fulfils components.machines.contract.Kind. A host with several zones is of the first until it got another:
        then its claim says so, and its configuration is made for that one."""
        of = self.hosts[host]
        # A volume's id is not known before it is made; that it is the host's is what a machine is launched with.
        return Own(host, "", tuple(sorted(of.data_volumes)), of.zones[0])

    def wipes(self, host: str) -> bool:
        """Fulfils components.machines.contract.Kind: never, as its disk goes with its instance."""
        return False

    def declare(self, place: Place) -> Declared:
        """Fulfils components.machines.contract.Kind. The environment has an `aws`: a rule of the stack file."""
        of, aws = self.hosts[place.host], place.environment.aws
        if aws is None:
            raise ValueError("expected an environment with `aws` in it, found none: validate it first")
        cluster = place.environment.cluster.name
        instance = ec2.Instance(
            region=aws.region,
            cluster=cluster,
            stack=place.stack,
            template=ec2.template_name(cluster, place.pool),
            ami=place.release.amis.get(aws.region, ""),
            zones=of.zones,
            instance_types=self.instance_types,
            fixed_address=fixed(of) and place.node == place.host,
            volumes=tuple(of.data_volumes),
            subnets=tuple(aws.network.subnets.items()) if isinstance(aws.network, ExistingNetwork) else (),
        )
        controller = Controller(ec2.url(aws.region, cluster, place.node))
        # Without volumes, only disks of the instance's own can store, and they go with it.
        survive = bool(of.data_volumes)
        return Declared(controller, of.zones[0], disks_survive=survive, particulars=instance)


def fixed(host: AwsHost) -> bool:
    """Whether the host has one address for life, which needs that it stays in one zone, and that it never has two
    machines at once."""
    return len(host.zones) == 1
