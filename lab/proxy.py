"""Proxies before the lab's servers that do to requests what networks and busy servers do: here the one before its API
server, and all that it has in common with others.

It is a thread of the caller, ends with its `with` block, and listens on loopback. It serves one user: who comes
with that user's certificate, and nobody else, is passed on under it. What becomes of a request its rule says,
which may be changed at any time:

    with Proxy(lab.layout, lab.kubeconfig) as proxy:
        proxy.rule = lambda asked: Fault(503) if asked.method == "POST" else None
        ...                                  # a client with proxy.kubeconfig
        proxy.rule = undisturbed
        proxy.cut()                          # every connection that is open now breaks
        proxy.exchanges                      # what was asked, and what became of it
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from lab.certificates import write_private
from lab.layout import HOST, Layout

ANSWER_S = 120.0
"""For the API server to say something: it sends a bookmark on each watch once a minute."""

POLL_S = 0.05
"""How soon its listener notices that it is to end."""

KEPT_BYTES = 2000
"""Of an answer, in an exchange: enough to tell what it is."""

CHUNK = 64 * 1024

OF_ONE_HOP = frozenset({"connection", "transfer-encoding", "content-length", "keep-alive", "host"})
"""Headers that each side says for itself (RFC 9110, 7.6.1)."""


class When(Enum):
    """Where on its way a request meets a fault."""

    BEFORE = auto()  # the API server never hears of it
    AFTER = auto()  # it is carried out, and its answer lost
    MIDST = auto()  # half of the answer comes through, of a watch half of its first event; then the connection ends
    NEVER = auto()  # it is carried out, and the connection stays open without an answer until the client ends it


@dataclass(frozen=True)
class Fault:
    """What a client meets instead of its answer. status: of an answer that the proxy makes up; 0: the connection
    is reset."""

    status: int = 0
    retry_after_s: int | None = None
    when: When = When.BEFORE


@dataclass(frozen=True)
class Asked:
    """A request. turn: how often this was asked before, counted by method, path and whether it is a watch."""

    method: str
    path: str
    query: str
    turn: int
    body: bytes = field(default=b"", repr=False, compare=False)

    @property
    def watch(self) -> bool:
        return "watch=1" in self.query.split("&")


@dataclass
class Exchange:
    """A request, the fault that it met, and what the API server answered: its status (0: nothing yet, or it was not
    asked) and the beginning of its text."""

    asked: Asked
    fault: Fault | None
    status: int = 0
    begin: bytes = field(default=b"", repr=False)


Rule = Callable[[Asked], Fault | None]


def undisturbed(asked: Asked) -> Fault | None:
    """The rule of a network on which all is well."""
    del asked
    return None


def in_turn(*faults: Fault | None) -> Rule:
    """A rule by which each request meets the next of these, counted as `Asked.turn` is, over and over."""
    return lambda asked: faults[asked.turn % len(faults)]


class Front:
    """What stands before a server. below: how it speaks TLS with clients. address, above: of the server, and how."""

    def __init__(self, below: ssl.SSLContext, address: tuple[str, int], above: ssl.SSLContext) -> None:
        self.rule: Rule = undisturbed
        self.exchanges: list[Exchange] = []
        self._address, self._above = address, above
        self._server = _Server((HOST, 0), type("Handler", (_Handler,), {"proxy": self}))
        self._server.socket = below.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = int(self._server.server_address[1])
        self._lock = threading.Lock()
        self._turns: dict[tuple[str, str, bool], int] = {}
        self._open: set[socket.socket] = set()

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(POLL_S,), name="lab-proxy", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self.cut()

    def cut(self) -> None:
        """Break every connection that is open now, watches too."""
        with self._lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def answered(self, asked: Asked, text: bytes) -> bytes:
        """What becomes of an answer that was read whole."""
        del asked
        return text

    # ------------------------------------------------------------ for its own threads

    def serves(self, connection: ssl.SSLSocket) -> bool:
        """Whether whoever comes by it is passed on."""
        del connection
        return True

    def begin(self, method: str, path: str, query: str, body: bytes = b"") -> Exchange:
        """A request has come."""
        with self._lock:
            key = (method, path, Asked(method, path, query, 0).watch)
            turn = self._turns[key] = self._turns.get(key, -1) + 1
            asked = Asked(method, path, query, turn, body)
            exchange = Exchange(asked, self.rule(asked))
            self.exchanges.append(exchange)
            return exchange

    @contextmanager
    def above(self) -> Iterator[http.client.HTTPSConnection]:
        """A connection to the server."""
        connection = http.client.HTTPSConnection(*self._address, context=self._above, timeout=ANSWER_S)
        connection.connect()
        tied = connection.sock  # the client lets go of it when the answer is to be the last
        self.opened(tied)
        try:
            yield connection
        finally:
            self.closed(tied)
            connection.close()

    def opened(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.add(connection)

    def closed(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.discard(connection)


class Proxy(Front):
    """The one before the API server. kubeconfig: whose user it serves; of the lab of `layout`."""

    def __init__(self, layout: Layout, kubeconfig: Path) -> None:
        document = json.loads(kubeconfig.read_text(encoding="utf-8"))
        user = document["users"][0]["user"]
        authority, server = layout.authority().pair.certificate, layout.server()
        self._certificate = ssl.PEM_cert_to_DER_cert(Path(user["client-certificate"]).read_text(encoding="ascii"))
        above = ssl.create_default_context(cafile=str(authority))
        above.load_cert_chain(user["client-certificate"], user["client-key"])
        below = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority))
        below.verify_mode = ssl.CERT_REQUIRED
        below.load_cert_chain(server.certificate, server.key)
        super().__init__(below, (HOST, layout.shape.api_port), above)
        document["clusters"][0]["cluster"]["server"] = f"https://{HOST}:{self.port}"
        self.kubeconfig = layout.folder / f"proxy-{self.port}.kubeconfig"
        write_private(self.kubeconfig, json.dumps(document, indent=2).encode())

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self.kubeconfig.unlink(missing_ok=True)

    def serves(self, connection: ssl.SSLSocket) -> bool:
        """Whether it is the user: whoever else came would act under a name that is not his."""
        return connection.getpeercert(binary_form=True) == self._certificate


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128  # with the base class's 5, whoever asks more at once connects again a second later

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Connections break here all day long."""


