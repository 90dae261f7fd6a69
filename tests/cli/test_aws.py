"""`ingot aws`: the policy that steps need, and what is missing of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from typer.testing import CliRunner, Result

from cli.aws import NothingOnAws, app
from lifecycle import ec2
from lifecycle.aws_permissions import Extent
from lifecycle.aws_permissions import policy as document
from tests.lifecycle.adapters.cloud import REGION, Cloud, account

BUCKET = "example-ingot-aws"
REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)


def aws(*words: str) -> Result:
    return CliRunner().invoke(app, [*words], env={"INGOT_PULUMI": "no-engine"})


class TestPolicy:
    """Of the example stack, ready to be attached."""

    def test_is_the_tables(self) -> None:
        printed = aws("policy", "aws")
        assert printed.exit_code == 0, printed.output
        assert json.loads(printed.stdout) == document(Extent(REGION, "aws", "aws", BUCKET))

    def test_of_a_stack_of_metal_there_is_none(self) -> None:
        refused = aws("policy", "metal")
        assert isinstance(refused.exception, NothingOnAws)
        assert "expected a pool of kind aws or a boot store of kind s3, found neither" in str(refused.exception)


class TestCheck:
    """Asks AWS, and changes nothing."""

    @pytest.fixture
    def cloud(self) -> Iterator[Cloud]:
        with account() as made:
            where: Any = {"LocationConstraint": REGION}
            boto3.client("s3", region_name=REGION).create_bucket(Bucket=BUCKET, CreateBucketConfiguration=where)
            yield made

    def test_nothing(self, cloud: Cloud) -> None:
        checked = aws("check", "aws")
        assert (checked.exit_code, checked.output) == (
            0,
            "aws: nothing is missing for a roll, and every machine has a claim\n",
        )

    def test_a_machine_that_nobody_knows(self, cloud: Cloud) -> None:
        made = cloud.see.run_instances(ImageId="ami-0", MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
        cloud.tag(made, **ec2.tags("aws", "aws", "w9"))
        checked = aws("check", "aws")
        assert checked.exit_code == 1
        assert "a machine that no claim knows" in checked.output
        assert f"instance {made} (running" in checked.output
        assert "w9" in checked.output
