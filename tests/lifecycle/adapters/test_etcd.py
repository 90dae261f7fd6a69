"""The etcd adapter against gateways that answer as etcd 3.6 does: 64-bit numbers are text, zeros are absent."""

from __future__ import annotations

import functools
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from lifecycle.adapters.etcd import GatewayEtcd
from lifecycle.adapters.tls import Authority, client_context
from lifecycle.adapters.wire import HttpJson
from lifecycle.errors import PortError
from lifecycle.ports import Member
from tests.lifecycle.adapters.authority import ClusterAuthority
from tests.lifecycle.adapters.wire_server import Reply, StillClock, Wire, serving, silent_port

LIST, STATUS = "/v3/cluster/member/list", "/v3/maintenance/status"
MOVE, REMOVE = "/v3/maintenance/transfer-leadership", "/v3/cluster/member/remove"
IDS = (10501334649042878790, 9372538179322589801, 18249187646912138824)
"""Above 2^53: a reader that goes through floating point gets another member."""


def http_of(clock: StillClock) -> HttpJson:
    return HttpJson(clock, tls=lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))  # reads no trust store: quicker


class Trio:
    """Three members; the second leads."""

    def __init__(self, wires: list[Wire]) -> None:
        self.wires = wires
        self.entries: list[dict[str, Any]] = [
            {"ID": str(i), "name": f"cp{n}", "clientURLs": [w.url]}
            for n, (i, w) in enumerate(zip(IDS, wires, strict=True), 1)
        ]
        for n, wire in enumerate(wires):
            wire.on("POST", LIST, Reply(body={"header": {}, "members": self.entries}))
            self.status(n, 500)

    def status(self, n: int, *applied: int, leader: int = IDS[1], term: int = 4, **over: Any) -> None:
        replies = [
            Reply(
                body={
                    "leader": str(leader),
                    "raftTerm": str(term),
                    "raftAppliedIndex": str(a),
                    "raftIndex": str(a),
                    **over,
                }
            )
            for a in applied
        ]
        self.wires[n].on("POST", STATUS, *replies)


@pytest.fixture
def trio() -> Iterator[Trio]:
    with ExitStack() as stack:
        yield Trio([stack.enter_context(serving()) for _ in IDS])


@pytest.fixture
def etcd(trio: Trio, clock: StillClock) -> GatewayEtcd:
    return GatewayEtcd(http_of(clock), lambda: [w.url for w in trio.wires])


class TestMembers:
    """Health and lag come from each member itself."""

    def test_a_healthy_three(self, trio: Trio, etcd: GatewayEtcd) -> None:
        assert etcd.members() == tuple(
            Member(f"{i:x}", f"cp{n}", voter=True, healthy=True, leader=i == IDS[1], lag=0)
            for n, i in enumerate(IDS, 1)
        )
        assert trio.wires[0].asked[0].body == {"linearizable": True}

    def test_one_that_is_behind(self, trio: Trio, etcd: GatewayEtcd) -> None:
        trio.status(2, 420)
        assert [m.lag for m in etcd.members()] == [0, 0, 80]

    def test_one_that_was_only_asked_earlier_is_not_behind(self, trio: Trio, etcd: GatewayEtcd) -> None:
        trio.status(0, 490, 505)
        assert [m.lag for m in etcd.members()] == [0, 0, 0]

    def test_one_that_is_down_is_unhealthy_not_an_error(self, trio: Trio, etcd: GatewayEtcd, clock: StillClock) -> None:
        trio.entries[2]["clientURLs"] = [f"http://127.0.0.1:{silent_port()}"]
        assert [m.healthy for m in etcd.members()] == [True, True, False]
        assert clock.slept == []

    def test_one_with_an_alarm_is_unhealthy(self, trio: Trio, etcd: GatewayEtcd) -> None:
        trio.status(0, 500, errors=["memberID:1 alarm:NOSPACE"])
        assert [m.healthy for m in etcd.members()] == [False, True, True]

    def test_one_without_a_leader_is_unhealthy_and_does_not_say_who_leads(self, trio: Trio, etcd: GatewayEtcd) -> None:
        trio.status(0, 500, leader=0, term=5)
        members = etcd.members()
        assert [m.healthy for m in members] == [False, True, True]

    def test_the_newest_term_says_who_leads(self, trio: Trio, etcd: GatewayEtcd) -> None:
        trio.status(0, 500, leader=IDS[0], term=3)
        assert [m.leader for m in etcd.members()] == [False, True, False]

    @pytest.mark.parametrize(
        ("peers", "name"),
        [
            (["https://10.0.0.4:2380"], "cp4"),
            (["https://[fd00:0::4]:2380"], "cp4"),
            (["https://10.0.0.5:2380"], "7 (https://10.0.0.5:2380, never started)"),
            (["https://[::2380"], "7 (https://[::2380, never started)"),
            ([], "7 (no peer URL, never started)"),
        ],
    )
    def test_a_learner_that_never_started(self, trio: Trio, clock: StillClock, peers: list[str], name: str) -> None:
        trio.entries.append({"ID": "7", "peerURLs": peers, "isLearner": True})
        nodes = {"10.0.0.4": "cp4", "fd00::4": "cp4"}
        etcd = GatewayEtcd(http_of(clock), lambda: [trio.wires[0].url], lambda: nodes)
        assert etcd.members()[3] == Member("7", name, voter=False, healthy=False, leader=False, lag=500)

    def test_one_that_never_started_has_a_name_when_the_api_is_silent(self, trio: Trio, clock: StillClock) -> None:
        def silent() -> dict[str, str]:
            raise PortError("Kubernetes API", "no answer", "wait")

        trio.entries.append({"ID": "7", "name": "", "peerURLs": ["https://10.0.0.4:2380"]})
        etcd = GatewayEtcd(http_of(clock), lambda: [trio.wires[0].url], silent)
        assert etcd.members()[3].name == "7 (https://10.0.0.4:2380, never started)"

    def test_nodes_are_not_asked_for_while_all_have_names(self, trio: Trio, clock: StillClock) -> None:
        def never() -> dict[str, str]:
            raise AssertionError

        assert len(GatewayEtcd(http_of(clock), lambda: [trio.wires[0].url], never).members()) == 3

    def test_the_next_endpoint_is_asked_when_one_is_down(self, trio: Trio, clock: StillClock) -> None:
        endpoints = [f"http://127.0.0.1:{silent_port()}", trio.wires[2].url]
        assert len(GatewayEtcd(http_of(clock), lambda: endpoints).members()) == 3


