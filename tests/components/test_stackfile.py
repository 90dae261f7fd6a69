"""components.stackfile: what is refused, in which words, and what is not."""

from __future__ import annotations

import copy
import functools
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.stackfile import (
    KEY,
    Problem,
    StackFileError,
    as_file,
    dump,
    environment_of,
    example,
    load,
    validate,
    with_image,
)
from components.stackfile import rules as rules_module
from components.stackfile.sketch import sketch
from components.stackfile.source import BYTES_MAX, read

ROOT = Path(__file__).resolve().parents[2]
METAL = ROOT / "stacks" / "Pulumi.metal.yaml"
BROKEN = Path(__file__).with_name("broken")
CASES = sorted(BROKEN.glob("*.yaml"))


# ---------------------------------------------------------------- broken files, made from the good one


@dataclass
class Good:
    """The good file as text, edited by path. Each edit is `at` and one of write, drop, below, rename."""

    text: str

    def edit(self, at: str, *, write: str | None = None, drop: bool = False, below: str = "", rename: str = "") -> None:
        path = ("config", KEY, *(int(key) if key.isdigit() else key for key in at.split(".")))
        lines = self.text.split("\n")
        index = read(self.text.encode()).lines[path] - 1
        indent = len(lines[index]) - len(lines[index].lstrip())
        if drop:
            end = index + 1
            while end < len(lines) and (len(lines[end]) - len(lines[end].lstrip()) > indent or not lines[end].strip()):
                end += 1
            del lines[index:end]
        elif write is not None:
            lines[index] = re.sub(
                r"((?:^|\s)- |:(?: |$)).*", lambda m: f"{m[1].rstrip()} {write}", lines[index], count=1
            )
        elif below:
            lines[index + 1 : index + 1] = [" " * (indent + 2) + line for line in below.split("\n")]
        else:
            lines[index] = lines[index].replace(str(path[-1]), rename, 1)
        self.text = "\n".join(lines)


@functools.cache
def told(case: Path) -> dict[str, Any]:
    """What a case says (`of`: whose good file it breaks). What is below is kept: several tests look at every case."""
    read_case: dict[str, Any] = yaml.safe_load(case.read_text())
    return read_case


@functools.cache
def broken_bytes(path: Path) -> bytes:
    """The broken file that a case describes."""
    case = told(path)
    if "bytes" in case:
        return bytes(case["bytes"])
    if "text" in case:
        return str(case["text"]).encode()
    good = Good((ROOT / "stacks" / f"Pulumi.{case.get('of', 'metal')}.yaml").read_text())
    for edit in case["edits"]:
        good.edit(**edit)
    return good.text.encode()


@functools.cache
def refused(case: Path) -> tuple[Problem, ...]:
    """What a case is refused for."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "Pulumi.broken.yaml"
        path.write_bytes(broken_bytes(case))
        with pytest.raises(StackFileError) as error:
            load(path)
        return error.value.problems


def problems_of(raw: bytes, folder: Path) -> str:
    """The problems' texts, one below the other."""
    path = folder / "Pulumi.broken.yaml"
    path.write_bytes(raw)
    with pytest.raises(StackFileError) as raised:
        load(path)
    return "\n\n".join(str(p) for p in raised.value.problems) + "\n"


@pytest.fixture
def raw() -> dict[str, Any]:
    """The good environment as raw data, to be broken."""
    return environment_of(METAL)


class TestBrokenFile:
    """Each broken file is refused with exactly its messages (renew: UPDATE_GOLDEN=1, then read every change)."""

    @pytest.mark.parametrize("case", CASES, ids=[c.stem for c in CASES])
    def test_is_refused_in_these_words(self, case: Path, request: pytest.FixtureRequest) -> None:
        found = "\n\n".join(map(str, refused(case))) + "\n"
        if request.config.getoption("--update-golden", default=False) or os.environ.get("UPDATE_GOLDEN"):
            head = case.read_text().partition("\nexpected:")[0]
            case.write_text(
                f"{head}\nexpected: |\n" + "".join(f"  {line}".rstrip() + "\n" for line in found.splitlines())
            )
            return
        assert found == told(case)["expected"]

    def test_there_are_enough(self) -> None:
        assert len(CASES) >= 40

    def test_never_echoes_a_credential(self) -> None:
        holding = [case for case in CASES if b"hunter2" in broken_bytes(case)]
        assert holding
        assert not [case.stem for case in holding if "hunter2" in str(refused(case))]

    def test_has_a_line_for_everything_but_the_whole_file(self) -> None:
        assert {p.path for case in CASES for p in refused(case) if p.line is None} == {"the file", "config"}

    def test_is_told_in_the_order_of_the_file(self) -> None:
        for case in CASES:
            lines = [p.line or 0 for p in refused(case)]
            assert lines == sorted(lines), case.stem

    def test_breaks_every_rule(self) -> None:
        """A rule that no case breaks could be deleted unnoticed."""
        silent = set(rules_module.RULES)
        for case in CASES:
            data = read(broken_bytes(case)).data if "edits" in told(case) else None
            environment = data["config"][KEY] if isinstance(data, dict) else {}
            silent -= {rule for rule in silent if list(rule(sketch(environment)))}
        assert {rule.__name__ for rule in silent} == set()


