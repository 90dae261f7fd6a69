"""One view for many processes: started by the first, ended by itself, replaced when it dies."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from lifecycle.adapters.broker import SERVED, Broker, SharedView, send
from lifecycle.adapters.broker_folder import SOCKET, private_folder
from lifecycle.adapters.clock import WallClock, WatchingClock
from lifecycle.adapters.view import View
from lifecycle.errors import PortError
from tests.lifecycle.adapters.api_server import COLLECTIONS, Api, attachment, budget, node, pod, volume
from tests.lifecycle.adapters.wire_server import Reply, Wire

FAR_S = 60.0
"""A wait that lasts half as long was not woken."""
ROOT = Path(__file__).resolve().parents[3]
KEEPER = """
import sys
from pathlib import Path
from lifecycle.adapters.broker import Broker
from lifecycle.adapters.clock import WallClock
from lifecycle.adapters.view import View
from tests.lifecycle.adapters.api_server import connected
clock = WallClock()
Broker(Path(sys.argv[1]), View(connected(sys.argv[2], clock), clock, frozenset()), float(sys.argv[3])).serve()
"""
READER = """
import sys
from pathlib import Path
from lifecycle.adapters.broker import SharedView
from lifecycle.adapters.clock import WallClock
folder = Path(sys.argv[1])
started, alone = (lambda folder: sys.exit("started another")), (lambda: sys.exit("read alone"))
shared = SharedView(lambda: folder, started, alone, WallClock())
print(*sorted(n.name for n in shared.nodes()))
"""


class Keepers:
    """Brokers as processes of their own. idle_s: how long one stays without a client."""

    def __init__(self, url: str) -> None:
        self.url, self.idle_s, self.started = url, 60.0, list[subprocess.Popen[bytes]]()

    def launch(self, folder: Path) -> None:
        words = [sys.executable, "-c", KEEPER, str(folder), self.url, str(self.idle_s)]
        self.started.append(subprocess.Popen(words, cwd=ROOT, start_new_session=True))


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return private_folder(tmp_path_factory.mktemp("v") / "k")


@pytest.fixture
def keepers(wire: Wire) -> Iterator[Keepers]:
    made = Keepers(wire.url)
    yield made
    for process in made.started:
        process.kill()
        process.wait()


def nobody() -> View:
    raise AssertionError("it read alone")


def shared(folder: Path, keepers: Keepers, own: Callable[[], View] = nobody) -> SharedView:
    return SharedView(lambda: folder, keepers.launch, own, WallClock())


def lists(server: Api) -> int:
    return sum(a.path == COLLECTIONS["nodes"] and "watch=1" not in a.query for a in server.wire.asked)


class TestOneForAll:
    """However many processes and threads read, there is one broker, with one list and one watch a kind."""

    def test_two_processes(self, server: Api, keepers: Keepers, folder: Path) -> None:
        server.put("nodes", node("w1"))
        first = shared(folder, keepers)
        assert [n.name for n in first.nodes()] == ["w1"]
        words = [sys.executable, "-c", READER, str(folder)]
        found = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
        assert (found.stdout, found.stderr) == ("w1\n", "")
        assert (len(keepers.started), lists(server)) == (1, 1)

    def test_many_that_start_at_once_start_one(self, server: Api, keepers: Keepers, folder: Path) -> None:
        server.put("nodes", node("w1"))
        seen: list[int] = []
        readers = [threading.Thread(target=lambda: seen.append(len(shared(folder, keepers).nodes()))) for _ in range(8)]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        assert (seen, len(keepers.started)) == ([1] * 8, 1)

    def test_everything_that_a_view_tells(self, server: Api, keepers: Keepers, folder: Path, view: View) -> None:
        server.put("nodes", node("w1", addresses=[{"type": "InternalIP", "address": "10.0.0.7"}]))
        server.put("pods", pod("db-0", "w1", claims=("data",), ready=False, labels={"app": "db"}))
        server.put("poddisruptionbudgets", budget("db", {"matchLabels": {"app": "db"}}))
        server.put("persistentvolumes", volume("pv-1", "data"))
        server.put("volumeattachments", attachment("va", "w1", "pv-1"))
        asking = shared(folder, keepers)
        of_node = {"node", "pods_on", "budgets", "attachments_on", "moves"}
        for question in sorted(SERVED - {"wait", "claims_by_handle"}):
            arguments = ("w1",) if question in of_node else (frozenset({"shop/db"}),) if "named" in question else ()
            assert getattr(asking, question)(*arguments) == getattr(view, question)(*arguments), question
        assert asking.claims_by_handle("csi.example") == {"pv-1": "shop/data"}

    def test_a_wait_ends_when_the_change_is_seen(self, server: Api, keepers: Keepers, folder: Path) -> None:
        asking = shared(folder, keepers)
        clock = WatchingClock(asking)
        server.put("nodes", node("w1", ready=False))
        asking.nodes()
        server.until_watched()
        threading.Thread(target=lambda: server.put("nodes", node("w1"))).start()
        for _ in range(3):  # a wait may return early
            found = asking.node("w1")
            if found is not None and found.node.ready:
                return
            begun_s = clock.now_s()
            clock.wait("node/w1", begun_s + FAR_S)
            assert clock.now_s() - begun_s < FAR_S / 2
        pytest.fail("it was woken for nothing")

    def test_an_error_arrives_as_it_is(self, wire: Wire, keepers: Keepers, folder: Path) -> None:
        wire.on("GET", "/api/v1/nodes", Reply(403, {"message": "nodes is forbidden"}))
        with pytest.raises(PortError, match="HTTP 403 nodes is forbidden") as caught:
            shared(folder, keepers).nodes()
        assert "grant this verb" in caught.value.remedy


class TestABrokerThatEnds:
    """By itself when nobody needs it; killed, another takes its place; without any, a step reads alone."""

    def test_by_itself(self, server: Api, keepers: Keepers, folder: Path) -> None:
        keepers.idle_s = 3.0  # its first client may be late
        asking = shared(folder, keepers)
        asking.nodes()
        assert keepers.started[0].poll() is None
        asking._hang_up()
        assert keepers.started[0].wait(timeout=30) == 0
        assert not (folder / SOCKET).exists()

    def test_killed_between_two_questions(self, server: Api, keepers: Keepers, folder: Path) -> None:
        server.put("nodes", node("w1"))
        asking = shared(folder, keepers)
        asking.nodes()
        os.kill(keepers.started[0].pid, signal.SIGKILL)
        keepers.started[0].wait()
        assert [n.name for n in asking.nodes()] == ["w1"]
        assert len(keepers.started) == 2

    def test_killed_during_a_wait(self, server: Api, keepers: Keepers, folder: Path) -> None:
        asking = shared(folder, keepers)
        since = asking.wait("node/w1", -1, 0)
        killer = threading.Timer(0.2, lambda: os.kill(keepers.started[0].pid, signal.SIGKILL))
        killer.start()
        asking.wait("node/w1", since, FAR_S)
        assert len(keepers.started) == 2

    def test_counts_of_another_broker_are_not_compared(self, server: Api, keepers: Keepers, folder: Path) -> None:
        asking = shared(folder, keepers)
        asking.wait("node/w1", -1, 0)
        asking._hang_up()
        keepers.started[0].kill()
        keepers.started[0].wait()
        begun_s = WallClock().now_s()
        asking.wait("node/w1", 10**9, FAR_S)
        assert WallClock().now_s() - begun_s < FAR_S / 2

    def test_none_can_be_started(self, server: Api, view: View, folder: Path) -> None:
        server.put("nodes", node("w1"))
        asking = SharedView(lambda: folder, lambda folder: None, lambda: view, WallClock(), start_s=0)
        assert [n.name for n in asking.nodes()] == ["w1"]
        assert asking.wait("node/w1", -1, 0) > 0

    def test_a_path_that_is_too_long_for_a_socket(self, server: Api, view: View, tmp_path: Path) -> None:
        deep = private_folder(tmp_path / ("d" * 100))
        asking = SharedView(lambda: deep, lambda folder: pytest.fail("started"), lambda: view, WallClock())
        assert asking.nodes() == ()


class Poison:
    """Makes a file where it is unpickled."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (self._file,)


