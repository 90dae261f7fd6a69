"""components/machines/aws_fields.py: what the name of an instance type says."""

from __future__ import annotations

import pytest

from components.machines.aws_fields import architecture_of, has_instance_store, partition_of


class TestArchitecture:
    """Graviton or not, so that an image boots where it is launched."""

    @pytest.mark.parametrize(
        "name",
        [
            "a1.large",
            "t4g.micro",
            "m6g.large",
            "m7gd.xlarge",
            "c7gn.16xlarge",
            "c8g.metal-24xl",
            "r7g.large",
            "x2gd.large",
            "im4gn.large",
            "is4gen.large",
            "i4g.large",
            "g5g.xlarge",
            "hpc7g.4xlarge",
            "p6e-gb200.36xlarge",
        ],
    )
    def test_of_graviton(self, name: str) -> None:
        assert architecture_of(name) == "aarch64"

    @pytest.mark.parametrize(
        "name",
        [
            "t3a.small",
            "m7i.large",
            "m7i-flex.large",
            "c6id.large",
            "m5zn.metal",
            "r6idn.large",
            "g4dn.xlarge",
            "g6.xlarge",
            "p4d.24xlarge",
            "p6-b200.48xlarge",
            "i4i.large",
            "d3en.xlarge",
            "inf2.xlarge",
            "trn1n.32xlarge",
            "x2iedn.xlarge",
        ],
    )
    def test_of_others(self, name: str) -> None:
        assert architecture_of(name) == "x86_64"

    @pytest.mark.parametrize(
        "name",
        ["u-6tb1.metal", "u7i-12tb.224xlarge", "mac2.metal", "something.large"],
    )
    def test_of_what_does_not_say(self, name: str) -> None:
        assert architecture_of(name) is None


class TestInstanceStore:
    """Whether there are disks that go with the machine."""

    @pytest.mark.parametrize(
        "name",
        ["m7gd.large", "c6id.large", "i4i.large", "i7ie.large", "im4gn.large", "is4gen.large", "d3.xlarge"],
    )
    def test_has_one(self, name: str) -> None:
        assert has_instance_store(name)

    @pytest.mark.parametrize(
        "name",
        ["m7g.large", "c7i.large", "t3.micro", "inf2.xlarge", "u-6tb1.metal"],
    )
    def test_has_none(self, name: str) -> None:
        assert not has_instance_store(name)


@pytest.mark.parametrize(
    ("region", "partition"),
    [("eu-central-1", "aws"), ("ap-southeast-2", "aws"), ("cn-northwest-1", "aws-cn"), ("us-gov-east-1", "aws-us-gov")],
)
def test_partitions(region: str, partition: str) -> None:
    assert partition_of(region) == partition
