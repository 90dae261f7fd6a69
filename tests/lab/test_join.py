"""A node comes in, and a node is replaced, by the lifecycle's own functions on a real API server and Redfish."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from lab import fleet as make
from lab import redfish
from lab.lab import Lab
from lifecycle.adapters.boot_store import BootStore
from lifecycle.adapters.clock import WallClock
from lifecycle.adapters.redfish import RedfishMachines
from lifecycle.adapters.secrets import BmcCredentials
from lifecycle.commands import Verb
from lifecycle.errors import WrongImage
from lifecycle.ports import ClaimState, Controller, Power
from lifecycle.roster import Standing
from tests.lab.eventually import eventually
from tests.lab.hosts import boot_store
from tests.lab.leaving import GENERATION
from tests.lab.site import IMAGES, NEXT, Controllers, Site, site

pytestmark = pytest.mark.lab

NODES = ("w1", "w2", "w3")
AGENT = "agent"


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Three nodes that are in, and hosts w4 and w5, behind real management controllers."""
    with Lab.start(tmp_path_factory.mktemp("lab"), systems=5) as lab, pytest.MonkeyPatch.context() as patch:
        patch.setenv("REQUESTS_CA_BUNDLE", str(lab.layout.bmc_authority().pair.certificate))
        make.Fleet(lab.kubeconfig).create_nodes(len(NODES))
        store = tmp_path_factory.mktemp("store")
        # Two, as sessions are not shared between threads: the steps' own, and one that watches the machines.
        acting, watching = (redfish_machines(boot_store(store)) for _ in range(2))
        bmcs = {f"w{number}": Controller(redfish.system_url(lab.layout, number)) for number in range(1, 6)}
        with site(lab, store, NODES, ("w4", "w5"), Controllers(acting, watching, bmcs)) as made:
            made.cluster.fleet.create(make.daemon_set(AGENT))
            yield made
        acting.close()
        watching.close()


def redfish_machines(store: BootStore) -> RedfishMachines:
    return RedfishMachines(lambda _: BmcCredentials(redfish.USERNAME, redfish.PASSWORD), store, WallClock())


def agents(hosts: Site) -> set[str]:
    """The nodes with a Ready pod of the DaemonSet, by a look of its own: no watch is behind."""
    kubernetes = hosts.cluster.ports().kubernetes
    pods = [p for n in kubernetes.nodes() for p in kubernetes.pods_on(n.name)]
    return {p.node for p in pods if p.owner == "DaemonSet" and p.ready}


def serves(hosts: Site, node: str, generation: str, installs: int) -> None:
    """The node is in with exactly this image, on the machine of its last installation, and nothing is held for it."""
    seen, claim, entry = hosts.cluster.node(node), hosts.claim(node), hosts.cluster.entry(node)
    image = IMAGES[generation]
    expected = make.node(node, "", image=image, install=installs)["status"]["nodeInfo"]
    assert seen is not None
    assert (seen.ready, seen.unschedulable, seen.taints) == (True, False, frozenset())
    assert (seen.os_image, seen.kernel, seen.kubelet) == (image.os_image, image.kernel, image.kubelet)
    assert seen.machine_id == claim.machine_id == expected["machineID"]
    assert (claim.state, claim.generation, claim.boot_id) == (ClaimState.JOINED, generation, seen.boot_id)
    assert (entry.standing, entry.slot_since_s, entry.generation) == (Standing.IN, None, generation)
    assert len(hosts.hosts.hosts[node].took) == 1
    assert not (hosts.store / "once" / node).exists()
    eventually(lambda: node in agents(hosts), "its daemon Ready")


class TestJoin:
    """A host that was never in boots the pinned image, is let in once, and serves."""

    def test_of_a_new_host(self, hosts: Site) -> None:
        hosts.declare("w4", GENERATION)
        hosts.bring_in("w4", GENERATION)
        serves(hosts, "w4", GENERATION, installs=2)

    def test_with_another_image_than_the_pinned_one_halts_before_it_takes_a_pod(self, hosts: Site) -> None:
        hosts.declare("w5", NEXT)
        hosts.hosts.images[NEXT] = IMAGES[GENERATION]
        try:
            with pytest.raises(WrongImage, match=re.escape(IMAGES[GENERATION].os_image)):
                hosts.bring_in("w5", NEXT)
        finally:
            hosts.hosts.images[NEXT] = IMAGES[NEXT]
        seen = hosts.cluster.node("w5")
        assert seen is not None
        assert seen.unschedulable
        assert hosts.claim("w5").state is ClaimState.PROVISIONING
        assert hosts.cluster.entry("w5").standing is Standing.OUT


class TestReplacement:
    """A node with pods and a volume goes and comes back as the next generation; nothing is lost on the way."""

    def test_of_a_node_with_a_volume(self, hosts: Site) -> None:
        cluster = hosts.cluster
        cluster.app("web", replicas=3, on="w1", budget=2)
        cluster.app("db", replicas=1, on="w1", claim="data")
        volume = bound(cluster.fleet, "data")
        hosts.declare("w1", NEXT)
        assert hosts.step(Verb.LEAVE, "w1") == "w1 left"
        assert cluster.node("w1") is None
        assert hosts.step(Verb.RELEASE, "w1") == "w1 released"
        assert hosts.controllers.acting.power("w1", hosts.controllers.bmcs["w1"]) is Power.OFF
        hosts.bring_in("w1", NEXT)
        serves(hosts, "w1", NEXT, installs=2)
        eventually(lambda: cluster.ready("web") == 3 and cluster.ready("db") == 1, "all pods Ready")
        assert bound(cluster.fleet, "data") == volume
        held = [a for n in hosts.kubernetes.nodes() for a in hosts.kubernetes.attachments_on(n.name)]
        assert [(a.volume, a.attached) for a in held] == [(volume, True)]
        assert not any(n.unschedulable for n in hosts.kubernetes.nodes() if n.name != "w5")


def bound(fleet: make.Fleet, claim: str) -> str:
    """The PersistentVolume of a claim."""
    found: dict[str, Any] = fleet.read(make.claim(claim)) or {}
    assert (found.get("status") or {}).get("phase") == "Bound"
    return str(found["spec"]["volumeName"])
