"""Talos: an image that the publisher's factory builds from a version and a schematic, read into the lock.

The factory signs nothing with OpenPGP and publishes no digest. So pinning fetches what a machine boots over
the publisher's TLS and records the digest of those bytes; from then on nothing else is booted. Digests that
were recorded elsewhere can be given instead. An AMI is the publisher's list's, and of the default schematic.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from components.images import schematic as schematics
from components.images.artifacts import INITRAMFS, ISO, KERNEL, METAL
from components.images.document import BYTES_MAX, LockError, Reader, problems_of, read_json, shown
from components.images.lock import Release
from components.images.request import Given, Note, Os, Request
from components.images.schematic import DEFAULT, Schematic
from components.images.signature import NotVerified, digests
from components.images.sources import Source
from components.images.verifying import MANIFESTS

OS: Final = "talos"
NAMES: Final[Mapping[str, str]] = {"x86_64": "amd64", "aarch64": "arm64"}
"""Our name of an architecture -> the publisher's."""
ARCHITECTURES: Final = tuple(NAMES)
FACTORY: Final = "factory.talos.dev"
FILES: Final[Mapping[str, str]] = {
    KERNEL: "kernel-{}",
    INITRAMFS: "initramfs-{}.xz",
    METAL: "metal-{}.raw.xz",
    ISO: "metal-{}.iso",
}
REPOSITORY: Final = "metal-installer"
"""The factory's repository of installers, and the name of their digest where digests are given."""
VERSION: Final = re.compile(r"v[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}")
DIGEST: Final = re.compile(r"([0-9a-f]{64}) [ *]([A-Za-z0-9._-]+)")
ANSWER_BYTES_MAX: Final = 256 << 10


def os_image(version: str) -> str:
    """What a node that runs this version reports in `status.nodeInfo.osImage`."""
    return f"Talos ({version})"


def obtain(request: Request, source: Source, note: Note) -> tuple[Release, ...]:
    """The release, each file of it fetched and its digest recorded. Raises LockError, NotFetched, NotVerified.

    metadata: the publisher's cloud-images.json, and digests (as sha256sum writes them, by published name) of
    files that need not be fetched.
    """
    version = request.version
    if not VERSION.fullmatch(version):
        raise LockError(f"{OS} {shown(version)}", ["expected a version such as v1.13.9. Remedy: name one"])
    schematic = schematics.read(request.schematic.data, request.schematic.where) if request.schematic else DEFAULT
    clouds = [g for g in request.metadata if g.name.endswith(".json")]
    given = {k: v for g in request.metadata if g not in clouds for k, v in read_digests(g.data, g.where).items()}
    ask_factory(schematic, source, note)
    digest = given.get(REPOSITORY) or _installer(version, schematic, source)
    installer = f"{FACTORY}/{REPOSITORY}/{schematic.id}:{version}@sha256:{digest}"
    amis: Mapping[str, Mapping[str, str]] = {}
    if schematic.id == DEFAULT.id:
        at = f"https://github.com/siderolabs/talos/releases/download/{version}/cloud-images.json"
        cloud = clouds[-1] if clouds else Given("cloud-images.json", source.read(at, bytes_max=BYTES_MAX), at)
        amis = read_amis(cloud.data, version, cloud.where)
    else:
        note(f"no AMI is pinned: the publisher's are of schematic {DEFAULT.id[:12]}, this is {schematic.id[:12]}")
    note("the publisher signs nothing: digests are of what was fetched now, over TLS, or as given")
    return tuple(
        _release(version, a, schematic.id, source, installer, amis.get(a, {}), given) for a in request.architectures
    )


def ask_factory(schematic: Schematic, source: Source, note: Note) -> None:
    """Make the schematic known to the factory, and compare its identifier with ours.

    Raises LockError, NotFetched; NotVerified if the factory has another identifier for it.
    """
    url = f"https://{FACTORY}/schematics"
    answer = source.post(url, schematic.canonical(), bytes_max=ANSWER_BYTES_MAX)
    if answer is None:
        note(f"schematic {schematic.id[:12]}: computed here, the factory was not asked")
        return
    document = read_json(answer, url)
    found = document.get("id") if isinstance(document, Mapping) else None
    if found != schematic.id:
        remedy = "do not boot it; runbooks/images.md#schematic"
        raise NotVerified(f"schematic by {url}", schematic.id, shown(found), remedy)


