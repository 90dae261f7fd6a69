"""components/boot/coreos_installer.py: what is published installs the pinned image on the OS disk, and only there."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from components.boot.contract import BootConfigurationError, Publication
from components.boot.coreos_installer import IMAGE, INSTALLED, SETTINGS
from components.boot.ignition import File, Ignition, Verification, inlined, parse
from components.boot.pin import pins, publish
from components.environment import Environment
from components.images.lock import Lock, UnknownRelease
from tests.components.boot.fleet import boot_script, kept

Environments = Callable[..., Environment]
Locks = Callable[..., Lock]


def live(published: Publication) -> Ignition:
    (data,) = (data for path, data in published.files.items() if path.endswith(".ign"))
    return parse(data)


def script(published: Publication) -> str:
    (data,) = (data for path, data in published.files.items() if path.endswith(".ipxe"))
    return data.decode()


def files(configuration: Ignition) -> dict[str, File]:
    return {f.path: f for f in configuration.storage.files}


def text(configuration: Ignition, path: str) -> str:
    data = inlined(files(configuration)[path].contents)
    assert data is not None
    return data.decode()


class TestTheImage:
    """Exactly the pinned image is written, or none."""

    def test_its_digest_is_checked(self, environment: Environments, lock: Locks) -> None:
        metal = lock().release("fedora-coreos", "44.20260101.3.0", "x86_64").artifact("metal")
        contents = files(live(publish(environment(), lock(), "w1")))[IMAGE].contents
        assert contents is not None
        assert contents.source == kept("44.20260101.3.0/x86_64/metal")
        assert contents.verification == Verification(hash=f"sha256-{metal.sha256}")

    def test_its_signature_is_checked(self, environment: Environments, lock: Locks) -> None:
        """coreos-installer looks for `<image>.sig` beside the image, and refuses an image without one."""
        made = live(publish(environment(), lock(), "w1"))
        contents = files(made)[IMAGE + ".sig"].contents
        assert contents is not None
        assert contents.source == kept("44.20260101.3.0/x86_64/metal") + ".sig"
        assert json.loads(text(made, SETTINGS)) == {"ignition-file": INSTALLED, "image-file": IMAGE}

    def test_no_check_is_switched_off(self, environment: Environments, lock: Locks) -> None:
        for node in ("c1", "w1"):
            published = publish(environment(), lock(), node)
            everything = b"\n".join(published.files.values()) + text(live(published), INSTALLED).encode()
            assert b"insecure" not in everything
            assert b"coreos.inst.ignition_url" not in everything  # implies --insecure-ignition
            assert b"http:" not in everything

    def test_one_without_a_signature_is_refused(self, environment: Environments, lock: Locks) -> None:
        at = "images/fedora-coreos/44.20260101.3.0/x86_64/artifacts/metal/signature"
        with pytest.raises(BootConfigurationError, match="expected a signature of metal"):
            pins(environment(), lock({at: None}))

    @pytest.mark.parametrize("artifact", ["pxe-kernel", "pxe-initramfs", "pxe-rootfs", "metal"])
    def test_one_pinned_without_what_it_takes_is_refused(
        self, artifact: str, environment: Environments, lock: Locks
    ) -> None:
        at = f"images/fedora-coreos/44.20260101.3.0/x86_64/artifacts/{artifact}"
        with pytest.raises(UnknownRelease, match=f"artifact {artifact} of"):
            pins(environment(), lock({at: None}))


class TestTheDisk:
    """The OS disk is the only one named to the installer."""

    def test_is_named_by_its_stable_id(self, environment: Environments, lock: Locks) -> None:
        published = publish(environment(), lock(), "w1")
        assert published.kernel_arguments.count("coreos.inst.install_dev=/dev/disk/by-id/nvme-OS_w1") == 1
        assert sum("/dev/" in a for a in published.kernel_arguments) == 1
        assert script(published).count("/dev/") == 1

    def test_data_disks_are_known_to_the_guard_alone(self, environment: Environments, lock: Locks) -> None:
        made = live(publish(environment(), lock(), "w1"))
        holders = [path for path in files(made) if "nvme-A_1" in (inlined(files(made)[path].contents) or b"").decode()]
        assert holders == ["/etc/ingot/data-disks"]
        assert made.storage.disks == ()
        assert made.storage.filesystems == ()

    def test_the_installer_does_not_start_without_the_guard(self, environment: Environments, lock: Locks) -> None:
        made = live(publish(environment(), lock(), "w1"))
        (installer,) = (u for u in made.systemd.units if u.name == "coreos-installer.service")
        (dropin,) = installer.dropins
        assert dropin.contents is not None
        assert "Requires=ingot-guard.service\nAfter=ingot-guard.service\n" in dropin.contents
        assert text(made, "/etc/ingot/os-disk") == "/dev/disk/by-id/nvme-OS_w1\n"


class TestTheScript:
    """iPXE starts the pinned live system, and never goes on to what is on the disk."""

    def test_in_full(self, environment: Environments, lock: Locks) -> None:
        published = publish(environment(), lock(), "w1")
        base = "44.20260101.3.0/x86_64"
        arguments = (
            f"initrd=main coreos.live.rootfs_url={kept(f'{base}/pxe-rootfs')} ignition.firstboot "
            f"ignition.platform.id=metal ignition.config.url=https://boot.example/boot/{published.generation}/w1.ign "
            "coreos.inst.install_dev=/dev/disk/by-id/nvme-OS_w1"
        )
        assert script(published).splitlines() == boot_script(
            "Installs fedora-coreos 44.20260101.3.0 (x86_64) on w1.", base, arguments
        )

    def test_all_that_it_fetches_is_in_the_boot_store(self, environment: Environments, lock: Locks) -> None:
        published = publish(environment(), lock(), "w1")
        assert published.keeps == ("pxe-kernel", "pxe-initramfs", "pxe-rootfs", "metal")
        fetched = [f.contents.source for f in files(live(published)).values() if f.contents and f.contents.source]
        elsewhere = [url for url in fetched if not url.startswith(("data:", "https://boot.example/"))]
        assert (elsewhere, "builds.example" in script(published)) == ([], False)

    def test_paths_hold_the_generation(self, environment: Environments, lock: Locks) -> None:
        published = publish(environment(), lock(), "w1")
        generation = published.generation
        assert set(published.files) == {f"boot/{generation}/w1.ipxe", f"boot/{generation}/w1.ign"}
        assert published.boot_url == f"https://boot.example/boot/{generation}/w1.ipxe"

    def test_both_systems_know_their_generation(self, environment: Environments, lock: Locks) -> None:
        published = publish(environment(), lock(), "w1")
        made = live(published)
        installed = parse(text(made, INSTALLED).encode())
        for configuration in (made, installed):
            assert text(configuration, "/etc/ingot/generation") == f"{published.generation}\n"
