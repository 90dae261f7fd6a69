"""What an EC2 instance is started with, where user data has little room: the configuration, or where it is.

User data is at most 16 KiB before base64 (EC2 user guide, "Run commands when you launch an EC2 instance with
user data input"), and Ignition's provider for AWS takes it as it is, without gunzip. So a longer configuration is
an object in S3, and the user data names it and the hash that it must have: whoever can write the bucket cannot
change what a machine boots. Neither holds a secret.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from components.boot import layout
from components.boot.ignition import Ignition, Meta, Others, Resource, Verification, canonical_json, sha256_hash

BYTES_MAX: Final = 16 * 1024
"""Of user data, before base64."""


@dataclass(frozen=True)
class UserData:
    """What an instance is started with. stored: path in the bucket -> bytes of what must be there before."""

    data: bytes
    stored: dict[str, bytes]


def user_data(configuration: bytes, *, node: str, generation: str, bucket: str) -> UserData:
    """The user data for a node's Ignition configuration. bucket: the name of the S3 bucket for boot configurations.

    The object's path holds the generation, so that it is never changed, only added.
    """
    if len(configuration) <= BYTES_MAX:
        return UserData(configuration, {})
    path = layout.installer(generation, node)
    source = Resource(source=arn(bucket, path), verification=Verification(hash=sha256_hash(configuration)))
    pointer = Ignition(ignition=Meta(version="3.4.0", config=Others(replace=source)))
    return UserData(pointer.to_bytes(), {path: configuration})


def arn(bucket: str, path: str) -> str:
    """Names an object in any region; Ignition asks S3 where the bucket is."""
    return f"arn:aws:s3:::{bucket}/{path}"


def role_policy(bucket: str, paths: Iterable[str]) -> bytes:
    """All that an instance's role may do for its boot, as IAM takes it: read these objects, and neither list nor
    write any. paths: of UserData.stored, one at least: an instance whose user data holds everything needs no role."""
    resources = sorted(arn(bucket, path) for path in paths)
    statement = {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": resources}
    return canonical_json({"Version": "2012-10-17", "Statement": [statement]})
