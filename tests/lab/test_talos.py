"""Talos' own packages on every machine configuration that the fleet makes."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from components.boot.talos import contract, machine_type
from components.environment import Environment
from lifecycle.adapters.machine_configuration import completed
from tests.components.boot.talos_fleet import GENERATION, boot, environment, image, own
from tools.lab.talos_config import TalosRefused, answered, ask, kept

pytestmark = pytest.mark.lab

NODES = {"control-plane": "c1", "worker": "w1"}
DISKS = {
    "one disk": [],
    "data disks by id": ["/dev/disk/by-id/nvme-A_1", "/dev/disk/by-id/nvme-B_1"],
    "data disks by path": ["/dev/disk/by-path/pci-0000:3b:00.0-nvme-1"],
}
STORES = {"stores": ["hci"], "stores nothing": ["control"]}
SETTINGS: dict[str, Any] = {
    "settings/time_servers": ["ntp1.example", "192.0.2.1"],
    "settings/registry_mirrors": {
        "docker.io": ["https://mirror.example", "https://mirror.example/v2/docker"],
        "registry.k8s.io": ["https://mirror.example"],
    },
    "pools/hci/machines/hosts/w1/mounts": {
        "logs": {"disk": "/dev/disk/by-id/nvme-LOGS"},
        "scratch": {"disk": "/dev/disk/by-path/pci-0000:3c:00.0-nvme-1", "filesystem": "ext4"},
    },
}
MODES = {"bare-metal": "metal", "aws": "cloud"}
"""Kind of machine -> where Talos says that its configuration runs."""
ARCHITECTURES = ("x86_64", "aarch64")
FAMILIES = {
    "IPv4": {},
    "IPv6": {
        "cluster/pod_cidr": "fd00:10::/48",
        "cluster/service_cidr": "fd00:20::/112",
        "cluster/endpoint": "fd00::1",
    },
}


@dataclass(frozen=True)
class Case:
    """One configuration: what is asked of Talos for it, and the patch of its node. text: of its pool, as generated."""

    title: str
    mode: str
    generate: Mapping[str, Any]
    patch: str
    text: str = ""

    @property
    def whole(self) -> str:
        """What the machine gets."""
        return completed(self.text, self.patch, self.title)


def cases(secrets: Mapping[str, Any]) -> Iterator[Case]:
    """Role x storage layout x machine kind x architecture x address family."""
    matrix = itertools.product(NODES.items(), DISKS.items(), STORES.items(), ARCHITECTURES, FAMILIES.items())
    for (role, node), (disks, data), (stores, pools), architecture, (family, addresses) in matrix:
        of = environment(
            {
                "image": image(architecture=architecture),
                f"pools/{'hci' if role == 'worker' else 'control'}/machines/hosts/{node}/data_disks": data,
                "storage/nodes": pools,
                **(SETTINGS if data else {}),
                **addresses,
            }
        )
        for kind, mode in MODES.items():
            title = ", ".join((role, disks, stores, kind, architecture, family))
            yield Case(title, mode, generate(of, node, secrets), patch(of, node))


def generate(of: Environment, node: str, secrets: Mapping[str, Any]) -> dict[str, Any]:
    """What components/kubernetes/talos.py asks the provider for."""
    made = boot(of, str(of.pool_of(node)))
    endpoint = of.cluster.endpoint
    return {
        "verb": "generate",
        "machineSecrets": secrets,
        "talosVersion": contract(made.asked.release.version),
        "clusterName": of.cluster.name,
        "clusterEndpoint": f"https://{f'[{endpoint}]' if ':' in endpoint else endpoint}:6443",
        "kubernetesVersion": of.cluster.kubernetes,
        "machineType": machine_type(made.asked.role),
        "configPatches": [made.shared()],
    }


def patch(of: Environment, node: str) -> str:
    return boot(of, str(of.pool_of(node))).own(own(of, node), GENERATION)


@pytest.fixture(scope="module")
def program() -> Path:
    found = kept()
    assert found is not None, "expected talos-config in the cache; `python -m tools.lab --ensure` builds it"
    return found


@pytest.fixture(scope="module")
def secrets(program: Path) -> dict[str, Any]:
    """Made once, in memory."""
    [made] = ask(program, [{"verb": "secrets", "talosVersion": "v1.13"}])
    found: dict[str, Any] = made["machineSecrets"]
    return found


@pytest.fixture(scope="module")
def generated(program: Path, secrets: dict[str, Any]) -> list[Case]:
    """The pools' configurations, as the state would hold them."""
    asked = list(cases(secrets))
    answers = ask(program, [case.generate for case in asked])
    return [replace(c, text=answered(a)["machineConfiguration"]) for c, a in zip(asked, answers, strict=True)]


