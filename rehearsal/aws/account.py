"""One AWS account: moto's backends, called in this process by boto3's own clients.

A client validates a call's shape by AWS's own models, then hands it to moto instead of the network: no server, no
socket, and nothing of boto3 or of HTTP is patched, so that other clients in this process still reach what they
mean. Two things are added to moto. Chance: what it draws comes from the seed and the call's content. Memory: the
calls are kept (rehearsal/aws/calls.py) and made again when the account is opened again.

moto has one set of backends a process, so one account is open at a time. Callers hold the rack's lock.
"""

from __future__ import annotations

import copy
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import boto3
import botocore.session
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.exceptions import ClientError
from moto.backends import get_backend
from moto.core.base_backend import BackendDict
from moto.core.botocore_stubber import BotocoreStubber, MockRawResponse
from moto.ec2.exceptions import EC2ClientError
from moto.moto_api._internal import mock_random

from rehearsal.aws import calls, physics
from rehearsal.aws.calls import RACK, Call, Calls, CallsUnreadable
from rehearsal.aws.physics import NUMBER
from rehearsal.aws.placement import PlacementGroups, Refusal

if TYPE_CHECKING:
    from botocore.model import OperationModel

KEY = "rehearsal"
"""Access key and secret: they open nothing anywhere."""

HOME, GLOBAL = "us-east-1", "aws"
"""Where moto looks for what it knows of a service first; what a service without regions is in."""
NO_IMAGES = {"MOTO_EC2_LOAD_DEFAULT_AMIS": "false"}
"""moto's own images are of nobody here, and take a second to load."""

LOADER = botocore.session.get_session().get_component("data_loader")
"""Shared: reading what EC2's API is like takes a second."""

_OPEN = threading.Lock()


class AccountInUse(Exception):
    """Another rack of this process has its AWS account open."""

    def __init__(self) -> None:
        super().__init__(
            "the rack's AWS: expected no other rack with one in this process, found one. Nothing was changed. "
            "Remedy: let its session end first"
        )


