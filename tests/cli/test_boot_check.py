"""cli/boot_check.py: what the systems' own validators say, whichever were built."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cli.boot_check import Built, judged, whole
from components.boot.pin import NodeBoot, boots
from tests.components.boot import talos_fleet
from tests.components.boot.fleet import IMAGES
from tools.lab.talos_config import TalosRefused

NOTHING = Built(None, None)
REFUSES_THE_INSTALLER = """#!/usr/bin/env python3
import base64, json, sys
for line in sys.stdin:
    installer = b"ingot-guard" in base64.b64decode(line)
    print(json.dumps({"valid": not installer, "report": ["no such disk"] if installer else ["a remark"]}))
"""
TALOS = """#!/usr/bin/env python3
# Makes a configuration that repeats its patches, and refuses the hostname w2, or whatever WORKERS says of workers.
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    if asked["verb"] == "generate":
        if "WORKERS" != "taken" and asked["machineType"] == "worker":
            answer = {"error": "WORKERS"}
        else:
            made = {"machine": {"token": asked["machineSecrets"]["trustdinfo"]["token"]}}
            host = {"kind": "HostnameConfig", "auto": "stable"}
            answer = {"machineConfiguration": json.dumps(made) + "\\n---\\n" + json.dumps(host)}
    else:
        answer = {"error": "w2 is no name"} if '"hostname": "w2"' in asked["configuration"] else {"valid": True}
    print(json.dumps(answer))
"""


def program(folder: Path, text: str) -> Path:
    path = folder / "program"
    path.write_text(text)
    path.chmod(0o755)
    return path


def fleet(os: str) -> list[NodeBoot]:
    return boots(talos_fleet.environment({"image": IMAGES[os][0]}), talos_fleet.lock())


def documents(made: bytes | None) -> list[dict[str, Any]]:
    assert made is not None
    return [json.loads(part) for part in made.decode().split("---\n")]


class TestJudged:
    """A line a node, in the order of the stack file."""

    @pytest.mark.parametrize("os", IMAGES)
    def test_without_validators_says_how_to_get_them(self, os: str) -> None:
        found = judged(fleet(os), NOTHING)
        assert [one.node for one in found] == ["c1", "c2", "c3", "w1", "w2", "w3"]
        assert not any(one.refusals for one in found)
        wanted = "Talos 1.13.0" if os == "talos" else "Ignition 2.24.0"
        assert str(found[0]) == (
            f"c1: not judged; expected {wanted}, found none built here. "
            "Remedy: `python -m tools.lab --ensure` builds it, once"
        )

    @pytest.mark.parametrize("os", ["fedora-coreos", "flatcar"])
    def test_what_ignition_refuses_and_where(self, os: str, tmp_path: Path) -> None:
        made = fleet(os)
        found = judged(made, Built(program(tmp_path, REFUSES_THE_INSTALLER), None))
        assert found[0].refusals == (f"boot/{made[0].generation}/c1.ign: no such disk",)
        assert found[0].remarks == ("configuration: a remark",)
        assert str(found[0]).startswith("c1: Ignition 2.24.0 refuses what it boots\n  boot/")

    def test_what_talos_refuses_of_one_node(self, tmp_path: Path) -> None:
        found = judged(fleet("talos"), Built(None, program(tmp_path, TALOS.replace("WORKERS", "taken"))))
        assert [one.node for one in found if one.refusals] == ["w2"]
        assert found[4].refusals == ("w2 is no name",)
        assert str(found[0]) == "c1: Talos 1.13.0 accepts what it boots"

    def test_what_talos_cannot_make_of_a_pool(self, tmp_path: Path) -> None:
        found = judged(fleet("talos"), Built(None, program(tmp_path, TALOS.replace("WORKERS", "no such field"))))
        assert {one.node: one.refusals for one in found if one.refusals} == dict.fromkeys(
            ("w1", "w2", "w3"), ("no such field",)
        )


class TestWhole:
    """What a Talos machine gets, its secrets masked."""

    def test_is_the_pools_with_the_nodes_own(self, tmp_path: Path) -> None:
        by = Built(None, program(tmp_path, TALOS.replace("WORKERS", "taken")))
        config, host = documents(whole(fleet("talos")[3], by))
        assert config["machine"]["token"] == "masked.maskedmaskedmask"
        assert config["machine"]["install"]["disk"] == "/dev/disk/by-id/nvme-OS_w1"
        assert (host["hostname"], host["auto"]) == ("w1", "off")

    def test_of_what_talos_refuses_is_its_refusal(self, tmp_path: Path) -> None:
        by = Built(None, program(tmp_path, TALOS.replace("WORKERS", "no such field")))
        with pytest.raises(TalosRefused, match=r"configuration of w1: expected .* refuses: no such field\. Remedy:"):
            whole(fleet("talos")[3], by)

    def test_of_another_system_is_its_own_already(self, tmp_path: Path) -> None:
        assert whole(fleet("flatcar")[0], Built(None, program(tmp_path, TALOS))) is None

    def test_without_talos_packages_there_is_none(self) -> None:
        assert whole(fleet("talos")[0], NOTHING) is None
