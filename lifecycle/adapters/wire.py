"""HTTP as the lifecycle speaks it: one answer type, bounded retries, errors that name the object.

The wire is hostile: a server may throttle, restart, reset the connection or send a proxy's HTML. What
is transient is tried again within ATTEMPTS and RETRY_LIMIT_S; everything else is a PortError.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from lifecycle.errors import PortError
from lifecycle.ports import Clock

if TYPE_CHECKING:
    import httpx
    from tenacity import RetryCallState

ATTEMPTS = 5
RETRY_LIMIT_S = 60.0
"""No more is begun after this long: an API server restarts within it."""
RETRY_AFTER_MAX_S = 30.0
"""A server that asks for more is down for the purposes of one call; the caller's wait goes on polling."""
BACKOFF_FIRST_S, BACKOFF_MAX_S = 0.5, 8.0
CONNECT_S, READ_S = 5.0, 30.0
TRANSIENT = frozenset({429, 500, 502, 503, 504})
SHOWN_CHARS = 200
"""Of an answer's text in an error: enough to recognise it, too little to flood a log."""


class NoAnswer(Exception):
    """The connection failed before a whole answer came. sent: the request may have reached the server."""

    def __init__(self, reason: str, *, sent: bool) -> None:
        super().__init__(reason)
        self.sent = sent


class Unsure(PortError):
    """The request may or may not have been carried out: the answer was lost, or a server error."""


@dataclass(frozen=True)
class Answer:
    """An HTTP answer, whatever its status. The text may hold secrets, so it has no repr."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    text: str = field(repr=False)

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    def header(self, name: str) -> str:
        """A header by its name in any case, "" if absent."""
        return next((v for k, v in self.headers.items() if k.lower() == name.lower()), "")

    def document(self, what: str, remedy: str) -> dict[str, Any]:
        """The JSON object in the text. Raises PortError for anything else."""
        try:
            found = json.loads(self.text)
        except ValueError:
            raise PortError(
                what, f"HTTP {self.status} with text that is not JSON ({len(self.text)} characters)", remedy
            ) from None
        if not isinstance(found, dict):
            raise PortError(what, f"HTTP {self.status} with a JSON {type(found).__name__}, not an object", remedy)
        return found


def patiently(
    send: Callable[[], Answer],
    *,
    clock: Clock,
    repeatable: bool = True,
    final: frozenset[int] = frozenset(),
    understood: Callable[[Answer], bool] = lambda answer: False,
    attempts: int = ATTEMPTS,
) -> Answer:
    """Send, and send again while the failure looks transient.

    repeatable: doing it twice is the same as once; if not, only what certainly did not happen (429,
    or no connection) is tried again. final: statuses that the caller understands, never tried again; understood:
    answers, where the status alone does not tell.
    Returns the last answer. Raises NoAnswer if the last attempt got none.
    """
    import tenacity

    until_s = clock.now_s() + RETRY_LIMIT_S

    def again(state: RetryCallState) -> bool:
        if state.outcome is None:
            return False
        error = state.outcome.exception()
        if error is not None:
            return isinstance(error, NoAnswer) and (repeatable or not error.sent)
        answer = state.outcome.result()
        if answer.status in final or understood(answer):
            return False
        return answer.status == 429 or (repeatable and answer.status in TRANSIENT)

    def pause_s(state: RetryCallState) -> float:
        backoff_s = min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2 ** (state.attempt_number - 1))
        answered = state.outcome is not None and state.outcome.exception() is None
        asked_s = retry_after_s(state.outcome.result(), clock) if state.outcome is not None and answered else None
        return min(RETRY_AFTER_MAX_S, backoff_s if asked_s is None else asked_s)

    def last(state: RetryCallState) -> Answer:
        if state.outcome is None:
            raise NoAnswer("nothing was sent", sent=False)
        answer: Answer = state.outcome.result()
        return answer

    retrying = tenacity.Retrying(
        retry=again,
        wait=pause_s,
        sleep=clock.sleep,
        retry_error_callback=last,
        stop=lambda state: state.attempt_number >= attempts or clock.now_s() >= until_s,
    )
    return retrying(send)


def retry_after_s(answer: Answer, clock: Clock) -> float | None:
    """What `Retry-After` asks for, in seconds: a count or an HTTP date. None if absent or unreadable."""
    text = answer.header("Retry-After").strip()
    if text.isdigit():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - clock.now_s())
    except (ValueError, TypeError):
        return None


def shown(text: str) -> str:
    """One line of at most SHOWN_CHARS from an answer's text."""
    line = " ".join(text.split())
    return line if len(line) <= SHOWN_CHARS else line[: SHOWN_CHARS - 1] + "…"


class HttpJson:
    """JSON over HTTP with httpx, for one server or several that share credentials.

    tls: makes the TLS context on first use, or None for the system's trust store. headers: made on
    first use too (they may carry a token). Both may raise PortError.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        tls: Callable[[], ssl.SSLContext] | None = None,
        headers: Callable[[], Mapping[str, str]] | None = None,
        timeout_s: float = READ_S,
    ) -> None:
        self._clock, self._tls, self._headers, self._timeout_s = clock, tls, headers, timeout_s
        self._client: httpx.Client | None = None

    def ask(
        self,
        what: str,
        method: str,
        url: str,
        body: object = None,
        *,
        remedy: str,
        repeatable: bool = True,
        final: frozenset[int] = frozenset(),
        attempts: int = ATTEMPTS,
    ) -> Answer:
        """Send one request. Returns an answer whose status is good or in `final`; else raises PortError."""
        try:
            answer = patiently(
                lambda: self._send(method, url, body),
                clock=self._clock,
                repeatable=repeatable,
                final=final,
                attempts=attempts,
            )
        except NoAnswer as error:
            kind = Unsure if error.sent else PortError
            raise kind(f"{what} at {url}", str(error), remedy) from error
        if answer.ok or answer.status in final:
            return answer
        kind = Unsure if answer.status in TRANSIENT - {429} else PortError
        raise kind(f"{what} at {url}", f"HTTP {answer.status} {shown(answer.text)}".rstrip(), remedy)

    def _send(self, method: str, url: str, body: object) -> Answer:
        import httpx

        if self._client is None:
            verify = self._tls() if self._tls else True
            headers = dict(self._headers()) if self._headers else {}
            timeout = httpx.Timeout(self._timeout_s, connect=min(CONNECT_S, self._timeout_s))
            self._client = httpx.Client(verify=verify, headers=headers, timeout=timeout, follow_redirects=True)
        try:
            response = self._client.request(method, url, json=body)
            return Answer(response.status_code, dict(response.headers), response.text)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            raise NoAnswer(_named(error), sent=False) from error
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise NoAnswer(_named(error), sent=True) from error


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {shown(str(error))}" if str(error) else type(error).__name__
