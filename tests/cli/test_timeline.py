"""`ingot timeline`: which file, which part of it, where the pages go, and what is said of what is missing."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from cli import main as cli
from cli.timeline import moment
from lifecycle.adapters.evidence import evidence_file
from lifecycle.errors import NeedsAttention
from report.evidence import NoEvidence
from tests.report.lines import Recorded

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "project"
    (root / "stacks").mkdir(parents=True)
    (root / "Pulumi.yaml").write_text("name: ingot\n")
    for name in ("images.lock.json", "Pulumi.metal.yaml"):
        shutil.copy(REPOSITORY / "stacks" / name, root / "stacks")
    monkeypatch.chdir(root)
    monkeypatch.delenv("INGOT_HOME", raising=False)
    return root


@pytest.fixture
def recorded(project: Path) -> Recorded:
    """What two steps left in the project: a roll, and another a day later."""
    file = Recorded(evidence_file(project, "metal"))
    file.replaced("w1")
    file.replaced("w2", 90_000)
    return file


def ingot(*words: str) -> Result:
    return CliRunner().invoke(cli.app, ["timeline", "metal", *words])


class TestPages:
    """The last roll, as HTML and Markdown, beside the reports of rehearsals."""

    def test_of_the_stacks_own_evidence(self, project: Path, recorded: Recorded) -> None:
        shown = ingot()
        assert shown.exit_code == 0, shown.output
        assert shown.stdout.startswith("metal: 1 of 1 node replaced, in 8 min 40 s\nreport: ")
        page = (project / ".ingot/reports/metal.timeline.html").read_text()
        assert "workers" in page
        assert ">w2<" in page
        assert ">w1<" not in page
        assert "w2" in (project / ".ingot/reports/metal.timeline.md").read_text()

    def test_of_another_file_into_another_folder(self, project: Path, tmp_path: Path) -> None:
        other = Recorded(tmp_path / "other.jsonl")
        other.replaced("w3")
        shown = ingot("--file", str(other.path), "--out", str(tmp_path / "out"))
        assert shown.exit_code == 0
        assert ">w3<" in (tmp_path / "out/metal.timeline.html").read_text()
        assert not (project / ".ingot").exists()

    @pytest.mark.parametrize(
        ("since", "nodes"), [("all", 2), ("2026-11-25", 2), ("2026-11-26", 1), ("2026-11-25T12:00:00+02:00", 2)]
    )
    def test_since(self, recorded: Recorded, since: str, nodes: int) -> None:
        assert f"{nodes} of {nodes} node" in ingot("--since", since).stdout

    def test_beside_another(self, project: Path, recorded: Recorded, tmp_path: Path) -> None:
        rehearsed = Recorded(tmp_path / "rehearsed.jsonl", 0.0)
        rehearsed.replaced("w2", slower=0.5)
        shown = ingot("--against", str(rehearsed.path))
        assert shown.exit_code == 0, shown.output
        page = (project / ".ingot/reports/metal.compared.html").read_text()
        assert "rehearsed" in page
        assert "2 ×" in page

    def test_what_it_took_and_what_it_would_take_otherwise(self, project: Path, recorded: Recorded) -> None:
        shown = ingot("--price", "workers=0.21EUR")
        assert shown.exit_code == 0, shown.output
        page = (project / ".ingot/reports/metal.timeline.html").read_text()
        assert "Cost and time" in page
        assert "max_unavailable: 2" in page
        assert "0 EUR" in page

    def test_a_price_of_a_pool_that_is_none(self, recorded: Recorded) -> None:
        shown = ingot("--price", "gpus=1")
        assert shown.exit_code == 2
        assert "found gpus" in shown.stderr

    def test_without_a_stack_file_there_are_no_pools(self, project: Path, recorded: Recorded) -> None:
        (project / "stacks/Pulumi.metal.yaml").unlink()
        shown = ingot()
        assert shown.exit_code == 0
        assert "pools are not known here" in shown.stderr


class TestWhatIsMissing:
    """Said, never drawn over."""

    def test_lines_that_cannot_be_read(self, recorded: Recorded) -> None:
        with recorded.path.open("ab") as file:
            file.write(b'{"at": "2026\n\xff\xfe\n')
        shown = ingot()
        assert shown.exit_code == 0
        assert "2 lines could not be read, and are left out:" in shown.stderr
        assert "not JSON" in shown.stderr

    def test_no_file(self, project: Path) -> None:
        shown = ingot()
        assert shown.exit_code == 1
        assert isinstance(shown.exception, NoEvidence)
        assert "metal.jsonl: expected the events of a roll, found no such file" in str(shown.exception)
        assert cli.is_expected(shown.exception)

    def test_nothing_since_then(self, recorded: Recorded) -> None:
        shown = ingot("--since", "2027-01-01")
        assert isinstance(shown.exception, NoEvidence)
        assert "found none since 2027-01-01" in str(shown.exception)

    def test_a_folder_that_cannot_be_written(self, recorded: Recorded, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        shown = ingot("--out", str(tmp_path / "file"))
        assert isinstance(shown.exception, NeedsAttention)
        assert "--out" in str(shown.exception)


class TestSince:
    """A moment, a day, a length of time, or all."""

    NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)

    @pytest.mark.parametrize(
        ("said", "meant"),
        [
            ("all", None),
            ("90m", "2026-11-25T10:30:00+00:00"),
            ("36h", "2026-11-24T00:00:00+00:00"),
            ("7d", "2026-11-18T12:00:00+00:00"),
            ("2026-11-25", "2026-11-25T00:00:00+00:00"),
            ("2026-11-25T10:00:00Z", "2026-11-25T10:00:00+00:00"),
        ],
    )
    def test_is_read(self, said: str, meant: str | None) -> None:
        found = moment(said, self.NOW)
        assert (found and found.isoformat()) == meant

    @pytest.mark.parametrize("said", ["", "yesterday", "7w", "-3d", "9999999d"])
    def test_anything_else_is_refused(self, said: str) -> None:
        with pytest.raises(typer.BadParameter, match="expected a moment, a day, a length"):
            moment(said, self.NOW)
