"""What machines may do: a role and an instance profile for control planes, and for workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi_aws import iam

from components.aws import policies
from components.aws.scope import Scope
from lifecycle import ec2
from lifecycle.facts import Role


@dataclass(frozen=True)
class Access:
    """profiles: names, by role. ready: what must be there before a machine boots."""

    profiles: Mapping[Role, pulumi.Input[str]]
    ready: Sequence[pulumi.Resource]


def register_access(scope: Scope, bucket: str) -> Access:
    """bucket: its name."""
    profiles: dict[Role, pulumi.Input[str]] = {}
    ready: list[pulumi.Resource] = []
    for role in Role:
        name = ec2.role_name(scope.cluster, role)
        made = iam.Role(
            f"{role.value}-role",
            name=name,
            description=f"Machines of cluster {scope.cluster}: {role.value}",
            assume_role_policy=policies.trust(),
            tags=scope.tags(name),
            opts=scope.options(),
        )
        policy = iam.RolePolicy(
            f"{role.value}-policy",
            name="boot-and-report",
            role=made.name,
            policy=policies.machine(scope.region, bucket, role.value),
            opts=scope.options(),
        )
        profile = iam.InstanceProfile(
            f"{role.value}-profile", name=name, role=made.name, tags=scope.tags(name), opts=scope.options()
        )
        profiles[role] = profile.name
        ready.append(policy)
    return Access(profiles, ready)
