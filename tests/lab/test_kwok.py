"""What KWOK's stages make of nodes, pods and volumes, with Kubernetes' own controllers around them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from lab import fleet as make
from lab.fleet import Fleet
from tests.lab.conftest import Space
from tests.lab.eventually import eventually

pytestmark = pytest.mark.lab


def running(space: Space, pod: make.Json) -> bool:
    return bool(space.status(pod).get("phase") == "Running")


def attachments(fleet: Fleet, node: str) -> list[make.Json]:
    every = fleet.api.items("attachments", "/apis/storage.k8s.io/v1/volumeattachments")
    return [item for item in every if item["spec"]["nodeName"] == node]


def node_volumes(fleet: Fleet, name: str) -> tuple[list[str], list[str]]:
    """(attached, in use) as the node's status has it."""
    status: dict[str, Any] = (fleet.read(make.node(name, "")) or {})["status"]
    return [v["name"] for v in status.get("volumesAttached") or []], list(status.get("volumesInUse") or [])


@contextmanager
def cordoned(fleet: Fleet, node: str) -> Iterator[None]:
    """As in every leave: elsewhere a controller manager that is slow to detach finds the volume mounted again."""
    fleet.cordon(node)
    yield
    fleet.cordon(node, False)


class TestPods:
    """Are scheduled for real, run at once, and end as their annotations say."""

    def test_of_a_deployment_run(self, space: Space) -> None:
        deployment = make.deployment("app", 6)
        space.create(deployment)
        eventually(lambda: space.status(deployment).get("readyReplicas") == 6, "six Ready pods")

    def test_end_once_they_are_deleted(self, space: Space) -> None:
        pod = make.pod("one")
        space.create(pod)
        eventually(lambda: running(space, pod), "the pod to run")
        space.fleet.delete(pod, space.name)
        eventually(lambda: space.read(pod) is None, "the pod to be gone", limit_s=20)  # its grace period is 30 s

    def test_that_are_stuck_stay_until_they_are_let_go(self, space: Space) -> None:
        stuck, other = make.pod("stuck", annotations={"lab.ingot/stuck": "true"}), make.pod("other")
        space.create(stuck, other)
        eventually(lambda: running(space, stuck) and running(space, other), "both to run")
        space.fleet.delete(stuck, space.name)
        space.fleet.delete(other, space.name)
        eventually(lambda: space.read(other) is None, "the other one to be gone")
        assert (space.read(stuck) or {})["metadata"]["deletionTimestamp"]
        space.fleet.annotate(stuck, {"lab.ingot/stuck": None}, space.name)
        eventually(lambda: space.read(stuck) is None, "the stuck one to be gone")

    def test_that_ignore_sigterm_are_killed_after_their_grace_period(self, space: Space) -> None:
        deaf = make.pod("deaf", annotations={"lab.ingot/ignores-sigterm": "true"})
        deaf["spec"]["terminationGracePeriodSeconds"] = 4
        space.create(deaf)
        eventually(lambda: running(space, deaf), "the pod to run")
        begun_s = space.fleet.clock.now_s()
        space.fleet.delete(deaf, space.name)
        eventually(lambda: space.read(deaf) is None, "the pod to be killed")
        assert space.fleet.clock.now_s() - begun_s > 2.5  # the API server writes whole seconds


class TestNodes:
    """Become Ready by themselves, and NotReady when their kubelet is told to stop."""

    def test_whose_kubelet_stops(self, fleet: Fleet) -> None:
        node = make.node("stopping", "10.2.0.1")
        fleet.create(node)

        def ready() -> str:
            conditions = (fleet.read(node) or {}).get("status", {}).get("conditions", [])
            return next((str(c["status"]) for c in conditions if c["type"] == "Ready"), "")

        try:
            eventually(lambda: ready() == "True", "the node Ready")
            fleet.annotate(node, {"lab.ingot/kubelet": "stopped"})
            eventually(lambda: ready() == "False", "the node NotReady")
            fleet.annotate(node, {"lab.ingot/kubelet": None})
            eventually(lambda: ready() == "True", "the node Ready again")
        finally:
            fleet.delete(node)

    def test_keep_what_their_image_says(self, fleet: Fleet) -> None:
        node = fleet.read(make.node("w1", "")) or {}
        assert node["status"]["nodeInfo"]["osImage"] == make.FEDORA_COREOS.os_image
        assert node["status"]["nodeInfo"]["machineID"] == make.node("w1", "")["status"]["nodeInfo"]["machineID"]


class TestVolumes:
    """The way of a volume: claimed, bound, attached, mounted, and back."""

    def test_from_claim_to_node_and_back(self, space: Space) -> None:
        fleet, claim, pod = space.fleet, make.claim("data"), make.pod("db", on="w2", claim="data")
        space.create(claim, pod)
        eventually(lambda: space.status(claim).get("phase") == "Bound", "the claim to be bound")
        eventually(lambda: [a for a in attachments(fleet, "w2") if a["status"]["attached"]], "the volume attached")
        in_use = eventually(lambda: node_volumes(fleet, "w2")[1], "the node to have it in use")
        assert node_volumes(fleet, "w2")[0] == in_use
        assert in_use[0].startswith(f"kubernetes.io/csi/{make.DRIVER}^")
        with cordoned(fleet, "w2"):
            fleet.delete(pod, space.name)
            eventually(lambda: not attachments(fleet, "w2"), "the volume detached")
            eventually(lambda: node_volumes(fleet, "w2") == ([], []), "the node to have none")
        assert space.status(claim).get("phase") == "Bound"

    def test_a_detach_can_hang(self, space: Space) -> None:
        fleet, pod = space.fleet, make.pod("db", on="w3", claim="data")
        space.create(make.claim("data"), pod)
        held = eventually(lambda: [a for a in attachments(fleet, "w3") if a["status"]["attached"]], "an attachment")[0]
        held = {"apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttachment", **held}
        fleet.annotate(held, {"lab.ingot/stuck": "true"})
        with cordoned(fleet, "w3"):
            fleet.delete(pod, space.name)
            eventually(lambda: (fleet.read(held) or {})["metadata"].get("deletionTimestamp"), "a detach under way")
            eventually(lambda: node_volumes(fleet, "w3") == ([], []), "the node to have none")
            assert attachments(fleet, "w3")
            fleet.annotate(held, {"lab.ingot/stuck": None})
            eventually(lambda: not attachments(fleet, "w3"), "the volume detached")

    def test_a_deleted_claim_takes_its_volume_along(self, space: Space) -> None:
        claim, pod = make.claim("data"), make.pod("db", claim="data")
        space.create(claim, pod)
        eventually(lambda: space.status(claim).get("phase") == "Bound", "the claim to be bound")
        name = (space.read(claim) or {})["spec"]["volumeName"]
        space.fleet.delete(pod, space.name)
        space.fleet.delete(claim, space.name)
        volume = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}}
        eventually(lambda: space.fleet.read(volume) is None, "the volume to be gone")

    def test_an_attachment_made_by_hand_is_served(self, space: Space) -> None:
        made = make.attachment(f"by-hand-{space.name}", "some-volume", "w4")
        space.fleet.create(made)
        eventually(lambda: (space.fleet.read(made) or {}).get("status", {}).get("attached"), "it attached")
        space.fleet.delete(made)
        eventually(lambda: space.fleet.read(made) is None, "it detached")
