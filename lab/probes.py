"""Asks a part whether it serves."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

import httpx

from lab.certificates import Pair

ANSWER_S = 2.0
"""A part on this machine that serves answers in milliseconds; while it starts, the next ask comes soon."""

SHOWN_CHARS = 300
"""Of an answer, in an error: the API server lists its checks, of which the failing one matters."""


class Asked:
    """A probe of a URL, called again and again: "" once it answers 200 to a client that verifies it, else what it
    says instead. client: the certificate shown. user: name and password.
    """

    def __init__(
        self, url: str, authority: Path, client: Pair | None = None, user: tuple[str, str] | None = None
    ) -> None:
        self._url, self._authority, self._client, self._user = url, authority, client, user
        self._context: ssl.SSLContext | None = None

    def __call__(self) -> str:
        try:
            answer = httpx.get(self._url, verify=self._tls(), auth=self._user, timeout=ANSWER_S, trust_env=False)
        except (httpx.HTTPError, OSError) as error:
            return f"{type(error).__name__} at {self._url}: {error}"
        if answer.status_code == httpx.codes.OK:
            return ""
        failing = [line for line in answer.text.splitlines() if "failed" in line] or answer.text.splitlines()
        return f"HTTP {answer.status_code} at {self._url}: {' '.join(failing)[:SHOWN_CHARS]}"

    def _tls(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = ssl.create_default_context(cafile=str(self._authority))
            if self._client is not None:
                self._context.load_cert_chain(self._client.certificate, self._client.key)
        return self._context


class Both:
    """Two probes, the second asked once the first is content."""

    def __init__(self, first: Callable[[], str], second: Callable[[], str]) -> None:
        self._first, self._second = first, second

    def __call__(self) -> str:
        return self._first() or self._second()
