"""Nodes that look like those of an image, as the lifecycle's gates read them."""

from __future__ import annotations

import re

from lab import fleet as make


class TestANode:
    """A new installation has a new machine id, a reboot only a new boot id."""

    def test_says_its_image_as_fedora_coreos_does(self) -> None:
        info = make.node("w1", "10.1.0.1")["status"]["nodeInfo"]
        assert re.match(r"^Fedora CoreOS (\d+\.\d{8}\.\d+\.\d+)", info["osImage"])
        assert re.fullmatch(r"[0-9a-f]{32}", info["machineID"])
        assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", info["bootID"])

    def test_installed_anew(self) -> None:
        first, second = (make.node("w1", "", install=n)["status"]["nodeInfo"] for n in (1, 2))
        assert [key for key in first if first[key] != second[key]] == ["machineID", "systemUUID", "bootID"]

    def test_rebooted(self) -> None:
        first, second = (make.node("w1", "", boot=n)["status"]["nodeInfo"] for n in (1, 2))
        assert [key for key in first if first[key] != second[key]] == ["bootID"]

    def test_of_another_name_is_another_machine(self) -> None:
        ids = {make.node(f"w{n}", "")["status"]["nodeInfo"]["machineID"] for n in range(100)}
        assert len(ids) == 100


class TestControlPlanes:
    """Are known by their label, and run no applications."""

    def test_are_labelled_and_tainted(self) -> None:
        node = make.node("cp1", "127.0.0.11", control_plane=True)
        assert "node-role.kubernetes.io/control-plane" in node["metadata"]["labels"]
        assert node["spec"]["taints"] == [{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}]
