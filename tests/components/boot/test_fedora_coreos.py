"""components/boot/fedora_coreos.py: the installed system, as the stack file and the lock say."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterator
from typing import Any, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from components.boot import ignition_rules
from components.boot.contract import Asked, BootConfigurationError, Own, ask
from components.boot.digest import BLANK
from components.boot.identity import host_id, host_nqn
from components.boot.ignition import Ignition, Verification, inlined, parse
from components.boot.systems import pool_boot
from components.environment import Environment
from components.images.lock import KubernetesRelease, Lock, Release

Environments = Callable[..., Environment]
Locks = Callable[..., Lock]
FIXED = settings(derandomize=True, deadline=None, max_examples=30)


def configure(environment: Environment, lock: Lock, pool: str, host: str, generation: str = BLANK) -> Ignition:
    own = Own.of(host, environment.pools[pool].machines.hosts[host])
    return parse(pool_boot(environment, lock, pool).configuration(own, generation))


def texts(configuration: Ignition) -> dict[str, str]:
    """Path -> contents, of all files whose contents are inline."""
    found = {f.path: inlined(f.contents) for f in configuration.storage.files}
    return {path: data.decode() for path, data in found.items() if data is not None}


def leaves(document: Any, at: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every text of a document with the keys that lead to it."""
    if isinstance(document, dict):
        for key, value in document.items():
            yield from leaves(value, (*at, key))
    elif isinstance(document, list):
        for i, value in enumerate(document):
            yield from leaves(value, (*at, str(i)))
    elif isinstance(document, str):
        yield at, document


def replaced(document: Any, at: tuple[str, ...], value: str) -> Any:
    """A copy of the document with another text in one place."""
    if not at:
        return value
    if isinstance(document, list):
        return [replaced(v, at[1:], value) if str(i) == at[0] else v for i, v in enumerate(document)]
    return {k: replaced(v, at[1:], value) if k == at[0] else v for k, v in document.items()}


class TestIdentity:
    """A node is the same node after every replacement."""

    def test_hostname(self, environment: Environments, lock: Locks) -> None:
        assert texts(configure(environment(), lock(), "hci", "w2"))["/etc/hostname"] == "w2\n"

    def test_nvme_host(self, environment: Environments, lock: Locks) -> None:
        found = texts(configure(environment(), lock(), "hci", "w2"))
        assert uuid.UUID(found["/etc/nvme/hostid"].strip()).version == 5
        assert found["/etc/nvme/hostnqn"].strip() == f"nqn.2014-08.org.nvmexpress:uuid:{host_id('metal', 'w2')}"

    def test_is_known_by_heart(self) -> None:
        """A change here would give every node of every fleet another identity."""
        assert host_nqn("metal", "w2") == "nqn.2014-08.org.nvmexpress:uuid:ed2f39a7-137e-5031-9e9f-1dda9fcf285f"

    def test_differs_between_nodes_and_clusters(self) -> None:
        assert len({host_id(c, n) for c in ("a", "b") for n in ("w1", "w2")}) == 4

    def test_survives_a_new_image(self, environment: Environments, lock: Locks) -> None:
        old, new = (
            texts(configure(environment({"image/version": version}), lock(), "hci", "w1"))
            for version in ("44.20260101.3.0", "44.20260202.3.0")
        )
        assert old["/etc/nvme/hostid"] == new["/etc/nvme/hostid"]


