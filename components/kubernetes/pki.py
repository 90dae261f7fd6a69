"""The cluster's certificate authorities and keys, secret in the state, made once and never renewed here.

They are resources of pulumi-tls, not of a node: a node that is re-imaged gets the same ones again, and
the digest that replaces machines covers none of them. lifecycle/ reads them from the state by the
names below when a control plane joins; they are never in a stored command, boot configuration or log.
"""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_tls as tls

CA_VALID_HOURS = 20 * 8766
"""Twenty years. Renewing an authority means replacing every certificate under it: a rotation, not a
side effect of some later `up`. So it outlives the fleet's hardware, and early renewal is off."""


@dataclass(frozen=True)
class Signer:
    """Who signs for administrators: certificate and key as PEM."""

    certificate_pem: pulumi.Output[str]
    key_pem: pulumi.Output[str]


@dataclass(frozen=True)
class Foundation:
    """What a cluster is built on, whatever its machines run: joining and leaving ask the state for it, so it is
    there before the first node and goes after the last. resources: the first stands for the whole cluster."""

    signer: Signer
    resources: tuple[pulumi.CustomResource, ...]


@dataclass(frozen=True)
class Authority:
    """A certificate authority: its key and its certificate, as PEM."""

    key: tls.PrivateKey
    certificate: tls.SelfSignedCert


@dataclass(frozen=True)
class Pki:
    """What kubeadm finds under /etc/kubernetes/pki: three authorities, and the key that signs service accounts."""

    ca: Authority
    etcd_ca: Authority
    front_proxy_ca: Authority
    service_account: tls.PrivateKey

    def foundation(self) -> Foundation:
        """All of it; each certificate stands for its key too."""
        authorities = (self.ca, self.etcd_ca, self.front_proxy_ca)
        signer = Signer(self.ca.certificate.cert_pem, self.ca.key.private_key_pem)
        return Foundation(signer, (*(authority.certificate for authority in authorities), self.service_account))


def register_pki(parent: pulumi.Resource) -> Pki:
    """Register the authorities. The logical names are a contract with lifecycle/ (see above): never rename them."""
    return Pki(
        ca=_authority("ca", "kubernetes", parent),
        etcd_ca=_authority("etcd-ca", "etcd-ca", parent),
        front_proxy_ca=_authority("front-proxy-ca", "front-proxy-ca", parent),
        service_account=_key("service-account-key", parent),
    )


def _key(name: str, parent: pulumi.Resource) -> tls.PrivateKey:
    return tls.PrivateKey(name, algorithm="ECDSA", ecdsa_curve="P256", opts=for_life(parent))


def for_life(parent: pulumi.Resource) -> pulumi.ResourceOptions:
    """Made once: every input of these resources replaces them when it changes, and with them the identity of
    a cluster that serves. So neither an edit here nor a provider that names or defaults something anew may.
    Deleted they are all the same, with the stack. To rotate one is a procedure of its own."""
    return pulumi.ResourceOptions(parent=parent, ignore_changes=["*"])


def _authority(name: str, common_name: str, parent: pulumi.Resource) -> Authority:
    key = _key(f"{name}-key", parent)
    certificate = tls.SelfSignedCert(
        name,
        private_key_pem=key.private_key_pem,
        is_ca_certificate=True,
        set_subject_key_id=True,
        subject=tls.SelfSignedCertSubjectArgs(common_name=common_name),
        allowed_uses=["digital_signature", "key_encipherment", "cert_signing"],
        validity_period_hours=CA_VALID_HOURS,
        early_renewal_hours=0,
        opts=for_life(parent),
    )
    return Authority(key, certificate)
