"""One connection to the Kubernetes API: the official client's transport, JSON in and out.

The client gives configuration, authentication (kubeconfig plugins too), TLS and proxies. Its typed
models are left aside: they refuse an object in which a newer server has a value they do not know, and
importing them costs every step over a second.
"""

from __future__ import annotations

import itertools
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from lifecycle.adapters.tls import Authority, certificates, client_context
from lifecycle.adapters.wire import (
    ATTEMPTS,
    BACKOFF_FIRST_S,
    BACKOFF_MAX_S,
    CONNECT_S,
    READ_S,
    TRANSIENT,
    Answer,
    NoAnswer,
    Unsure,
    patiently,
    retry_after_s,
    shown,
)
from lifecycle.errors import NeedsAttention, PortError
from lifecycle.ports import Clock

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

PAGE = 500
"""Objects a list call asks for at once; the API server's own clients use the same."""
PAGES_MAX = 2000
"""A million objects: a server that goes on after that repeats itself."""

ADMINISTRATOR = ("ingot-administrator", "system:masters")
"""User and group of a certificate that makes the owners' roles (lifecycle/rbac.py) and nothing else. The group
needs no binding to exist, and whoever holds the authority's key has its power anyway."""

RENEW_S = 1800.0
"""A connection is made anew after this long: a minted certificate lives an hour (lifecycle.adapters.tls)."""

IDLE_S, PROBE_S, PROBES = 10, 3, 3
"""TCP probes a silent connection, so that one whose far side vanished is noticed after 19 s."""
CONNECTIONS = 32
"""Kept open at once: a watch for each kind, and the evictions of a drain."""

ANSWERED_S = 1.0
"""The API is not asked whether it answers if the last thing that it did was to answer, less than this ago: a step
asks that before almost every request, and the question costs the server more than most of them."""

UNSET = "unset INGOT_KUBECONFIG to use the stack's own authority"

Json = dict[str, Any]


class Refusal(PortError):
    """An answer that is no success. status: HTTP's. after_s: what Retry-After asks for, None if nothing."""

    def __init__(self, what: str, answer: Answer, after_s: float | None) -> None:
        super().__init__(what, f"HTTP {answer.status}{_message(answer)}", _remedy(answer.status))
        self.status, self.after_s = answer.status, after_s


