"""The values that fields of a stack file may hold: each with its form, its check, and what to say when it is wrong.

A check never echoes a value and does no I/O. Every refusal is a pydantic error of type `ingot` whose context
holds `expected` (a noun phrase) and `fix` (an imperative); components/stackfile turns it into a problem.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import ipaddress
import re
import zoneinfo
from collections.abc import Callable
from typing import Annotated, Any, Final, Literal, TypeVar
from urllib.parse import SplitResult, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import PydanticCustomError

T = TypeVar("T")

DAY_S: Final = 86_400
QUOTE_IT: Final = "quote it"
SSH_KEYS: Final = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "ssh-rsa",
)
"""What OpenSSH accepts by default as the kind of a key (sshd_config(5), PubkeyAcceptedAlgorithms)."""
LABEL: Final = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"


class Closed(BaseModel, extra="forbid", frozen=True, use_attribute_docstrings=True):
    """Every model of a stack file: unknown fields are refused, values never change."""


def natural(name: str) -> list[tuple[int, str]]:
    """Sort key by which w2 comes before w10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _in_order(found: dict[str, T]) -> dict[str, T]:
    return {name: found[name] for name in sorted(found, key=natural)}


# Pulumi hands a program its configuration with the keys of every mapping sorted as text, so the order in
# the file cannot be the order of a roll (docs/decisions/0006.md).
InOrder = AfterValidator(_in_order)


class Refused(ValueError):
    """A value of the right type that its field cannot hold. The text is the fix."""


def refused(expected: str, fix: str) -> PydanticCustomError:
    """The one error that every check here ends in."""
    return PydanticCustomError("ingot", "expected {expected}", {"expected": expected, "fix": fix})


def text(expected: str, check: Callable[[str], str] | None = None, *, fix: str = "") -> WrapValidator:
    """Refuse what is not text of the field's form, in the words of the field.

    check: returns the value in its one normal form, or raises Refused with a fix of its own.
    fix: what to do about text of a wrong form; the default repeats what is expected.
    """

    def validate(value: object, handler: ValidatorFunctionWrapHandler) -> Any:
        if isinstance(value, bool | int | float | datetime.date):
            raise refused(expected, QUOTE_IT)
        try:
            found = value if check is None or not isinstance(value, str) else check(value)
            return handler(found)
        except Refused as why:
            raise refused(expected, str(why)) from None
        except ValidationError:
            raise refused(expected, fix or f"write {expected}") from None

    return WrapValidator(validate)


def number(expected: str, fix: str = "write a number in this range") -> WrapValidator:
    """Refuse what is not a number in the field's range. true is no number, though Python would take it for 1."""

    def validate(value: object, handler: ValidatorFunctionWrapHandler) -> Any:
        try:
            if not isinstance(value, bool):
                return handler(value)
        except ValidationError:
            pass
        raise refused(expected, fix)

    return WrapValidator(validate)


def _split(url: str) -> SplitResult:
    """Take an https URL apart. Raises Refused for anything that is not a plain https URL with a host."""
    if "@" in url:
        raise Refused("take the user name and password out of the URL; credentials never stand in a stack file")
    if not url.isascii() or any(c.isspace() or not c.isprintable() for c in url):
        raise Refused("take spaces and special characters out of the URL")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port  # both raise ValueError for what they cannot read
    except ValueError:
        raise Refused("write a URL with a host and, where it needs one, a port of 1 to 65535") from None
    if parts.scheme == "http":
        raise Refused("use https: over http, credentials and images could be read or replaced on the way")
    if parts.scheme != "https" or not host:
        raise Refused("write a whole URL that begins with https:// and names a host")
    if "?" in url or "#" in url:
        raise Refused("take the part from ? or # on out of the URL")
    return parts


def _normal(parts: SplitResult) -> str:
    """One form for each place: small letters, no port that https has anyway, no slash at the end."""
    return f"https://{parts.netloc.lower().removesuffix(':443')}{parts.path.rstrip('/')}"


def _redfish(url: str) -> str:
    parts = _split(url)
    if not re.fullmatch(r"/redfish/v1/Systems/[^/]+/?", parts.path):
        raise Refused("end the URL in the path to one system: /redfish/v1/Systems/<id>")
    return _normal(parts)


def _https(url: str) -> str:
    return _normal(_split(url))


def _mac(mac: str) -> str:
    if not re.fullmatch(r"([0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}", mac):
        raise Refused("write six pairs of hexadecimal digits with colons between, and quote it")
    first = int(mac[:2], 16)
    if first % 2 or not int(mac.replace(":", ""), 16):
        raise Refused("write the address of the one port that boots; this one stands for a group or for none")
    return mac.lower()


