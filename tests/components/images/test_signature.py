"""components/images/signature.py: a file counts if its digest is pinned and the right key signed it."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pysequoia import Cert

from components.images.signature import (
    KEYS_BYTES_MAX,
    SIGNATURE_BYTES_MAX,
    Keys,
    NotVerified,
    check_digest,
    digests,
    require_signature,
)

DATA = b"an image" * 1000

# Of ours, made for this test: a key, and a signature over DATA that it made two seconds after it had expired.
EXPIRED_KEY = """\
-----BEGIN PGP PUBLIC KEY BLOCK-----
Comment: FF96 A56C D25C E50E 1929  C6BC 18A6 B25F 926D 576B
Comment: An expired key of ours

xjMEawbuOBYJKwYBBAHaRw8BAQdA4r2Y/I0tmJS2Y4Kv/ZX40fdLbS+Tx4YqsebJ
gr3ABkXCwBEEHxYKAIMFgmsG7nQFiQAAAD4DCwkHCRAYprJfkm1Xa0cUAAAAAAAe
ACBzYWx0QG5vdGF0aW9ucy5zZXF1b2lhLXBncC5vcmfLGBfXHpjZEGSeJkkc2e2T
6FtbeGRSohDh4seUI9VScgMVCggCmwECHgkWIQT/lqVs0lzlDhkpxrwYprJfkm1X
awAA6e8BAPZGwcrQ4uPjkZOPYpb1LRzcLyRKOB95OGYA+HyiLaoGAQDPB/2+MxlE
JMbjvury4S7aMhpkgWG5l6M4qYmmfGjBC8LACwQfFgoAfQWCawbuOAMLCQcJEBim
sl+SbVdrRxQAAAAAAB4AIHNhbHRAbm90YXRpb25zLnNlcXVvaWEtcGdwLm9yZ7m1
vY+caaVQFfCGIwuWu6vAVhwbxmCI6AsNcK8S7fy1AxUKCAKbAQIeCRYhBP+WpWzS
XOUOGSnGvBimsl+SbVdrAADH1AEAhvAvxmV7tCTgDi26m35MrKbC3B0Ncib2NHDz
FqCWnlUA/j7pVR2ffAhrJb3M2w/Ggu83yCvOAKRmnpTNCKaRLxoGzRZBbiBleHBp
cmVkIGtleSBvZiBvdXJzwsAUBBMWCgCGBYJrBu50BYkAAAA+AwsJBwkQGKayX5Jt
V2tHFAAAAAAAHgAgc2FsdEBub3RhdGlvbnMuc2VxdW9pYS1wZ3Aub3JnL9WGuCDj
UDL/DJpG0fxR8SSBqSQD+cT1KdJTNyCUh2kDFQoIApkBApsBAh4JFiEE/5albNJc
5Q4ZKca8GKayX5JtV2sAABgUAP9ybPcoTQ4aWx2AOj2Ox/C0nm9QXciHSMY+ziQn
LzTYjgD/aVB6UettPhrIQT3hJO/BUpZOo2gVe3q3t1M3cy+q3wPCwA4EExYKAIAF
gmsG7jgDCwkHCRAYprJfkm1Xa0cUAAAAAAAeACBzYWx0QG5vdGF0aW9ucy5zZXF1
b2lhLXBncC5vcmcGiV1GcMjsAZphRZsgdduf9MV/6ClbIeYp9fbT+m9tVQMVCggC
mQECmwECHgkWIQT/lqVs0lzlDhkpxrwYprJfkm1XawAAPGYBANIYwtPR+Vit7btw
unMaFYpBpCdXApKuIfBLDYzLlNBnAQD8WGZkD1xmfo1IooCkWJm4DD0K+qlQjDKD
L+0uopntAc4zBGsG7jgWCSsGAQQB2kcPAQEHQKwlkvlHcBbzKMizxdUme4UM2NQi
U3UgaDJQEAsNTGxwwsC/BBgWCgExBYJrBu44CRAYprJfkm1Xa0cUAAAAAAAeACBz
YWx0QG5vdGF0aW9ucy5zZXF1b2lhLXBncC5vcmeHa3yfXcPVZsn6CNn9JRQhFWgr
0D1U7uc+2g60uoSiBwKbAr6gBBkWCgBvBYJrBu44CRAc5aItM2qU00cUAAAAAAAe
ACBzYWx0QG5vdGF0aW9ucy5zZXF1b2lhLXBncC5vcmfZ0YiPAk8Rx/eUIEH9YOra
qF3DblkIeo0Tr2Z8mQOJtxYhBPjDLV3s+gsbLWsKhhzloi0zapTTAAD0IQD/Qw+H
RqQ7G/sJr9pPL9wP3X5+R+46dLOnfxItBb33SLIA/1anfpvHG2sIvSjKkmJwlwVa
wscybZ3XmxUWd2zdptUNFiEE/5albNJc5Q4ZKca8GKayX5JtV2sAAK+QAP9hxdf+
DFLfk7dES7hParAQPnSMPv2vz/3MFNeDz4u+7AEAp0Ey4VYhsvmD00SkUb3h0zKA
AYfUH458q6rKXvlyvAPOOARrBu44EgorBgEEAZdVAQUBAQdAAyg1U0Amv502Oyw2
Abp1Ax17nPR+AOfF6zsLPOtk5hEDAQgHwsAABBgWCgByBYJrBu44CRAYprJfkm1X
a0cUAAAAAAAeACBzYWx0QG5vdGF0aW9ucy5zZXF1b2lhLXBncC5vcmfH6EIN4Qq4
z1ytXDmRNo1rUm/qad952VBiO4zjE+plhAKbDBYhBP+WpWzSXOUOGSnGvBimsl+S
bVdrAADMCgD/Tean2O0SPboabFF/XbsbrJEXLkhCSafrw9GBZ5Xsr7MBAJABTwIR
CfN3jY6NRxa4+jOFUwZYteJJChWjVMUydg0J
=ngWm
-----END PGP PUBLIC KEY BLOCK-----
"""
SIGNED_LATER = """\
-----BEGIN PGP SIGNATURE-----

