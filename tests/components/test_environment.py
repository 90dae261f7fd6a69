"""components.environment: the one form of each value, what is closed, and the schema made from it."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError
from typer.testing import CliRunner

from cli import schema as schema_verb
from components.environment import Environment, Limits
from components.fields import Cidr, Closed, HttpsUrl, Mac, RedfishSystem, StableDisk
from components.stackfile import KEY, as_file, example, load, validate
from lifecycle import ports

ROOT = Path(__file__).resolve().parents[2]
METAL = ROOT / "stacks" / "Pulumi.metal.yaml"


class TestOneForm:
    """Values that mean the same become the same, so that the same input gives the same bytes."""

    @pytest.mark.parametrize(
        ("kind", "written", "held"),
        [
            (Mac, "52:54:00:AB:CD:EF", "52:54:00:ab:cd:ef"),
            (
                RedfishSystem,
                "https://BMC.example:443/redfish/v1/Systems/Self/",
                "https://bmc.example/redfish/v1/Systems/Self",
            ),
            (
                RedfishSystem,
                "https://[2001:db8::1]:8443/redfish/v1/Systems/1",
                "https://[2001:db8::1]:8443/redfish/v1/Systems/1",
            ),
            (HttpsUrl, "https://Boot.example/Store/", "https://boot.example/Store"),
            (Cidr, "fd00:0::/48", "fd00::/48"),
            (StableDisk, "/dev/disk/by-path/pci-0000:00:04.0-nvme-1", "/dev/disk/by-path/pci-0000:00:04.0-nvme-1"),
        ],
    )
    def test_of(self, kind: Any, written: str, held: str) -> None:
        assert TypeAdapter(kind).validate_python(written) == held

    @pytest.mark.parametrize("mac", ["52:54:00:00:00", "52:54:00:00:00:0g", "00:00:00:00:00:00", "52:54:00:00:00:01\n"])
    def test_not_of_a_bad_mac(self, mac: str) -> None:
        with pytest.raises(ValidationError, match="a MAC address"):
            TypeAdapter(Mac).validate_python(mac)

    @pytest.mark.parametrize(
        "disk", ["/dev/disk/by-uuid/1", "/dev/disk/by-id/../../sda", "/dev/disk/by-id/", "nvme0n1"]
    )
    def test_not_of_a_disk_that_could_be_another(self, disk: str) -> None:
        with pytest.raises(ValidationError, match="a whole disk"):
            TypeAdapter(StableDisk).validate_python(disk)


def models(of: type[Closed]) -> set[type[Closed]]:
    return {of}.union(*(models(sub) for sub in of.__subclasses__()))


class TestModels:
    """Closed, frozen, and told to a reader."""

    def test_refuse_what_they_do_not_know_and_never_change(self) -> None:
        assert all(m.model_config["extra"] == "forbid" and m.model_config["frozen"] for m in models(Closed))

    def test_describe_every_field(self) -> None:
        untold = [f"{m.__name__}.{n}" for m in models(Closed) for n, f in m.model_fields.items() if not f.description]
        assert untold == []

    def test_limits_are_those_of_the_ports(self) -> None:
        assert Limits().model_dump() == dataclasses.asdict(ports.Limits())

    def test_defaults_are_values_that_one_may_write(self) -> None:
        for model in models(Closed):
            for name, field in model.model_fields.items():
                if not field.is_required() and field.default is not None and not isinstance(field.default, Closed):
                    kept: Any = TypeAdapter(model).validate_python  # the whole model's check, on this one field
                    with pytest.raises(ValidationError) as refused:
                        kept({name: field.default, "no-such-key": 1})
                    assert name not in {e["loc"][0] for e in refused.value.errors()}, f"{model.__name__}.{name}"


class TestReference:
    """docs/stack-file.md names every key with its default."""

    def test_names_every_key(self) -> None:
        text = re.sub(r"```.*?```", "", (ROOT / "docs" / "stack-file.md").read_text(), flags=re.DOTALL)
        words = {word for quoted in re.findall(r"`([^`]+)`", text) for word in quoted.split(".")}
        words |= set(re.findall(r"^### (\w+)", text, re.MULTILINE))
        assert {n for m in models(Closed) for n in m.model_fields} - words == set()

    def test_has_the_defaults_of_limits(self) -> None:
        text = (ROOT / "docs" / "stack-file.md").read_text()
        assert {n: f"{d:g}" for n, d in Limits().model_dump().items()} == dict(
            re.findall(r"^\| `(\w+_s)` \| (\d+) \| \w", text, re.MULTILINE)
        )


class TestPurity:
    """A step loads a stack file, so it must start fast: no engine's SDK."""

    def test_imports_no_pulumi(self) -> None:
        told = "import sys, components.stackfile; sys.exit('pulumi' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", told], cwd=ROOT, check=False).returncode == 0


class TestHelpers:
    """What others ask of an environment."""

    def test_hosts_come_in_file_order(self) -> None:
        assert [(p, h) for p, h, _ in load(METAL).hosts()][2:5] == [
            ("control-plane", "cp3"),
            ("workers", "w1"),
            ("workers", "w2"),
        ]

    def test_pool_of(self) -> None:
        environment = load(METAL)
        assert environment.pool_of("w6") == "workers"
        assert environment.pool_of("w7") is None

    def test_stores(self) -> None:
        environment = load(METAL)
        assert environment.stores("workers")
        assert not environment.stores("control-plane")

    def test_retires_by_host_pool_or_cluster(self) -> None:
        def retires(change: Any) -> list[str]:
            data = example(4, 1)
            change(data)
            environment = validate(data, "here")
            return [h for p, h, _ in environment.hosts() if environment.retires(p, h)]

        assert retires(lambda d: None) == []
        assert retires(lambda d: d["pools"]["storage"]["machines"]["hosts"]["w2"].update(retire=True)) == ["w2"]
        assert retires(lambda d: d["pools"]["storage"].update(retire=True)) == ["w1", "w2", "w3", "w4"]
        assert len(retires(lambda d: d["cluster"].update(retire=True))) == 7


