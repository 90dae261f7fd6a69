"""`ingot engine`: what it shows a person, and what it gives a program."""

from __future__ import annotations

from pathlib import Path

from cli.engine import as_data, as_text
from tools.engine import Engine, Option, Source

CONSIDERED = (
    Option(Source.PATH, False, "no `pulumi` on PATH"),
    Option(Source.CACHE, True, "it is the recorded one"),
    Option(Source.INSTALLER, False, "not needed"),
    Option(Source.MODULE, False, "not needed"),
)


def engine(*, present: bool = True, language_host: bool = False) -> Engine:
    path = Path("/cache/bin/pulumi")
    return Engine(path, "v3.259.0", Source.CACHE, "it is the recorded one", present, language_host, CONSIDERED)


class TestEverySourceIsShown:
    """Taken or not, with its reason."""

    def test_to_a_person(self) -> None:
        lines = as_text(engine()).splitlines()
        assert lines[0] == "Pulumi engine v3.259.0"
        assert [line.split() for line in lines if "PATH" in line] == [["-", "path", "no", "`pulumi`", "on", "PATH"]]
        assert any(line.split()[:2] == ["taken", "cache"] for line in lines)

    def test_to_a_program(self) -> None:
        data = as_data(engine())
        assert data["considered"] == [
            {"source": option.source.value, "taken": option.taken, "why": option.why} for option in CONSIDERED
        ]
        assert (data["path"], data["present"], data["source"]) == ("/cache/bin/pulumi", True, "cache")


class TestWhatIsMissingIsSaid:
    """A person learns what the engine cannot do, and what gets it."""

    def test_an_engine_that_is_not_there_yet(self) -> None:
        assert "ingot engine --get" in as_text(engine(present=False))
        assert "ingot engine --get" not in as_text(engine())

    def test_a_language_host(self) -> None:
        assert "pulumi-language-python" in as_text(engine())
        assert "pulumi-language-python" not in as_text(engine(language_host=True))
