"""The one component that most users meet: a stack's whole fleet, wired together stage by stage.

It decides what is registered, under which names and after what; nothing here runs while a step executes.
How a node joins and leaves is lifecycle/'s; which order nodes take is components/rollout's.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pulumi
import pulumi_kubernetes
from pydantic import BaseModel

from components.boot import kubeadm
from components.boot.talos import PoolPatch
from components.environment import Environment
from components.infrastructure import NONE, register_infrastructure
from components.kubernetes.cni import VERSION as CNI_VERSION
from components.kubernetes.cni import register_cni
from components.kubernetes.kubeconfig import register_administrator
from components.kubernetes.objects import InCluster
from components.kubernetes.pki import Foundation, register_pki
from components.rollout.known import known
from components.rollout.lanes import Lanes
from components.rollout.nodes import NodePool, Nodes
from components.rollout.planner import Plan, PoolOrder, Standing, plan
from components.rollout.steps import Runs, after, settled, step_resource
from components.storage.policy import StorageClass, storage_classes
from components.storage.simplyblock import SimplyblockDriver, register_simplyblock
from lifecycle.commands import Step, Verb
from lifecycle.succession import node_name


class FleetArgs(BaseModel, extra="forbid", frozen=True):
    """environment: validated. generations: of each host, the digest of what it boots. patches: of each pool that
    runs Talos, what its configurations are made of. particulars: of each host, what its pin says to the steps of its
    kind of machine."""

    environment: Environment
    generations: dict[str, str]
    patches: dict[str, PoolPatch] = {}
    particulars: dict[str, Any] = {}


class Fleet(pulumi.ComponentResource):
    """PKI, nodes in the plan's order, network, storage, and the barrier behind which all of it serves.

    kubeconfig: the administrator's, secret. standing: of each node, known once all of them serve.
    storage_classes: the name of each policy's class. infrastructure: what a person may want to know of what it
    stands on, such as the load balancer's address.
    Raises components.storage.policy.PolicyRefused before anything is registered.
    """

    def __init__(self, name: str, args: FleetArgs, *, opts: pulumi.ResourceOptions | None = None) -> None:
        environment = args.environment
        self._driver = SimplyblockDriver(environment.storage.driver)
        storage_nodes = sum(environment.stores(pool) for pool, _, _ in environment.hosts())
        self._classes = storage_classes(environment.storage, self._driver, storage_nodes)
        self.storage_classes = {c.policy: c.name for c in self._classes}
        super().__init__("ingot:index:Fleet", name, {}, opts)
        self._args, self._stack = args, pulumi.get_stack()
        self._around = NONE
        cluster, server = environment.cluster.name, server_url(environment)
        self._foundation = self._found(cluster, server)
        self._administrator = register_administrator(cluster, server, self._foundation.signer, self)
        self.kubeconfig = self._administrator.kubeconfig
        self._retirement = step_resource(
            "retirement",
            Runs(Step(Verb.RETIRE, self._stack)),
            triggers=retired(environment),
            parent=self,
        )
        served: pulumi.Output[str] = pulumi.Output.from_input(self._register())
        self.infrastructure: pulumi.Output[dict[str, Any]] = served.apply(
            lambda _: pulumi.Output.from_input(dict(self._around.outputs))
        )
        nodes = [o.nodes.get(h, h) for o in pool_orders(environment, args.generations) for h in o.hosts]
        self.standing = served.apply(lambda _: dict.fromkeys(nodes, Standing.IN.value))
        self.register_outputs({"kubeconfig": self.kubeconfig, "standing": self.standing})

    def _found(self, cluster: str, server: str) -> Foundation:
        """Register the cluster's secrets: kubeadm's, or Talos' with the configurations that hold them."""
        if not self._args.patches:
            return register_pki(self).foundation()
        from components.kubernetes.talos import register_talos  # its SDK is for fleets of Talos alone

        return register_talos(cluster, server, self._args.patches, self)

    async def _register(self) -> str:
        """Register nodes, network and storage, each in its turn; return the digest of the fleet that serves."""
        environment = self._args.environment
        pools = {name: NodePool(name, opts=pulumi.ResourceOptions(parent=self)) for name in environment.pools}
        self._around = await register_infrastructure(environment, self._stack, self._args.particulars, self)
        orders = pool_orders(environment, self._args.generations)
        hosts = {o.nodes.get(h, h): h for o in orders for h in o.hosts}
        generations = {node: self._args.generations[host] for node, host in hosts.items()}
        nodes = Nodes(self._stack, pools, generations, self._around.of(hosts))
        standing = await known(self._stack, self)
        # What is retired is marked before anything may leave because of it.
        await settled("retirement", self._retirement)
        secrets = [*self._foundation.resources, self._administrator.certificate]
        foundation = [await settled("PKI", resource) for resource in secrets]
        order = plan(orders, standing)
        for line in machines_more(orders, order):
            pulumi.log.info(line)
        lanes = Lanes(order, nodes, self._network, control_planes(environment), foundation)
        await lanes.run()
        return await self._storage_and_barrier()

    async def _network(self, api: str) -> str:
        """Connect to the API, now that a control plane serves it, and install the pod network.

        The provider looks for the API once, when it is made: made any earlier it would find none.
        """
        cluster = self._args.environment.cluster
        provider = pulumi_kubernetes.Provider(
            "kubernetes",
            kubeconfig=self.kubeconfig,
            # Who the cluster is; without it, a changed kubeconfig would replace everything in it.
            cluster_identifier=cluster.name,
            # A preview where the cluster cannot be reached shows the rest; an `up` meets the gates anyway.
            skip_update_unreachable=True,
            opts=pulumi.ResourceOptions(parent=self, depends_on=after([api])),
        )
        self._in_cluster = InCluster(parent=self, provider=provider, dies_with=self._foundation.resources[0])
        cni = register_cni(cluster.pod_cidr, self._in_cluster, depends_on=[api])
        return await settled("cni", cni)

    async def _storage_and_barrier(self) -> str:
        """Install storage on nodes that serve, then ask every gate once for the whole fleet."""
        storage = register_simplyblock(
            self._driver,
            self._args.environment.storage.policies,
            self._classes,
            self._in_cluster,
        )
        urns = [await settled("storage", resource) for resource in storage]
        digest = fleet_digest(self._args, self._classes)
        barrier = step_resource(
            "fleet-ready",
            Runs(Step(Verb.GATE, self._stack, generation=digest)),
            triggers=[digest],
            parent=self,
            depends_on=urns,
        )
        await settled("fleet-ready", barrier)
        return digest


