"""What the tests of pins share: a mirror on disk, keys of our own, and a publisher on loopback that misbehaves."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pysequoia import Cert, SignatureMode, Tsk, sign

from components.images.publishers import PUBLISHERS, Publisher
from components.images.sources import Folder, Wire


class Clock:
    """Time that passes only when it is slept through, or when a test moves it."""

    def __init__(self) -> None:
        self.now = 0.0

    def now_s(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += max(0.0, seconds)

    def wait(self, about: str, until_s: float) -> None:
        self.now = max(self.now, until_s)


@dataclass
class Signer:
    """A key of our own, in the place of a publisher's."""

    secret: Tsk = field(default_factory=lambda: Tsk.generate("A publisher <signs@publisher.example>"))

    @property
    def certificate(self) -> Cert:
        return self.secret.extract_certificate()

    @property
    def fingerprint(self) -> str:
        return self.certificate.fingerprint.upper()

    @property
    def public(self) -> bytes:
        return bytes(self.certificate)

    def signed(self, data: bytes) -> bytes:
        return bytes(sign(self.secret.signer(), data, mode=SignatureMode.DETACHED))


@dataclass
class Mirror:
    """A publisher's files on disk, by URL."""

    folder: Path

    def put(self, url: str, data: bytes) -> None:
        path = self.folder / url.removeprefix("https://")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def drop(self, url: str) -> None:
        (self.folder / url.removeprefix("https://")).unlink()

    def of(self, publisher: Publisher) -> Folder:
        return Folder(self.folder, publisher)


@pytest.fixture
def signer() -> Signer:
    return Signer()


@pytest.fixture
def stranger() -> Signer:
    """Another key, which signs as well but does not count."""
    return Signer()


@pytest.fixture
def mirror(tmp_path: Path) -> Mirror:
    return Mirror(tmp_path / "mirror")


Answer = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class Server:
    """HTTPS on loopback. answers: by path. asked: each request's method and path, in
    order. tunnels: each host that the proxy was asked for."""

    port: int
    trust: ssl.SSLContext
    authority: bytes
    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    tunnels: list[str] = field(default_factory=list)
    clock: Clock = field(default_factory=Clock)

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    @property
    def publisher(self) -> Publisher:
        return Publisher(hosts=frozenset({f"localhost:{self.port}"}))

    def wire(self, folder: Path, *, trusting: bool = True) -> Wire:
        """The source under test, that takes this server for the publisher."""
        return Wire(self.publisher, self.clock, folder, self.trust if trusting else None)

    def put(self, path: str, data: bytes, status: int = 200, **headers: str) -> None:
        """Answer with these bytes, and their length unless a header says otherwise. path: or a whole URL."""

        def answer(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(status)
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            for name, value in {"Content-Length": str(len(data)), **named}.items():
                if value:
                    handler.send_header(name, value)
            handler.end_headers()
            handler.wfile.write(data)

        self.answers[path] = answer


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "localhost")
    key = ec.generate_private_key(ec.SECP256R1())
    pem = certificate(key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile_of(pem + secret(key)) as path:
        context.load_cert_chain(path)
    trust = ssl.create_default_context(cadata=pem.decode())

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            made.asked.append(f"{self.command} {self.path}")
            self.close_connection = True
            length = int(self.headers.get("Content-Length", "0"))
            self.rfile.read(length)
            with contextlib.suppress(OSError):  # whoever refuses an answer hangs up in the middle of it
                named = f"https://{self.headers['Host']}{self.path}"
                answer = made.answers.get(named, made.answers.get(self.path))
                if answer is None:
                    self.send_error(404)
                else:
                    answer(self)

        do_POST = do_GET

        def log_message(self, format: str, *args: object) -> None:
            """Silent: what was asked is in `asked`."""

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """A client that does not trust us hangs up while TLS begins."""

    httpd = Quiet(("127.0.0.1", 0), Handler)
    httpd.socket = context.wrap_socket(httpd.socket, server_side=True, do_handshake_on_connect=False)
    made = Server(httpd.server_address[1], trust, pem)
    thread = threading.Thread(target=httpd.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield made
    httpd.shutdown()
    httpd.server_close()
    thread.join(timeout=30)


@pytest.fixture
def internet(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The server in the place of every host: a proxy, named by the environment, leads there whatever is asked for."""

    class Tunnel(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            asked = self.rfile.readline().decode("latin-1").split()
            while self.rfile.readline().strip():
                pass
            server.tunnels.append(asked[1])
            self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
            with socket.create_connection(("127.0.0.1", server.port)) as there:
                back = threading.Thread(target=pump, args=(there, self.connection), daemon=True)
                back.start()
                pump(self.connection, there)
                back.join(timeout=30)

    class Proxy(socketserver.ThreadingTCPServer):
        daemon_threads = True

    (tmp_path / "authority.pem").write_bytes(server.authority)
    with Proxy(("127.0.0.1", 0), Tunnel) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.server_address[1]}")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
        monkeypatch.delenv("ALL_PROXY", raising=False)
        yield server
        proxy.shutdown()
        thread.join(timeout=30)


def pump(source: socket.socket, sink: socket.socket) -> None:
    """Copy bytes until one side ends."""
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def certificate(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A certificate for this machine and for every publisher's hosts, signed by itself."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    publishers = {host for publisher in PUBLISHERS.values() for host in publisher.hosts}
    names = [x509.DNSName(host) for host in ("localhost", *sorted(publishers))]
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([*names, x509.IPAddress(ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )


def secret(key: ec.EllipticCurvePrivateKey) -> bytes:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


@contextlib.contextmanager
def tempfile_of(data: bytes) -> Iterator[str]:
    import tempfile

    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        yield file.name
