"""Files that boot configurations are made of, for every system that Ignition configures."""

from __future__ import annotations

from typing import Any

from components.boot import kubeadm, s3_scripts, scripts
from components.boot.ignition import File, Resource, canonical_json, inline
from components.environment import Environment
from components.machines.contract import Own


def text_file(path: str, text: str, *, overwrite: bool | None = None) -> File:
    """A file of text that everybody may read. overwrite: the image brings one of this name."""
    return _file(path, inline(text), overwrite)


def json_file(path: str, document: dict[str, Any]) -> File:
    """A document that everybody may read."""
    return _file(path, inline(canonical_json(document)), None)


def program(programs: str, name: str, text: str) -> File:
    """A program of ours. programs: the folder where the system has room for it."""
    return File(path=f"{programs}/{name}", mode=0o755, contents=inline(text))


def environment_file(environment: Environment, node: str, role: str) -> File:
    """What the programs in components/boot/scripts.py read. Every value is of a form that shells leave alone."""
    values = {
        "INGOT_ENDPOINT": kubeadm.endpoint(environment.cluster),
        "INGOT_NODE": node,
        **s3_scripts.told(environment),
        "INGOT_ROLE": role,
        "INGOT_STORE": environment.store_url,
    }
    return text_file(scripts.ENVIRONMENT, "".join(f"{key}='{value}'\n" for key, value in values.items()))


def data_disks_file(own: Own) -> File:
    """The disks that an installation must leave alone, one stable id a line."""
    return text_file(scripts.DATA_DISKS, "".join(f"{disk}\n" for disk in own.kept_disks))


def mounts_file(own: Own) -> File:
    """The disks that the first boot may format while they are blank, and with what, one a line."""
    return text_file(scripts.MOUNTS, "".join(f"{mount.disk} {mount.filesystem}\n" for mount in own.mounts))


def generation_file(generation: str) -> File:
    """The file that says which generation a machine boots."""
    return text_file(scripts.GENERATION, generation + "\n")


def _file(path: str, contents: Resource, overwrite: bool | None) -> File:
    return File(path=path, mode=0o644, contents=contents, overwrite=overwrite)
