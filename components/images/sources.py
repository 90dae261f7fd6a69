"""Where a publisher's files come from: the wire, or a folder that mirrors it.

The wire is hostile. Only HTTPS, only the publisher's hosts, also after a redirect; never more bytes than
asked for, never longer than a deadline; nothing is decompressed on the way. Part of a file never stands
where a whole one is expected.
"""

from __future__ import annotations

import contextlib
import ssl
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import urljoin, urlsplit

from pydantic import TypeAdapter, ValidationError

from components.images.document import shown
from components.images.lock import Url
from components.images.publishers import Publisher
from lifecycle.ports import Clock

if TYPE_CHECKING:
    import httpx

ATTEMPTS: Final = 4
BACKOFF_FIRST_S, BACKOFF_MAX_S = 1.0, 10.0
CONNECT_S, READ_S = 10.0, 30.0
DOCUMENT_LIMIT_S: Final = 120.0
FILE_LIMIT_S: Final = 3600.0
"""A disk image of 1 GiB on a line of 3 Mbit/s."""
FILE_BYTES_MAX: Final = 4 << 30
"""The largest artifact, a disk image, takes 1 GiB."""
REDIRECTS_MAX: Final = 3
TRANSIENT: Final = frozenset({429, 500, 502, 503, 504})
_URL: Final[TypeAdapter[str]] = TypeAdapter(Url)


class NotFetched(OSError):
    """A URL gave nothing that may be used. absent: the publisher says that there is no such file."""

    def __init__(self, url: str, expected: str, found: str, remedy: str, *, absent: bool = False) -> None:
        self.url, self.expected, self.found, self.remedy, self.absent = url, expected, found, remedy, absent
        super().__init__(f"{shown(url)[1:-1]}: expected {expected}, found {found}. Remedy: {remedy}")


class _Passing(Exception):
    """A failure that may pass: worth another attempt."""


class Source(Protocol):
    """Files by the URL under which their publisher has them. Every method raises NotFetched."""

    def read(self, url: str, *, bytes_max: int, headers: Mapping[str, str] | None = None) -> bytes:
        """A small file, whole."""
        ...

    def file(self, url: str) -> contextlib.AbstractContextManager[Path]:
        """A large file, on disk while the context lasts."""
        ...

    def post(self, url: str, body: bytes, *, bytes_max: int) -> bytes | None:
        """The answer to a request; None where nobody can be asked."""
        ...


class Folder:
    """A mirror on disk: `<folder>/<host>/<path>`, as `wget -x` lays it out. Nothing is fetched."""

    def __init__(self, folder: Path, publisher: Publisher) -> None:
        self._folder, self._publisher = folder, publisher

    def read(self, url: str, *, bytes_max: int, headers: Mapping[str, str] | None = None) -> bytes:
        del headers
        path = self._path(url)
        try:
            with path.open("rb") as file:
                data = file.read(bytes_max + 1)
        except OSError as error:
            raise self._missing(url, path, error) from None
        if len(data) > bytes_max:
            raise NotFetched(url, f"at most {bytes_max} bytes", f"more in {path}", "mirror it again")
        return data

    @contextlib.contextmanager
    def file(self, url: str) -> Iterator[Path]:
        path = self._path(url)
        if not path.is_file():
            raise self._missing(url, path, FileNotFoundError())
        yield path

    def post(self, url: str, body: bytes, *, bytes_max: int) -> bytes | None:
        del url, body, bytes_max
        return None

    def _path(self, url: str) -> Path:
        refuse_foreign(url, self._publisher)
        try:
            parts = urlsplit(_URL.validate_python(url))
        except ValidationError:
            raise NotFetched(url, "a URL of plain names", "another", "mirror it yourself, and give the file") from None
        return self._folder.joinpath(parts.netloc, *parts.path.strip("/").split("/"))

    def _missing(self, url: str, path: Path, error: OSError) -> NotFetched:
        absent = isinstance(error, FileNotFoundError)
        found = "no such file" if absent else error.strerror or type(error).__name__
        return NotFetched(
            url, f"it at {path}", found, "`wget -x` it into that folder, or leave --files out", absent=absent
        )


