"""What the source itself must keep to (docs: style R1, R4, R8), and what must not be in any file."""

from __future__ import annotations

import ast
import functools
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
PACKAGES = ("cli", "components", "lab", "lifecycle", "rehearsal", "report", "tools")
LINES_MAX = 400
FUNCTION_LINES_MAX = 60
ERRORS = (
    "boot.py",
    "drift.py",
    "erase.py",
    "errors.py",
    "losses.py",
    "pause.py",
    "repair.py",
    "stops.py",
    "switches.py",
)
"""Of lifecycle/: where its error classes are."""
TEXT = frozenset(
    {".py", ".md", ".toml", ".yaml", ".yml", ".j2", ".in", ".txt", ".json", ".sh", ".mod", ".go", ".html", ""}
)
HIDDEN_BUT_OURS = frozenset({".ci", ".gitignore"})


@functools.cache
def texts() -> tuple[tuple[Path, str], ...]:
    """Every text file of the project, and what is in it; nothing that was generated or installed."""
    found = []
    for folder, folders, names in os.walk(PROJECT):
        folders[:] = sorted(name for name in folders if ours(name))
        found += [Path(folder, name) for name in sorted(names) if ours(name) and Path(name).suffix in TEXT]
    return tuple((path, path.read_text(encoding="utf-8")) for path in found)


def ours(name: str) -> bool:
    """Whether a file or folder of this name is written by people."""
    made = name in {"__pycache__", "build"} or name.endswith(".egg-info")
    return not made and (not name.startswith(".") or name in HIDDEN_BUT_OURS)


def sources(*folders: str) -> Iterator[tuple[Path, str]]:
    for path, text in texts():
        if path.suffix == ".py" and path.relative_to(PROJECT).parts[0] in folders:
            yield path, text


def where(path: Path, line: int = 0) -> str:
    name = str(path.relative_to(PROJECT))
    return f"{name}:{line}" if line else name


# ---------------------------------------------------------------- the rules, as functions of text


def long_functions(source: str) -> list[tuple[str, int, int]]:
    """(name, line, length) of each function that is too long."""
    return [
        (node.name, node.lineno, length)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or node.lineno) - node.lineno + 1) > FUNCTION_LINES_MAX
    ]


def uncollected(name: str, source: str) -> list[str]:
    """What looks like a test in a file under tests/ and would never run, each with why."""
    collected = re.fullmatch(r"test_\w+\.py|\w+_test\.py", name) is not None
    found = []
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and not collected:
            found.append(f"{node.name}: {name} is not called test_*.py")
        if isinstance(node, ast.ClassDef):
            methods = [inner.name for inner in node.body if isinstance(inner, ast.FunctionDef)]
            tests = any(method.startswith("test_") for method in methods)
            if tests and not collected:
                found.append(f"{node.name}: {name} is not called test_*.py")
            if tests and not node.name.startswith("Test") and not node.bases:
                found.append(f"{node.name}: its name does not begin with Test")
            if tests and "__init__" in methods:
                found.append(f"{node.name}: pytest ignores a class with __init__")
    return found


def headings(markdown: str) -> set[str]:
    """The anchors that a reader's browser knows in a Markdown file."""
    prose = re.sub(r"```.*?```", "", markdown, flags=re.DOTALL)
    titles = re.findall(r"^#{1,6} +(.+?) *$", prose, re.MULTILINE)
    named = re.findall(r'<a (?:id|name)="([^"]+)"', prose)
    return {re.sub(r" ", "-", re.sub(r"[^\w\- ]", "", title.lower())) for title in titles} | set(named)


def dead(target: str, base: Path) -> bool:
    """Whether a link, read in the folder `base`, leads nowhere."""
    name, _, anchor = target.partition("#")
    path = (base / name) if name else base
    if not path.exists():
        return True
    return bool(anchor) and path.suffix == ".md" and anchor not in headings(path.read_text(encoding="utf-8"))


def links(path: Path, text: str) -> Iterator[tuple[str, Path]]:
    """(target, the folder it is read in) of every link: in Markdown, and to our documents in any text."""
    if path.suffix == ".md":
        prose = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)\s]+)\)", prose):
            if not re.match(r"[a-z]+:", target):
                yield (target, path.parent) if not target.startswith("#") else (path.name + target, path.parent)
    for target in re.findall(r"\b((?:runbooks|docs)/[\w./-]+\.md(?:#[\w-]+)?)", text):
        if path.suffix != ".md":
            yield target, PROJECT


def unfinished(text: str) -> list[int]:
    """The lines that say that something is still to be done."""
    marks = "|".join(["TO" + "DO", "FIX" + "ME", "X" + "XX"])
    return [number for number, line in enumerate(text.splitlines(), 1) if re.search(rf"\b({marks})\b", line)]


def machine_paths(text: str) -> list[str]:
    """Paths that exist on one machine only: homes, and this very checkout."""
    homes = re.findall(r"(?<![\w.~-])/(?:root|home/[a-z]\w*|Users/[A-Za-z]\w*)/", text)
    return homes + ([str(PROJECT)] if len(PROJECT.parts) > 2 and f"{PROJECT}/" in text else [])


