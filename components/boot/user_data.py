"""What an EC2 instance is started with, where user data has little room: the configuration, or where it is.

User data is at most 16 KiB before base64 (EC2 user guide, "Run commands when you launch an EC2 instance with
user data input"), and Ignition's provider for AWS takes it as it is, without gunzip. So a longer configuration is
an object in S3, and the user data names it and the hash that it must have: whoever can write the bucket cannot
change what a machine boots. Neither holds a secret.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from components.boot import layout
from components.boot.ignition import Ignition, Meta, Others, Resource, Verification, sha256_hash
from components.machines.aws_fields import partition_of

BYTES_MAX: Final = 16 * 1024
"""Of user data, before base64."""


@dataclass(frozen=True)
class UserData:
    """What an instance is started with. stored: path in the bucket -> bytes of what must be there before."""

    data: bytes
    stored: dict[str, bytes]


def user_data(configuration: bytes, *, bucket: str, region: str) -> UserData:
    """The user data for a node's Ignition configuration. bucket: the name of the S3 bucket for boot configurations.
    region: which it is in.

    The object's path is its content's digest, so that it is never changed, only added.
    """
    if len(configuration) <= BYTES_MAX:
        return UserData(configuration, {})
    path = layout.stored_configuration(hashlib.sha256(configuration).hexdigest())
    source = Resource(source=arn(region, bucket, path), verification=Verification(hash=sha256_hash(configuration)))
    pointer = Ignition(ignition=Meta(version="3.4.0", config=Others(replace=source)))
    return UserData(pointer.to_bytes(), {path: configuration})


def arn(region: str, bucket: str, path: str) -> str:
    """Names an object; Ignition asks S3 where the bucket is, with the rights of the instance's role."""
    return f"arn:{partition_of(region)}:s3:::{bucket}/{path}"
