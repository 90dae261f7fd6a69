"""`ingot node` on a stack whose boot store is a bucket: before there is one, and with one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from cli.node import SILENT
from components.boot_stores import S3Store
from components.stackfile import load
from lifecycle.adapters.clock import WallClock
from lifecycle.adapters.place import Bucket
from lifecycle.adapters.records import StoredRecords
from lifecycle.adapters.s3_objects import S3Objects
from lifecycle.commands import Step, Verb
from lifecycle.ports import Claim, ClaimState, Controller, Role
from tests.cli.test_node import REPOSITORY, kubeconfig, run
from tests.lifecycle.adapters.stores import dummies
from tests.lifecycle.adapters.wire_server import silent_port

ROSTER = Step(Verb.ROSTER, "aws")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with the stack aws; the working directory is inside."""
    (tmp_path / "stacks").mkdir()
    (tmp_path / "Pulumi.yaml").write_text("name: ingot\n")
    for name in ("images.lock.json", "Pulumi.aws.yaml"):
        shutil.copy(REPOSITORY / "stacks" / name, tmp_path / "stacks")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def nobody(tmp_path: Path) -> str:
    """A kubeconfig of a cluster that does not answer."""
    return kubeconfig(tmp_path, f"http://127.0.0.1:{silent_port()}")


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An account in which there is nothing."""
    dummies(monkeypatch)
    with mock_aws():
        yield


def bucket(project: Path) -> Bucket:
    """The stack's, as a first `up` makes it."""
    environment = load(project / "stacks/Pulumi.aws.yaml")
    assert isinstance(environment.boot_store, S3Store)
    made = Bucket(environment.boot_store.bucket, environment.region)
    where: Any = {"LocationConstraint": made.region}
    boto3.Session().client("s3", made.region).create_bucket(Bucket=made.name, CreateBucketConfiguration=where)
    return made


@pytest.mark.usefixtures("aws")
class TestBeforeThereIsABucket:
    """A preview of the first `up` sees nothing; a step does not take a missing store for an empty one."""

    def test_the_roster_is_silent(self, project: Path, nobody: str) -> None:
        del project
        result = run(ROSTER, INGOT_KUBECONFIG=nobody)
        assert (result.exit_code, result.stdout.strip()) == (0, SILENT)

    def test_a_step_names_it(self, project: Path, nobody: str) -> None:
        del project
        result = run(Step(Verb.RELEASE, "aws", "w1", "0123456789abcdef"), INGOT_KUBECONFIG=nobody)
        assert result.exit_code == 1
        assert "found no such bucket in eu-central-1. Remedy: runbooks/boot-store.md#missing" in result.stderr


@pytest.mark.usefixtures("aws")
class TestWithABucket:
    """Steps read what other steps wrote there."""

    def test_claims_tell_when_the_cluster_is_away(self, project: Path, nobody: str) -> None:
        made = bucket(project)
        records = StoredRecords(lambda: S3Objects(made, WallClock()), "aws", WallClock())
        records.record_initialised("cp1")
        controller = Controller("ec2://eu-central-1/example/w1")
        claim = Claim("aws", "w1", "0123456789abcdef", ClaimState.JOINED, controller, "workers", Role.WORKER, False)
        assert records.put_claim("w1", claim, None)
        found = json.loads(run(ROSTER, INGOT_KUBECONFIG=nobody).stdout)
        assert found == {"answered": True, "nodes": {"w1": "in"}, "source": "claims"}

    def test_nothing_to_release(self, project: Path, nobody: str) -> None:
        bucket(project)
        result = run(Step(Verb.RELEASE, "aws", "w1", "0123456789abcdef"), INGOT_KUBECONFIG=nobody)
        assert (result.exit_code, result.stdout.strip()) == (0, "w1 has nothing to release: no claim")
