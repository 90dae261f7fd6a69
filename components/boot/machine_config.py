"""The parts of Talos' machine configuration that the fleet writes, as typed models: v1alpha1 of Talos 1.13.

What Talos generates (certificates, tokens, images, its own defaults) is not here: these are patches, merged into
that by Talos' strategic merge. A field left out stays as generated; of a list, most of Talos' append.
None of them can hold a secret. Talos' own packages check the result in the lab (tests/lab/test_talos.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final, Literal

from pydantic import BaseModel, Field

SEPARATOR: Final = "---\n"


def _camel(name: str) -> str:
    """Talos' spelling of a field: camelCase, with certificates' names as `certSANs`, and CNI as `cni`."""
    head, *rest = name.split("_")
    return head + "".join("SANs" if word == "sans" else word.capitalize() for word in rest)


class Part(BaseModel, extra="forbid", frozen=True, alias_generator=_camel, populate_by_name=True):
    """Every model here: unknown fields are refused, values never change, wire names are camelCase."""


class MachineFile(Part):
    """A file that Talos writes at each boot, before the kubelet. Where it may be: components/boot/talos.py.

    op: `create` a file below /var; `overwrite` one that the image has elsewhere (Talos mounts ours over it).
    """

    content: str
    permissions: int = Field(ge=0, le=0o777)
    path: str = Field(pattern=r"^(/[A-Za-z0-9_][A-Za-z0-9._-]*)+$")
    op: Literal["create", "overwrite"]


class Install(Part):
    """What is written where. disk: by stable id. image: the installer, by digest. wipe: the disk's old partition
    table goes first; of no other disk."""

    disk: str
    image: str | None = None
    wipe: bool | None = None


class KernelModule(Part):
    """A module that is loaded at boot."""

    name: str


class Kernel(Part):
    modules: tuple[KernelModule, ...]


class Kubelet(Part):
    """image: of the pinned release. extra_args: of its command line."""

    image: str | None = None
    extra_args: dict[str, str] | None = None


class Machine(Part):
    """Of the machine itself. cert_sans: names by which its API is reached."""

    cert_sans: tuple[str, ...] | None = None
    files: tuple[MachineFile, ...] | None = None
    install: Install | None = None
    kernel: Kernel | None = None
    kubelet: Kubelet | None = None
    sysctls: dict[str, str] | None = None


class Cni(Part):
    """none: Talos installs no pod network, the fleet does (components/kubernetes/cni.py)."""

    name: Literal["none"] = "none"


class Network(Part):
    """Addresses of pods and services. Talos replaces these lists, it does not append."""

    cni: Cni = Cni()
    pod_subnets: tuple[str, ...]
    service_subnets: tuple[str, ...]


class Discovery(Part):
    """Whether members find each other through a service of the publisher's on the internet."""

    enabled: bool


class AdmissionPlugin(Part):
    """An admission plugin of the API server, by name; its configuration is merged into Talos'."""

    name: str
    configuration: dict[str, Any]


class ApiServer(Part):
    admission_control: tuple[AdmissionPlugin, ...] | None = None


class ControlPlane(Part):
    """endpoint: `https://` and where the API answers, whichever machine serves it."""

    endpoint: str


class Cluster(Part):
    """Of the cluster; the same on every machine that reads it."""

    control_plane: ControlPlane
    network: Network
    discovery: Discovery
    api_server: ApiServer | None = None


class Config(Part):
    """A patch of the v1alpha1 document."""

    machine: Machine
    cluster: Cluster | None = None


class Hostname(Part):
    """The document that names the machine; Talos 1.12 and later read it."""

    api_version: Literal["v1alpha1"] = "v1alpha1"
    kind: Literal["HostnameConfig"] = "HostnameConfig"
    auto: Literal["off"] = "off"
    hostname: str


class Ntp(Part):
    servers: tuple[str, ...]


class TimeSync(Part):
    """The document that names time servers."""

    api_version: Literal["v1alpha1"] = "v1alpha1"
    kind: Literal["TimeSyncConfig"] = "TimeSyncConfig"
    ntp: Ntp


class MirrorEndpoint(Part):
    """override_path: the path of the URL is all of it, Talos adds none."""

    url: str
    override_path: bool | None = None


class RegistryMirror(Part):
    """The document of one registry's mirrors. name: the registry's."""

    api_version: Literal["v1alpha1"] = "v1alpha1"
    kind: Literal["RegistryMirrorConfig"] = "RegistryMirrorConfig"
    name: str
    endpoints: tuple[MirrorEndpoint, ...]


class DiskSelector(Part):
    """match: an expression of Talos' that is true of one disk."""

    match: str


class Provisioning(Part):
    disk_selector: DiskSelector


class Filesystem(Part):
    type: Literal["ext4", "xfs"]


class UserVolume(Part):
    """The document of a disk that is mounted at /var/mnt/<name>, whole. Talos formats it while it is blank."""

    api_version: Literal["v1alpha1"] = "v1alpha1"
    kind: Literal["UserVolumeConfig"] = "UserVolumeConfig"
    name: str
    volume_type: Literal["disk"] = "disk"
    provisioning: Provisioning
    filesystem: Filesystem


Document = Config | Hostname | TimeSync | RegistryMirror | UserVolume


def rendered(document: Document) -> str:
    """One document as JSON, which every reader of YAML reads: sorted, the same text for the same value."""
    content = document.model_dump(mode="json", by_alias=True, exclude_none=True)
    return json.dumps(content, sort_keys=True, ensure_ascii=True, indent=2) + "\n"


def stream(documents: Iterable[Document]) -> str:
    """Documents as one YAML stream."""
    return SEPARATOR.join(rendered(document) for document in documents)
