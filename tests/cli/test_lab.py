"""`ingot lab`: what a user sees of it. The lab itself is tested in tests/lab."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli import main as cli


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INGOT_HOME", str(tmp_path))
    return tmp_path


def ingot(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli.app, ["lab", *words])
    return result.exit_code, result.output


class TestWithoutALab:
    """There is nothing to stop or to show, and that is said."""

    def test_down(self) -> None:
        assert ingot("down") == (0, "lab default: nothing runs\n")

    def test_status(self) -> None:
        assert ingot("status") == (1, "lab default: nothing runs\n")

    def test_status_for_programs(self) -> None:
        code, output = ingot("status", "--json")
        assert (code, json.loads(output)["parts"]) == (1, {})


class TestWrongWords:
    """Are refused before anything is started."""

    @pytest.mark.parametrize(
        ("words", "expected"),
        [(("up", "--etcd", "2"), "expected 1 or 3, found 2"), (("down", "--name", "../x"), "expected a stack's name")],
    )
    def test_are_explained(self, words: tuple[str, ...], expected: str, home: Path) -> None:
        code, output = ingot(*words)
        assert code == 2
        assert expected in " ".join(output.replace("│", " ").split())
        assert list(home.iterdir()) == []


@pytest.mark.lab
class TestUpAndDown:
    """The lab stays after the command, as the command says, until it is told to go."""

    def test_in_turn(self, home: Path) -> None:
        code, output = ingot("up", "--nodes", "2")
        assert code == 0, output
        try:
            lines = [line.strip() for line in output.splitlines()]
            kubeconfig = next(line for line in lines if line.startswith("export KUBECONFIG=")).partition("=")[2]
            kubectl = next(line for line in lines if line.endswith("kubectl get nodes")).split()[0]
            assert Path(kubeconfig).is_relative_to(home)
            argv = [kubectl, "--kubeconfig", kubeconfig, "get", "nodes", "--output", "name"]
            shown = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout
            assert shown.split() == ["node/cp1", "node/w1", "node/w2"]
            assert ingot("status")[0] == 0
            assert "etcd-1" in json.loads(ingot("status", "--json")[1])["parts"]
        finally:
            code, output = ingot("down")
        assert code == 0
        assert output.startswith("lab default: stopped etcd-1, kube-apiserver")
        assert ingot("status")[0] == 1
