"""The tls package: real keys and certificates, made with `cryptography`, so that what reads them works."""

from __future__ import annotations

import datetime
from typing import Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from rehearsal.providers.base import Properties, Provider

USAGES = {
    "client_auth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "server_auth": ExtendedKeyUsageOID.SERVER_AUTH,
}


class Tls(Provider):
    """PrivateKey, CertRequest, SelfSignedCert, LocallySignedCert. Any change makes a new one."""

    version = "5.6.2"

    def replaces(self, kind: str, old: Properties, new: Properties) -> list[str]:
        return sorted(k for k in old.keys() | new.keys() if old.get(k) != new.get(k))

    def create(self, kind: str, name: str, new: Properties, context: grpc.ServicerContext) -> tuple[str, Properties]:
        made = kind.rpartition(":")[2]
        if made == "PrivateKey":
            return name, {**new, **_private_key()}
        if made == "CertRequest":
            return name, {**new, "certRequestPem": _request(new), "keyAlgorithm": "ECDSA"}
        return name, {**new, **_certificate(made, new)}


def _pem_of(key: ec.EllipticCurvePrivateKey, form: serialization.PrivateFormat) -> str:
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def _private_key() -> Properties:
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return {
        "privateKeyPem": _pem_of(key, serialization.PrivateFormat.TraditionalOpenSSL),
        "privateKeyPemPkcs8": _pem_of(key, serialization.PrivateFormat.PKCS8),
        "privateKeyOpenssh": _pem_of(key, serialization.PrivateFormat.OpenSSH),
        "publicKeyPem": public.decode(),
        "publicKeyOpenssh": "",
        "publicKeyFingerprintMd5": "",
        "publicKeyFingerprintSha256": "",
    }


def _load(pem: str) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(pem.encode(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"the rack makes ECDSA certificates, found a {type(key).__name__}")
    return key


def _subject(new: Properties) -> x509.Name:
    given: dict[str, Any] = new.get("subject") or {}
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, given.get("commonName") or "rack")]
    if given.get("organization"):
        parts.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, given["organization"]))
    return x509.Name(parts)


def _request(new: Properties) -> str:
    key = _load(new["privateKeyPem"])
    made = x509.CertificateSigningRequestBuilder().subject_name(_subject(new)).sign(key, hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM).decode()


def _certificate(kind: str, new: Properties) -> Properties:
    now = datetime.datetime.now(datetime.UTC)
    until = now + datetime.timedelta(hours=float(new["validityPeriodHours"]))
    if kind == "SelfSignedCert":
        signer = _load(new["privateKeyPem"])
        subject = issuer = _subject(new)
        public = signer.public_key()
    else:
        signer = _load(new["caPrivateKeyPem"])
        request = x509.load_pem_x509_csr(new["certRequestPem"].encode())
        subject, issuer = request.subject, x509.load_pem_x509_certificate(new["caCertPem"].encode()).subject
        found = request.public_key()
        if not isinstance(found, ec.EllipticCurvePublicKey):
            raise TypeError(f"the rack makes ECDSA certificates, found a {type(found).__name__}")
        public = found
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(public)
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now).not_valid_after(until)
    authority = bool(new.get("isCaCertificate"))
    builder = builder.add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    usages = [USAGES[u] for u in new.get("allowedUses", []) if u in USAGES]
    if usages:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    return {
        "certPem": builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode(),
        "keyAlgorithm": "ECDSA",
        "validityStartTime": now.isoformat(),
        "validityEndTime": until.isoformat(),
        "readyForRenewal": False,
    }
