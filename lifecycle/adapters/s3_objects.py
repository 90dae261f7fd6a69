"""A boot store's objects in a bucket of S3. A version is an ETag; S3 itself compares it, with the request that writes.

If-None-Match and If-Match of PutObject, and If-Match of DeleteObject, are documented for general purpose buckets in
docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-requests.html: of two writers at once one is told 409 or
412, and a reader sees the last whole write at once.

A large file goes there in one request with its SHA-256, which S3 compares with what it received, keeps, and tells
whoever asks (AmazonS3/latest/userguide/checking-object-integrity.html); no part of one is ever to be seen.

Everything is encrypted with S3's own keys (SSE-S3), whatever the bucket's default: a machine then needs no key of
its own to read what it may read.
"""

from __future__ import annotations

import base64
import hashlib
import random
import secrets
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any, Final, TypeVar

from lifecycle.adapters.broker_folder import private_folder
from lifecycle.adapters.files import locked
from lifecycle.adapters.object_store import KEEP_LIMIT_S, Fetch, Stored, other_bytes, other_digest
from lifecycle.adapters.place import Bucket
from lifecycle.adapters.s3_errors import Lost, Transient, told
from lifecycle.adapters.wire import BACKOFF_FIRST_S, BACKOFF_MAX_S, CONNECT_S, READ_S, RETRY_LIMIT_S
from lifecycle.errors import PortError
from lifecycle.ports import Clock

S3Client = Any
"""boto3 makes its clients when it runs, so they have no types."""
T = TypeVar("T")

WRITER: Final = "ingot-writer"
"""Metadata of an object: who wrote it. By it a writer whose answer was lost knows its own work."""
CHUNK_BYTES: Final = 1 << 20
TURN_POLL_S: Final = 0.25
UPLOAD_LIMIT_S: Final = 1800.0
"""For the largest file, a disk image of 1 GiB, at 5 Mbit/s; S3 takes 5 GiB in one request."""
ENCRYPTED: Final[Any] = {"ServerSideEncryption": "AES256"}


def client(bucket: Bucket) -> S3Client:
    """A client with the credentials that boto3 finds; it tries once, since S3Objects tries again."""
    import boto3
    from botocore.config import Config

    config = Config(
        connect_timeout=CONNECT_S, read_timeout=READ_S, retries={"total_max_attempts": 1, "mode": "standard"}
    )
    return boto3.Session().client("s3", region_name=bucket.region, config=config)


