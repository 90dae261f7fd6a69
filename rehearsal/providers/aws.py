"""The aws package on the rack's account: every create, change and delete is a call that AWS's models and moto judge.

Types are in tables beside this (aws_network, aws_hosts, aws_access, aws_balancers, aws_names). What no table names is
refused when the engine checks it, so in a preview too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import grpc
from botocore.exceptions import BotoCoreError, ClientError
from pulumi.runtime.proto import provider_pb2

from rehearsal.aws.account import Account
from rehearsal.providers import aws_access, aws_balancers, aws_hosts, aws_names, aws_network
from rehearsal.providers.aws_kind import Api, Inputs, Kind, plain
from rehearsal.providers.base import Properties, Provider, Refused, kind_of, name_of, read, verbatim
from rehearsal.rack.rack import Rack

KINDS: Final[Mapping[str, Kind]] = {
    **aws_network.KINDS,
    **aws_hosts.KINDS,
    **aws_access.KINDS,
    **aws_balancers.KINDS,
    **aws_names.KINDS,
}
"""Every type that the rehearsal knows."""

NAMES: Final = ("name", "bucket")
"""Inputs that are unique in an account: what keeps one goes before its successor comes."""


def _caller(api: Api, arguments: Inputs) -> Inputs:
    said = api.account.client("sts", api.region).get_caller_identity()
    return {"accountId": said["Account"], "arn": said["Arn"], "userId": said["UserId"], "id": said["Account"]}


def _partition(api: Api, arguments: Inputs) -> Inputs:
    suffix = {"dnsSuffix": "amazonaws.com", "reverseDnsPrefix": "com.amazonaws"}
    return {"partition": "aws", "id": "aws", **suffix}


def _region(api: Api, arguments: Inputs) -> Inputs:
    return {"region": api.region, "name": api.region, "id": api.region, "endpoint": f"ec2.{api.region}.amazonaws.com"}


def _subnet(api: Api, arguments: Inputs) -> Inputs:
    (found,) = api.ec2.describe_subnets(SubnetIds=[arguments["id"]])["Subnets"]
    return {
        "id": found["SubnetId"],
        "vpcId": found["VpcId"],
        "availabilityZone": found["AvailabilityZone"],
        "cidrBlock": found["CidrBlock"],
    }


def _vpc(api: Api, arguments: Inputs) -> Inputs:
    (found,) = api.ec2.describe_vpcs(VpcIds=[arguments["id"]])["Vpcs"]
    return {"id": found["VpcId"], "cidrBlock": found["CidrBlock"]}


INVOKES: Final[Mapping[str, Callable[[Api, Inputs], Inputs]]] = {
    "aws:index/getCallerIdentity:getCallerIdentity": _caller,
    "aws:index/getPartition:getPartition": _partition,
    "aws:index/getRegion:getRegion": _region,
    "aws:ec2/getSubnet:getSubnet": _subnet,
    "aws:ec2/getVpc:getVpc": _vpc,
}
"""Every function that the rehearsal knows."""


class Aws(Provider):
    """Resources of one account, each in the region that it names, or that the program configured the package with."""

    version = "7.51.0"

    def __init__(self, rack: Rack, account: Account) -> None:
        self._rack, self._account, self._region = rack, account, ""

    def touch(self) -> None:
        self._rack.clock.touch()

    def replaces(self, kind: str, old: Properties, new: Properties) -> list[str]:
        changed = {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}
        return KINDS[kind].replaced_by(changed)

    def create(self, kind: str, name: str, new: Properties, context: grpc.ServicerContext) -> tuple[str, Properties]:
        with self._asking(f"{kind} {name}, create", new) as api:
            made = KINDS[kind].create(api, new)
            return made.id, {**new, "tagsAll": new.get("tags") or {}, **made.outputs, "id": made.id}

    def update(self, kind: str, name: str, old: Properties, new: Properties) -> Properties:
        changes = KINDS[kind].changes
        changed = [n for n in sorted(changes) if old.get(n) != new.get(n)]
        outputs: Properties = {**old, **new, "tagsAll": new.get("tags") or {}}
        with self._asking(f"{kind} {name}, change of {', '.join(changed)}", new) as api:
            for change in dict.fromkeys(changes[n] for n in changed):
                outputs |= change(api, old["id"], old, new) or {}
        dropped = KINDS[kind].known - new.keys()
        return {n: value for n, value in outputs.items() if n not in dropped}

    def delete(self, kind: str, name: str, old: Properties, context: grpc.ServicerContext) -> None:
        with self._asking(f"{kind} {name}, delete", old) as api:
            KINDS[kind].delete(api, old["id"], old)

    def invoke(self, token: str, arguments: Properties) -> Properties:
        if token not in INVOKES:
            raise Refused(_unknown(f"function {token}", INVOKES))
        with self._asking(token, arguments) as api:
            return INVOKES[token](api, arguments)

    @contextmanager
    def _asking(self, what: str, inputs: Inputs) -> Iterator[Api]:
        """The account, for one resource; what AWS refuses is said with its own words."""
        with self._rack.clock.lock:
            try:
                yield Api(self._account, str(plain(inputs.get("region") or self._region)))
            except (ClientError, BotoCoreError) as error:
                raise Refused(f"{what}: expected AWS to do it, found {type(error).__name__}: {error}") from error

    # ---------------------------------------------------------------- the wire, where it differs

    def Configure(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._region = str(read(request.args).get("region") or self._region)
        return super().Configure(request, context)

    def Check(self, request: Any, context: grpc.ServicerContext) -> Any:
        self.touch()
        kind, failures = kind_of(request.urn), []
        if kind not in KINDS:
            failures = [provider_pb2.CheckFailure(property="", reason=_unknown(f"type {kind}", KINDS))]
        else:
            known = KINDS[kind].known
            strangers = sorted(read(request.news).keys() - known - {"__defaults"})
            reasons = (_unknown(f"input {name} of {kind}", known) for name in strangers)
            failures = [
                provider_pb2.CheckFailure(property=n, reason=r) for n, r in zip(strangers, reasons, strict=True)
            ]
        return provider_pb2.CheckResponse(inputs=request.news, failures=failures)

    def Diff(self, request: Any, context: grpc.ServicerContext) -> Any:
        answer = super().Diff(request, context)
        old, new = read(request.old_inputs), read(request.news)
        answer.deleteBeforeReplace = any(n in new and old.get(n) == new[n] for n in NAMES)
        return answer

    def Read(self, request: Any, context: grpc.ServicerContext) -> Any:
        self.touch()
        kind, old = kind_of(request.urn), read(request.properties)
        with verbatim(context), self._asking(f"{kind} {name_of(request.urn)}, look", old) as api:
            if not KINDS[kind].exists(api, request.id, old):
                return provider_pb2.ReadResponse()
        return super().Read(request, context)

    def Invoke(self, request: Any, context: grpc.ServicerContext) -> Any:
        with verbatim(context):
            return super().Invoke(request, context)


def _unknown(what: str, known: Mapping[str, object] | frozenset[str]) -> str:
    return f"expected what the rehearsal's AWS knows ({', '.join(sorted(known))}), found {what}"
