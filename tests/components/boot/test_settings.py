"""components/boot/settings.py: what the stack file's `settings` and a host's mounts become on a machine."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable

import pytest

from components.boot.digest import BLANK
from components.boot.ignition import Ignition, inlined, parse
from components.boot.pin import pins, publish
from components.boot.settings import escaped
from components.boot.systems import pool_boot
from components.environment import Environment
from components.images.lock import Lock

Environments = Callable[..., Environment]
Locks = Callable[..., Lock]
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f operator"
HOST = "pools/hci/machines/hosts/w1"
SCRATCH = {f"{HOST}/mounts": {"my-data": {"disk": "/dev/disk/by-id/nvme-SCRATCH_1", "filesystem": "ext4"}}}


def configuration(environment: Environment, lock: Lock, host: str = "w1") -> Ignition:
    own = environment.pools["hci"].machines.own(host)
    return parse(pool_boot(environment, lock, "hci").configuration(own, BLANK))


def texts(found: Ignition) -> dict[str, str]:
    return {f.path: data.decode() for f in found.storage.files if (data := inlined(f.contents)) is not None}


class TestSettings:
    """Of every machine."""

    def test_no_login_unless_it_is_asked_for(self, environment: Environments, lock: Locks) -> None:
        assert configuration(environment(), lock()).passwd.users == ()
        (user,) = configuration(environment({"settings": {"ssh_authorized_keys": [KEY]}}), lock()).passwd.users
        assert (user.name, user.ssh_authorized_keys) == ("core", (KEY,))

    def test_time_comes_from_the_servers_that_are_named_and_no_other(
        self, environment: Environments, lock: Locks
    ) -> None:
        assert "/etc/chrony.conf" not in texts(configuration(environment(), lock()))
        said = environment({"settings": {"time_servers": ["ntp1.example", "192.0.2.7"]}})
        lines = texts(configuration(said, lock()))["/etc/chrony.conf"].splitlines()
        assert [line for line in lines if line.split()[0] in ("server", "pool", "sourcedir")] == [
            "server ntp1.example iburst",
            "server 192.0.2.7 iburst",
        ]

    def test_images_are_asked_for_at_the_mirrors_first(self, environment: Environments, lock: Locks) -> None:
        mirrors = {
            "docker.io": ["https://a.example", "https://b.example/v2/proxy"],
            "quay.example:5000": ["https://a.example"],
        }
        found = texts(configuration(environment({"settings": {"registry_mirrors": mirrors}}), lock()))
        assert found["/etc/containerd/certs.d/docker.io/hosts.toml"] == (
            'server = "https://registry-1.docker.io"\n'
            '\n[host."https://a.example"]\n  capabilities = ["pull", "resolve"]\n'
            '\n[host."https://b.example/v2/proxy"]\n  capabilities = ["pull", "resolve"]\n  override_path = true\n'
        )
        assert 'server = "https://quay.example:5000"' in found["/etc/containerd/certs.d/quay.example:5000/hosts.toml"]
        assert 'config_path = "/etc/containerd/certs.d"' in found["/etc/containerd/config.toml"]

    @pytest.mark.parametrize(
        "said",
        [
            {"ssh_authorized_keys": [KEY]},
            {"time_servers": ["ntp.example"]},
            {"registry_mirrors": {"a.example": ["https://b.example"]}},
        ],
    )
    def test_a_change_replaces_every_machine(self, said: object, environment: Environments, lock: Locks) -> None:
        before, after = pins(environment(), lock()), pins(environment({"settings": said}), lock())
        assert [n for n in before if before[n].generation == after[n].generation] == []

    def test_the_order_of_keys_replaces_none(self, environment: Environments, lock: Locks) -> None:
        listed = [KEY, KEY.replace("BQYHCA", "BQYHCQ")]
        before, after = (
            pins(environment({"settings": {"ssh_authorized_keys": keys}}), lock()) for keys in (listed, listed[::-1])
        )
        assert {n: p.generation for n, p in before.items()} == {n: p.generation for n, p in after.items()}


class TestMounts:
    """Disks of a host's own."""

    def test_are_formatted_only_while_they_are_blank(self, environment: Environments, lock: Locks) -> None:
        (found,) = configuration(environment(SCRATCH), lock()).storage.filesystems
        assert (found.device, found.format, found.path) == (
            "/dev/disk/by-id/nvme-SCRATCH_1",
            "ext4",
            "/var/mnt/my-data",
        )
        assert found.wipe_filesystem is not True

    def test_are_mounted_at_every_boot_before_the_kubelet(self, environment: Environments, lock: Locks) -> None:
        units = {u.name: u for u in configuration(environment(SCRATCH), lock()).systemd.units}
        unit = units["var-mnt-my\\x2ddata.mount"]
        assert unit.enabled
        assert unit.contents is not None
        for line in ("What=/dev/disk/by-id/nvme-SCRATCH_1", "Where=/var/mnt/my-data", "RequiredBy=kubelet.service"):
            assert line in unit.contents.splitlines()

    def test_no_installation_touches_them(self, environment: Environments, lock: Locks) -> None:
        published = publish(environment(SCRATCH), lock(), "w1")
        live = texts(parse(next(data for path, data in published.files.items() if path.endswith(".ign"))))
        assert "/dev/disk/by-id/nvme-SCRATCH_1" in live["/etc/ingot/data-disks"].splitlines()
        assert live["/etc/ingot/mounts"] == "/dev/disk/by-id/nvme-SCRATCH_1 ext4\n"
        assert "/dev/disk/by-id/nvme-SCRATCH_1" in pins(environment(SCRATCH), lock())["w1"].data_disks

    def test_of_one_host_replace_it_alone(self, environment: Environments, lock: Locks) -> None:
        before, after = pins(environment(), lock()), pins(environment(SCRATCH), lock())
        assert [n for n in before if before[n].generation != after[n].generation] == ["w1"]


class TestEscaping:
    """Paths in units' names, as systemd writes them."""

    @pytest.mark.parametrize("path", ["/var/mnt/a-b", "/dev/disk/by-id/nvme-A_1:2.x@#+=", "/.hidden/b"])
    def test_as_systemd_does(self, path: str) -> None:
        if shutil.which("systemd-escape") is None:
            pytest.skip("no systemd-escape on this machine")
        done = subprocess.run(["systemd-escape", "--path", path], capture_output=True, text=True, check=True)
        assert escaped(path) == done.stdout.strip()

    def test_of_a_dash(self) -> None:
        assert escaped("/var/mnt/a-b") == "var-mnt-a\\x2db"
