"""Boot stores to test with: a directory, and a bucket that moto keeps. No account, no network."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from moto import mock_aws

from lifecycle.adapters.directory_objects import DirectoryObjects
from lifecycle.adapters.object_store import Objects, Stored
from lifecycle.adapters.place import Bucket
from lifecycle.adapters.s3_objects import S3Objects, client
from lifecycle.ports import Clock

BUCKET = Bucket("example-ingot", "eu-central-1")
DUMMIES = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_SESSION_TOKEN": "testing",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/nonexistent",
    "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
}
UNSET = ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_DEFAULT_REGION", "AWS_REGION")


@dataclass(frozen=True)
class Store:
    """One boot store, and ways to it. open: objects as one more step sees them. absent: of a store that is not there.
    raw: puts bytes there behind everybody's back."""

    kind: str
    open: Callable[[Clock], Objects]
    absent: Callable[[Clock], Objects]
    raw: Callable[[str, bytes], None]


def dummies(patch: pytest.MonkeyPatch, changes: Mapping[str, str | None] | None = None) -> None:
    """Credentials that open nothing, and none of the person's who runs the tests."""
    for name in UNSET:
        patch.delenv(name, raising=False)
    for name, value in {**DUMMIES, **(changes or {})}.items():
        patch.delenv(name, raising=False) if value is None else patch.setenv(name, value)


@contextmanager
def bucket() -> Iterator[Any]:
    """moto, with the bucket as a stack makes it, and a client to look into it."""
    with mock_aws():
        made = client(BUCKET)
        made.create_bucket(Bucket=BUCKET.name, CreateBucketConfiguration={"LocationConstraint": BUCKET.region})
        made.put_bucket_versioning(Bucket=BUCKET.name, VersioningConfiguration={"Status": "Enabled"})
        yield made


def of_directory(folder: Path) -> Store:
    """A boot store in `folder`, which is there."""

    def raw(path: str, data: bytes) -> None:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)

    return Store(
        "directory",
        lambda clock: DirectoryObjects(folder, clock),
        lambda clock: DirectoryObjects(folder / "absent", clock),
        raw,
    )


def of_bucket(looking: Any, turns: Path) -> Store:
    """The boot store in moto's bucket. turns: a folder of the machine on which all its steps run."""
    return Store(
        "s3",
        lambda clock: S3Objects(dataclasses.replace(BUCKET, turns=turns), clock),
        lambda clock: S3Objects(Bucket("example-absent", BUCKET.region), clock),
        lambda path, data: looking.put_object(Bucket=BUCKET.name, Key=path, Body=data),
    )


class MemoryObjects:
    """What of `Objects` records need, in memory: for tests that go through thousands of orders."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}

    def where(self, path: str) -> str:
        return f"memory/{path}"

    def read(self, path: str) -> Stored | None:
        data = self._kept.get(path)
        return None if data is None else Stored(data, data.hex())

    def write(self, path: str, data: bytes, expected: str | None) -> bool:
        found = self.read(path)
        if (None if found is None else found.version) != expected:
            return False
        self._kept[path] = data
        return True

    def remove(self, path: str, expected: str) -> bool:
        if path not in self._kept or self._kept[path].hex() != expected:
            return False
        del self._kept[path]
        return True

    def below(self, prefix: str) -> tuple[str, ...]:
        return tuple(sorted(path for path in self._kept if path.startswith(prefix)))
