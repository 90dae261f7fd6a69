"""The talos package: secrets, and machine configurations made of them.

On top of the program that Talos' own packages are built into (tools/lab/talos), where it is in the cache, the
bytes are Talos' own. Without it, secrets of the same form and configurations of the same shape are made here, so
that a rehearsal needs no Go.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import grpc

from components.environment import Environment
from lifecycle.adapters.machine_configuration import completed
from rehearsal import talos_secrets
from rehearsal.providers.base import Properties, Provider
from tools.lab.parts import TALOS_CONFIG
from tools.lab.talos_config import TalosRefused, answered, ask, kept

CONFIGURATION = "talos:machine/getConfiguration:getConfiguration"


def made_by(environment: Environment) -> tuple[str, ...]:
    """Whose bytes the configurations of a rehearsal are; nothing of a fleet that has none."""
    if environment.image.os != "talos":
        return ()
    if kept() is not None:
        return (f"Machine configurations are made by Talos' own packages, {TALOS_CONFIG.version}.",)
    return (
        "Machine configurations have the shape of Talos', and are made here. Remedy: `python -m tools.lab --ensure` "
        "builds the program that makes them with Talos' own packages",
    )


class NoSuchQuestion(Exception):
    """The fleet asks this package for something that the rack does not serve."""


class Talos(Provider):
    """Secrets and getConfiguration."""

    version = "0.8.1"

    @cached_property
    def program(self) -> Path | None:
        """What makes Talos' own bytes; None where it was never built."""
        return kept()

    def replaces(self, kind: str, old: Properties, new: Properties) -> list[str]:
        return sorted(k for k in old.keys() | new.keys() if old.get(k) != new.get(k))

    def create(self, kind: str, name: str, new: Properties, context: grpc.ServicerContext) -> tuple[str, Properties]:
        if not kind.endswith(":Secrets"):
            raise NoSuchQuestion(f"{kind}: expected a resource that a fleet of Talos registers")
        if self.program is None:
            return "machine_secrets", {**new, **talos_secrets.new()}
        [made] = ask(self.program, [{"verb": "secrets", "talosVersion": new["talosVersion"]}])
        return "machine_secrets", {**new, **answered(made)}

    def invoke(self, token: str, arguments: Properties) -> Properties:
        if token != CONFIGURATION:
            raise NoSuchQuestion(f"{token}: expected {CONFIGURATION}")
        if self.program is None:
            text = shaped_here(arguments)
        else:
            try:
                text = answered(ask(self.program, [{**arguments, "verb": "generate"}])[0])["machineConfiguration"]
            except TalosRefused as refused:
                raise NoSuchQuestion(f"machine configuration: {refused}") from None
        return {**arguments, "id": arguments["clusterName"], "machineConfiguration": text}


def shaped_here(arguments: Properties) -> str:
    """A configuration of the shape that Talos generates, with the patches merged in as Talos does."""
    given = arguments["machineSecrets"]
    certs, control_plane = given["certs"], arguments["machineType"] == "controlplane"

    def pair(name: str) -> dict[str, str]:
        return {"crt": certs[name]["cert"], "key": certs[name]["key"] if control_plane else ""}

    cluster: dict[str, Any] = {
        "id": given["cluster"]["id"],
        "secret": given["cluster"]["secret"],
        "controlPlane": {"endpoint": arguments["clusterEndpoint"]},
        "clusterName": arguments["clusterName"],
        "token": given["secrets"]["bootstrapToken"],
        "ca": pair("k8s"),
    }
    if control_plane:
        cluster |= {
            "aggregatorCA": pair("k8sAggregator"),
            "serviceAccount": {"key": certs["k8sServiceaccount"]["key"]},
            "secretboxEncryptionSecret": given["secrets"]["secretboxEncryptionSecret"],
            "etcd": {"ca": pair("etcd")},
        }
    machine = {"type": arguments["machineType"], "token": given["trustdinfo"]["token"], "ca": pair("os")}
    document = {"version": "v1alpha1", "machine": machine, "cluster": cluster}
    hostname = {"apiVersion": "v1alpha1", "kind": "HostnameConfig", "auto": "stable"}
    text = f"{json.dumps(document)}\n---\n{json.dumps(hostname)}\n"
    patches: Sequence[str] = arguments.get("configPatches") or ()
    for patch in patches:
        text = completed(text, patch, "machine configuration")
    return text