class TestSystem:
    """What every node is."""

    def test_never_updates_itself(self, environment: Environments, lock: Locks) -> None:
        found = texts(configure(environment(), lock(), "control", "c1"))
        assert found["/etc/zincati/config.d/90-disable-auto-updates.toml"] == "[updates]\nenabled = false\n"

    def test_loads_nvme_tcp(self, environment: Environments, lock: Locks) -> None:
        for pool, host in (("control", "c1"), ("hci", "w1")):
            found = texts(configure(environment(), lock(), pool, host))
            assert found["/etc/modules-load.d/nvme-tcp.conf"] == "nvme-tcp\n"

    def test_forwards(self, environment: Environments, lock: Locks) -> None:
        only_4 = texts(configure(environment(), lock(), "hci", "w1"))["/etc/sysctl.d/90-kubernetes.conf"]
        assert "net.ipv4.ip_forward = 1\n" in only_4
        assert "ipv6" not in only_4
        wide = environment({"cluster/pod_cidr": "fd00:10::/48", "cluster/service_cidr": "fd00:20::/108"})
        both = texts(configure(wide, lock(), "hci", "w1"))["/etc/sysctl.d/90-kubernetes.conf"]
        assert "net.ipv6.conf.all.forwarding = 1\n" in both

    def test_sets_hugepages_aside_on_storage_nodes_only(self, environment: Environments, lock: Locks) -> None:
        made = environment({"storage/driver/hugepages_mib": 4096})
        assert configure(made, lock(), "hci", "w1").kernel_arguments.should_exist == ("hugepagesz=2M", "hugepages=2048")
        assert configure(made, lock(), "control", "c1").kernel_arguments.should_exist == ()

    def test_verifies_every_program_it_fetches(self, environment: Environments, lock: Locks) -> None:
        kubernetes = lock().kubernetes_release("v1.36.3", "x86_64")
        wanted = {
            "/usr/local/bin/kubeadm": kubernetes.kubeadm,
            "/usr/local/bin/kubectl": kubernetes.kubectl,
            "/usr/local/bin/kubelet": kubernetes.kubelet,
            "/var/lib/ingot/archives/cni-plugins.tgz": kubernetes.cni_plugins,
            "/var/lib/ingot/archives/crictl.tar.gz": kubernetes.crictl,
        }
        made = configure(environment(), lock(), "hci", "w1")
        for file in made.storage.files:
            if inlined(file.contents) is None:
                artifact = wanted.pop(file.path)
                assert file.contents is not None
                assert file.contents.source == artifact.url
                assert file.contents.verification == Verification(hash=f"sha256-{artifact.sha256}")
        assert wanted == {}

    def test_takes_the_programs_of_its_architecture(self, environment: Environments, lock: Locks) -> None:
        made = configure(environment({"image/architecture": "aarch64"}), lock(), "hci", "w1")
        assert b"/aarch64/kubelet" in made.to_bytes()
        assert b"/x86_64/" not in made.to_bytes()

    def test_starts_what_it_needs(self, environment: Environments, lock: Locks) -> None:
        made = configure(environment(), lock(), "hci", "w1")
        assert {u.name for u in made.systemd.units if u.enabled} == {
            "containerd.service",
            "ingot-join.service",
            "ingot-unpack.service",
            "kubelet.service",
        }

    def test_opens_no_login(self, environment: Environments, lock: Locks) -> None:
        made = configure(environment(), lock(), "hci", "w1")
        assert made.passwd.users == ()
        assert b"ssh" not in made.to_bytes()

    def test_names_data_disks_and_touches_none(self, environment: Environments, lock: Locks) -> None:
        made = configure(environment(), lock(), "hci", "w1")
        assert texts(made)["/etc/ingot/data-disks"] == "/dev/disk/by-id/nvme-A_1\n/dev/disk/by-id/nvme-B_1\n"
        assert made.storage.disks == ()
        assert made.storage.filesystems == ()

    def test_knows_its_generation(self, environment: Environments, lock: Locks) -> None:
        made = configure(environment(), lock(), "hci", "w1", "0123456789abcdef")
        assert texts(made)["/etc/ingot/generation"] == "0123456789abcdef\n"
        assert parse(made.to_bytes()) == made


