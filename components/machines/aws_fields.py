"""The values that fields of machines on AWS may hold (see components/fields.py), and what a name says of a machine."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import Field

from components.fields import Refused, number, text
from components.releases import Architecture

ZONE: Final = r"[a-z]{2}(-[a-z]+)+-[0-9][a-g]"
SPREAD_MAX: Final = 7
"""Running instances of a spread placement group in one zone (EC2 user guide, "Placement strategies")."""
PARTITIONS: Final = 7
"""Of a partition placement group in one zone, at most; as many as there can be share the least."""
CLUSTER_NAME_MAX: Final = 28
"""A load balancer's name is at most 32 characters, and `-api` is ours."""
_FAMILY: Final = re.compile(r"(?P<series>[a-z]+)(?P<generation>[0-9]+)(?P<options>[a-z]*)(?P<rest>-[a-z0-9-]+)?\.")


def _region(name: str) -> str:
    if re.fullmatch(ZONE, name):
        raise Refused(f"write the region alone, without the zone's letter: {name[:-1]}")
    return name


def _zone(name: str) -> str:
    if re.fullmatch(ZONE[: -len("[a-g]")], name):
        raise Refused("add the zone's letter; this is a region")
    return name


def _tag_key(key: str) -> str:
    if key.lower().startswith("aws:"):
        raise Refused("write another key; those that begin with aws: are AWS's own")
    if key.lower().startswith("ingot:") or key == "Name":
        raise Refused("write another key; this one says what a resource is of this stack")
    return key


Region = Annotated[
    str,
    Field(pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9]$", max_length=32),
    text("a region of AWS such as eu-central-1", _region),
]

Zone = Annotated[
    str,
    Field(pattern=f"^{ZONE}$", max_length=33),
    text("an availability zone such as eu-central-1a", _zone),
]
"""By name; local and wavelength zones are none, as not everything that a fleet needs is there."""

VpcId = Annotated[
    str,
    Field(pattern="^vpc-[0-9a-f]{8,17}$"),
    text("the id of a VPC such as vpc-0a1b2c3d4e5f60718"),
]

SubnetId = Annotated[
    str,
    Field(pattern="^subnet-[0-9a-f]{8,17}$"),
    text("the id of a subnet such as subnet-0a1b2c3d4e5f60718"),
]

InstanceType = Annotated[
    str,
    Field(pattern=r"^[a-z][a-z0-9-]*\.[a-z0-9-]+$", max_length=64),
    text("an instance type such as m7g.xlarge", fix="write family, a dot and size, in small letters"),
]

TagKey = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9 _.:/=+@-]+$", max_length=128),
    text("the key of a tag such as team", _tag_key, fix="write letters, digits, spaces and _ . : / = + - @ only"),
]

Tag = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9 _.:/=+@-]*$", max_length=256),
    text("the value of a tag", fix="write at most 256 letters, digits, spaces and _ . : / = + - @"),
]

# Images of the systems take up to 10 GiB; container images and logs need the rest.
RootGib = Annotated[
    int,
    Field(ge=20, le=16_384),
    number("GiB: 20 to 16384", "write 20 or more; the system, its logs and container images need it"),
]

# The limits of gp3 (EBS user guide, "General Purpose SSD volumes").
VolumeGib = Annotated[int, Field(ge=1, le=16_384), number("GiB: 1 to 16384")]
VolumeIops = Annotated[int, Field(ge=3000, le=16_000), number("operations a second: 3000 to 16000")]
VolumeThroughput = Annotated[int, Field(ge=125, le=1000), number("MiB a second: 125 to 1000")]


def partition_of(region: str) -> str:
    """Of AWS, as ARNs name it."""
    return {"cn": "aws-cn", "us-gov": "aws-us-gov"}.get(region[: region.rindex("-", 0, -2)], "aws")


def region_of(zone: str) -> str:
    """The region that an availability zone is in."""
    return zone[:-1]


def architecture_of(instance_type: str) -> Architecture | None:
    """What a type's processors are, or None where its name does not say (EC2 instance types guide, "Naming
    conventions": a g among the letters after the generation is Graviton)."""
    family = _FAMILY.match(instance_type)
    if family is None or family["series"] in ("u", "mac"):
        return None
    rest = family["rest"] or ""
    if family["series"] == "a" or "g" in family["options"] or rest.startswith("-gb"):
        return "aarch64"
    return "x86_64"


def has_instance_store(instance_type: str) -> bool:
    """Whether a type has disks of its own, which are empty on each new machine (same guide: d is for disks; the
    series for storage have them all)."""
    family = _FAMILY.match(instance_type)
    if family is None:
        return False
    return "d" in family["options"] or family["series"] in ("d", "h", "i", "im", "is")