def validated(case: Case) -> dict[str, Any]:
    return {"verb": "validate", "mode": case.mode, "configuration": case.whole}


def patched(text: str, *patches: str) -> dict[str, Any]:
    return {"verb": "patch", "configuration": text, "configPatches": patches}


class TestTheWholeMatrix:
    """Every configuration is generated with our patches and strictly valid: a warning would be refused too."""

    def test_is_valid_for_metal_and_cloud(self, program: Path, generated: list[Case]) -> None:
        answers = ask(program, [validated(case) for case in generated])
        assert {c.title: a for c, a in zip(generated, answers, strict=True) if a != {"valid": True}} == {}
        assert len({case.title for case in generated}) == 96

    def test_our_merge_of_a_nodes_patch_is_talos(self, program: Path, generated: list[Case]) -> None:
        """The step that hands a configuration over has no Go program: it must do exactly what Talos would."""
        theirs = ask(program, [patched(case.text, case.patch) for case in generated])
        ours = ask(program, [patched(case.whole) for case in generated])
        assert [answered(a) for a in ours] == [answered(a) for a in theirs]

    def test_a_worker_gets_no_authoritys_key(self, generated: list[Case], secrets: dict[str, Any]) -> None:
        keys = [pair["key"] for pair in secrets["certs"].values()]
        workers = [case.text for case in generated if case.title.startswith("worker")]
        assert workers
        assert not [key for key in keys for text in workers if key in text]

    def test_a_pools_configuration_alone_writes_no_disk(self, generated: list[Case]) -> None:
        assert all(
            "disk: /dev/disk/by-id/none-until-a-node-is-named" in text for text in (case.text for case in generated)
        )


class TestBroken:
    """What Talos would refuse on the machine is refused here."""

    @pytest.mark.parametrize(
        ("change", "found"),
        [
            ({"machine": {"instal": {}}}, "unknown keys found"),
            ({"machine": {"sysctls": {"vm.nr_hugepages": {"a": 1}}}}, "cannot"),
            ({"cluster": {"controlPlane": {"endpoint": "no url"}}}, "endpoint"),
            ({"machine": {"type": "president"}}, "machine type"),
            ({"machine": {"nodeLabels": {"no label!": "x"}}}, "node labels"),
        ],
    )
    def test_document(self, change: dict[str, Any], found: str, program: Path, generated: list[Case]) -> None:
        whole = completed(generated[0].whole, json.dumps(change), "x")
        [answer] = ask(program, [{"verb": "validate", "mode": "metal", "configuration": whole}])
        with pytest.raises(TalosRefused, match=found):
            answered(answer)

    def test_no_disk_on_metal(self, program: Path, generated: list[Case]) -> None:
        whole = generated[0].whole.replace("/dev/disk/by-id/nvme-OS_c1", "")
        metal, cloud = ask(
            program,
            [{"verb": "validate", "mode": mode, "configuration": whole} for mode in ("metal", "cloud")],
        )
        assert "install disk" in metal["error"]
        assert cloud == {"valid": True}

    @pytest.mark.parametrize("request_", [{"verb": "destroy"}, {"verb": "validate", "mode": "moon"}, {}])
    def test_question(self, request_: dict[str, Any], program: Path) -> None:
        [answer] = ask(program, [request_])
        assert "expected" in answer["error"]