class KubeApi:
    """Asks one cluster, from any thread. Connects on first use, and anew after RENEW_S."""

    def __init__(self, connect: Callable[[], ApiClient], clock: Clock) -> None:
        self._connect, self._clock = connect, clock
        self._client: ApiClient | None = None
        self._connected_s, self._host = 0.0, ""
        self._answered_s: float | None = None
        self._lock = threading.Lock()

    def get(self, what: str, path: str, query: Mapping[str, str] | None = None) -> Json | None:
        """The object at `path`, or None if there is none (404)."""
        answer = self.ask(what, "GET", path, query=query, final=frozenset({404}))
        return None if answer.status == 404 else answer.document(self.named(what), _remedy(answer.status))

    def items(self, what: str, path: str, query: Mapping[str, str] | None = None) -> Iterator[Json]:
        """Every item of a list, page by page. None of them if the kind does not exist (404)."""
        asked = {**(query or {}), "limit": str(PAGE)}
        for _ in range(PAGES_MAX):
            page = self.get(what, path, asked)
            if page is None:
                return
            items = page.get("items")
            if not isinstance(items, list):
                raise PortError(self.named(what), "a list without `items`", _remedy(200))
            yield from items
            more = (page.get("metadata") or {}).get("continue")
            if not more:
                return
            asked["continue"] = more
        raise PortError(self.named(what), f"more than {PAGES_MAX} pages", _remedy(500))

    def ask(
        self,
        what: str,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
        content_type: str = "application/json",
        final: frozenset[int] = frozenset(),
        understood: Callable[[Answer], bool] = lambda answer: False,
        repeatable: bool = True,
        secret: bool = False,
    ) -> Answer:
        """One request, tried again while that may help. Returns if its status is good or in `final`, or the answer
        is `understood`.

        secret: the answer may quote secrets, so its text stays out of the error.
        Raises PortError, or Unsure if the request may have been carried out all the same.
        """
        url = path + ("?" + urlencode(query) if query else "")
        try:
            answer = patiently(
                lambda: self._noted(method, url, body, content_type),
                clock=self._clock,
                repeatable=repeatable,
                final=final,
                understood=understood,
            )
        except NoAnswer as error:
            kind = Unsure if error.sent else PortError
            raise kind(self.named(what), str(error), _remedy(0)) from error
        if answer.ok or answer.status in final or understood(answer):
            return answer
        kind = Unsure if answer.status in TRANSIENT - {429} else PortError
        raise kind(
            self.named(what), f"HTTP {answer.status}" + ("" if secret else _message(answer)), _remedy(answer.status)
        )

    def surely(self, write: Callable[[], bool], landed: Callable[[], bool | None]) -> bool:
        """What a compare-and-swap says; where its answer was lost, what `landed` finds: true, or false if somebody
        else wrote.

        None of `landed`: nothing was written, so it is tried again, as `ask` does with what may be repeated.
        Raises Unsure if the last of ATTEMPTS did not get through either.
        """
        for attempt in itertools.count(1):
            try:
                return write() or (attempt > 1 and landed() is True)  # the lost one may have arrived late
            except Unsure:
                found = landed()
                if found is not None:
                    return found
                if attempt == ATTEMPTS:
                    raise
            self._clock.sleep(min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2 ** (attempt - 1)))
        return False

    def once(self, what: str, path: str, query: Mapping[str, str]) -> Json:
        """The object at `path`, asked for once. Raises Refusal; PortError if there is no answer."""
        try:
            answer = self._send("GET", f"{path}?{urlencode(query)}", None, "application/json", READ_S)
        except NoAnswer as error:
            raise PortError(self.named(what), str(error), _remedy(0)) from error
        if not answer.ok:
            raise self.refused(what, answer)
        return answer.document(self.named(what), _remedy(answer.status))

    @contextmanager
    def streaming(self, what: str, path: str, query: Mapping[str, str], read_s: float) -> Iterator[Any]:
        """An open answer that goes on until either side ends it (urllib3's; `shutdown` ends it from elsewhere).

        read_s: the longest silence in it. Raises as `once` does, also for a stream that breaks.
        """
        import urllib3

        try:
            response = self._open("GET", f"{path}?{urlencode(query)}", None, "application/json", read_s).response
        except NoAnswer as error:
            raise PortError(self.named(what), str(error), _remedy(0)) from error
        try:
            if response.status != 200:
                text = response.read().decode("utf-8", "replace")
                raise self.refused(what, Answer(response.status, dict(response.headers), text))
            yield response
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise PortError(self.named(what), f"{type(error).__name__}: {shown(str(error))}", _remedy(0)) from error
        finally:
            response.close()

    def answers(self) -> bool:
        """Whether /readyz says yes, asked once and briefly, or a request was carried out within ANSWERED_S and none
        failed since. Never raises."""
        answered_s = self._answered_s
        if answered_s is not None and 0 <= self._clock.now_s() - answered_s < ANSWERED_S:
            return True
        try:
            return self._send("GET", "/readyz", None, "application/json", CONNECT_S).ok
        except Exception:  # noqa: BLE001  # "never raises" is the port's contract: whatever it is, nothing answers there
            return False

    def refused(self, what: str, answer: Answer) -> Refusal:
        """The error for an answer that is no success."""
        return Refusal(self.named(what), answer, retry_after_s(answer, self._clock))

    def named(self, what: str) -> str:
        return f"Kubernetes API{' at ' + self._host if self._host else ''}, {what}"

    def _noted(self, method: str, url: str, body: object, content_type: str) -> Answer:
        """One try, and whether it shows that the API answers."""
        before_s, self._answered_s = self._clock.now_s(), None
        answer = self._send(method, url, body, content_type, READ_S)
        self._answered_s = before_s if answer.ok else None
        return answer

    def _send(self, method: str, url: str, body: object, content_type: str, read_s: float) -> Answer:
        import urllib3

        response = self._open(method, url, body, content_type, read_s)
        try:
            return Answer(response.status, dict(response.headers), response.read().decode("utf-8", "replace"))
        except urllib3.exceptions.HTTPError as error:
            raise NoAnswer(f"{type(error).__name__}: {shown(str(error))}", sent=True) from error

    def _open(self, method: str, url: str, body: object, content_type: str, read_s: float) -> Any:
        """The answer, its text not read yet. Raises NoAnswer, PortError."""
        import urllib3
        from kubernetes.client.exceptions import ApiException

        client = self._connection()
        try:
            _, address, headers, data, form = client.param_serialize(
                method,
                url,
                body=body,
                header_params={"Accept": "application/json", "Content-Type": content_type},
                auth_settings=["BearerToken"],
            )
            response: Any = client.call_api(method, address, headers, data, form, (CONNECT_S, read_s))
        except (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError) as error:
            raise NoAnswer(type(error).__name__, sent=False) from error
        except ApiException as error:  # of the client itself, before an answer: TLS
            raise PortError(self.named("TLS"), shown(str(error.reason)), _remedy(401)) from error
        except urllib3.exceptions.HTTPError as error:
            raise NoAnswer(f"{type(error).__name__}: {shown(str(error))}", sent=True) from error
        if response.status == 401:
            self._forget(client)
        return response

    def _connection(self) -> ApiClient:
        with self._lock:
            if self._client is None or self._clock.now_s() - self._connected_s > RENEW_S:
                self._client, self._connected_s = self._connect(), self._clock.now_s()
                self._host = str(self._client.configuration.host)
            return self._client

    def _forget(self, client: ApiClient) -> None:
        """Whoever asks next connects anew: what we showed is not taken any more."""
        with self._lock:
            if self._client is client:
                self._client = None


