"""One view for all the steps of a roll, though each is a process of its own.

The first step that needs the cluster starts the broker, a process that keeps the view and serves it on a Unix
socket; it ends by itself once nobody was connected for IDLE_S. Where none can be had, the step keeps a view of
its own: slower to begin with, and otherwise the same. Only reading is shared: what changes the cluster is
asked for by the step itself, so a broker can neither delay nor repeat it.
"""

from __future__ import annotations

import os
import pickle
import secrets
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lifecycle.adapters.broker_folder import LOCK, SOCKET, same_user
from lifecycle.adapters.files import locked
from lifecycle.adapters.objects import NodeSeen, PodSeen
from lifecycle.adapters.view import Source, View
from lifecycle.errors import LifecycleError, NeedsAttention, PortError
from lifecycle.ports import Attachment, Budget, Clock, Move, Node, Pod

IDLE_S = 60.0
"""Between two steps of one roll pass seconds; a broker that nobody used for so long is in nobody's way."""
START_S = 15.0
"""For a broker to listen: Python's start and a few imports, on a busy machine. It connects to nothing before."""
LOOK_S = 0.05
"""Between two tries to reach a broker that is just starting."""
TURN_S = 5.0
"""Beyond a wait's own length, how long an answer may take: longer means that the broker hangs."""
READ_S = 70.0
"""For an answer that is no wait: a view that is just being listed for the first time takes up to a minute."""
SIZE_MAX = 256 * 2**20
"""Bytes of one message: a thousand nodes take a third of one MiB."""
PATH_MAX = 100
"""Bytes of a socket's path that every system takes."""
OWN = "own"
"""In place of a broker's identity: this process reads alone."""

SERVED = frozenset(
    {
        "node",
        "nodes",
        "control_planes",
        "pods_on",
        "unready_claimants",
        "budgets",
        "budgets_named",
        "attachments_on",
        "claims_by_handle",
        "moves",
        "roster",
        "wait",
    }
)
"""The methods of `Source`: nothing else is called for whoever connects."""


class Gone(Exception):
    """The broker is not there any more."""


# ---------------------------------------------------------------- the wire between the two


def send(channel: socket.socket, message: object) -> None:
    data = pickle.dumps(message)
    channel.sendall(struct.pack("!Q", len(data)) + data)


def receive(channel: socket.socket) -> Any:
    """The next message. Raises Gone at the end. Only our own user can be at the other end: whoever calls has asked
    (`same_user`), and the socket lies in a folder that nobody else may enter."""
    (size,) = struct.unpack("!Q", _exactly(channel, 8))
    if size > SIZE_MAX:
        raise Gone(f"a message of {size} bytes")
    return pickle.loads(_exactly(channel, size))