class TestKubeadm:
    """Everything but the secrets is known before the machine boots."""

    def test_a_control_plane_can_begin_a_cluster(self, environment: Environments, lock: Locks) -> None:
        found = texts(configure(environment(), lock(), "control", "c1"))
        cluster = json.loads(found["/etc/ingot/kubeadm/cluster.json"])
        assert cluster["controlPlaneEndpoint"] == "api.example:6443"
        assert cluster["kubernetesVersion"] == "v1.36.3"
        assert cluster["networking"] == {"podSubnet": "10.244.0.0/16", "serviceSubnet": "10.96.0.0/12"}
        assert json.loads(found["/etc/ingot/kubeadm/init.json"])["nodeRegistration"]["name"] == "c1"
        assert json.loads(found["/etc/ingot/kubeadm/join.json"])["controlPlane"] == {}

    def test_a_worker_can_only_join(self, environment: Environments, lock: Locks) -> None:
        found = texts(configure(environment(), lock(), "hci", "w1"))
        assert "/etc/ingot/kubeadm/cluster.json" not in found
        assert "/etc/ingot/kubeadm/init.json" not in found
        assert "controlPlane" not in json.loads(found["/etc/ingot/kubeadm/join.json"])

    def test_labels_are_there_when_the_node_registers(self, environment: Environments, lock: Locks) -> None:
        found = texts(configure(environment(), lock(), "hci", "w2"))
        (told,) = json.loads(found["/etc/ingot/kubeadm/join.json"])["nodeRegistration"]["kubeletExtraArgs"]
        assert told["name"] == "node-labels"
        assert told["value"] == "io.simplyblock.node-type=simplyblock-storage-plane,topology.kubernetes.io/zone=rack-0"

    def test_an_address_of_ipv6_is_bracketed(self, environment: Environments, lock: Locks) -> None:
        made = environment({"cluster/endpoint": "fd00::1", "cluster/endpoint_port": 7443})
        found = texts(configure(made, lock(), "control", "c1"))
        assert "INGOT_ENDPOINT='[fd00::1]:7443'\n" in found["/etc/ingot/environment"]


class TestRefuses:
    """What does not fit together, all of it at once."""

    def test_all_that_was_looked_up_wrongly(self, environment: Environments, lock: Locks) -> None:
        release = lock().release("fedora-coreos", "44.20260202.3.0", "x86_64")
        made = environment({"pools/hci/machines/hosts/w1/data_disks": ["/dev/disk/by-id/nvme-OS_w1"]})
        with pytest.raises(BootConfigurationError) as refused:
            ask(made, "hci", release, lock().kubernetes_release("v1.36.4", "aarch64"))
        assert len(refused.value.problems) == 4
        for found in ("image of its pool", "Kubernetes v1.36.3", "Kubernetes for x86_64", "among its data disks"):
            assert any(found in p for p in refused.value.problems), found

    @pytest.mark.parametrize("end", ["a'b", "$(x)", "a\\b"])
    def test_a_boot_store_that_means_more_than_itself(self, end: str, environment: Environments, lock: Locks) -> None:
        url = f"https://boot.example/{end}"
        with pytest.raises(BootConfigurationError, match=r"boot_store\.url"):
            configure(environment({"boot_store/url": url}), lock(), "hci", "w1")


SECRETS = {
    "PEM": re.compile(rb"-----BEGIN"),
    "a bootstrap token": re.compile(rb"(?<![a-z0-9.])[a-z0-9]{6}\.[a-z0-9]{16}(?![a-z0-9])"),
    "a JSON web token": re.compile(rb"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"),
    "a password hash": re.compile(rb"\$(1|2[aby]|5|6|y)\$"),
    "an AWS key": re.compile(rb"AKIA[0-9A-Z]{16}"),
}
PEM = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE\n-----END EC PRIVATE KEY-----\n"


def unfolded(data: bytes) -> bytes:
    """A configuration with everything that is inline in it written out, also what is inline in that."""
    out = [data]
    for file in parse(data).storage.files:
        inner = inlined(file.contents)
        if inner is not None:
            out.append(unfolded(inner) if file.path.endswith(".ign") else inner)
    return b"\n".join(out)


class TestHoldsNoSecret:
    """Whatever is published is public."""

    @pytest.mark.parametrize("shape", SECRETS)
    @pytest.mark.parametrize("host", ["c1", "w1"])
    def test_none_of_this_shape(self, shape: str, host: str, environment: Environments, lock: Locks) -> None:
        made, pool = environment(), "control" if host == "c1" else "hci"
        assert not SECRETS[shape].search(unfolded(configure(made, lock(), pool, host).to_bytes()))

    def test_the_shapes_are_found_where_they_are(self) -> None:
        samples = (PEM, "abcdef.0123456789abcdef", "eyJhbGciOiJ9.eyJzdWIiOiIx.x", "$6$salt$x", "AKIA" + "A" * 16)
        for pattern, sample in zip(SECRETS.values(), samples, strict=True):
            assert pattern.search(sample.encode())

    def test_no_input_is_of_a_type_that_carries_one(self) -> None:
        assert get_type_hints(Asked) == {
            "environment": Environment,
            "role": str,
            "stores": bool,
            "release": Release,
            "kubernetes": KubernetesRelease,
        }

    def test_no_text_of_the_stack_file_can_bring_one_in(self, document: dict[str, Any], lock: Locks) -> None:
        tried = 0
        for at, _ in leaves(document):
            tried += 1
            with pytest.raises(ValidationError):
                Environment.model_validate(replaced(document, at, PEM))
        assert tried > 40

    def test_no_text_of_the_lock_can_bring_one_in(self, lock: Locks) -> None:
        pinned = json.loads(lock().to_bytes())
        for at, _ in list(leaves(pinned))[:60]:
            with pytest.raises(ValidationError):
                Lock.model_validate(replaced(pinned, at, PEM))


