"""The lab's parts as data: each is pinned where it is built."""

from __future__ import annotations

import re

import pytest

from tools.lab.parts import PARTS, Part


class TestPins:
    """The code and go.mod name the same release, and tools.go keeps every package."""

    @pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
    def test_are_the_same(self, part: Part) -> None:
        required = dict(re.findall(r"^(?:require |\t)(\S+) v(\S+)$", (part.folder / "go.mod").read_text("utf-8"), re.M))
        package = part.of or part.package
        module = max((name for name in required if package.startswith(name)), key=len)
        assert required[module] == part.version
        if part.of:
            assert f'"{module}"' in (part.folder / "main.go").read_text("utf-8")
        else:
            assert f'"{package}"' in (part.folder / "tools.go").read_text("utf-8")

    @pytest.mark.parametrize("part", [part for part in PARTS if part.of], ids=lambda part: part.name)
    def test_of_our_own_programs_cover_their_source(self, part: Part) -> None:
        assert part.folder / "main.go" in part.pins
        assert f"module {part.package}\n" in (part.folder / "go.mod").read_text("utf-8")

    def test_of_kubernetes_replace_every_staging_module(self) -> None:
        text = (PARTS[2].folder / "go.mod").read_text("utf-8")
        replaced = re.findall(r"^\t(k8s\.io/\S+) => (\S+) v(\S+)$", text, re.M)
        assert len(replaced) == 33
        assert {(to, version) for _, to, version in replaced} == {(name, "0.36.3") for name, _, _ in replaced}


class TestVersions:
    """Are read as the binaries print them."""

    @pytest.mark.parametrize(
        ("name", "output", "version"),
        [
            ("etcd", "etcd Version: 3.6.8\nGit SHA: Not provided\nGo Version: go1.26.8\n", "3.6.8"),
            ("etcdctl", "etcdctl version: 3.6.8\nAPI version: 3.6\n", "3.6.8"),
            ("kube-apiserver", "Kubernetes v1.36.3\n", "1.36.3"),
            ("kubectl", "Client Version: v1.36.3\nKustomize Version: v5.8.1\n", "1.36.3"),
            ("kwok", "kwok version v0.8.0 go1.26.8 (linux/amd64)", "0.8.0"),
            ("ignition-validate", "ignition-validate v2.24.0\n", "2.24.0"),
            ("ignition-validate", "ignition-validate unknown\n", None),
            ("kube-apiserver", "Kubernetes v0.0.0-master+$Format:%H$", "0.0.0-master+$Format:%H$"),
            ("talos-config", "talos-config v1.13.0\n", "1.13.0"),
            ("etcd", "", None),
        ],
    )
    def test_as_printed(self, name: str, output: str, version: str | None) -> None:
        assert next(part for part in PARTS if part.name == name).says(output) == version
