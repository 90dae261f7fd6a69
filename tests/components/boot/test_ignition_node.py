"""components/boot/ignition_node.py: the installed system of every operating system that Ignition configures."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable

import pytest

from components.boot.digest import BLANK
from components.boot.identity import host_id, host_nqn
from components.boot.ignition import Ignition, inlined, parse
from components.boot.systems import pool_boot
from components.environment import Environment
from components.images.lock import Lock
from tests.components.boot.fleet import IMAGES

Environments = Callable[..., Environment]
Locks = Callable[..., Lock]
IGNITION = ["fedora-coreos", "flatcar"]


@pytest.fixture(params=IGNITION)
def os(request: pytest.FixtureRequest) -> str:
    """Each system in turn."""
    return str(request.param)


def configure(environment: Environment, lock: Lock, pool: str, host: str, generation: str = BLANK) -> Ignition:
    own = environment.pools[pool].machines.own(host)
    return parse(pool_boot(environment, lock, pool).configuration(own, generation))


def texts(configuration: Ignition) -> dict[str, str]:
    """Path -> contents, of all files whose contents are inline."""
    found = {f.path: inlined(f.contents) for f in configuration.storage.files}
    return {path: data.decode() for path, data in found.items() if data is not None}


class TestIdentity:
    """A node is the same node after every replacement."""

    def test_hostname(self, stack: Environments, lock: Locks) -> None:
        assert texts(configure(stack(), lock(), "hci", "w2"))["/etc/hostname"] == "w2\n"

    def test_nvme_host(self, stack: Environments, lock: Locks) -> None:
        found = texts(configure(stack(), lock(), "hci", "w2"))
        assert uuid.UUID(found["/etc/nvme/hostid"].strip()).version == 5
        assert found["/etc/nvme/hostnqn"].strip() == f"nqn.2014-08.org.nvmexpress:uuid:{host_id('metal', 'w2')}"

    def test_is_known_by_heart(self) -> None:
        """A change here would give every node of every fleet another identity."""
        assert host_nqn("metal", "w2") == "nqn.2014-08.org.nvmexpress:uuid:ed2f39a7-137e-5031-9e9f-1dda9fcf285f"

    def test_differs_between_nodes_and_clusters(self) -> None:
        assert len({host_id(c, n) for c in ("a", "b") for n in ("w1", "w2")}) == 4

    def test_survives_a_new_image(self, os: str, stack: Environments, lock: Locks) -> None:
        old, new = (texts(configure(stack({"image": image}), lock(), "hci", "w1")) for image in IMAGES[os])
        assert old["/etc/nvme/hostid"] == new["/etc/nvme/hostid"]


class TestSystem:
    """What every node is."""

    def test_loads_nvme_tcp(self, stack: Environments, lock: Locks) -> None:
        for pool, host in (("control", "c1"), ("hci", "w1")):
            found = texts(configure(stack(), lock(), pool, host))
            assert found["/etc/modules-load.d/nvme-tcp.conf"] == "nvme-tcp\n"

    def test_forwards(self, stack: Environments, lock: Locks) -> None:
        only_4 = texts(configure(stack(), lock(), "hci", "w1"))["/etc/sysctl.d/90-kubernetes.conf"]
        assert "net.ipv4.ip_forward = 1\n" in only_4
        assert "ipv6" not in only_4
        wide = stack({"cluster/pod_cidr": "fd00:10::/48", "cluster/service_cidr": "fd00:20::/108"})
        both = texts(configure(wide, lock(), "hci", "w1"))["/etc/sysctl.d/90-kubernetes.conf"]
        assert "net.ipv6.conf.all.forwarding = 1\n" in both

    def test_opens_no_login(self, stack: Environments, lock: Locks) -> None:
        made = configure(stack(), lock(), "hci", "w1")
        assert made.passwd.users == ()
        assert b"ssh" not in made.to_bytes()

    def test_names_data_disks_and_touches_none(self, stack: Environments, lock: Locks) -> None:
        made = configure(stack(), lock(), "hci", "w1")
        assert texts(made)["/etc/ingot/data-disks"] == "/dev/disk/by-id/nvme-A_1\n/dev/disk/by-id/nvme-B_1\n"
        assert made.storage.disks == ()
        assert made.storage.filesystems == ()

    def test_knows_its_generation(self, stack: Environments, lock: Locks) -> None:
        made = configure(stack(), lock(), "hci", "w1", "0123456789abcdef")
        assert texts(made)["/etc/ingot/generation"] == "0123456789abcdef\n"
        assert parse(made.to_bytes()) == made


class TestKubeadm:
    """Everything but the secrets is known before the machine boots."""

    def test_a_control_plane_can_begin_a_cluster(self, stack: Environments, lock: Locks) -> None:
        found = texts(configure(stack(), lock(), "control", "c1"))
        cluster = json.loads(found["/etc/ingot/kubeadm/cluster.json"])
        assert cluster["controlPlaneEndpoint"] == "api.example:6443"
        assert cluster["kubernetesVersion"] == "v1.36.3"
        assert cluster["networking"] == {"podSubnet": "10.244.0.0/16", "serviceSubnet": "10.96.0.0/12"}
        assert json.loads(found["/etc/ingot/kubeadm/init.json"])["nodeRegistration"]["name"] == "c1"
        assert json.loads(found["/etc/ingot/kubeadm/join.json"])["controlPlane"] == {}

    def test_a_worker_can_only_join(self, stack: Environments, lock: Locks) -> None:
        found = texts(configure(stack(), lock(), "hci", "w1"))
        assert "/etc/ingot/kubeadm/cluster.json" not in found
        assert "/etc/ingot/kubeadm/init.json" not in found
        assert "controlPlane" not in json.loads(found["/etc/ingot/kubeadm/join.json"])

    def test_labels_are_there_when_the_node_registers(self, stack: Environments, lock: Locks) -> None:
        found = texts(configure(stack(), lock(), "hci", "w2"))
        (told,) = json.loads(found["/etc/ingot/kubeadm/join.json"])["nodeRegistration"]["kubeletExtraArgs"]
        assert told["name"] == "node-labels"
        assert told["value"] == "io.simplyblock.node-type=simplyblock-storage-plane,topology.kubernetes.io/zone=rack-0"

    def test_an_address_of_ipv6_is_bracketed(self, stack: Environments, lock: Locks) -> None:
        made = stack({"cluster/endpoint": "fd00::1", "cluster/endpoint_port": 7443})
        found = texts(configure(made, lock(), "control", "c1"))
        assert "INGOT_ENDPOINT='[fd00::1]:7443'\n" in found["/etc/ingot/environment"]
