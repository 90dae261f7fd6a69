"""components/boot/flatcar_installer.py: the pinned image, verified twice, goes to the OS disk and nowhere else."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from components.boot.contract import BootConfigurationError, Publication
from components.boot.flatcar_installer import IMAGE, INSTALL, INSTALL_UNIT, INSTALLED, SIGNING_KEY, SIGNING_KEY_FILE
from components.boot.ignition import File, Ignition, Verification, inlined, parse
from components.boot.pin import pins, publish
from components.environment import Environment
from components.images.lock import Lock
from tests.components.boot.fleet import IMAGES, boot_script, kept

Environments = Callable[..., Environment]
Locks = Callable[..., Lock]
STACK = {"image": IMAGES["flatcar"][0]}
VERSION = IMAGES["flatcar"][0]["version"]

needs_gpg = pytest.mark.skipif(
    shutil.which("gpg") is None or shutil.which("bash") is None,
    reason="runs the live system's own program, which needs bash and GnuPG",
)


def live(published: Publication) -> Ignition:
    (data,) = (data for path, data in published.files.items() if path.endswith(".ign"))
    return parse(data)


def files(configuration: Ignition) -> dict[str, File]:
    return {f.path: f for f in configuration.storage.files}


def text(configuration: Ignition, path: str) -> str:
    data = inlined(files(configuration)[path].contents)
    assert data is not None
    return data.decode()


@pytest.fixture
def published(environment: Environments, lock: Locks) -> Publication:
    return publish(environment(STACK), lock(), "w1")


class TestPublished:
    """What a host fetches to become a node."""

    def test_the_image_is_checked_by_digest(self, published: Publication, lock: Locks) -> None:
        metal = lock().release("flatcar", VERSION, "x86_64").artifact("metal")
        contents = files(live(published))[IMAGE].contents
        assert contents is not None
        assert contents.source == kept(f"{VERSION}/x86_64/metal")
        assert contents.verification == Verification(hash=f"sha256-{metal.sha256}")

    def test_its_signature_is_beside_it(self, published: Publication) -> None:
        contents = files(live(published))[f"{IMAGE}.sig"].contents
        assert contents is not None
        assert contents.source == kept(f"{VERSION}/x86_64/metal") + ".sig"
        assert text(live(published), SIGNING_KEY_FILE) == f"{SIGNING_KEY}\n"

    def test_one_without_a_signature_is_refused(self, environment: Environments, lock: Locks) -> None:
        at = f"images/flatcar/{VERSION}/x86_64/artifacts/metal/signature"
        with pytest.raises(BootConfigurationError, match="expected a signature of metal"):
            pins(environment(STACK), lock({at: None}))

    def test_both_systems_know_their_generation(self, published: Publication) -> None:
        made = live(published)
        installed = parse(text(made, INSTALLED).encode())
        for configuration in (made, installed):
            assert text(configuration, "/etc/ingot/generation") == f"{published.generation}\n"

    def test_the_live_system_starts_the_installer_and_updates_nothing(self, published: Publication) -> None:
        units = live(published).systemd.units
        assert {u.name for u in units if u.enabled} == {"ingot-guard.service", "ingot-install.service"}
        assert {"update-engine.service", "locksmithd.service"} <= {u.name for u in units if u.mask}

    def test_the_installer_does_not_start_without_the_guard(self, published: Publication) -> None:
        assert "Requires=ingot-guard.service\n" in INSTALL_UNIT
        (guard,) = (u for u in live(published).systemd.units if u.name == "ingot-guard.service")
        assert guard.contents is not None
        assert "RequiredBy=ingot-install.service\n" in guard.contents
        assert text(live(published), "/etc/ingot/os-disk") == "/dev/disk/by-id/nvme-OS_w1\n"
        assert text(live(published), "/etc/ingot/data-disks").split() == [
            "/dev/disk/by-id/nvme-A_1",
            "/dev/disk/by-id/nvme-B_1",
        ]

    def test_the_machine_reboots_only_once_it_is_installed(self) -> None:
        assert "SuccessAction=reboot\n" in INSTALL_UNIT
        assert "Restart=on-failure\n" in INSTALL_UNIT
        assert INSTALL_UNIT.index("ingot-report installing") < INSTALL_UNIT.index("ingot-report installed")

    def test_the_script_in_full(self, published: Publication) -> None:
        base = f"{VERSION}/x86_64"
        arguments = (
            "initrd=main flatcar.first_boot=1 "
            f"ignition.config.url=https://boot.example/boot/{published.generation}/w1.ign"
        )
        (script,) = (data for path, data in published.files.items() if path.endswith(".ipxe"))
        assert script.decode().splitlines() == boot_script(
            f"Installs flatcar {VERSION} (x86_64) on w1.", base, arguments
        )
        assert published.kernel_arguments == tuple(arguments.split())


FLATCAR_INSTALL = """#!/bin/bash
GPG_KEY="KEYS
"
printf '%s\\n' "$*" >> "$STAND/installed"
[ ! -e "$STAND/fails" ]
"""
LSBLK = """#!/bin/bash
# lsblk --noheadings --nodeps --output FACT DEVICE, from a table beside it.
while read -r device label parent; do
  if [ "$STAND/dev/$device" = "$5" ]; then case $4 in LABEL) echo "$label" ;; PKNAME) echo "$parent" ;; esac; fi