def _exactly(channel: socket.socket, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        part = channel.recv(min(size - len(parts), 2**20))
        if not part:
            raise Gone("the connection ended")
        parts += part
    return bytes(parts)


# ---------------------------------------------------------------- the process that keeps the view


class Broker:
    """Serves `view` on `folder`/view.sock to `user`, our own, until nobody was connected for `idle_s`."""

    def __init__(self, folder: Path, view: View, idle_s: float = IDLE_S, user: int | None = None) -> None:
        self._view, self._idle_s = view, idle_s
        self._user = os.getuid() if user is None else user
        self._path = folder / SOCKET
        self._identity = secrets.token_hex(8)
        self._lock = threading.Condition()
        self._connected = 0
        self._served = 0

    def serve(self) -> None:
        """Returns once it is not needed any more. Raises OSError if it cannot listen."""
        with socket.socket(socket.AF_UNIX) as listener:
            self._path.unlink(missing_ok=True)  # a dead broker's: who starts one holds the lock
            listener.bind(str(self._path))
            listener.listen(128)
            own = self._path.stat().st_ino
            accepting = threading.Thread(target=self._accept, args=(listener,), daemon=True)
            accepting.start()
            self._view.start()
            with self._lock:
                while self._busy():
                    pass
            if self._is_ours(own):
                self._path.unlink(missing_ok=True)
        self._view.stop()

    def _busy(self) -> bool:
        """Whether somebody was connected within the last `idle_s`. The lock is held."""
        before = self._served
        self._lock.wait_for(lambda: self._connected == 0)
        return self._lock.wait_for(lambda: self._connected > 0 or self._served != before, self._idle_s)

    def _is_ours(self, inode: int) -> bool:
        try:
            return self._path.stat().st_ino == inode
        except OSError:
            return False

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                channel, _ = listener.accept()
            except OSError:
                return  # it is over
            threading.Thread(target=self._attend, args=(channel,), daemon=True).start()

    def _attend(self, channel: socket.socket) -> None:
        with self._lock:
            self._connected, self._served = self._connected + 1, self._served + 1
            self._lock.notify_all()
        try:
            with channel:
                if not same_user(channel, self._user):
                    return
                send(channel, self._identity)
                while True:
                    name, arguments = receive(channel)
                    send(channel, self._answer(name, arguments))
        except (Gone, OSError, pickle.UnpicklingError, ValueError):
            return  # a step that ended
        finally:
            with self._lock:
                self._connected -= 1
                self._lock.notify_all()

    def _answer(self, name: str, arguments: tuple[object, ...]) -> tuple[str, object]:
        if name not in SERVED:
            return "error", ("PortError", f"view, {name}", "no such question", "run `pulumi up` again")
        try:
            return "ok", getattr(self._view, name)(*arguments)
        except (PortError, NeedsAttention) as error:
            kind = "NeedsAttention" if isinstance(error, NeedsAttention) else "PortError"
            return "error", (kind, error.what, error.found, error.remedy)
        except LifecycleError as error:
            return "error", ("PortError", f"view, {name}", str(error), "run `pulumi up` again")


# ---------------------------------------------------------------- as a step meets it


class SharedView:
    """Fulfils lifecycle.adapters.view.Source by a broker, or by a view of its own where there is none.

    folder: of the broker of this stack, API and identity. launch: starts one there, and returns at once. own:
    makes a view for this process alone. user: whose broker is spoken to, our own. One connection for each thread.
    """

    def __init__(
        self,
        folder: Callable[[], Path],
        launch: Callable[[Path], None],
        own: Callable[[], Source],
        clock: Clock,
        start_s: float = START_S,
        user: int | None = None,
    ) -> None:
        self._folder, self._launch, self._own, self._clock = folder, launch, own, clock
        self._start_s = start_s
        self._user = os.getuid() if user is None else user
        self._here = threading.local()
        self._lock = threading.Lock()
        self._fallback: Source | None = None

    # ------------------------------------------------------------ the questions

    def node(self, name: str) -> NodeSeen | None:
        found: NodeSeen | None = self._ask("node", name)
        return found

    def nodes(self) -> tuple[Node, ...]:
        found: tuple[Node, ...] = self._ask("nodes")
        return found

    def control_planes(self) -> Mapping[str, str]:
        found: Mapping[str, str] = self._ask("control_planes")
        return found

    def pods_on(self, node: str) -> tuple[PodSeen, ...]:
        found: tuple[PodSeen, ...] = self._ask("pods_on", node)
        return found

    def unready_claimants(self) -> tuple[Pod, ...]:
        found: tuple[Pod, ...] = self._ask("unready_claimants")
        return found

    def budgets(self, node: str) -> tuple[Budget, ...]:
        found: tuple[Budget, ...] = self._ask("budgets", node)
        return found

    def budgets_named(self, names: frozenset[str]) -> tuple[Budget, ...]:
        found: tuple[Budget, ...] = self._ask("budgets_named", names)
        return found

    def attachments_on(self, node: str) -> tuple[Attachment, ...]:
        found: tuple[Attachment, ...] = self._ask("attachments_on", node)
        return found

    def claims_by_handle(self, driver: str) -> Mapping[str, str]:
        found: Mapping[str, str] = self._ask("claims_by_handle", driver)
        return found

    def moves(self, node: str) -> tuple[Move, ...]:
        found: tuple[Move, ...] = self._ask("moves", node)
        return found

    def roster(self) -> tuple[str, str]:
        found: tuple[str, str] = self._ask("roster")
        return found

    def wait(self, topic: str, since: int, limit_s: float) -> int:
        """Returns at once if the counts are those of another broker than before."""
        before = getattr(self._here, "identity", None)
        self._channel()
        if before is not None and getattr(self._here, "identity", None) != before:
            since = -1
        found: int = self._ask("wait", topic, since, limit_s, answer_s=limit_s + TURN_S)
        return found

    # ------------------------------------------------------------ asking

    def _ask(self, name: str, *arguments: object, answer_s: float = READ_S) -> Any:
        for _ in range(2):  # a broker that died is started again, once
            channel = self._channel()
            if channel is None:
                break
            try:
                channel.settimeout(answer_s)
                send(channel, (name, arguments))
                how, found = receive(channel)
            except (Gone, OSError, pickle.UnpicklingError):
                self._hang_up()
                arguments = (arguments[0], -1, arguments[2]) if name == "wait" else arguments
                continue
            if how == "ok":
                return found
            kind, *facts = found
            raise (NeedsAttention if kind == "NeedsAttention" else PortError)(*facts)
        return getattr(self._alone(), name)(*arguments)

    def _alone(self) -> Source:
        with self._lock:
            self._here.identity = OWN
            self._fallback = self._fallback or self._own()
            return self._fallback

    def _hang_up(self) -> None:
        channel = getattr(self._here, "channel", None)
        if channel is not None:
            channel.close()
        self._here.channel = None

    def _channel(self) -> socket.socket | None:
        """This thread's connection; None where there is no broker, for the rest of this process."""
        channel: socket.socket | None = getattr(self._here, "channel", None)
        if channel is not None:
            return channel
        if self._fallback is not None:
            self._here.identity = OWN
            return None
        try:
            folder = self._folder()
            channel = self._connected(folder) or self._started(folder)
        except (OSError, LifecycleError):
            channel = None  # no socket can be had in such a place
        if channel is None:
            self._alone()
        self._here.channel = channel
        return channel

    def _started(self, folder: Path) -> socket.socket | None:
        """A connection to a broker that was started by us, or by another step at the same time."""
        if len(os.fsencode(folder / SOCKET)) > PATH_MAX:
            return None
        with locked(folder / LOCK, self._clock):
            channel = self._connected(folder)
            if channel is not None:
                return channel
            self._launch(folder)
            until_s = time.monotonic() + self._start_s
            while channel is None and time.monotonic() < until_s:
                time.sleep(LOOK_S)
                channel = self._connected(folder)
            return channel

    def _connected(self, folder: Path) -> socket.socket | None:
        channel = socket.socket(socket.AF_UNIX)
        try:
            channel.settimeout(TURN_S)
            channel.connect(str(folder / SOCKET))
            if not same_user(channel, self._user):
                raise Gone("another user's process listens there")
            self._here.identity = receive(channel)
        except (Gone, OSError):
            channel.close()
            return None
        return channel