wr0EABYKAG8FgmsG7ngJEBzloi0zapTTRxQAAAAAAB4AIHNhbHRAbm90YXRpb25z
LnNlcXVvaWEtcGdwLm9yZwVIZOAG0L3WrkTdTlkC64BZ4zNyfXnksZ5fRir0LmEk
FiEE+MMtXez6CxstawqGHOWiLTNqlNMAADAjAQCuSDmCEsLcFe1CGoUtqTfYTavb
3vsCcF9MZoBGhR3HZAD9EzI5P2jf7fBWyq9y/CSEaEVgCqwpwUH+N7gGF0aH0QM=
=f6RR
-----END PGP SIGNATURE-----
"""


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image"
    path.write_bytes(DATA)
    return path


class TestDigests:
    """Of the very bytes on disk."""

    def test_both(self, image: Path) -> None:
        found = digests(image)
        assert (found.sha256, found.sha512) == (hashlib.sha256(DATA).hexdigest(), hashlib.sha512(DATA).hexdigest())

    def test_the_right_one(self, image: Path) -> None:
        check_digest(image, hashlib.sha256(DATA).hexdigest(), "the image")

    def test_a_wrong_one(self, image: Path) -> None:
        with pytest.raises(NotVerified, match=r"the image: expected sha256 0000.*found .*Never change the lock"):
            check_digest(image, "0" * 64, "the image")


class TestASignatureCounts:
    """If the pinned key, or a subkey of it, made it while it was valid."""

    def test_by_the_pinned_key(self, image: Path, signer: Any) -> None:
        Keys(signer.public, signer.fingerprint, "a key").check(image, signer.signed(DATA), "the image")

    def test_whatever_else_is_in_the_ring(self, image: Path, signer: Any, stranger: Any) -> None:
        ring = stranger.public + signer.public
        Keys(ring, signer.fingerprint.lower(), "a ring").check(image, signer.signed(DATA), "the image")

    def test_with_an_armored_key(self, image: Path, signer: Any) -> None:
        armored = str(signer.certificate).encode()
        Keys(armored, signer.fingerprint, "a key").check(image, signer.signed(DATA), "the image")

    def test_made_before_the_key_expired(self, image: Path, signer: Any) -> None:
        """A publisher's signing key expires; what it signed stays published."""
        signed = signer.signed(DATA)
        expires = datetime.now(UTC) + timedelta(days=1)
        expiring = signer.certificate.set_expiration(expiration=expires, certifier=signer.secret.certifier())
        Keys(bytes(expiring), signer.fingerprint, "a key").check(image, signed, "the image")


