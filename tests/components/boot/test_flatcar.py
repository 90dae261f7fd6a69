"""components/boot/flatcar.py: what of the installed system is Flatcar's own. test_ignition_node.py has the rest."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from components.boot.contract import BootConfigurationError
from components.boot.digest import BLANK
from components.boot.ignition import Ignition, Link, Verification, inlined, parse
from components.boot.systems import pool_boot
from components.environment import Environment
from components.images.lock import Lock
from tests.components.boot.fleet import IMAGES

Environments = Callable[..., Environment]
Locks = Callable[..., Lock]
IMAGE = {"image": IMAGES["flatcar"][0]}


def configure(environment: Environment, lock: Lock, pool: str, host: str) -> Ignition:
    own = environment.pools[pool].machines.own(host)
    return parse(pool_boot(environment, lock, pool).configuration(own, BLANK))


def text(configuration: Ignition, path: str) -> str:
    (file,) = (f for f in configuration.storage.files if f.path == path)
    data = inlined(file.contents)
    assert data is not None
    return data.decode()


def dropin(configuration: Ignition, unit: str) -> str:
    (found,) = (u for u in configuration.systemd.units if u.name == unit)
    return found.dropins[0].contents or ""


@pytest.fixture
def worker(environment: Environments, lock: Locks) -> Ignition:
    return configure(environment(IMAGE), lock(), "hci", "w1")


class TestKubernetes:
    """Arrives as one verified extension, and nothing renews it."""

    @pytest.mark.parametrize(("architecture", "ending"), [("x86_64", "x86-64"), ("aarch64", "arm64")])
    def test_is_one_extension(self, architecture: str, ending: str, environment: Environments, lock: Locks) -> None:
        made = configure(environment(IMAGE | {"image/architecture": architecture}), lock(), "hci", "w1")
        pinned = lock().kubernetes_release("v1.36.3", architecture).sysext
        assert pinned is not None
        (file,) = (f for f in made.storage.files if inlined(f.contents) is None)
        assert file.path == f"/opt/extensions/kubernetes/kubernetes-v1.36.3-{ending}.raw"
        assert file.contents is not None
        assert (file.contents.source, file.contents.verification) == (
            pinned.url,
            Verification(hash=f"sha256-{pinned.sha256}"),
        )
        # Under this name alone systemd-sysext finds the extension-release file inside.
        assert made.storage.links == (Link(path="/etc/extensions/kubernetes.raw", target=file.path),)

    def test_that_is_not_pinned_is_refused(self, environment: Environments, lock: Locks) -> None:
        with pytest.raises(
            BootConfigurationError, match=r"kubernetes v1\.36\.3 \(x86_64\) to be pinned with its system ext"
        ):
            pool_boot(environment(IMAGE), lock({"kubernetes/v1.36.3/x86_64/sysext": None}), "hci")

    def test_the_kubelet_waits_until_it_is_configured(self, worker: Ignition) -> None:
        """The extension's own drop-in would have systemd start it again and again; ours has its name."""
        assert "ConditionPathExists=/var/lib/kubelet/config.yaml\n" in dropin(worker, "kubelet.service")
        (target,) = (u for u in worker.systemd.units if u.name == "multi-user.target")
        assert [(d.name, d.contents) for d in target.dropins] == [
            ("10-kubelet-service.conf", "[Unit]\nWants=kubelet.service\n")
        ]

    def test_joins_with_the_programs_of_the_extension(self, worker: Ignition) -> None:
        (join,) = (u for u in worker.systemd.units if u.name == "ingot-join.service")
        assert join.enabled
        assert join.contents is not None
        assert "ExecStart=/opt/bin/ingot-join\n" in join.contents
        assert "Environment=PATH=/opt/bin:/usr/bin:/usr/sbin\n" in join.contents
        assert "Requires=containerd.service\n" in join.contents


class TestSystem:
    """The image as it was published."""

    def test_never_updates_itself(self, worker: Ignition) -> None:
        assert text(worker, "/etc/flatcar/update.conf") == "SERVER=disabled\n"
        masked = {u.name for u in worker.systemd.units if u.mask}
        assert {"update-engine.service", "locksmithd.service", "systemd-sysupdate.timer"} <= masked
        assert not any(u.enabled for u in worker.systemd.units if u.mask)

    def test_needs_nothing_in_usr(self, worker: Ignition) -> None:
        storage = worker.storage
        placed = [n.path for n in (*storage.files, *storage.directories, *storage.links)]
        assert placed
        assert not any(path.startswith("/usr/") for path in placed)

    def test_containerd_reads_our_configuration(self, worker: Ignition) -> None:
        """Its unit names the one in /usr, so a file in /etc alone would never be read."""
        assert "Environment=CONTAINERD_CONFIG=/etc/containerd/config.toml\n" in dropin(worker, "containerd.service")
        configured = text(worker, "/etc/containerd/config.toml")
        assert configured.startswith("version = 2\n")
        assert "    SystemdCgroup = true\n" in configured
        assert 'bin_dir = "/opt/cni/bin"\n' in configured

    @pytest.mark.parametrize(("mib", "pages"), [(2048, 1024), (4096, 2048), (2050, 1025)])
    def test_sets_hugepages_aside_on_storage_nodes_only(
        self, mib: int, pages: int, environment: Environments, lock: Locks
    ) -> None:
        """Without kernel arguments: those are in the OEM partition's grub.cfg."""
        made = environment(IMAGE | {"storage/driver/hugepages_mib": mib})
        worker, control = configure(made, lock(), "hci", "w1"), configure(made, lock(), "control", "c1")
        assert text(worker, "/etc/sysctl.d/90-hugepages.conf") == f"vm.nr_hugepages = {pages}\n"
        assert not any(f.path == "/etc/sysctl.d/90-hugepages.conf" for f in control.storage.files)
        for configuration in (worker, control):
            assert configuration.kernel_arguments.should_exist == ()


class TestOnlyItsOwn:
    """What Flatcar does not fetch does not replace its machines."""

    @pytest.mark.parametrize("name", ["kubeadm", "kubelet", "kubectl", "crictl", "cni_plugins"])
    def test_programs_of_other_systems(self, name: str, environment: Environments, lock: Locks) -> None:
        other = lock({f"kubernetes/v1.36.3/x86_64/{name}/sha256": "0" * 64})
        one, two = (configure(environment(IMAGE), found, "hci", "w1").to_bytes() for found in (lock(), other))
        assert one == two