class TestRefusal:
    """One error holds all problems and lists them for a reader."""

    def test_begins_with_the_file_and_the_count(self, raw: dict[str, Any]) -> None:
        raw["cluster"]["kubernetes"] = "latest"
        raw["image"]["version"] = "latest"
        with pytest.raises(StackFileError) as raised:
            validate(raw, "stacks/Pulumi.metal.yaml")
        head, first, second = str(raised.value).split("\n\n")
        assert head == "stacks/Pulumi.metal.yaml is refused, 2 problems; nothing was touched:"
        assert first == (
            "config.ingot:environment.image.version\n"
            "  found     'latest'\n"
            "  expected  an exact Fedora CoreOS release such as 44.20260621.3.1\n"
            "  fix       pin an exact release; what a channel names changes from day to day"
        )
        assert second.startswith("config.ingot:environment.cluster.kubernetes\n")

    def test_counts_one_problem_as_one(self) -> None:
        with pytest.raises(StackFileError, match=r"^ingot:environment is refused, 1 problem; nothing was touched:"):
            validate(None, "ingot:environment")

    def test_of_data_has_no_lines(self, raw: dict[str, Any]) -> None:
        raw["cluster"]["name"] = 7
        with pytest.raises(StackFileError) as raised:
            validate(raw, "here")
        assert [p.line for p in raised.value.problems] == [None]

    def test_of_thousands_of_problems_is_a_text_that_can_be_read(self, raw: dict[str, Any]) -> None:
        raw["cluster"] |= {f"k{i}": 1 for i in range(300)}
        with pytest.raises(StackFileError) as raised:
            validate(raw, "here")
        assert len(raised.value.problems) == 300
        assert str(raised.value).endswith("\n\nand 100 more problems after these")

    def test_of_a_missing_file_names_those_that_are_there(self) -> None:
        with pytest.raises(StackFileError, match=r"no such file\n.*\n  fix       use one of .*Pulumi\.metal\.yaml"):
            load(METAL.with_name("Pulumi.mettle.yaml"))

    def test_of_a_folder_says_so(self, tmp_path: Path) -> None:
        with pytest.raises(StackFileError, match="something that cannot be read: Is a directory"):
            load(tmp_path)

    def test_of_a_huge_file_comes_before_it_is_parsed(self, tmp_path: Path) -> None:
        assert problems_of(b"[" * (BYTES_MAX + 1), tmp_path).startswith(
            f"the file\n  found     more than {BYTES_MAX} bytes\n"
        )

    def test_of_deep_nesting_ends_early(self, tmp_path: Path) -> None:
        assert "  found     more than 40 levels\n" in problems_of(b"[" * 100_000, tmp_path)


class TestGoodFile:
    """What a person may rightly write is accepted."""

    def test_metal_is_one(self) -> None:
        environment = load(METAL)
        assert [name for _, name, _ in environment.hosts()] == ["cp1", "cp2", "cp3", "w1", "w2", "w3", "w4", "w5", "w6"]

    def test_metal_points_editors_at_the_schema(self) -> None:
        assert METAL.read_text().startswith("# yaml-language-server: $schema=environment.schema.json\n")

    def test_metal_names_no_real_host(self) -> None:
        names = [*re.findall(r"https?://([^/\s]+)", METAL.read_text()), load(METAL).cluster.endpoint]
        assert all(name.endswith(".example") for name in names)

    def test_metal_is_bumped_in_one_line(self) -> None:
        assert METAL.read_text().count("44.2026") == 1

    def test_pulumis_own_keys_stand_beside_ours(self, tmp_path: Path) -> None:
        path = tmp_path / "Pulumi.metal.yaml"
        text = METAL.read_text().replace(
            "config:\n", "config:\n  aws:region: eu-central-1\n  other:\n    secure: v1:AAAA\n", 1
        )
        path.write_text("encryptionsalt: v1:AAAA\nsecretsprovider: passphrase\n" + text)
        assert load(path) == load(METAL)

    def test_file_and_engine_see_the_same(self, raw: dict[str, Any]) -> None:
        """The engine hands the same data over as JSON, in which whole numbers may be floats."""
        raw["pools"]["workers"]["rollout"]["max_unavailable"] = 1.0
        raw["storage"]["policies"]["default"]["replicas"] = 2.0
        assert validate(raw, "here") == load(METAL)

    def test_marks_of_order_and_line_ends_do_not_matter(self, tmp_path: Path) -> None:
        path = tmp_path / "Pulumi.metal.yaml"
        path.write_bytes(b"\xef\xbb\xbf" + METAL.read_bytes().replace(b"\n", b"\r\n"))
        assert load(path) == load(METAL)

    def test_one_control_plane_and_five_are_enough(self) -> None:
        for count in (1, 3, 5):
            assert len(list(validate(example(3, 1, count), "here").hosts())) == count + 3

    def test_a_pool_of_one_may_be_out(self) -> None:
        assert validate(example(7, 1), "here").pools["workers"].rollout.max_unavailable == 1

    @pytest.mark.parametrize("endpoint", ["192.0.2.10", "2001:db8::10", "api", "API.metal.example"])
    def test_endpoint(self, raw: dict[str, Any], endpoint: str) -> None:
        raw["cluster"]["endpoint"] = endpoint
        assert validate(raw, "here").cluster.endpoint == endpoint.lower()

    def test_host_named_like_the_first_part_of_an_address(self, raw: dict[str, Any]) -> None:
        hosts = raw["pools"]["workers"]["machines"]["hosts"]
        hosts["192"] = hosts.pop("w6")
        raw["cluster"]["endpoint"] = "192.0.2.10"
        assert validate(raw, "here").cluster.endpoint == "192.0.2.10"


