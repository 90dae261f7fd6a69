"""What is pinned: stacks/images.lock.json, typed. Every file a machine ever boots, by URL and digest.

Nothing here fetches. Facts come from the publishers (`ingot image pin`, one module an OS beside this one);
a preview or an up only ever looks them up. A broken file is refused whole, with all its problems.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, Field, ValidationError

from components.images.document import BYTES_MAX, LockError, problems_of, read_json, shown

LOCK_FILE: Final = "stacks/images.lock.json"
CONFIG_KEY: Final = "ingot:images"
"""Of a rehearsal's own stack file: the lock file that the program reads there instead. The steps of a real run
read LOCK_FILE alone."""
HOW_TO_PIN: Final = "`ingot image pin OS VERSION`; docs/decisions/0011.md says how Kubernetes is pinned"

Architecture = Literal["x86_64", "aarch64", "ppc64le", "s390x"]
"""Those that a publisher may have images for. A stack file names one of the first two."""
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
# URLs end up in kernel arguments, boot scripts and paths of a mirror, where a space, a quote, a $, a segment
# that begins with a dot or an escaped character would mean something else.
Url = Annotated[
    str,
    Field(pattern=r"^https://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9_~+=@-][A-Za-z0-9._~+=@-]*)+$", max_length=2048),
]
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length=63)]
Version = Annotated[str, Field(pattern=r"^v?[0-9]+(\.[0-9]+){2,3}$", max_length=32)]
Key = Annotated[str, Field(pattern=r"^v?[0-9]+(\.[0-9]+){2,3}(\+[0-9a-f]{64})?$", max_length=97)]
"""A release among those of its OS: its version and, where there are schematics, its schematic."""
Schematic = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Installer = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9.-]+(/[a-z0-9][a-z0-9._-]*)+:[A-Za-z0-9][A-Za-z0-9._-]*@sha256:[0-9a-f]{64}$", max_length=512
    ),
]
Fingerprint = Annotated[str, Field(pattern=r"^([0-9A-F]{40}|[0-9A-F]{64})$")]
Region = Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z0-9]+)+$", max_length=32)]
Ami = Annotated[str, Field(pattern=r"^ami-[0-9a-f]{8,17}$")]
OsImage = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ().+_-]*$", max_length=128)]
Kernel = Annotated[str, Field(pattern=r"^[0-9]+\.[0-9]+(\.[0-9]+)?[A-Za-z0-9._+-]*$", max_length=128)]

__all__ = [
    "BYTES_MAX",
    "LOCK_FILE",
    "Architecture",
    "Artifact",
    "KubernetesFacts",
    "KubernetesRelease",
    "Lock",
    "LockError",
    "Release",
    "ReleaseFacts",
    "UnknownRelease",
    "Url",
    "load",
    "parse",
]


class UnknownRelease(LookupError):
    """The stack file names a release that is not pinned. what: the release. pinned: what is."""

    def __init__(self, what: str, pinned: Sequence[str]) -> None:
        self.what, self.pinned = what, tuple(pinned)
        super().__init__(
            f"{what}: expected a release pinned in {LOCK_FILE}, found none; pinned are: {', '.join(pinned) or 'none'}. "
            f"Remedy: name a pinned one in the stack file, or pin it: {HOW_TO_PIN}"
        )


class Pinned(BaseModel, extra="forbid", frozen=True):
    """Every model here: unknown fields are refused, values never change."""


class Artifact(Pinned):
    """One published file.

    sha256: of the file as it is fetched. signature: where its detached signature is.
    uncompressed_sha256: of what is inside it, where the publisher says.
    """

    url: Url
    sha256: Sha256
    signature: Url | None = None
    uncompressed_sha256: Sha256 | None = None


class ReleaseFacts(Pinned):
    """One release for one architecture, as the file holds it (the keys above it say which).

    os_image: what a node that runs it reports in `status.nodeInfo.osImage`. kernel: the same of
    `status.nodeInfo.kernelVersion`, where somebody knows it. amis: by AWS region. schematic: what a Talos
    image was built from. installer: what Talos installs itself from, an OCI reference with tag and digest.
    signing_key: fingerprint of the key (or of the one above it) that every `signature` of the artifacts is by.
    """

    os_image: OsImage
    kernel: Kernel | None = None
    schematic: Schematic | None = None
    installer: Installer | None = None
    signing_key: Fingerprint | None = None
    artifacts: dict[Name, Artifact] = Field(min_length=1)
    amis: dict[Region, Ami] = {}


class Release(ReleaseFacts):
    """One release of one OS for one architecture."""

    os: str
    version: str
    architecture: str

    def __str__(self) -> str:
        schematic = f", schematic {self.schematic[:12]}" if self.schematic else ""
        return f"{self.os} {self.version} ({self.architecture}{schematic})"

    @property
    def key(self) -> str:
        """The lock's key among those of its OS: version, and schematic where there is one."""
        return key(self.version, self.schematic)

    def artifact(self, name: str) -> Artifact:
        """The artifact of this name. Raises UnknownRelease if the release was pinned without it."""
        try:
            return self.artifacts[name]
        except KeyError:
            raise UnknownRelease(f"artifact {name} of {self}", sorted(self.artifacts)) from None


