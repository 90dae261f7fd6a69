"""The pod network: flannel, from its own chart, pinned. Owns no policy and no node.

It comes after the API and before any worker is expected to be Ready, and dies with the cluster.
"""

from __future__ import annotations

from collections.abc import Sequence

from pulumi_kubernetes.helm.v3 import Release, RepositoryOptsArgs

from components.kubernetes.objects import InCluster
from components.rollout.steps import after

CHART = "flannel"
REPOSITORY = "https://flannel-io.github.io/flannel/"
VERSION = "v0.27.4"
"""Raised by a pull request of its own, never in the same `up` as an image."""


def register_cni(pod_cidr: str, in_cluster: InCluster, *, depends_on: Sequence[str]) -> Release:
    """Install it. Not awaited by Helm: a node's readiness shows that its network works, and names the node."""
    return Release(
        "cni",
        name="flannel",
        chart=CHART,
        version=VERSION,
        repository_opts=RepositoryOptsArgs(repo=REPOSITORY),
        namespace="kube-flannel",
        create_namespace=True,
        skip_await=True,
        values={"podCidr": pod_cidr},
        opts=in_cluster.options(after(depends_on)),
    )
