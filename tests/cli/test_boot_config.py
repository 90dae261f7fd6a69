"""`ingot boot-config`: what it prints is what a node gets."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli import main as cli
from cli.step_ports import contents, declared
from components.boot.ignition import inlined, parse
from tools.lab.obtain import build
from tools.lab.parts import IGNITION, IGNITION_VALIDATE, Part

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def in_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def install(cache: Path, body: str) -> None:
    """Put a validator of our own into the cache, as if it had been built."""

    def compile_part(_: Part, made: Path) -> None:
        made.write_text(f"#!/bin/sh\n[ $# -gt 0 ] && echo 'ignition-validate v{IGNITION}' && exit\n{body}\n")
        made.chmod(0o755)

    build(IGNITION_VALIDATE, cache, compile_part)


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

    def test_judges_all_nodes_or_says_how(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("INGOT_CACHE", str(tmp_path))
        lines = said("metal", "--check").splitlines()
        assert [line.partition(":")[0] for line in lines] == said("metal").split()
        assert all("python -m tools.lab --ensure" in line for line in lines)

    def test_judges_one_node_beside_what_it_prints(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("INGOT_CACHE", str(tmp_path))
        done = CliRunner().invoke(cli.app, ["boot-config", "metal", "w1", "--check"])
        assert done.exit_code == 0, done.output
        assert parse(done.stdout.encode()) == parse(said("metal", "w1").encode())
        assert done.stderr.startswith("w1: not judged; ")

    def test_ends_with_1_if_anything_is_refused(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("INGOT_CACHE", str(tmp_path))
        install(tmp_path, 'while read -r a; do echo \'{"valid": false, "report": ["no such disk"]}\'; done')
        done = CliRunner().invoke(cli.app, ["boot-config", "metal", "--check"])
        assert done.exit_code == 1
        assert "w6: Ignition 2.24.0 refuses what it boots\n  boot/" in done.stdout
        assert "  configuration: no such disk" in done.stdout

    def test_of_an_unknown_node_names_the_known_ones(self) -> None:
        done = CliRunner().invoke(cli.app, ["boot-config", "metal", "w9"])
        assert done.exit_code != 0
        assert "w6" in str(done.exception)