class TestChanges:
    """Leadership is asked of the leader; both changes may be asked for twice."""

    def test_leadership_moves_by_the_leader(self, trio: Trio, etcd: GatewayEtcd) -> None:
        trio.wires[1].on("POST", MOVE, Reply(body={"header": {}}))
        etcd.move_leader(Member(f"{IDS[2]:x}", "cp3", True, True, False))
        assert [a.body for a in trio.wires[1].asked if a.path == MOVE] == [{"targetID": str(IDS[2])}]

    def test_leadership_that_is_there_already_is_left(self, trio: Trio, etcd: GatewayEtcd) -> None:
        etcd.move_leader(Member(f"{IDS[1]:x}", "cp2", True, True, True))
        assert not [a for w in trio.wires for a in w.asked if a.path == MOVE]

    def test_no_leader_is_an_error(self, trio: Trio, etcd: GatewayEtcd) -> None:
        for n in range(3):
            trio.status(n, 500, leader=0)
        with pytest.raises(PortError, match=r"leader to cp3.*no member that leads"):
            etcd.move_leader(Member(f"{IDS[2]:x}", "cp3", True, True, False))

    def test_a_member_is_removed_by_its_whole_id(self, trio: Trio, etcd: GatewayEtcd) -> None:
        trio.wires[0].on("POST", REMOVE, Reply(body={"header": {}, "members": []}))
        etcd.remove(Member(f"{IDS[2]:x}", "cp3", True, True, False))
        assert trio.wires[0].asked[-1].body == {"ID": str(IDS[2])}

    def test_a_member_that_is_gone_is_no_error(self, trio: Trio, etcd: GatewayEtcd) -> None:
        gone = {"error": "etcdserver: member not found", "code": 5, "message": "etcdserver: member not found"}
        trio.wires[0].on("POST", REMOVE, Reply(404, gone))
        etcd.remove(Member("7", "cp3", True, True, False))

    def test_a_removal_that_is_refused_says_why(self, trio: Trio, etcd: GatewayEtcd) -> None:
        refused = {"error": "etcdserver: unhealthy cluster", "code": 14, "message": "etcdserver: unhealthy cluster"}
        for wire in trio.wires:
            wire.on("POST", REMOVE, Reply(503, refused))
        with pytest.raises(PortError, match=r"etcd member cp3, remove.*HTTP 503.*unhealthy cluster.*etcdctl"):
            etcd.remove(Member(f"{IDS[2]:x}", "cp3", True, True, False))


class TestTls:
    """A client certificate signed by etcd's own authority."""

    def test_the_gateway_lets_us_in(self, clock: StillClock, cluster: ClusterAuthority) -> None:
        with serving(cluster.server_context()) as wire:
            wire.on("POST", LIST, Reply(body={"members": [{"ID": "7", "name": "cp1"}]}))
            tls = functools.partial(client_context, cluster.authority, "ingot", "ingot", cluster.now_s)
            etcd = GatewayEtcd(HttpJson(clock, tls=tls), lambda: [wire.url])
            assert [m.name for m in etcd.members()] == ["cp1"]

    def test_another_authoritys_gateway_is_refused(
        self, clock: StillClock, cluster: ClusterAuthority, other_cluster: ClusterAuthority
    ) -> None:
        with serving(other_cluster.server_context()) as wire:
            tls = functools.partial(client_context, cluster.authority, "ingot", "ingot", cluster.now_s)
            etcd = GatewayEtcd(HttpJson(clock, tls=tls), lambda: [wire.url])
            with pytest.raises(PortError, match="CERTIFICATE_VERIFY_FAILED"):
                etcd.members()

    def test_an_authority_that_is_none_is_named(self) -> None:
        with pytest.raises(PortError, match=r"certificate authority etcd-ca.*PEM"):
            client_context(Authority("etcd-ca", "c", "k"), "ingot", "ingot", 1_800_000_000)


class TestHostileWire:
    """What is no gateway is never taken for an empty cluster."""

    @pytest.mark.parametrize(
        "reply", [Reply(body="404 page not found", status=404), Reply(body="<html>"), Reply(body={})]
    )
    def test_something_else_answers(self, trio: Trio, etcd: GatewayEtcd, reply: Reply) -> None:
        for wire in trio.wires:
            wire.on("POST", LIST, reply)
        with pytest.raises(PortError, match="etcd member list"):
            etcd.members()

    def test_a_number_that_is_none(self, trio: Trio, etcd: GatewayEtcd) -> None:
        trio.status(0, 500, raftAppliedIndex="many")
        with pytest.raises(PortError, match="raftAppliedIndex 'many'"):
            etcd.members()

    def test_nowhere_to_ask(self, clock: StillClock) -> None:
        with pytest.raises(PortError, match="INGOT_ETCD_ENDPOINTS"):
            GatewayEtcd(http_of(clock), tuple).members()