def exact(version: str) -> str:
    """Raises Refused for the name of a channel."""
    if re.fullmatch(r"[A-Za-z]+", version):
        raise Refused("pin an exact release; what a channel names changes from day to day")
    return version


def _disk(path: str) -> str:
    if re.match(r"/dev/(sd|hd|vd|xvd|nvme|mmcblk|disk/by-(uuid|label|partuuid|partlabel)/)", path):
        raise Refused("write the disk's stable id (ls -l /dev/disk/by-id); this name can move to another disk")
    if re.search(r"-part[0-9]+$", path):
        raise Refused("name the whole disk, without -part and the number")
    return path


def _endpoint(name: str) -> str:
    if "://" in name or "/" in name:
        raise Refused("write the name alone, without https:// and path")
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        pass
    if re.fullmatch(r"[^:]*:[0-9]+", name):
        raise Refused("write the name alone; the port has its own key, endpoint_port")
    if re.fullmatch(r"[0-9.]+", name):
        raise Refused("write a whole address: four numbers of 0 to 255")
    lowered = name.lower()
    if len(name) > 253 or not re.fullmatch(rf"{LABEL}(\.{LABEL})*", lowered) or max(map(len, lowered.split("."))) > 63:
        raise Refused("write a DNS name or an IP address that stays when machines are replaced")
    return lowered


def _cidr(cidr: str) -> str:
    try:
        network = ipaddress.ip_network(cidr, strict=False)
    except ValueError:
        raise Refused('write an address range such as "10.244.0.0/16"') from None
    if "/" not in cidr:
        raise Refused(f'add the length of the prefix, such as "{cidr}/{16 if network.version == 4 else 56}"')
    if ipaddress.ip_address(cidr.split("/", maxsplit=1)[0]) != network.network_address:
        raise Refused(f'write where the range begins: "{network}"')
    return str(network)


def _directory(path: str) -> str:
    if not path.startswith("/"):
        raise Refused("write an absolute path; a step may run from any checkout")
    parts = path.rstrip("/")[1:].split("/")
    if not path.isprintable() or any(part in ("", ".", "..") for part in parts):
        raise Refused("write the path of one directory below /, without //, . and ..")
    return path.rstrip("/")


def _each_once(methods: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(methods)) < len(methods):
        raise refused("each way to boot once", "take the second one out")
    return methods


def _ssh_key(line: str) -> str:
    if "PRIVATE KEY" in line:
        raise Refused("write the public key; the private one never leaves its owner")
    kind, _, rest = line.strip().partition(" ")
    if kind not in SSH_KEYS:
        raise Refused(f"begin with the kind of key ({', '.join(SSH_KEYS)}), without options before it")
    blob, _, name = rest.strip().partition(" ")
    try:
        data = base64.b64decode(blob, validate=True)
    except binascii.Error:
        data = b""
    # RFC 4253, section 6.6: the key repeats its kind, after four bytes of its length.
    if data[4 : 4 + len(kind)] != kind.encode() or data[:4] != len(kind).to_bytes(4, "big"):
        raise Refused("copy the whole line of the .pub file; this one is cut off, or of another kind")
    if not re.fullmatch(r"[A-Za-z0-9._@+:-]*", name.strip()):
        raise Refused("name the key with letters, digits and . _ @ + : - only")
    return " ".join(filter(None, (kind, blob, name.strip())))


def _timezone(name: str) -> str:
    """Names of places only: what a bare name such as EST or `localtime` means differs between machines."""
    if not re.fullmatch(r"UTC|[A-Za-z_]+(/[A-Za-z0-9_+-]+){1,2}", name):
        raise Refused("write UTC, or a place such as Europe/Berlin")
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise Refused("write UTC, or a place that the IANA time zone database has, such as Europe/Berlin") from None
    return name


Label = Annotated[
    str,
    Field(pattern=f"^{LABEL}$", max_length=63),
    text(
        "a name of at most 63 small letters, digits and -",
        fix="write small letters, digits and - only, with no - at either end",
    ),
]
"""A DNS-1123 label: names of clusters, pools, hosts and policies become names in Kubernetes."""

Domain = Annotated[
    str,
    Field(pattern="^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$", max_length=63),
    text("the name of a fault domain such as rack-a", fix="write at most 63 letters, digits, -, _ and . only"),
]
"""What fails together. The value of a topology label in Kubernetes."""

Identifier = Annotated[
    str,
    Field(pattern="^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$", max_length=253),
    text("a name of letters, digits, -, _ and .", fix="write the name as the other system shows it"),
]
"""A name that another system gave."""

Mac = Annotated[
    str,
    Field(pattern="^([0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}$"),
    text('a MAC address such as "52:54:00:12:34:56"', _mac),
]
"""In small letters. YAML 1.1 takes some unquoted ones for numbers of base 60."""

