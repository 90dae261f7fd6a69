"""The cluster's side of the rack's ports: the Kubernetes API, etcd, and the roster kept in it.

They answer for as long as etcd has its majority.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from functools import lru_cache

from lifecycle import labels
from lifecycle.errors import PortError
from lifecycle.permissions import Forbidden
from lifecycle.ports import Attachment, Budget, Eviction, Member, Move, Node, OnTimeout, Pod, Role, Roll, Run
from rehearsal.rack import quorum, volumes, workloads
from rehearsal.rack.part import Part
from rehearsal.rack.rack import HOST, Rack
from rehearsal.rack.world import KubeNode

Held = Mapping[str, AbstractSet[str]]


def _node(rack: Rack, kube: KubeNode, in_use: Held, attached: Held) -> Node:
    claim = rack.world.claims.get(kube.name)
    seen = _made(
        kube.name,
        kube.ready,
        kube.unschedulable,
        kube.os_image,
        kube.kernel,
        kube.kubelet,
        kube.machine_id,
        kube.boot_id,
        frozenset(in_use.get(kube.name, ())),
        frozenset(attached.get(kube.name, ())),
        kube.out_of_service,
        kube.ready_changed_s,
        rack.world.hosts[kube.name].fault_domain,
        # Words of an enumeration hash slowly, and a thousand nodes are asked for at each leave.
        claim is not None and claim.role is Role.CONTROL_PLANE,
        claim is not None and claim.stores,
    )
    if kube.labels is None and kube.taints is None:
        return seen
    return replace(
        seen,
        labels=seen.labels if kube.labels is None else dict(kube.labels),
        taints=seen.taints if kube.taints is None else frozenset(kube.taints),
    )


@lru_cache(maxsize=8192)
def _made(
    name: str,
    ready: bool,
    unschedulable: bool,
    os_image: str,
    kernel: str,
    kubelet: str,
    machine_id: str,
    boot_id: str,
    in_use: frozenset[str],
    attached: frozenset[str],
    out_of_service: bool,
    ready_changed_s: float,
    fault_domain: str,
    control_plane: bool,
    stores: bool,
) -> Node:
    """A Node that reads as before is the same object: a thousand of them are asked for at each leave."""
    role = Role.CONTROL_PLANE if control_plane else Role.WORKER
    return Node(
        name=name,
        ready=ready,
        unschedulable=unschedulable,
        os_image=os_image,
        kernel=kernel,
        kubelet=kubelet,
        machine_id=machine_id,
        boot_id=boot_id,
        volumes_in_use=in_use,
        volumes_attached=attached,
        out_of_service=out_of_service,
        labels=labels.labels(role, fault_domain, stores=stores),
        taints=labels.taints(role),
        ready_changed_s=ready_changed_s,
    )


class RackKubernetes(Part):
    """The API server, for as long as etcd has its majority."""

    name = "kubernetes"

    def answers(self) -> bool:
        with self._rack.clock.lock:
            return quorum.api_answers(self._rack)

    @contextmanager
    def _api(self, method: str, node: str = "", *, changes: bool = False) -> Iterator[None]:
        with self._call(method, node, changes=changes):
            if not quorum.api_answers(self._rack):
                raise PortError(
                    "Kubernetes API", "no answer", "bring a majority of control planes back, then run again"
                )
            yield

    def node(self, name: str) -> Node | None:
        with self._api("node", name):
            kube = self._rack.world.nodes.get(name)
            return _node(self._rack, kube, *self._held()) if kube is not None else None

    def nodes(self) -> tuple[Node, ...]:
        with self._api("nodes"):
            in_use, attached = self._held()
            return tuple(_node(self._rack, kube, in_use, attached) for kube in self._rack.world.nodes.values())

    def _held(self) -> tuple[Held, Held]:
        """Of each node, the volumes that it has mounted and those attached to it."""
        in_use: dict[str, set[str]] = {}
        attached: dict[str, set[str]] = {}
        for volume in self._rack.world.volumes.values():
            in_use.setdefault(volume.in_use, set()).add(volume.name)
            attached.setdefault(volume.attached_to, set()).add(volume.name)
        return in_use, attached

    def set_unschedulable(self, name: str, value: bool) -> None:
        with self._api("set_unschedulable", name, changes=True):
            node = self._rack.world.nodes.get(name)
            if node is None:
                raise PortError(f"Node {name}", "404", "see whether someone deleted it")
            node.unschedulable = value
            self._rack.note_standing(name)
            if not value:
                workloads.place_pending(self._rack)
            self._rack.changed(f"node/{name}")

    def set_out_of_service(self, name: str, value: bool) -> None:
        with self._api("set_out_of_service", name, changes=True):
            node = self._rack.world.nodes.get(name)
            if node is None or node.out_of_service == value:
                return
            node.out_of_service = value
            if value:
                workloads.give_up(self._rack, name)
            self._rack.changed(f"node/{name}", f"pods/{name}", "claimants")

    def delete_node(self, name: str) -> None:
        with self._api("delete_node", name, changes=True):
            self._rack.world.nodes.pop(name, None)
            self._rack.note_standing(name)
            self._rack.changed(f"node/{name}")

    def pods_on(self, node: str) -> tuple[Pod, ...]:
        with self._api("pods_on", node):
            found = [self._pod(p.name) for p in self._rack.world.pods.values() if p.node == node]
            if node in self._rack.world.nodes:
                found.append(Pod("kube-system", f"cni-{node}", node, owner="DaemonSet"))
                if self._rack.role(node) is Role.CONTROL_PLANE:
                    found.append(Pod("kube-system", f"kube-apiserver-{node}", node, owner="Node", mirror=True))
                if node in volumes.storage_nodes(self._rack):
                    found.append(
                        Pod("simplyblock", f"storage-node-{node}", node, owner="DaemonSet", storage_daemon=True)
                    )
            return tuple(found)

    def _pod(self, name: str) -> Pod:
        pod = self._rack.world.pods[name]
        volume = self._rack.world.volumes.get(pod.volume)
        return Pod(
            "default",
            pod.name,
            pod.node,
            self._rack.world.apps[pod.app].owner,
            terminating=pod.phase == "terminating",
            ready=pod.phase == "ready",
            claims=(volume.claim,) if volume is not None else (),
        )

    def budgets(self, node: str = "") -> tuple[Budget, ...]:
        with self._api("budgets"):
            found = []
            for app in self._rack.world.apps.values():
                least = workloads.healthy_min(self._rack, app)
                if least is not None:
                    healthy = workloads.healthy_pods(self._rack, app.name)
                    allowed = max(0, healthy - least)
                    of_app = (p for p in self._rack.world.pods.values() if p.app == app.name)
                    pods = frozenset(f"default/{p.name}" for p in of_app if node in ("", p.node))
                    found.append(Budget("default", app.name, allowed, app.replicas, least, pods, healthy))
            return tuple(b for b in found if b.pods or not node)

    def budgets_named(self, names: frozenset[str]) -> tuple[Budget, ...]:
        return tuple(replace(b, pods=frozenset()) for b in self.budgets() if b.key in names)

    def evict(self, pods: Sequence[Pod]) -> Mapping[str, Eviction | PortError]:
        return {pod.key: self._evict(pod) for pod in pods}

    def _evict(self, pod: Pod) -> Eviction:
        with self._api("evict", pod.node, changes=True):
            return workloads.evict(self._rack, pod.name)

    def delete_pod(self, pod: Pod) -> None:
        with self._api("delete_pod", pod.node, changes=True):
            pin = self._rack.pins.get(pod.node)
            known = self._rack.world.pods.get(pod.name)
            if known is not None and pin is not None and pin.drain_timeout is OnTimeout.FORCE and not pin.stores:
                known.forced = True
            workloads.end(self._rack, pod.name)

    def attachments_on(self, node: str) -> tuple[Attachment, ...]:
        with self._api("attachments_on", node):
            held = self._rack.world.volumes.values()
            return tuple(
                Attachment(f"va-{v.name}", v.name, f"default/{v.claim}", node, True)
                for v in held
                if v.attached_to == node
            )

    def unready_claimants(self) -> tuple[Pod, ...]:
        with self._api("unready_claimants"):
            return tuple(self._pod(p.name) for p in self._rack.world.pods.values() if p.volume and p.phase != "ready")

    def moves(self, node: str) -> tuple[Move, ...]:
        with self._api("moves", node):
            return volumes.moves(self._rack, node)

    def mint_token(self, ttl_s: float) -> str:
        with self._api("mint_token", self._lane):
            return "rackon.lyrackonlyracko"


class RackAccess(Part):
    """A rack's steps may do all that they ask for."""

    name = "access"

    def forbidden(self) -> tuple[Forbidden, ...]:
        return ()

    def grant(self) -> bool:
        return False