class Wire:
    """HTTPS to one publisher. folder: for files while they are needed; they are gone afterwards.

    tls: the trust store, by default the system's. A proxy is taken from the environment.
    """

    def __init__(
        self, publisher: Publisher, clock: Clock, folder: Path | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        self._publisher, self._clock, self._folder, self._tls = publisher, clock, folder, tls

    def read(self, url: str, *, bytes_max: int, headers: Mapping[str, str] | None = None) -> bytes:
        return self._small("GET", url, bytes_max, headers or {}, None)

    def post(self, url: str, body: bytes, *, bytes_max: int) -> bytes | None:
        return self._small("POST", url, bytes_max, {"Content-Type": "application/yaml"}, body)

    @contextlib.contextmanager
    def file(self, url: str) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="ingot-image-", dir=self._folder) as folder:
            path = Path(folder) / "file"

            def save(until_s: float) -> None:
                with path.open("wb") as file:
                    for chunk in self._chunks("GET", url, FILE_BYTES_MAX, {}, None, until_s):
                        file.write(chunk)

            self._patiently(url, FILE_LIMIT_S, save)
            yield path

    def _small(self, method: str, url: str, bytes_max: int, headers: Mapping[str, str], body: bytes | None) -> bytes:
        parts: list[bytes] = []

        def collect(until_s: float) -> None:
            parts[:] = self._chunks(method, url, bytes_max, headers, body, until_s)

        self._patiently(url, DOCUMENT_LIMIT_S, collect)
        return b"".join(parts)

    def _patiently(self, url: str, limit_s: float, attempt: Callable[[float], None]) -> None:
        """Try, and try again while the failure looks passing; never past the deadline."""
        import tenacity

        until_s = self._clock.now_s() + limit_s
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_Passing),
            wait=tenacity.wait_exponential(BACKOFF_FIRST_S, max=BACKOFF_MAX_S),
            sleep=self._clock.sleep,
            stop=lambda state: state.attempt_number >= ATTEMPTS or self._clock.now_s() >= until_s,
            reraise=True,
        )
        try:
            retrying(attempt, until_s)
        except _Passing as error:
            remedy = "run the same command again; or mirror the file and give --files, runbooks/images.md#fetch"
            raise NotFetched(url, "an answer", str(error), remedy) from None

    def _chunks(
        self, method: str, url: str, bytes_max: int, headers: Mapping[str, str], body: bytes | None, until_s: float
    ) -> Iterator[bytes]:
        """One attempt. Raises NotFetched for what no other attempt would change, else _Passing."""
        import httpx

        refuse_foreign(url, self._publisher)
        # Not compressed, so that a small answer cannot become a large one.
        sent = {"Accept-Encoding": "identity", **headers}
        timeout = httpx.Timeout(READ_S, connect=CONNECT_S)
        try:
            with httpx.Client(verify=self._tls or True, timeout=timeout, follow_redirects=False) as client:
                at = url
                for _ in range(REDIRECTS_MAX + 1):
                    with client.stream(method, at, headers=sent, content=body) as response:
                        if not response.has_redirect_location:
                            yield from self._body(response, url, bytes_max, until_s)
                            return
                        at = self._redirected(url, at, response.headers["Location"])
                remedy = "runbooks/images.md#fetch"
                raise NotFetched(url, f"at most {REDIRECTS_MAX} redirects", f"one more, to {shown(at)}", remedy)
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            if distrusted := _distrusted(error):
                remedy = "if a proxy of yours answers, trust its authority (SSL_CERT_FILE); runbooks/images.md#fetch"
                raise NotFetched(url, "the publisher's certificate", distrusted, remedy) from None
            raise _Passing(f"{type(error).__name__}: {shown(str(error))}") from None

    def _redirected(self, url: str, at: str, location: str) -> str:
        try:
            to = urljoin(at, location)
        except ValueError:
            to = location
        if not self._publisher.owns(to):
            hosts = ", ".join(sorted(self._publisher.hosts))
            remedy = "do not follow it; runbooks/images.md#fetch"
            raise NotFetched(url, f"a redirect to https on {hosts}, if any", f"one to {shown(to)}", remedy)
        return to

    def _body(self, response: httpx.Response, url: str, bytes_max: int, until_s: float) -> Iterator[bytes]:
        remedy = "check version, architecture and schematic; runbooks/images.md#fetch"
        if response.status_code in TRANSIENT:
            raise _Passing(f"HTTP {response.status_code}")
        if response.status_code not in (200, 201):
            gone = response.status_code in (404, 410)
            raise NotFetched(url, "HTTP 200", f"HTTP {response.status_code}", remedy, absent=gone)
        encoding, length = response.headers.get("Content-Encoding", "identity"), response.headers.get("Content-Length")
        if encoding != "identity":
            raise NotFetched(url, "the file as it is", f"it encoded as {shown(encoding)}", remedy)
        if length is None and "chunked" not in response.headers.get("Transfer-Encoding", ""):
            raise NotFetched(url, "an answer that says where it ends", "neither length nor chunks", remedy)
        if length is not None and length.isdigit() and int(length[:19]) > bytes_max:
            raise NotFetched(url, f"at most {bytes_max} bytes", f"{length[:19]} announced", remedy)
        count = 0
        for chunk in response.iter_raw():  # as they come: a size asked for here would hide a trickle from the deadline
            count += len(chunk)
            if count > bytes_max:
                raise NotFetched(url, f"at most {bytes_max} bytes", "more", remedy)
            if self._clock.now_s() > until_s:
                raise NotFetched(url, "the whole file before the deadline", f"{count} bytes of it by then", remedy)
            yield chunk


def refuse_foreign(url: str, publisher: Publisher) -> None:
    """Return if the URL is one that the publisher may have. Raises NotFetched."""
    if not publisher.owns(url):
        hosts = ", ".join(sorted(publisher.hosts))
        remedy = "fetch it yourself, look at it, and give the file"
        raise NotFetched(url, f"https on one of the publisher's hosts ({hosts})", "another", remedy)


def _distrusted(error: BaseException | None) -> str:
    """What TLS said of a certificate it did not accept, "" if that is not why."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return f"one that is not trusted ({shown(error.verify_message)})"
        error = error.__cause__ or error.__context__
    return ""
