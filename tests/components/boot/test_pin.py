"""components/boot/pin.py: what the stack file and the lock say of every declared node."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from components.boot.contract import BootConfigurationError
from components.boot.pin import pins, publish, rollout, unknown_releases
from components.environment import Environment
from components.images.lock import Lock, UnknownRelease
from lifecycle.ports import BootMethod, Controller, DrainPolicy, OnTimeout, Pin, Role, Rollout, Window

Environments = Callable[..., Environment]
Locks = Callable[..., Lock]


class TestPins:
    """Everything a step must know of a node, from this checkout."""

    def test_of_a_worker_in_full(self, environment: Environments, lock: Locks) -> None:
        pin = pins(environment(), lock())["w1"]
        assert pin == Pin(
            node="w1",
            pool="hci",
            role=Role.WORKER,
            generation=pin.generation,
            os_image="Fedora CoreOS 44.20260101.3.0",
            kubelet="v1.36.3",
            boot_url=f"https://boot.example/boot/{pin.generation}/w1.ipxe",
            controller=Controller("https://bmc-w1.example/redfish/v1/Systems/1", True),
            mac="52:54:00:00:00:11",
            os_disk="/dev/disk/by-id/nvme-OS_w1",
            data_disks=("/dev/disk/by-id/nvme-A_1", "/dev/disk/by-id/nvme-B_1"),
            fault_domain="rack-2",
            max_unavailable=2,
            stores=True,
            soak_s=120,
            retire=False,
            architecture="x86_64",
            kernel="",
            boot=(BootMethod.UEFI_HTTP, BootMethod.PXE),
        )

    def test_of_an_image_whose_kernel_somebody_pinned(self, environment: Environments, lock: Locks) -> None:
        pinned = lock().model_dump(exclude_none=True)
        for facts in pinned["images"]["fedora-coreos"]["44.20260101.3.0"].values():
            facts["kernel"] = "6.19.4-200.fc44.x86_64"
        known = pins(environment(), Lock.model_validate(pinned))
        assert {p.kernel for p in known.values()} == {"6.19.4-200.fc44.x86_64"}
        unknown = {n: p.generation for n, p in pins(environment(), lock()).items()}
        assert {n: p.generation for n, p in known.items()} == unknown  # it replaces no machine

    def test_are_in_the_order_of_the_file(self, environment: Environments, lock: Locks) -> None:
        assert list(pins(environment(), lock())) == ["c1", "c2", "c3", "w1", "w2", "w3"]

    def test_of_a_control_plane(self, environment: Environments, lock: Locks) -> None:
        pin = pins(environment(), lock())["c2"]
        assert (pin.role, pin.stores, pin.max_unavailable, pin.soak_s) == (Role.CONTROL_PLANE, False, 1, 0)

    def test_only_the_canary_soaks(self, environment: Environments, lock: Locks) -> None:
        assert {n: p.soak_s for n, p in pins(environment(), lock()).items() if p.soak_s} == {"w1": 120}
        without = environment({"pools/hci/rollout/canary": False})
        assert not any(p.soak_s for p in pins(without, lock()).values())

    def test_deadlines_halt_unless_the_pool_says_force(self, environment: Environments, lock: Locks) -> None:
        said = environment({"pools/hci/rollout/on_timeout": {"detach": "force"}})
        found = {(p.pool, p.drain_timeout, p.detach_timeout) for p in pins(said, lock()).values()}
        halt, force = OnTimeout.HALT, OnTimeout.FORCE
        assert {(d, t) for pool, d, t in found if pool == "hci"} == {(halt, force)}
        assert {(d, t) for pool, d, t in found if pool != "hci"} == {(halt, halt)}

    @pytest.mark.parametrize(
        ("at", "nodes"),
        [
            ("cluster/retire", {"c1", "c2", "c3", "w1", "w2", "w3"}),
            ("pools/hci/retire", {"w1", "w2", "w3"}),
            ("pools/hci/machines/hosts/w2/retire", {"w2"}),
        ],
    )
    def test_retiring(self, at: str, nodes: set[str], environment: Environments, lock: Locks) -> None:
        assert {n for n, p in pins(environment({at: True}), lock()).items() if p.retire} == nodes

    @pytest.mark.parametrize(
        ("field", "word", "policy"),
        [
            ("empty_dir", "delete", DrainPolicy(empty_dir=True)),
            ("unmanaged", "delete", DrainPolicy(unmanaged=True)),
            ("local_volumes", "evict", DrainPolicy(local_volumes=True)),
            ("empty_dir", "refuse", DrainPolicy()),
        ],
    )
    def test_what_a_drain_may_lose_is_said_for_each_pool(
        self, field: str, word: str, policy: DrainPolicy, environment: Environments, lock: Locks
    ) -> None:
        found = pins(environment({f"pools/hci/rollout/drain/{field}": word}), lock())
        assert {found[n].drain for n in ("w1", "w2", "w3")} == {policy}
        assert {found[n].drain for n in ("c1", "c2", "c3")} == {DrainPolicy()}
        assert found["w1"].generation == pins(environment(), lock())["w1"].generation  # nothing is replaced for it

    def test_every_generation_is_a_nodes_own(self, environment: Environments, lock: Locks) -> None:
        found = [p.generation for p in pins(environment(), lock()).values()]
        assert len(set(found)) == len(found)
        assert all(len(g) == 16 and int(g, 16) >= 0 for g in found)

    def test_of_a_thousand_nodes_take_less_than_a_second(self, document: dict[str, Any], lock: Locks) -> None:
        hosts = document["pools"]["hci"]["machines"]["hosts"]
        for i in range(1000):
            hosts[f"n{i}"] = {**hosts["w1"], "os_disk": f"/dev/disk/by-id/os-{i}", "data_disks": []}
        environment = Environment.model_validate(document)
        begun = time.process_time()
        assert len(pins(environment, lock())) == 1006
        assert time.process_time() - begun < 1


class TestPublishing:
    """What is published for a node is what its pin names."""

    @pytest.mark.parametrize("node", ["c1", "w3"])
    def test_agrees_with_the_pin(self, node: str, environment: Environments, lock: Locks) -> None:
        published, pin = publish(environment(), lock(), node), pins(environment(), lock())[node]
        assert (published.generation, published.boot_url, published.node) == (pin.generation, pin.boot_url, node)
        assert f"{environment().store_url}/{next(iter(published.files))}" == pin.boot_url

    def test_covers_the_versions_of_secrets(self, environment: Environments, lock: Locks) -> None:
        published = publish(environment(), lock(), "w1", {"pki": 3})
        assert published.generation == pins(environment(), lock(), {"pki": 3})["w1"].generation

    def test_refuses_a_host_that_is_not_declared(self, environment: Environments, lock: Locks) -> None:
        with pytest.raises(BootConfigurationError, match=r"of w9.*\n.*it has c1, c2, c3, w1, w2, w3"):
            publish(environment(), lock(), "w9")


class TestWhatIsNotPinned:
    """Named before anything is touched."""

    def test_refuses(self, environment: Environments, lock: Locks) -> None:
        with pytest.raises(UnknownRelease, match=r"image fedora-coreos 44\.20260303\.3\.0"):
            pins(environment({"pools/hci/image": {"os": "fedora-coreos", "version": "44.20260303.3.0"}}), lock())

    def test_is_all_listed(self, environment: Environments, lock: Locks) -> None:
        changes = {
            "pools/hci/image": {"os": "fedora-coreos", "version": "44.20260303.3.0"},
            "cluster/kubernetes": "v1.37.0",
        }
        assert [u.what for u in unknown_releases(environment(changes), lock())] == [
            "kubernetes v1.37.0 (x86_64)",
            "image fedora-coreos 44.20260303.3.0 (x86_64)",
        ]

    def test_is_nothing_for_a_whole_fleet(self, environment: Environments, lock: Locks) -> None:
        assert unknown_releases(environment(), lock()) == ()


class TestRollout:
    """When a roll stops by itself, as steps read it."""

    def test_is_never_where_nothing_is_said(self, environment: Environments) -> None:
        assert rollout(environment()) == Rollout(None, ())

    def test_in_full(self, environment: Environments) -> None:
        window = {"days": ["sun", "mon", "sun"], "start": "22:00", "end": "04:00", "timezone": "Europe/Berlin"}
        said = environment({"rollout": {"stop_after": 3, "windows": [window]}})
        assert rollout(said) == Rollout(3, (Window((0, 6), "22:00", "04:00", "Europe/Berlin"),))
