"""The way into management controllers, with sushy: each request once and in time, by a session that is ended again.

sushy tries again by itself, on a clock of its own and for minutes. Here every request is sent once: the steps ask
again, later and later, on their own clock and within their own limits (lifecycle/power.py, lifecycle/waiting.py), so
that a controller that hangs is named before its limit is long over, and one that asks to be left alone is.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

import sushy
from sushy import exceptions
from sushy.auth import SessionAuth, SessionOrBasicAuth
from sushy.connector import Connector

from lifecycle.adapters.secrets import BmcCredentials
from lifecycle.adapters.wire import CONNECT_S, RETRY_AFTER_MAX_S, Answer, retry_after_s, shown
from lifecycle.errors import LifecycleError, NeedsAttention, PortError
from lifecycle.ports import Clock, Controller

if TYPE_CHECKING:
    from sushy import Sushy
    from sushy.resources.system.system import System

_QUIET = logging.NullHandler()
ROOT_PREFIX = "/redfish/v1/"
ANSWER_S = 60.0
"""Some controllers take most of a minute to assemble a system's resource after power-on."""
CALL_S = 90.0
"""For all requests of one call together: a login, and half a dozen resources of a second or two each."""
CLOSE_S = 5.0
"""A step is over: what could not be ended in this time times out by itself."""
BUSY = frozenset({429, 503})
"""It may be asked again, when it says so (RFC 9110, 10.2.3)."""


class Connection(Connector):  # type: ignore[misc]  # sushy has no types
    """Sends each request once. until_s: when its call has to be over, on `clock`. retry_after_s: what the last
    answer asked for."""

    def __init__(self, url: str, verify: bool | str, clock: Clock, answer_s: float) -> None:
        super().__init__(
            url,
            verify=verify,
            server_side_retries=1,  # 0 would mean three
            default_request_timeout=answer_s,
            connect_timeout=min(CONNECT_S, answer_s),
            response_callback=self._heed,
        )
        self._clock, self._answer_s = clock, answer_s
        self.until_s, self.retry_after_s = clock.now_s() + CALL_S, 0.0

    def _op(self, method: str, path: str = "", timeout: Any = None, **rest: Any) -> Any:
        """sushy asks again through here too, for a session that ended: with a timeout of two parts."""
        left_s = self.until_s - self._clock.now_s()
        self.retry_after_s = 0.0
        if left_s <= 0:
            raise exceptions.ConnectionError(url=self._url, error=f"no time left for {method} {path}")
        wanted_s = timeout[1] if isinstance(timeout, tuple) else timeout or self._answer_s
        return super()._op(method, path, timeout=min(wanted_s, left_s), **{**rest, "server_side_retries_left": 0})

    def _heed(self, response: Any) -> None:
        if response.status_code in BUSY:
            asked_s = retry_after_s(Answer(response.status_code, response.headers, ""), self._clock)
            self.retry_after_s = min(asked_s or 0.0, RETRY_AFTER_MAX_S)


class Login(SessionOrBasicAuth):  # type: ignore[misc]  # sushy has no types
    """By a session where the controller keeps any, else by the password with each request.

    sushy would try the other way with a password that was refused; controllers lock accounts over that.
    """

    def _do_authenticate(self) -> None:
        root = self._root_resource.json
        links = root.get("Links") or {}
        if "SessionService" not in root and "Sessions" not in links:
            self._fallback_to_basic_authentication()
            return
        try:
            SessionAuth._do_authenticate(self)
        except (exceptions.AccessError, exceptions.ConnectionError):
            raise
        except exceptions.SushyError as error:  # such as: no session is free
            if getattr(error, "status_code", 0) in BUSY:
                raise
            self._fallback_to_basic_authentication()


