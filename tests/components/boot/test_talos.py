"""components/boot/talos.py: what a Talos machine is told, and what it never is."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from pydantic import ValidationError

from components.boot.contract import BootConfigurationError
from components.boot.machine_config import Install, MachineFile
from components.boot.pin import pins, publish
from components.boot.talos import UNSET
from components.environment import Environment
from components.images.lock import UnknownRelease
from tests.components.boot.fleet import SCHEMATIC, kept
from tests.components.boot.talos_fleet import (
    GENERATION,
    NEXT,
    boot,
    environment,
    image,
    lock,
    own,
    release,
)

ALL = {"c1", "c2", "c3", "w1", "w2", "w3"}
WORKERS = {"w1", "w2", "w3"}
W1 = "pools/hci/machines/hosts/w1"
PINNED = f"images/talos/v1.13.8+{SCHEMATIC}/x86_64"


def documents(text: str) -> list[dict[str, Any]]:
    return [json.loads(part) for part in text.split("---\n")]


def shared(of: Environment, pool: str = "hci") -> dict[str, Any]:
    return documents(boot(of, pool).shared())[0]


def node(of: Environment, name: str = "w1") -> list[dict[str, Any]]:
    return documents(boot(of, str(of.pool_of(name))).own(own(of, name), GENERATION))


class TestInstallation:
    """Talos installs itself, from what is pinned, on the one disk that is named."""

    def test_the_installer_by_digest_and_the_disk_by_stable_id(self) -> None:
        of = environment()
        installer = lock().release("talos", "v1.13.8", "x86_64", SCHEMATIC).installer
        assert shared(of)["machine"]["install"] == {"disk": UNSET, "image": installer, "wipe": True}
        assert node(of)[0]["machine"]["install"] == {"disk": "/dev/disk/by-id/nvme-OS_w1"}

    def test_data_disks_are_named_to_nothing_that_writes(self) -> None:
        config = node(environment())[0]["machine"]
        [told] = [f["content"] for f in config.pop("files") if f["path"] == "/var/lib/ingot/data-disks"]
        assert told == "/dev/disk/by-id/nvme-A_1\n/dev/disk/by-id/nvme-B_1\n"
        assert "nvme-A_1" not in json.dumps(config)

    def test_starts_from_the_boot_store_and_asks_for_its_configuration(self) -> None:
        published = publish(environment(), lock(), "w1")
        [(path, script)] = published.files.items()
        assert path == f"boot/{published.generation}/w1.ipxe"
        assert published.boot_url == f"https://boot.example/{path}"
        lines = script.decode().splitlines()
        kernel = next(line for line in lines if line.startswith("kernel "))
        assert f" {kept('v1.13.8/x86_64/pxe-kernel')} " in kernel
        assert "talos.config=https://boot.example/once/w1" in kernel.split()
        assert f"initrd --name main {kept('v1.13.8/x86_64/pxe-initramfs')} || goto again" in lines
        assert published.keeps == ("pxe-kernel", "pxe-initramfs")

    def test_the_script_in_full(self) -> None:
        published = publish(environment(), lock(), "w1")
        [script] = published.files.values()
        base = "v1.13.8/x86_64"
        assert script.decode().splitlines() == [
            "#!ipxe",
            f"# Installs talos v1.13.8 (x86_64, schematic {SCHEMATIC[:12]}) on w1.",
            ":start",
            f"kernel {kept(f'{base}/pxe-kernel')} {' '.join(published.kernel_arguments)} || goto again",
            f"initrd --name main {kept(f'{base}/pxe-initramfs')} || goto again",
            "boot || goto again",
            ":again",
            "echo Could not start the installer; trying again in 10 s",
            "imgfree",
            "sleep 10",
            "goto start",
        ]
        assert published.kernel_arguments[0] == "initrd=main"

    def test_a_disk_with_talos_on_it_decides_nothing(self) -> None:
        """What is on the disk goes before what the machine is told, so such a machine must not start at all."""
        assert "talos.halt_if_installed=1" in publish(environment(), lock(), "w1").kernel_arguments

    def test_wipes_no_disk_by_its_labels(self) -> None:
        assert not [a for a in publish(environment(), lock(), "w1").kernel_arguments if "wipe" in a]


class TestNode:
    """What makes a configuration one node's."""

    def test_its_name_and_nothing_made_up(self) -> None:
        assert node(environment())[1] == {
            "apiVersion": "v1alpha1",
            "kind": "HostnameConfig",
            "auto": "off",
            "hostname": "w1",
        }

    def test_its_identity_for_storage_outlives_an_installation(self) -> None:
        files = {f["path"]: f for f in node(environment())[0]["machine"]["files"]}
        host_id = files["/etc/nvme/hostid"]["content"].strip()
        assert files["/etc/nvme/hostnqn"]["content"] == f"nqn.2014-08.org.nvmexpress:uuid:{host_id}\n"
        again = {f["path"]: f for f in node(environment({"image": image(NEXT)}))[0]["machine"]["files"]}
        assert again["/etc/nvme/hostid"] == files["/etc/nvme/hostid"]

    def test_says_which_generation_it_runs(self) -> None:
        files = {f["path"]: f["content"] for f in node(environment())[0]["machine"]["files"]}
        assert files["/var/lib/ingot/generation"] == f"{GENERATION}\n"

    def test_registers_with_its_labels(self) -> None:
        [arguments] = [node(environment())[0]["machine"]["kubelet"]["extraArgs"]]
        assert arguments == {
            "node-labels": "io.simplyblock.node-type=simplyblock-storage-plane,topology.kubernetes.io/zone=rack-2"
        }