def connected_to(folder: Path) -> socket.socket:
    """A connection to a broker that is just starting."""
    until_s = time.monotonic() + FAR_S
    while True:
        channel = socket.socket(socket.AF_UNIX)
        try:
            channel.connect(str(folder / SOCKET))
        except OSError:
            channel.close()
            assert time.monotonic() < until_s
        else:
            return channel


@pytest.mark.skipif(not hasattr(socket, "SO_PEERCRED"), reason="this system does not say who is at the other end")
class TestWhoMayConnect:
    """Our own user alone: what others send is not even unpickled."""

    def test_a_broker_reads_nothing_of_another_user(self, folder: Path, view: View, tmp_path: Path) -> None:
        threading.Thread(target=Broker(folder, view, user=os.getuid() + 1).serve, daemon=True).start()
        channel = connected_to(folder)
        with suppress(OSError):  # it hung up already
            send(channel, Poison(tmp_path / "ran"))
            assert channel.recv(1) == b""
        assert not (tmp_path / "ran").exists()

    def test_a_step_reads_nothing_of_another_users_broker(self, server: Api, folder: Path, view: View) -> None:
        server.put("nodes", node("w1"))
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(folder / SOCKET))
        listener.listen()

        def poison() -> None:
            with suppress(OSError):
                while True:
                    send(listener.accept()[0], Poison(folder / "ran"))

        threading.Thread(target=poison, daemon=True).start()
        mine = os.getuid() + 1  # then the listener, our own, is another user's
        asking = SharedView(lambda: folder, lambda folder: None, lambda: view, WallClock(), start_s=0, user=mine)
        assert [n.name for n in asking.nodes()] == ["w1"]
        listener.close()
        assert not (folder / "ran").exists()

    def test_only_questions_are_answered(self, folder: Path, view: View) -> None:
        how, found = Broker(folder, view)._answer("stop", ())
        assert how == "error"
        assert "no such question" in str(found)
