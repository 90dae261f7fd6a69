"""The one list of labels and taints that the fleet owns."""

from __future__ import annotations

import pytest

from components.boot import kubeadm
from lifecycle import labels
from lifecycle.ports import Role


class TestOwned:
    """What a node of each kind has, and that every key of it is on the list."""

    @pytest.mark.parametrize("role", list(Role))
    @pytest.mark.parametrize("stores", [True, False])
    def test_every_key_is_listed(self, role: Role, stores: bool) -> None:
        assert set(labels.labels(role, "rack-a", stores=stores)) <= labels.LABELS
        assert {labels.taint_key(t) for t in labels.taints(role)} <= labels.TAINTS

    def test_a_worker_that_stores(self) -> None:
        assert labels.labels(Role.WORKER, "rack-a", stores=True) == {
            "topology.kubernetes.io/zone": "rack-a",
            "io.simplyblock.node-type": "simplyblock-storage-plane",
        }
        assert labels.taints(Role.WORKER) == frozenset()

    def test_a_control_plane_is_as_kubeadm_marks_it(self) -> None:
        assert labels.labels(Role.CONTROL_PLANE, "rack-a", stores=False) == {
            "topology.kubernetes.io/zone": "rack-a",
            "node-role.kubernetes.io/control-plane": "",
            "node.kubernetes.io/exclude-from-external-load-balancers": "",
        }
        assert labels.taints(Role.CONTROL_PLANE) == {"node-role.kubernetes.io/control-plane:NoSchedule"}

    def test_the_kubelet_registers_with_nothing_that_is_not_owned(self) -> None:
        told = kubeadm.registration("w1", labels.registered("rack-a", stores=True))
        (argument,) = told["kubeletExtraArgs"]
        assert {pair.partition("=")[0] for pair in argument["value"].split(",")} <= labels.LABELS


class TestTaints:
    """As kubectl writes them."""

    @pytest.mark.parametrize(
        ("key", "value", "written"),
        [("a/b", "", "a/b:NoSchedule"), ("a/b", "c", "a/b=c:NoSchedule")],
    )
    def test_written_and_read(self, key: str, value: str, written: str) -> None:
        assert labels.taint(key, value, "NoSchedule") == written
        assert labels.taint_key(written) == key
