"""components/images/lock.py: what is pinned is read whole or refused whole."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cli import schema as schema_verb
from components.images.lock import BYTES_MAX, Lock, LockError, UnknownRelease, load, parse

A, B = "a" * 64, "b" * 64


def artifact(name: str, sha256: str = A) -> dict[str, Any]:
    return {
        "url": f"https://images.example/{name}",
        "sha256": sha256,
        "signature": f"https://images.example/{name}.sig",
    }


def document() -> dict[str, Any]:
    """A whole lock file: one image, one Kubernetes."""
    facts = {
        "os_image": "Fedora CoreOS 44.20260101.3.0",
        "artifacts": {"metal": artifact("metal"), "iso": artifact("iso", B)},
        "amis": {"eu-central-1": "ami-0123456789abcdef0"},
    }
    programs = ("kubeadm", "kubelet", "kubectl", "crictl", "cni_plugins")
    return {
        "version": 1,
        "images": {"fedora-coreos": {"44.20260101.3.0": {"x86_64": facts}}},
        "kubernetes": {"v1.36.3": {"x86_64": {p: {"url": f"https://k8s.example/{p}", "sha256": B} for p in programs}}},
    }


KEYS = ["version", "images", "kubernetes", "fedora-coreos", "44.20260101.3.0", "x86_64", "artifacts"]
LEAVES = st.none() | st.booleans() | st.integers() | st.text()
JUNK = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(KEYS), inner), max_leaves=9)


def read(found: Any) -> Lock:
    return parse(json.dumps(found).encode(), "the lock")


class TestLookingUp:
    """A release is found by its exact name, or the error says what there is."""

    def test_a_pinned_image(self) -> None:
        release = read(document()).release("fedora-coreos", "44.20260101.3.0", "x86_64")
        assert release.os_image == "Fedora CoreOS 44.20260101.3.0"
        assert release.artifact("metal").sha256 == A
        assert release.amis == {"eu-central-1": "ami-0123456789abcdef0"}
        assert str(release) == "fedora-coreos 44.20260101.3.0 (x86_64)"

    def test_a_pinned_kubernetes(self) -> None:
        assert read(document()).kubernetes_release("v1.36.3", "x86_64").kubelet.url == "https://k8s.example/kubelet"

    @pytest.mark.parametrize(
        "wanted",
        [
            ("fedora-coreos", "44.20260101.3.1", "x86_64"),
            ("fedora-coreos", "44.20260101.3.0", "aarch64"),
            ("flatcar", "44.20260101.3.0", "x86_64"),
        ],
    )
    def test_what_is_not_pinned(self, wanted: tuple[str, str, str]) -> None:
        with pytest.raises(UnknownRelease) as refused:
            read(document()).release(*wanted)
        text = str(refused.value)
        assert wanted[1] in text
        assert "pinned are: fedora-coreos 44.20260101.3.0 (x86_64)" in text
        assert "ingot image pin OS VERSION" in text

    def test_kubernetes_that_is_not_pinned(self) -> None:
        with pytest.raises(UnknownRelease, match=r"kubernetes v1\.36\.4 .*pinned are: v1\.36\.3 \(x86_64\)"):
            read(document()).kubernetes_release("v1.36.4", "x86_64")

    def test_an_artifact_that_is_not_pinned(self) -> None:
        with pytest.raises(UnknownRelease, match=r"artifact pxe-kernel of fedora-coreos.*pinned are: iso, metal"):
            read(document()).release("fedora-coreos", "44.20260101.3.0", "x86_64").artifact("pxe-kernel")


SCHEMATIC = "c" * 64


def talos(**more: Any) -> dict[str, Any]:
    """A lock with a Talos image, named by version and schematic."""
    facts = {
        "os_image": "Talos (v1.13.9)",
        "schematic": SCHEMATIC,
        "installer": f"factory.example/metal-installer/{SCHEMATIC}:v1.13.9@sha256:{A}",
        "artifacts": {"metal": {"url": "https://images.example/metal", "sha256": A}},
        **more,
    }
    return {"images": {"talos": {f"v1.13.9+{SCHEMATIC}": {"x86_64": facts}}}}


class TestASchematic:
    """Is part of a Talos release's name: one version is pinned once for each."""

    def test_is_looked_up_with_the_version(self) -> None:
        release = read(talos()).release("talos", "v1.13.9", "x86_64", SCHEMATIC)
        assert (release.version, release.schematic, release.key) == ("v1.13.9", SCHEMATIC, f"v1.13.9+{SCHEMATIC}")
        assert str(release) == "talos v1.13.9 (x86_64, schematic cccccccccccc)"

    @pytest.mark.parametrize("schematic", [None, "d" * 64])
    def test_cannot_be_left_out(self, schematic: str | None) -> None:
        with pytest.raises(UnknownRelease, match=r"pinned are: talos v1\.13\.9 \(x86_64, schematic cccccccccccc\)"):
            read(talos()).release("talos", "v1.13.9", "x86_64", schematic)

    @pytest.mark.parametrize(
        ("wrong", "found"),
        [
            ({"schematic": "d" * 64}, "schematic: expected the one that the key names"),
            ({"schematic": None, "installer": None}, "schematic: expected the one that the key names"),
            ({"installer": f"factory.example/i/{'d' * 64}:v1.13.9@sha256:{A}"}, "installer: expected it to name"),
            ({"installer": f"factory.example/i/{SCHEMATIC}:v1.13.8@sha256:{A}"}, "installer: expected it to name"),
            ({"installer": f"factory.example/i/{SCHEMATIC}:v1.13.9"}, "installer: String should match"),
            ({"os_image": "Talos (v1.13.90)"}, "os_image: expected it to name v1.13.9"),
        ],
    )
    def test_agrees_with_all_that_names_it(self, wrong: dict[str, Any], found: str) -> None:
        with pytest.raises(LockError) as refused:
            read(talos(**wrong))
        assert found in str(refused.value)


