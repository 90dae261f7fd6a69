"""The forms of two single values in an Ignition configuration: where contents come from, and what a unit says.

Both are held to what Ignition's own validator takes, and to a little less: what it takes and a machine would then
misread is refused here (docs/decisions/0082.md lists the differences).
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final
from urllib.parse import parse_qs, unquote_to_bytes

SCHEMES: Final = ("http", "https", "tftp", "s3", "arn", "gs", "data")
LINE_BYTES_MAX: Final = 2047
"""systemd cuts longer lines off."""

_ESCAPED: Final = r"(?:[!-$&-~]|%[0-9A-Fa-f]{2})"
_HOST: Final = re.compile(r"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_PATH: Final = re.compile(rf"(?:[/?#]{_ESCAPED}*)?")
_ARN: Final = re.compile(
    rf"arn:[a-z0-9-]+:s3:[a-z0-9-]*:[0-9]*:(?:accesspoint/[^/?#]+/object/|(?!accesspoint/)[^/?#]+/){_ESCAPED}+"
)
_BUCKET: Final = re.compile(rf"s3://[A-Za-z0-9._-]+/{_ESCAPED}+")
_TOKEN: Final = r"[A-Za-z0-9!#$&^_.+-]+"
_MEDIA: Final = re.compile(rf"(?:{_TOKEN}/{_TOKEN})?(?:;{_TOKEN}=(?:{_TOKEN}|\"[^\"]*\"))*(?P<base64>;base64)?")
_DATA: Final = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*")
_SECTION: Final = re.compile(r"\[[A-Za-z0-9 _.-]+\]\s*")
_SETTING: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*\s*=.*")


def source_fault(source: str) -> str | None:
    """What is wrong with where contents come from, as `expected ..., found ...`; None if nothing is."""
    scheme, _, rest = source.partition(":")
    match scheme:
        case "data":
            return _data_fault(rest)
        case "arn":
            right = _ARN.fullmatch(source) and _version_is_said(source)
            return None if right else _fault("an ARN of an object in S3, and a version where one is named", source)
        case "s3":
            right = _BUCKET.fullmatch(source) and _version_is_said(source)
            return None if right else _fault("s3://BUCKET/KEY, and a version where one is named", source)
        case "http" | "https" | "tftp" | "gs":
            host = _HOST.match(rest, 2) if rest.startswith("//") else None
            path = _PATH.fullmatch(rest, host.end()) if host else None
            return None if path else _fault("a URL with a host, and % before two hexadecimal digits only", source)
        case _:
            return _fault(f"one of the schemes {', '.join(SCHEMES)}", scheme)


def unit_fault(text: str) -> str | None:
    """What is wrong with a unit's text, as `expected ..., found ...`; None if nothing is."""
    if "\r" in text or "\0" in text:
        return "expected lines that end in a newline alone, found another control character"
    in_section = continued = False
    for number, line in enumerate(text.split("\n"), start=1):
        if len(line.encode("utf-8", "replace")) > LINE_BYTES_MAX:
            return f"expected lines of at most {LINE_BYTES_MAX} bytes, found line {number} to be longer"
        stripped = line.lstrip()
        if continued or not stripped or stripped[0] in "#;":
            pass
        elif stripped[0] == "[":
            if not _SECTION.fullmatch(stripped):
                return f"expected a [Section] in line {number}, found {ascii(line)[:60]}"
            in_section = True
        elif not in_section or not _SETTING.fullmatch(stripped):
            return f"expected Setting=value in a section in line {number}, found {ascii(line)[:60]}"
        continued = bool(stripped) and line.endswith("\\")
    return None


def _data_fault(rest: str) -> str | None:
    kind, comma, body = rest.partition(",")
    media = _MEDIA.fullmatch(kind)
    if not comma or not media or not _DATA.fullmatch(body):
        return _fault("a data URL: data:TYPE/SUBTYPE;base64,DATA", f"data:{rest}")
    if media["base64"]:
        try:
            base64.b64decode(unquote_to_bytes(body), validate=True)
        except (binascii.Error, ValueError) as error:
            return f"expected base64 in the data URL, found: {error}"
    return None


def _version_is_said(source: str) -> bool:
    """Whether `versionId`, if it is asked for, has a value."""
    asked = parse_qs(source.partition("?")[2].partition("#")[0], keep_blank_values=True).get("versionId")
    return asked is None or all(asked)


def _fault(expected: str, found: str) -> str:
    return f"expected {expected}, found {ascii(found)[1:-1][:60]!r}"
