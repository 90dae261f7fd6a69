"""simplyblock, converged: its operator's chart, and how it honours a storage policy.

The release carries no credentials: the operator makes the cluster's own in the cluster. Redundancy is a
property of the storage cluster (its stripe, fixed when it is made), not of a StorageClass: all
policies must therefore agree on `replicas`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi_kubernetes.core.v1 import Namespace
from pulumi_kubernetes.helm.v3 import Release, RepositoryOptsArgs
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs
from pulumi_kubernetes.storage.v1 import StorageClass as StorageClassResource

from components.environment import Simplyblock, StoragePolicy
from components.kubernetes.objects import InCluster
from components.storage.policy import StorageClass

REPOSITORY = "https://simplyblock.github.io/helm-charts/charts"
CHART = "simplyblock-operator"
NAMESPACE = "simplyblock"
UNLIMITED = "0"


@dataclass(frozen=True)
class Stripe:
    """How the storage cluster spreads a volume: data and parity chunks, and the nodes that this needs."""

    data: int
    parity: int
    nodes_min: int


STRIPES: Mapping[int, Stripe] = {2: Stripe(1, 1, 3), 3: Stripe(1, 2, 5)}
"""Copies of the data -> the stripe that keeps as many. One node above the copies must stay, to rebuild on."""


@dataclass(frozen=True)
class SimplyblockDriver:
    """Fulfils components.storage.policy.Driver."""

    args: Simplyblock
    provisioner: str = "csi.simplyblock.io"

    def parameters(self, policy: StoragePolicy) -> Mapping[str, str]:
        return {
            "cluster_id": self.args.cluster_id,
            "pool_name": self.args.pool_name,
            "qos_rw_iops": str(policy.iops or UNLIMITED),
            "compression": str(policy.compression),
            "encryption": str(policy.encryption),
            "csi.storage.k8s.io/fstype": policy.filesystem,
        }

    def refusals(self, policies: Mapping[str, StoragePolicy], nodes: int) -> list[str]:
        found = []
        asked = {name: policy.replicas for name, policy in policies.items()}
        for name, replicas in asked.items():
            stripe = STRIPES.get(replicas)
            if stripe is None:
                found.append(
                    f"storage.policies.{name}.replicas: simplyblock keeps {_either(STRIPES)} copies, found {replicas}; "
                    "write one of these"
                )
            elif nodes < stripe.nodes_min:
                found.append(
                    f"storage.policies.{name}.replicas: {replicas} copies need {stripe.nodes_min} storage nodes, "
                    f"found {nodes}; add hosts to the pools in storage.nodes, or keep fewer copies"
                )
        if len(set(asked.values())) > 1:
            found.append(
                f"storage.policies: simplyblock keeps one count of replicas for the whole cluster, found {asked}; "
                "write the same for all"
            )
        return found

    def stripe(self, policies: Mapping[str, StoragePolicy]) -> Stripe:
        """The one stripe of the cluster. Policies have passed `refusals`."""
        return STRIPES[next(iter(policies.values())).replicas]


def _either(values: Mapping[int, Stripe]) -> str:
    return " or ".join(str(v) for v in values)


def register_simplyblock(
    driver: SimplyblockDriver,
    policies: Mapping[str, StoragePolicy],
    classes: Sequence[StorageClass],
    in_cluster: InCluster,
) -> list[pulumi.CustomResource]:
    """Register namespace, operator and StorageClasses; return what nothing else here depends on."""
    stripe = driver.stripe(policies)
    namespace = Namespace(
        "storage",
        metadata=ObjectMetaArgs(
            name=NAMESPACE,
            # Storage nodes drive NVMe devices and hugepages from user space.
            labels={"pod-security.kubernetes.io/enforce": "privileged"},
            annotations={"ingot/stripe": f"{stripe.data}+{stripe.parity}"},
        ),
        opts=in_cluster.options([]),
    )
    operator = Release(
        "storage-operator",
        name=CHART,
        chart=CHART,
        version=driver.args.chart_version,
        repository_opts=RepositoryOptsArgs(repo=REPOSITORY),
        namespace=NAMESPACE,
        # Not awaited by Helm: the fleet-ready barrier asks the storage itself, and says what is missing.
        skip_await=True,
        values={"operator": {"enabled": True, "openShiftCluster": False}},
        opts=in_cluster.options([namespace]),
    )
    resources: list[pulumi.CustomResource] = [operator]
    for c in classes:
        resources.append(
            StorageClassResource(
                c.name,
                metadata=ObjectMetaArgs(name=c.name, annotations=dict(c.annotations)),
                provisioner=c.provisioner,
                parameters=dict(c.parameters),
                reclaim_policy=c.reclaim,
                volume_binding_mode=c.binding,
                allow_volume_expansion=c.expansion,
                opts=in_cluster.options([operator]),
            )
        )
    return resources
