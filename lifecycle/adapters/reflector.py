"""One kind of object, kept as the API server has it: listed once, then watched from there on.

A watch that ends, by the server's own limit or a lost connection, is opened again from the last version
that was seen, so nothing is missed and nothing listed twice. Only a server that no longer knows that version
(410 Gone, as a status or as an ERROR event) makes it list anew.
"""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from lifecycle.adapters.kube_api import PAGE, PAGES_MAX, KubeApi, Refusal
from lifecycle.adapters.objects import key_of, sub, version_of
from lifecycle.adapters.wire import BACKOFF_FIRST_S, RETRY_AFTER_MAX_S
from lifecycle.errors import LifecycleError, PortError
from lifecycle.ports import Clock

Json = dict[str, Any]

GONE = 410
WATCH_S = 300
"""The server ends a watch after this long; the API server's own clients ask for five to ten minutes."""
SILENT_S = 90.0
"""No event and no bookmark for so long: bookmarks come once a minute, so the watch is opened anew."""
BACKOFF_MAX_S = 10.0
"""Between two tries: a server that comes back is met within this, and a thousand runners do not drown it."""
SPREAD = 0.5
"""Of each pause, so much is left to chance: what failed together does not come back together. Our own are shortened
by it; what the server asks for is lengthened."""
SHORT_S = 1.0
"""A watch that ends sooner, without an event, counts as a failure: opened at once again it would spin."""
LOG = "see the API server's log"
LINE_MAX = 16 * 2**20
"""Bytes of one event: etcd takes no object over 1.5 MiB, and JSON escapes at most tenfold."""

CHANCE: Callable[[], float] = random.Random().random
"""Of this package alone: whoever seeds the interpreter's own is not to meet it from a thread."""


class Expired(Exception):
    """The server no longer knows the version that we wanted to go on from."""


class Sink(Protocol):
    """Who keeps the objects. Called by one thread for each kind."""

    def replaced(self, kind: Kind, objects: Mapping[str, Any]) -> None:
        """These are all there are now."""
        ...

    def put(self, kind: Kind, key: str, found: Any) -> None:
        """One was added or changed."""
        ...

    def gone(self, kind: Kind, key: str) -> None:
        """One was deleted, or does not belong to the kind any more."""
        ...

    def watching(self, kind: Kind) -> None:
        """From now on, every change is announced."""
        ...

    def failed(self, kind: Kind, error: LifecycleError) -> None:
        """Changes go unseen until `watching` is said again."""
        ...


@dataclass(frozen=True)
class Kind:
    """What to watch. read: an object as it is kept, None for one that is to be left aside."""

    name: str
    path: str
    read: Callable[[Json], Any] = field(repr=False, compare=False)
    query: tuple[tuple[str, str], ...] = ()