class TestPool:
    """What the nodes of a pool share."""

    def test_memory_for_storage_only_where_it_is_stored(self) -> None:
        of = environment({"storage/driver/hugepages_mib": 2050})
        assert shared(of)["machine"]["sysctls"] == {"vm.nr_hugepages": "1025"}
        assert "sysctls" not in shared(of, "control")["machine"]

    def test_no_module_for_nvme_over_tcp_it_is_built_in(self) -> None:
        assert shared(environment())["machine"]["kernel"] == {"modules": [{"name": "nbd"}, {"name": "vfio_pci"}]}

    def test_the_network_is_the_fleets(self) -> None:
        cluster = shared(environment({"cluster/pod_cidr": "10.128.0.0/16"}))["cluster"]
        assert cluster["network"] == {
            "cni": {"name": "none"},
            "podSubnets": ["10.128.0.0/16"],
            "serviceSubnets": ["10.96.0.0/12"],
        }

    def test_nobody_outside_is_asked_for_members(self) -> None:
        assert shared(environment())["cluster"]["discovery"] == {"enabled": False}

    def test_the_charts_may_have_the_host(self) -> None:
        [plugin] = shared(environment(), "control")["cluster"]["apiServer"]["admissionControl"]
        assert plugin["configuration"]["exemptions"]["namespaces"] == ["kube-flannel", "simplyblock"]

    def test_the_kubelet_is_the_pinned_one(self) -> None:
        assert shared(environment())["machine"]["kubelet"]["image"] == "ghcr.io/siderolabs/kubelet:v1.36.3"


class TestSettings:
    """What the stack file asks of every machine besides."""

    def test_time_and_registries(self) -> None:
        of = environment(
            {
                "settings/time_servers": ["ntp.example"],
                "settings/registry_mirrors": {"docker.io": ["https://m.example", "https://m.example/v2/hub"]},
            }
        )
        time, registry = documents(boot(of).shared())[1:]
        assert (time["kind"], time["ntp"]) == ("TimeSyncConfig", {"servers": ["ntp.example"]})
        assert (registry["kind"], registry["name"]) == ("RegistryMirrorConfig", "docker.io")
        assert registry["endpoints"] == [
            {"url": "https://m.example"},
            {"url": "https://m.example/v2/hub", "overridePath": True},
        ]

    def test_a_disk_of_the_hosts_own_is_found_by_its_stable_id(self) -> None:
        of = environment({f"{W1}/mounts": {"logs": {"disk": "/dev/disk/by-id/nvme-LOGS"}}})
        volume = node(of)[2]
        assert (volume["kind"], volume["name"], volume["volumeType"]) == ("UserVolumeConfig", "logs", "disk")
        assert volume["provisioning"] == {"diskSelector": {"match": '"/dev/disk/by-id/nvme-LOGS" in disk.symlinks'}}
        assert volume["filesystem"] == {"type": "xfs"}

    def test_a_name_that_talos_cannot_mount_is_refused(self) -> None:
        of = environment({f"{W1}/mounts": {"l" * 35: {"disk": "/dev/disk/by-id/nvme-LOGS"}}})
        with pytest.raises(BootConfigurationError, match="host w1: expected names of mounts of 34 characters"):
            pins(of, lock())