def server_url(environment: Environment) -> str:
    """Where the API answers, whichever machine serves it."""
    return f"https://{kubeadm.endpoint(environment.cluster)}"


def retired(environment: Environment) -> list[str]:
    """What the stack file gives up, in file order: `cluster`, `pool <name>`, `host <name>`."""
    names = ["cluster"] if environment.cluster.retire else []
    names += [f"pool {name}" for name, pool in environment.pools.items() if pool.retire]
    names += [f"host {name}" for _, name, host in environment.hosts() if host.retire]
    going = [(pool, name) for pool, name, _ in environment.hosts() if environment.retires(pool, name)]
    return names + [f"OS disk of {name}" for pool, name in going if environment.wipes(pool, name)]


def control_planes(environment: Environment) -> frozenset[str]:
    """The hosts that serve the API."""
    return frozenset(name for pool, name, _ in environment.hosts() if environment.pools[pool].role == "control-plane")


def machines_more(orders: Sequence[PoolOrder], order: Plan) -> Iterator[str]:
    """Of each pool whose nodes are made before others leave, how many machines more that takes at once: a line each."""
    for pool in orders:
        turns = sum(n.pool == pool.name and bool(n.succeeds) for n in order.nodes)
        if turns:
            most = min(pool.max_unavailable, turns)
            yield (
                f"pool {pool.name}: {turns} of {len(pool.hosts)} nodes are replaced blue-green, which takes "
                f"{most} {'machine' if most == 1 else 'machines'} more than it has hosts at a time"
            )


def pool_orders(environment: Environment, generations: Mapping[str, str]) -> list[PoolOrder]:
    """What the planner must know of the pools, in file order. generations: of each host."""
    return [
        PoolOrder(
            name=name,
            control_plane=pool.role == "control-plane",
            hosts=tuple(pool.machines.hosts),
            max_unavailable=pool.rollout.max_unavailable,
            canary=pool.rollout.canary,
            nodes={h: node_name(h, generations[h]) for h in pool.machines.hosts} if pool.rollout.names_nodes else {},
        )
        for name, pool in environment.pools.items()
    ]


def fleet_digest(args: FleetArgs, classes: tuple[StorageClass, ...]) -> str:
    """16 hex digits over what the barrier answers for: every node's generation, network and storage."""
    storage = args.environment.storage.driver.model_dump()
    content: Mapping[str, object] = {
        "generations": args.generations,
        "cni": CNI_VERSION,
        "storage": storage,
        "classes": sorted(c.name for c in classes),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
