"""A Talos cluster's secrets, and the machine configuration of each of its pools: secret in the state.

The secrets are made once and never renewed here, as components/kubernetes/pki.py's are. A configuration is a
function of them and of the pool's patch, made anew by each `up`; it is no node's yet. lifecycle/ reads both
from the state by the names below when a node joins and leaves; they are never in a stored command, boot
configuration or log, and the digest that replaces machines covers none of them.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Final

import pulumi
from pulumiverse_talos import machine
from pulumiverse_talos.machine import outputs

from components.boot.talos import CONTROL_PLANE, PoolPatch
from components.kubernetes.pki import Foundation, Signer, for_life

SECRETS: Final = "talos-secrets"
"""The logical name of the secrets: a contract with lifecycle/adapters/secrets.py. Never rename it."""
CONFIGURATION: Final = "talos-configuration"
"""Ends the logical name of a pool's configuration, after the pool's own: likewise."""


def register_talos(cluster: str, server: str, patches: Mapping[str, PoolPatch], parent: pulumi.Resource) -> Foundation:
    """Register the secrets, and the configuration of each pool. server: `https://` and the stable endpoint.

    patches: by pool; one is of the control planes.
    """
    contract = next(patch.contract for patch in patches.values() if patch.machine_type == CONTROL_PLANE)
    made = machine.Secrets(
        SECRETS,
        talos_version=contract,
        # The provider says so too; that the state holds these encrypted must not depend on it.
        opts=pulumi.ResourceOptions.merge(
            for_life(parent),
            pulumi.ResourceOptions(additional_secret_outputs=["machineSecrets", "clientConfiguration"]),
        ),
    )
    configurations = [_configuration(pool, cluster, server, patch, made, parent) for pool, patch in patches.items()]
    ca = made.machine_secrets.apply(lambda secrets: secrets.certs.k8s)
    signer = Signer(ca.apply(lambda pair: _pem(pair.cert)), pulumi.Output.secret(ca.apply(lambda pair: _pem(pair.key))))
    return Foundation(signer, (made, *configurations))


def patch_digest(patch: str) -> str:
    """Of the patch that a configuration was made with: a step compares it with its own stack file's."""
    return hashlib.sha256(patch.encode()).hexdigest()


def _configuration(
    pool: str, cluster: str, server: str, patch: PoolPatch, secrets: machine.Secrets, parent: pulumi.Resource
) -> pulumi.Stash:
    """Kept by a resource of the engine's own, which changes in place: the step that needs it finds it in the
    state as soon as it is registered, long before the stack's outputs are."""
    found = machine.get_configuration_output(
        cluster_name=cluster,
        cluster_endpoint=server,
        machine_type=patch.machine_type,
        machine_secrets=secrets.machine_secrets.apply(_as_input),
        config_patches=[patch.patch],
        kubernetes_version=patch.kubernetes,
        talos_version=patch.contract,
        docs=False,
        examples=False,
        opts=pulumi.InvokeOutputOptions(parent=parent),
    )
    kept = {"patch": patch_digest(patch.patch), "configuration": found.apply(lambda made: made.machine_configuration)}
    return pulumi.Stash(
        f"{pool}.{CONFIGURATION}", input=pulumi.Output.secret(kept), opts=pulumi.ResourceOptions(parent=parent)
    )


def _as_input(made: outputs.MachineSecretsResult) -> machine.MachineSecretsArgs:
    """What the provider gave, as it takes it: handed back as it is, its names would reach the provider in Python's
    spelling (pulumiverse-talos 0.8.1)."""
    certs, secrets = made.certs, made.secrets

    def pair(of: outputs.CertificateResult) -> machine.CertificateArgs:
        return machine.CertificateArgs(cert=of.cert, key=of.key)

    return machine.MachineSecretsArgs(
        certs=machine.CertificatesArgs(
            etcd=pair(certs.etcd),
            k8s=pair(certs.k8s),
            k8s_aggregator=pair(certs.k8s_aggregator),
            k8s_serviceaccount=machine.KeyArgs(key=certs.k8s_serviceaccount.key),
            os=pair(certs.os),
        ),
        cluster=machine.ClusterArgs(id=made.cluster.id, secret=made.cluster.secret),
        secrets=machine.KubernetesSecretsArgs(
            bootstrap_token=secrets.bootstrap_token,
            secretbox_encryption_secret=secrets.secretbox_encryption_secret,
            aescbc_encryption_secret=secrets.aescbc_encryption_secret,
        ),
        trustdinfo=machine.TrustdInfoArgs(token=made.trustdinfo.token),
    )


def _pem(encoded: str) -> str:
    return base64.b64decode(encoded).decode()
