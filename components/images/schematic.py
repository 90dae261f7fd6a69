"""A Talos schematic: what an image is made of beside the version, and its identifier.

The identifier is the SHA-256 of the schematic in the factory's own words: its fields in the factory's order,
indented by four, what is empty left out. It is computed here, so that nobody has to be asked and nobody is
believed. Where the factory's words for a value are not certain, the value is refused.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Final, Literal

import yaml
from pydantic import BaseModel, Field, StringConstraints, ValidationError
from yaml.emitter import Emitter

from components.images.document import LockError, problems_of

BYTES_MAX: Final = 64 << 10

# The factory's writer turns longer or stranger text into blocks and escapes; no argument needs those.
Plain = Annotated[str, StringConstraints(pattern=r"^[\x20-\x7e]+$", max_length=1024)]
Reference = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._/:@-]*$", max_length=255)]


class Part(BaseModel, extra="forbid", frozen=True, strict=True):
    """Every model here: the factory refuses unknown fields, so we do before it is asked."""


class Overlay(Part):
    """For single-board computers. Its free-form options have no order that we know, so they are not supported."""

    image: Reference
    name: Reference


class Meta(Part):
    """One value of the image's META partition."""

    key: int = Field(ge=0, le=255)
    value: Plain


class SystemExtensions(Part):
    """By the factory's names, such as siderolabs/amd-ucode; it picks the version that fits Talos'."""

    official: list[Reference] = Field(default=[], alias="officialExtensions")


class SecureBoot(Part):
    """For images that boot signed."""

    enroll: Literal["off", "manual", "if-safe", "force"] | None = Field(default=None, alias="enrollKeys")
    well_known: bool = Field(default=False, alias="includeWellKnownCertificates")


class DiskImage(Part):
    """sector: of the disk image, in bytes; 512 if it does not say."""

    sector: int = Field(default=0, ge=0, le=65536, alias="sectorSize")


class Customization(Part):
    """What of the image is not as Talos ships it. A machine configuration inside the image is refused: a node's
    configuration is covered by its own digest, and comes with its secrets when it boots."""

    kernel_args: list[Plain] = Field(default=[], alias="extraKernelArgs")
    meta: list[Meta] = []
    extensions: SystemExtensions = Field(default=SystemExtensions(), alias="systemExtensions")
    bootloader: Literal["dual-boot", "grub", "sd-boot"] | None = None
    secure_boot: SecureBoot = Field(default=SecureBoot(), alias="secureboot")
    disk_image: DiskImage = Field(default=DiskImage(), alias="diskImage")


class Schematic(Part):
    """A whole schematic."""

    overlay: Overlay | None = None
    customization: Customization = Customization()

    def canonical(self) -> bytes:
        """The schematic as the factory writes it."""
        lines: list[str] = []
        if self.overlay:
            lines += ["overlay:", f"    image: {scalar(self.overlay.image)}", f"    name: {scalar(self.overlay.name)}"]
        inner = _customization(self.customization)
        lines += ["customization:", *inner] if inner else ["customization: {}"]
        return ("\n".join(lines) + "\n").encode("ascii")

    @property
    def id(self) -> str:
        """64 hexadecimal digits, part of every URL of the image."""
        return hashlib.sha256(self.canonical()).hexdigest()


DEFAULT: Final = Schematic()
"""Talos as it ships; the AMIs that its publisher lists are of this one."""


def read(data: bytes, where: str) -> Schematic:
    """A schematic from YAML or JSON, as one would hand it to the factory. Raises LockError."""
    if len(data) > BYTES_MAX:
        raise LockError(where, [f"expected a schematic of {BYTES_MAX} bytes at most, found more"])
    try:
        document = yaml.load(data, Loader=_Strict)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        said = getattr(error, "problem", None) or type(error).__name__
        raise LockError(where, [f"expected a schematic in YAML, found: {said}"]) from None
    if not isinstance(document, Mapping):
        raise LockError(where, [f"expected a mapping, found {type(document).__name__}"])
    try:
        return Schematic.model_validate({k: v for k, v in document.items() if v is not None})
    except ValidationError as error:
        raise LockError(where, problems_of(error, "")) from None


class _Strict(yaml.SafeLoader):  # type: ignore[misc] # published without types
    """No aliases, which make a small text large, and each key once."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.composer.ComposerError(None, None, "an alias; write the value out", None)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        keys = [key.value for key, _ in node.value]
        if not all(isinstance(key, str) for key in keys):
            raise yaml.constructor.ConstructorError(None, None, "a key that is no text", None)
        if len(set(keys)) < len(keys):
            raise yaml.constructor.ConstructorError(None, None, "a key twice in one mapping", None)
        return super().construct_mapping(node, deep)


def _customization(c: Customization) -> list[str]:
    lines: list[str] = []
    if c.kernel_args:
        lines += ["    extraKernelArgs:", *(f"        - {scalar(a)}" for a in c.kernel_args)]
    if c.meta:
        lines.append("    meta:")
        for m in c.meta:
            lines += [f"        - key: {m.key}", f"          value: {scalar(m.value)}"]
    if c.extensions.official:
        lines += ["    systemExtensions:", "        officialExtensions:"]
        lines += [f"            - {scalar(e)}" for e in c.extensions.official]
    if c.bootloader:
        lines.append(f"    bootloader: {c.bootloader}")
    if c.secure_boot.enroll or c.secure_boot.well_known:
        lines.append("    secureboot:")
        if c.secure_boot.enroll:
            lines.append(f"        enrollKeys: {scalar(c.secure_boot.enroll)}")
        if c.secure_boot.well_known:
            lines.append("        includeWellKnownCertificates: true")
    if c.disk_image.sector:
        lines += ["    diskImage:", f"        sectorSize: {c.disk_image.sector}"]
    return lines


# What Go's YAML writer quotes although it could stand plain: text that a reader of YAML 1.1 or 1.2 would take for
# something else than text. Compared with that writer on 60,000 texts.
_WORD: Final = re.compile(
    r"~|null|Null|NULL|true|True|TRUE|false|False|FALSE|<<"
    r"|[yYnN]|yes|Yes|YES|on|On|ON|no|No|NO|off|Off|OFF"
    r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
    r"|[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?"  # base 60
)
_WHOLE: Final = re.compile(r"[-+]?(0[bB][01]+|0[oO][0-7]+|0[xX][0-9a-fA-F]+|[0-9]+)")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_DATE: Final = re.compile(r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})([Tt ].*)?")


def scalar(text: str) -> str:
    """A text of printable ASCII as Go's YAML writer puts it: plain, else quoted."""
    if _WORD.fullmatch(text) or _is_number(text) or _is_date(text):
        return f'"{text}"'
    analysis = Emitter(None).analyze_scalar(text)
    if analysis.allow_block_plain and not analysis.multiline:
        return text
    return "'" + text.replace("'", "''") + "'"


def _is_number(text: str) -> bool:
    digits = text.replace("_", "")
    if text[0] not in "+-.0123456789":
        return False
    if _FLOAT.fullmatch(digits):
        return math.isfinite(float(digits))
    return _WHOLE.fullmatch(digits) is not None


def _is_date(text: str) -> bool:
    if not (found := _DATE.fullmatch(text)):
        return False
    try:
        date(*(int(part) for part in found.groups()[:3]))
    except ValueError:
        return False
    return True
