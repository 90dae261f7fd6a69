"""The bucket: what machines boot, what is handed to them, what they report, and the records of whose they are.

Private, encrypted, over TLS alone, owned by this account whoever writes. Versions are kept for a day, so that a
record that was overwritten by mistake can be had again; credentials that were taken away are then gone for good.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pulumi
from pulumi_aws import s3

from components.aws import policies
from components.aws.scope import Scope
from components.boot import layout

KEPT_DAYS: Final = 1
"""How long what was overwritten or deleted is kept, and what nobody took away: the least that S3 knows."""


def register_store(scope: Scope, name: str) -> Sequence[pulumi.Resource]:
    """All of it; the first is the bucket. It goes with whatever is in it, which is after the last machine: the
    templates depend on it, and the machines on them."""
    bucket = s3.Bucket("bucket", bucket=name, force_destroy=True, tags=scope.tags(name), opts=scope.options())
    private = s3.BucketPublicAccessBlock(
        "bucket-private",
        bucket=bucket.id,
        block_public_acls=True,
        block_public_policy=True,
        ignore_public_acls=True,
        restrict_public_buckets=True,
        opts=scope.options(),
    )
    ownership = s3.BucketOwnershipControls(
        "bucket-ownership",
        bucket=bucket.id,
        rule={"object_ownership": "BucketOwnerEnforced"},
        opts=scope.options(),
    )
    encryption = s3.BucketServerSideEncryptionConfiguration(
        "bucket-encryption",
        bucket=bucket.id,
        rules=[{"apply_server_side_encryption_by_default": {"sse_algorithm": "AES256"}}],
        opts=scope.options(),
    )
    versioning = s3.BucketVersioning(
        "bucket-versioning",
        bucket=bucket.id,
        versioning_configuration={"status": "Enabled"},
        opts=scope.options(),
    )
    lifecycle = s3.BucketLifecycleConfiguration(
        "bucket-lifecycle", bucket=bucket.id, rules=_rules(), opts=scope.options([versioning])
    )
    policy = s3.BucketPolicy(
        "bucket-policy",
        bucket=bucket.id,
        policy=policies.bucket(scope.region, name),
        opts=scope.options([private]),  # S3 refuses two changes of who may read a bucket at once
    )
    return bucket, private, ownership, encryption, versioning, lifecycle, policy


def _rules() -> list[dict[str, object]]:
    return [
        {
            "id": "forget-what-is-gone",
            "status": "Enabled",
            "filter": {"prefix": ""},
            "noncurrent_version_expiration": {"noncurrent_days": KEPT_DAYS},
            "expiration": {"expired_object_delete_marker": True},
            "abort_incomplete_multipart_upload": {"days_after_initiation": KEPT_DAYS},
        },
        {
            "id": "forget-credentials",
            "status": "Enabled",
            "filter": {"prefix": f"{layout.ONCE}/"},
            "expiration": {"days": KEPT_DAYS},
        },
    ]
