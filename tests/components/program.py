"""Runs a Pulumi program against a monitor that notes every registration with its options.

Pulumi's own mocks show neither options nor order; this monitor keeps the requests as the engine gets them.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc
import pulumi
from google.protobuf import json_format, struct_pb2
from pulumi.runtime import mocks
from pulumi.runtime.proto import resource_pb2
from pulumi.runtime.stack import run_in_stack

SECRET = "1b47061264138c4ac30d75fd1eb44270"
"""The signature that marks a value as secret on the wire."""

COMPUTED = ("privateKeyPem", "certPem", "certRequestPem", "arn", "dnsName", "zoneId", "privateIp")
"""What some resource says of itself once it is made."""
STACK_TYPE = "pulumi:pulumi:Stack"


@dataclass(frozen=True)
class Registered:
    """One registration, as the engine was asked for it."""

    type: str
    name: str
    urn: str
    inputs: Mapping[str, Any]
    dependencies: frozenset[str]
    delete_before_replace: bool
    deleted_with: str
    provider: str
    ignore_changes: tuple[str, ...] = ()
    retained: bool = False


class NoAnswer(grpc.RpcError):  # type: ignore[misc]  # grpc is published without types
    """What an invoke raises when its provider fails."""

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.UNKNOWN

    def details(self) -> str:
        return "exit status 127: .venv/bin/ingot: not found"


class Silent(mocks.Mocks):
    """Never asked: the monitor answers for itself."""

    def call(self, args: mocks.MockCallArgs) -> Any:
        raise AssertionError(args.token)

    def new_resource(self, args: mocks.MockResourceArgs) -> Any:
        raise AssertionError(args.name)


class Outstanding(set[asyncio.Task[Any]]):
    """What the SDK still waits for. again: how often it put a task back that it had looked at before."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: set[asyncio.Task[Any]] = set()
        self.again = 0

    def add(self, task: asyncio.Task[Any]) -> None:
        self.again += task in self._seen
        self._seen.add(task)
        super().add(task)


@dataclass(eq=False)
class Monitor(mocks.MockMonitor):
    """preview: ids stay unknown. roster: what the roster prints; None: the invoke fails. last: outputs of
    the last up. breaks: names whose step fails. continue_on_error: such a failure is answered, not raised."""

    preview: bool = False
    roster: str | None = ""
    last: Mapping[str, Any] = field(default_factory=dict)
    breaks: frozenset[str] = frozenset()
    continue_on_error: bool = False
    registered: list[Registered] = field(default_factory=list)
    failed: set[str] = field(default_factory=set)
    invoked: list[str] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)
    outstanding: Outstanding = field(default_factory=Outstanding)

    def __post_init__(self) -> None:
        super().__init__(Silent())

    def RegisterResource(self, request: Any) -> Any:  # the wire's name
        urn = self.urn(request.parent, request.type, request.name)
        if request.type == STACK_TYPE:
            return resource_pb2.RegisterResourceResponse(urn=urn)
        self.registered.append(
            Registered(
                request.type,
                request.name,
                urn,
                json_format.MessageToDict(request.object),
                frozenset(request.dependencies),
                request.deleteBeforeReplace,
                request.deletedWith,
                request.provider,
                tuple(request.ignoreChanges),
                request.retainOnDelete,
            )
        )
        if request.name in self.breaks and not self.continue_on_error:
            raise RuntimeError(f"{request.name} failed")
        failed = request.name in self.breaks or not self.failed.isdisjoint(request.dependencies)
        if failed:  # the engine then skips whatever depends on it, and answers for it too
            self.failed.add(urn)
        known = request.custom and not self.preview and not failed
        return resource_pb2.RegisterResourceResponse(
            urn=urn,
            id=f"id of {request.name}" if known else "",
            object=made(request, self.preview),
            result=resource_pb2.Result.FAIL if failed else resource_pb2.Result.SUCCESS,
        )

    def ReadResource(self, request: Any) -> Any:  # the wire's name
        properties = struct_pb2.Struct()
        properties.update({"name": request.name, "outputs": dict(self.last), "secretOutputNames": []})
        return resource_pb2.ReadResourceResponse(
            urn=self.urn(request.parent, request.type, request.name), properties=properties
        )

    def Invoke(self, request: Any) -> Any:  # the wire's name
        self.invoked.append(request.args["command"])
        if self.roster is None:
            raise NoAnswer
        answer = struct_pb2.Struct()
        answer.update({"stdout": self.roster})
        return resource_pb2.ResourceInvokeResponse(**{"return": answer})

    def RegisterResourceOutputs(self, request: Any) -> Any:  # the wire's name
        if f"::{STACK_TYPE}::" in request.urn:
            self.outputs = json_format.MessageToDict(request.outputs)
        return super().RegisterResourceOutputs(request)  # type: ignore[no-untyped-call]  # the SDK's mocks have no types

    @staticmethod
    def urn(parent: str, type_: str, name: str) -> str:
        """As the engine makes it: the types of all parents but the stack, then the type; no parent's name."""
        above = parent.split("::")[2] if parent else STACK_TYPE
        chain = type_ if above == STACK_TYPE else f"{above}${type_}"
        return f"urn:pulumi:metal::ingot::{chain}::{name}"

    def names(self, type_: str = "") -> list[str]:
        """Logical names in order of registration, of one type or of all."""
        return [r.name for r in self.registered if r.type.startswith(type_)]

    def one(self, name: str, type_: str = "") -> Registered:
        found = [r for r in self.registered if r.name == name and r.type.startswith(type_)]
        if len(found) != 1:
            raise AssertionError(f"expected one registration of {name}, found {found}; there are {self.names()}")
        return found[0]

    def after(self, name: str) -> set[str]:
        """Names of the resources that a resource depends on."""
        return {urn.split("::")[-1] for urn in self.one(name).dependencies}


def made(request: Any, preview: bool) -> struct_pb2.Struct:
    """The outputs of a resource: its inputs, and what tls, command and aws compute when they create."""
    outputs = struct_pb2.Struct()
    outputs.update(json_format.MessageToDict(request.object))
    if not preview:
        outputs.update({key: f"{key} of {request.name}" for key in COMPUTED})
    return outputs


def run(program: Callable[[], None], monitor: Monitor) -> Monitor:
    """Run the program to its end, as the language host does. Raises what the program failed with."""
    # As the language host does: a failed program leaves tasks behind whose failures nobody asks for.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)

    def configured() -> None:
        settings = mocks.MockSettings(  # type: ignore[no-untyped-call]  # as above
            monitor=monitor,
            monitor_features=set(),
            engine=mocks.MockEngine(None),
            project="ingot",
            stack="metal",
            dry_run=monitor.preview,
            organization="organization",
            callbacks=None,
            outputs=monitor.outstanding,
        )
        pulumi.runtime.configure(settings)
        asyncio.run(run_in_stack(program))

    contextvars.copy_context().run(configured)
    return monitor


def roster(nodes: Mapping[str, str]) -> str:
    """What `ingot node roster` prints when the cluster answers."""
    return json.dumps({"answered": True, "nodes": dict(nodes)})
