"""The view of a cluster equals what the server has, whatever happens to its watches."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.adapters.store import STALE_S
from lifecycle.adapters.view import View
from lifecycle.errors import NeedsAttention, PortError
from lifecycle.ports import Move
from tests.lifecycle.adapters.api_server import (
    COLLECTIONS,
    Api,
    api_server,
    attachment,
    budget,
    connected,
    expired_status,
    line,
    node,
    pod,
    volume,
)
from tests.lifecycle.adapters.wire_server import Asked, Reply, StillClock, Wire, free_port, silent_port

LIMIT_S = 10.0
"""A test that waits for longer has failed."""


def eventually(view: View, topic: str, holds: Callable[[], bool]) -> None:
    """Return once it holds, looking whenever the view says that `topic` may have changed."""
    since = -1
    for _ in range(1000):
        if holds():
            return
        before, since = since, view.wait(topic, since, LIMIT_S)
        assert since != before or holds(), f"nothing about {topic} within {LIMIT_S} s"
    pytest.fail(f"{topic} changed a thousand times")


def names(view: View) -> list[str]:
    return sorted(n.name for n in view.nodes())


def requests(wire: Wire, path: str, what: str) -> int:
    """How often a list or a watch of `path` was asked for."""
    watches = {"list": False, "watch": True}[what]
    return sum(a.path == path and ("watch=1" in a.query) is watches for a in wire.asked)


class TestOneListOneWatch:
    """Whoever asks, and however often: the same few requests."""

    def test_a_thousand_reads_cost_no_request(self, server: Api, view: View) -> None:
        for number in range(100):
            server.put("nodes", node(f"w{number}"))
            server.put("pods", pod(f"p{number}", f"w{number}"))
        for number in range(100):
            assert view.node(f"w{number}")
            assert len(view.pods_on(f"w{number}")) == 1
            view.budgets(f"w{number}")
            view.budgets_named(frozenset({"shop/db"}))
            view.attachments_on(f"w{number}")
            view.unready_claimants()
        view.start()
        server.until_watched()
        for path in COLLECTIONS.values():
            assert (requests(server.wire, path, "list"), requests(server.wire, path, "watch")) == (1, 1)

    def test_the_roster_is_asked_for_by_its_name(self, server: Api, view: View) -> None:
        meta = {"namespace": "ingot-system", "name": "ingot-roster"}
        stored = server.put("configmaps", {"metadata": meta, "data": {"roster.json": "{}"}})
        assert view.roster() == ("{}", stored["metadata"]["resourceVersion"])
        of_roster = [a.query for a in server.wire.asked if a.path == COLLECTIONS["configmaps"]]
        assert all("fieldSelector=metadata.name%3Dingot-roster" in query for query in of_roster)

    def test_what_nobody_asks_for_is_not_watched(self, server: Api, view: View) -> None:
        view.nodes()
        server.until_watched(1)
        assert {a.path for a in server.wire.asked} == {"/api/v1/nodes"}

    def test_a_change_is_seen_without_asking(self, server: Api, view: View) -> None:
        server.put("nodes", node("w1", ready=False))
        assert view.nodes()[0].ready is False
        server.put("nodes", node("w1"))
        eventually(view, "node/w1", lambda: view.nodes()[0].ready)
        assert requests(server.wire, "/api/v1/nodes", "list") == 1


class TestAWatchGoesOn:
    """Nothing is missed, and nothing is listed twice unless the server has forgotten."""

    def test_an_object_deleted_between_list_and_watch(self, server: Api, view: View) -> None:
        def listed(kind: str = "nodes") -> Reply:
            reply = server._list(kind, {})
            server.delete("nodes", "w1")
            return reply

        server.put("nodes", node("w1"))
        server.put("nodes", node("w2"))
        server.wire.on("GET", "/api/v1/nodes", lambda asked: listed())
        view.nodes()
        eventually(view, "node/w1", lambda: names(view) == ["w2"])
        assert requests(server.wire, "/api/v1/nodes", "list") == 1

    @pytest.mark.parametrize("torn", ["", '{"type": "ADDED", "object": {"metadata": {"na'])
    def test_after_a_disconnect(self, server: Api, view: View, torn: str) -> None:
        server.put("nodes", node("w1"))
        assert names(view) == ["w1"]
        view.start()
        server.until_watched()
        server.cut_watches(torn)
        server.put("nodes", node("w2"))
        eventually(view, "node/w2", lambda: names(view) == ["w1", "w2"])
        assert requests(server.wire, "/api/v1/nodes", "list") == 1
        assert requests(server.wire, "/api/v1/nodes", "watch") >= 2

    def test_from_the_last_bookmark(self, server: Api, view: View) -> None:
        server.put("nodes", node("w1"))
        view.nodes()
        view.start()
        server.until_watched()
        for number in range(5):  # of other kinds: the version goes on, and this watch hears nothing of it
            server.put("pods", pod(f"p{number}", "w1"))
        server.bookmark()
        reached = server.version
        server.put("nodes", node("w2"))  # so that the bookmark was read by the time this one is seen
        eventually(view, "node/w2", lambda: names(view) == ["w1", "w2"])
        server.log = [entry for entry in server.log if entry[0] > reached]
        server.compacted = reached
        server.cut_watches()
        server.put("nodes", node("w3"))
        eventually(view, "node/w3", lambda: names(view) == ["w1", "w2", "w3"])
        assert requests(server.wire, "/api/v1/nodes", "list") == 1

    def test_expired_as_a_status_lists_anew(self, server: Api, view: View) -> None:
        server.put("nodes", node("w1"))
        view.nodes()
        view.start()
        server.until_watched()
        with server.lock:
            server.cut_watches()
            server.delete("nodes", "w1")
            server.put("nodes", node("w2"))
            server.compact()
        eventually(view, "node/w2", lambda: names(view) == ["w2"])
        assert requests(server.wire, "/api/v1/nodes", "list") == 2

    def test_expired_as_an_event_lists_anew(self, server: Api, view: View) -> None:
        server.put("nodes", node("w1"))
        view.nodes()
        view.start()
        server.until_watched()
        with server.lock:
            server.put("nodes", node("w2"))
            server.compact()
        eventually(view, "node/w2", lambda: names(view) == ["w1", "w2"])
        assert requests(server.wire, "/api/v1/nodes", "list") == 2

    @pytest.mark.parametrize("said", [line("SURPRISE", node("w9")), b"<html>login</html>\n", b"[1]\n", b'{"a": 1}\n'])
    def test_after_a_line_that_nobody_understands(self, server: Api, view: View, said: bytes) -> None:
        server.put("nodes", node("w1"))
        server.wire.on("WATCH", "/api/v1/nodes", Reply(stream=iter([said])), server.answer)
        view.nodes()
        view.start()
        server.until_watched()
        server.put("nodes", node("w2"))
        eventually(view, "node/w2", lambda: names(view) == ["w1", "w2"])
        assert requests(server.wire, "/api/v1/nodes", "list") == 2

    def test_when_the_server_is_restarted(self, clock: StillClock) -> None:
        port = free_port()
        refused, pause = threading.Event(), pausing()

        def after_a_failure(seconds: float) -> bool:
            refused.set()
            return pause(seconds)

        view = View(connected(f"http://127.0.0.1:{port}", clock), clock, frozenset(), pause=after_a_failure)
        with api_server(port) as first:
            first.put("nodes", node("w1"))
            assert names(view) == ["w1"]
            view.start()
            first.until_watched()
            stored, version = first.objects, first.version
        assert refused.wait(LIMIT_S), "a watch met no server"
        assert names(view) == ["w1"]
        with api_server(port) as second:
            second.objects, second.version = stored, version
            second.put("nodes", node("w2"))
            eventually(view, "node/w2", lambda: names(view) == ["w1", "w2"])
            assert requests(second.wire, "/api/v1/nodes", "list") == 0
            view.stop()


def pausing() -> Callable[[float], bool]:
    """Pauses of no length worth mention."""
    never = threading.Event()
    return lambda _: never.wait(0.01)


def noting(said: list[float]) -> Callable[[float], bool]:
    """Pauses of no length at all; how long they should have been is kept in `said`."""

    def pause(seconds: float) -> bool:
        said.append(seconds)
        return False

    return pause


class TestStorms:
    """429 and 5xx are waited out, longer and longer, and as long as the server asks for."""

    @pytest.mark.parametrize(
        ("answers", "paused"),
        [
            ([Reply(503, "")] * 7, [0.5, 1, 2, 4, 8, 10, 10]),
            ([Reply(429, "", {"Retry-After": "7"}), Reply(429, "", {"Retry-After": "1"})], [7, 1]),
            ([Reply(429, "", {"Retry-After": "86400"}), Reply(429, "", {"Retry-After": "0"})], [30, 0.5]),
            ([Reply(reset=True), Reply(500, "etcdserver: leader changed")], [0.5, 1]),
        ],
    )
    @pytest.mark.parametrize("verb", ["GET", "WATCH"])
    def test_pauses(self, server: Api, clock: StillClock, answers: list[Reply], paused: list[float], verb: str) -> None:
        server.put("nodes", node("w1"))
        said: list[float] = []
        for path in COLLECTIONS.values():
            server.wire.on(verb, path, *answers, server.answer)
        view = View(connected(server.wire.url, clock), clock, frozenset(), noting(said), lambda: 0)
        view.start()
        server.until_watched()
        assert names(view) == ["w1"]
        assert sorted(said) == sorted(paused * len(COLLECTIONS))
        view.stop()

    @pytest.mark.parametrize(
        ("answer", "first", "longest"),
        [(Reply(503, ""), 0.25, 0.5), (Reply(429, "", {"Retry-After": "8"}), 8, 12)],
    )
    def test_leave_a_share_of_each_pause_to_chance(
        self, server: Api, clock: StillClock, answer: Reply, first: float, longest: float
    ) -> None:
        """Watches that failed together do not come back together, and none before the server asked for it."""
        for path in COLLECTIONS.values():
            server.wire.on("GET", path, answer, server.answer)
        said: list[float] = []
        view = View(connected(server.wire.url, clock), clock, frozenset(), noting(said))
        view.start()
        server.until_watched()
        assert len(set(said)) == len(COLLECTIONS)
        assert all(first <= pause <= longest for pause in said)
        view.stop()

    def test_a_watch_that_ends_at_once_does_not_spin(self, server: Api, clock: StillClock) -> None:
        for path in COLLECTIONS.values():
            server.wire.on("WATCH", path, *(Reply(stream=iter([])) for _ in range(4)), server.answer)
        said: list[float] = []
        view = View(connected(server.wire.url, clock), clock, frozenset(), noting(said), lambda: 0)
        view.start()
        server.until_watched()
        assert sorted(said) == sorted([0.5, 1, 2] * len(COLLECTIONS))
        view.stop()

    def test_one_that_is_expired_as_soon_as_it_is_listed_does_not_spin(self, server: Api, clock: StillClock) -> None:
        for path in COLLECTIONS.values():
            server.wire.on("WATCH", path, *[expired_status()] * 3, server.answer)
        said: list[float] = []
        view = View(connected(server.wire.url, clock), clock, frozenset(), noting(said), lambda: 0)
        view.start()
        server.until_watched()
        assert sorted(said) == sorted([0.5, 1, 2] * len(COLLECTIONS))
        view.stop()


def until_watching(view: View, *kinds: str) -> None:
    """Return once the view sees every change of these kinds."""
    pause = pausing()
    for _ in range(1000):
        if all(view._store.kinds[kind].lost_s is None for kind in kinds):
            return
        pause(0)
    pytest.fail(f"{kinds} are not watched")


class TestTrust:
    """What was not watched for too long is not read; nothing stands for an empty cluster."""

    def test_one_that_expired_is_lost_until_it_is_listed(self, server: Api, view: View, clock: StillClock) -> None:
        server.put("nodes", node("w1"))
        view.nodes()
        view.start()
        server.until_watched()
        server.cut_watches()
        with server.lock:  # each is opened again, so that it goes on from a version that was good once
            assert server.lock.wait_for(lambda: server.opened >= 2 * len(COLLECTIONS), LIMIT_S)
        listing, may_answer = threading.Event(), threading.Event()

        def slowly(asked: Asked) -> Reply:
            listing.set()
            assert may_answer.wait(LIMIT_S)
            return server.answer(asked)

        server.wire.on("GET", "/api/v1/nodes", slowly)
        with server.lock:
            server.delete("nodes", "w1")
            server.compact()
        assert listing.wait(LIMIT_S)
        assert names(view) == ["w1"]  # not for long yet
        clock.now += STALE_S + 1
        with pytest.raises(PortError, match=r"watch of nodes: .*nothing for 21 s"):
            view.nodes()
        may_answer.set()
        until_watching(view, "nodes")
        assert names(view) == []

    def test_a_watch_lost_for_long_is_named_with_its_kind(self, server: Api, view: View, clock: StillClock) -> None:
        server.put("nodes", node("w1"))
        view.nodes()
        view.start()
        server.until_watched()
        server.wire.on("WATCH", "/api/v1/nodes", Reply(503, "apiserver is shutting down"))
        server.cut_watches()
        failing = requests(server.wire, "/api/v1/nodes", "watch") + 3
        while requests(server.wire, "/api/v1/nodes", "watch") < failing:
            assert view.pods_on("w1") == ()
        until_watching(view, "pods", "persistentvolumes", "daemonsets")
        assert names(view) == ["w1"]  # not for long yet
        clock.now += STALE_S + 1
        with pytest.raises(
            PortError, match=r"watch of nodes: .*nothing for 21 s; last: HTTP 503 apiserver is shutting"
        ):
            view.nodes()
        view.pods_on("w1")  # the others are watched
        server.wire.on("WATCH", "/api/v1/nodes", server.answer)
        until_watching(view, "nodes")
        assert names(view) == ["w1"]

    def test_a_kind_that_does_not_exist_is_empty(self, wire: Wire, view: View) -> None:
        assert view.attachments_on("w1") == ()

    @pytest.mark.parametrize("status", [401, 403])
    def test_a_refusal_is_said_at_once(self, wire: Wire, view: View, status: int) -> None:
        wire.on("GET", "/api/v1/nodes", Reply(status, {"message": "nodes is forbidden"}))
        with pytest.raises(PortError, match=rf"HTTP {status} nodes is forbidden"):
            view.nodes()

    def test_nobody_listens(self, clock: StillClock) -> None:
        view = View(connected(f"http://127.0.0.1:{silent_port()}", clock), clock, frozenset(), pausing())
        with pytest.raises(PortError, match="NewConnectionError"):
            view.nodes()
        view.stop()

    def test_what_only_a_person_can_mend_is_no_port_error(self, clock: StillClock) -> None:
        from lifecycle.adapters.kube_api import KubeApi

        def connect() -> object:
            raise NeedsAttention("kubeconfig x", "nothing", "name another")

        view = View(KubeApi(connect, clock), clock, frozenset(), pausing())  # type: ignore[arg-type]  # it never returns
        with pytest.raises(NeedsAttention):
            view.nodes()
        view.stop()


class TestWakesWhomItConcerns:
    """A thousand steps may wait; one pod's event wakes those that wait for its node."""

    def changed(self, server: Api, view: View, change: Callable[[], object], topics: list[str]) -> list[bool]:
        """Of each topic, whether the change was announced. A Node made afterwards tells that it was seen."""
        view.pods_on("w1")
        view.attachments_on("w1")
        view.nodes()
        view.roster()
        view.start()
        server.until_watched()
        since = view.wait("node/none", 0, 0)
        change()
        seen: list[bool] = []
        for topic in topics:
            now = view.wait(topic, since, LIMIT_S if topic == topics[0] else 0)
            seen.append(now > since and view._store.topics._last.get(topic, 0) > since)
        return seen

    def test_a_pods_event(self, server: Api, view: View) -> None:
        server.put("pods", pod("a", "w1"))
        moved = lambda: server.put("pods", pod("a", "w1", ready=False))  # noqa: E731  # a change, named
        topics = ["pods/w1", "pods/w2", "node/w1", "claimants", "roster"]
        assert self.changed(server, view, moved, topics) == [True, False, False, False, False]

    def test_a_pod_with_claims_concerns_the_claimants(self, server: Api, view: View) -> None:
        server.put("pods", pod("a", "w1", claims=("data",)))
        change = lambda: server.put("pods", pod("a", "w1", claims=("data",), ready=False))  # noqa: E731
        assert self.changed(server, view, change, ["claimants", "pods/w1", "roster"]) == [True, True, False]

    def test_an_attachment_concerns_its_node(self, server: Api, view: View) -> None:
        server.put("volumeattachments", attachment("va", "w1", "pv"))
        gone = lambda: server.delete("volumeattachments", "va")  # noqa: E731
        assert self.changed(server, view, gone, ["node/w1", "node/w2", "pods/w1"]) == [True, False, False]

    def test_a_node_that_is_ready_again_concerns_whoever_waits_for_a_slot(self, server: Api, view: View) -> None:
        server.put("nodes", node("w1", ready=False))
        back = lambda: server.put("nodes", node("w1"))  # noqa: E731
        assert self.changed(server, view, back, ["roster", "node/w1", "node/w2"]) == [True, True, False]

    def test_a_budget_that_allows_more_concerns_the_nodes_of_its_pods(self, server: Api, view: View) -> None:
        server.put("pods", pod("a", "w1", labels={"app": "shop"}))
        server.put("pods", pod("b", "w2", labels={"app": "other"}))
        shop = {"matchLabels": {"app": "shop"}}
        server.put("poddisruptionbudgets", budget("shop", shop, disruptionsAllowed=0))
        gives_way = lambda: server.put("poddisruptionbudgets", budget("shop", shop, disruptionsAllowed=1))  # noqa: E731
        topics = ["pods/w1", "pods/w2", "node/w1", "claimants", "roster"]
        assert self.changed(server, view, gives_way, topics) == [True, False, False, False, False]

    @pytest.mark.parametrize(("before", "after", "told"), [(0, 1, True), (1, 0, True), (1, 2, False), (1, None, True)])
    def test_a_budget_that_begins_or_ceases_to_allow_something(
        self, server: Api, view: View, before: int, after: int | None, told: bool
    ) -> None:
        other = {"matchLabels": {"app": "other"}}
        server.put("pods", pod("b", "w9", labels={"app": "other"}))
        server.put("poddisruptionbudgets", budget("other", other, disruptionsAllowed=1))
        server.put("poddisruptionbudgets", budget("shop", {}, disruptionsAllowed=before))

        def turn() -> None:
            if after is None:
                server.delete("poddisruptionbudgets", "shop/shop")
            else:
                server.put("poddisruptionbudgets", budget("shop", {}, disruptionsAllowed=after))
            server.put("poddisruptionbudgets", budget("other", other, disruptionsAllowed=2))

        assert self.changed(server, view, turn, ["pods/w9", "budgets"]) == [True, told]

    def test_a_budget_that_allows_less_concerns_nobody(self, server: Api, view: View) -> None:
        server.put("pods", pod("a", "w1", labels={"app": "shop"}))
        shop = {"matchLabels": {"app": "shop"}}
        server.put("poddisruptionbudgets", budget("shop", shop, disruptionsAllowed=2))

        def spend() -> None:
            server.put("poddisruptionbudgets", budget("shop", shop, disruptionsAllowed=1))
            server.put("poddisruptionbudgets", budget("last", shop, disruptionsAllowed=0))
            server.put("nodes", node("w2"))

        assert self.changed(server, view, spend, ["node/w2", "pods/w1"]) == [True, False]

    def test_a_heartbeat_concerns_nobody(self, server: Api, view: View) -> None:
        server.put("nodes", node("w1"))

        def beat() -> None:
            server.put("nodes", node("w1", images=[{"names": ["x"]}]))
            server.put("nodes", node("w2"))

        assert self.changed(server, view, beat, ["node/w2", "node/w1"]) == [True, False]

    def test_what_changed_before_the_wait_began_is_not_missed(self, server: Api, view: View) -> None:
        view.nodes()
        view.start()
        server.until_watched()
        since = view.wait("node/w1", 0, 0)
        server.put("nodes", node("w1"))
        eventually(view, "node/w1", lambda: names(view) == ["w1"])
        assert view.wait("node/w1", since, LIMIT_S) > since


