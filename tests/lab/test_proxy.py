"""The lab's proxy makes the faults it says, and none by itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from lab.fleet import Fleet
from lab.lab import Lab
from lab.layout import ADMIN_GROUP
from lab.proxy import Asked, Fault, Proxy, When, in_turn, undisturbed
from lifecycle.adapters.clock import WallClock
from lifecycle.adapters.kube_api import KubeApi, from_kubeconfig
from lifecycle.errors import PortError
from tests.lab.eventually import eventually
from tests.lab.test_lab import trusting

pytestmark = pytest.mark.lab

NODES = "/api/v1/nodes"
MAPS = "/api/v1/namespaces/default/configmaps"


@pytest.fixture
def client(lab: Lab, proxy: Proxy) -> Iterator[httpx.Client]:
    """The administrator, who tries nothing twice."""
    yield from connected(lab, proxy, "admin")


def connected(lab: Lab, proxy: Proxy, name: str) -> Iterator[httpx.Client]:
    pair = lab.layout.authority().client(name, name, ADMIN_GROUP)
    context = trusting(lab.layout.authority().pair.certificate)
    context.load_cert_chain(pair.certificate, pair.key)
    api = from_kubeconfig(proxy.kubeconfig)
    with httpx.Client(base_url=str(api.configuration.host), verify=context, trust_env=False, timeout=30) as client:
        yield client


def named(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}


class TestUndisturbed:
    """What passes through is as if there were no proxy."""

    def test_its_user_is_known_by_his_name(self, proxy: Proxy, client: httpx.Client) -> None:
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        said = client.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", json=review).json()
        assert said["status"]["userInfo"]["username"] == "admin"

    def test_nobody_else_is_served(self, lab: Lab, proxy: Proxy) -> None:
        for other in connected(lab, proxy, "somebody-else"):
            with pytest.raises(httpx.TransportError):
                other.get(NODES)
        assert proxy.exchanges == []

    def test_a_watch_comes_as_it_happens(self, proxy: Proxy, client: httpx.Client, fleet: Fleet) -> None:
        with client.stream("GET", MAPS, params={"watch": "1", "timeoutSeconds": "60"}) as watch:
            lines = watch.iter_lines()
            fleet.api.ask("map", "POST", MAPS, body=named("seen-by-the-watch"))
            assert any("seen-by-the-watch" in line for line in lines)

    def test_an_answer_and_its_refusal(self, proxy: Proxy, client: httpx.Client) -> None:
        assert client.get(f"{NODES}/w1").json()["metadata"]["name"] == "w1"
        assert client.get(f"{NODES}/none").status_code == httpx.codes.NOT_FOUND
        assert [exchange.status for exchange in proxy.exchanges] == [200, 404]


class TestFaults:
    """Each at its place on a request's way."""

    def test_an_answer_of_its_own(self, proxy: Proxy, client: httpx.Client) -> None:
        proxy.rule = lambda _: Fault(429, retry_after_s=7)
        answer = client.post(MAPS, json=named("never"))
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")
        proxy.rule = undisturbed
        assert client.get(f"{MAPS}/never").status_code == httpx.codes.NOT_FOUND

    def test_an_answer_that_is_lost(self, proxy: Proxy, client: httpx.Client) -> None:
        proxy.rule = lambda asked: Fault(when=When.AFTER) if asked.method == "POST" else None
        with pytest.raises(httpx.TransportError):
            client.post(MAPS, json=named("made-all-the-same"))
        assert client.get(f"{MAPS}/made-all-the-same").is_success

    def test_half_an_answer(self, proxy: Proxy, client: httpx.Client) -> None:
        proxy.rule = lambda _: Fault(when=When.MIDST)
        with pytest.raises(httpx.TransportError):
            client.get(NODES)
        assert proxy.exchanges[-1].status == httpx.codes.OK

    def test_half_an_event_of_a_watch(self, proxy: Proxy, client: httpx.Client, fleet: Fleet) -> None:
        proxy.rule = lambda asked: Fault(when=When.MIDST) if asked.watch else None
        said = ""

        def listen() -> None:
            nonlocal said
            with client.stream("GET", MAPS, params={"watch": "1"}) as watch:
                for text in watch.iter_text():
                    said += text

        fleet.api.ask("map", "POST", MAPS, body=named("half-of-it"))
        with pytest.raises(httpx.TransportError):
            listen()
        assert said.startswith('{"type":"ADDED"')
        assert not said.endswith("}\n")

    def test_every_connection_cut(self, proxy: Proxy, client: httpx.Client) -> None:
        with client.stream("GET", MAPS, params={"watch": "1", "timeoutSeconds": "60"}) as watch:
            text = watch.iter_text()
            next(text)
            proxy.cut()
            with pytest.raises(httpx.TransportError):
                list(text)

    def test_in_turn_for_each_kind_of_request(self, proxy: Proxy) -> None:
        proxy.rule = in_turn(Fault(503), None)
        asked = [proxy.begin("GET", path, "").fault for path in ("/a", "/b", "/a", "/a")]
        assert asked == [Fault(503), Fault(503), None, Fault(503)]
        assert [exchange.asked for exchange in proxy.exchanges][2] == Asked("GET", "/a", "", 1)


class TestItsEnd:
    """Leaves no listener and no credentials."""

    def test_after_a_with_block(self, lab: Lab) -> None:
        with Proxy(lab.layout, lab.kubeconfig) as proxy:
            kubeconfig: Path = proxy.kubeconfig
            api = KubeApi(lambda: from_kubeconfig(kubeconfig), WallClock())
            assert eventually(lambda: api.get("node w1", f"{NODES}/w1"), "an answer")
        assert not kubeconfig.exists()
        with pytest.raises(PortError):
            api.once("node w1", f"{NODES}/w1", {})
