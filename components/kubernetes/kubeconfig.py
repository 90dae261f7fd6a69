"""The administrator's kubeconfig: a function of the PKI and the endpoint's name, of no machine.

A re-imaged control plane therefore changes nothing in it, and nothing cascades from a node through the
Kubernetes provider into drivers and StorageClasses.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass

import pulumi
import pulumi_tls as tls

from components.kubernetes.pki import Signer


@dataclass(frozen=True)
class Administrator:
    """Who connects when nobody else can yet. kubeconfig: a secret."""

    certificate: tls.LocallySignedCert
    kubeconfig: pulumi.Output[str]


VALID_HOURS = 3 * 8766
"""Three years: the state that holds it holds the authority's key too, so a short life would protect nothing."""

RENEW_HOURS = 8766
"""Renewed by any `up` in its last year: a fleet that is rolled once a year never meets an expired one."""


def register_administrator(cluster: str, server: str, ca: Signer, parent: pulumi.Resource) -> Administrator:
    """Register the administrator's certificate, and make the kubeconfig of it.

    server: `https://` and the cluster's stable endpoint. The group is `system:masters`, because the
    first connection comes before any RBAC rule of ours.
    """
    opts = pulumi.ResourceOptions(parent=parent)
    key = tls.PrivateKey("admin-key", algorithm="ECDSA", ecdsa_curve="P256", opts=opts)
    request = tls.CertRequest(
        "admin-request",
        private_key_pem=key.private_key_pem,
        subject=tls.CertRequestSubjectArgs(common_name="ingot-admin", organization="system:masters"),
        opts=opts,
    )
    certificate = tls.LocallySignedCert(
        "admin",
        cert_request_pem=request.cert_request_pem,
        ca_private_key_pem=ca.key_pem,
        ca_cert_pem=ca.certificate_pem,
        allowed_uses=["digital_signature", "key_encipherment", "client_auth"],
        validity_period_hours=VALID_HOURS,
        early_renewal_hours=RENEW_HOURS,
        opts=opts,
    )
    parts = pulumi.Output.all(ca.certificate_pem, certificate.cert_pem, key.private_key_pem)
    document: pulumi.Output[str] = parts.apply(lambda pems: kubeconfig(cluster, server, *pems))
    return Administrator(certificate, pulumi.Output.secret(document))


def kubeconfig(cluster: str, server: str, ca_pem: str, certificate_pem: str, key_pem: str) -> str:
    """The document: JSON, which every reader of YAML reads, in one fixed form. Holds a private key."""
    context = f"admin@{cluster}"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": cluster, "cluster": {"server": server, "certificate-authority-data": _base64(ca_pem)}}],
        "users": [
            {
                "name": "admin",
                "user": {
                    "client-certificate-data": _base64(certificate_pem),
                    "client-key-data": _base64(key_pem),
                },
            }
        ],
        "contexts": [{"name": context, "context": {"cluster": cluster, "user": "admin"}}],
        "current-context": context,
    }
    return json.dumps(document, sort_keys=True)


def _base64(pem: str) -> str:
    return base64.b64encode(pem.encode()).decode()