class TestMoves:
    """Each stage of a volume's way to another node, at the moment when it showed."""

    def test_of_a_volume_with_its_pod(self, server: Api, view: View, clock: StillClock) -> None:
        start_s, name = clock.now, "kubernetes.io/csi/csi.example^pv-1"
        server.put("persistentvolumes", volume("pv-1", "data"))
        server.put("nodes", node("w1", volumesInUse=[name]))
        server.put("volumeattachments", attachment("va-1", "w1", "pv-1"))
        server.put("pods", pod("db-0", "w1", claims=("data",)))
        view.nodes(), view.attachments_on("w1"), view.pods_on("w1")
        view.start()
        server.until_watched()

        def stage(after_s: float, topic: str, change: Callable[[], object], holds: Callable[[Move], bool]) -> None:
            clock.now = start_s + after_s
            change()
            eventually(view, topic, lambda: any(holds(m) for m in view.moves("w1")))

        ending = pod("db-0", "w1", claims=("data",), deletionTimestamp="2027-01-15T08:00:30Z")
        there, again = attachment("va-2", "w2", "pv-1"), pod("db-0", "w2", claims=("data",), uid="new")
        stage(1, "pods/w1", lambda: server.put("pods", ending), lambda m: m.evicted_s is not None)
        stage(2, "node/w1", lambda: server.put("nodes", node("w1")), lambda m: m.unmounted_s is not None)
        stage(3, "node/w1", lambda: server.delete("volumeattachments", "va-1"), lambda m: m.detached_s is not None)
        stage(4, "node/w2", lambda: server.put("volumeattachments", there), lambda m: m.attached_s is not None)
        stage(5, "pods/w2", lambda: server.put("pods", again), lambda m: m.ready_s is not None)
        (move,) = view.moves("w1")
        assert (move.volume, move.claim, move.pod, move.to_node) == ("pv-1", "shop/data", "shop/db-0", "w2")
        moments = (move.evicted_s, move.unmounted_s, move.detached_s, move.attached_s, move.ready_s)
        assert moments == tuple(start_s + after_s for after_s in (1, 2, 3, 4, 5))
        assert view.moves("w2") == ()


