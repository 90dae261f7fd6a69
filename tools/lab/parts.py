"""The lab's parts: which binary comes from which module, and how each says its version. Data and nothing else."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
"""Holds a folder for each module, with its go.mod and go.sum: their requirements clash, so they are apart."""

KUBERNETES, ETCD, KWOK, IGNITION, TALOS = "1.36.3", "3.6.8", "0.8.0", "2.24.0", "1.13.0"
"""What is built. The go.mod files require the same (a test compares them)."""


@dataclass(frozen=True)
class Part:
    """One binary.

    module: its folder. package: what is built, in Go's terms. version: of the release, without a `v`.
    asks: the arguments with which it prints its version. answers: what it then prints must contain this pattern
    once, whose group is the version. variables: of the linker, which say the version where the source does not.
    about_s: how long its build takes on two cores with nothing built before, for people who wait. of: the module
    whose version it is, where the program itself is ours.
    """

    name: str
    module: str
    package: str
    version: str
    asks: tuple[str, ...]
    answers: str
    about_s: int
    variables: tuple[str, ...] = ()
    of: str = ""

    @property
    def folder(self) -> Path:
        """Where its go.mod is."""
        return HERE / self.module

    @property
    def pins(self) -> tuple[Path, ...]:
        """The files that say what it is made of: its requirements, and our own source where there is any."""
        names = ("go.mod", "go.sum", *(("main.go",) if self.of else ()))
        return tuple(self.folder / name for name in names)

    @property
    def flags(self) -> str:
        """For the linker: without debugging symbols, and with the version in `variables`."""
        return " ".join(["-s -w", *(f"-X {variable}=v{self.version}" for variable in self.variables)])

    def says(self, output: str) -> str | None:
        """The version in what it printed, None if there is none."""
        found = re.search(self.answers, output, re.MULTILINE)
        return found[1] if found else None


def _kubernetes(name: str, about_s: int) -> Part:
    return Part(
        name,
        "kubernetes",
        f"k8s.io/kubernetes/cmd/{name}",
        KUBERNETES,
        asks=("version", "--client") if name == "kubectl" else ("--version",),
        answers=r"^Client Version: v(\S+)$" if name == "kubectl" else r"^Kubernetes v(\S+)$",
        about_s=about_s,
        # The module's own version is nobody's business there: Kubernetes' release scripts set these.
        variables=("k8s.io/component-base/version.gitVersion", "k8s.io/client-go/pkg/version.gitVersion"),
    )


def _etcd(name: str, package: str, asks: str, answers: str, about_s: int) -> Part:
    return Part(name, "etcd", f"go.etcd.io/etcd/{package}", ETCD, asks=(asks,), answers=answers, about_s=about_s)


TALOS_CONFIG = Part(
    "talos-config",
    "talos",
    "ingot/tools/lab/talos",
    TALOS,
    asks=("--version",),
    answers=r"^talos-config v(\S+)$",
    about_s=35,
    of="github.com/siderolabs/talos/pkg/machinery",
)
"""Generates, patches and validates Talos' machine configurations with Talos' own packages, at the release that
pulumiverse-talos 0.8.1 is built on."""

IGNITION_VALIDATE = Part(
    "ignition-validate",
    "ignition",
    "ingot/tools/lab/ignition",
    IGNITION,
    asks=("--version",),
    answers=r"^ignition-validate v(\S+)$",
    about_s=5,
    of="github.com/coreos/ignition/v2",
)
"""Says of a configuration whether Ignition itself takes it."""

PARTS = (
    _etcd("etcd", "server/v3", "--version", r"^etcd Version: (\S+)$", 30),
    _etcd("etcdctl", "etcdctl/v3", "version", r"^etcdctl version: (\S+)$", 10),
    _kubernetes("kube-apiserver", 210),
    _kubernetes("kube-controller-manager", 60),
    _kubernetes("kube-scheduler", 10),
    _kubernetes("kubectl", 30),
    Part("kwok", "kwok", "sigs.k8s.io/kwok/cmd/kwok", KWOK, ("--version",), r"^kwok version v?(\S+)", 110),
    IGNITION_VALIDATE,
    TALOS_CONFIG,
)
"""Every part, in the order in which they are built: one after another, for a build uses every core there is."""