RedfishSystem = Annotated[
    str,
    Field(pattern="^https://[^@?#\\s]+/redfish/v1/Systems/[^/@?#\\s]+/?$", max_length=2048),
    text("the https URL of one Redfish system such as https://bmc-w1.example/redfish/v1/Systems/1", _redfish),
]
"""Without credentials, without a slash at the end."""

HttpsUrl = Annotated[
    str,
    Field(pattern="^https://[^@?#\\s]+$", max_length=2048),
    text("an https URL such as https://boot.example", _https),
]
"""Without credentials, without a slash at the end."""

StableDisk = Annotated[
    str,
    Field(pattern="^/dev/disk/by-(id|path)/[-A-Za-z0-9_.:+=@#]+$", max_length=512),
    text("a whole disk under /dev/disk/by-id/ or /dev/disk/by-path/", _disk),
]
"""A name that the kernel cannot give to another disk at the next boot."""

SshKey = Annotated[
    str,
    Field(max_length=4096),
    text(
        "a public key as in authorized_keys, such as ssh-ed25519 AAAA... name",
        _ssh_key,
        fix="write one line: the kind of key, the key in base64 and, if you like, a name",
    ),
]
"""A public key without options: what it may do is the login's, not the key's."""

TimeServer = Annotated[str, Field(min_length=1, max_length=253), text("a DNS name or an IP address", _endpoint)]
"""Of a server that speaks NTP."""

Registry = Annotated[
    str,
    Field(pattern=rf"^{LABEL}(\.{LABEL})*(:[0-9]{{1,5}})?$", max_length=260),
    text("a registry as images name it, such as docker.io", fix="write a host name and, if it has one, :port"),
]
"""As it stands at the beginning of an image's name."""

ChartVersion = Annotated[
    str,
    Field(pattern=r"^[0-9]+\.[0-9]+\.[0-9]+(-[-0-9A-Za-z.]+)?$", max_length=64),
    text("an exact version of the chart such as 26.2.8", exact, fix="write three numbers with dots between"),
]

Endpoint = Annotated[
    str,
    Field(max_length=253, min_length=1),
    text("a DNS name or an IP address that belongs to no machine", _endpoint),
]

Cidr = Annotated[str, Field(max_length=64), text('an address range such as "10.244.0.0/16"', _cidr)]

Directory = Annotated[
    str,
    Field(pattern="^/", max_length=1024),
    text("the absolute path of a directory", _directory),
]

Port = Annotated[int, Field(ge=1, le=65535), number("a port of 1 to 65535")]

Count = Annotated[int, Field(ge=1, le=10_000), number("a whole number of 1 to 10000")]

Replicas = Annotated[
    int,
    Field(ge=2, le=8),
    number("2 to 8 replicas", "write 2 or more; with one, no volume survives the replacement of its node"),
]

Iops = Annotated[int, Field(ge=1, le=1_000_000_000), number("a whole number of operations a second, 1 or more")]

# The driver's minimum is 2 GiB, in pages of 2 MiB.
Hugepages = Annotated[
    int,
    Field(ge=2048, le=4_194_304, multiple_of=2),
    number(
        "MiB of hugepages, 2048 or more and even",
        "write 2048 or more; pages are of 2 MiB, and the driver needs 2 GiB",
    ),
]

Soak = Annotated[
    float,
    Field(ge=0, le=DAY_S, allow_inf_nan=False),
    number("seconds: 0 to 86400"),
]

# Below ten seconds, one slow answer of a healthy part would halt a roll; above a day, nobody waits any more.
Limit = Annotated[
    float,
    Field(ge=10, le=DAY_S, allow_inf_nan=False),
    number("seconds: 10 to 86400"),
]

BootMethods = Annotated[
    tuple[Literal["uefi-http", "pxe", "virtual-media"], ...], Field(min_length=1), AfterValidator(_each_once)
]
"""In the order in which they are tried."""

# Firmware alone takes minutes on metal.
BootLimit = Annotated[
    float,
    Field(ge=300, le=DAY_S, allow_inf_nan=False),
    number("seconds: 300 to 86400", "write a number in this range; a machine's firmware alone takes minutes"),
]

TimeOfDay = Annotated[
    str,
    Field(pattern="^([01][0-9]|2[0-3]):[0-5][0-9]$"),
    text(
        'a time of day such as "22:00"',
        fix="write two digits, a colon and two digits, from 00:00 to 23:59, and quote it",
    ),
]
"""YAML 1.1 takes some unquoted ones for numbers of base 60."""

Timezone = Annotated[
    str,
    Field(pattern="^(UTC|[A-Za-z_]+(/[A-Za-z0-9_+-]+){1,2})$", max_length=64),
    text("a time zone such as Europe/Berlin", _timezone),
]
"""A name of the IANA database. The zone's own rules say when its clocks change."""
