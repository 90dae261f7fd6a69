"""components/boot/user_data.py: an instance gets its whole configuration, and nobody can put another in its place."""

from __future__ import annotations

import hashlib
import json

import pytest

from components.boot.ignition import Ignition, Passwd, User, parse
from components.boot.user_data import BYTES_MAX, role_policy, user_data

GENERATION = "0123456789abcdef"


def of_size(size: int) -> bytes:
    """A configuration of so many bytes."""
    empty = len(Ignition(passwd=Passwd(users=(User(name="u", home_dir="/"),))).to_bytes())
    return Ignition(passwd=Passwd(users=(User(name="u", home_dir="/" + "x" * (size - empty)),))).to_bytes()


class TestUserData:
    """16 KiB is all there is."""

    @pytest.mark.parametrize("size", [200, BYTES_MAX])
    def test_is_the_configuration_while_it_fits(self, size: int) -> None:
        found = user_data(of_size(size), node="w1", generation=GENERATION, bucket="fleet-boot")
        assert (len(found.data), found.data, found.stored) == (size, of_size(size), {})

    @pytest.mark.parametrize("size", [BYTES_MAX + 1, 300_000])
    def test_names_it_and_its_hash_when_it_does_not(self, size: int) -> None:
        found = user_data(of_size(size), node="w1", generation=GENERATION, bucket="fleet-boot")
        assert len(found.data) <= BYTES_MAX
        pointed = parse(found.data).ignition.config
        assert pointed is not None
        assert pointed.replace is not None
        assert pointed.replace.verification is not None
        ((path, data),) = found.stored.items()
        assert pointed.replace.source == f"arn:aws:s3:::fleet-boot/{path}"
        assert pointed.replace.verification.hash == f"sha256-{hashlib.sha256(data).hexdigest()}"
        assert data == of_size(size)
        assert GENERATION in path


class TestRole:
    """Of an instance, for its boot."""

    def test_may_read_its_own_configuration_and_nothing_else(self) -> None:
        found = user_data(of_size(20_000), node="w1", generation=GENERATION, bucket="fleet-boot")
        (statement,) = json.loads(role_policy("fleet-boot", found.stored))["Statement"]
        assert statement == {
            "Effect": "Allow",
            "Action": ["s3:GetObject"],
            "Resource": [f"arn:aws:s3:::fleet-boot/boot/{GENERATION}/w1.ign"],
        }
