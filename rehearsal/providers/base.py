"""What every stand-in provider answers alike.

The engine attaches by PULUMI_DEBUG_PROVIDERS, so each preview, up or destroy begins with a handshake.
Requests may carry secrets (Configure hands over a kubeconfig): nothing here logs one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import grpc
from google.protobuf import empty_pb2, json_format, struct_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""The engine's word for a value that is not known yet (sdk/go/common/resource/plugin)."""

Properties = dict[str, Any]


def read(properties: struct_pb2.Struct) -> Properties:
    """The plain dict of a message's properties."""
    found: Properties = json_format.MessageToDict(properties)
    return found


def write(properties: Mapping[str, Any]) -> struct_pb2.Struct:
    found = struct_pb2.Struct()
    found.update(properties)
    return found


class Refused(Exception):
    """A step failed; its text goes to the user as it is."""


@contextmanager
def verbatim(context: grpc.ServicerContext) -> Iterator[None]:
    """Hand a refusal's text to the engine without the words that gRPC puts before an exception."""
    try:
        yield
    except Refused as refusal:
        context.abort(grpc.StatusCode.UNKNOWN, str(refusal))


class Provider(provider_pb2_grpc.ResourceProviderServicer):
    """A provider whose resources are what their inputs say. A change is an update, unless `replaces`
    names the property. Subclasses say what creating and deleting do to the rack."""

    version = "0.0.0"

    # ---------------------------------------------------------------- for subclasses

    def replaces(self, kind: str, old: Properties, new: Properties) -> list[str]:
        """The properties whose change replaces the resource."""
        return []

    def unchanged(self, kind: str, name: str, new: Properties) -> None:
        """The engine found that this resource does not differ."""

    def create(self, kind: str, name: str, new: Properties, context: grpc.ServicerContext) -> tuple[str, Properties]:
        """Make it; (id, outputs). Only called for real."""
        return name, new

    def update(self, kind: str, name: str, old: Properties, new: Properties) -> Properties:
        return new

    def delete(self, kind: str, name: str, old: Properties, context: grpc.ServicerContext) -> None:
        """Take it away. Idempotent."""

    def invoke(self, token: str, arguments: Properties) -> Properties:
        return {}

    def begin_phase(self) -> None:
        """A new preview, up, refresh or destroy."""

    def touch(self) -> None:
        """The engine called."""

    # ---------------------------------------------------------------- the wire

    def Handshake(self, request: Any, context: grpc.ServicerContext) -> Any:
        return provider_pb2.ProviderHandshakeResponse()

    def Attach(self, request: Any, context: grpc.ServicerContext) -> Any:
        return empty_pb2.Empty()

    def GetPluginInfo(self, request: Any, context: grpc.ServicerContext) -> Any:
        return plugin_pb2.PluginInfo(version=self.version)

    def CheckConfig(self, request: Any, context: grpc.ServicerContext) -> Any:
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: Any, context: grpc.ServicerContext) -> Any:
        return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE)

    def Configure(self, request: Any, context: grpc.ServicerContext) -> Any:
        self.begin_phase()
        return provider_pb2.ConfigureResponse(acceptSecrets=False, supportsPreview=True)

    def Check(self, request: Any, context: grpc.ServicerContext) -> Any:
        self.touch()
        return provider_pb2.CheckResponse(inputs=request.news)

    def Diff(self, request: Any, context: grpc.ServicerContext) -> Any:
        self.touch()
        kind = kind_of(request.urn)
        if request.old_inputs == request.news:
            self.unchanged(kind, name_of(request.urn), read(request.news))
            return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE)
        old, new = read(request.old_inputs), read(request.news)
        changed = sorted(k for k in old.keys() | new.keys() if old.get(k) != new.get(k))
        replaced = self.replaces(kind, old, new)
        return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_SOME, replaces=replaced, diffs=changed)

    def Create(self, request: Any, context: grpc.ServicerContext) -> Any:
        self.touch()
        new = read(request.properties)
        if request.preview:
            return provider_pb2.CreateResponse(properties=request.properties)
        with verbatim(context):
            made, outputs = self.create(kind_of(request.urn), name_of(request.urn), new, context)
        return provider_pb2.CreateResponse(id=made, properties=write(outputs))

    def Read(self, request: Any, context: grpc.ServicerContext) -> Any:
        return provider_pb2.ReadResponse(id=request.id, properties=request.properties, inputs=request.inputs)

    def Update(self, request: Any, context: grpc.ServicerContext) -> Any:
        self.touch()
        if request.preview:
            return provider_pb2.UpdateResponse(properties=request.news)
        outputs = self.update(kind_of(request.urn), name_of(request.urn), read(request.olds), read(request.news))
        return provider_pb2.UpdateResponse(properties=write(outputs))

    def Delete(self, request: Any, context: grpc.ServicerContext) -> Any:
        self.touch()
        with verbatim(context):
            self.delete(kind_of(request.urn), name_of(request.urn), read(request.properties), context)
        return empty_pb2.Empty()

    def Invoke(self, request: Any, context: grpc.ServicerContext) -> Any:
        self.touch()
        return provider_pb2.InvokeResponse(**{"return": write(self.invoke(request.tok, read(request.args)))})

    def Cancel(self, request: Any, context: grpc.ServicerContext) -> Any:
        return empty_pb2.Empty()


def kind_of(urn: str) -> str:
    return urn.split("::")[2].rpartition("$")[2]


def name_of(urn: str) -> str:
    return urn.split("::", 3)[3]
