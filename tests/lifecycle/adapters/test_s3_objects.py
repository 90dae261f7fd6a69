"""A boot store in S3: what it says when S3 does not do what was asked, and what it does when an answer is lost."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore import exceptions
from botocore.config import Config

from lifecycle.adapters.place import Bucket
from lifecycle.adapters.s3_objects import S3Objects
from lifecycle.adapters.wire import RETRY_LIMIT_S
from lifecycle.errors import LifecycleError, NeedsAttention, PortError
from tests.lifecycle.adapters.stores import BUCKET, dummies
from tests.lifecycle.adapters.wire_server import Reply, StillClock, Wire

KEY = "records/hosts/w1.json"
AT = f"/{BUCKET.name}/{KEY}"


def xml(code: str) -> str:
    """An error as S3 writes it (API reference, "Error responses")."""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>secret words</Message>'
        f"<Resource>{AT}</Resource><RequestId>4442587FB7D0A2F9</RequestId></Error>"
    )


def refusal(status: int, code: str) -> Reply:
    return Reply(status, xml(code), {"Content-Type": "application/xml"})


@pytest.fixture
def objects(wire: Wire, clock: StillClock, monkeypatch: pytest.MonkeyPatch) -> S3Objects:
    """Of a bucket whose S3 is `wire`."""
    dummies(monkeypatch)
    once = Config(
        retries={"total_max_attempts": 1, "mode": "standard"}, s3={"addressing_style": "path"}, read_timeout=20
    )

    def connect(bucket: Bucket) -> Any:
        return boto3.Session().client("s3", region_name=bucket.region, endpoint_url=wire.url, config=once)

    return S3Objects(BUCKET, clock, connect)


CALLS: dict[str, tuple[Callable[[S3Objects], object], str, str, str]] = {
    "GetObject": (lambda o: o.read(KEY), "GET", AT, f"arn:aws:s3:::{BUCKET.name}/{KEY}"),
    "PutObject": (lambda o: o.write(KEY, b"1", "v"), "PUT", AT, f"arn:aws:s3:::{BUCKET.name}/{KEY}"),
    "DeleteObject": (lambda o: o.remove(KEY, "v"), "DELETE", AT, f"arn:aws:s3:::{BUCKET.name}/{KEY}"),
    "ListBucket": (lambda o: o.below("records/"), "GET", f"/{BUCKET.name}", f"arn:aws:s3:::{BUCKET.name}"),
    "ListBucketVersions": (lambda o: o.erase(KEY), "GET", f"/{BUCKET.name}", f"arn:aws:s3:::{BUCKET.name}"),
}


class TestRefused:
    """A person has to act: the error says on what, which right is missing, and is not asked for twice."""

    @pytest.mark.parametrize("action", CALLS)
    def test_a_right_that_is_missing(self, objects: S3Objects, wire: Wire, clock: StillClock, action: str) -> None:
        ask, method, path, resource = CALLS[action]
        wire.on(method, path, refusal(403, "AccessDenied"))
        with pytest.raises(NeedsAttention) as caught:
            ask(objects)
        said = str(caught.value)
        assert f"AccessDenied: the credentials of this step may not s3:{action}" in said
        assert f"runbooks/boot-store.md#denied: allow s3:{action} on {resource}" in said
        assert "secret words" not in said
        assert (len(wire.asked), clock.slept) == (1, [])

    @pytest.mark.parametrize(
        ("reply", "says"),
        [
            (refusal(404, "NoSuchBucket"), r"S3 bucket example-ingot: found no such bucket in eu-central-1.*#missing"),
            (refusal(400, "ExpiredToken"), r"ExpiredToken: credentials that AWS does not take.*#identity"),
            (refusal(403, "InvalidAccessKeyId"), r"credentials that AWS does not take.*#identity"),
            (refusal(403, "RequestTimeTooSkewed"), r"RequestTimeTooSkewed.*#identity"),
            (refusal(400, "AuthorizationHeaderMalformed"), r"a bucket of another region than eu-central-1.*#missing"),
        ],
    )
    def test_nothing_that_asking_again_would_help(
        self, objects: S3Objects, wire: Wire, clock: StillClock, reply: Reply, says: str
    ) -> None:
        wire.on("GET", AT, reply)
        with pytest.raises(NeedsAttention, match=says):
            objects.read(KEY)
        assert clock.slept == []

    def test_what_nobody_foresaw_is_shown_by_its_code(self, objects: S3Objects, wire: Wire) -> None:
        wire.on("GET", AT, refusal(400, "SomethingNew"))
        with pytest.raises(PortError, match="HTTP 400 SomethingNew to GetObject"):
            objects.read(KEY)

    def test_without_credentials(
        self, wire: Wire, clock: StillClock, monkeypatch: pytest.MonkeyPatch, objects: S3Objects
    ) -> None:
        dummies(monkeypatch, {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None, "AWS_SESSION_TOKEN": None})
        with pytest.raises(NeedsAttention, match=r"no credentials for AWS.*#identity"):
            objects.read(KEY)
        assert wire.asked == []


class TestNotNow:
    """What may pass is asked again, with growing pauses, until a deadline."""

    @pytest.mark.parametrize(
        "reply",
        [
            refusal(503, "SlowDown"),
            refusal(500, "InternalError"),
            Reply(502, "<html>a proxy</html>", {"Content-Type": "text/html"}),
            Reply(429, "", {}),
            Reply(reset=True),
        ],
    )
    def test_it_passes(self, objects: S3Objects, wire: Wire, clock: StillClock, reply: Reply) -> None:
        wire.on("GET", AT, reply, reply, Reply(200, "1", {"ETag": '"v"'}))
        found = objects.read(KEY)
        assert found is not None
        assert (found.data, len(wire.asked), len(clock.slept)) == (b"1", 3, 2)

    def test_two_writers_at_the_very_same_moment(self, objects: S3Objects, wire: Wire) -> None:
        """S3 tells one of them to ask again, and then that it has lost."""
        wire.on("PUT", AT, refusal(409, "ConditionalRequestConflict"), refusal(412, "PreconditionFailed"))
        assert not objects.write(KEY, b"1", None)

    def test_it_does_not_pass(self, objects: S3Objects, wire: Wire, clock: StillClock) -> None:
        wire.on("GET", AT, refusal(503, "SlowDown"))
        before_s = clock.now_s()
        with pytest.raises(PortError, match=rf"s3://{BUCKET.name}/{KEY}.*503 SlowDown for 60 s.*#busy"):
            objects.read(KEY)
        assert clock.now_s() - before_s == pytest.approx(RETRY_LIMIT_S)
        assert max(clock.slept) > 2 * clock.slept[0]

    def test_nobody_answers(self, clock: StillClock, monkeypatch: pytest.MonkeyPatch) -> None:
        dummies(monkeypatch)
        once = Config(retries={"total_max_attempts": 1})
        nobody = S3Objects(
            BUCKET,
            clock,
            lambda b: boto3.Session().client("s3", b.region, endpoint_url="http://127.0.0.1:9", config=once),
        )
        with pytest.raises(PortError, match="no answer"):
            nobody.read(KEY)


class Losing:
    """A client whose first request of one kind is carried out, while its answer is lost."""

    def __init__(self, inner: Any, operation: str) -> None:
        self._inner, self._operation, self._lost = inner, operation, False

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name != self._operation or self._lost:
            return found

        def lose(**given: Any) -> None:
            self._lost = True
            found(**given)
            raise exceptions.ReadTimeoutError(endpoint_url="https://s3.example")

        return lose


class TestAnAnswerIsLost:
    """A request that is sent again finds its own work done: that is not somebody else's."""

    def losing(self, s3: Any, clock: StillClock, operation: str) -> S3Objects:
        return S3Objects(BUCKET, clock, lambda _: Losing(s3, operation))

    def test_of_a_first_write(self, s3: Any, clock: StillClock) -> None:
        assert self.losing(s3, clock, "put_object").write(KEY, b"1", None)

    def test_of_a_change(self, s3: Any, clock: StillClock) -> None:
        plain = S3Objects(BUCKET, clock)
        plain.write(KEY, b"1", None)
        seen = plain.read(KEY)
        assert seen is not None
        assert self.losing(s3, clock, "put_object").write(KEY, b"2", seen.version)

    def test_of_a_write_that_was_refused(self, s3: Any, clock: StillClock) -> None:
        """Another's record is there, of the very same bytes: it is not taken for one's own."""
        S3Objects(BUCKET, clock).write(KEY, b"1", None)

        class Refusing(Losing):
            def __getattr__(self, name: str) -> Any:
                if name == "put_object" and not self._lost:
                    self._lost = True
                    raise exceptions.ReadTimeoutError(endpoint_url="https://s3.example")
                return super().__getattr__(name)

        assert not S3Objects(BUCKET, clock, lambda _: Refusing(s3, "")).write(KEY, b"1", None)

    def test_of_a_removal(self, s3: Any, clock: StillClock) -> None:
        plain = S3Objects(BUCKET, clock)
        plain.write(KEY, b"1", None)
        seen = plain.read(KEY)
        assert seen is not None
        assert self.losing(s3, clock, "delete_object").remove(KEY, seen.version)