# ---------------------------------------------------------------- whatever happens

CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("node"), st.integers(0, 3), st.booleans()),
        st.tuples(st.just("pod"), st.integers(0, 4), st.sampled_from(["", "w0", "w1"])),
        st.tuples(st.just("delete"), st.sampled_from(["nodes", "pods"]), st.integers(0, 4)),
        st.tuples(st.just("cut"), st.sampled_from(["", '{"type": "ADDED", "obj']), st.none()),
        st.tuples(st.just("compact"), st.none(), st.none()),
        st.tuples(st.just("bookmark"), st.none(), st.none()),
    ),
    max_size=12,
)


def apply(server: Api, change: tuple[str, object, object]) -> None:
    what, one, two = change
    if what == "node":
        server.put("nodes", node(f"w{one}", ready=two))
    elif what == "pod":
        labels = {"app": "db" if two else "web"}
        server.put("pods", pod(f"p{one}", str(two), labels=labels, claims=("data",) if two else (), ready=one != 0))
    elif what == "delete":
        key = f"w{two}" if one == "nodes" else f"shop/p{two}"
        if key in server.objects[str(one)]:
            server.delete(str(one), key)
    elif what == "cut":
        server.cut_watches(str(one))
    elif what == "compact":
        server.compact()
    else:
        server.bookmark()