def path(*parts: str) -> str:
    """An API path from its parts, each quoted."""
    return "/" + "/".join(quote(part, safe="") for part in parts)


def from_kubeconfig(file: Path, authority: str = "") -> ApiClient:
    """A client as `file` says. authority: PEM of the certificate that the cluster's own must come from; "" if
    it is not known, which leaves that unproven. Raises NeedsAttention if the file cannot be read, or would
    take another cluster for this one.
    """
    import yaml
    from kubernetes import client, config

    configuration = client.Configuration()
    load: Any = config.load_kube_config  # published without types
    try:
        load(config_file=str(file), client_configuration=configuration)
    except (config.ConfigException, yaml.YAMLError, OSError, ValueError, TypeError) as error:
        raise NeedsAttention(
            f"kubeconfig {file}",
            f"{type(error).__name__}: {shown(str(error))}",
            f"correct it, or {UNSET}",
        ) from error
    if authority:
        _same_cluster(file, configuration, authority)
    return _client(configuration)


def _same_cluster(file: Path, configuration: Any, authority: str) -> None:
    """Return if nothing but a server of `authority` can answer. Raises NeedsAttention."""
    found = ""
    if not str(configuration.host).startswith("https://") or not configuration.verify_ssl:
        found = "a server whose certificate is not verified"
    elif not configuration.ssl_ca_cert:
        found = "no certificate authority"
    elif certificates(Path(configuration.ssl_ca_cert).read_bytes()) != (certificates(authority.encode()) or None):
        found = "another certificate authority than the stack's"
    if found:
        raise NeedsAttention(
            f"kubeconfig {file}, for {configuration.host}",
            found,
            f"name a kubeconfig of this stack's cluster in INGOT_KUBECONFIG, or {UNSET}; nothing was asked of it",
        )


def from_authority(endpoint: str, authority: Authority, now_s: float, identity: tuple[str, str]) -> ApiClient:
    """A client for `endpoint` (`host:port`) with a certificate of an hour, signed here by the cluster's CA.

    identity: the user and the one group that it names.
    """
    import urllib3
    from kubernetes import client

    context = client_context(authority, *identity, now_s)
    made = _client(client.Configuration(host=f"https://{endpoint}"))
    made.rest_client.pool_manager = urllib3.PoolManager(
        ssl_context=context, retries=False, maxsize=CONNECTIONS, socket_options=keepalive()
    )
    return made


def _client(configuration: Any) -> ApiClient:
    from kubernetes import client

    configuration.retries = False  # `patiently` retries, on the step's clock; urllib3 would sleep on its own
    configuration.connection_pool_maxsize, configuration.socket_options = CONNECTIONS, keepalive()
    return client.ApiClient(configuration)


def keepalive() -> list[tuple[int, int, int]]:
    """Socket options by which TCP itself notices that the far side vanished."""
    options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    for name, value in (("TCP_KEEPIDLE", IDLE_S), ("TCP_KEEPINTVL", PROBE_S), ("TCP_KEEPCNT", PROBES)):
        if hasattr(socket, name):  # not every system lets a process choose
            options.append((socket.IPPROTO_TCP, getattr(socket, name), value))
    return options


def _message(answer: Answer) -> str:
    """The `message` of a Kubernetes Status, or the text of a proxy's answer."""
    try:
        status = json.loads(answer.text)
        text = str(status.get("message", "")) if isinstance(status, dict) else answer.text
    except ValueError:
        text = answer.text
    return f" {shown(text)}" if text.strip() else ""


def _remedy(status: int) -> str:
    if status == 0:
        return "check that the endpoint's name resolves and its load balancer or VIP forwards to a live control plane"
    if status == 401:
        return "the certificate is not the cluster's: check the stack's `ca` resource, or INGOT_KUBECONFIG if it is set"
    if status == 403:
        return "runbooks/api.md#permitted: grant this verb to the identity in use (`ingot rbac STACK --check`)"
    return "see `kubectl get --raw '/readyz?verbose'`, then run `pulumi up` again"