class TestHoldsNoSecret:
    """What is published or digested says nothing that opens anything."""

    def test_in_no_patch_is_a_field_for_one(self) -> None:
        of = environment()
        text = boot(of, "control").configuration(own(of, "c1"), GENERATION).decode()
        keys = set(re.findall(r'"([A-Za-z-]+)":', text))
        assert not keys & {"token", "key", "ca", "crt", "secret", "bootstrapToken", "secretboxEncryptionSecret"}


class TestWhatAChangeReplaces:
    """Each change, and exactly the nodes that it replaces."""

    @pytest.mark.parametrize(
        ("changes", "nodes"),
        [
            ({"image": image(NEXT)}, ALL),
            ({"pools/hci/image": image(NEXT)}, WORKERS),
            ({"image/architecture": "aarch64"}, ALL),
            ({"cluster/kubernetes": "v1.36.4"}, ALL),
            ({"cluster/endpoint": "api2.example"}, ALL),
            ({"cluster/endpoint_port": 7443}, ALL),
            ({"cluster/pod_cidr": "10.128.0.0/16"}, ALL),
            ({"boot_store/url": "https://boot2.example"}, ALL),
            ({"storage/driver/hugepages_mib": 4096}, WORKERS),
            ({f"{W1}/os_disk": "/dev/disk/by-id/nvme-NEW"}, {"w1"}),
            ({f"{W1}/fault_domain": "rack-9"}, {"w1"}),
            ({f"{W1}/mac": "52:54:00:00:00:99"}, set()),
            ({"pools/hci/rollout/canary": False}, set()),
            ({"limits": {"drain_s": 60}}, set()),
        ],
    )
    def test_stack_file(self, changes: dict[str, Any], nodes: set[str]) -> None:
        before, after = pins(environment(), lock()), pins(environment(changes), lock())
        assert {n for n in before if before[n].generation != after[n].generation} == nodes

    @pytest.mark.parametrize(
        ("changes", "nodes"),
        [
            ({f"{PINNED}/installer": f"factory.example/metal-installer/{SCHEMATIC}:v1.13.8@sha256:{'d' * 64}"}, ALL),
            ({f"{PINNED}/artifacts/pxe-kernel/sha256": "d" * 64}, ALL),
            ({f"{PINNED}/artifacts/pxe-initramfs/sha256": "d" * 64}, ALL),
            ({f"{PINNED}/artifacts/iso/sha256": "d" * 64}, set()),
        ],
    )
    def test_lock(self, changes: dict[str, Any], nodes: set[str]) -> None:
        before, after = pins(environment(), lock()), pins(environment(), lock(changes))
        assert {n for n in before if before[n].generation != after[n].generation} == nodes

    def test_a_rotated_secret_by_its_number(self) -> None:
        before, after = (pins(environment(), lock(), {"talos": number}) for number in (1, 2))
        assert {n for n in before if before[n].generation != after[n].generation} == ALL


class TestRefused:
    """At preview, before anything is registered."""

    def test_a_release_that_the_provider_does_not_know(self) -> None:
        later = {f"images/talos/v1.14.0+{SCHEMATIC}": release("v1.14.0")}
        with pytest.raises(BootConfigurationError, match=r"expected Talos 1\.13 at most, found v1\.14\.0"):
            pins(environment({"image": image("v1.14.0")}), lock(later))

    def test_a_release_without_an_installer(self) -> None:
        with pytest.raises(BootConfigurationError, match="expected an installer by digest, found none"):
            pins(environment(), lock({f"{PINNED}/installer": None}))

    def test_a_schematic_that_is_not_pinned(self) -> None:
        with pytest.raises(UnknownRelease, match=r"talos v1\.13\.8"):
            pins(environment({"image/schematic": "f" * 64}), lock())

    @pytest.mark.parametrize(
        "given",
        [
            {"path": "relative", "content": "", "permissions": 0o644, "op": "create"},
            {"path": "/var/../etc/x", "content": "", "permissions": 0o644, "op": "create"},
            {"path": "/var/lib/x", "content": "", "permissions": 0o4755, "op": "create"},
            {"path": "/var/lib/x", "content": "", "permissions": 0o644, "op": "append"},
        ],
    )
    def test_a_file_that_is_none(self, given: dict[str, Any]) -> None:
        with pytest.raises(ValidationError):
            MachineFile.model_validate(given)

    def test_a_field_that_talos_does_not_have(self) -> None:
        with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
            Install.model_validate({"disk": "/dev/disk/by-id/x", "zero": True})
