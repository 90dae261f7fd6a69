"""components/boot/fedora_coreos.py: what of the installed system is its own. test_ignition_node.py has the rest."""

from __future__ import annotations

from collections.abc import Callable

from components.boot.digest import BLANK
from components.boot.ignition import Ignition, Verification, inlined, parse
from components.boot.systems import pool_boot
from components.environment import Environment
from components.images.lock import Lock

Environments = Callable[..., Environment]
Locks = Callable[..., Lock]


def configure(environment: Environment, lock: Lock, pool: str, host: str, generation: str = BLANK) -> Ignition:
    own = environment.pools[pool].machines.own(host)
    return parse(pool_boot(environment, lock, pool).configuration(own, generation))


def texts(configuration: Ignition) -> dict[str, str]:
    """Path -> contents, of all files whose contents are inline."""
    found = {f.path: inlined(f.contents) for f in configuration.storage.files}
    return {path: data.decode() for path, data in found.items() if data is not None}


class TestSystem:
    """The image as it was published, with Kubernetes beside it."""

    def test_never_updates_itself(self, environment: Environments, lock: Locks) -> None:
        found = texts(configure(environment(), lock(), "control", "c1"))
        assert found["/etc/zincati/config.d/90-disable-auto-updates.toml"] == "[updates]\nenabled = false\n"

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