LABEL = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,8}[a-z0-9])?", fullmatch=True)
DISK = st.from_regex(r"/dev/disk/by-(id|path)/[-A-Za-z0-9_.:+=@#]{1,20}", fullmatch=True)
DOMAIN = st.from_regex(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,8}[A-Za-z0-9])?", fullmatch=True)


class TestAnyFleet:
    """Whatever a valid stack file says, what comes out keeps to the specification."""

    @FIXED
    @given(
        name=LABEL,
        cluster=LABEL,
        disks=st.lists(DISK, min_size=1, max_size=5, unique=True),
        domain=DOMAIN,
        pages=st.integers(1024, 2_000_000),
        role=st.sampled_from(["control-plane", "worker"]),
        architecture=st.sampled_from(["x86_64", "aarch64"]),
    )
    def test_configures(
        self, name: str, cluster: str, disks: list[str], domain: str, pages: int, role: str, architecture: str
    ) -> None:
        environment, lock = _ENVIRONMENT, _LOCK
        host = {
            "bmc": {"url": "https://bmc.example/redfish/v1/Systems/1"},
            "mac": "52:54:00:00:00:01",
            "os_disk": disks[0],
            "data_disks": disks[1:],
            "fault_domain": domain,
        }
        made = environment | {
            "cluster": environment["cluster"] | {"name": cluster},
            "image": environment["image"] | {"architecture": architecture},
            "pools": {"only": {"role": role, "machines": {"hosts": {name: host}}}},
            "storage": environment["storage"] | {"nodes": ["only"]},
        }
        made["storage"]["driver"] = made["storage"]["driver"] | {"hugepages_mib": 2 * pages}
        declared = Environment.model_validate(made)
        pool = pool_boot(declared, lock, "only")
        own = Own.of(name, declared.pools["only"].machines.hosts[name])
        installed = configure(declared, lock, "only", name)
        assert parse(installed.to_bytes()) == installed
        published = pool.publication(own, BLANK)
        for path, data in published.files.items():
            if path.endswith(".ign"):
                assert ignition_rules.faults(json.loads(data)) == ()
                assert parse(data).to_bytes() == data
            else:
                assert published.kernel_arguments[-1] == f"coreos.inst.install_dev={disks[0]}"


_ENVIRONMENT: dict[str, Any] = {
    "cluster": {"name": "any", "kubernetes": "v1.36.3", "endpoint": "api.example"},
    "image": {"os": "fedora-coreos", "version": "44.20260101.3.0"},
    "boot_store": {"url": "https://boot.example:8443/a", "directory": "/srv/boot"},
    "storage": {
        "driver": {"kind": "simplyblock", "chart_version": "26.2.8", "cluster_id": "c-1", "pool_name": "p-1"},
        "nodes": ["only"],
        "policies": {"fast": {}},
    },
}


def _artifact(name: str) -> dict[str, str]:
    url = f"https://builds.example/{name}"
    return {"url": url, "sha256": "a" * 64, "signature": f"{url}.sig"}


_LOCK = Lock.model_validate(
    {
        "images": {
            "fedora-coreos": {
                "44.20260101.3.0": {
                    a: {
                        "os_image": "Fedora CoreOS 44.20260101.3.0",
                        "artifacts": {n: _artifact(n) for n in ("pxe-kernel", "pxe-initramfs", "pxe-rootfs", "metal")},
                    }
                    for a in ("x86_64", "aarch64")
                }
            }
        },
        "kubernetes": {
            "v1.36.3": {
                a: {p: _artifact(p) for p in ("kubeadm", "kubelet", "kubectl", "crictl", "cni_plugins")}
                for a in ("x86_64", "aarch64")
            }
        },
    }
)
