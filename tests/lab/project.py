"""A checkout in which real steps run, as processes of their own, against a lab: `ingot node ...` as it is stored.

Its stack file is the example's. Storage's control API is a server of the tests that knows a cluster without nodes.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from lab import processes
from lab.lab import Lab
from lifecycle.adapters.clock import WallClock
from lifecycle.adapters.records import DirectoryRecords
from lifecycle.commands import Step
from tests.lab.eventually import eventually
from tests.lifecycle.adapters.wire_server import Reply, Wire, serving

REPOSITORY = Path(__file__).resolve().parents[2]
STORAGE = "3e8d5c0a-7b1f-4f6e-9d42-5a90c1e2b764"
"""The storage cluster that the example's stack file names."""

IMAGE = b"an image"
IMAGE_SHA256 = hashlib.sha256(IMAGE).hexdigest()
PASSES_ON = "import subprocess, sys; sys.exit(subprocess.run(sys.argv[1:]).returncode)"
ENDS_S = 120.0
"""For a step to end, on a machine that is busy."""


@dataclass
class Running:
    """A step under way, below whatever stands for the engine. output: what it says, on both streams."""

    top: subprocess.Popen[bytes]
    output: Path

    def step(self) -> psutil.Process:
        """The process that runs the verb, once it is there."""
        return eventually(self._step, "the step's own process")

    def _step(self) -> psutil.Process | None:
        top = psutil.Process(self.top.pid)  # itself, where the shell puts its one command in its own place
        return next((p for p in (top, *top.children(recursive=True)) if p.name() == "ingot"), None)

    def ends(self) -> tuple[int, str]:
        """The exit code and all that was said, once the top is over. Fails with what was said if it does not end."""
        try:
            return self.top.wait(ENDS_S), self.said()
        except subprocess.TimeoutExpired as late:
            raise AssertionError(f"expected the step to end within {ENDS_S:.0f} s; it said:\n{self.said()}") from late

    def said(self) -> str:
        return self.output.read_text(encoding="utf-8")


@dataclass
class Project:
    """root: the project's directory. environment: what the steps get, for all of them."""

    root: Path
    environment: Mapping[str, str]
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def store(self) -> Path:
        return self.root / "store"

    @property
    def records(self) -> DirectoryRecords:
        return DirectoryRecords(lambda: self.store, "metal", WallClock())

    def start(self, step: Step, *, engine: bool = False, kubeconfig: Path | None = None, run: str = "") -> Running:
        """Run the stored command as the engine's command provider does: by a shell, in the project's directory.

        engine: below processes that are called as Pulumi's are, else below none. run: named by hand.
        """
        output = self.root / f"output-{len(self.started)}"
        above = [str(self.root / "bin" / name) for name in ("pulumi", "pulumi-resource-command")] if engine else []
        own = {"INGOT_KUBECONFIG": str(kubeconfig)} if kubeconfig else {}
        own |= {"INGOT_RUN": run} if run else {}
        with output.open("wb") as said:
            top = subprocess.Popen(
                [*above, "/bin/sh", "-c", step.command()],
                cwd=self.root,
                env={**self.environment, **own},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        self.started.append(top)
        return Running(top, output)

    def run(self, step: Step, *, engine: bool = False, run: str = "") -> tuple[int, str]:
        return self.start(step, engine=engine, run=run).ends()

    def close(self) -> None:
        """End what is left of its processes: sessions of the steps, and the view that they share."""
        for top in self.started:
            top.poll()
        mark = f"{MARK}={self.root}".encode()
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and mark in (entry / "environ").read_bytes().split(b"\0"):
                    os.kill(int(entry.name), signal.SIGKILL)
            except OSError:  # gone meanwhile, or another user's
                continue
        for top in self.started:
            top.wait(ENDS_S)


MARK = "INGOT_TEST_PROJECT"
"""In the environment of every process of a project, and of nothing else."""


@contextmanager
def project(root: Path, lab: Lab) -> Iterator[Project]:
    """A project in `root` for the lab's cluster; everything that it started is ended."""
    (root / "stacks").mkdir(parents=True)
    (root / "store").mkdir()
    (root / "bin").mkdir()
    (root / "Pulumi.yaml").write_text("name: ingot\n", encoding="utf-8")
    (root / ".venv").symlink_to(Path(sys.prefix))
    _images(root)
    text = (REPOSITORY / "stacks/Pulumi.metal.yaml").read_text(encoding="utf-8")
    text = text.replace("directory: /srv/ingot", f"directory: {root}/store")
    (root / "stacks/Pulumi.metal.yaml").write_text(text, encoding="utf-8")
    for name in ("pulumi", "pulumi-resource-command"):
        script = root / "bin" / name
        script.write_text(f"#!{sys.executable}\n{PASSES_ON}\n", encoding="utf-8")
        script.chmod(0o755)
    with serving() as wire:
        _storage(wire)
        own = {
            MARK: str(root),
            "PYTHONPATH": str(REPOSITORY),
            "INGOT_KUBECONFIG": str(lab.kubeconfig),
            "INGOT_SECRETS_FILE": str(_secrets(root, lab)),
            "INGOT_STORAGE_URL": wire.url,
            "INGOT_STORAGE_SECRET": "none",
        }
        made = Project(root, {**processes.caller_environment(), **own})
        try:
            yield made
        finally:
            made.close()


def _images(root: Path) -> None:
    """Pins of small files, which are in the boot store: a leave asks for what its machine boots next."""
    lock = json.loads((REPOSITORY / "stacks/images.lock.json").read_text(encoding="utf-8"))
    kept = root / "store" / "boot" / "sha256" / IMAGE_SHA256
    kept.mkdir(parents=True)
    for release in lock["images"]["fedora-coreos"].values():
        for architecture in release.values():
            for artifact in architecture["artifacts"].values():
                artifact["sha256"] = IMAGE_SHA256
                name = artifact["url"].rpartition("/")[2]
                (kept / name).write_bytes(IMAGE)
                (kept / f"{name}.sig").write_bytes(b"a signature")
    (root / "stacks/images.lock.json").write_text(json.dumps(lock), encoding="utf-8")


def _secrets(root: Path, lab: Lab) -> Path:
    """The cluster's authorities, as the stack's state would have them."""
    found = {
        name: {part: (lab.layout.pki / f"{name}.{end}").read_text() for part, end in (("cert", "crt"), ("key", "key"))}
        for name in ("ca", "etcd-ca")
    }
    path = root / "secrets.json"
    path.touch(0o600)
    path.write_text(json.dumps(found), encoding="utf-8")
    return path


def _storage(wire: Wire) -> None:
    base = f"/api/v2/clusters/{STORAGE}"
    cluster = {"id": STORAGE, "status": "active", "is_re_balancing": False, "max_fault_tolerance": 1}
    wire.on("GET", f"{base}/", Reply(body=cluster))
    wire.on("GET", f"{base}/storage-nodes/", Reply(body=[]))
    wire.on("GET", f"{base}/storage-pools/", Reply(body=[]))
