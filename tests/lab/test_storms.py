"""Whole leaves while the API server throttles, fails, breaks off, and forgets what a watch wants to go on from."""

from __future__ import annotations

import ssl
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import httpx
import pytest

from lab import etcd
from lab.lab import Lab
from lab.proxy import Asked, Fault, Proxy, When, undisturbed
from lifecycle.adapters.wire import ATTEMPTS
from tests.lab.eventually import eventually
from tests.lab.leaving import Cluster, tap

pytestmark = pytest.mark.lab

LEAVE_S = 240
"""For a leave in a storm on a loaded machine: longer than any of its own limits."""

FAULTS = (
    Fault(429, retry_after_s=1),
    Fault(503),
    Fault(),
    Fault(when=When.AFTER),
    Fault(500, when=When.AFTER),
    Fault(when=When.MIDST),
)


WRITES = (Fault(when=When.AFTER), Fault(503), None)
"""For compare-and-swaps: one that is carried out and must not be done again, and one that must."""


def storm(asked: Asked) -> Fault | None:
    """Every other request meets a fault. Which one its path decides, so that all of them are met early."""
    if asked.method == "PUT":
        return WRITES[asked.turn % len(WRITES)]
    if asked.turn % 2:
        return None
    return FAULTS[(asked.turn // 2 + zlib.crc32(asked.path.encode())) % len(FAULTS)]


class TestStorm:
    """Nothing is lost, done twice or left half done: what may have been carried out is looked up."""

    def test_of_every_fault_that_there_is(self, trio: Cluster, proxy: Proxy) -> None:
        trio.app("web", replicas=4, on="s1", budget=3)
        trio.app("db", replicas=1, on="s1", claim="data")
        proxy.rule = storm
        assert replace(trio, kubeconfig=proxy.kubeconfig).leave("s1") == "s1 left"
        trio.check_left("s1", web=4, db=1)
        assert {exchange.fault for exchange in proxy.exchanges} == {None, *FAULTS}
        assert [e for e in proxy.exchanges if e.asked.watch and e.fault is not None]

    def test_of_errors_only_until_a_request_is_given_up(self, trio: Cluster, proxy: Proxy) -> None:
        trio.app("web", replicas=2, on="s1", budget=1)

        def failed() -> int:
            """How many evictions did."""
            return sum(e.fault is not None and e.asked.path.endswith("/eviction") for e in proxy.exchanges)

        def break_off() -> None:
            proxy.rule = lambda _: Fault(503) if failed() <= 2 * ATTEMPTS else None
            proxy.cut()

        stormy = replace(trio, kubeconfig=proxy.kubeconfig)
        assert stormy.leave("s1", kubernetes=tap("evict", break_off)) == "s1 left"
        trio.check_left("s1", web=2)
        assert failed() > 2 * ATTEMPTS


class TestExpired:
    """A view that was blind for longer than the server remembers lists anew, and goes by what it finds."""

    def test_watch_in_the_middle_of_a_leave(self, lab: Lab, trio: Cluster, proxy: Proxy) -> None:
        trio.app("web", replicas=3, on="s1")
        blind = threading.Event()

        def go_blind() -> None:
            proxy.rule = lambda asked: Fault(503) if asked.watch else None
            proxy.cut()
            blind.set()

        stormy, goes_blind = replace(trio, kubeconfig=proxy.kubeconfig), tap("evict", go_blind)
        with ThreadPoolExecutor(1) as pool:
            leaving = pool.submit(stormy.leave, "s1", kubernetes=goes_blind)
            assert blind.wait(LEAVE_S)
            kubernetes = trio.ports().kubernetes
            eventually(lambda: not kubernetes.pods_on("s1"), "the pods to go, unseen by the leave")
            compact(lab)
            lab.restart_apiserver(kill=True)
            assert not leaving.done()
            proxy.rule = undisturbed
            assert leaving.result(LEAVE_S) == "s1 left"
        trio.check_left("s1", web=3)
        expired = {e.asked.path for e in proxy.exchanges if e.asked.watch and b'"code":410' in e.begin}
        assert "/api/v1/pods" in expired


def compact(lab: Lab) -> None:
    """etcd forgets everything but what is there now, as it does every five minutes for a real API server."""
    client = etcd.client(lab.layout)
    context = ssl.create_default_context(cafile=str(lab.layout.etcd_authority().pair.certificate))
    context.load_cert_chain(client.certificate, client.key)
    with httpx.Client(base_url=lab.layout.etcd_endpoints[0], verify=context, trust_env=False, timeout=30) as gateway:
        status = gateway.post("/v3/maintenance/status", json={}).raise_for_status().json()
        body = {"revision": status["header"]["revision"], "physical": True}
        gateway.post("/v3/kv/compaction", json=body).raise_for_status()