class TestRulesBesideBrokenShape:
    """A rule speaks also where the shape is broken elsewhere, and stays silent about what it cannot read."""

    def problems(self, raw: dict[str, Any]) -> list[str]:
        with pytest.raises(StackFileError) as raised:
            validate(raw, "here")
        return [p.path.removeprefix("config.ingot:environment.") for p in raised.value.problems]

    def test_both_are_reported(self, raw: dict[str, Any]) -> None:
        raw["pools"]["workers"]["machines"]["hosts"]["w1"]["mac"] = 5
        raw["pools"]["workers"]["rollout"]["max_unavailable"] = 2
        assert self.problems(raw) == [
            "pools.workers.rollout.max_unavailable",
            "pools.workers.machines.hosts.w1.mac",
        ]

    def test_a_host_that_is_nothing_still_counts(self, raw: dict[str, Any]) -> None:
        raw["pools"]["control-plane"]["machines"]["hosts"]["cp3"] = None
        assert self.problems(raw) == ["pools.control-plane.machines.hosts.cp3"]

    def test_unreadable_racks_are_not_counted(self, raw: dict[str, Any]) -> None:
        for host in raw["pools"]["workers"]["machines"]["hosts"].values():
            host["fault_domain"] = None
        assert self.problems(raw) == [f"pools.workers.machines.hosts.w{i}.fault_domain" for i in range(1, 7)]

    def test_an_unreadable_role_is_no_missing_control_plane(self, raw: dict[str, Any]) -> None:
        raw["pools"]["control-plane"]["role"] = "controlplane"
        assert self.problems(raw) == ["pools.control-plane.role"]

    def test_an_alias_hides_only_what_it_stands_for(self, tmp_path: Path) -> None:
        good = Good(METAL.read_text())
        good.edit("cluster.name", write="&n metal")
        good.edit("pools.workers.role", write="*n")
        good.edit("limits.boot_s", write="5")
        found = problems_of(good.text.encode(), tmp_path)
        assert re.findall(r"found     (.*)", found) == ["the alias *n", "5"]


class TestScratchCopy:
    """Rehearsals change raw data, never the file."""

    def test_with_image_bumps_the_fleet(self, raw: dict[str, Any]) -> None:
        before = copy.deepcopy(raw)
        environment = validate(with_image(raw, "44.20260707.3.1"), "here")
        assert environment.image.version == "44.20260707.3.1"
        assert raw == before

    def test_with_image_bumps_a_whole_file(self, raw: dict[str, Any]) -> None:
        made = with_image(as_file(raw), "44.20260707.3.1")
        assert made == as_file(with_image(raw, "44.20260707.3.1"))

    def test_with_image_leaves_a_pools_own_image(self, raw: dict[str, Any]) -> None:
        raw["pools"]["workers"]["image"] = {"os": "fedora-coreos", "version": "44.20260621.3.1"}
        environment = validate(with_image(raw, "44.20260707.3.1"), "here")
        assert environment.image_of(environment.pools["workers"]).version == "44.20260621.3.1"

    def test_with_image_of_junk_is_refused_by_validate(self) -> None:
        with pytest.raises(StackFileError):
            validate(with_image({"image": [1]}, "44.20260707.3.1"), "here")

    def test_dump_is_read_back(self, tmp_path: Path, raw: dict[str, Any]) -> None:
        path = tmp_path / "Pulumi.scratch.yaml"
        path.write_text(dump(as_file(raw)))
        assert environment_of(path) == raw
        assert load(path) == load(METAL)

    def test_environment_of_does_not_check_values(self, tmp_path: Path) -> None:
        path = tmp_path / "Pulumi.scratch.yaml"
        path.write_text("config:\n  ingot:environment:\n    pools: 3\n")
        assert environment_of(path) == {"pools": 3}

    @pytest.mark.parametrize(
        "text", ["config:\n  ingot:environment: 3\n", "config:\n  ingot:environment: {a: 1, a: 2}\n"]
    )
    def test_environment_of_refuses_what_is_none(self, tmp_path: Path, text: str) -> None:
        path = tmp_path / "Pulumi.scratch.yaml"
        path.write_text(text)
        with pytest.raises(StackFileError, match="1 problem;"):
            environment_of(path)
