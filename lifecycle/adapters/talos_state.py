"""What a Talos cluster's state holds for the steps: its secrets, and the configuration of each pool.

components/kubernetes/talos.py registers both, under these names.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

SECRETS, SECRETS_TYPE = "talos-secrets", "talos:machine/secrets:Secrets"
CONFIGURATION, STASH_TYPE = ".talos-configuration", "pulumi:index:Stash"
NAMES = {"k8s": "ca", "etcd": "etcd-ca", "k8sAggregator": "front-proxy-ca", "os": "os-ca"}
"""Talos' name of a certificate authority -> ours, which kubeadm's clusters have too but for the machines' own."""
SECRET_KEY, SECRET_SIGNATURE = "4dabf18193072939515e22adb298388d", "1b47061264138c4ac30d75fd1eb44270"
"""How the engine marks a secret value in an exported state; with --show-secrets, `plaintext` is beside it."""


@dataclass(frozen=True)
class PoolConfiguration:
    """A pool's configuration. patch: digest of the pool's patch that it was made with."""

    patch: str
    text: str = field(repr=False)


def authorities(resources: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """PEM by name, `<name>-key` for keys; empty where the cluster is none of Talos."""
    for resource in _of(resources, SECRETS_TYPE):
        if _name(resource) == SECRETS:
            made = plain((resource.get("outputs") or {}).get("machineSecrets"))
            return _pems(made) if isinstance(made, Mapping) else {}
    return {}


def configurations(resources: Iterable[Mapping[str, Any]]) -> dict[str, PoolConfiguration]:
    """By pool."""
    found = {}
    for resource in _of(resources, STASH_TYPE):
        name, kept = _name(resource), plain((resource.get("outputs") or {}).get("input"))
        if name.endswith(CONFIGURATION) and isinstance(kept, Mapping):
            pool = name.removesuffix(CONFIGURATION)
            found[pool] = PoolConfiguration(str(kept.get("patch", "")), str(kept.get("configuration", "")))
    return found


def patch_digest(patch: str) -> str:
    """Of a pool's patch, as its configuration is kept with."""
    return hashlib.sha256(patch.encode()).hexdigest()


def plain(value: Any) -> Any:
    """A value of the state with every secret in it unwrapped."""
    if isinstance(value, Mapping):
        if value.get(SECRET_KEY) == SECRET_SIGNATURE:
            return plain(json.loads(value.get("plaintext", "null")))
        return {key: plain(part) for key, part in value.items()}
    return [plain(part) for part in value] if isinstance(value, list) else value


def _of(resources: Iterable[Mapping[str, Any]], kind: str) -> list[Mapping[str, Any]]:
    return [r for r in resources if r.get("type") == kind and not r.get("delete")]


def _name(resource: Mapping[str, Any]) -> str:
    return str(resource["urn"]).rsplit("::", 1)[-1]


def _pems(made: Mapping[str, Any]) -> dict[str, str]:
    certs = made.get("certs") or {}
    pems: dict[str, str] = {}
    for theirs, name in NAMES.items():
        pair = certs.get(theirs) or {}
        pems |= {name: _decoded(pair.get("cert")), f"{name}-key": _decoded(pair.get("key"))}
    pems["service-account-key"] = _decoded((certs.get("k8sServiceaccount") or {}).get("key"))
    return {name: pem for name, pem in pems.items() if pem}


def _decoded(value: Any) -> str:
    """PEM; a key of Ed25519 under the title that everybody but Talos gives it (the bytes are PKCS #8)."""
    try:
        pem = base64.b64decode(str(value or ""), validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        return ""
    return pem.replace(" ED25519 PRIVATE KEY", " PRIVATE KEY")
