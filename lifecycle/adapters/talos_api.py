"""The API of a Talos machine: gRPC with client certificates, the two calls that the steps need.

The messages are so small that they are written by hand (api/machine/machine.proto of Talos 1.13).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from lifecycle.adapters.tls import Authority, client_pair
from lifecycle.address import authority as address_of
from lifecycle.errors import NeedsAttention, PortError
from lifecycle.ports import Clock

PORT: Final = 50000
ANSWER_S: Final = 20.0
"""Talos itself waits five seconds for its clock before it refuses to begin a cluster."""
ADMIN: Final = "os:admin"
"""The role that may do all, as the certificate's organisation."""
BOOTSTRAP, RESET = "/machine.MachineService/Bootstrap", "/machine.MachineService/Reset"
NOTHING: Final = b""
"""BootstrapRequest with everything left out: no recovery from a snapshot."""
SYSTEM_DISK: Final = b"\x28\x01"
"""ResetRequest with `mode: SYSTEM_DISK` (field 5, value 1) alone: the whole disk that the machine runs from and no
other, without leaving etcd, which the node has left already, and with the power off at the end."""
ADDRESSES: Final = "INGOT_TALOS_ADDRESSES"
REMEDY: Final = "runbooks/talos.md#api: reach the machine from here by its node's name, then run `pulumi up` again"


class GrpcMachineApi:
    """Fulfils `lifecycle.ports.MachineApi`.

    address: of a node's machine, as `host:port`, never one that leads to several machines. authority: finds the
    certificate authority of the machines' own API; may raise LifecycleError.
    """

    def __init__(self, address: Callable[[str], str], authority: Callable[[], Authority], clock: Clock) -> None:
        self._address, self._authority, self._clock = address, authority, clock

    def bootstrap(self, node: str) -> None:
        self._call(node, BOOTSTRAP, NOTHING, done=("ALREADY_EXISTS",))

    def wipe(self, node: str) -> None:
        self._call(node, RESET, SYSTEM_DISK)

    def _call(self, node: str, method: str, request: bytes, done: tuple[str, ...] = ()) -> None:
        """done: words for an answer that says that it was done before."""
        import grpc

        address = self._address(node)
        what = f"Talos of {node} at {address}, {method.rpartition('/')[2].lower()}"
        authority = self._authority()
        certificate, key = client_pair(authority, "ingot", ADMIN, self._clock.now_s())
        tls = grpc.ssl_channel_credentials(authority.certificate.encode(), key, certificate)
        with grpc.secure_channel(address, tls, options=(("grpc.enable_http_proxy", 0),)) as channel:
            try:
                channel.unary_unary(method)(request, timeout=ANSWER_S)
            except grpc.RpcError as error:
                code = error.code().name
                if code in done:
                    return
                said = f"{code}: {error.details() or 'no more'}"
                if code in {"PERMISSION_DENIED", "UNAUTHENTICATED", "UNIMPLEMENTED"}:
                    raise NeedsAttention(what, said, "see that the machine belongs to this stack") from None
                raise PortError(what, said, REMEDY) from None


def address(environment: Mapping[str, str], node: str) -> str:
    """Where a node's machine answers: what INGOT_TALOS_ADDRESSES says (`cp1=192.0.2.1,cp2=...`), else the node's name,
    which is in its machine's certificate. There may be no Node object yet to ask."""
    named = dict(pair.split("=", 1) for pair in environment.get(ADDRESSES, "").split(",") if "=" in pair)
    given = {name.strip(): host.strip() for name, host in named.items()}
    return address_of(given.get(node, node), PORT)