class RackEtcd(Part):
    """etcd's members, for as long as they have their majority."""

    name = "etcd"

    def members(self) -> tuple[Member, ...]:
        with self._call("members"):
            if self._rack.world.members and not quorum.api_answers(self._rack):
                raise PortError("etcd", "no leader", "bring a majority of its members back, then run again")
            known = self._rack.world.members.values()
            return tuple(Member(m.id, m.node, m.voter, quorum.healthy(self._rack, m), m.leader, m.lag) for m in known)

    def move_leader(self, to: Member) -> None:
        with self._call("move_leader", to.name, changes=True):
            for m in self._rack.world.members.values():
                m.leader = m.id == to.id
            self._rack.changed("etcd")

    def remove(self, member: Member) -> None:
        with self._call("remove", member.name, changes=True):
            self._rack.world.members.pop(member.id, None)
            host = self._rack.world.hosts[member.name]
            host.joined = host.joined and host.power == "on"
            quorum.elect(self._rack)
            self._rack.changed("etcd")


class RackRosterStore(Part):
    """The roster's ConfigMap."""

    name = "roster"

    def read(self) -> tuple[str, str]:
        with self._call("read"):
            world = self._rack.world
            self._need_api()
            self._rack.read_letters()
            return (world.roster, str(world.roster_version)) if world.roster_version else ("", "")

    def write(self, document: str, version: str) -> bool:
        with self._call("write", changes=True):
            world = self._rack.world
            self._need_api()
            if version != (str(world.roster_version) if world.roster_version else ""):
                return False
            world.roster, world.roster_version = document, world.roster_version + 1
            self._rack.changed("roster")
            return True

    def turn(self) -> AbstractContextManager[None]:
        """Between two calls no other lane runs."""
        return nullcontext()

    def _need_api(self) -> None:
        if not quorum.api_answers(self._rack):
            raise PortError("Kubernetes API", "no answer", "bring a majority of control planes back, then run again")