def _installer(version: str, schematic: Schematic, source: Source) -> str:
    """The digest of the installer's manifest: SHA-256 of its bytes. Raises LockError, NotFetched."""
    url = f"https://{FACTORY}/v2/{REPOSITORY}/{schematic.id}/manifests/{version}"
    data = source.read(url, bytes_max=ANSWER_BYTES_MAX, headers={"Accept": ", ".join(MANIFESTS)})
    document, reader = read_json(data, url), Reader()
    if not isinstance(document, Mapping) or document.get("schemaVersion") != 2:
        reader.note("schemaVersion", "2", document.get("schemaVersion") if isinstance(document, Mapping) else document)
    elif document.get("mediaType", MANIFESTS[0]) not in MANIFESTS:
        reader.note("mediaType", "an image's manifest or index", document["mediaType"])
    reader.finish(url)
    return hashlib.sha256(data).hexdigest()


def _release(
    version: str,
    architecture: str,
    schematic: str,
    source: Source,
    installer: str,
    amis: Mapping[str, str],
    given: Mapping[str, str],
) -> Release:
    artifacts: dict[str, Any] = {}
    for name, pattern in FILES.items():
        file = pattern.format(NAMES[architecture])
        url = f"https://{FACTORY}/image/{schematic}/{version}/{file}"
        artifacts[name] = {"url": url, "sha256": given.get(file) or _fetched(url, source)}
    facts = {
        "os": OS,
        "version": version,
        "architecture": architecture,
        "os_image": os_image(version),
        "schematic": schematic,
        "installer": installer,
        "artifacts": artifacts,
        "amis": amis,
    }
    try:
        return Release.model_validate(facts)
    except ValidationError as error:
        raise LockError(f"{OS} {version}", problems_of(error, architecture)) from None


def _fetched(url: str, source: Source) -> str:
    with source.file(url) as path:
        return digests(path).sha256


def read_digests(data: bytes, where: str) -> dict[str, str]:
    """SHA-256 by name of a file as sha256sum writes it. Raises LockError with every line that is none."""
    found: dict[str, str] = {}
    reader = Reader()
    for number, line in enumerate(data[:ANSWER_BYTES_MAX].decode("ascii", "replace").splitlines(), 1):
        if not (match := DIGEST.fullmatch(line.rstrip())):
            reader.note(f"line {number}", "64 hexadecimal digits, two spaces and a published name", line)
        elif found.setdefault(match[2], match[1]) != match[1]:
            reader.problems.append(f"line {number}: expected one digest of {match[2]}, found another")
    reader.finish(where)
    return found


def read_amis(data: bytes, version: str, where: str) -> dict[str, dict[str, str]]:
    """AMIs by our architecture and region, of a cloud-images.json. Raises LockError with all that is wrong.

    Images for other clouds, and of architectures that we do not know, are none of ours.
    """
    document, reader = read_json(data, where), Reader()
    ours = {theirs: name for name, theirs in NAMES.items()}
    found: dict[str, dict[str, str]] = {name: {} for name in NAMES}
    if not isinstance(document, list):
        reader.note("the file", "a list", document)
        reader.finish(where)
    for index, entry in enumerate(document):
        if not isinstance(entry, Mapping):
            reader.note(f"{index}", "an object", entry)
            continue
        if entry.get("cloud") != "aws":
            continue
        wrong = [key for key in ("version", "region", "arch", "id") if not isinstance(entry.get(key), str)]
        for key in wrong:
            reader.note(f"{index}.{key}", "a text", entry.get(key))
        if wrong or entry["arch"] not in ours:
            continue
        if entry["version"] != version:
            reader.note(f"{index}.version", version, entry["version"])
        elif found[ours[entry["arch"]]].setdefault(entry["region"], entry["id"]) != entry["id"]:
            reader.problems.append(f"{index}.region: expected {shown(entry['region'])} once, found two AMIs of it")
    reader.finish(where)
    return found


def offers(given: Given) -> tuple[str, ...] | None:
    """Of a cloud-images.json. See request.Offers."""
    document = read_json(given.data, given.where) if given.name.endswith(".json") else None
    if not isinstance(document, list):
        return None
    found = [e.get("version") for e in document if isinstance(e, Mapping) and e.get("cloud") == "aws"]
    return tuple(v for v in found if isinstance(v, str) and VERSION.fullmatch(v))


RELEASES: Final = Os(OS, ARCHITECTURES, obtain, offers, lambda version: version.rpartition(".")[0])
