"""`ingot boot-config`: what it prints is what a node gets."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli import main as cli
from cli.step_ports import contents, declared
from components.boot.ignition import inlined, parse

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def in_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def said(*words: str) -> str:
    done = CliRunner().invoke(cli.app, ["boot-config", *words])
    assert done.exit_code == 0, done.output
    return done.stdout


class TestBootConfig:
    """Of the example stack, with what is really pinned."""

    def test_lists_the_nodes_a_name_a_line(self) -> None:
        assert said("metal").split() == ["cp1", "cp2", "cp3", "w1", "w2", "w3", "w4", "w5", "w6"]

    def test_prints_the_very_configuration_that_the_installer_carries(self) -> None:
        pin = declared(ROOT, "metal").pins["w1"]
        published = contents(ROOT, "metal", pin)
        (live,) = (parse(data) for path, data in published.items() if path.endswith(".ign"))
        (carried,) = (inlined(f.contents) for f in live.storage.files if f.path.endswith(".ign"))
        assert carried is not None
        assert parse(said("metal", "w1").encode()) == parse(carried)
        assert pin.generation in said("metal", "w1", "--files")

    def test_prints_what_is_published(self) -> None:
        pin = declared(ROOT, "metal").pins["w1"]
        text = said("metal", "w1", "--published")
        for path in contents(ROOT, "metal", pin):
            assert f"# {path}\n" in text

    def test_writes_files_out_for_a_reader(self) -> None:
        text = said("metal", "cp1", "--files")
        assert "== /etc/hostname 0644\ncp1\n" in text
        assert "== kubelet.service, enabled\n[Unit]" in text
        assert "== /usr/local/bin/kubelet 0755 from https://" in text
        assert "(sha256-" in text

    def test_of_an_unknown_node_names_the_known_ones(self) -> None:
        done = CliRunner().invoke(cli.app, ["boot-config", "metal", "w9"])
        assert done.exit_code != 0
        assert "w6" in str(done.exception)