@contextmanager
def seen(server: Api) -> Iterator[View]:
    clock = StillClock()
    view = View(connected(server.wire.url, clock), clock, frozenset(), pausing())
    view.nodes(), view.pods_on("w1"), view.budgets("w1")
    yield view
    view.stop()


class TestTheViewEqualsTheServer:
    """After any sequence of changes, disconnects and forgotten versions."""

    @given(CHANGES)
    @settings(max_examples=25, deadline=None, derandomize=True)
    def test_in_all_that_steps_ask(self, changes: list[tuple[str, object, object]]) -> None:
        with api_server() as server:
            server.put("poddisruptionbudgets", budget("db", {"matchLabels": {"app": "db"}}))
            with seen(server) as view:
                for change in changes:
                    apply(server, change)
                server.put("nodes", node("last-node"))
                server.put("pods", pod("last-pod", "last"))
                eventually(view, "node/last-node", lambda: "last-node" in names(view))
                eventually(view, "pods/last", lambda: len(view.pods_on("last")) == 1)
                self.compare(server, view)

    def compare(self, server: Api, view: View) -> None:
        pods = server.objects["pods"]
        assert {n.name: n.ready for n in view.nodes()} == {
            key: item["status"]["conditions"][0]["status"] == "True" for key, item in server.objects["nodes"].items()
        }
        for on in ("w0", "w1"):
            here = {key for key, item in pods.items() if item["spec"]["nodeName"] == on}
            assert {s.pod.key for s in view.pods_on(on)} == here
            assert {key for b in view.budgets(on) for key in b.pods} == here
        waiting = {key for key, item in pods.items() if item["spec"]["volumes"] and key == "shop/p0"}
        assert {p.key for p in view.unready_claimants()} == waiting
