"""Flatcar Container Linux: a release's files, read and verified into the lock.

The publisher signs each file and publishes no SHA-256. So pinning fetches what a machine boots, verifies
the signature of each, and records the digest of the very bytes that were verified. Names of files are the
publisher's and fixed; the version's third part is its channel, and the channel its host.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from pydantic import ValidationError

from components.images.artifacts import INITRAMFS, KERNEL, METAL
from components.images.document import BYTES_MAX, LockError, Reader, problems_of, read_json, shown
from components.images.lock import Artifact, Release
from components.images.signature import SIGNATURE_BYTES_MAX, Digests, Keys, NotVerified, digests
from components.images.sources import NotFetched, Source

OS: Final = "flatcar"
BOARDS: Final[Mapping[str, str]] = {"x86_64": "amd64-usr", "aarch64": "arm64-usr"}
ARCHITECTURES: Final = tuple(BOARDS)
CHANNELS: Final[Mapping[str, str]] = {"0": "alpha", "1": "beta", "2": "stable", "3": "lts"}
"""The second part of a version -> its channel."""
FILES: Final[Mapping[str, str]] = {
    KERNEL: "flatcar_production_pxe.vmlinuz",
    INITRAMFS: "flatcar_production_pxe_image.cpio.gz",
    METAL: "flatcar_production_image.bin.bz2",
}
AMIS: Final = "flatcar_production_ami_all.json"
VERSION: Final = re.compile(r"[0-9]{4,5}\.[0-3]\.[0-9]{1,4}")
CODENAME: Final = "Oklo"
"""Part of what a node says it runs; the same for every release since 2021, and in no metadata."""
SHA512: Final = re.compile(r"([0-9a-f]{128}) [ *]([A-Za-z0-9._-]+)")
TEXT_BYTES_MAX: Final = 64 << 10


def os_image(version: str) -> str:
    """What a node that runs this version reports in `status.nodeInfo.osImage`."""
    return f"Flatcar Container Linux by Kinvolk {version} ({CODENAME})"


def base(version: str, architecture: str) -> str:
    """The URL below which a release's files are. Raises LockError if it is no exact version."""
    if not VERSION.fullmatch(version):
        raise LockError(f"{OS} {shown(version)}", ["expected a version such as 4593.2.4. Remedy: name one"])
    channel = CHANNELS[version.split(".")[1]]
    return f"https://{channel}.release.flatcar-linux.net/{BOARDS[architecture]}/{version}"


def find(
    version: str,
    architectures: Collection[str],
    source: Source,
    keys: Keys,
    given: Mapping[str, bytes] | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> tuple[Release, ...]:
    """The release, each file of it fetched and verified.

    given: metadata that is at hand, by the name under which it is published, instead of the source's. note:
    called with what a user should know. Raises LockError, NotFetched, NotVerified.
    """
    return tuple(_release(version, a, source, keys, given or {}, note) for a in architectures)


def _release(
    version: str,
    architecture: str,
    source: Source,
    keys: Keys,
    given: Mapping[str, bytes],
    note: Callable[[str], None],
) -> Release:
    at = base(version, architecture)
    url = f"{at}/version.txt"
    require_version(given.get("version.txt") or source.read(url, bytes_max=TEXT_BYTES_MAX), version, url)
    facts = {
        "os": OS,
        "version": version,
        "architecture": architecture,
        "os_image": os_image(version),
        "signing_key": keys.fingerprint,
        "artifacts": {name: _artifact(f"{at}/{file}", source, keys, given) for name, file in FILES.items()},
        "amis": _amis(f"{at}/{AMIS}", source, given, note),
    }
    try:
        return Release.model_validate(facts)
    except ValidationError as error:
        raise LockError(at, problems_of(error, "")) from None


def require_version(text: bytes, version: str, where: str) -> None:
    """Return if a version.txt is this version's. Raises LockError with all that is not so."""
    reader = Reader()
    try:
        lines = text[:TEXT_BYTES_MAX].decode("ascii").splitlines()
    except UnicodeDecodeError:
        raise LockError(where, ["expected lines KEY=VALUE in ASCII, found other bytes"]) from None
    found: dict[str, str] = {}
    for line in lines:
        key, separator, value = line.partition("=")
        if separator and found.setdefault(key, value.strip('"')) != value.strip('"'):
            reader.problems.append(f"{shown(key)}: expected one value, found two")
    for key in ("FLATCAR_VERSION", "FLATCAR_VERSION_ID"):
        if found.get(key) != version:
            reader.note(key, version, found.get(key))
    reader.finish(where)


def _artifact(url: str, source: Source, keys: Keys, given: Mapping[str, bytes]) -> dict[str, Any]:
    """One file's facts, after its signature and the publisher's own digests were checked."""
    name = url.rpartition("/")[2]
    signature = given.get(f"{name}.sig") or source.read(f"{url}.sig", bytes_max=SIGNATURE_BYTES_MAX)
    listed = given.get(f"{name}.DIGESTS")
    if listed is None:
        try:
            listed = source.read(f"{url}.DIGESTS", bytes_max=TEXT_BYTES_MAX)
        except NotFetched as error:
            if not error.absent:
                raise
    with source.file(url) as path:
        found = digests(path)
        if listed is not None:
            require_listed(listed, name, found, f"{url}.DIGESTS")
        keys.check(path, signature, url)
    return Artifact(url=url, sha256=found.sha256, signature=f"{url}.sig").model_dump()


def require_listed(listed: bytes, name: str, found: Digests, where: str) -> None:
    """Return if a DIGESTS file gives `name` the SHA-512 that was found. It has sections for weaker digests and
    other files too, which are of no interest. Raises LockError, NotVerified."""
    text = listed[:TEXT_BYTES_MAX].decode("ascii", "replace")
    named = {m[1] for line in text.splitlines() if (m := SHA512.fullmatch(line.strip())) and m[2] == name}
    # BLAKE2b digests are as long, so a file may have several of that length.
    if not named:
        raise LockError(where, [f"expected a SHA-512 of {name}, found none"])
    if found.sha512 not in named:
        remedy = "fetch both again; if it stays so, runbooks/images.md#digest"
        raise NotVerified(f"{name} by {where}", f"sha512 {', '.join(sorted(named))}", found.sha512, remedy)


def _amis(url: str, source: Source, given: Mapping[str, bytes], note: Callable[[str], None]) -> dict[str, str]:
    data = given.get(AMIS)
    if data is None:
        try:
            data = source.read(url, bytes_max=BYTES_MAX)
        except NotFetched as error:
            if not error.absent:
                raise
            note(f"{url}: not there, so no AMI is pinned")
            return {}
    return read_amis(data, url)


def read_amis(data: bytes, where: str) -> dict[str, str]:
    """AMIs by region of a `flatcar_production_ami_all.json`. Raises LockError with all that is wrong."""
    document, reader = read_json(data, where), Reader()
    listed = document.get("amis") if isinstance(document, Mapping) else None
    if not isinstance(listed, list):
        reader.note("amis", "a list", listed)
        reader.finish(where)
    found: dict[str, str] = {}
    for index, entry in enumerate(listed or ()):
        region = entry.get("name") if isinstance(entry, Mapping) else None
        ami = entry.get("hvm") if isinstance(entry, Mapping) else None
        if not isinstance(region, str):
            reader.note(f"amis.{index}.name", "a region", region)
        elif not isinstance(ami, str):
            reader.note(f"amis.{index}.hvm", "an AMI", ami)
        elif found.setdefault(region, ami) != ami:
            reader.problems.append(f"amis.{index}.name: expected each region once, found {shown(region)} twice")
    reader.finish(where)
    return found
