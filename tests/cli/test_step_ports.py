"""Metal on a bucket of the site's: what is published there, handed out and taken away, with all that a step has.

Simulated are the publisher, whose files are small, and S3 (moto); nothing boots.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from moto import mock_aws
from typer.testing import CliRunner

from cli.aws import app
from cli.step_ports import contents, declared, fetched, installer, ports, signature
from components.images.publishers import PUBLISHERS
from components.images.sources import Folder
from lifecycle.adapters.clock import WallClock
from lifecycle.adapters.delivery import StoredDelivery
from lifecycle.adapters.installer import Installer
from lifecycle.adapters.place import Bucket
from lifecycle.adapters.stores import Stores
from lifecycle.commands import Step, Verb
from lifecycle.erase import pin_of
from lifecycle.errors import NeedsAttention
from lifecycle.ports import Claim, ClaimState, Credentials, Erasure, Pin, Progress
from lifecycle.run import execute
from tests.lifecycle.adapters.stores import dummies

REPOSITORY = Path(__file__).resolve().parents[2]
NAME, REGION, URL = "example-ingot-metal", "eu-central-1", "https://boot.metal.example"
CREDENTIALS = Credentials(init=False, endpoint="e:6443", token="abcdef.0123456789abcdef", pki={"ca.crt": "PEM"})


@pytest.fixture(params=["metal", "flatcar", "talos"])
def stack(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def project(tmp_path: Path, stack: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout whose stack boots from a bucket, and whose lock pins small files: each has its own URL in it."""
    (tmp_path / "stacks").mkdir()
    (tmp_path / "Pulumi.yaml").write_text("name: ingot\n")
    document = yaml.safe_load((REPOSITORY / f"stacks/Pulumi.{stack}.yaml").read_text())
    environment = document["config"]["ingot:environment"]
    environment["boot_store"] = {"kind": "s3", "bucket": NAME, "url": URL, "region": REGION, "reports": True}
    (tmp_path / f"stacks/Pulumi.{stack}.yaml").write_text(yaml.safe_dump(document))
    lock = json.loads(stand_in(stack))
    for releases in lock["images"].values():
        for artifact in (a for by in releases.values() for facts in by.values() for a in facts["artifacts"].values()):
            artifact["sha256"] = hashlib.sha256(artifact["url"].encode()).hexdigest()
    (tmp_path / "stacks/images.lock.json").write_text(json.dumps(lock))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INGOT_PULUMI", "no-engine")
    monkeypatch.setenv("INGOT_VIEW", "own")
    return tmp_path


def stand_in(stack: str) -> bytes:
    """The lock, completed with what a rehearsal of the stack takes for what is not pinned yet."""
    from components.images.lock import load
    from components.stackfile import load as environment_of
    from rehearsal.stand_in import completed

    environment = environment_of(REPOSITORY / f"stacks/Pulumi.{stack}.yaml")
    return completed(environment, load(REPOSITORY / "stacks/images.lock.json"))[0].to_bytes()


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    dummies(monkeypatch)
    with mock_aws():
        yield boto3.Session().client("s3", REGION)


