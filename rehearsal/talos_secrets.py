"""Secrets in the form that Talos gives them: new ones for a rehearsal, and masks for whoever looks at a configuration.

The names are those of the Pulumi provider's schema. A mask is the same for every cluster and opens nothing: its keys
are made of a word that stands here, its certificates expired long ago.
"""

from __future__ import annotations

import base64
import datetime
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID

AUTHORITIES: Final = ("etcd", "k8s", "k8sAggregator", "os")
ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz0123456789"
MASK: Final = "masked"
VALID_DAYS: Final = 3650
Key = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


@dataclass(frozen=True)
class _Source:
    """Where secrets come from. word: letters and digits, of a length. key: of an authority, by name.
    serial, since: of a certificate."""

    octets: Callable[[int], bytes]
    word: Callable[[int], str]
    key: Callable[[str], Key]
    serial: int
    since: datetime.datetime


def new() -> dict[str, Any]:
    """Secrets that nobody has, and an administrator's certificate."""
    source = _Source(
        octets=secrets.token_bytes,
        word=lambda size: "".join(secrets.choice(ALPHABET) for _ in range(size)),
        key=_new_key,
        serial=x509.random_serial_number(),
        since=datetime.datetime.now(datetime.UTC),
    )
    made = _secrets(source)
    machine = made["certs"]["os"]
    return {
        "machineSecrets": made,
        "clientConfiguration": {
            "caCertificate": machine["cert"],
            "clientCertificate": machine["cert"],
            "clientKey": machine["key"],
        },
    }


def masked() -> dict[str, Any]:
    """Secrets that everybody has, as the provider's `machineSecrets`: always the same, and taken by Talos."""

    def word(size: int) -> str:
        return (MASK * size)[:size]

    source = _Source(
        octets=lambda size: word(size).encode(),
        word=word,
        key=lambda _: ed25519.Ed25519PrivateKey.from_private_bytes(word(32).encode()),
        serial=1,
        since=datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC),
    )
    return _secrets(source)


def _secrets(source: _Source) -> dict[str, Any]:
    def text(size: int) -> str:
        return _encoded(source.octets(size))

    def token() -> str:
        return f"{source.word(6)}.{source.word(16)}"

    authorities = {name: _authority(name, source) for name in AUTHORITIES}
    return {
        "cluster": {"id": text(32), "secret": text(32)},
        "secrets": {"bootstrapToken": token(), "secretboxEncryptionSecret": text(32)},
        "trustdinfo": {"token": token()},
        "certs": {**authorities, "k8sServiceaccount": {"key": _encoded(_key_pem(source.key("k8s")))}},
    }


def _authority(name: str, source: _Source) -> dict[str, str]:
    key = source.key(name)
    subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "talos" if name == "os" else name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(source.serial)
        .not_valid_before(source.since)
        .not_valid_after(source.since + datetime.timedelta(days=VALID_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256())
    )
    return {
        "cert": _encoded(certificate.public_bytes(serialization.Encoding.PEM)),
        "key": _encoded(_key_pem(key)),
    }


def _new_key(name: str) -> Key:
    """Talos' own is of Ed25519, Kubernetes' and etcd's are of P-256."""
    return ed25519.Ed25519PrivateKey.generate() if name == "os" else ec.generate_private_key(ec.SECP256R1())


def _key_pem(key: Key) -> bytes:
    """As Talos writes it: PKCS #8 under a title of its own for Ed25519, SEC 1 for the others."""
    none = serialization.NoEncryption()
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, none)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, none)
    return pem.replace(b" PRIVATE KEY", b" ED25519 PRIVATE KEY")


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()
