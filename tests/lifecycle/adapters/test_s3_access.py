"""What is missing on a bucket of the site's is known before its first machine; moto goes by IAM's policies here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse

from lifecycle.adapters.ec2_api import Aws
from lifecycle.adapters.place import Bucket
from lifecycle.adapters.s3_access import SitesBucket
from lifecycle.aws_permissions import BY_ACTION, RIGHTS, Extent, On, policy
from lifecycle.errors import NeedsAttention, PortError
from tests.lifecycle.adapters.cloud import REGION, Cloud, account, fresh_session, runner

BUCKET = Bucket("example-ingot-metal", REGION)
OF_BUCKETS = {right.action for right in RIGHTS if right.on in (On.BUCKET, On.OBJECTS)}
PROVABLE = sorted(OF_BUCKETS - {"s3:DeleteObjectVersion"})
"""Nobody deletes a version to see whether he may."""


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with account() as made:
        where: Any = {"LocationConstraint": REGION}
        boto3.client("s3", region_name=REGION).create_bucket(Bucket=BUCKET.name, CreateBucketConfiguration=where)
        yield made


def without(*actions: str) -> dict[str, Any]:
    """The policy that is printed for such a stack, but these."""
    document = policy(Extent(REGION, "metal", "", BUCKET.name))
    for statement in document["Statement"]:
        statement["Action"] = [action for action in statement["Action"] if action not in actions]
        statement["Resource"] = "*"  # moto goes by actions alone
    document["Statement"] = [statement for statement in document["Statement"] if statement["Action"]]
    return document


def answering(code: str) -> Callable[[], Any]:
    """A session to which S3 answers with this error alone."""
    parsed = {"Error": {"Code": code, "Message": "said so"}, "ResponseMetadata": {"HTTPStatusCode": 400}}

    def session() -> Any:
        made = fresh_session()
        made.events.register("before-call.s3", lambda **_: (AWSResponse("", 400, {}, None), parsed))
        return made

    return session


def asked(session: Any, bucket: Bucket | None = BUCKET) -> SitesBucket:
    return SitesBucket(Aws(session, attempts=1), lambda: bucket)


class TestForbidden:
    """Each permission that is missing, by name, and no other; a bucket that is not there, or is elsewhere."""

    def test_nothing_with_the_policy_that_is_printed(self, cloud: Cloud) -> None:
        with runner(without()) as session:
            assert asked(session).forbidden() == ()

    @pytest.mark.parametrize("action", PROVABLE)
    def test_one(self, cloud: Cloud, action: str) -> None:
        with runner(without(action)) as session:
            (missing,) = asked(session).forbidden()
        assert missing.permission == BY_ACTION[action]
        assert missing.who.endswith("user/runner")

    def test_a_bucket_that_is_not_there(self, cloud: Cloud) -> None:
        with pytest.raises(NeedsAttention, match=r"bucket example-absent: found no such bucket in .*#missing; nothing"):
            asked(cloud.session, Bucket("example-absent", REGION)).forbidden()

    def test_a_bucket_of_another_region(self) -> None:
        with pytest.raises(NeedsAttention, match=rf"no such bucket in {REGION}"):
            asked(answering("PermanentRedirect")).forbidden()

    def test_credentials_that_are_none(self) -> None:
        with pytest.raises(NeedsAttention, match=r"InvalidAccessKeyId.*#credentials"):
            asked(answering("InvalidAccessKeyId")).forbidden()

    def test_s3_that_does_not_answer_now(self) -> None:
        with pytest.raises(PortError, match="SlowDown"):
            asked(answering("SlowDown")).forbidden()

    def test_a_boot_store_that_is_no_bucket_is_not_asked(self) -> None:
        of = asked(pytest.fail, None)
        assert (of.forbidden(), dict(of.machines())) == ((), {})

    def test_changes_nothing(self, cloud: Cloud) -> None:
        assert asked(cloud.session).forbidden() == ()
        found = boto3.client("s3", region_name=REGION).list_object_versions(Bucket=BUCKET.name)
        assert [*found.get("Versions", []), *found.get("DeleteMarkers", [])] == []
