"""What the steps' identity may do with a boot store's bucket, asked of S3 itself. Changes nothing.

S3 has no dry run, so it is asked for what changes nothing: an object that is not there, and writes on the condition
that it is one that nobody ever wrote. Whether versions may be deleted cannot be asked harmlessly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from lifecycle.adapters.ec2_api import FORBIDDEN, Answered, Aws, Refused
from lifecycle.adapters.place import Bucket
from lifecycle.aws_permissions import BY_ACTION, Right
from lifecycle.ec2 import Place
from lifecycle.errors import NeedsAttention
from lifecycle.permissions import Forbidden

ABSENT: Final = "records/.preflight"
"""An object that nobody ever writes."""
NO_VERSION: Final = '"00000000000000000000000000000000"'
"""The ETag that no object has."""
NO_BUCKET: Final = "NoSuchBucket"
ELSEWHERE: Final = frozenset({"301", "AuthorizationHeaderMalformed", "PermanentRedirect"})
"""Of a bucket in another region."""
DENIED: Final = FORBIDDEN | {"403"}
SAYS: Final = (
    DENIED
    | ELSEWHERE
    | {
        "404",
        "412",
        "ConditionalRequestConflict",
        NO_BUCKET,
        "NoSuchKey",
        "NoSuchVersion",
        "NotImplemented",
        "PreconditionFailed",
    }
)


class NoBucket(Exception):
    """There is no such bucket in the region. Not for a user."""


def lacking(aws: Aws, place: Place, bucket: str) -> Iterator[Right]:
    """The rights on a bucket that are missing. Raises NoBucket, PortError, and NeedsAttention for credentials that are
    none."""
    absent = {"Bucket": bucket, "Key": ABSENT}
    for action, call, arguments in (
        ("s3:ListBucket", "ListObjectsV2", {"Bucket": bucket, "Prefix": ABSENT, "MaxKeys": 1}),
        ("s3:ListBucketVersions", "ListObjectVersions", {"Bucket": bucket, "Prefix": ABSENT, "MaxKeys": 1}),
        ("s3:GetObject", "GetObject", absent),
        ("s3:PutObject", "PutObject", {**absent, "Body": b"", "IfMatch": NO_VERSION}),
        ("s3:DeleteObject", "DeleteObject", {**absent, "IfMatch": NO_VERSION}),
    ):
        try:
            aws.ask(place, call, told=SAYS, service="s3", **arguments)
        except Answered as answered:
            if answered.code == NO_BUCKET or answered.code in ELSEWHERE:
                raise NoBucket from answered
            if answered.code in DENIED:
                yield BY_ACTION[action]
        except Refused:
            continue


class SitesBucket:
    """A bucket of the site's, which machines in racks boot from. Fulfils `lifecycle.cloud.Cloud`.

    find: finds it, None where the boot store is none; asked when it is needed.
    """

    def __init__(self, aws: Aws, find: Callable[[], Bucket | None]) -> None:
        self._aws, self._find = aws, find

    def forbidden(self) -> tuple[Forbidden, ...]:
        bucket = self._find()
        if bucket is None:
            return ()
        place = Place(bucket.region, "", "")
        try:
            missing = tuple(lacking(self._aws, place, bucket.name))
        except NoBucket:
            raise NeedsAttention(
                f"S3 bucket {bucket.name}",
                f"no such bucket in {bucket.region}",
                "runbooks/boot-store.md#missing; nothing was changed",
            ) from None
        if not missing:
            return ()
        who = str(self._aws.ask(place, "GetCallerIdentity", service="sts")["Arn"])
        return tuple(Forbidden(right, who) for right in missing)

    def machines(self) -> Mapping[str, tuple[str, ...]]:
        return {}
