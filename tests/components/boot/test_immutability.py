"""components/boot/immutability.py: what would change a system in place is refused, with the place and the rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from components.boot.contract import BootConfigurationError
from components.boot.fedora_coreos import FedoraCoreOs
from components.boot.ignition import Dropin, File, Ignition, Resource, Storage, Systemd, Unit, canonical_json, inline
from components.boot.immutability import Root, problems, text_problems
from components.boot.systems import SYSTEMS, pool_boot
from components.environment import Environment
from components.images.lock import Lock

Environments = Callable[..., Environment]
Locks = Callable[..., Lock]
COREOS, FLATCAR = SYSTEMS["fedora-coreos"].root, SYSTEMS["flatcar"].root
HASH = {"hash": "sha256-" + "a" * 64}


def configured(**sections: Any) -> dict[str, bytes]:
    """One Ignition configuration, as it is published."""
    return {"node.ign": canonical_json({"ignition": {"version": "3.4.0"}} | sections)}


def files(*listed: dict[str, Any]) -> dict[str, bytes]:
    return configured(storage={"files": list(listed)})


def unit(contents: str, **facts: Any) -> dict[str, bytes]:
    return configured(systemd={"units": [{"name": "a.service", "contents": contents} | facts]})


def script(text: str) -> dict[str, bytes]:
    return files({"path": "/etc/a", "contents": inline(text).model_dump(exclude_none=True)})


PATHS: dict[str, tuple[Root, dict[str, bytes], str]] = {
    "a file in /usr": (COREOS, files({"path": "/usr/bin/a"}), "storage.files.0.path"),
    "a file in Flatcar's /usr/local": (FLATCAR, files({"path": "/usr/local/bin/a"}), "/usr/local/bin/a"),
    "a file where /lib leads": (FLATCAR, files({"path": "/lib/a"}), "found /lib/a, which leads to /usr/lib/a"),
    "a file in the root": (COREOS, files({"path": "/a"}), "storage.files.0.path"),
    "a file on the boot partition": (COREOS, files({"path": "/boot/a"}), "storage.files.0.path"),
    "a file that the next boot forgets": (COREOS, files({"path": "/run/a"}), "storage.files.0.path"),
    "a folder like a writable one": (COREOS, files({"path": "/etcetera/a"}), "storage.files.0.path"),
    "the folder itself": (
        COREOS,
        configured(storage={"directories": [{"path": "/etc"}]}),
        "storage.directories.0.path",
    ),
    "a directory": (COREOS, configured(storage={"directories": [{"path": "/usr/a"}]}), "storage.directories.0.path"),
    "a link": (COREOS, configured(storage={"links": [{"path": "/usr/a", "target": "/etc/a"}]}), "storage.links.0.path"),
    "a mount over the system": (
        COREOS,
        configured(storage={"filesystems": [{"device": "/dev/a", "format": "xfs", "path": "/usr"}]}),
        "storage.filesystems.0.path",
    ),
    "Flatcar's OEM partition": (FLATCAR, files({"path": "/oem/grub.cfg"}), "storage.files.0.path"),
}
WRITABLE = [
    (COREOS, "/etc/a"),
    (COREOS, "/var/a"),
    (COREOS, "/usr/local/bin/a"),
    (COREOS, "/opt/cni/bin/a"),
    (COREOS, "/srv/a"),
    (FLATCAR, "/etc/a"),
    (FLATCAR, "/var/a"),
    (FLATCAR, "/opt/bin/a"),
]

DOWNLOADS: dict[str, tuple[dict[str, bytes], str]] = {
    "without a digest": (files({"path": "/etc/a", "contents": {"source": "https://x.example/a"}}), "verification.hash"),
    "over http": (
        files({"path": "/etc/a", "contents": {"source": "http://x.example/a", "verification": HASH}}),
        "expected https, s3 or arn",
    ),
    "over tftp": (
        files({"path": "/etc/a", "contents": {"source": "tftp://x.example/a", "verification": HASH}}),
        "expected https, s3 or arn",
    ),
    "in a part": (files({"path": "/etc/a", "append": [{"source": "https://x.example/a"}]}), "files.0.append.0"),
    "of a configuration instead": (
        configured(ignition={"version": "3.4.0", "config": {"replace": {"source": "https://x.example/a"}}}),
        "ignition.config.replace",
    ),
    "of more configuration": (
        configured(ignition={"version": "3.4.0", "config": {"merge": [{"source": "https://x.example/a"}]}}),
        "ignition.config.merge.0",
    ),
    "of a signature of nothing": (
        files({"path": "/etc/a.sig", "contents": {"source": "https://x.example/a.sig"}}),
        "files.0.contents (/etc/a.sig)",
    ),
}

PACKAGES = [
    "rpm-ostree install vim",
    "/usr/bin/rpm-ostree override replace ./a.rpm",
    "rpm-ostree --peer kargs --append=a",
    "rpm-ostree upgrade",
    "ostree admin unlock",
    "bootc switch quay.io/a/b",
    "bootc upgrade",
    "dnf install -y vim",
    "yum update",
    "apt-get install vim",
    "sudo apt update",
    "a && apt install vim",
    "emerge vim",
    "flatcar-update --to-version 1",
    "ExecStart=/usr/bin/flatcar-update",
    "update_engine_client -update",
    "/usr/lib/systemd/systemd-sysupdate update",
    "pip3 install a",
    "$(rpm -i a.rpm)",
]
FETCHES = [
    "curl --proto '=https' https://x.example/a --output a",
    "curl -o a $URL",
    "wget https://x.example/a",
    "/usr/bin/wget $A",
    'curl --proto "=https" "$INGOT_STORE/other"',
    "curl http://169.254.169.254/latest/user-data https://x.example/a",
    "curl http://169.254.169.254.example/latest/api/token",
    'curl http://169.254.169.254/latest/api/token "$INGOT_STORE/other"',
    'curl "$INGOT_STORE/once/$INGOT_NODE"',  # not held to TLS
    "curl --proto '=https' \"$INGOT_STORE/once/$INGOT_NODE\" https://x.example/a",
    "curl --proto '=https' \"$INGOT_STORE/once/$INGOT_NODE\"; curl --proto '=https' $A",
    "rsync a::b c",
    "scp a:b c",
]
RUN = [
    "curl --proto '=https' \"$INGOT_STORE/once/$INGOT_NODE\" | sh",
    "curl --proto '=https' \"$INGOT_STORE/once/$INGOT_NODE\" | sudo /bin/bash -s",
    "bash <(curl --proto '=https' \"$INGOT_STORE/once/$INGOT_NODE\")",
    'eval "$(curl --proto \'=https\' "$INGOT_STORE/once/$INGOT_NODE")"',
]
OTHERS = {
    "git clone https://x.example/a": "no download whose content is not pinned",
    "podman run quay.io/a/b:latest": "a container image by its digest",
    "ctr --namespace k8s.io images pull quay.io/a/b:1": "a container image by its digest",
    "Image=quay.io/a/b:latest": "a container image by its digest",
    "flatcar-install -d /dev/sda -V current": "the installation of an image that was verified",
    "coreos-installer install /dev/sda --stream stable": "the installation of an image that was verified",
    "mount -o remount,rw /usr": "the root to stay read-only",
    "mount /usr -o rw,remount": "the root to stay read-only",
}
ALLOWED = [
    "# dnf install vim",
    "; apt install vim",
    "rpm-ostree status --json",
    "bootc status",
    'curl --silent --fail --proto \'=https\' --output "$run" "$INGOT_STORE/once/$INGOT_NODE"',
    "curl --proto '=https' --request PUT --data-binary @- \"$INGOT_STORE/progress/$INGOT_NODE\"",
    'curl --proto \'=https\' --output "$2" "$INGOT_STORE/once/$INGOT_ROLE/$INGOT_NODE"',
    "curl --noproxy '*' http://169.254.169.254/latest/api/token",
    "podman run quay.io/a/b@sha256:" + "a" * 64,
    "Image=quay.io/a/b@sha256:" + "a" * 64,
    "Image=b.image",
    'flatcar-install -d "$disk" -f "$image" -i "$etc/installed.ign"',
    "until command -v curl; do sleep 1; done",
    "echo adapted rapture pipeline mount",
    "mirror = https://apt.example/yum",
    "mount -o ro /dev/a /mnt",
    "After=rpm-ostreed.service",
    '{"clusterName":"snap"}',
    "NTP=apt",
    "snap",
]


class TestPaths:
    """Nothing is put where the system is."""

    @pytest.mark.parametrize("case", PATHS)
    def test_is_refused(self, case: str) -> None:
        root, made, where = PATHS[case]
        (problem,) = problems(root, made)
        assert problem.startswith("node.ign: storage.")
        assert where in problem
        assert root.read_only in problem

    @pytest.mark.parametrize(("root", "path"), WRITABLE)
    def test_is_allowed(self, root: Root, path: str) -> None:
        assert problems(root, files({"path": path})) == ()


class TestDownloads:
    """Whatever is fetched is pinned by its digest."""

    @pytest.mark.parametrize("case", DOWNLOADS)
    def test_is_refused(self, case: str) -> None:
        made, where = DOWNLOADS[case]
        (problem,) = problems(COREOS, made)
        assert where in problem

    def test_with_a_digest_is_allowed(self) -> None:
        for source in ("https://x.example/a", "s3://a/b", "arn:aws:s3:::a/b"):
            contents = {"source": source, "verification": HASH}
            assert problems(COREOS, files({"path": "/etc/a", "contents": contents})) == ()

    def test_a_signature_is_checked_by_what_it_signs(self) -> None:
        image = {"path": "/etc/a", "contents": {"source": "https://x.example/a", "verification": HASH}}
        signature = {"path": "/etc/a.sig", "contents": {"source": "https://x.example/a.sig"}}
        assert problems(COREOS, files(image, signature)) == ()


class TestCommands:
    """No line that runs on a machine installs, updates or fetches what is not pinned."""

    @pytest.mark.parametrize("line", PACKAGES)
    def test_no_package_manager(self, line: str) -> None:
        (problem,) = text_problems("here", f"set -e\n{line}\n")
        assert problem.startswith("here: expected no package manager and no update in place, found ")

    @pytest.mark.parametrize("line", FETCHES)
    def test_no_unpinned_download(self, line: str) -> None:
        (problem,) = text_problems("here", line)
        assert problem.startswith("here: expected no download but from $INGOT_STORE/once/$INGOT_NODE and ")

    @pytest.mark.parametrize("line", RUN)
    def test_nothing_is_run_as_it_comes(self, line: str) -> None:
        (problem,) = text_problems("here", line)
        assert problem.startswith("here: expected no download to be run as it comes, found ")

    @pytest.mark.parametrize("line", OTHERS)
    def test_nor(self, line: str) -> None:
        (problem,) = text_problems("here", line)
        assert OTHERS[line] in problem

    @pytest.mark.parametrize("line", ALLOWED)
    def test_is_allowed(self, line: str) -> None:
        assert list(text_problems("here", line)) == []

    def test_a_continued_line_is_one(self) -> None:
        assert list(text_problems("here", "curl --proto '=https' \\\n  \"$INGOT_STORE/once/$INGOT_NODE\"")) == []
        assert list(text_problems("here", "dnf \\\n  install vim"))
        assert list(text_problems("here", "rpm-ostree \\\n  install vim"))

    @pytest.mark.parametrize(
        "line", ["ExecStart=/usr/bin/dnf install a", "ExecStartPre=-/usr/bin/rpm-ostree install a"]
    )
    def test_in_a_unit_a_drop_in_and_a_script(self, line: str) -> None:
        text = f"[Service]\n{line}\n"
        places = {
            "systemd.units.0 (a.service): ": unit(text),
            "systemd.units.0 (a.service) 10-a.conf: ": unit("", dropins=[{"name": "10-a.conf", "contents": text}]),
            "storage.files.0 (/etc/a): ": script(text),
        }
        for at, made in places.items():
            (problem,) = problems(COREOS, made)
            assert problem.startswith(f"node.ign: {at}expected no package manager")

    def test_in_what_is_no_ignition(self) -> None:
        (problem,) = problems(COREOS, {"node.ipxe": b"#!ipxe\nbootc upgrade\n"})
        assert problem.startswith("node.ipxe: expected no package manager")

    @pytest.mark.parametrize("name", ["systemd-sysupdate.timer", "zincati.service", "update-engine.service"])
    def test_no_updater_is_enabled(self, name: str) -> None:
        def made(**facts: Any) -> dict[str, bytes]:
            return configured(systemd={"units": [{"name": name} | facts]})

        (problem,) = problems(COREOS, made(enabled=True))
        assert f"systemd.units.0 ({name})" in problem
        assert problems(COREOS, made(mask=True)) == ()


class TestEverything:
    """All problems at once, also in a configuration inside another."""

    def test_of_the_installed_system_too(self) -> None:
        bad = Ignition(
            storage=Storage(files=(File(path="/usr/a"), File(path="/etc/b", contents=inline("yum update\n")))),
            systemd=Systemd(
                units=(
                    Unit(name="a.service", dropins=(Dropin(name="a.conf", contents="[Service]\nExecStart=dnf up\n"),)),
                )
            ),
        )
        outer = files(
            {"path": "/etc/ingot/installed.ign", "contents": inline(bad.to_bytes()).model_dump(exclude_none=True)},
            {"path": "/etc/c", "contents": Resource(source="https://x.example/c").model_dump(exclude_none=True)},
        )
        found = problems(COREOS, outer)
        assert len(found) == 4
        inside = "node.ign: storage.files.0 (/etc/ingot/installed.ign): "
        assert sum(problem.startswith(inside) for problem in found) == 3

    def test_what_is_no_configuration_is_named(self) -> None:
        (problem,) = problems(COREOS, {"configuration": b"{"})
        assert problem.startswith("configuration: expected JSON")


class TestPreview:
    """What would change its system is never handed out: `pins` and `publish` come through here, at preview."""

    @pytest.mark.parametrize("pool", ["control", "hci"])
    def test_is_refused_with_every_problem(self, pool: str, environment: Environments, lock: Locks) -> None:
        elsewhere = FedoraCoreOs(root=Root("fedora-coreos", "only /srv may be written", ("/srv",), {}))
        with pytest.raises(BootConfigurationError) as refused:
            pool_boot(environment(), lock(), pool, {"fedora-coreos": elsewhere})
        assert refused.value.what == f"pool {pool}"
        assert len(refused.value.problems) > 20
        assert all("only /srv may be written" in problem for problem in refused.value.problems)
