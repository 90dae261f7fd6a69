"""Talos' own API: two calls, over TLS that both ends prove, to one machine."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent import futures
from dataclasses import dataclass, field
from ipaddress import ip_address

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lifecycle.adapters.clock import WallClock
from lifecycle.adapters.talos_api import BOOTSTRAP, RESET, GrpcMachineApi, address
from lifecycle.adapters.talos_state import authorities
from lifecycle.adapters.tls import Authority, client_pair
from lifecycle.errors import NeedsAttention, PortError
from rehearsal import talos_secrets


def machine_authority() -> Authority:
    """As Talos makes one: Ed25519, under a title of its own."""
    outputs = {"machineSecrets": talos_secrets.new()["machineSecrets"]}
    pems = authorities([{"urn": "a::talos-secrets", "type": "talos:machine/secrets:Secrets", "outputs": outputs}])
    return Authority("os-ca", pems["os-ca"], pems["os-ca-key"])


AUTHORITY = machine_authority()


def server_pair(authority: Authority, name: str, address_: str) -> tuple[bytes, bytes]:
    """A server's certificate and key, as trustd signs them."""
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.load_pem_x509_certificate(authority.certificate.encode())
    signer = serialization.load_pem_private_key(authority.key.encode(), None)
    assert isinstance(signer, ed25519.Ed25519PrivateKey)
    names = x509.SubjectAlternativeName([x509.DNSName(name), x509.IPAddress(ip_address(address_))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(issuer.not_valid_before_utc)
        .not_valid_after(issuer.not_valid_after_utc)
        .add_extension(names, critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(signer, None)
    )
    form, none = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    pem = serialization.Encoding.PEM
    return certificate.public_bytes(pem), key.private_bytes(pem, form, none)


@dataclass
class Machine(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc is published without types
    """Answers like apid. refuses: code and words, none to do as it is asked."""

    asked: list[tuple[str, bytes, str]] = field(default_factory=list)
    refuses: tuple[grpc.StatusCode, str] | None = None
    port: int = 0

    def service(self, call: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
            organisation = context.auth_context()["x509_pem_cert"][0].decode()
            self.asked.append((call.method, request, organisation))
            if self.refuses is not None:
                context.abort(*self.refuses)
            return b"\x0a\x00"

        return grpc.unary_unary_rpc_method_handler(answer)


@pytest.fixture
def machine() -> Iterator[Machine]:
    made = Machine()
    server = grpc.server(futures.ThreadPoolExecutor(2), handlers=(made,))
    certificate, key = server_pair(AUTHORITY, "cp1", "127.0.0.1")
    credentials = grpc.ssl_server_credentials(
        [(key, certificate)], AUTHORITY.certificate.encode(), require_client_auth=True
    )
    made.port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    yield made
    server.stop(0).wait()


def api(machine: Machine, authority: Authority = AUTHORITY) -> GrpcMachineApi:
    return GrpcMachineApi(lambda node: f"127.0.0.1:{machine.port}", lambda: authority, WallClock())


class TestAsked:
    """As Talos' own client would ask."""

    def test_to_begin_a_cluster_with_nothing_to_recover(self, machine: Machine) -> None:
        api(machine).bootstrap("cp1")
        assert [(method, request) for method, request, _ in machine.asked] == [(BOOTSTRAP, b"")]

    def test_to_erase_the_systems_disk_alone_and_switch_off(self, machine: Machine) -> None:
        """Fields of ResetRequest: mode (5) is SYSTEM_DISK (1); graceful, reboot and user disks are not set."""
        api(machine).wipe("w1")
        assert [(method, request) for method, request, _ in machine.asked] == [(RESET, b"\x28\x01")]

    def test_as_an_administrator(self, machine: Machine) -> None:
        api(machine).bootstrap("cp1")
        certificate = x509.load_pem_x509_certificate(machine.asked[0][2].encode())
        [organisation] = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
        assert organisation.value == "os:admin"
        assert (certificate.not_valid_after_utc - certificate.not_valid_before_utc).total_seconds() < 2 * 3600


class TestAnswers:
    """What was done before is done; what cannot be yet is asked again; the rest is a person's."""

    def test_a_cluster_that_began_already(self, machine: Machine) -> None:
        machine.refuses = (grpc.StatusCode.ALREADY_EXISTS, "etcd data directory is not empty")
        api(machine).bootstrap("cp1")

    @pytest.mark.parametrize(
        ("code", "words"),
        [
            (grpc.StatusCode.FAILED_PRECONDITION, "time is not in sync yet"),
            (grpc.StatusCode.UNAVAILABLE, "starting"),
        ],
    )
    def test_not_yet(self, code: grpc.StatusCode, words: str, machine: Machine) -> None:
        machine.refuses = (code, words)
        with pytest.raises(PortError, match=f"Talos of cp1 at 127.0.0.1:[0-9]+, bootstrap: .*{code.name}: {words}"):
            api(machine).bootstrap("cp1")

    def test_a_machine_of_somebody_else(self, machine: Machine) -> None:
        machine.refuses = (grpc.StatusCode.PERMISSION_DENIED, "not authorized")
        with pytest.raises(NeedsAttention, match="PERMISSION_DENIED: not authorized"):
            api(machine).wipe("w1")

    def test_a_machine_with_another_authority_is_asked_for_nothing(self, machine: Machine) -> None:
        with pytest.raises(PortError, match="UNAVAILABLE"):
            api(machine, machine_authority()).wipe("w1")
        assert machine.asked == []

    def test_no_machine(self) -> None:
        with pytest.raises(PortError, match=r"runbooks/talos\.md#api"):
            GrpcMachineApi(lambda node: "127.0.0.1:1", lambda: AUTHORITY, WallClock()).bootstrap("cp1")


class TestAddress:
    """One machine's own, never one that leads to several."""

    @pytest.mark.parametrize(
        ("said", "expected"),
        [
            ("", "cp1:50000"),
            ("cp2=192.0.2.2", "cp1:50000"),
            ("cp1=192.0.2.1, cp2=192.0.2.2", "192.0.2.1:50000"),
            ("cp1=2001:db8::1", "[2001:db8::1]:50000"),
        ],
    )
    def test_of_a_node(self, said: str, expected: str) -> None:
        assert address({"INGOT_TALOS_ADDRESSES": said} if said else {}, "cp1") == expected


class TestCertificate:
    """Minted for the call, from the machines' own authority."""

    def test_is_signed_by_it(self) -> None:
        certificate = x509.load_pem_x509_certificate(client_pair(AUTHORITY, "x", "y", WallClock().now_s())[0])
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(AUTHORITY.certificate.encode()))