@pytest.fixture
def bucket(s3: Any) -> Any:
    s3.create_bucket(Bucket=NAME, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_bucket_versioning(Bucket=NAME, VersioningConfiguration={"Status": "Enabled"})
    return s3


@dataclass
class Site:
    """The steps of a stack, and the publisher that they fetch from."""

    root: Path
    stack: str
    looking: Any
    fetched: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.found = declared(self.root, self.stack)
        self.stores = Stores(lambda: self.found.boot_store, WallClock())
        self.boot = self.stores.boot(
            lambda: self.found.boot_url, lambda pin: contents(self.root, self.stack, pin), self.installer
        )

    def installer(self, pin: Pin) -> Installer:
        made = installer(self.root, self.stack, pin)
        return replace(made, fetch=self.fetch, signatures=dict.fromkeys(made.signatures, lambda: b"a signature"))

    @contextlib.contextmanager
    def fetch(self, url: str) -> Iterator[Path]:
        self.fetched.append(url)
        file = self.root / "fetched"
        file.write_bytes(url.encode())
        yield file

    def keys(self, prefix: str = "") -> set[str]:
        return {o["Key"] for o in self.looking.list_objects_v2(Bucket=NAME, Prefix=prefix).get("Contents", ())}

    def read(self, path: str) -> bytes:
        data: bytes = self.looking.get_object(Bucket=NAME, Key=path)["Body"].read()
        return data


@pytest.fixture
def site(project: Path, stack: str, bucket: Any) -> Site:
    return Site(project, stack, bucket)


class TestPublished:
    """A host that reaches the gateway alone finds all that its installer starts from."""

    def test_whatever_it_is_led_to_is_there(self, site: Site) -> None:
        pin = site.found.pins["w1"]
        site.boot.publish(pin)
        (pointer,) = site.keys("next/")
        assert pin.boot_url.encode() in site.read(pointer)
        led, seen = {pin.boot_url.removeprefix(f"{URL}/")}, set[str]()
        while led - seen:
            path = (led - seen).pop()
            seen.add(path)
            text = site.read(path).decode()
            led |= {p for p in re.findall(rf"{URL}/([^\s\"\\]+)", text) if p.startswith("boot/")}
        kept = {path for path in seen if path.startswith("boot/sha256/")}
        assert seen == site.keys("boot/")
        assert {path.split("/")[2] for path in kept if not path.endswith(".sig")} == {
            hashlib.sha256(url.encode()).hexdigest() for url in site.fetched
        }

    def test_the_next_host_of_the_pool_fetches_nothing(self, site: Site) -> None:
        for node in ("w1", "w2"):
            site.boot.publish(site.found.pins[node])
        assert len(site.fetched) == len(set(site.fetched)) == {"metal": 4, "flatcar": 3, "talos": 2}[site.stack]

    def test_and_withdrawn(self, site: Site) -> None:
        site.boot.publish(site.found.pins["w1"])
        site.boot.withdraw("w1")
        assert site.keys("next/") == set()


class TestHandedOut:
    """Credentials are at the gateway's `once/<node>` while the node comes in, and nowhere afterwards."""

    def test_they_come_and_go(self, site: Site) -> None:
        delivery = StoredDelivery(site.stores.served, site.found.pins.get)
        delivery.deliver("w1", CREDENTIALS)
        assert site.keys("once/") == {"once/w1"}
        delivery.withdraw("w1")
        left = site.looking.list_object_versions(Bucket=NAME, Prefix="once/")
        assert [*left.get("Versions", ()), *left.get("DeleteMarkers", ())] == []


@pytest.mark.parametrize("stack", ["metal"], indirect=True)
class TestReported:
    """What a machine put through the gateway is its report."""

    def test_it_is_read(self, site: Site) -> None:
        pin = site.found.pins["w1"]
        assert site.boot.progress(pin) is Progress.NONE
        report = json.dumps({"generation": pin.generation, "state": "installed"}).encode()
        site.looking.put_object(Bucket=NAME, Key="progress/w1", Body=report)
        assert site.boot.progress(pin) is Progress.INSTALLED

    def test_nobody_waits_for_any_where_the_gateway_takes_none(self, project: Path, bucket: Any) -> None:
        file = project / "stacks/Pulumi.metal.yaml"
        file.write_text(file.read_text().replace("reports: true", "reports: false"))
        site = Site(project, "metal", bucket)
        assert site.boot.progress(site.found.pins["w1"]) is Progress.UNKNOWN


@pytest.mark.parametrize("stack", ["metal"], indirect=True)
class TestErased:
    """A host that leaves for good boots the live system, and no image of an installation."""

    def test_of_a_host_that_the_stack_file_forgot(self, project: Path) -> None:
        pins = declared(project, "metal").pins
        claim = Claim("metal", "w9", "g1", ClaimState.LEFT, pins["w1"].controller, "workers", pins["w1"].role, False)
        erasure = Erasure("/dev/disk/by-id/os", (), "52:54:00:00:02:09")
        made = installer(project, "metal", pin_of(claim, erasure, generation="g", boot_url=""))
        assert [a.url.rpartition("-live-")[2] for a in (made.kernel, made.initrd, *made.beside)] == [
            "kernel.x86_64",
            "initramfs.x86_64.img",
            "rootfs.x86_64.img",
        ]
        assert (dict(made.signatures), [a for a in made.arguments if "inst" in a.split("=")[0]]) == ({}, [])


class TestThePublisher:
    """What it does not give is told by its URL, with a way without it; a controller has no part in that."""

    URL = "https://stable.release.flatcar-linux.net/amd64-usr/current/image.bin.bz2"

    def test_has_no_such_file(self, tmp_path: Path) -> None:
        source = Folder(tmp_path, PUBLISHERS["flatcar"])
        with (
            pytest.raises(NeedsAttention, match=rf"{self.URL}: found no such file.*boot-store\.md#publisher"),
            fetched(source, self.URL),
        ):
            pytest.fail("there is no such file")

    def test_has_a_page_where_a_signature_should_be(self, tmp_path: Path) -> None:
        at = tmp_path.joinpath(*self.URL.removeprefix("https://").split("/"))
        at.parent.mkdir(parents=True)
        at.write_text("<html>")
        with pytest.raises(NeedsAttention, match=rf"{self.URL}: found no OpenPGP signature.*#publisher"):
            signature(Folder(tmp_path, PUBLISHERS["flatcar"]), self.URL)


@pytest.mark.parametrize("stack", ["metal"], indirect=True)
class TestBeforeTheFirstMachine:
    """A bucket that is not there is told before a host is claimed or switched."""

    def test_it_is_named(self, project: Path, s3: Any) -> None:
        del s3
        found = declared(project, "metal")
        assert isinstance(found.boot_store, Bucket)
        step = Step(Verb.PROVISION, "metal", "w1", found.pins["w1"].generation)
        with pytest.raises(Exception, match=rf"S3 bucket {NAME}: found no such bucket in {REGION}.*#missing"):
            execute(step, ports(step))

    def test_its_policy_is_of_the_bucket_alone(self, project: Path) -> None:
        del project
        printed = CliRunner().invoke(app, ["policy", "metal"])
        assert printed.exit_code == 0, printed.output
        said = json.loads(printed.stdout)["Statement"]
        assert {resource for statement in said for resource in statement["Resource"]} == {
            f"arn:aws:s3:::{NAME}",
            f"arn:aws:s3:::{NAME}/*",
        }

    def test_and_the_account_is_asked_for_it(self, project: Path, bucket: Any) -> None:
        del bucket
        at = ports(Step(Verb.ROSTER, "metal"), project)
        assert (at.cloud.forbidden(), dict(at.cloud.machines())) == ((), {})