def obeys(value: Any, schema: dict[str, Any], whole: dict[str, Any]) -> bool:
    """Whether a value obeys the part of JSON Schema that our schema is written in."""
    if "$ref" in schema:
        return obeys(value, whole["$defs"][schema["$ref"].rsplit("/", 1)[1]], whole)
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        return any(obeys(value, s, whole) for s in choices)
    kinds: dict[str, Any] = {
        "object": dict,
        "array": list,
        "string": str,
        "integer": int,
        "boolean": bool,
        "null": type(None),
    }
    kind = schema.get("type")
    if kind == "number" and not isinstance(value, int | float):
        return False
    if kind in kinds and not isinstance(value, kinds[kind]):
        return False
    if value not in schema.get("enum", [schema.get("const", value)]):
        return False
    if isinstance(value, str):
        return bool(re.search(schema.get("pattern", ""), value)) and len(value) <= schema.get("maxLength", len(value))
    if isinstance(value, list):
        return len(value) >= schema.get("minItems", 0) and all(obeys(v, schema["items"], whole) for v in value)
    if isinstance(value, dict):
        return set(schema.get("required", ())) <= set(value) and all(
            _member(k, v, schema, whole) for k, v in value.items()
        )
    return value is None or schema.get("minimum", value) <= value <= schema.get("maximum", value)


def _member(key: str, value: Any, schema: dict[str, Any], whole: dict[str, Any]) -> bool:
    if key in schema.get("properties", {}):
        return obeys(value, schema["properties"][key], whole)
    for pattern, below in schema.get("patternProperties", {}).items():
        if re.search(pattern, key):
            return obeys(value, below, whole)
    return bool(schema.get("additionalProperties", True))


class TestSchema:
    """The committed schema is the models'."""

    def test_is_committed_as_made(self) -> None:
        assert schema_verb.FILE.read_text(encoding="utf-8") == schema_verb.text(), "run: ingot schema"

    def test_has_the_same_bytes_each_time(self) -> None:
        assert schema_verb.text() == schema_verb.text()
        assert schema_verb.text().isascii()

    def test_accepts_good_files(self) -> None:
        whole = json.loads(schema_verb.text())
        metal = as_file(load(METAL).model_dump(mode="json"))
        assert obeys(metal, whole, whole)
        assert obeys({**as_file(example(20, 3)), "encryptionsalt": "v1:AAAA"}, whole, whole)

    @pytest.mark.parametrize(
        ("path", "value"),
        [
            (("image", "version"), "stable"),
            (("image", "version"), 44.2),
            (("image", "versoin"), "x"),
            (("image", "os"), "debian"),
            (("pools", "Storage"), {}),
            (("pools", "storage", "role"), "master"),
            (("pools", "storage", "machines", "hosts", "w1", "mac"), "52:54"),
            (("pools", "storage", "machines", "hosts", "w1", "bmc", "url"), "https://u:p@bmc/redfish/v1/Systems/1"),
            (("pools", "storage", "machines", "hosts", "w1", "os_disk"), "/dev/sda"),
            (("storage", "policies", "default", "replicas"), 1),
        ],
    )
    def test_refuses_what_the_models_refuse(self, path: tuple[str, ...], value: object) -> None:
        whole = json.loads(schema_verb.text())
        data: Any = example(3, 1)
        here = data
        for key in path[:-1]:
            here = here[key]
        here[path[-1]] = value
        assert not obeys(as_file(data), whole, whole)
        with pytest.raises(ValidationError):
            Environment.model_validate(data)

    def test_needs_our_key(self) -> None:
        whole = json.loads(schema_verb.text())
        assert not obeys({"config": {}}, whole, whole)
        assert KEY in whole["properties"]["config"]["required"]


class TestSchemaVerb:
    """`ingot schema` writes; with --check it only compares."""

    def run(self, *arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(schema_verb.app, list(arguments))
        return result.exit_code, " ".join(result.output.split())

    def test_writes_what_check_accepts(self, tmp_path: Path) -> None:
        out = str(tmp_path / "schema.json")
        assert self.run("--out", out)[0] == 0
        assert self.run("--out", out, "--check")[0] == 0

    def test_check_names_the_remedy_and_writes_nothing(self, tmp_path: Path) -> None:
        out = tmp_path / "schema.json"
        out.write_text("{}")
        code, said = self.run("--out", str(out), "--check")
        assert code == 1
        assert "found other bytes. Remedy: ingot schema --out" in said
        assert out.read_text() == "{}"

    def test_check_of_a_missing_file(self, tmp_path: Path) -> None:
        code, said = self.run("--out", str(tmp_path / "none.json"), "--check")
        assert code == 1
        assert "found none that can be read: No such file or directory" in said

    def test_a_folder_that_is_not_there(self, tmp_path: Path) -> None:
        code, said = self.run("--out", str(tmp_path / "no" / "schema.json"))
        assert code == 1
        assert "Remedy: --out" in said

    def test_help_has_an_example(self) -> None:
        assert "ingot schema --check" in self.run("--help")[1]
