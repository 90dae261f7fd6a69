"""components/images/sources.py: only the publisher's hosts, only HTTPS, never more or longer than asked for."""

from __future__ import annotations

import gzip
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from components.images.publishers import PUBLISHERS, Publisher
from components.images.sources import ATTEMPTS, DOCUMENT_LIMIT_S, REDIRECTS_MAX, NotFetched


def empty(folder: Path) -> bool:
    return not any(folder.iterdir())


class TestTheWire:
    """Files come whole, over HTTPS, from the publisher."""

    def test_a_document(self, server: Any, tmp_path: Path) -> None:
        server.put("/streams/stable.json", b"{}")
        assert server.wire(tmp_path).read(f"{server.url}/streams/stable.json", bytes_max=2) == b"{}"
        assert server.asked == ["GET /streams/stable.json"]

    def test_a_file_stands_on_disk_while_it_is_needed(self, server: Any, tmp_path: Path) -> None:
        server.put("/image", b"i" * 3_000_000)
        with server.wire(tmp_path).file(f"{server.url}/image") as path:
            assert path.read_bytes() == b"i" * 3_000_000
        assert empty(tmp_path)

    def test_an_answer_to_a_question(self, server: Any, tmp_path: Path) -> None:
        server.put("/schematics", b'{"id": "x"}', status=201)
        assert server.wire(tmp_path).post(f"{server.url}/schematics", b"a: b\n", bytes_max=99) == b'{"id": "x"}'
        assert server.asked == ["POST /schematics"]

    def test_tries_again_what_may_pass(self, server: Any, tmp_path: Path) -> None:
        def once_busy(handler: BaseHTTPRequestHandler) -> None:
            handler.send_error(503)
            server.put("/a", b"whole")

        server.answers["/a"] = once_busy
        assert server.wire(tmp_path).read(f"{server.url}/a", bytes_max=9) == b"whole"
        assert server.clock.now > 0

    def test_starts_again_where_a_connection_broke(self, server: Any, tmp_path: Path) -> None:
        def broken(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(200)
            handler.send_header("Content-Length", "5")
            handler.end_headers()
            handler.wfile.write(b"who")
            server.put("/a", b"whole")

        server.answers["/a"] = broken
        with server.wire(tmp_path).file(f"{server.url}/a") as path:
            assert path.read_bytes() == b"whole"

    def test_gives_up(self, server: Any, tmp_path: Path) -> None:
        server.put("/a", b"", status=502)
        with pytest.raises(NotFetched, match=r"found HTTP 502.*Remedy: .*--files"):
            server.wire(tmp_path).read(f"{server.url}/a", bytes_max=9)
        assert len(server.asked) == ATTEMPTS

    def test_says_that_a_file_is_not_there(self, server: Any, tmp_path: Path) -> None:
        with pytest.raises(NotFetched, match="HTTP 404") as refused:
            server.wire(tmp_path).read(f"{server.url}/none", bytes_max=9)
        assert refused.value.absent
        assert server.asked == ["GET /none"]


class TestRefusesToBeLedElsewhere:
    """By a URL or a redirect: to another host, away from HTTPS, to this machine, to a cloud's metadata."""

    @pytest.mark.parametrize(
        "to",
        [
            "http://localhost/a",
            "https://evil.example/a",
            "https://127.0.0.1/a",
            "https://[::1]/a",
            "http://169.254.169.254/latest/meta-data/",
            "https://169.254.169.254/latest/meta-data/",
            "//evil.example/a",
            "file:///etc/passwd",
            "https://localhost@evil.example/a",
            "https://[bad/a",
            "https://localhost:1/a",
        ],
    )
    def test_by_a_redirect(self, server: Any, tmp_path: Path, to: str) -> None:
        server.put("/a", b"", status=302, Location=to)
        with pytest.raises(NotFetched, match=r"expected a redirect to https on localhost:\d+, if any, found one to"):
            server.wire(tmp_path).read(f"{server.url}/a", bytes_max=9)
        assert server.asked == ["GET /a"]

    def test_by_a_redirect_that_never_ends(self, server: Any, tmp_path: Path) -> None:
        server.put("/a", b"", status=302, Location="/a")
        with pytest.raises(NotFetched, match=f"at most {REDIRECTS_MAX} redirects"):
            server.wire(tmp_path).read(f"{server.url}/a", bytes_max=9)
        assert len(server.asked) == REDIRECTS_MAX + 1

    def test_but_follows_one_on_the_publishers_own_hosts(self, server: Any, tmp_path: Path) -> None:
        server.put("/a", b"", status=302, Location="/b")
        server.put("/b", b"whole")
        assert server.wire(tmp_path).read(f"{server.url}/a", bytes_max=9) == b"whole"

    @pytest.mark.parametrize(
        "url", ["https://evil.example/a", "http://localhost/a", "https://127.0.0.1/a", "ftp://x/a"]
    )
    def test_by_a_url(self, server: Any, tmp_path: Path, url: str) -> None:
        with pytest.raises(NotFetched, match="expected https on one of the publisher's hosts"):
            server.wire(tmp_path).read(url, bytes_max=9)
        assert server.asked == []

    def test_by_whoever_answers_in_the_publishers_name(self, server: Any, tmp_path: Path) -> None:
        server.put("/a", b"forged")
        with pytest.raises(NotFetched, match="expected the publisher's certificate, found one that is not trusted"):
            server.wire(tmp_path, trusting=False).read(f"{server.url}/a", bytes_max=9)
        assert server.asked == []
        assert server.clock.now == 0, "a certificate that is not trusted does not become so by waiting"


class TestRefusesTooMuch:
    """Bytes and time have limits, known before and counted while they run."""

    def test_announced(self, server: Any, tmp_path: Path) -> None:
        server.put("/a", b"", Content_Length=str(2 << 30))
        with pytest.raises(NotFetched, match=f"at most 9 bytes, found {2 << 30} announced"):
            server.wire(tmp_path).read(f"{server.url}/a", bytes_max=9)

    def test_not_announced(self, server: Any, tmp_path: Path) -> None:
        sent = []

        def endless(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(200)
            handler.send_header("Transfer-Encoding", "chunked")
            handler.end_headers()
            for _ in range(2_000):
                handler.wfile.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
                sent.append(0x10000)

        server.answers["/a"] = endless
        with pytest.raises(NotFetched, match="at most 1000000 bytes, found more"):
            server.wire(tmp_path).read(f"{server.url}/a", bytes_max=1_000_000)
        assert sum(sent) < 50_000_000

    def test_compressed(self, server: Any, tmp_path: Path) -> None:
        server.put("/a", gzip.compress(b"x" * 10_000_000), Content_Encoding="gzip")
        with pytest.raises(NotFetched, match="expected the file as it is, found it encoded as 'gzip'"):
            server.wire(tmp_path).read(f"{server.url}/a", bytes_max=1_000_000)

    def test_without_an_end(self, server: Any, tmp_path: Path) -> None:
        """Half of it would look like all of it."""
        server.put("/a", b"half", Content_Length="")
        with pytest.raises(NotFetched, match="expected an answer that says where it ends"):
            server.wire(tmp_path).read(f"{server.url}/a", bytes_max=9)

    def test_a_trickle(self, server: Any, tmp_path: Path) -> None:
        """A byte now and then keeps every read alive; the deadline is of the whole."""

        def trickle(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(200)
            handler.send_header("Content-Length", "1000")
            handler.end_headers()
            for _ in range(1000):
                server.clock.now += DOCUMENT_LIMIT_S / 4
                handler.wfile.write(b"x")
                handler.wfile.flush()

        server.answers["/a"] = trickle
        with pytest.raises(NotFetched, match="expected the whole file before the deadline"):
            server.wire(tmp_path).read(f"{server.url}/a", bytes_max=2000)

    def test_leaves_no_part_of_a_file(self, server: Any, tmp_path: Path) -> None:
        server.put("/a", b"", status=302, Location="https://evil.example/a")
        with pytest.raises(NotFetched), server.wire(tmp_path).file(f"{server.url}/a"):
            pass
        assert empty(tmp_path)


class TestAMirrorOnDisk:
    """Files by host and path; nothing outside of the folder, nothing from the wire."""

    PUBLISHER = Publisher(hosts=frozenset({"files.example"}))

    def test_reads(self, mirror: Any) -> None:
        mirror.put("https://files.example/a/b", b"data")
        source = mirror.of(self.PUBLISHER)
        assert source.read("https://files.example/a/b", bytes_max=4) == b"data"
        with source.file("https://files.example/a/b") as path:
            assert path.read_bytes() == b"data"
        assert source.post("https://files.example/a", b"", bytes_max=9) is None

    def test_names_what_is_missing(self, mirror: Any) -> None:
        with pytest.raises(
            NotFetched, match=r"expected it at .*files\.example/a, found no such file.*wget -x"
        ) as refused:
            mirror.of(self.PUBLISHER).read("https://files.example/a", bytes_max=9)
        assert refused.value.absent
        with pytest.raises(NotFetched), mirror.of(self.PUBLISHER).file("https://files.example/a"):
            pass

    def test_refuses_more_than_asked_for(self, mirror: Any) -> None:
        mirror.put("https://files.example/a", b"0123456789")
        with pytest.raises(NotFetched, match="at most 9 bytes"):
            mirror.of(self.PUBLISHER).read("https://files.example/a", bytes_max=9)

    @pytest.mark.parametrize(
        "url",
        [
            "https://files.example/../../etc/passwd",
            "https://files.example/a/../b",
            "https://files.example/%2e%2e/b",
            "https://files.example/a?b",
            "https://files.example//etc/passwd",
            "https://files.example/a\x00b",
            "https://other.example/a",
        ],
    )
    def test_refuses_to_leave(self, mirror: Any, tmp_path: Path, url: str) -> None:
        (tmp_path / "b").write_bytes(b"outside")
        with pytest.raises(NotFetched):
            mirror.of(self.PUBLISHER).read(url, bytes_max=9)


class TestPublishers:
    """Facts in code: who has which host, and which key counts for which version."""

    @pytest.mark.parametrize(
        ("os", "version", "key"),
        [
            ("fedora-coreos", "44.20260707.3.1", "36F612DCF27F7D1A48A835E4DBFCF71C6D9F90A6"),
            ("fedora-coreos", "43.20260101.3.1", "C6E7F081CF80E13146676E88829B606631645531"),
            ("fedora-coreos", "99.20260101.3.1", None),
            ("flatcar", "4593.2.4", "F88CFEDEFF29A5B4D9523864E25D9AED0593B34A"),
            ("talos", "v1.13.9", None),
        ],
    )
    def test_signing_keys(self, os: str, version: str, key: str | None) -> None:
        assert PUBLISHERS[os].signing_key(version) == key

    @pytest.mark.parametrize(
        ("url", "owned"),
        [
            ("https://stable.release.flatcar-linux.net/a", True),
            ("https://stable.release.flatcar-linux.net:443/a", True),
            ("https://STABLE.release.flatcar-linux.net/a", True),
            ("https://stable.release.flatcar-linux.net:444/a", False),
            ("https://stable.release.flatcar-linux.net.evil.example/a", False),
            ("https://evil@stable.release.flatcar-linux.net/a", False),
            ("http://stable.release.flatcar-linux.net/a", False),
            ("https://stable.release.flatcar-linux.net:x/a", False),
            ("https://[/a", False),
            ("", False),
        ],
    )
    def test_hosts(self, url: str, owned: bool) -> None:
        assert PUBLISHERS["flatcar"].owns(url) is owned
