"""One view for many processes: started by the first, ended by itself, replaced when it dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lifecycle.adapters.broker import SERVED, SOCKET, Broker, SharedView, private_folder
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
        keepers.idle_s = 0.1
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


class TestWhoMayConnect:
    """Whoever may enter the folder; that is its owner alone."""

    def test_a_folder_open_to_others_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "open").mkdir(mode=0o755)
        with pytest.raises(PortError, match="mode 0755"):
            private_folder(tmp_path / "open")

    def test_a_new_one_is_not(self, tmp_path: Path) -> None:
        assert private_folder(tmp_path / "new").stat().st_mode & 0o777 == 0o700

    def test_only_questions_are_answered(self, folder: Path, view: View) -> None:
        how, found = Broker(folder, view)._answer("stop", ())
        assert how == "error"
        assert "no such question" in str(found)