KEPT = b"a disk image"
DIGEST = hashlib.sha256(KEPT).digest()
CHECKSUM = {"x-amz-checksum-sha256": base64.b64encode(DIGEST).decode()}
ARTIFACT = f"boot/sha256/{DIGEST.hex()}/image.raw.xz"
ARTIFACT_AT = f"/{BUCKET.name}/{ARTIFACT}"


class TestALargeFile:
    """S3 itself compares its digest, and says it: nobody reads a gibibyte to see that it is still the same."""

    @pytest.fixture
    def fetch(self, tmp_path: Path) -> Callable[[], AbstractContextManager[Path]]:
        file = tmp_path / "fetched"
        file.write_bytes(KEPT)
        return lambda: contextlib.nullcontext(file)

    def there(self) -> Reply:
        """A body that is not the digest's, so that whoever reads it finds out."""
        return Reply(200, "not read", {"ETag": '"v"', **CHECKSUM})

    def test_is_sent_with_its_digest_and_over_nothing(self, objects: S3Objects, wire: Wire, fetch: Any) -> None:
        wire.on("GET", ARTIFACT_AT, refusal(404, "NoSuchKey"), refusal(404, "NoSuchKey"), self.there())
        wire.on("PUT", ARTIFACT_AT, Reply(200, "", {"ETag": '"v"'}))
        objects.keep(ARTIFACT, DIGEST.hex(), fetch)
        (put,) = (asked for asked in wire.asked if asked.method == "PUT")
        sent = {name.lower(): value for name, value in put.headers.items()}
        assert sent["x-amz-checksum-sha256"] == CHECKSUM["x-amz-checksum-sha256"]
        assert (sent["if-none-match"], sent["x-amz-server-side-encryption"]) == ("*", "AES256")

    def test_that_is_there_is_known_by_what_s3_says(self, objects: S3Objects, wire: Wire) -> None:
        wire.on("GET", ARTIFACT_AT, self.there())
        objects.keep(ARTIFACT, DIGEST.hex(), pytest.fail)
        assert wire.lines() == [f"GET {ARTIFACT_AT}"]

    def test_that_was_sent_in_parts_is_read(self, objects: S3Objects, wire: Wire) -> None:
        of_parts = {"x-amz-checksum-sha256": f"{CHECKSUM['x-amz-checksum-sha256']}-2"}
        wire.on("GET", ARTIFACT_AT, Reply(200, "another", {"ETag": '"v"', **of_parts}))
        with pytest.raises(NeedsAttention, match="other bytes"):
            objects.keep(ARTIFACT, DIGEST.hex(), pytest.fail)

    def test_that_another_machine_sent_meanwhile(self, objects: S3Objects, wire: Wire, fetch: Any) -> None:
        wire.on("GET", ARTIFACT_AT, refusal(404, "NoSuchKey"), refusal(404, "NoSuchKey"), self.there())
        wire.on("PUT", ARTIFACT_AT, refusal(412, "PreconditionFailed"))
        objects.keep(ARTIFACT, DIGEST.hex(), fetch)
        assert len(wire.asked) == 4

    def test_is_sent_again_when_s3_is_busy(self, objects: S3Objects, wire: Wire, fetch: Any) -> None:
        wire.on("GET", ARTIFACT_AT, refusal(404, "NoSuchKey"), refusal(404, "NoSuchKey"), self.there())
        wire.on("PUT", ARTIFACT_AT, refusal(503, "SlowDown"), Reply(200, "", {"ETag": '"v"'}))
        objects.keep(ARTIFACT, DIGEST.hex(), fetch)
        puts = [asked for asked in wire.asked if asked.method == "PUT"]
        assert [asked.body for asked in puts] == [puts[0].body] * 2  # from its beginning

    def test_that_is_gone_at_once(self, objects: S3Objects, wire: Wire, fetch: Any) -> None:
        wire.on("GET", ARTIFACT_AT, refusal(404, "NoSuchKey"))
        wire.on("PUT", ARTIFACT_AT, Reply(200, "", {"ETag": '"v"'}))
        with pytest.raises(PortError, match="gone right after it had been there"):
            objects.keep(ARTIFACT, DIGEST.hex(), fetch)


