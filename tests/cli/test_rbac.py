"""`ingot rbac`: what it prints is what it applies, and what is missing ends with 1."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from cli import step_ports
from cli.rbac import app
from lifecycle.adapters.access import where
from lifecycle.adapters.clock import WallClock
from lifecycle.rbac import manifests
from tests.cli.test_node import api, project
from tests.lifecycle.adapters.api_server import connected
from tests.lifecycle.adapters.wire_server import Asked, Reply, Wire

__all__ = ["api", "project"]

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
WHO = "/apis/authentication.k8s.io/v1/selfsubjectreviews"


def rbac(*words: str, **environment: str | None) -> Result:
    without = dict.fromkeys(("KUBECONFIG", "INGOT_KUBECONFIG", "INGOT_SECRETS_FILE", "INGOT_STORAGE_NAMESPACE"))
    return CliRunner().invoke(app, ["metal", *words], env={**without, "INGOT_PULUMI": "no-engine", **environment})


class TestPrint:
    """YAML that `kubectl apply` takes, with nothing looked up for it."""

    def test_is_the_manifests(self) -> None:
        printed = rbac()
        assert printed.exit_code == 0, printed.output
        assert list(yaml.safe_load_all(printed.stdout)) == manifests("simplyblock")

    def test_has_no_reference_from_one_place_to_another(self) -> None:
        assert "&id" not in rbac().stdout

    def test_names_the_sites_own_namespace_of_storage(self) -> None:
        printed = rbac(INGOT_STORAGE_NAMESPACE="csi")
        assert list(yaml.safe_load_all(printed.stdout)) == manifests("csi")


class TestCheck:
    """Says what is missing, to whom and what for."""

    def test_nothing(self, project: Path, api: tuple[Wire, str]) -> None:
        wire, kubeconfig = api
        wire.on("POST", REVIEWS, Reply(201, {"status": {"allowed": True}}))
        checked = rbac("--check", INGOT_KUBECONFIG=kubeconfig)
        assert (checked.exit_code, checked.stdout) == (0, "metal: nothing is missing for a roll\n")

    def test_something(self, project: Path, api: tuple[Wire, str]) -> None:
        def review(asked: Asked) -> Reply:
            return Reply(201, {"status": {"allowed": asked.body["spec"]["resourceAttributes"]["verb"] != "patch"}})

        wire, kubeconfig = api
        wire.on("POST", REVIEWS, review)
        wire.on("POST", WHO, Reply(201, {"status": {"userInfo": {"username": "ann", "groups": ["ops"]}}}))
        checked = rbac("--check", INGOT_KUBECONFIG=kubeconfig)
        assert checked.exit_code == 1
        words = " ".join(checked.stdout.split())
        assert "host-lifecycle" in words
        assert "patch nodes in all" in words
        assert "user ann" in words

    def test_not_together_with_apply(self) -> None:
        assert rbac("--check", "--apply").exit_code == 2


class TestApply:
    """Brings every object to what this checkout needs, as the cluster's administrator."""

    def test_applies_what_it_prints(self, api: tuple[Wire, str], monkeypatch: pytest.MonkeyPatch) -> None:
        wire, _ = api
        wire.otherwise = lambda asked: Reply(200, asked.body)
        monkeypatch.setattr(step_ports, "administrator", lambda stack: connected(wire.url, WallClock()))
        applied = rbac("--apply")
        assert applied.exit_code == 0, applied.output
        assert [a.path for a in wire.asked] == [where(item) for item in manifests("simplyblock")]
        assert [json.dumps(a.body) for a in wire.asked] == [json.dumps(item) for item in manifests("simplyblock")]
        assert applied.stdout == f"metal: {len(wire.asked)} objects are as this checkout needs them\n"
