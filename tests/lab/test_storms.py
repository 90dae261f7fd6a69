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
from tests.lab.eventually import eventually
from tests.lab.leaving import Cluster, tap

pytestmark = pytest.mark.lab

LEAVE_S = 240
"""For a leave in a storm on a loaded machine: longer than any of its own limits."""

ERRORS = 15
"""In a row: each watch fails some times, and the step's own request too."""

FAULTS = (
    Fault(429, retry_after_s=1),
    Fault(503),
    Fault(),
    Fault(when=When.AFTER),
    Fault(500, when=When.AFTER),
    Fault(when=When.MIDST),
)


def storm(asked: Asked) -> Fault | None:
    """Every other request meets a fault. Which one its path decides, so that all of them are met early."""
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

    def test_of_errors_only_in_the_middle_of_a_drain(self, trio: Cluster, proxy: Proxy) -> None:
        trio.app("web", replicas=4, on="s1", budget=3)
        begun = 0

        def fails(asked: Asked) -> Fault | None:
            return Fault(503) if len(proxy.exchanges) - begun < ERRORS else None

        def break_off() -> None:
            nonlocal begun
            begun, proxy.rule = len(proxy.exchanges), fails
            proxy.cut()

        stormy = replace(trio, kubeconfig=proxy.kubeconfig)
        assert stormy.leave("s1", kubernetes=tap("evict", break_off)) == "s1 left"
        trio.check_left("s1", web=4)
        assert sum(exchange.fault is not None for exchange in proxy.exchanges) == ERRORS


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