class S3Objects:
    """Fulfils `object_store.Objects`.

    connect: makes the client, when it is first needed. A request that S3 cannot serve now is sent again, for
    RETRY_LIMIT_S in all; a large file longer.
    """

    def __init__(self, bucket: Bucket, clock: Clock, connect: Callable[[Bucket], S3Client] = client) -> None:
        self._bucket, self._clock, self._connect = bucket, clock, connect

    @cached_property
    def _client(self) -> S3Client:
        return self._connect(self._bucket)

    def where(self, path: str) -> str:
        return f"s3://{self._bucket.name}/{path}"

    def read(self, path: str) -> Stored | None:
        def get() -> Stored:
            answer = self._client.get_object(Bucket=self._bucket.name, Key=path)
            return Stored(answer["Body"].read(), answer["ETag"])

        try:
            return self._patiently("GetObject", path, get)
        except Lost:
            return None

    def write(self, path: str, data: bytes, expected: str | None) -> bool:
        condition: Any = {"IfNoneMatch": "*"} if expected is None else {"IfMatch": expected}
        writer = secrets.token_hex(8)
        unsure: list[bool] = []
        try:
            self._patiently("PutObject", path, lambda: self._put(path, data, writer, condition), unsure)
        except Lost:
            # The write may have been done by a request whose answer never came: then the one after it lost to it.
            return bool(unsure) and self._writer(path) == writer
        return True

    def put(self, path: str, data: bytes) -> None:
        self._patiently("PutObject", path, lambda: self._put(path, data, secrets.token_hex(8), {}))

    def write_once(self, path: str, data: bytes) -> None:
        if self.write(path, data, None):
            return
        found = self.read(path)
        if found is None:
            raise self._gone(path)
        if found.data != data:
            raise other_bytes(self.where(path))

    def keep(self, path: str, sha256: str, fetch: Fetch) -> None:
        if self._holds(path, sha256):
            return
        with self._turn(sha256):
            if self._holds(path, sha256):
                return
            with fetch() as source:
                self._upload(path, sha256, source)
        if not self._holds(path, sha256):
            raise self._gone(path)

    def remove(self, path: str, expected: str) -> bool:
        unsure: list[bool] = []
        try:
            self._patiently(
                "DeleteObject",
                path,
                lambda: self._client.delete_object(Bucket=self._bucket.name, Key=path, IfMatch=expected),
                unsure,
            )
        except Lost:
            return bool(unsure) and self.read(path) is None
        return True

    def erase(self, path: str) -> None:
        """Every version by its id: a delete alone would leave what a bucket with versions has, and a marker."""
        for version in self._versions(path):
            self._patiently(
                "DeleteObjectVersion",
                path,
                lambda version=version: self._client.delete_object(  # type: ignore[misc]  # bound now, called now
                    Bucket=self._bucket.name, Key=path, VersionId=version
                ),
            )

    def below(self, prefix: str) -> tuple[str, ...]:
        def pages() -> tuple[str, ...]:
            found = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket.name, Prefix=prefix)
            return tuple(sorted(item["Key"] for page in found for item in page.get("Contents", ())))

        return self._patiently("ListBucket", "", pages)

    def takes_reports(self) -> bool:
        return self._bucket.takes_reports

    def _turn(self, sha256: str) -> AbstractContextManager[None]:
        """Nobody else on this machine fetches the file meanwhile. S3 has no locks: another machine may."""
        if self._bucket.turns is None:
            return nullcontext()
        folder = private_folder(self._bucket.turns)
        return locked(folder / f"{sha256}.lock", self._clock, KEEP_LIMIT_S, TURN_POLL_S)

    def _holds(self, path: str, sha256: str) -> bool:
        """Whether an object of this digest is there. Raises NeedsAttention if another one is."""

        def digest() -> str:
            answer = self._client.get_object(Bucket=self._bucket.name, Key=path, ChecksumMode="ENABLED")
            told = str(answer.get("ChecksumSHA256", ""))
            with closing(answer["Body"]) as body:
                if told and "-" not in told:  # with one it is of the parts, not of the whole
                    return base64.b64decode(told).hex()
                read = hashlib.sha256()
                for chunk in body.iter_chunks(CHUNK_BYTES):
                    read.update(chunk)
                return read.hexdigest()

        try:
            found = self._patiently("GetObject", path, digest)
        except Lost:
            return False
        if found != sha256:
            raise other_bytes(self.where(path))
        return True

    def _upload(self, path: str, sha256: str, source: Path) -> None:
        """Put a file of this digest there, unless one is by then. Raises NeedsAttention if it has another."""
        with source.open("rb") as file:
            found = hashlib.file_digest(file, "sha256")
        if found.hexdigest() != sha256:
            raise other_digest(self.where(path), found.hexdigest(), sha256)

        def send() -> None:
            with source.open("rb") as body:
                self._client.put_object(
                    Bucket=self._bucket.name,
                    Key=path,
                    Body=body,
                    ChecksumSHA256=base64.b64encode(found.digest()).decode(),
                    IfNoneMatch="*",
                    **ENCRYPTED,
                )

        try:
            self._patiently("PutObject", path, send, limit_s=UPLOAD_LIMIT_S)
        except Lost:
            return

    def _gone(self, path: str) -> PortError:
        return PortError(
            f"boot store file {self.where(path)}",
            "it gone right after it had been there",
            "find out who deletes from the bucket, then run `pulumi up` again",
        )

    def _versions(self, path: str) -> tuple[str, ...]:
        """Ids of every version and delete marker of one object."""

        def pages() -> tuple[str, ...]:
            found = self._client.get_paginator("list_object_versions").paginate(Bucket=self._bucket.name, Prefix=path)
            entries = [e for page in found for e in (*page.get("Versions", ()), *page.get("DeleteMarkers", ()))]
            return tuple(entry["VersionId"] for entry in entries if entry["Key"] == path)

        return self._patiently("ListBucketVersions", "", pages)

    def _put(self, path: str, data: bytes, writer: str, condition: Any) -> None:
        self._client.put_object(
            Bucket=self._bucket.name, Key=path, Body=data, Metadata={WRITER: writer}, **ENCRYPTED, **condition
        )

    def _writer(self, path: str) -> str:
        def head() -> str:
            return str(self._client.head_object(Bucket=self._bucket.name, Key=path)["Metadata"].get(WRITER, ""))

        try:
            return self._patiently("GetObject", path, head)
        except Lost:
            return ""

    def _patiently(
        self,
        action: str,
        path: str,
        send: Callable[[], T],
        unsure: list[bool] | None = None,
        limit_s: float = RETRY_LIMIT_S,
    ) -> T:
        """Send, and send again while S3 cannot serve it now. action: what IAM calls the permission.

        unsure: gets an entry for each request that may have been carried out although its answer was none. Raises Lost
        where the object is not as the request wanted it, PortError and NeedsAttention.
        """
        until_s, pause_s = self._clock.now_s() + limit_s, BACKOFF_FIRST_S
        while True:
            try:
                return send()
            except Exception as error:  # noqa: BLE001  # told() raises whatever is not S3's
                failure = told(error, action, self._bucket, path)
            if not isinstance(failure, Transient):
                raise failure
            if failure.unsure and unsure is not None:
                unsure.append(True)
            left_s = until_s - self._clock.now_s()
            if left_s <= 0:
                raise failure.given_up(limit_s)
            # By chance, so that the steps of a run that were told to slow down together do not return together.
            self._clock.sleep(min(left_s, random.uniform(pause_s / 2, pause_s)))
            pause_s = min(BACKOFF_MAX_S, pause_s * 2)
