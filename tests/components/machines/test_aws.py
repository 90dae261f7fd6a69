"""components/machines/aws.py: what a pin says of a host on AWS."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.images import lock
from components.machines.contract import Own, Place
from components.stackfile import load
from lifecycle import ec2

ROOT = Path(__file__).resolve().parents[3]
ENVIRONMENT = load(ROOT / "stacks" / "Pulumi.aws.yaml")
RELEASE = lock.load(ROOT / lock.LOCK_FILE).release("fedora-coreos", ENVIRONMENT.image.version, "aarch64", None)


def place(host: str, pool: str) -> Place:
    return Place(host, pool, ENVIRONMENT, RELEASE, "blue")


class TestDeclared:
    """What the steps must know."""

    def test_of_a_host_that_stays_in_its_zone(self) -> None:
        found = ENVIRONMENT.pools["workers"].machines.declare(place("w2", "workers"))
        assert found.controller.url == "ec2://eu-central-1/aws/w2"
        assert (found.fault_domain, found.mac, found.os_disk, found.data_disks) == ("eu-central-1b", "", "", ())
        assert found.particulars == ec2.Instance(
            region="eu-central-1",
            cluster="aws",
            stack="blue",
            template="aws-workers",
            ami=RELEASE.amis["eu-central-1"],
            zones=("eu-central-1b",),
            instance_types=("m7g.2xlarge",),
            fixed_address=True,
            volumes=("data-1",),
        )

    def test_of_a_host_that_goes_where_there_is_room(self) -> None:
        found = ENVIRONMENT.pools["web"].machines.declare(place("web2", "web")).particulars
        assert isinstance(found, ec2.Instance)
        assert (found.fixed_address, found.volumes) == (False, ())
        assert found.zones == ("eu-central-1b", "eu-central-1c", "eu-central-1a")
        assert found.instance_types == ("c7g.xlarge", "c6g.xlarge")

    def test_never_the_same_controller_twice(self) -> None:
        urls = [
            ENVIRONMENT.pools[pool].machines.declare(place(name, pool)).controller.url
            for pool, name, _ in ENVIRONMENT.hosts()
        ]
        assert len(urls) == len(set(urls)) == 12


class TestOwn:
    """What a host gives to its boot configuration."""

    def test_is_its_name_volumes_and_first_zone(self) -> None:
        assert ENVIRONMENT.pools["workers"].machines.own("w1") == Own("w1", "", ("data-1",), "eu-central-1a")
        assert ENVIRONMENT.pools["web"].machines.own("web3") == Own("web3", "", (), "eu-central-1c")


def test_needs_an_environment_that_was_validated() -> None:
    bare = ENVIRONMENT.model_copy(update={"aws": None})
    with pytest.raises(ValueError, match="expected an environment with `aws`"):
        ENVIRONMENT.pools["web"].machines.declare(Place("web1", "web", bare, RELEASE, "blue"))