class TestReports:
    """Of machines that ask through a gateway, only where that takes them."""

    @pytest.mark.parametrize("takes", [True, False])
    def test_as_the_stack_file_says(self, clock: StillClock, takes: bool) -> None:
        assert S3Objects(dataclasses.replace(BUCKET, takes_reports=takes), clock).takes_reports() is takes


class TestSecrets:
    """What was secret leaves nothing behind, and lies encrypted while it is there."""

    def test_everything_is_encrypted(self, s3: Any, clock: StillClock) -> None:
        objects = S3Objects(BUCKET, clock)
        objects.put("once/worker/w1", b"secret")
        objects.write(KEY, b"1", None)
        objects.write_once("boot/x", b"1")
        for key in ("once/worker/w1", KEY, "boot/x"):
            assert s3.head_object(Bucket=BUCKET.name, Key=key)["ServerSideEncryption"] == "AES256"

    def test_no_version_of_it_is_kept(self, s3: Any, clock: StillClock) -> None:
        objects = S3Objects(BUCKET, clock)
        for data in (b"secret", b"another"):
            objects.put("once/worker/w1", data)
        s3.delete_object(Bucket=BUCKET.name, Key="once/worker/w1")  # as somebody else would: a marker hides them
        objects.put("once/worker/w10", b"of another node")
        objects.erase("once/worker/w1")
        found = s3.list_object_versions(Bucket=BUCKET.name, Prefix="once/")
        assert [v["Key"] for v in found["Versions"]] == ["once/worker/w10"]
        assert "DeleteMarkers" not in found

    def test_they_are_in_no_error(self, objects: S3Objects, wire: Wire) -> None:
        wire.on("PUT", f"/{BUCKET.name}/once/worker/w1", refusal(400, "EntityTooLarge"))
        with pytest.raises(LifecycleError) as caught:
            objects.put("once/worker/w1", b"hunter2")
        assert "hunter2" not in str(caught.value)


class TestMany:
    """A page of a list is not all of it."""

    def test_more_than_a_page(self, s3: Any, clock: StillClock) -> None:
        objects = S3Objects(BUCKET, clock)
        for number in range(3):
            s3.put_object(Bucket=BUCKET.name, Key=f"records/hosts/{number}.json", Body=b"")

        class Paging(Losing):
            def __getattr__(self, name: str) -> Any:
                if name != "get_paginator":
                    return super().__getattr__(name)
                return lambda operation: _OneByOne(s3.get_paginator(operation))

        paged = S3Objects(BUCKET, clock, lambda _: Paging(s3, ""))
        assert paged.below("records/") == objects.below("records/")
        assert len(paged.below("records/")) == 3


class _OneByOne:
    """Pages of one entry each."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def paginate(self, **given: Any) -> Any:
        return self._inner.paginate(**given, PaginationConfig={"PageSize": 1})