class Account:
    """An open account. Make one with `open_account`.

    now_s: the rack's clock. strikes: the fault that strikes a call, if any; asked before moto is.
    """

    def __init__(self, seed: int, kept: Calls, now_s: Callable[[], float]) -> None:
        self.strikes: Callable[[Call], Refusal | None] = lambda call: None
        self._seed, self._kept, self._now_s = seed, kept, now_s
        self._then_s: float | None = None
        self._asked: Counter[str] = Counter()
        self._begun: set[tuple[str, str]] = set()
        self._clients: dict[tuple[str, str], Any] = {}
        self._groups = PlacementGroups(physics.groups_used)
        stubber = BotocoreStubber()
        stubber.enabled = True
        core = botocore.session.get_session()
        core.register_component("data_loader", LOADER)
        self.session = boto3.Session(aws_access_key_id=KEY, aws_secret_access_key=KEY, botocore_session=core)
        self.session.events.register("provide-client-params", self._named)
        self.session.events.register("before-call", self._asks)
        self.session.events.register("before-send", stubber)
        self.session.events.register("after-call", self._ended)

    @property
    def calls(self) -> list[Call]:
        """Every call that was meant to change something, since the account was new."""
        return self._kept.all

    def client(self, service: str, region: str) -> Any:
        """boto3's client. It asks once: whoever tries again does so on a clock of their own."""
        key = (service, region)
        if key not in self._clients:
            once = Config(retries={"total_max_attempts": 1})
            self._clients[key] = self.session.client(service, region_name=region, config=once)
        return self._clients[key]

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """No fault strikes what is asked in here: the rack's own look, which no step takes part in."""
        strikes, self.strikes = self.strikes, lambda call: None
        try:
            yield
        finally:
            self.strikes = strikes

    def publish_image(self, region: str, ami: str, architecture: str, name: str) -> None:
        """From now on this image can be launched there."""
        facts = {"ami": ami, "architecture": architecture, "name": name}
        known = (c.parameters for c in self.calls if c.service == RACK and c.region == region)
        if facts not in known:
            self.happens(region, "image", **facts)

    def happens(self, region: str, what: str, **facts: str) -> None:
        """Something happens to what is in the account, without a call."""
        call = Call(self._now_s(), RACK, region, what, dict(facts))
        self._begin("ec2", region)
        physics.happens(call)
        self._kept.add(call)

    def _begin(self, service: str, region: str) -> None:
        """moto makes what it has of a service in a region when it is first asked for, such as a default network: what
        it draws for that is not to depend on who asks."""
        if (service, region) not in self._begun:
            self._begun.add((service, region))
            backends = get_backend(service)[NUMBER]  # type: ignore[call-overload]  # it lists every service there is
            for where in (HOME, region):
                mock_random.seed(f"{self._seed}:{service}:{where}")
                with mock.patch.dict(os.environ, NO_IMAGES):
                    backends[where if where in backends else GLOBAL]
            if service == "ec2":
                physics.prepare(region)

    def _replay(self, made: list[Call]) -> None:
        """Make these calls again. Raises CallsUnreadable if one of them is answered otherwise than it was."""
        for call in made:
            self._then_s = call.at_s
            if call.service == RACK:
                self._begin("ec2", call.region)
                try:
                    physics.happens(call)
                except EC2ClientError as error:
                    raise CallsUnreadable("the rack's AWS", str(error)) from None
            elif call.fault:
                self._asked[call.content] += 1
            else:
                code = self._repeat(call)
                if code != call.error:
                    found = f"{call.operation} answered with {code or 'success'}, not {call.error or 'success'}"
                    raise CallsUnreadable("the rack's AWS", found)
        self._kept.all[:], self._then_s = made, None

    def _repeat(self, call: Call) -> str:
        try:
            self.client(call.service, call.region)._make_api_call(call.operation, call.parameters)
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        return ""

    # ---------------------------------------------------------------- botocore's events, in their order

    def _named(
        self, params: dict[str, Any], model: OperationModel, context: dict[str, Any], **_: object
    ) -> dict[str, Any]:
        """The call as its caller made it. A token that botocore would draw by itself comes from the content, so that
        the same call stays the same."""
        service, region = model.service_model.service_name, context["client_region"]
        at_s = self._now_s() if self._then_s is None else self._then_s
        call = Call(at_s, service, region, model.name, copy.deepcopy(params))
        self._asked[call.content] += 1
        chance = f"{self._seed}:{call.content}:{self._asked[call.content]}"
        context["ingot"] = (call, chance)
        tokens = {}
        for name in model.idempotent_members:
            if name not in params:
                mock_random.seed(f"{chance}:{name}")
                tokens[name] = str(mock_random.uuid4())
        return {**params, **tokens}

    def _asks(
        self, params: dict[str, Any], context: dict[str, Any], **_: object
    ) -> tuple[AWSResponse, dict[str, Any]] | None:
        """What is answered without moto: a fault, what AWS refuses and moto would not, what takes its time."""
        call, chance = context["ingot"]
        self._begin(call.service, call.region)
        fault = None if call.parameters.get("DryRun") else self.strikes(call)
        context["ingot_fault"] = fault is not None
        answer: dict[str, Any] | Refusal | None = fault
        judges = (self._repeated, self._groups.answer, self._refused, physics.instead)
        for judge in judges if not call.parameters.get("DryRun") else ():  # of that moto says the same
            answer = judge(call) if answer is None else answer
        if answer is None:
            mock_random.seed(chance)  # last of all: who judges may have asked for something else
            return None
        if isinstance(answer, Refusal):
            return _answered(params, 400, {"Error": {"Code": answer.code, "Message": answer.message}})
        return _answered(params, 200, answer)

    def _refused(self, call: Call) -> Refusal | None:
        return physics.refused(call, self._groups)

    def _repeated(self, call: Call) -> dict[str, Any] | None:
        """A launch with the token of an earlier one is that one, whatever became of it (EC2 API reference, "Ensuring
        idempotency"); moto would launch another."""
        token = call.parameters.get("ClientToken") if call.operation == "RunInstances" else None
        known = physics.launched_with(call.region, token) if token else None
        if known is None:
            return None
        client = self.client("ec2", call.region)
        answer: dict[str, Any] = client.describe_instances(InstanceIds=[known])["Reservations"][0]
        return answer

    def _ended(self, http_response: AWSResponse, parsed: dict[str, Any], context: dict[str, Any], **_: object) -> None:
        call: Call = context["ingot"][0]
        error = ""
        if http_response.status_code >= 300:
            error = str(parsed["Error"]["Code"])
        else:
            physics.answered(call, parsed)
        if calls.changes(call.operation) and not call.parameters.get("DryRun"):
            self._kept.add(replace(call, error=error, fault=context["ingot_fault"]))


def _answered(params: dict[str, Any], status: int, said: dict[str, Any]) -> tuple[AWSResponse, dict[str, Any]]:
    parsed = {**said, "ResponseMetadata": {"HTTPStatusCode": status, "RequestId": "rack", "HTTPHeaders": {}}}
    return AWSResponse(params["url"], status, {}, MockRawResponse(b"")), parsed


@contextmanager
def open_account(
    path: Path | None,
    *,
    seed: int,
    now_s: Callable[[], float] = lambda: 0.0,
    lasting: bool = True,
) -> Iterator[Account]:
    """Open the account whose calls are in that file; a new one if there is none.

    path: None keeps it nowhere. lasting: what is done to it from now on is kept too.
    Raises AccountInUse, CallsUnreadable.
    """
    if not _OPEN.acquire(blocking=False):
        raise AccountInUse
    try:
        _forget()
        made = calls.read(path) if path is not None else []
        if path is not None and lasting:
            calls.cut(path)
        kept = Calls()
        account = Account(seed, kept, now_s)
        account._replay(made)
        kept.path = path if lasting else None
        yield account
    finally:
        _forget()
        _OPEN.release()


def _forget() -> None:
    with mock.patch.dict(os.environ, NO_IMAGES):
        BackendDict.reset()