class TestWriting:
    """The same facts are the same bytes."""

    def test_is_undone_by_reading(self) -> None:
        lock = read(document())
        assert parse(lock.to_bytes()) == lock
        assert parse(lock.to_bytes()).to_bytes() == lock.to_bytes()

    def test_does_not_depend_on_the_order_of_keys(self) -> None:
        def turned(value: Any) -> Any:
            return {k: turned(v) for k, v in reversed(value.items())} if isinstance(value, dict) else value

        assert read(turned(document())).to_bytes() == read(document()).to_bytes()

    def test_is_sorted_and_ends_in_a_newline(self) -> None:
        data = read(document()).to_bytes()
        assert data == (json.dumps(json.loads(data), sort_keys=True, indent=2) + "\n").encode()


class TestRefuses:
    """A broken file, with every problem and where it is."""

    def test_everything_wrong_at_once(self) -> None:
        broken = document()
        facts = broken["images"]["fedora-coreos"]["44.20260101.3.0"]["x86_64"]
        facts["artifacts"]["metal"]["sha256"] = "A" * 64
        facts["artifacts"]["iso"]["url"] = "http://images.example/iso"
        facts["amis"]["eu-central-1"] = "ami-latest"
        facts["mirror"] = "x"
        del broken["kubernetes"]["v1.36.3"]["x86_64"]["crictl"]
        with pytest.raises(LockError) as refused:
            read(broken)
        assert len(refused.value.problems) == 5
        for part in ("metal.sha256", "iso.url", "amis.eu-central-1", "mirror", "v1.36.3.x86_64.crictl"):
            assert any(part in p for p in refused.value.problems), part
        assert str(refused.value).startswith("the lock is refused, 5 problems; nothing was changed:")

    def test_an_os_image_of_another_version(self) -> None:
        broken = document()
        broken["images"]["fedora-coreos"]["44.20260101.3.0"]["x86_64"]["os_image"] = "Fedora CoreOS 44.20260101.3.01"
        with pytest.raises(LockError, match=r"expected it to name 44\.20260101\.3\.0, found"):
            read(broken)

    @pytest.mark.parametrize(
        "url",
        [
            "https://images.example/a b",
            "https://images.example/a'b",
            "https://images.example/${net0/mac}",
            "https://user:word@images.example/a",
            "https://images.example/a?version=latest",
            "https://images.example/../a",
            "https://images.example/%2e%2e/a",
            "https://images.example/a%00",
            "https://images.example/a\n",
            "data:,x",
        ],
    )
    def test_a_url_that_would_mean_more_than_itself(self, url: str) -> None:
        broken = document()
        broken["images"]["fedora-coreos"]["44.20260101.3.0"]["x86_64"]["artifacts"]["iso"]["url"] = url
        with pytest.raises(LockError, match=r"iso\.url"):
            read(broken)

    @pytest.mark.parametrize(
        ("data", "found"),
        [
            (b"", "JSON"),
            (b"\xff\xfe", "JSON in UTF-8"),
            (b"[" * 200_000, "JSON in UTF-8"),
            (b'{"version": NaN}', "NaN"),
            (b"[]", "the file"),
            (b"null", "the file"),
            (b'{"version": 2}', "version"),
            (b'{"version": 1, "version": 1}', "'version' twice"),
            (b'{"images": {"fedora-coreos": {"latest": {}}}}', "latest"),
            (b'{"images": {"fedora-coreos": {"1.2.3": {"sparc": {}}}}}', "sparc"),
        ],
    )
    def test_junk(self, data: bytes, found: str) -> None:
        with pytest.raises(LockError, match=found):
            parse(data)

    def test_a_file_that_is_too_large(self) -> None:
        with pytest.raises(LockError, match="at most"):
            parse(b" " * (BYTES_MAX + 1))

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(LockError, match="No such file"):
            load(tmp_path / "images.lock.json")

    def test_with_a_text_of_sane_length(self) -> None:
        broken: dict[str, Any] = {"images": {f"os-{i}": {"latest": {}} for i in range(500)}}
        with pytest.raises(LockError) as refused:
            read(broken)
        assert len(refused.value.problems) >= 500
        assert len(str(refused.value).splitlines()) < 60

    @settings(derandomize=True, deadline=None, max_examples=40)
    @given(JUNK)
    def test_any_junk_cleanly(self, junk: Any) -> None:
        with contextlib.suppress(LockError):
            assert read(junk).to_bytes()


