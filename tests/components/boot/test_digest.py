"""components/boot/digest.py: what replaces a machine, and what never does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components import stackfile
from components.boot import digest
from components.boot.digest import BLANK
from components.boot.pin import pins
from components.boot.systems import pool_boot
from components.environment import Environment
from components.images.lock import LOCK_FILE, Lock, load
from components.machines.contract import Own
from rehearsal.stand_in import completed

ROOT = Path(__file__).parents[3]
Environments = Callable[..., Environment]
Locks = Callable[..., Lock]
ALL = {"c1", "c2", "c3", "w1", "w2", "w3"}
CONTROL = {"c1", "c2", "c3"}
WORKERS = {"w1", "w2", "w3"}
W1 = "pools/hci/machines/hosts/w1"
METAL = "images/fedora-coreos/44.20260101.3.0/x86_64"


def coreos(version: str) -> dict[str, str]:
    return {"os": "fedora-coreos", "version": version}


STACK: dict[str, tuple[dict[str, Any], set[str]]] = {
    "the fleet's image": ({"image/version": "44.20260202.3.0"}, ALL),
    "the image of one pool": ({"pools/hci/image": coreos("44.20260202.3.0")}, WORKERS),
    "the image of one pool, said anew": (
        {"pools/hci/image": {"os": "fedora-coreos", "version": "44.20260101.3.0"}},
        set(),
    ),
    "the architecture": ({"image/architecture": "aarch64"}, ALL),
    "Kubernetes": ({"cluster/kubernetes": "v1.36.4"}, ALL),
    "the cluster's name": ({"cluster/name": "other"}, ALL),
    "the endpoint": ({"cluster/endpoint": "api2.example"}, ALL),
    "the endpoint's port": ({"cluster/endpoint_port": 7443}, ALL),
    "the pods' network": ({"cluster/pod_cidr": "10.128.0.0/16"}, CONTROL),
    "the boot store's URL": ({"boot_store/url": "https://boot2.example"}, ALL),
    "the boot store's directory": ({"boot_store/directory": "/srv/other"}, set()),
    "hugepages": ({"storage/driver/hugepages_mib": 4096}, WORKERS),
    "which pools store": ({"storage/nodes": ["control"]}, ALL),
    "the storage driver's chart": ({"storage/driver/chart_version": "26.2.9"}, set()),
    "the storage pool": ({"storage/driver/pool_name": "p-2"}, set()),
    "a storage policy": ({"storage/policies/slow": {"replicas": 3}}, set()),
    "a host's OS disk": ({f"{W1}/os_disk": "/dev/disk/by-id/nvme-NEW"}, {"w1"}),
    "a host's data disks": ({f"{W1}/data_disks": ["/dev/disk/by-id/nvme-NEW"]}, {"w1"}),
    "a host's fault domain": ({f"{W1}/fault_domain": "rack-9"}, {"w1"}),
    "a host's MAC address": ({f"{W1}/mac": "52:54:00:00:00:99"}, set()),
    "a host's controller": ({f"{W1}/bmc/url": "https://bmc-new.example/redfish/v1/Systems/1"}, set()),
    "trust in a controller": ({f"{W1}/bmc/verify_tls": False}, set()),
    "a host that retires": ({f"{W1}/retire": True}, set()),
    "a pool that retires": ({"pools/hci/retire": True}, set()),
    "a cluster that retires": ({"cluster/retire": True}, set()),
    "how many may be out": ({"pools/hci/rollout/max_unavailable": 1}, set()),
    "the canary": ({"pools/hci/rollout/canary": False}, set()),
    "the soak": ({"pools/hci/rollout/soak_s": 5}, set()),
    "a limit": ({"limits": {"drain_s": 60}}, set()),
    "a host leaves the file": ({f"{W1}": None}, set()),
}
PINNED: dict[str, tuple[dict[str, Any], set[str]]] = {
    "the metal image's digest": ({f"{METAL}/artifacts/metal/sha256": "d" * 64}, ALL),
    "the kernel's digest": ({f"{METAL}/artifacts/pxe-kernel/sha256": "d" * 64}, ALL),
    "the kubelet's digest": ({"kubernetes/v1.36.3/x86_64/kubelet/sha256": "d" * 64}, ALL),
    "an AMI": ({f"{METAL}/amis/eu-west-1": "ami-0000000000000000f"}, set()),
    "the ISO's digest": ({f"{METAL}/artifacts/iso/sha256": "d" * 64}, set()),
    "another architecture": ({"kubernetes/v1.36.3/aarch64/kubelet/sha256": "d" * 64}, set()),
    "another release": ({"images/fedora-coreos/44.20260202.3.0/x86_64/artifacts/metal/sha256": "d" * 64}, set()),
}


def generations(environment: Environment, lock: Lock) -> dict[str, str]:
    return {node: pin.generation for node, pin in pins(environment, lock).items()}


def turned(value: Any) -> Any:
    """The same with the keys of every mapping the other way round."""
    return {k: turned(v) for k, v in reversed(value.items())} if isinstance(value, dict) else value


def replaced(before: dict[str, str], after: dict[str, str]) -> set[str]:
    """Nodes in both whose machine would be replaced."""
    return {node for node in before.keys() & after.keys() if before[node] != after[node]}


class TestWhatAChangeReplaces:
    """Each change of the stack file or the lock, and exactly the nodes that it replaces."""

    @pytest.mark.parametrize("case", STACK)
    def test_stack_file(self, case: str, environment: Environments, lock: Locks) -> None:
        changes, nodes = STACK[case]
        assert replaced(generations(environment(), lock()), generations(environment(changes), lock())) == nodes

    @pytest.mark.parametrize("case", PINNED)
    def test_lock(self, case: str, environment: Environments, lock: Locks) -> None:
        changes, nodes = PINNED[case]
        assert replaced(generations(environment(), lock()), generations(environment(), lock(changes))) == nodes

    def test_a_renamed_pool(self, document: dict[str, Any], lock: Locks) -> None:
        before = generations(Environment.model_validate(document), lock())
        document["pools"]["renamed"] = document["pools"].pop("hci")
        document["storage"]["nodes"] = ["renamed"]
        assert generations(Environment.model_validate(document), lock()) == before

    def test_a_host_that_moves_between_like_pools(self, document: dict[str, Any], lock: Locks) -> None:
        before = generations(Environment.model_validate(document), lock())
        hosts = document["pools"]["hci"]["machines"]["hosts"]
        document["pools"]["more"] = {
            "role": "worker",
            "machines": {"kind": "bare-metal", "hosts": {"w3": hosts.pop("w3")}},
        }
        document["storage"]["nodes"] = ["hci", "more"]
        assert generations(Environment.model_validate(document), lock()) == before

    @pytest.mark.parametrize("stack", ["metal", "flatcar", "talos"])
    def test_a_file_without_its_comments_and_spelled_otherwise(self, stack: str, tmp_path: Path) -> None:
        file, again = ROOT / "stacks" / f"Pulumi.{stack}.yaml", tmp_path / f"Pulumi.{stack}.yaml"
        assert "#" in file.read_text()
        again.write_text(json.dumps(turned(yaml.safe_load(file.read_text()))))
        environments = [stackfile.load(path) for path in (file, again)]
        pinned, _ = completed(environments[0], load(ROOT / LOCK_FILE))
        before, after = (generations(environment, pinned) for environment in environments)
        assert before == after

    def test_the_order_of_keys(self, document: dict[str, Any], lock: Locks) -> None:
        before = generations(Environment.model_validate(document), lock())
        assert generations(Environment.model_validate(turned(document)), lock()) == before


class TestSecrets:
    """A version number each, and nothing else."""

    def test_a_rotation_replaces(self, environment: Environments, lock: Locks) -> None:
        first, second = ({n: p.generation for n, p in pins(environment(), lock(), {"pki": v}).items()} for v in (1, 2))
        assert replaced(first, second) == ALL

    @pytest.mark.parametrize("versions", [{"pki": "-----BEGIN"}, {"pki": True}, {"pki": -1}, {"a secret!": 1}])
    def test_nothing_but_a_number_is_taken(self, versions: Any, environment: Environments, lock: Locks) -> None:
        with pytest.raises(ValueError, match="secret_versions: expected") as refused:
            pins(environment(), lock(), versions)
        assert "BEGIN" not in str(refused.value)


class TestSameEverywhere:
    """The same input gives the same digest on any machine."""

    def test_in_another_process(self, document: dict[str, Any], lock: Locks) -> None:
        """Another hash seed, another locale, another working directory."""
        program = (
            "import json, sys\n"
            "from components.boot.pin import pins\n"
            "from components.environment import Environment\n"
            "from components.images.lock import parse\n"
            "found = json.load(sys.stdin)\n"
            "made = pins(Environment.model_validate(found['stack']), parse(found['lock'].encode()))\n"
            "print(json.dumps({n: p.generation for n, p in made.items()}))\n"
        )
        told = json.dumps({"stack": document, "lock": lock().to_bytes().decode()})
        away = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "7", "LC_ALL": "C"}
        done = subprocess.run(
            [sys.executable, "-c", program], input=told, env=away, cwd="/", capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == generations(Environment.model_validate(document), lock())

    def test_is_known_by_heart(self, environment: Environments, lock: Locks) -> None:
        """A change here replaces every machine of every fleet: say so in changes/ when you mean it."""
        found = generations(environment(), lock())
        assert {node: found[node] for node in KNOWN} == KNOWN

    def test_is_the_beginning_of_64_digits(self, environment: Environments, lock: Locks) -> None:
        whole = digest.digest("0" * 64, Own("a", "/dev/disk/by-id/a", (), "r"))
        assert len(whole) == 64
        assert int(whole, 16) >= 0
        assert digest.generation(whole) == whole[:16]


KNOWN = {"c1": "c0bb6eeba024e9a6", "w1": "f14f5e0758e4b2d5"}

NAME = st.sampled_from(["w1", "w2"])
DISK = st.sampled_from([f"/dev/disk/by-id/{c}" for c in "abcd"])
OWN = st.builds(Own, NAME, DISK, st.lists(DISK, max_size=2).map(tuple), st.sampled_from(["r1", "r2"]))


def published(environment: Environment, lock: Lock) -> dict[str, dict[str, bytes]]:
    """What is published for each node, but for its generation."""
    return {
        name: dict(
            pool_boot(environment, lock, pool).publication(environment.pools[pool].machines.own(name), BLANK).files
        )
        for pool, name, _ in environment.hosts()
    }


class TestCoversEveryByte:
    """Two nodes have one digest if, and only if, the same bytes are published for both."""

    @settings(
        derandomize=True, deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(one=OWN, other=OWN)
    def test_of_any_two_hosts(self, one: Own, other: Own, environment: Environments, lock: Locks) -> None:
        pool = pool_boot(environment(), lock(), "hci")
        files = [pool.publication(own, BLANK).files for own in (one, other)]
        digests = [digest.digest("0" * 64, own) for own in (one, other)]
        assert (files[0] == files[1]) == (digests[0] == digests[1])

    @pytest.mark.parametrize("case", [*STACK, *PINNED])
    def test_of_any_change(self, case: str, environment: Environments, lock: Locks) -> None:
        changes, nodes = STACK.get(case) or PINNED[case]
        stack, locked = (changes, None) if case in STACK else (None, changes)
        before, after = published(environment(), lock()), published(environment(stack), lock(locked))
        differ = {node for node in before.keys() & after.keys() if before[node] != after[node]}
        assert differ == nodes