done < "$STAND/table"
"""


def gpg(home: Path, *arguments: str, given: bytes | None = None) -> bytes:
    argv = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--yes", "--passphrase", "", *arguments]
    return subprocess.run(argv, input=given, capture_output=True, check=True, timeout=60).stdout


@dataclass(frozen=True)
class Publisher:
    """Who signs images: the primary key's fingerprint, and its public half as text."""

    home: Path
    fingerprint: str
    public: str

    def sign(self, image: Path) -> bytes:
        return gpg(self.home, "--detach-sign", "--output", "-", str(image))

    def revoked(self) -> str:
        """The public half with its revocation, which stays out of the publisher's own keyring."""
        kept = self.home / "openpgp-revocs.d" / f"{self.fingerprint}.rev"
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as other:
            # GnuPG keeps it with a colon before the dashes, lest somebody revokes a key by mistake.
            for material in (self.public, kept.read_text().replace(":-----BEGIN", "-----BEGIN")):
                gpg(Path(other), "--no-autostart", "--import", given=material.encode())
            return gpg(Path(other), "--no-autostart", "--armor", "--export").decode()


@pytest.fixture(scope="module")
def publishers() -> Iterator[list[Publisher]]:
    """Two of them, each with a primary key that signs nothing but its own subkey, which signs images.

    In folders with short names: GnuPG's agent, which only keys that are secret need, listens on a socket there.
    """
    with ExitStack() as stack:
        found = []
        for name in ("publisher", "stranger"):
            home = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
            gpg(home, "--quick-generate-key", name, "ed25519", "cert", "never")
            listed = gpg(home, "--list-keys", "--with-colons").decode()
            fingerprint = next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr"))
            gpg(home, "--quick-add-key", fingerprint, "ed25519", "sign", "never")
            found.append(Publisher(home, fingerprint, gpg(home, "--armor", "--export").decode()))
        yield found
        for publisher in found:
            argv = ["gpgconf", "--homedir", str(publisher.home), "--kill", "all"]
            subprocess.run(argv, check=False, timeout=60)


@dataclass(frozen=True)
class Machine:
    """A folder that stands for a live system that is about to install."""

    root: Path

    def prepare(self, publisher: Publisher, trusted: str, *, keys: str, devices: str = "") -> None:
        """publisher: signs the image. trusted: the fingerprint that is pinned. keys: inside the installer.
        devices: a line for each besides the OS disk sda: name, label, and the disk that it is part of."""
        for folder in ("bin", "dev", "etc"):
            (self.root / folder).mkdir()
        for name in ("sda", *(line.split()[0] for line in devices.splitlines())):
            (self.root / "dev" / name).touch()
        (self.root / "table").write_text(devices)
        (self.root / "by-id").symlink_to(self.root / "dev" / "sda")
        (self.root / "etc" / "os-disk").write_text(f"{self.root}/by-id\n")
        (self.root / "etc" / "signing-key").write_text(f"{trusted}\n")
        (self.root / "image.bz2").write_bytes(b"image")
        (self.root / "image.bz2.sig").write_bytes(publisher.sign(self.root / "image.bz2"))
        programs = (
            ("flatcar-install", FLATCAR_INSTALL.replace("KEYS\n", keys)),
            ("lsblk", LSBLK),
            ("install", INSTALL),
        )
        for name, source in (*programs, ("sync", "#!/bin/sh\n")):
            (self.root / "bin" / name).write_text(source)
            (self.root / "bin" / name).chmod(0o755)

    def run(self) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": f"{self.root / 'bin'}:{os.environ['PATH']}",
            "TMPDIR": str(self.root),
            "STAND": str(self.root),
            "INGOT_ETC": str(self.root / "etc"),
            "INGOT_IMAGE": str(self.root / "image.bz2"),
        }
        argv = [str(self.root / "bin" / "install")]
        return subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=120)

    @property
    def installed(self) -> list[str]:
        """What flatcar-install was called with."""
        path = self.root / "installed"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@needs_gpg
