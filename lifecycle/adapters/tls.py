"""Client certificates that live an hour and never rest on disk in the clear."""

from __future__ import annotations

import secrets
import ssl
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from lifecycle.errors import PortError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

LIFE = timedelta(hours=1)
"""As long as the longest single step; the next one mints its own."""
SKEW = timedelta(minutes=5)
"""How far a node's clock may be behind ours before it refuses a fresh certificate."""


@dataclass(frozen=True)
class Authority:
    """A certificate authority: PEM texts, never shown."""

    name: str
    certificate: str = field(repr=False)
    key: str = field(repr=False)


def client_context(authority: Authority, common_name: str, organisation: str, now_s: float) -> ssl.SSLContext:
    """A TLS context that trusts `authority` and presents a client certificate it just signed.

    now_s: seconds since 1970. Raises PortError if the authority's PEM cannot be read.
    """
    from cryptography.hazmat.primitives import serialization

    context = trusting(authority)
    certificate, private = _mint(authority, common_name, organisation, now_s)
    passphrase = secrets.token_hex(32).encode()
    sealed = serialization.BestAvailableEncryption(passphrase)
    key = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, sealed)
    # OpenSSL loads a chain only from a path: the key in it is encrypted under a passphrase that never
    # leaves this process, and the file is gone when this returns.
    with tempfile.NamedTemporaryFile(prefix="ingot-", suffix=".pem") as file:
        file.write(certificate + key)
        file.flush()
        context.load_cert_chain(file.name, password=passphrase)
    return context


def trusting(authority: Authority) -> ssl.SSLContext:
    """A TLS context that trusts servers of `authority` and no others."""
    try:
        return ssl.create_default_context(cadata=authority.certificate)
    except ssl.SSLError as error:
        raise _unreadable(authority) from error


def certificates(pem: bytes) -> frozenset[bytes]:
    """Each certificate in `pem` as DER; none at all if it cannot be read."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    try:
        return frozenset(c.public_bytes(serialization.Encoding.DER) for c in x509.load_pem_x509_certificates(pem))
    except ValueError:
        return frozenset()


def client_pair(authority: Authority, common_name: str, organisation: str, now_s: float) -> tuple[bytes, bytes]:
    """A client certificate that `authority` just signed and its key, as PEM, for libraries that take both from
    memory. Raises PortError if the authority's PEM cannot be read."""
    from cryptography.hazmat.primitives import serialization

    certificate, private = _mint(authority, common_name, organisation, now_s)
    plain = serialization.NoEncryption()
    return certificate, private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)


def _mint(
    authority: Authority, common_name: str, organisation: str, now_s: float
) -> tuple[bytes, EllipticCurvePrivateKey]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    try:
        issuer = x509.load_pem_x509_certificate(authority.certificate.encode())
        signer: CertificateIssuerPrivateKeyTypes = serialization.load_pem_private_key(authority.key.encode(), None)  # type: ignore[assignment]  # a CA signs: DH keys cannot be here
    except (ValueError, TypeError) as error:
        raise _unreadable(authority) from error
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.fromtimestamp(now_s, UTC)
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(True, False, False, False, False, False, False, False, False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(
            signer, None if isinstance(signer, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey) else hashes.SHA256()
        )
    )
    return certificate.public_bytes(serialization.Encoding.PEM), key


def _unreadable(authority: Authority) -> PortError:
    return PortError(
        f"certificate authority {authority.name}",
        "PEM that cannot be read",
        "check the stack's tls resources, or the file named by INGOT_SECRETS_FILE",
    )
