"""What a leave asks of the API: the same few requests for any fleet, and nothing while it waits."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from lifecycle.adapters.clock import WallClock, WatchingClock
from lifecycle.adapters.kubernetes import ApiKubernetes
from lifecycle.adapters.roster import ConfigMapRoster
from lifecycle.adapters.view import View
from lifecycle.commands import Step, Verb
from lifecycle.ports import Ports
from lifecycle.run import execute
from tests.lifecycle.adapters.api_server import (
    Api,
    api_server,
    attachment,
    budget,
    connected,
    node,
    pod,
    volume,
)
from tests.lifecycle.fakes import ports as fake_ports
from tests.lifecycle.fleets import serving
from tests.lifecycle.world import World

PODS = 12


def populate(server: Api, nodes: int) -> None:
    """A fleet of which w1 is to leave: PODS pods with a volume each on every node, a budget for each app."""
    names = [f"w{number}" for number in range(1, nodes + 1)]
    for name in (*(f"c{number}" for number in range(1, 4)), *names):
        info = {"osImage": "OS g1", "kubeletVersion": "v1.36.3", "machineID": f"{name}-m1"}
        server.put("nodes", node(name, nodeInfo=info))
    for name in names:
        for number in range(PODS):
            own = f"{name}-{number}"
            app = {"app": f"app-{number}"}
            server.put("pods", pod(own, name, labels=app, owner="StatefulSet", claims=(own,)))
            server.put("persistentvolumes", volume(f"pv-{own}", own))
            server.put("volumeattachments", attachment(f"va-{own}", name, f"pv-{own}"))
    for number in range(PODS):
        server.put("poddisruptionbudgets", budget(f"app-{number}", {"matchLabels": {"app": f"app-{number}"}}))
    server.evicted = lambda evicted: goes(server, evicted)


def goes(server: Api, evicted: dict[str, Any]) -> None:
    """A moment later the pod is gone, and a moment after that its attachment."""
    name = evicted["metadata"]["name"]
    gone = threading.Timer(0.05, lambda: server.delete("pods", f"shop/{name}"))
    detached = threading.Timer(0.1, lambda: server.delete("volumeattachments", f"va-{name}"))
    gone.start()
    detached.start()


def at(server: Api, world: World, view: View) -> Ports:
    """The ports of a step of its own: the cluster is real, its hosts and its storage are not."""
    api, clock = connected(server.wire.url, WallClock()), WatchingClock(view)
    kubernetes = ApiKubernetes(api, clock, frozenset(), view)
    fakes = fake_ports(world)
    return replace(fakes, clock=clock, kubernetes=kubernetes, roster=ConfigMapRoster(api, view))


def leave(nodes: int) -> Counter[str]:
    """What a leave asks for, of a fleet of so many workers, by method and kind."""
    with api_server() as server:
        populate(server, nodes)
        world = serving()
        meta = {"namespace": "ingot-system", "name": "ingot-roster"}
        server.put("configmaps", {"metadata": meta, "data": {"roster.json": world.document}})
        clock = WallClock()
        view = View(connected(server.wire.url, clock), clock, frozenset())
        view.start()
        server.until_watched()
        before = len(server.wire.asked)  # the view is there already, as it is for a whole roll
        assert execute(Step(Verb.LEAVE, "metal", "w1", "g1"), at(server, world, view)) == "w1 left"
        view.stop()
        return Counter(shortened(a.method, a.path) for a in server.wire.asked[before:])


def shortened(method: str, path: str) -> str:
    kinds = ("eviction", "configmaps", "nodes", "readyz")
    return f"{method} {next((kind for kind in kinds if kind in path), path)}"


class TestALeave:
    """All but a few of its requests change something, and their number is the same in any fleet."""

    @pytest.mark.parametrize("nodes", [4, 60])
    def test_asks_for_the_same_in_any_fleet(self, nodes: int) -> None:
        asked = leave(nodes)
        # While the watch is behind what this step wrote itself: seldom once, and twenty times if it never catches up.
        assert asked.pop("GET nodes", 0) < 10
        assert asked == {
            "GET readyz": 2,  # by the roll's Lease, and by the leave
            "PUT configmaps": 5,  # slot, what its join will ask about, storage turn taken and given back, left
            "PATCH nodes": 1,
            "GET /api/v1/pods": 1,  # after the cordon: those of the node, whatever the watch shows
            "POST eviction": PODS,
        }
