"""What is pinned: stacks/images.lock.json, typed. Every file a machine ever boots, by URL and digest.

Nothing here fetches. Facts come from the publishers (components/images/fedora_coreos.py reads theirs);
a preview or an up only ever looks them up. A broken file is refused whole, with all its problems.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, Field, ValidationError

BYTES_MAX: Final = 8 * 1024 * 1024
"""A release of both architectures takes 8 KiB; a larger file is no lock file."""
PROBLEMS_MAX: Final = 50
"""Problems shown at once; beyond it nobody reads on."""
FOUND_MAX: Final = 60
"""Characters shown of a wrong value."""
LOCK_FILE: Final = "stacks/images.lock.json"
CONFIG_KEY: Final = "ingot:images"
"""Of a rehearsal's own stack file: the lock file that the program reads there instead. The steps of a real run
read LOCK_FILE alone."""
HOW_TO_PIN: Final = (
    "`.venv/bin/python -m components.images STREAM.json` adds the release of a publisher's stream metadata "
    f"to {LOCK_FILE}; docs/decisions/0011.md says how Kubernetes is pinned"
)

Architecture = Literal["x86_64", "aarch64"]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
# URLs end up in kernel arguments and boot scripts, where a space, a quote or a $ would mean something else.
Url = Annotated[
    str,
    Field(pattern=r"^https://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9_~+=@%-][A-Za-z0-9._~+=@%-]*)+$", max_length=2048),
]
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length=63)]
Version = Annotated[str, Field(pattern=r"^v?[0-9]+(\.[0-9]+){2,3}$", max_length=64)]
Region = Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z0-9]+)+$", max_length=32)]
Ami = Annotated[str, Field(pattern=r"^ami-[0-9a-f]{8,17}$")]
OsImage = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ().+_-]*$", max_length=128)]
Kernel = Annotated[str, Field(pattern=r"^[0-9]+\.[0-9]+(\.[0-9]+)?[A-Za-z0-9._+-]*$", max_length=128)]


class LockError(ValueError):
    """A lock file or a publisher's metadata is refused. problems: one line each, never empty."""

    def __init__(self, where: str, problems: Sequence[str]) -> None:
        self.where, self.problems = where, tuple(problems)
        shown = [f"  {p}" for p in self.problems[:PROBLEMS_MAX]]
        if len(self.problems) > PROBLEMS_MAX:
            shown.append(f"  and {len(self.problems) - PROBLEMS_MAX} more")
        count = f"{len(self.problems)} problem{'' if len(self.problems) == 1 else 's'}"
        super().__init__("\n".join([f"{where} is refused, {count}; nothing was changed:", *shown]))


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
    `status.nodeInfo.kernelVersion`, where somebody knows it. amis: by AWS region.
    """

    os_image: OsImage
    kernel: Kernel | None = None
    artifacts: dict[Name, Artifact] = Field(min_length=1)
    amis: dict[Region, Ami] = {}


class Release(ReleaseFacts):
    """One release of one OS for one architecture."""

    os: str
    version: str
    architecture: str

    def __str__(self) -> str:
        return f"{self.os} {self.version} ({self.architecture})"

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
    """The whole file. images: OS, version, architecture. kubernetes: version, architecture."""

    version: Literal[1] = 1
    images: dict[Name, dict[Version, dict[Architecture, ReleaseFacts]]] = {}
    kubernetes: dict[Version, dict[Architecture, KubernetesFacts]] = {}

    def releases(self) -> Iterator[Release]:
        """Every pinned image, sorted by OS, version (as text) and architecture."""
        for os, versions in sorted(self.images.items()):
            for version, architectures in sorted(versions.items()):
                for architecture, facts in sorted(architectures.items()):
                    yield _release(os, version, architecture, facts)

    def release(self, os: str, version: str, architecture: str) -> Release:
        """The pinned release. Raises UnknownRelease, which names what is pinned and how to pin."""
        facts: Mapping[str, ReleaseFacts] = {str(a): f for a, f in self.images.get(os, {}).get(version, {}).items()}
        if architecture not in facts:
            raise UnknownRelease(f"image {os} {version} ({architecture})", [str(r) for r in self.releases()])
        return _release(os, version, architecture, facts[architecture])

    def kubernetes_release(self, version: str, architecture: str) -> KubernetesRelease:
        """The pinned release of Kubernetes, version as `v1.36.3`. Raises UnknownRelease."""
        facts: Mapping[str, KubernetesFacts] = {str(a): f for a, f in self.kubernetes.get(version, {}).items()}
        if architecture not in facts:
            pinned = [f"{v} ({a})" for v, by in sorted(self.kubernetes.items()) for a in sorted(by)]
            raise UnknownRelease(f"kubernetes {version} ({architecture})", pinned)
        return KubernetesRelease(version=version, architecture=architecture, **dict(facts[architecture]))

    def with_releases(self, releases: Sequence[Release]) -> Lock:
        """This lock with `releases` set, each over one of the same name. See fedora_coreos.pin, which
        refuses to change what is pinned."""
        document = self.model_dump(exclude_none=True)
        for r in releases:
            facts = r.model_dump(exclude_none=True, exclude={"os", "version", "architecture"})
            document["images"].setdefault(r.os, {}).setdefault(r.version, {})[r.architecture] = facts
        return _validated(document, LOCK_FILE)

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
    lock = _validated(read_json(data, where), where)
    if problems := list(_contradictions(lock)):
        raise LockError(where, problems)
    return lock


def read_json(data: bytes, where: str) -> Any:
    """Strict JSON: UTF-8, no key twice, no NaN, of a sane size and depth. Raises LockError."""
    if len(data) > BYTES_MAX:
        raise LockError(where, [f"expected at most {BYTES_MAX} bytes, found more"])
    twice: list[str] = []

    def one_of_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        seen = dict(pairs)
        if len(seen) < len(pairs):
            keys = [key for key, _ in pairs]
            twice.extend(sorted({key for key in keys if keys.count(key) > 1}))
        return seen

    def no_constant(text: str) -> Any:
        raise ValueError(f"{text} is no JSON")

    try:
        document = json.loads(data.decode("utf-8"), object_pairs_hook=one_of_each, parse_constant=no_constant)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise LockError(where, [f"expected JSON in UTF-8, found: {reason}. Restore it from version control"]) from None
    if twice:
        problems = [f"expected each key once, found {shown(key)} twice in one object. Keep one" for key in twice]
        raise LockError(where, problems)
    return document


def _validated(document: Any, where: str) -> Lock:
    try:
        return Lock.model_validate(document)
    except ValidationError as error:
        problems = [
            f"{'.'.join(map(str, e['loc'])) or 'the file'}: {e['msg']}, found {shown(e['input'])}"
            for e in error.errors(include_url=False, include_context=False)
        ]
        raise LockError(where, problems) from None


def _contradictions(lock: Lock) -> Iterator[str]:
    """What no single field shows: a release that would not be recognised when it runs."""
    for r in lock.releases():
        if r.version not in r.os_image.split():
            at = f"images.{r.os}.{r.version}.{r.architecture}.os_image"
            yield f"{at}: expected it to name {r.version}, found {shown(r.os_image)}"


def _release(os: str, version: str, architecture: str, facts: ReleaseFacts) -> Release:
    # Constructed, not validated: the facts were when the lock was made, and a fleet looks them up often.
    return Release.model_construct(os=os, version=version, architecture=architecture, **dict(facts))


def shown(value: object) -> str:
    """A wrong value for a reader: ASCII, never long."""
    text = ascii(value)
    return text if len(text) <= FOUND_MAX else f"{text[:FOUND_MAX]}..."
