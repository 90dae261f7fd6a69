"""components/boot/user_data.py: an instance gets its whole configuration, and nobody can put another in its place."""

from __future__ import annotations

import hashlib

import pytest

from components.boot.ignition import Ignition, Passwd, User, parse
from components.boot.user_data import BYTES_MAX, user_data


def of_size(size: int) -> bytes:
    """A configuration of so many bytes."""
    empty = len(Ignition(passwd=Passwd(users=(User(name="u", home_dir="/"),))).to_bytes())
    return Ignition(passwd=Passwd(users=(User(name="u", home_dir="/" + "x" * (size - empty)),))).to_bytes()


class TestUserData:
    """16 KiB is all there is."""

    @pytest.mark.parametrize("size", [200, BYTES_MAX])
    def test_is_the_configuration_while_it_fits(self, size: int) -> None:
        found = user_data(of_size(size), bucket="fleet-boot", region="eu-central-1")
        assert (len(found.data), found.data, found.stored) == (size, of_size(size), {})

    @pytest.mark.parametrize("size", [BYTES_MAX + 1, 300_000])
    def test_names_it_and_its_hash_when_it_does_not(self, size: int) -> None:
        found = user_data(of_size(size), bucket="fleet-boot", region="eu-central-1")
        assert len(found.data) <= BYTES_MAX
        pointed = parse(found.data).ignition.config
        assert pointed is not None
        assert pointed.replace is not None
        assert pointed.replace.verification is not None
        ((path, data),) = found.stored.items()
        assert pointed.replace.source == f"arn:aws:s3:::fleet-boot/{path}"
        assert pointed.replace.verification.hash == f"sha256-{hashlib.sha256(data).hexdigest()}"
        assert data == of_size(size)
        assert path == f"boot/{hashlib.sha256(data).hexdigest()}.ign"

    @pytest.mark.parametrize(
        ("region", "partition"), [("eu-central-1", "aws"), ("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")]
    )
    def test_names_it_as_its_part_of_aws_does(self, region: str, partition: str) -> None:
        found = user_data(of_size(20_000), bucket="fleet-boot", region=region)
        assert f'"arn:{partition}:s3:::fleet-boot/boot/'.encode() in found.data
