"""`ingot`: the list of verbs, how fast a step starts, and what a user sees when something fails."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli import main as cli
from lifecycle.commands import Step
from lifecycle.commands import Verb as StepVerb
from lifecycle.errors import PortError

PROJECT = Path(__file__).parents[2]

BIG = ("pulumi", "pulumi_aws", "pulumi_command", "pulumi_kubernetes", "pulumi_tls", "grpc", "rehearsal", "sushy")
"""What `ingot node` must not load before its step asks for it: together they take longer than most steps."""


class TestEveryVerb:
    """Each verb is listed without being loaded, and can be loaded."""

    def test_is_listed(self) -> None:
        shown = CliRunner().invoke(cli.app, ["--help"]).output
        assert [name for name in cli.VERBS if f" {name} " not in shown] == []

    @pytest.mark.parametrize("name", sorted(cli.VERBS))
    def test_has_help_with_an_example(self, name: str) -> None:
        result = CliRunner().invoke(cli.app, [name, "--help"])
        assert result.exit_code == 0, result.output
        assert "Example" in result.output
        assert f"ingot {name}" in result.output
        assert "--install-completion" not in result.output

    @pytest.mark.parametrize("group", ["image", "rack", "lab", "node"])
    def test_within_a_verb_has_an_example_too(self, group: str) -> None:
        command: Any = cli.load(group)
        without = [
            name for name, inner in command.commands.items() if f"ingot {group} {name}" not in (inner.epilog or "")
        ]
        assert without == []

    def test_misspelt_is_answered_with_the_nearest(self) -> None:
        result = CliRunner().invoke(cli.app, ["rehearsee"])
        assert result.exit_code == 2
        assert "rehearse" in result.output

    @pytest.mark.parametrize("verb", list(StepVerb))
    def test_that_a_stored_command_names_is_one_of_node(self, verb: StepVerb) -> None:
        words = Step(verb, "metal", "w1", "0123456789abcdef").command().split()
        command: Any = cli.load(words[1])
        assert words[2] in command.commands


class TestAStepStartsLight:
    """`ingot node` loads neither the engine's SDK nor the rack."""

    def test_nothing_big_is_loaded(self) -> None:
        script = (
            "import sys; sys.argv = ['ingot', 'node', '--help']\n"
            "from cli.main import main\n"
            "try: main()\n"
            f"finally: print(sorted(set(sys.modules) & set({BIG!r})), file=sys.stderr)"
        )
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=PROJECT, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.stderr.strip() == "[]"
        assert done.returncode == 0

    def test_main_itself_imports_only_typer_and_the_standard_library(self) -> None:
        tree = ast.parse((PROJECT / "cli" / "main.py").read_text(encoding="utf-8"))
        roots = {
            alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
        }
        roots |= {str(node.module).split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert roots - set(sys.stdlib_module_names) == {"typer"}


class TestWhatAUserSees:
    """Expected errors as they are; of anything else one line, and where the traceback went."""

    def test_our_own_errors_are_expected(self) -> None:
        assert cli.is_expected(PortError("BMC of w3", "nothing", "look at its cable"))

    @pytest.mark.parametrize("error", [ValueError("x"), KeyError("x"), RuntimeError("x")])
    def test_others_are_not(self, error: Exception) -> None:
        assert not cli.is_expected(error)

    def fails(self, error: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
        """`ingot broken`, a verb of a module that raises `error`."""
        (tmp_path / "broken.py").write_text(f"import lifecycle.errors\ndef verb() -> None:\n    raise {error}\n")
        script = (
            "import sys; from pathlib import Path; import cli.main as cli\n"
            f"sys.path.append({str(tmp_path)!r})\n"
            "cli.VERBS['broken'] = cli.Verb('broken', 'verb', 'Fails.', 'ingot broken')\n"
            f"cli.main(['broken'], crashes=Path({str(tmp_path / 'crashes')!r}))"
        )
        return subprocess.run(
            [sys.executable, "-c", script], cwd=PROJECT, capture_output=True, text=True, check=False, timeout=60
        )

    def test_an_expected_error_is_its_text(self, tmp_path: Path) -> None:
        done = self.fails("lifecycle.errors.PortError('BMC of w3', 'nothing', 'look at its cable')", tmp_path)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == "BMC of w3: expected an answer, found nothing. Remedy: look at its cable\n"
        assert not (tmp_path / "crashes").exists()

    def test_an_unexpected_one_names_the_file_with_its_traceback(self, tmp_path: Path) -> None:
        done = self.fails("ZeroDivisionError('of sorts\\nand more')", tmp_path)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert done.stderr.startswith("ingot: unexpected ZeroDivisionError: of sorts\n")
        (crash,) = (tmp_path / "crashes").iterdir()
        assert str(crash) in done.stderr
        assert "Traceback" in crash.read_text()

    def test_a_folder_that_cannot_be_made_does_not_hide_the_error(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        path = cli.record_crash(ValueError("x"), tmp_path / "file" / "crashes")
        assert "ValueError: x" in path.read_text()
