"""Digests of files, and detached OpenPGP signatures over them, checked with Sequoia (pysequoia)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pysequoia import Cert, Sig

CHUNK_BYTES: Final = 1 << 20
KEYS_BYTES_MAX: Final = 4 << 20
"""Fedora's ring of all its keys takes 50 KiB."""
SIGNATURE_BYTES_MAX: Final = 64 << 10

SIGNATURE_REMEDY: Final = "fetch file and signature again; if it stays so, runbooks/images.md#signature"


class NotVerified(ValueError):
    """A file is not what is pinned, or its signature does not count."""

    def __init__(self, what: str, expected: str, found: str, remedy: str) -> None:
        self.what, self.expected, self.found, self.remedy = what, expected, found, remedy
        super().__init__(f"{what}: expected {expected}, found {found}. Remedy: {remedy}")


@dataclass(frozen=True)
class Digests:
    """Of one file; hexadecimal."""

    sha256: str
    sha512: str


def digests(path: Path) -> Digests:
    """Read the whole file once. Raises OSError."""
    sha256, sha512 = hashlib.sha256(), hashlib.sha512()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            sha256.update(chunk)
            sha512.update(chunk)
    return Digests(sha256.hexdigest(), sha512.hexdigest())


def check_digest(path: Path, sha256: str, what: str) -> None:
    """Return if the file has this SHA-256. Raises NotVerified, OSError."""
    if (found := digests(path).sha256) != sha256:
        remedy = "fetch it again; if it stays so, runbooks/images.md#digest. Never change the lock to what was found"
        raise NotVerified(what, f"sha256 {sha256}", found, remedy)


class Keys:
    """The publisher's key material, of which one key counts: the one with `fingerprint`.

    Raises NotVerified if `material` (armored or binary, one key or a ring) does not hold it, or if it is
    revoked. where: what the material was read from.
    """

    def __init__(self, material: bytes, fingerprint: str, where: str) -> None:
        self.fingerprint, self.where = fingerprint.upper(), where
        self._cert = self._picked(_certificates(material, where))

    def check(self, path: Path, signature: bytes, what: str) -> None:
        """Return if `signature` is by our key over the bytes of `path`. Raises NotVerified.

        A signature counts if the key that made it was valid at that moment: signing subkeys expire and are
        replaced while what they signed stays published. One made after its key expired does not count, nor
        does any by a revoked key.
        """
        from pysequoia import verify

        expected = f"a signature by {self.fingerprint}"
        parsed = require_signature(signature, what, expected)
        try:
            result = verify(file=path, store=lambda _: [self._cert], signature=parsed)
            by = [found.certificate.upper() for found in result.valid_sigs]
        except Exception:  # noqa: BLE001 the library has one error for all that is wrong with a signature
            by = []
        if self.fingerprint not in by:
            claimed = parsed.issuer_fingerprint or parsed.issuer_key_id or "an unnamed key"
            found = f"one that does not verify; it says it is by {claimed.upper()}"
            raise NotVerified(what, expected, found, SIGNATURE_REMEDY)

    def _picked(self, certificates: Sequence[Cert]) -> Cert:
        picked = [c for c in certificates if c.fingerprint.upper() == self.fingerprint]
        remedy = "runbooks/images.md#signature says where the publisher's keys are"
        if not picked:
            names = ", ".join(sorted({c.fingerprint.upper() for c in certificates})[:10]) or "none"
            raise NotVerified(self.where, f"the key {self.fingerprint}", f"other keys: {names}", remedy)
        if picked[0].is_revoked:
            raise NotVerified(self.where, f"a valid key {self.fingerprint}", "that it is revoked", remedy)
        return picked[0]


def require_signature(signature: bytes, what: str, expected: str = "a signature") -> Sig:
    """The signature, if it is one, whoever made it and whatever of. Raises NotVerified."""
    from pysequoia import Sig

    if len(signature) > SIGNATURE_BYTES_MAX:
        raise NotVerified(what, f"a signature of {SIGNATURE_BYTES_MAX} bytes at most", "more", SIGNATURE_REMEDY)
    try:
        return Sig.from_bytes(signature)
    except Exception as error:  # noqa: BLE001 whatever the parser says of junk, it is no signature
        raise NotVerified(what, expected, f"no OpenPGP signature ({_first(error)})", SIGNATURE_REMEDY) from None


def _certificates(material: bytes, where: str) -> Sequence[Cert]:
    from pysequoia import Cert

    remedy = "give the publisher's public key, armored or binary"
    if len(material) > KEYS_BYTES_MAX:
        raise NotVerified(where, f"keys of {KEYS_BYTES_MAX} bytes at most", "more", remedy)
    try:
        return Cert.split_bytes(material)
    except Exception as error:  # noqa: BLE001 whatever the parser says of junk, it is no key
        raise NotVerified(where, "OpenPGP keys", f"none ({_first(error)})", remedy) from None


def _first(error: Exception) -> str:
    """The first line: what follows is the library's own stack."""
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
