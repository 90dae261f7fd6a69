"""AWS's API with boto3, as steps speak it: one way to ask, and errors that name host, region, call, code and remedy.

Credentials are those that boto3 finds (environment, profile, instance role). What is transient is asked again by
botocore within one call, and by lifecycle.power over calls; what only a person can put right is said at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from lifecycle.adapters.wire import CONNECT_S, shown
from lifecycle.ec2 import Place
from lifecycle.errors import LifecycleError, NeedsAttention, PortError

if TYPE_CHECKING:
    from botocore.client import BaseClient
    from botocore.exceptions import ClientError

Json = dict[str, Any]

ATTEMPTS = 5
"""Of one request, as botocore's standard mode makes them, seconds apart. It knows which are safe to repeat: what
changes something carries a token by which the far side knows it again."""
ANSWER_S = 60.0

FORBIDDEN = frozenset({"UnauthorizedOperation", "AccessDenied", "AccessDeniedException"})
WRONG_CREDENTIALS = frozenset(
    {
        "AuthFailure",
        "Blocked",
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "MissingAuthenticationToken",
        "OptInRequired",
        "PendingVerification",
        "RequestExpired",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
THROTTLED = frozenset(
    {
        "BandwidthLimitExceeded",
        "EC2ThrottledException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
SETTLING = frozenset(
    {
        "IncorrectInstanceState",
        "IncorrectState",
        "InvalidInstanceID.NotFound",
        "InvalidNetworkInterface.InUse",
        "PriorRequestNotComplete",
        "VolumeInUse",
    }
)
"""EC2 user guide, "Eventual consistency": what was just made, ended or attached is not so everywhere at once."""
SERVER_ERROR = 500

_DENIED = re.compile(r"not authorized to perform: ([\w-]+:\w+)(?: on resource: (\S+))?")
_ENCODED = re.compile(r"\s*Encoded authorization failure message:.*", re.DOTALL)

PERMISSION = (
    "runbooks/aws.md#permission: grant it to whoever runs the steps (`ingot aws policy STACK` prints all that a roll "
    "needs), then run `pulumi up` again"
)
CREDENTIALS = "runbooks/aws.md#credentials: see what `aws sts get-caller-identity` says, then run `pulumi up` again"
SILENT = "runbooks/aws.md#silent, then run `pulumi up` again"
THROTTLE = "runbooks/aws.md#throttled: run `pulumi up` again, with a lower --parallel"
REFUSED = "runbooks/aws.md#refused: correct what it names, then run `pulumi up` again"


class Refused(NeedsAttention):
    """An answer that says no to what was asked, and not to who asked."""


class Answered(Exception):
    """An error code that the caller had asked to be told. Not for a user."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code, self.text = code, text


class Aws:
    """boto3's clients, made when they are first asked.

    session: makes boto3's session; may raise. attempts: of one request.
    """

    def __init__(self, session: Callable[[], Any] | None = None, attempts: int = ATTEMPTS) -> None:
        self._make, self._attempts = session or _session, attempts
        self._session: Any = None
        self._clients: dict[tuple[str, str], BaseClient] = {}

    def ask(
        self, place: Place, call: str, *, told: frozenset[str] = frozenset(), service: str = "ec2", **arguments: Any
    ) -> Json:
        """The answer to one call, by its name in the API's reference, such as `RunInstances`.

        told: error codes that are the caller's to judge: raised as Answered. Raises PortError where asking again may
        help, else NeedsAttention.
        """
        from botocore import exceptions, parsers, xform_name

        try:
            answer: Json = getattr(self._client(service, place.region), xform_name(call))(**arguments)
        except exceptions.ClientError as error:
            code, text = _code(error), str(error.response.get("Error", {}).get("Message", ""))
            if code in told:
                raise Answered(code, shown(text)) from error
            raise refused(place, call, error, service) from error
        except (exceptions.BotoCoreError, parsers.ResponseParserError) as error:
            raise silent(place, call, error, service) from error
        return answer

    def all(self, place: Place, call: str, under: str, **arguments: Any) -> Iterator[Json]:
        """Every item under `under` of a call that answers in pages. Raises as `ask` does."""
        token: Json = {}
        while True:
            answer = self.ask(place, call, **arguments, **token)
            yield from answer.get(under, [])
            if not answer.get("NextToken"):
                return
            token = {"NextToken": answer["NextToken"]}

    def _client(self, service: str, region: str) -> BaseClient:
        from botocore.config import Config

        if (service, region) not in self._clients:
            self._session = self._session or self._make()
            self._clients[service, region] = self._session.client(
                service,
                region_name=region,
                config=Config(
                    connect_timeout=CONNECT_S,
                    read_timeout=ANSWER_S,
                    retries={"mode": "standard", "total_max_attempts": self._attempts},
                ),
            )
        return self._clients[service, region]


def _session() -> Any:
    import boto3

    return boto3.session.Session()


def named(place: Place, call: str, service: str = "ec2") -> str:
    """The object of an error's text."""
    of = f" of {place.host}" if place.host else ""
    return f"{service.upper()}{of} in {place.region}, {call}"


def refused(place: Place, call: str, error: ClientError, service: str = "ec2") -> LifecycleError:
    """The error for an answer that is one: with its code, whatever it is."""
    code, text = _code(error), str(error.response.get("Error", {}).get("Message", ""))
    what, status = named(place, call, service), int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in FORBIDDEN:
        action, resource = lacking(call, text, service)
        on = f" on {resource}" if resource else ""
        return NeedsAttention(what, f"{code}: no permission for {action}{on}", PERMISSION)
    found = f"{code}: {shown(_ENCODED.sub('', text))}"
    if code in WRONG_CREDENTIALS:
        return NeedsAttention(what, found, CREDENTIALS)
    if code in THROTTLED:
        return PortError(what, found, THROTTLE)
    if code in SETTLING or status >= SERVER_ERROR:
        return PortError(what, found, SILENT)
    return Refused(what, found, REFUSED)


def lacking(call: str, text: str, service: str = "ec2") -> tuple[str, str]:
    """(action, resource) of a refusal: as its text says, which may name another action than the call's own, such as
    iam:PassRole; "" for a resource that is not named."""
    said = _DENIED.search(text)
    if said is None:
        return f"{service}:{call}", ""
    return said.group(1), (said.group(2) or "").rstrip(".,")


def silent(place: Place, call: str, error: Exception, service: str = "ec2") -> LifecycleError:
    """The error for no answer at all, for one that cannot be read, or for a request that could not be made."""
    from botocore import exceptions, parsers

    what, found = named(place, call, service), f"{type(error).__name__}: {shown(str(error))}"
    if isinstance(error, exceptions.ConnectionError | exceptions.HTTPClientError | parsers.ResponseParserError):
        return PortError(what, found, SILENT)
    wrong = isinstance(error, exceptions.ParamValidationError)
    return NeedsAttention(what, found, REFUSED if wrong else CREDENTIALS)


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", "")) or "an error without a code"


def tag_filters(tags: Mapping[str, str]) -> list[Json]:
    """What has all these tags."""
    return [{"Name": f"tag:{key}", "Values": [value]} for key, value in tags.items()]


def tags_of(item: Json) -> dict[str, str]:
    """The tags of an answer's item."""
    return {str(tag["Key"]): str(tag["Value"]) for tag in item.get("Tags") or []}
