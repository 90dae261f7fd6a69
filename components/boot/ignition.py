"""Ignition 3.4.0 as typed models: the first-boot configuration of Fedora CoreOS and Flatcar.

The models say what a configuration is; the specification's rules are in ignition_rules.py and run when
an `Ignition` is made, so that no value of that type breaks one. There is deliberately no field for a
password hash: what is in here is published, and holds no secret.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import unquote_to_bytes

from pydantic import BaseModel, Field, ValidationError, model_validator

from components.boot import ignition_rules

VERSION: Final = "3.4.0"
"""Fedora CoreOS and Flatcar both accept it."""


Whole = Annotated[int, Field(ge=-(2**63), lt=2**63)]
"""What Ignition keeps in one of its own numbers."""


class IgnitionError(Exception):
    """A configuration that breaks the specification. faults: one line each, with its path, never empty.

    No ValueError: pydantic would wrap it.
    """

    def __init__(self, faults: tuple[str, ...]) -> None:
        self.faults = faults
        count = f"{len(faults)} fault{'' if len(faults) == 1 else 's'}"
        super().__init__("\n".join([f"Ignition configuration, {count}:", *(f"  {f}" for f in faults)]))


def _camel(name: str) -> str:
    """The specification's spelling of a field: camelCase, with sizes as `sizeMiB`."""
    head, *rest = name.split("_")
    return head + "".join("MiB" if word == "mib" else word.capitalize() for word in rest)


class Part(BaseModel, extra="forbid", frozen=True, alias_generator=_camel, populate_by_name=True):
    """Every model here: unknown fields are refused, values never change, wire names are camelCase."""


class Verification(Part):
    """hash: `sha256-<hex>` or `sha512-<hex>` of the contents once decompressed."""

    hash: str | None = None


class Resource(Part):
    """Contents, fetched from `source`."""

    source: str | None = None
    compression: Literal["", "gzip"] | None = None
    verification: Verification | None = None


class Others(Part):
    """Configurations to fetch besides this one, or in its place."""

    merge: tuple[Resource, ...] = ()
    replace: Resource | None = None


class Meta(Part):
    """The version of the specification, and where more of the configuration is."""

    version: Literal["3.4.0"]
    config: Others | None = None


class Owner(Part):
    """A user or group, by id or by name."""

    id: Whole | None = None
    name: str | None = None


class Node(Part):
    """What files, directories and links have in common."""

    path: str
    overwrite: bool | None = None
    user: Owner | None = None
    group: Owner | None = None


class File(Node):
    """mode: permission bits, decimal on the wire. append: fetched and added to the end."""

    mode: Whole | None = None
    contents: Resource | None = None
    append: tuple[Resource, ...] = ()


class Directory(Node):
    mode: Whole | None = None


class Link(Node):
    target: str
    hard: bool | None = None


class Partition(Part):
    """number 0: the next free one. Sizes in MiB; 0 is all there is."""

    number: Whole = 0
    label: str | None = None
    size_mib: Whole | None = None
    start_mib: Whole | None = None
    type_guid: str | None = None
    guid: str | None = None
    wipe_partition_entry: bool | None = None
    should_exist: bool | None = None
    resize: bool | None = None


class Disk(Part):
    device: str
    wipe_table: bool | None = None
    partitions: tuple[Partition, ...] = ()


class Filesystem(Part):
    device: str
    format: Literal["ext4", "btrfs", "xfs", "vfat", "swap", "none"] | None = None
    path: str | None = None
    label: str | None = None
    uuid: str | None = None
    options: tuple[str, ...] = ()
    mount_options: tuple[str, ...] = ()
    wipe_filesystem: bool | None = None


class Storage(Part):
    disks: tuple[Disk, ...] = ()
    filesystems: tuple[Filesystem, ...] = ()
    files: tuple[File, ...] = ()
    directories: tuple[Directory, ...] = ()
    links: tuple[Link, ...] = ()


class Dropin(Part):
    name: str
    contents: str | None = None


