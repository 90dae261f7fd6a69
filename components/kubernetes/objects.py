"""Where objects of the cluster's API hang: under whom, through which provider, and with what they die."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi


@dataclass(frozen=True)
class InCluster:
    """dies_with: deleted together with the cluster, whose objects then need no call of their own.

    A destroy would otherwise pull network and storage driver from under nodes that still have to leave,
    and could not finish at all once the API is gone.
    """

    parent: pulumi.Resource
    provider: pulumi.ProviderResource
    dies_with: pulumi.Resource

    def options(self, depends_on: Sequence[pulumi.Input[pulumi.Resource]]) -> pulumi.ResourceOptions:
        """Options of one such object."""
        return pulumi.ResourceOptions(
            parent=self.parent, provider=self.provider, deleted_with=self.dies_with, depends_on=depends_on
        )
