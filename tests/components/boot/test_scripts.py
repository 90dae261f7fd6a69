"""components/boot/scripts.py: what runs on a machine, run here with stand-ins for what it calls."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from components.boot import kubeadm, scripts
from components.boot.ignition import canonical_json
from components.environment import Cluster

needs_jq = pytest.mark.skipif(
    shutil.which("jq") is None or shutil.which("bash") is None,
    reason="runs a machine's own program, which needs bash and jq",
)
TOKEN = "abcdef.0123456789abcdef"
PKI = {"ca.crt": "PUBLIC CA\n", "ca.key": "PRIVATE CA\n", "etcd/ca.crt": "PUBLIC ETCD\n"}

CURL = """#!/bin/bash
# Answers the one-time location from a file, at the second time of asking.
printf '%s\\n' "$*" >> "$STAND/curl"
while [ $# -gt 0 ]; do [ "$1" = --output ] && out=$2; shift; done
if [ ! -e "$STAND/asked" ]; then touch "$STAND/asked"; exit 22; fi
cp "$STAND/credentials" "$out"
"""
KUBEADM = """#!/bin/bash
printf '%s\\n' "$*" >> "$STAND/kubeadm"
while [ $# -gt 0 ]; do [ "$1" = --config ] && cp "$2" "$STAND/config"; shift; done
[ -e "$STAND/starts-etcd" ] && mkdir -p "$INGOT_KUBERNETES/manifests" && touch "$INGOT_KUBERNETES/manifests/etcd.yaml"
[ ! -e "$STAND/fails" ]
"""
REPORT = """#!/bin/bash
printf '%s\\n' "$*" >> "$STAND/report"
if [ -e "$STAND/takes-no-put" ]; then exit 22; fi
"""

WIPEFS = """#!/bin/bash
# wipefs --noheadings --output TYPE DISK, from a file beside the disk.
cat "$4.known"
"""


@dataclass(frozen=True)
class Machine:
    """A folder that stands for a machine's disk, and for what its programs were called with."""

    root: Path

    def prepare(self, role: str, credentials: Mapping[str, Any]) -> None:
        """As first boot leaves it, with `credentials` waiting at the one-time location."""
        cluster = Cluster(name="metal", kubernetes="v1.36.3", endpoint="api.example")
        registration = kubeadm.registration("w1", {"topology.kubernetes.io/zone": "rack-a"})
        parts = {
            "init": kubeadm.init(registration),
            "join": kubeadm.join(registration, control_plane=role == "control-plane"),
            "cluster": kubeadm.cluster(cluster),
            "kubelet": kubeadm.kubelet(),
        }
        (self.root / "etc" / "kubeadm").mkdir(parents=True)
        (self.root / "bin").mkdir()
        for name, part in parts.items():
            (self.root / "etc" / "kubeadm" / f"{name}.json").write_bytes(canonical_json(part))
        (self.root / "etc" / "environment").write_text(
            f"INGOT_ENDPOINT='api.example:6443'\nINGOT_NODE='w1'\nINGOT_ROLE='{role}'\nINGOT_STORE='https://boot.example'\n"
        )
        (self.root / "credentials").write_text(json.dumps(credentials))
        for name, text in (("curl", CURL), ("kubeadm", KUBEADM), ("ingot-report", REPORT), ("join", scripts.JOIN)):
            (self.root / "bin" / name).write_text(text)
            (self.root / "bin" / name).chmod(0o755)

    def run(self) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": f"{self.root / 'bin'}:{os.environ['PATH']}",
            "STAND": str(self.root),
            "INGOT_ETC": str(self.root / "etc"),
            "INGOT_RUN": str(self.root / "run"),
            "INGOT_KUBERNETES": str(self.root / "kubernetes"),
            "INGOT_STUCK": str(self.root / "not made yet" / "stuck"),
            "INGOT_POLL_S": "0",
        }
        join = str(self.root / "bin" / "join")
        return subprocess.run([join], env=environment, capture_output=True, text=True, check=False, timeout=60)

    def lines(self, name: str) -> list[str]:
        """What a stand-in was called with, a line a call."""
        path = self.root / name
        return path.read_text().splitlines() if path.exists() else []

    def configured(self) -> list[dict[str, Any]]:
        """The documents that kubeadm was given."""
        return [json.loads(part) for part in (self.root / "config").read_text().split("---\n")]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@needs_jq
class TestJoin:
    """The machine waits, does what its credentials say, and leaves none of them behind."""

    def test_a_store_that_takes_no_reports(self, machine: Machine) -> None:
        machine.prepare("worker", {"init": False, "endpoint": "", "token": TOKEN, "pki": {"ca.crt": PKI["ca.crt"]}})
        (machine.root / "takes-no-put").touch()
        done = machine.run()
        assert done.returncode == 0, done.stderr
        assert machine.lines("kubeadm") == [f"join --config {machine.root}/run/kubeadm.yaml"]

    def test_a_worker_joins(self, machine: Machine) -> None:
        machine.prepare("worker", {"init": False, "endpoint": "", "token": TOKEN, "pki": {"ca.crt": PKI["ca.crt"]}})
        done = machine.run()
        assert done.returncode == 0, done.stderr
        assert machine.lines("report") == ["running"]
        assert machine.lines("kubeadm") == [f"join --config {machine.root}/run/kubeadm.yaml"]
        (document,) = machine.configured()
        assert document["kind"] == "JoinConfiguration"
        assert document["discovery"]["tlsBootstrapToken"] == TOKEN
        assert document["nodeRegistration"]["name"] == "w1"
        assert not (machine.root / "run").exists()
        assert not (machine.root / "kubernetes").exists()

    def test_asks_over_tls_until_it_is_answered(self, machine: Machine) -> None:
        machine.prepare("worker", {"init": False, "endpoint": "", "token": TOKEN, "pki": {"ca.crt": "X"}})
        machine.run()
        asked = machine.lines("curl")
        assert len(asked) == 2
        assert all("--proto =https" in a and a.endswith(" https://boot.example/once/w1") for a in asked)

    def test_the_first_control_plane_begins_the_cluster(self, machine: Machine) -> None:
        machine.prepare("control-plane", {"init": True, "endpoint": "", "token": TOKEN, "pki": PKI})
        done = machine.run()
        assert done.returncode == 0, done.stderr
        assert machine.lines("kubeadm") == [f"init --config {machine.root}/run/kubeadm.yaml --skip-token-print"]
        init, cluster, kubelet = machine.configured()
        assert (init["kind"], cluster["kind"], kubelet["kind"]) == (
            "InitConfiguration",
            "ClusterConfiguration",
            "KubeletConfiguration",
        )
        assert init["bootstrapTokens"] == [{"token": TOKEN, "ttl": "1h0m0s"}]
        assert cluster["controlPlaneEndpoint"] == "api.example:6443"

    def test_a_control_plane_keeps_its_pki_to_itself(self, machine: Machine) -> None:
        machine.prepare("control-plane", {"init": False, "endpoint": "", "token": TOKEN, "pki": PKI})
        assert machine.run().returncode == 0
        for name, text in PKI.items():
            path = machine.root / "kubernetes" / "pki" / name
            assert path.read_text().strip() == text.strip()
            assert path.stat().st_mode & 0o077 == 0
        assert machine.configured()[0]["controlPlane"] == {}

    def test_no_secret_is_printed_or_on_a_command_line(self, machine: Machine) -> None:
        machine.prepare("control-plane", {"init": True, "endpoint": "", "token": TOKEN, "pki": PKI})
        done = machine.run()
        seen = "\n".join([done.stdout, done.stderr, *machine.lines("kubeadm"), *machine.lines("curl")])
        assert TOKEN not in seen
        assert "PRIVATE" not in seen

    def test_starts_over_after_a_failure(self, machine: Machine) -> None:
        machine.prepare("worker", {"init": False, "endpoint": "", "token": TOKEN, "pki": {"ca.crt": "X"}})
        (machine.root / "fails").touch()
        assert machine.run().returncode != 0
        assert machine.lines("kubeadm")[-1] == "reset --force"
        assert machine.lines("report") == ["running"]
        assert not (machine.root / "run").exists()
        (machine.root / "fails").unlink()
        assert machine.run().returncode == 0

    def test_never_resets_a_member_of_etcd(self, machine: Machine) -> None:
        machine.prepare("control-plane", {"init": False, "endpoint": "", "token": TOKEN, "pki": PKI})
        (machine.root / "fails").touch()
        (machine.root / "starts-etcd").touch()
        assert machine.run().returncode != 0
        assert not any(line.startswith("reset") for line in machine.lines("kubeadm"))
        assert machine.lines("report") == ["running", "failed"]
        assert (machine.root / "not made yet" / "stuck").exists()
        assert not (machine.root / "run").exists()

    @pytest.mark.parametrize("name", ["../evil", "/etc/evil", "etcd/../../evil"])
    def test_a_file_name_that_leads_elsewhere_is_refused(self, name: str, machine: Machine) -> None:
        machine.prepare("control-plane", {"init": False, "endpoint": "", "token": TOKEN, "pki": {name: "X"}})
        done = machine.run()
        assert done.returncode != 0
        assert "expected file names below pki" in done.stderr
        assert not list(machine.root.rglob("evil"))
        assert not any(line.startswith("join") for line in machine.lines("kubeadm"))


@needs_jq
class TestGuard:
    """The installer does not start if the OS disk is a data disk by another name, or a disk would lose its data."""

    def guard(self, tmp_path: Path, *, data_disk: str = "", mounts: str = "") -> subprocess.CompletedProcess[str]:
        """Two disks by id; `os` and `same` are two names of one."""
        for name in ("nvme0", "nvme1"):
            (tmp_path / name).touch()
        for link, disk in (("os", "nvme0"), ("same", "nvme0"), ("data", "nvme1")):
            (tmp_path / link).symlink_to(disk)
        (tmp_path / "os-disk").write_text(f"{tmp_path}/os\n")
        (tmp_path / "data-disks").write_text(f"{tmp_path}/{data_disk}\n" if data_disk else "")
        (tmp_path / "mounts").write_text(mounts)
        (tmp_path / "wipefs").write_text(WIPEFS)
        (tmp_path / "wipefs").chmod(0o755)
        text = scripts.GUARD.replace("/etc/ingot", str(tmp_path))
        path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
        return subprocess.run(["bash", "-c", text], env=path, capture_output=True, text=True, check=False, timeout=60)

    @pytest.mark.parametrize(
        ("held", "known"),
        [(b"", ""), (bytes(2 << 20), ""), (b"XFSB", "xfs\n"), (bytes(1 << 20) + b"beyond", "")],
        ids=["empty", "blank", "its own filesystem", "blank where a filesystem begins"],
    )
    def test_a_mounted_disk_that_may_be_formatted_or_taken(self, held: bytes, known: str, tmp_path: Path) -> None:
        (tmp_path / "disk").write_bytes(held)
        (tmp_path / "disk.known").write_text(known)
        done = self.guard(tmp_path, mounts=f"{tmp_path}/disk xfs\n")
        assert done.returncode == 0, done.stderr

    @pytest.mark.parametrize(
        ("known", "found"),
        [
            ("gpt\ngpt\nPMBR\n", "PMBR gpt"),
            ("ext4\n", "ext4"),
            ("xfs\ngpt\n", "gpt xfs"),
            ("LVM2_member\n", "LVM2_member"),
            ("", "data of no known kind"),
        ],
    )
    def test_a_mounted_disk_that_holds_something_else(self, known: str, found: str, tmp_path: Path) -> None:
        """Ignition would format all of these but the second: it knows filesystems alone."""
        (tmp_path / "disk").write_bytes(bytes(4096) + b"somebody's" + bytes(2 << 20))
        (tmp_path / "disk.known").write_text(known)
        done = self.guard(tmp_path, mounts=f"{tmp_path}/disk xfs\n")
        assert done.returncode == 1
        assert f"{tmp_path}/disk: expected xfs or a blank disk, found {found}; runbooks/boot.md" in done.stderr

    @pytest.mark.parametrize("data_disk", ["data", "missing", ""])
    def test_lets_it_start(self, data_disk: str, tmp_path: Path) -> None:
        done = self.guard(tmp_path, data_disk=data_disk)
        assert done.returncode == 0, done.stderr

    def test_stops_it(self, tmp_path: Path) -> None:
        done = self.guard(tmp_path, data_disk="same")
        assert done.returncode == 1
        assert f"found it to be the data disk {tmp_path}/same" in done.stderr


JOIN_UNIT = scripts.join_unit("/opt/bin", path="/opt/bin:/usr/bin", after=("a.service",))
GUARD_UNIT = scripts.guard_unit("/opt/bin", installer="install.service")


class TestUnits:
    """Run a system's own programs, in their order."""

    def test_the_join_comes_after_what_it_needs(self) -> None:
        assert "Requires=containerd.service a.service\n" in JOIN_UNIT
        assert "After=network-online.target containerd.service a.service\n" in JOIN_UNIT
        assert "ExecStart=/opt/bin/ingot-join\n" in JOIN_UNIT
        assert "Environment=PATH=/opt/bin:/usr/bin\n" in JOIN_UNIT

    def test_the_installer_needs_the_guard(self) -> None:
        assert "Before=install.service\n" in GUARD_UNIT
        assert "RequiredBy=install.service\n" in GUARD_UNIT
        assert "ExecStart=/opt/bin/ingot-guard\n" in GUARD_UNIT

    @pytest.mark.parametrize(("result", "reported"), [("exit-code", ["failed"]), ("success", [])])
    def test_the_guard_reports_a_refusal(self, result: str, reported: list[str], tmp_path: Path) -> None:
        """So that the step halts at once, not at the end of its wait."""
        (tmp_path / "ingot-report").write_text(REPORT)
        (tmp_path / "ingot-report").chmod(0o755)
        unit = scripts.guard_unit(str(tmp_path), installer="install.service")
        (line,) = (line for line in unit.splitlines() if line.startswith("ExecStopPost="))
        argv = shlex.split(line.removeprefix("ExecStopPost=-"))
        environment = {"PATH": os.environ["PATH"], "STAND": str(tmp_path), "SERVICE_RESULT": result}
        subprocess.run(argv, env=environment, check=True, timeout=60)
        report = tmp_path / "report"
        assert (report.read_text().splitlines() if report.exists() else []) == reported


class TestTexts:
    """What can be said of the texts as they are."""

    @pytest.mark.parametrize("text", [scripts.JOIN, scripts.REPORT, scripts.GUARD])
    def test_are_programs_that_stop_at_the_first_failure(self, text: str) -> None:
        assert text.startswith("#!/bin/bash\n")
        assert "\nset -euo pipefail\n" in text
        if bash := shutil.which("bash"):
            assert subprocess.run([bash, "-n"], input=text, text=True, check=False).returncode == 0

    @pytest.mark.parametrize("text", [JOIN_UNIT, scripts.UNPACK_UNIT, scripts.KUBELET_UNIT, GUARD_UNIT])
    def test_units_are_sections_of_settings(self, text: str) -> None:
        for line in text.splitlines():
            assert line == "" or line.startswith("[") or line[0].isupper()
            assert line == "" or line.startswith("[") or "=" in line

    def test_the_kubelet_waits_until_it_is_configured(self) -> None:
        assert "ConditionPathExists=/var/lib/kubelet/config.yaml\n" in scripts.KUBELET_UNIT

    def test_a_node_that_has_joined_never_joins_again(self) -> None:
        assert "ConditionPathExists=!/etc/kubernetes/kubelet.conf\n" in JOIN_UNIT
