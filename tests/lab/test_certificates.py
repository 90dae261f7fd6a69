"""The lab's certificates, as OpenSSL judges them."""

from __future__ import annotations

import socket
import ssl
import threading
from pathlib import Path

import pytest

from lab.certificates import Authority, Pair, service_account_key


def handshake(server: Pair, client: Pair | None, trusted: Authority, host: str) -> str:
    """The common name that the server saw. Raises ssl.SSLError."""
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(trusted.pair.certificate))
    serving.verify_mode = ssl.CERT_REQUIRED
    serving.load_cert_chain(server.certificate, server.key)
    asking = ssl.create_default_context(cafile=str(trusted.pair.certificate))
    if client is not None:
        asking.load_cert_chain(client.certificate, client.key)
    ours, theirs = socket.socketpair()
    ours.settimeout(10)
    theirs.settimeout(10)

    def answer() -> None:
        try:
            with serving.wrap_socket(theirs, server_side=True) as tls:
                subject = dict(pair[0] for pair in (tls.getpeercert() or {})["subject"])  # type: ignore[misc]
                tls.sendall(str(subject["commonName"]).encode())
        except (OSError, KeyError):
            theirs.close()

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        with asking.wrap_socket(ours, server_hostname=host) as tls:
            return tls.recv(100).decode()
    finally:
        ours.close()
        thread.join(10)


class TestCertificates:
    """Both sides know who is at the other end."""

    def test_name_the_client(self, tmp_path: Path) -> None:
        authority = Authority(tmp_path, "ca")
        server, client = authority.server("server", "127.0.0.1"), authority.client("ann", "ann", "admins")
        assert handshake(server, client, authority, "127.0.0.1") == "ann"

    def test_of_another_authority_are_refused(self, tmp_path: Path) -> None:
        authority, other = Authority(tmp_path, "ca"), Authority(tmp_path, "other")
        with pytest.raises(ssl.SSLCertVerificationError):
            handshake(other.server("theirs", "127.0.0.1"), None, authority, "127.0.0.1")

    def test_for_another_address_are_refused(self, tmp_path: Path) -> None:
        authority = Authority(tmp_path, "ca")
        with pytest.raises(ssl.SSLCertVerificationError, match="IP address mismatch"):
            handshake(authority.server("server", "127.0.0.1"), None, authority, "127.0.0.2")

    def test_are_issued_once(self, tmp_path: Path) -> None:
        first = Authority(tmp_path, "ca").client("ann", "ann")
        before = first.certificate.read_bytes()
        assert Authority(tmp_path, "ca").client("ann", "ann").certificate.read_bytes() == before


class TestKeys:
    """Keys are their owner's alone."""

    def test_nobody_else_reads_them(self, tmp_path: Path) -> None:
        authority = Authority(tmp_path, "ca")
        authority.client("ann", "ann")
        service_account_key(tmp_path)
        keys = sorted(tmp_path.glob("*.key"))
        assert [key.name for key in keys] == ["ann.key", "ca.key", "sa.key"]
        assert {key.stat().st_mode & 0o077 for key in keys} == {0}