def allowed(value: Any, schema: dict[str, Any], whole: dict[str, Any], path: str = "") -> list[str]:
    """The paths of what the schema does not allow, as far as names, types and patterns go."""
    if "$ref" in schema:
        return allowed(value, whole["$defs"][schema["$ref"].rpartition("/")[2]], whole, path)
    if "anyOf" in schema:
        found = [allowed(value, s, whole, path) for s in schema["anyOf"]]
        return min(found, key=len)
    if isinstance(value, dict):
        wrong = [f"{path}: no {name}" for name in schema.get("required", []) if name not in value]
        for name, inner in value.items():
            below = [s for p, s in schema.get("patternProperties", {}).items() if re.search(p, name)]
            below += [schema["properties"][name]] if name in schema.get("properties", {}) else []
            other = schema.get("additionalProperties", True)
            below += [other] if isinstance(other, dict) and not below else []
            if (other is False and not below) or name not in schema.get("propertyNames", {}).get("enum", [name]):
                wrong.append(f"{path}.{name}")
            wrong += [w for s in below for w in allowed(inner, s, whole, f"{path}.{name}")]
        return wrong
    types = {"string": str, "object": dict, "integer": int, "null": type(None)}
    fits = isinstance(value, types.get(schema.get("type", ""), object))
    fits = fits and ("const" not in schema or value == schema["const"])
    fits = fits and (not isinstance(value, str) or bool(re.search(schema.get("pattern", ""), value)))
    return [] if fits else [path]


class TestTheSchema:
    """stacks/images.lock.schema.json is the models', and says of a lock what they say."""

    def test_is_up_to_date(self) -> None:
        made = schema_verb.text(schema_verb.lock_document())
        assert schema_verb.LOCK_FILE.read_text(encoding="utf-8") == made, "run: ingot schema"

    def test_allows_the_committed_lock(self) -> None:
        whole = schema_verb.lock_document()
        committed = json.loads(schema_verb.FILE.with_name("images.lock.json").read_bytes())
        assert allowed(committed, whole, whole) == []
        assert allowed(talos(), whole, whole) == []

    @pytest.mark.parametrize(
        ("change", "path"),
        [
            ({"version": 2}, ".version"),
            ({"more": {}}, ".more"),
            ({"images": {"Fedora": {}}}, ".images.Fedora"),
            ({"images": {"a": {"latest": {}}}}, ".images.a.latest"),
            ({"images": {"a": {"1.2.3": {"sparc": {}}}}}, ".sparc"),
            ({"images": {"a": {"1.2.3": {"x86_64": {"more": 1, "os_image": "a", "artifacts": {}}}}}}, ".more"),
            (talos(signing_key="x"), ".signing_key"),
            (talos(artifacts={"metal": {"url": "http://a/b", "sha256": A}}), ".metal.url"),
        ],
    )
    def test_refuses_what_the_models_refuse(self, change: dict[str, Any], path: str) -> None:
        whole = schema_verb.lock_document()
        assert any(found.endswith(path) for found in allowed(change, whole, whole))
        with pytest.raises(LockError):
            read(change)