# ---------------------------------------------------------------- the rules, on the tree


def expect_none(found: Iterable[str]) -> None:
    """Fail with all that was found, a line each."""
    lines = list(found)
    if lines:
        pytest.fail("\n".join([f"{len(lines)} found:", *lines]), pytrace=False)


class TestSizes:
    """R1: what is longer has more than one job."""

    def test_files(self) -> None:
        lengths = {where(path): len(text.splitlines()) for path, text in sources(*PACKAGES)}
        expect_none(f"{name}: {length} lines" for name, length in lengths.items() if length > LINES_MAX)

    def test_functions(self) -> None:
        expect_none(
            f"{where(path, line)} {name}: {length} lines"
            for path, text in sources(*PACKAGES)
            for name, line, length in long_functions(text)
        )


class TestEveryTestRuns:
    """A test that pytest does not collect proves nothing."""

    def test_in_tests(self) -> None:
        expect_none(f"{where(path)} {what}" for path, text in sources("tests") for what in uncollected(path.name, text))

    def test_outside_of_tests_there_is_none(self) -> None:
        expect_none(where(path) for path, _ in sources(*PACKAGES, "bench") if path.name.startswith("test_"))


class TestEveryErrorIsTriggered:
    """R4: each error class is named by a test that provokes it; bases are provoked by their kinds."""

    def test_of_lifecycle(self) -> None:
        trees = [ast.parse((PROJECT / "lifecycle" / name).read_text(encoding="utf-8")) for name in ERRORS]
        classes = [node for tree in trees for node in tree.body if isinstance(node, ast.ClassDef) and node.bases]
        bases = {base.id for node in classes for base in node.bases if isinstance(base, ast.Name)}
        names = {node.name for node in classes} - bases
        tested = "\n".join(text for _, text in sources("tests"))
        expect_none(name for name in sorted(names) if not re.search(rf"\b{name}\b", tested))


class TestLinksLeadSomewhere:
    """A remedy that names a page must name one that is there."""

    def test_in_texts_and_pages(self) -> None:
        expect_none(
            f"{where(path)}: {target}"
            for path, text in texts()
            if path != Path(__file__).resolve()
            for target, base in links(path, text)
            if dead(target, base)
        )


class TestNothingIsLeftOver:
    """No marks of unfinished work, no paths of one machine."""

    def test_marks(self) -> None:
        expect_none(where(path, line) for path, text in texts() for line in unfinished(text))

    def test_paths(self) -> None:
        own = Path(__file__).resolve()
        expect_none(f"{where(path)}: {found}" for path, text in texts() if path != own for found in machine_paths(text))


# ---------------------------------------------------------------- the rules see what they are for


class TestTheRulesSee:
    """Each rule finds a sample of what it forbids, and lets its neighbour pass."""

    @pytest.mark.parametrize(("lines", "found"), [(FUNCTION_LINES_MAX - 1, []), (FUNCTION_LINES_MAX, [("f", 1, 61)])])
    def test_long_functions(self, lines: int, found: list[tuple[str, int, int]]) -> None:
        assert long_functions("def f():\n" + "    pass\n" * lines) == found

    @pytest.mark.parametrize(
        ("name", "source", "count"),
        [
            ("test_a.py", "def test_x(): ...", 0),
            ("a.py", "def test_x(): ...", 1),
            ("a.py", "class TestX:\n    def test_x(self): ...", 1),
            ("a.py", "class Fake:\n    def read(self): ...", 0),
            ("test_a.py", "class Refuses:\n    def test_x(self): ...", 1),
            ("test_a.py", "class TestX:\n    def __init__(self): ...\n    def test_x(self): ...", 1),
        ],
    )
    def test_uncollected_tests(self, name: str, source: str, count: int) -> None:
        assert len(uncollected(name, source)) == count

    @pytest.mark.parametrize(
        ("target", "expected"),
        [("page.md", False), ("page.md#a-way--out", False), ("page.md#in", True), ("gone.md", True), ("#x", False)],
    )
    def test_dead_links(self, target: str, expected: bool, tmp_path: Path) -> None:
        (tmp_path / "page.md").write_text("# A way: & out\n", encoding="utf-8")
        assert dead(target, tmp_path) is expected

    def test_links_in_pages_and_in_error_texts(self, tmp_path: Path) -> None:
        page = "See [x](../a.md#b), [y](https://c) and `[z](d)`."
        assert list(links(tmp_path / "p.md", page)) == [("../a.md#b", tmp_path)]
        assert list(links(tmp_path / "p.py", '"Remedy: runbooks/detach.md#stuck"')) == [
            ("runbooks/detach.md#stuck", PROJECT)
        ]

    def test_unfinished_work(self) -> None:
        assert unfinished("a\n# " + "TO" + "DO: b\nTODOS") == [2]

    @pytest.mark.parametrize("path", ["/" + "root/x", "/home/ann/x", "/Users/Ann/x"])
    def test_machine_paths(self, path: str) -> None:
        assert machine_paths(f"see {path}") != []
        assert machine_paths("see /home, /var/lib, $HOME/.pulumi and https://h/root/x") == []