class Sessions:
    """One session for each controller, from the first call until `close`.

    credentials: by host, asked on the first call for it. authority: a file of certificates to trust instead of the
    well-known ones. answer_s: for one answer. call_s: for all of one call.
    """

    def __init__(
        self,
        credentials: Callable[[str], BmcCredentials],
        clock: Clock,
        authority: str = "",
        answer_s: float = ANSWER_S,
        call_s: float = CALL_S,
    ) -> None:
        self._credentials, self._clock, self._authority = credentials, clock, authority
        self._answer_s, self._call_s = answer_s, call_s
        self._roots: dict[str, Sushy] = {}

    @contextmanager
    def root(self, host: str, controller: Controller) -> Iterator[Sushy]:
        """The controller's root, within one call. What sushy raises inside becomes a PortError; NeedsAttention for
        refused credentials and a certificate that is not trusted."""
        # Without a handler Python prints sushy's warnings, which quote what the controller says, on stderr.
        logging.getLogger("sushy").addHandler(_QUIET)
        known = self._roots.get(controller.url)
        connection = known._conn if known is not None else self._connect(host, controller)
        connection.until_s = self._clock.now_s() + self._call_s
        try:
            if known is None:
                user = self._credentials(host)
                known = sushy.Sushy(
                    connection._url,
                    root_prefix=ROOT_PREFIX,
                    connector=connection,
                    auth=Login(user.username, user.password),
                )
                self._roots[controller.url] = known
            yield known
        except LifecycleError:
            raise
        except Exception as error:
            raise _told(error, host, controller, connection.retry_after_s) from error

    @contextmanager
    def system(self, host: str, controller: Controller) -> Iterator[System]:
        """The host's system resource, read afresh. Raises as `root` does."""
        where = address(host, controller)
        with self.root(host, controller) as root:
            yield root.get_system(where.path.rstrip("/"))

    def close(self) -> None:
        """End the sessions: a controller has few, and some never end them by themselves. Asks once, never raises."""
        for root in self._roots.values():
            root._conn.until_s = self._clock.now_s() + CLOSE_S
            try:
                root._auth.close()
            except Exception:  # noqa: BLE001  # the step is over: what could not be ended times out by itself
                root._auth.reset_session_attrs()  # or sushy would try again when Python ends
        self._roots.clear()

    def _connect(self, host: str, controller: Controller) -> Connection:
        where = address(host, controller)
        verify = (self._authority or True) if controller.verify_tls else False
        return Connection(f"{where.scheme}://{where.netloc}", verify, self._clock, self._answer_s)


def _told(error: Exception, host: str, controller: Controller, retry_after_s: float) -> LifecycleError:
    """What a step says of it. Raises the error itself if it is none of a controller's."""
    what = named(host, controller)
    if isinstance(error, exceptions.AccessError):  # asking again could lock the account
        return NeedsAttention(
            what,
            f"HTTP {error.status_code}: the credentials are refused",
            "correct INGOT_BMC_USERNAME and INGOT_BMC_PASSWORD, or this host's entry in INGOT_CREDENTIALS_FILE",
        )
    untrusted = _untrusted(error)
    if untrusted:
        return NeedsAttention(
            what,
            f"a certificate that is not trusted: {untrusted}",
            "runbooks/bmc.md#certificate: renew it, or name the authority that signed it in INGOT_BMC_CA_FILE",
        )
    if isinstance(error, exceptions.SushyError):
        found = f"{type(error).__name__}: {shown(str(error))}"
    elif isinstance(error, ValueError | TypeError | AttributeError | KeyError):  # sushy cannot take the body apart
        found = f"an answer that is not Redfish ({type(error).__name__})"
    else:
        raise error
    return PortError(what, found, remedy(host), retry_after_s=retry_after_s)


def _untrusted(error: BaseException) -> str:
    """Why the certificate was refused, "" if it was not: each layer wraps the error of the one below."""
    seen: list[Any] = [error]
    for found in seen:
        if isinstance(found, ssl.SSLCertVerificationError):
            return str(found.verify_message)
        inner = (found.__cause__, found.__context__, getattr(found, "reason", None), *found.args)
        seen += [e for e in inner if isinstance(e, BaseException) and e not in seen]
    return ""


def address(host: str, controller: Controller) -> SplitResult:
    """The parts of a system's address. Raises NeedsAttention for one of another form, without repeating it."""
    where = urlsplit(controller.url)
    if (
        where.scheme not in ("http", "https")
        or not where.path.startswith(ROOT_PREFIX)
        or where.username
        or where.password
    ):
        raise NeedsAttention(
            named(host, controller),
            "an address of another form",
            f"write `https://<controller>{ROOT_PREFIX}Systems/<id>` into the stack file, without a user",
        )
    return where


def named(host: str, controller: Controller) -> str:
    """How errors name a controller: never with what stands before an `@` in its address."""
    where = urlsplit(controller.url)
    return (
        f"BMC of {host} at {where.scheme}://{where.hostname or '?'}{f':{where.port}' if where.port else ''}{where.path}"
    )


def remedy(host: str) -> str:
    return (
        f"check that the controller of {host} answers (its own web page), restart it if not, then run `pulumi up` again"
    )