class TestInstall:
    """flatcar-install believes what it is given, so nothing is given to it before it is verified."""

    def test_writes_what_the_publisher_signed(self, machine: Machine, publishers: list[Publisher]) -> None:
        publisher, stranger = publishers
        machine.prepare(publisher, publisher.fingerprint, keys=publisher.public + stranger.public)
        done = machine.run()
        assert done.returncode == 0, done.stderr
        root = machine.root
        assert machine.installed == [f"-d {root}/dev/sda -f {root}/image.bz2 -i {root}/etc/installed.ign"]
        assert not list(root.glob("tmp.*"))  # GnuPG's folder is gone

    def test_not_what_somebody_else_signed(self, machine: Machine, publishers: list[Publisher]) -> None:
        """Also if the live system knows that key."""
        publisher, stranger = publishers
        machine.prepare(stranger, publisher.fingerprint, keys=publisher.public + stranger.public)
        done = machine.run()
        assert done.returncode != 0
        assert f"expected a signature of {publisher.fingerprint}, found none" in done.stderr
        assert machine.installed == []

    def test_not_an_image_that_was_changed(self, machine: Machine, publishers: list[Publisher]) -> None:
        publisher = publishers[0]
        machine.prepare(publisher, publisher.fingerprint, keys=publisher.public)
        (machine.root / "image.bz2").write_bytes(b"another image")
        assert machine.run().returncode != 0
        assert machine.installed == []

    def test_not_what_a_revoked_key_signed(self, machine: Machine, publishers: list[Publisher]) -> None:
        """The publisher's own, once the live system knows that it was revoked."""
        publisher = publishers[0]
        machine.prepare(publisher, publisher.fingerprint, keys=publisher.revoked())
        done = machine.run()
        assert done.returncode != 0
        assert "expected a signature of a key that is not revoked, found one that is" in done.stderr
        assert machine.installed == []

    @pytest.mark.parametrize("keys", ["", "no keys\n"])
    def test_not_without_the_publishers_keys(self, keys: str, machine: Machine, publishers: list[Publisher]) -> None:
        machine.prepare(publishers[0], publishers[0].fingerprint, keys=keys)
        assert machine.run().returncode != 0
        assert machine.installed == []

    def test_a_failure_is_one(self, machine: Machine, publishers: list[Publisher]) -> None:
        """The unit tries again; the machine never reboots into half an image."""
        publisher = publishers[0]
        machine.prepare(publisher, publisher.fingerprint, keys=publisher.public)
        (machine.root / "fails").touch()
        assert machine.run().returncode != 0
        assert len(machine.installed) == 1

    def test_an_old_installation_on_the_disk_itself_is_no_obstacle(
        self, machine: Machine, publishers: list[Publisher]
    ) -> None:
        publisher = publishers[0]
        machine.prepare(publisher, publisher.fingerprint, keys=publisher.public, devices="sda6 OEM sda\nsdaa ROOT\n")
        done = machine.run()
        assert done.returncode == 0, done.stderr

    def test_never_configures_another_disk(self, machine: Machine, publishers: list[Publisher]) -> None:
        """flatcar-install would take `sdaa6` for a partition of `sda`."""
        publisher = publishers[0]
        machine.prepare(
            publisher, publisher.fingerprint, keys=publisher.public, devices="sda6 OEM sda\nsdaa6 OEM sdaa\n"
        )
        done = machine.run()
        assert done.returncode != 0
        assert "sdaa6: expected no partition labelled OEM beside those of the OS disk" in done.stderr
        assert machine.installed == []
