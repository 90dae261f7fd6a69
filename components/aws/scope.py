"""Whose all of it is: the names, tags and options that every resource on AWS shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws

from components.machines.aws import Aws
from lifecycle import ec2


@dataclass(frozen=True)
class Scope:
    """One fleet's place on AWS. asked: tags of the stack file. parent: of every resource."""

    stack: str
    cluster: str
    region: str
    asked: Mapping[str, str]
    parent: pulumi.Resource
    provider: pulumi.ProviderResource

    def tags(self, name: str, host: str = "", *, volume: str = "", role: str = "") -> dict[str, str]:
        """name: what a person reads in a list."""
        own = ec2.tags(self.stack, self.cluster, host, volume=volume, role=role)
        return {**self.asked, **own, "Name": name}

    def options(
        self,
        depends_on: Sequence[pulumi.Resource] = (),
        *,
        ignore_changes: Sequence[str] = (),
        retain_on_delete: bool = False,
    ) -> pulumi.ResourceOptions:
        """depends_on: what must be there although no input says so; on a destroy it goes later."""
        return pulumi.ResourceOptions(
            parent=self.parent,
            provider=self.provider,
            depends_on=list(depends_on),
            ignore_changes=list(ignore_changes),
            retain_on_delete=retain_on_delete,
        )


def scope(stack: str, cluster: str, aws: Aws, parent: pulumi.Resource) -> Scope:
    """The provider is the stack's own: the region is the stack file's, whatever the shell says."""
    provider = pulumi_aws.Provider("aws", region=aws.region, opts=pulumi.ResourceOptions(parent=parent))
    return Scope(stack, cluster, aws.region, aws.tags, parent, provider)
