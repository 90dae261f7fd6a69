"""A pool's configuration becomes a node's: what is merged, and that an error shows nothing of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lifecycle.adapters.machine_configuration import completed
from lifecycle.errors import PortError

POOL = """\
version: v1alpha1
debug: false
machine:
    token: abcdef.0123456789abcdef
    certSANs:
        - api.example
    install:
        disk: /dev/disk/by-id/none
        wipe: true
---
apiVersion: v1alpha1
kind: HostnameConfig
auto: stable
"""


def documents(text: str) -> list[dict[str, Any]]:
    return [json.loads(part) for part in text.split("---\n")]


class TestCompleted:
    """Mappings merge, lists append, other values are replaced; documents are told apart by kind."""

    def test_a_node(self) -> None:
        own = {"machine": {"certSANs": ["w1"], "install": {"disk": "/dev/disk/by-id/x"}, "files": [{"path": "/var/x"}]}}
        name = {"apiVersion": "v1alpha1", "kind": "HostnameConfig", "auto": "off", "hostname": "w1"}
        config, hostname = documents(completed(POOL, f"{json.dumps(own)}\n---\n{json.dumps(name)}", "w1"))
        assert config == {
            "version": "v1alpha1",
            "debug": False,
            "machine": {
                "token": "abcdef.0123456789abcdef",
                "certSANs": ["api.example", "w1"],
                "install": {"disk": "/dev/disk/by-id/x", "wipe": True},
                "files": [{"path": "/var/x"}],
            },
        }
        assert hostname == name

    def test_a_document_of_a_new_kind_is_added(self) -> None:
        found = documents(completed(POOL, "kind: TimeSyncConfig\napiVersion: v1alpha1\n", "w1"))
        assert [d.get("kind") for d in found] == [None, "HostnameConfig", "TimeSyncConfig"]

    @pytest.mark.parametrize("text", ["", "token: [very-secret", "- very-secret", "a: 1\n---\nvery-secret\n"])
    def test_what_is_no_configuration_is_refused_unseen(self, text: str) -> None:
        with pytest.raises(PortError, match="stream of YAML mappings") as refused:
            completed(text, "a: 1", "configuration of pool hci")
        assert "very-secret" not in str(refused.value)
        assert "configuration of pool hci" in str(refused.value)
