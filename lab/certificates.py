"""The lab's certificate authorities, and what they issue. In files that only their owner reads."""

from __future__ import annotations

import ipaddress
import os
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

BEFORE, AFTER = timedelta(days=2), timedelta(days=365)
"""Certificates hold from two days ago, so that a test may turn a part's clock back, and for a year."""

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class Pair:
    """Paths of a certificate and its key, both PEM."""

    certificate: Path
    key: Path


class Authority:
    """A certificate authority in files `<folder>/<name>.crt` and `.key`; made on first use."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self.name = folder, name
        self.pair = Pair(folder / f"{name}.crt", folder / f"{name}.key")
        if not self.pair.certificate.exists():
            key = ec.generate_private_key(ec.SECP256R1())
            subject = _name(f"lab {name}", ())
            usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
            made = _builder(subject, subject, key).add_extension(x509.BasicConstraints(True, None), critical=True)
            made = made.add_extension(usage, critical=True)
            made = made.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            _write(self.pair, made.sign(key, hashes.SHA256()), key)

    def client(self, file: str, common_name: str, *organisations: str) -> Pair:
        """A client certificate for a user in groups; the same files if they are there."""
        return self._issue(file, _name(common_name, organisations), (), (ExtendedKeyUsageOID.CLIENT_AUTH,))

    def server(self, file: str, *hosts: str, expired: bool = False) -> Pair:
        """A certificate for a server reached by `hosts`, names or addresses; it may be a client of its peers too.
        expired: since yesterday."""
        usages = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
        return self._issue(file, _name(hosts[0], ()), hosts, usages, -BEFORE / 2 if expired else AFTER)

    def _issue(
        self,
        file: str,
        subject: x509.Name,
        hosts: tuple[str, ...],
        usages: tuple[x509.ObjectIdentifier, ...],
        after: timedelta = AFTER,
    ) -> Pair:
        pair = Pair(self._folder / f"{file}.crt", self._folder / f"{file}.key")
        if pair.certificate.exists():
            return pair
        issuer = x509.load_pem_x509_certificate(self.pair.certificate.read_bytes())
        signer = serialization.load_pem_private_key(self.pair.key.read_bytes(), None)
        if not isinstance(signer, ec.EllipticCurvePrivateKey):
            raise TypeError(f"{self.pair.key}: expected an elliptic-curve key, found {type(signer).__name__}")
        key = ec.generate_private_key(ec.SECP256R1())
        made = _builder(subject, issuer.subject, key, after)
        made = made.add_extension(x509.BasicConstraints(False, None), critical=True)
        usage = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
        made = made.add_extension(usage, critical=True).add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        if hosts:
            made = made.add_extension(
                x509.SubjectAlternativeName([_alternative(host) for host in hosts]), critical=False
            )
        _write(pair, made.sign(signer, hashes.SHA256()), key)
        return pair


def service_account_key(folder: Path) -> Pair:
    """The key with which the control plane signs service accounts' tokens: (public, private); made on first use."""
    pair = Pair(folder / "sa.pub", folder / "sa.key")
    if not pair.key.exists():
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        public = serialization.PublicFormat.SubjectPublicKeyInfo
        write_private(pair.key, _pem(key))
        write_private(pair.certificate, key.public_key().public_bytes(serialization.Encoding.PEM, public))
    return pair


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, after: timedelta = AFTER
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    made = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    made = made.serial_number(x509.random_serial_number())
    return made.not_valid_before(now - BEFORE).not_valid_after(now + after)


def _name(common_name: str, organisations: tuple[str, ...]) -> x509.Name:
    groups = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, name) for name in organisations]
    return x509.Name([*groups, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _write(pair: Pair, certificate: x509.Certificate, key: Key) -> None:
    """The key first: who finds the certificate finds both."""
    write_private(pair.key, _pem(key))
    write_private(pair.certificate, certificate.public_bytes(serialization.Encoding.PEM))


def _pem(key: Key) -> bytes:
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(encoding, form, serialization.NoEncryption())


def write_private(path: Path, data: bytes) -> None:
    """Write a file that nobody else can read; whoever reads it meanwhile finds what was there or all of the new."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, new = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    Path(new).replace(path)