class KubernetesFacts(Pinned):
    """What a node needs of one Kubernetes release: three programs, and two archives of helpers.

    crictl and cni_plugins are released apart from Kubernetes; this is the pair tried with it. sysext: the same
    programs as one system extension, from Flatcar's bakery; only Flatcar needs it.
    """

    kubeadm: Artifact
    kubelet: Artifact
    kubectl: Artifact
    crictl: Artifact
    cni_plugins: Artifact
    sysext: Artifact | None = None


class KubernetesRelease(KubernetesFacts):
    """One release of Kubernetes for one architecture. version: as `v1.36.3`."""

    version: str
    architecture: str

    def __str__(self) -> str:
        return f"kubernetes {self.version} ({self.architecture})"


class Lock(Pinned):
    """The whole file. images: OS, key (see Key), architecture. kubernetes: version, architecture."""

    version: Literal[1] = 1
    images: dict[Name, dict[Key, dict[Architecture, ReleaseFacts]]] = {}
    kubernetes: dict[Version, dict[Architecture, KubernetesFacts]] = {}

    def releases(self) -> Iterator[Release]:
        """Every pinned image, sorted by OS, version (as text), schematic and architecture."""
        for os, versions in sorted(self.images.items()):
            for found, architectures in sorted(versions.items()):
                for architecture, facts in sorted(architectures.items()):
                    yield _release(os, found, architecture, facts)

    def release(self, os: str, version: str, architecture: str, schematic: str | None = None) -> Release:
        """The pinned release; schematic: for Talos alone, and there it is needed.

        Raises UnknownRelease, which names what is pinned and how to pin.
        """
        wanted = key(version, schematic)
        facts: Mapping[str, ReleaseFacts] = {str(a): f for a, f in self.images.get(os, {}).get(wanted, {}).items()}
        if architecture not in facts:
            raise UnknownRelease(f"image {os} {wanted} ({architecture})", [str(r) for r in self.releases()])
        return _release(os, wanted, architecture, facts[architecture])

    def kubernetes_release(self, version: str, architecture: str) -> KubernetesRelease:
        """The pinned release of Kubernetes, version as `v1.36.3`. Raises UnknownRelease."""
        facts: Mapping[str, KubernetesFacts] = {str(a): f for a, f in self.kubernetes.get(version, {}).items()}
        if architecture not in facts:
            pinned = [f"{v} ({a})" for v, by in sorted(self.kubernetes.items()) for a in sorted(by)]
            raise UnknownRelease(f"kubernetes {version} ({architecture})", pinned)
        return KubernetesRelease(version=version, architecture=architecture, **dict(facts[architecture]))

    def with_releases(self, releases: Sequence[Release]) -> Lock:
        """This lock with `releases` set, each over one of the same name. See pinning.pin, which refuses to
        change what is pinned."""
        document = self.model_dump(exclude_none=True)
        for r in releases:
            facts = r.model_dump(exclude_none=True, exclude={"os", "version", "architecture"})
            document["images"].setdefault(r.os, {}).setdefault(r.key, {})[r.architecture] = facts
        return _checked(document, LOCK_FILE)

    def to_bytes(self) -> bytes:
        """The file: sorted, indented, the same bytes for the same facts on any machine."""
        document = self.model_dump(mode="json", exclude_none=True)
        return (json.dumps(document, sort_keys=True, indent=2, ensure_ascii=True) + "\n").encode("ascii")


def load(path: Path) -> Lock:
    """Read a lock file. Raises LockError with every problem, also when the file cannot be read."""
    try:
        with path.open("rb") as file:
            data = file.read(BYTES_MAX + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        problem = f"expected a readable file, found: {reason}. Restore it from version control"
        raise LockError(str(path), [problem]) from error
    return parse(data, str(path))


def parse(data: bytes, where: str = LOCK_FILE) -> Lock:
    """Read a lock file's bytes. Raises LockError with every problem; `where` names the file in it."""
    return _checked(read_json(data, where), where)


def key(version: str, schematic: str | None = None) -> str:
    """How the lock names a release among those of its OS."""
    return f"{version}+{schematic}" if schematic else version


def _checked(document: Any, where: str) -> Lock:
    try:
        lock = Lock.model_validate(document)
    except ValidationError as error:
        raise LockError(where, problems_of(error, "")) from None
    if problems := list(_contradictions(lock)):
        raise LockError(where, problems)
    return lock


def _contradictions(lock: Lock) -> Iterator[str]:
    """What no single field shows: a release that would not be recognised when it runs, or is another's."""
    for r in lock.releases():
        at = f"images.{r.os}.{r.key}.{r.architecture}"
        if r.version not in re.split(r"[ ()]", r.os_image):
            yield f"{at}.os_image: expected it to name {r.version}, found {shown(r.os_image)}"
        if r.installer and f"/{r.schematic}:{r.version}@" not in r.installer:
            yield f"{at}.installer: expected it to name schematic and version, found {shown(r.installer)}"
    for os, keys in lock.images.items():
        for found, architectures in keys.items():
            for architecture, facts in architectures.items():
                if found.partition("+")[2] != (facts.schematic or ""):
                    at = f"images.{os}.{found}.{architecture}.schematic"
                    yield f"{at}: expected the one that the key names, found {shown(facts.schematic)}"


def _release(os: str, key: str, architecture: str, facts: ReleaseFacts) -> Release:
    # Constructed, not validated: the facts were when the lock was made, and a fleet looks them up often.
    version = key.partition("+")[0]
    return Release.model_construct(os=os, version=version, architecture=architecture, **dict(facts))