class Unit(Part):
    name: str
    enabled: bool | None = None
    mask: bool | None = None
    contents: str | None = None
    dropins: tuple[Dropin, ...] = ()


class Systemd(Part):
    units: tuple[Unit, ...] = ()


class User(Part):
    """A login. Only public keys: there is no password."""

    name: str
    ssh_authorized_keys: tuple[str, ...] = ()
    uid: Whole | None = None
    home_dir: str | None = None
    no_create_home: bool | None = None
    primary_group: str | None = None
    groups: tuple[str, ...] = ()
    shell: str | None = None
    should_exist: bool | None = None
    system: bool | None = None


class Group(Part):
    name: str
    gid: Whole | None = None
    should_exist: bool | None = None
    system: bool | None = None


class Passwd(Part):
    users: tuple[User, ...] = ()
    groups: tuple[Group, ...] = ()


class KernelArguments(Part):
    should_exist: tuple[str, ...] = ()
    should_not_exist: tuple[str, ...] = ()


class Ignition(Part):
    """A whole configuration. Making one raises IgnitionError with every rule that it breaks."""

    ignition: Meta = Meta(version=VERSION)
    storage: Storage = Storage()
    systemd: Systemd = Systemd()
    passwd: Passwd = Passwd()
    kernel_arguments: KernelArguments = KernelArguments()

    @model_validator(mode="after")
    def _obeys_the_specification(self) -> Self:
        if found := ignition_rules.faults(self.document()):
            raise IgnitionError(found)
        return self

    def document(self) -> dict[str, Any]:
        """As the wire has it: absent fields left out, the version always there."""
        document = self.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        return document | {"ignition": {**document.get("ignition", {}), "version": VERSION}}

    def to_bytes(self) -> bytes:
        """JSON with sorted keys and no spaces: the same bytes for the same configuration anywhere."""
        return canonical_json(self.document())


def parse(data: bytes) -> Ignition:
    """Read a configuration. Raises IgnitionError with every field and every rule that is broken."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise IgnitionError((f"expected JSON, found: {error}",)) from None
    try:
        # Strictly, as Ignition reads it: no number in quotes, no 1 for true.
        made = Ignition.model_validate_json(data, strict=True)
    except ValidationError as error:
        wrong = (
            f"{'.'.join(map(str, e['loc'])) or 'the document'}: {e['msg']}, found {ascii(e['input'])[:60]}"
            for e in error.errors(include_url=False, include_context=False)
        )
        raise IgnitionError((*wrong, *ignition_rules.faults(document))) from None
    # What is not said is a default of the model, and may yet be against a rule: the version must be said.
    if found := ignition_rules.faults(document):
        raise IgnitionError(found)
    return made


def canonical_json(document: object) -> bytes:
    """JSON with sorted keys, no spaces and plain ASCII: one document has one spelling."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def inline(contents: str | bytes) -> Resource:
    """Contents that are part of the configuration, as a data URL."""
    data = contents.encode() if isinstance(contents, str) else contents
    return Resource(source="data:;base64," + base64.b64encode(data).decode("ascii"))


def fetched(url: str, sha256: str) -> Resource:
    """Contents that the machine fetches, and refuses unless their SHA-256 is `sha256` (64 hex digits)."""
    return Resource(source=url, verification=Verification(hash=f"sha256-{sha256}"))


def inlined(resource: Resource | None) -> bytes | None:
    """What `inline` put in; None for contents that are fetched, or none at all.

    Raises ValueError for a data URL that is none.
    """
    source = resource.source if resource else None
    if source is None or not source.startswith("data:"):
        return None
    kind, comma, body = source.removeprefix("data:").partition(",")
    if not comma:
        raise ValueError("data URL: expected a comma before the data, found none")
    if not kind.endswith(";base64"):
        return unquote_to_bytes(body)
    try:
        return base64.b64decode(unquote_to_bytes(body), validate=True)
    except binascii.Error as error:
        raise ValueError(f"data URL: expected base64, found: {error}") from None


def sha256_hash(data: bytes) -> str:
    """As `verification.hash` has it."""
    return "sha256-" + hashlib.sha256(data).hexdigest()