class RackRolls(Part):
    """The roll's Lease. A rack has one engine at a time, and a run that is at work renews it without a pause, so
    that no time passes for it; a run that ended is known to have."""

    name = "rolls"

    def run(self) -> Run:
        return self._rack.run

    def engine_lives(self) -> bool:
        return True  # a step whose engine went away ends where it waits (StepCancelled)

    def lives(self, run: Run) -> bool | None:
        return None if run.host != HOST else run.id == self._rack.run.id

    def read(self) -> tuple[Roll | None, str]:
        with self._call("read"):
            self._need_api()
            world, other = self._rack.world, self._rack.faults.named("other-roll")
            if other:
                return Roll(Run(other, "elsewhere"), 7, 0, self._rack.now_s), "other"
            return world.roll, str(world.roll_version) if world.roll is not None else ""

    def write(self, roll: Roll, version: str) -> bool:
        with self._call("write", changes=True):
            self._need_api()
            world = self._rack.world
            if version != (str(world.roll_version) if world.roll is not None else ""):
                return False
            world.roll, world.roll_version = roll, world.roll_version + 1
            return True

    def keep(self, renew: Callable[[], None], every_s: float) -> AbstractContextManager[None]:
        return nullcontext()

    def _need_api(self) -> None:
        if not quorum.api_answers(self._rack):
            raise PortError("Kubernetes API", "no answer", "bring a majority of control planes back, then run again")
