"""What a lab consists of: written once, read by whoever comes later."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from lab.errors import LabIsDown, NotLinux
from lab.layout import FILE, Layout, Shape, require_linux


class TestShape:
    """Ports are chosen free, a client and a peer port a member."""

    def test_has_a_port_for_each(self) -> None:
        shape = Shape.choose(etcd_members=3, systems=2)
        assert (len(shape.client_ports), len(shape.peer_ports)) == (3, 3)
        assert len(Layout(Path("/x"), shape, {}).etcd_endpoints) == 3


class TestWhatWasWritten:
    """Is what another process reads."""

    def test_reads_back(self, tmp_path: Path) -> None:
        layout = Layout(tmp_path, Shape.choose(3, 2), {})
        layout.write()
        assert Layout.read(tmp_path, {}) == layout

    def test_none_is_said(self, tmp_path: Path) -> None:
        with pytest.raises(LabIsDown, match=r"found no such file\. Remedy: `ingot lab up"):
            Layout.read(tmp_path, {})

    @pytest.mark.parametrize("text", ["", "{", "[]", "{}"])
    def test_something_else_is_said(self, tmp_path: Path, text: str) -> None:
        (tmp_path / FILE).write_text(text, encoding="utf-8")
        with pytest.raises(LabIsDown, match="cannot be read"):
            Layout.read(tmp_path, {})


class TestKubeconfig:
    """Names the lab's API server, its authority, and a client certificate."""

    def test_is_one(self, tmp_path: Path) -> None:
        layout = Layout(tmp_path, Shape.choose(1, 1), {})
        path = layout.kubeconfig("ann", "ann", "readers")
        found = json.loads(path.read_text(encoding="utf-8"))
        assert found["clusters"][0]["cluster"]["server"] == f"https://{layout.endpoint}"
        assert os.access(found["users"][0]["user"]["client-key"], os.R_OK)


class TestOtherSystems:
    """Are refused in words."""

    def test_a_mac(self) -> None:
        with pytest.raises(NotLinux, match="expected Linux, found Darwin"):
            require_linux("Darwin")
