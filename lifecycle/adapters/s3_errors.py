"""What S3 answers when it does not do what was asked, in our words: who has to do what about it.

Codes: docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html. An error never shows a request's body.
"""

from __future__ import annotations

from typing import Final

from lifecycle.adapters.place import Bucket
from lifecycle.errors import LifecycleError, NeedsAttention, PortError

ABSENT: Final = frozenset({"404", "NoSuchKey", "NoSuchVersion"})
"""`404` is all that the answer to a HEAD can say."""
OTHER_VERSION: Final = frozenset({"412", "PreconditionFailed"})
REFUSED: Final = frozenset({"403", "AccessDenied", "AllAccessDisabled", "AccountProblem"})
IDENTITY: Final = frozenset(
    {"ExpiredToken", "InvalidAccessKeyId", "InvalidToken", "RequestTimeTooSkewed", "SignatureDoesNotMatch"}
)
ELSEWHERE: Final = frozenset({"301", "AuthorizationHeaderMalformed", "PermanentRedirect", "TemporaryRedirect"})
NOT_NOW: Final = frozenset(
    {
        "ConditionalRequestConflict",
        "InternalError",
        "OperationAborted",
        "RequestLimitExceeded",
        "RequestTimeout",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
    }
)


class Lost(Exception):
    """The object is not there, or not the version that the request wanted. Never leaves the adapter."""


class Transient(Exception):
    """S3 cannot serve a request now. unsure: it may have been carried out."""

    def __init__(self, what: str, found: str, *, unsure: bool) -> None:
        super().__init__(what, found)
        self.what, self.found, self.unsure = what, found, unsure

    def given_up(self, limit_s: float) -> PortError:
        """For whoever asked long enough."""
        return PortError(
            self.what,
            f"{self.found} for {limit_s:.0f} s",
            "runbooks/boot-store.md#busy, then run `pulumi up` again",
        )


def told(error: Exception, action: str, bucket: Bucket, path: str) -> LifecycleError | Lost | Transient:
    """The failure behind what boto3 raised. action: what IAM calls the permission. path: "" for the whole bucket.

    Raises `error` itself if it is not boto3's.
    """
    from botocore import exceptions
    from urllib3.exceptions import HTTPError

    what = f"S3 object s3://{bucket.name}/{path}" if path else f"S3 bucket {bucket.name}"
    if isinstance(error, exceptions.ClientError):
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        return _answered(code, status, action, bucket, what, path)
    if isinstance(error, exceptions.NoCredentialsError | exceptions.PartialCredentialsError):
        return NeedsAttention(
            what, "no credentials for AWS", "runbooks/boot-store.md#identity: give them to whoever runs steps"
        )
    if isinstance(
        error, exceptions.HTTPClientError | exceptions.ConnectionError | exceptions.IncompleteReadError | HTTPError
    ):
        unsent = isinstance(error, exceptions.EndpointConnectionError | exceptions.ConnectTimeoutError)
        return Transient(what, f"no answer ({type(error).__name__})", unsure=not unsent)
    if isinstance(error, exceptions.BotoCoreError):
        return NeedsAttention(what, f"a client that cannot ask ({error})", "runbooks/boot-store.md#identity")
    raise error


def _answered(
    code: str, status: int, action: str, bucket: Bucket, what: str, path: str
) -> LifecycleError | Lost | Transient:
    if code == "NoSuchBucket":
        return NeedsAttention(
            f"S3 bucket {bucket.name}",
            f"no such bucket in {bucket.region}",
            "runbooks/boot-store.md#missing; nothing was changed",
        )
    if code in ABSENT or code in OTHER_VERSION:
        return Lost(code)
    if code in REFUSED:
        # Where listing is not allowed either, S3 says so of an object that is merely not there.
        resource = f"arn:aws:s3:::{bucket.name}" + (f"/{path}" if path else "")
        return NeedsAttention(
            what,
            f"{code or status}: the credentials of this step may not s3:{action}",
            f"runbooks/boot-store.md#denied: allow s3:{action} on {resource}, "
            f"and s3:ListBucket on arn:aws:s3:::{bucket.name}",
        )
    if code in IDENTITY:
        return NeedsAttention(
            what, f"{code}: credentials that AWS does not take", "runbooks/boot-store.md#identity: renew them"
        )
    if code in ELSEWHERE:
        return NeedsAttention(
            what,
            f"{code}: a bucket of another region than {bucket.region}",
            "runbooks/boot-store.md#missing",
        )
    if code in NOT_NOW or status >= 500 or status == 429:
        return Transient(what, f"HTTP {status} {code}".rstrip(), unsure=status >= 500)
    return PortError(what, f"HTTP {status} {code} to {action}", "runbooks/boot-store.md#busy")
