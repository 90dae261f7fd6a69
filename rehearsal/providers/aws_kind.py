"""What a type of the aws package is to the rehearsal's provider: which calls its inputs become.

Inputs come as the package sends them (pulumi_aws 7: camelCase, numbers as floats), calls go out as boto3 wants them.
A type or an input that no table names is refused with its name, at preview already: what a rehearsal does not
know it must not wave through.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from rehearsal.aws.account import Account

Inputs = dict[str, Any]


@dataclass(frozen=True)
class Api:
    """The account, as one resource sees it."""

    account: Account
    region: str

    @property
    def ec2(self) -> Any:
        return self.account.client("ec2", self.region)

    @property
    def elb(self) -> Any:
        return self.account.client("elbv2", self.region)

    @property
    def iam(self) -> Any:
        return self.account.client("iam", self.region)

    @property
    def s3(self) -> Any:
        return self.account.client("s3", self.region)

    @property
    def route53(self) -> Any:
        return self.account.client("route53", self.region)

    @property
    def number(self) -> str:
        return str(self.account.client("sts", self.region).get_caller_identity()["Account"])

    def arn(self, service: str, rest: str, *, regional: bool = True) -> str:
        return f"arn:aws:{service}:{self.region if regional else ''}:{self.number}:{rest}"


@dataclass(frozen=True)
class Made:
    """A resource's id, and what it says beside its inputs."""

    id: str
    outputs: Inputs = field(default_factory=dict)


Change = Callable[[Api, str, Inputs, Inputs], Inputs | None]
"""Changes one of that id in place, from the old outputs to the new inputs. Returns outputs that differ now."""


@dataclass(frozen=True)
class Kind:
    """One type.

    create, delete, exists: by id. inputs: those it takes beside `changes`, each of which replaces it. changes: input
    -> what changes it in place; the same function for several runs once.
    """

    create: Callable[[Api, Inputs], Made]
    delete: Callable[[Api, str, Inputs], None]
    exists: Callable[[Api, str, Inputs], bool]
    inputs: frozenset[str]
    changes: Mapping[str, Change] = field(default_factory=dict)

    @property
    def known(self) -> frozenset[str]:
        return self.inputs | self.changes.keys() | {"region"}

    def replaced_by(self, changed: set[str]) -> list[str]:
        return sorted(changed - self.changes.keys())


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# ---------------------------------------------------------------- from the package's shapes to boto3's


def plain(value: Any) -> Any:
    """Whole numbers as integers: on the engine's wire every number is a float."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {k: plain(v) for k, v in value.items()}
    return [plain(v) for v in value] if isinstance(value, list) else value


def shaped(value: Any, texts: frozenset[str] = frozenset()) -> Any:
    """`camelCase` as `PascalCase`, all the way down, without what is not given. texts: names whose values are
    booleans in text, as some are in the package."""
    if isinstance(value, Mapping):
        return {
            k[:1].upper() + k[1:]: v == "true" if k in texts and isinstance(v, str) else shaped(v, texts)
            for k, v in value.items()
            if v is not None
        }
    return [shaped(v, texts) for v in value] if isinstance(value, list) else plain(value)


def given(inputs: Inputs, **names: str) -> Inputs:
    """boto3's names with the values of those inputs that are given: `given(inputs, CidrBlock="cidrBlock")`."""
    return {to: plain(inputs[of]) for to, of in names.items() if inputs.get(of) is not None}


def tag_list(tags: Mapping[str, str] | None) -> list[dict[str, str]]:
    return [{"Key": k, "Value": v} for k, v in sorted((tags or {}).items())]


def gone(error: ClientError) -> bool:
    """Whether AWS says that there is no such thing."""
    code = str(error.response["Error"]["Code"])
    return ".NotFound" in code or code.endswith("NotFound") or code.startswith("NoSuch") or code == "404"


def found(ask: Callable[[], object]) -> bool:
    """Whether what is asked for is there."""
    try:
        return bool(ask())
    except ClientError as error:
        if gone(error):
            return False
        raise


def unless_gone(delete: Callable[[], object]) -> None:
    """A delete of what is gone is done."""
    try:
        delete()
    except ClientError as error:
        if not gone(error):
            raise