class TestASignatureDoesNotCount:
    """By another key, over other bytes, by a key that was not valid, or if it is none."""

    def refused(self, keys: Keys, image: Path, signature: bytes) -> str:
        with pytest.raises(NotVerified) as refused:
            keys.check(image, signature, "the image")
        assert "Stack backtrace" not in str(refused.value)
        assert refused.value.expected
        return refused.value.found

    def test_over_other_bytes(self, image: Path, signer: Any) -> None:
        found = self.refused(Keys(signer.public, signer.fingerprint, "k"), image, signer.signed(DATA + b"."))
        assert found.startswith("one that does not verify")

    def test_by_another_key(self, image: Path, signer: Any, stranger: Any) -> None:
        signed = stranger.signed(DATA)
        self.refused(Keys(signer.public + stranger.public, signer.fingerprint, "k"), image, signed)

    def test_made_after_the_key_expired(self, image: Path) -> None:
        expired = Cert.from_bytes(EXPIRED_KEY.encode())
        assert expired.expiration is not None
        self.refused(Keys(EXPIRED_KEY.encode(), expired.fingerprint, "k"), image, SIGNED_LATER.encode())

    def test_by_a_revoked_key(self, image: Path, signer: Any) -> None:
        revocation = signer.certificate.revoke(certifier=signer.secret.certifier())
        revoked = Cert.from_bytes(signer.public + bytes(revocation))
        with pytest.raises(NotVerified, match="found that it is revoked"):
            Keys(bytes(revoked), signer.fingerprint, "a key")

    @pytest.mark.parametrize(
        "junk",
        [b"", b"junk", b"\x00" * 100, b"-----BEGIN PGP SIGNATURE-----\n\nAAAA\n-----END PGP SIGNATURE-----\n"],
    )
    def test_that_is_none(self, image: Path, signer: Any, junk: bytes) -> None:
        found = self.refused(Keys(signer.public, signer.fingerprint, "k"), image, junk)
        assert found.startswith("no OpenPGP signature")

    @pytest.mark.parametrize("junk", [b"", b"<html>not found</html>"])
    def test_is_told_from_another_document_without_a_key(self, junk: bytes) -> None:
        with pytest.raises(NotVerified, match="x: expected a signature, found no OpenPGP signature"):
            require_signature(junk, "x")

    def test_that_is_a_key(self, image: Path, signer: Any) -> None:
        self.refused(Keys(signer.public, signer.fingerprint, "k"), image, signer.public)

    def test_that_is_a_bomb(self, image: Path, signer: Any) -> None:
        keys = Keys(signer.public, signer.fingerprint, "k")
        assert self.refused(keys, image, b"x" * (SIGNATURE_BYTES_MAX + 1)) == "more"


class TestKeyMaterial:
    """Comes from anywhere; counts by its fingerprint alone."""

    def test_of_somebody_else(self, signer: Any, stranger: Any) -> None:
        with pytest.raises(NotVerified) as refused:
            Keys(stranger.public, signer.fingerprint, "a.gpg")
        assert str(refused.value).startswith(
            f"a.gpg: expected the key {signer.fingerprint}, found other keys: {stranger.fingerprint}."
        )

    @pytest.mark.parametrize("junk", [b"", b"junk", b"<html>", b"\xff" * 1000])
    def test_that_is_none(self, signer: Any, junk: bytes) -> None:
        with pytest.raises(NotVerified, match=r"a\.gpg: expected"):
            Keys(junk, signer.fingerprint, "a.gpg")

    def test_that_is_a_bomb(self, signer: Any) -> None:
        with pytest.raises(NotVerified, match="found more"):
            Keys(b"x" * (KEYS_BYTES_MAX + 1), signer.fingerprint, "a.gpg")
