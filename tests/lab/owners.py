"""A lab in which each owner goes in as itself, with the role that lifecycle/rbac.py makes for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from lab import audit
from lifecycle import rbac
from lifecycle.adapters.access import ApiAccess, apply, where
from lifecycle.adapters.clock import WatchingClock
from lifecycle.adapters.engine_process import EngineProcess
from lifecycle.adapters.kube_api import ADMINISTRATOR, KubeApi, from_authority
from lifecycle.adapters.kubernetes import ApiKubernetes
from lifecycle.adapters.roll import LeaseRolls
from lifecycle.adapters.roster import ConfigMapRoster
from lifecycle.adapters.view import View
from lifecycle.permissions import STEPS, Owner, Permission, permissions
from lifecycle.ports import Ports
from tests.lab.clients import authority
from tests.lab.eventually import eventually
from tests.lab.leaving import Cluster
from tests.lifecycle import fakes

STORAGE_NAMESPACE = "simplyblock"
ALL = {owner: permissions(owner, STORAGE_NAMESPACE) for owner in Owner}
ROLL = tuple(p for owner in STEPS for p in ALL[owner])
"""All that a roll asks of the cluster."""


@dataclass
class Owned(Cluster):
    """`ports` are the administrator's, who prepares the tests; steps run as their owners do.

    ours: whether the steps hold the cluster's authority; not so with INGOT_KUBECONFIG.
    """

    ours: bool = True

    def api(self, owner: Owner | None) -> KubeApi:
        """A connection with a certificate that was minted for the owner, or for the administrator."""
        identity = (owner.user, owner.group) if owner else ADMINISTRATOR
        clock, layout, signer = self.fleet.clock, self.lab.layout, authority(self.lab, "ca")
        return KubeApi(lambda: from_authority(layout.endpoint, signer, clock.now_s(), identity), clock)

    def step_ports(self, run: str = "one") -> Ports:
        """Those of a step, as lifecycle.adapters.build wires them."""
        clock, api = self.fleet.clock, self.api(Owner.HOST_LIFECYCLE)
        view = View(api, clock, frozenset({STORAGE_NAMESPACE}))
        self.views.append(view)
        apis = {Owner.HOST_LIFECYCLE: api, Owner.STORAGE_POLICY: self.api(Owner.STORAGE_POLICY)}
        return replace(
            fakes.ports(self.world),
            clock=WatchingClock(view),
            kubernetes=ApiKubernetes(api, clock, frozenset({STORAGE_NAMESPACE}), view),
            roster=ConfigMapRoster(api, view),
            rolls=LeaseRolls(api, EngineProcess({"INGOT_RUN": run})),
            access=ApiAccess(apis, (lambda: self.api(None)) if self.ours else None, STORAGE_NAMESPACE),
        )

    # ------------------------------------------------------------ roles

    def grant(self, but: Permission | None = None) -> None:
        """The roles of the table, or without one permission of it; returns once the API server goes by them."""

        def edited(p: Permission) -> Permission:
            return replace(p, verb="none") if p == but else p  # its role stays, without this verb

        granted = {owner: tuple(map(edited, of_it)) for owner, of_it in ALL.items()}
        apply(self.api(None), rbac.manifests_of(granted))
        access = self.step_ports().access
        expected = () if but is None else (but,)
        eventually(lambda: tuple(f.permission for f in access.forbidden()) == expected, f"{but} alone to be missing")

    def forget_roles(self) -> None:
        """As a cluster is before its first join ended; returns once the API server refuses all that they allowed."""
        made = [item for item in rbac.manifests(STORAGE_NAMESPACE) if item["apiVersion"].startswith(rbac.RBAC)]
        for item in made:
            self.api(None).ask("roles, forget", "DELETE", where(item), final=frozenset({404}))
        access = self.step_ports().access
        eventually(lambda: len(access.forbidden()) == len(ROLL), "all to be refused")

    # ------------------------------------------------------------ what was asked for

    def asked(self, owner: Owner, since: int = 0) -> Iterator[dict[str, Any]]:
        """What the owner asked the API server for, as its audit log has it after the first `since` lines."""
        for line in audit.lines(self.lab.layout)[since:]:
            event = json.loads(line)
            if event["user"]["username"] == owner.user:
                yield event

    # ------------------------------------------------------------ what a leave would touch

    def touched(self) -> tuple[object, ...]:
        """All that a leave changes, as it is now."""
        at = self.ports()
        nodes = [(n.name, n.unschedulable, n.out_of_service) for n in at.kubernetes.nodes()]
        pods = [(p.key, p.uid, p.terminating) for n, _, _ in nodes for p in at.kubernetes.pods_on(n)]
        world = self.world
        return sorted(nodes), sorted(pods), at.roster.read(), at.rolls.read(), dict(world.claims), list(world.changes)
