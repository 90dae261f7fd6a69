"""A small HTTP server on loopback that sends what the wire sends, also when that is hostile."""

from __future__ import annotations

import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Asked:
    """A request as it came in. path: without the query."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: Any


@dataclass(frozen=True)
class Reply:
    """An answer. body: JSON, or text as it is. reset: drop the connection instead. stream: the chunks of an
    answer that goes on; one of None drops the connection in the middle."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    reset: bool = False
    stream: Iterator[bytes | None] | None = None


Script = Callable[[Asked], Reply]


class Wire:
    """The server's memory: what was asked, and what each (method, path) answers, in turn; the last stays.

    Watches that nobody scripted stay open and say nothing. otherwise: answers what has no reply of its own.
    """

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.url = ""
        self.otherwise: Script | None = None
        self.closing = threading.Event()
        self._replies: dict[tuple[str, str], list[Reply | Script]] = {}
        self._lock = threading.Lock()

    def on(self, method: str, path: str, *replies: Reply | Script) -> None:
        self._replies[(method, path)] = list(replies)

    def answer(self, asked: Asked) -> Reply:
        with self._lock:
            self.asked.append(asked)
            watch = "watch=1" in asked.query.split("&")
            found = self._replies.get(("WATCH" if watch else asked.method, asked.path))
            if not found and self.otherwise is not None:
                found = [self.otherwise]
            elif not found and watch:
                return Reply(stream=self._silence())
            elif not found:
                return Reply(404, {"kind": "Status", "status": "Failure", "message": "not found", "code": 404})
            reply = found.pop(0) if len(found) > 1 else found[0]
        return reply if isinstance(reply, Reply) else reply(asked)

    def _silence(self) -> Iterator[bytes]:
        self.closing.wait()
        yield from ()

    def lines(self) -> list[str]:
        """Each request as `METHOD path`."""
        return [f"{a.method} {a.path}" for a in self.asked]


class _Handler(BaseHTTPRequestHandler):
    wire: Wire

    def handle_one(self) -> None:
        path, _, query = self.path.partition("?")
        if self.headers.get("Expect") == "100-continue":  # or botocore waits a second before it sends the body
            self.send_response_only(100)
            self.end_headers()
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            body = json.loads(raw) if raw else None
        except ValueError:
            body = raw.decode("utf-8", "replace")
        reply = self.wire.answer(Asked(self.command, path, query, dict(self.headers), body))
        if reply.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True
            return
        if reply.stream is not None:
            self._stream(reply.status, reply.stream)
            return
        text = reply.body if isinstance(reply.body, str) else "" if reply.body is None else json.dumps(reply.body)
        self.send_response(reply.status)
        headers = {"Content-Type": "application/json", **reply.headers}
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def _stream(self, status: int, chunks: Iterator[bytes | None]) -> None:
        """Chunked, as the API server sends a watch."""
        self.close_connection = True
        self.protocol_version = "HTTP/1.1"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.flush()
        for chunk in chunks:
            if chunk is None:
                return
            self.wfile.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = handle_one  # the base class's names

    def finish(self) -> None:
        try:
            super().finish()
        except (OSError, ValueError):
            return  # after a reset there is nothing left to flush

    def log_message(self, format: str, *args: object) -> None:  # the base class's name
        return


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = True
    request_queue_size = 128  # with the base class's 5, whoever asks more at once connects again a second later

    def handle_error(self, request: object, client_address: object) -> None:
        return  # a client that hangs up is part of the tests


@contextmanager
def serving(
    tls: ssl.SSLContext | None = None, port: int = 0, prepare: Callable[[Wire], object] = lambda wire: None
) -> Iterator[Wire]:
    """A server for the length of a `with`. prepare: called before anybody can ask."""
    wire = Wire()
    prepare(wire)
    server = _Server(("127.0.0.1", port), type("Handler", (_Handler,), {"wire": wire}))
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    wire.url = f"http{'s' if tls else ''}://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield wire
    finally:
        wire.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()


class StillClock:
    """A clock that moves only when somebody sleeps, and remembers how long."""

    def __init__(self, now_s: float = 1_800_000_000.0) -> None:
        self.now, self.slept = now_s, list[float]()

    def now_s(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += max(0.0, seconds)

    def wait(self, about: str, until_s: float) -> None:
        del about
        self.sleep(max(0.001, min(5.0, until_s - self.now)))


_SILENT: list[socket.socket] = []


def silent_port() -> int:
    """A port on which nothing listens, nor will: it stays taken until the tests end."""
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    _SILENT.append(taken)
    return int(taken.getsockname()[1])


def free_port() -> int:
    """A port on which nothing listens yet."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