class _Handler(BaseHTTPRequestHandler):
    """One connection of a client."""

    protocol_version = "HTTP/1.1"
    proxy: Front

    def setup(self) -> None:
        self.request.do_handshake()
        super().setup()
        self.proxy.opened(self.connection)

    def finish(self) -> None:
        self.proxy.closed(self.connection)
        with suppress(OSError, ValueError):  # what was reset cannot be flushed
            super().finish()

    def handle(self) -> None:
        if self.proxy.serves(self.request):
            super().handle()

    def pass_on(self) -> None:
        """One request."""
        path, _, query = self.path.partition("?")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        exchange = self.proxy.begin(self.command, path, query, body)
        asked, fault = exchange.asked, exchange.fault
        if fault is not None and fault.when is When.BEFORE:
            self._fail(fault)
            return
        try:
            with self.proxy.above() as above:
                above.request(self.command, self.path, body or None, _of_both(self.headers.items()))
                answer = above.getresponse()
                exchange.status = answer.status
                if fault is not None and fault.when is When.NEVER:
                    answer.read()
                    self.rfile.read(1)  # nothing, once the client ends it
                    self._end()
                elif fault is not None and fault.when is When.AFTER:
                    exchange.begin = b"" if asked.watch else answer.read()[:KEPT_BYTES]
                    self._fail(fault)
                else:
                    self._answer(exchange, answer)
        except (OSError, http.client.HTTPException):
            self._reset()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = pass_on  # the base class's names

    def _answer(self, exchange: Exchange, answer: http.client.HTTPResponse) -> None:
        """Whole, or half of it."""
        broken = exchange.fault is not None
        self._begin(answer.status)
        for name, value in _of_both(answer.getheaders()).items():
            self.send_header(name, value)
        if exchange.asked.watch and answer.status == http.client.OK:
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self._stream(exchange, answer, broken=broken)
            return
        text = self.proxy.answered(exchange.asked, answer.read())
        exchange.begin = text[:KEPT_BYTES]
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text[: len(text) // 2] if broken else text)
        if broken:
            self._end()

    def _begin(self, status: int) -> None:
        self.send_response_only(status)
        if self.close_connection:  # untold, a client may send its next request into a connection that ends
            self.send_header("Connection", "close")

    def _stream(self, exchange: Exchange, answer: http.client.HTTPResponse, *, broken: bool) -> None:
        while chunk := answer.read1(CHUNK):
            exchange.begin = (exchange.begin + chunk)[:KEPT_BYTES]
            passed = chunk[: len(chunk) // 2] if broken else chunk
            self.wfile.write(f"{len(passed):x}\r\n".encode() + passed + b"\r\n")
            if broken:
                self._end()
                return
        self.wfile.write(b"0\r\n\r\n")

    def _fail(self, fault: Fault) -> None:
        if not fault.status:
            self._reset()
            return
        status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "the proxy's own", "code": 0}
        text = json.dumps({**status, "code": fault.status}).encode()
        self._begin(fault.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        if fault.retry_after_s is not None:
            self.send_header("Retry-After", str(fault.retry_after_s))
        self.end_headers()
        self.wfile.write(text)

    def _reset(self) -> None:
        """As a host that knows nothing of the connection answers: at once, and without a word of TLS."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._end()

    def _end(self) -> None:
        """After what was sent, which a reset might overtake; without a word of TLS either."""
        self.close_connection = True
        self.proxy.closed(self.connection)
        self.connection.close()
        self.rfile.close()  # the last that holds the descriptor

    def log_message(self, format: str, *args: Any) -> None:
        """`Proxy.exchanges` tells more."""


def _of_both(headers: Any) -> dict[str, str]:
    """Those that go the whole way."""
    return {name: value for name, value in headers if name.lower() not in OF_ONE_HOP}