class Reflector:
    """Keeps one kind until it is stopped. pause: waits so many seconds, true if it is to stop. chance: from 0 up to 1,
    another each time."""

    def __init__(
        self,
        kind: Kind,
        api: KubeApi,
        sink: Sink,
        clock: Clock,
        pause: Callable[[float], bool] | None = None,
        chance: Callable[[], float] = CHANCE,
    ) -> None:
        self._kind, self._api, self._sink, self._clock = kind, api, sink, clock
        self._stopped = threading.Event()
        self._pause, self._chance = pause or self._stopped.wait, chance
        self._version = ""
        self._failures = 0
        self._open: Any = None
        self._thread = threading.Thread(target=self._run, name=f"watch-{kind.name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread, at once if it listens."""
        self._stopped.set()
        response = self._open
        if response is not None:
            try:
                response.shutdown()
            except (ValueError, RuntimeError, OSError):
                return  # it ended by itself meanwhile

    def join(self, limit_s: float) -> None:
        self._thread.join(limit_s)

    def _run(self) -> None:
        while not self._stopped.is_set():
            pause_s = self._turn()
            if pause_s and self._pause(pause_s):
                return

    def _turn(self) -> float:
        """One list if there is need, and one watch. Returns how long to pause before the next."""
        begun_s, before = self._clock.now_s(), self._version
        try:
            if not self._version:
                self._version = self._list()
            self._watch()
            if self._clock.now_s() - begun_s >= SHORT_S or self._version != before:
                return 0.0
            error: LifecycleError = PortError(self._api.named(f"watch of {self._kind.name}"), "an end at once", LOG)
        except Expired:
            self._version = ""
            what, remedy = self._api.named(f"watch of {self._kind.name}"), "see etcd's compaction"
            if before:  # the version had aged; one that is expired as soon as it is listed is a failure
                self._sink.failed(self._kind, PortError(what, "410, and no new list yet", remedy))
                return 0.0
            error = PortError(what, "410 for a version just listed", remedy)
        except LifecycleError as found:
            error = found
        except Exception as found:  # noqa: BLE001  # a thread that dies silently would leave a view that only ages
            error = PortError(self._api.named(f"watch of {self._kind.name}"), repr(found), "report this line")
            self._version = ""
        if self._stopped.is_set():
            return 0.0
        self._sink.failed(self._kind, error)
        self._failures = 1 if self._clock.now_s() - begun_s > SILENT_S / 2 else self._failures + 1
        return self._backoff_s(error.after_s if isinstance(error, Refusal) else None)

    def _backoff_s(self, asked_s: float | None) -> float:
        """asked_s: what the server asks for, None if nothing."""
        spread = SPREAD * self._chance()
        if asked_s is not None:
            return min(RETRY_AFTER_MAX_S, max(BACKOFF_FIRST_S, asked_s)) * (1 + spread)
        own_s: float = min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2 ** min(self._failures - 1, 10))
        return own_s * (1 - spread)

    # ------------------------------------------------------------ list

    def _list(self) -> str:
        """Hand over all there are. Returns the version that they were seen at."""
        found: dict[str, Any] = {}
        asked = {**dict(self._kind.query), "limit": str(PAGE)}
        for _ in range(PAGES_MAX):
            try:
                page = self._api.once(self._kind.name, self._kind.path, asked)
            except Refusal as refused:
                if refused.status == GONE:
                    raise Expired from None
                if refused.status != 404:
                    raise
                page = {"items": [], "metadata": {}}  # no such kind here, so there are none
            items = page.get("items")
            if not isinstance(items, list):
                raise PortError(self._api.named(self._kind.name), "a list without `items`", "check what answers there")
            for item in items:
                kept = self._kind.read(item)
                if kept is not None:
                    found[key_of(item)] = kept
            more = sub(page, "metadata").get("continue")
            if not more:
                self._sink.replaced(self._kind, found)
                return version_of(page) or "0"
            asked["continue"] = str(more)
        raise PortError(self._api.named(self._kind.name), f"more than {PAGES_MAX} pages", "check what answers there")

    # ------------------------------------------------------------ watch

    def _watch(self) -> None:
        """Hand over what changes, until the stream ends. Raises Expired, PortError."""
        what = f"watch of {self._kind.name}"
        query = {
            **dict(self._kind.query),
            "watch": "1",
            "resourceVersion": self._version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH_S),
        }
        try:
            with self._api.streaming(what, self._kind.path, query, SILENT_S) as response:
                self._open = response
                if not self._stopped.is_set():
                    self._sink.watching(self._kind)
                    for line in _lines(response.stream()):
                        self._take(line)
            if not self._stopped.is_set():
                self._sink.failed(self._kind, PortError(self._api.named(what), "an end, and no new one yet", LOG))
        except Refusal as refused:
            if refused.status == GONE:
                raise Expired from None
            raise
        finally:
            self._open = None

    def _take(self, line: bytes) -> None:
        event = json.loads(line)
        said, item = event.get("type"), event.get("object")
        if said == "ERROR":
            if sub(event, "object").get("code") == GONE:
                raise Expired
            self._version = ""  # what the server cannot go on from, we do not either
            message = str(sub(event, "object").get("message", "no message"))
            raise PortError(self._api.named(f"watch of {self._kind.name}"), message, LOG)
        if said in ("ADDED", "MODIFIED"):
            kept = self._kind.read(item)
            if kept is None:
                self._sink.gone(self._kind, key_of(item))
            else:
                self._sink.put(self._kind, key_of(item), kept)
        elif said == "DELETED":
            self._sink.gone(self._kind, key_of(item))
        elif said != "BOOKMARK":
            self._version = ""
            raise PortError(
                self._api.named(f"watch of {self._kind.name}"), f"an event {said!r}", "update this checkout"
            )
        self._version = version_of(item) or self._version
        self._failures = 0


def _lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Whole lines; half of one, at the end of a broken stream, is left aside: it comes again."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        if len(rest) > LINE_MAX:
            raise PortError("a watch", f"a line of more than {LINE_MAX} bytes", "check what answers at this address")
        yield from (line for line in whole if line.strip())
