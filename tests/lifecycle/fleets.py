"""Fleets for tests: one that serves, and one that is yet to be brought up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from lifecycle.commands import Step, Verb
from lifecycle.ports import Claim, ClaimState, Controller, Member, Node, Pin, Pod, Ports, Power, Progress, Role
from lifecycle.roster import Entry, Roster, Standing
from lifecycle.run import execute
from tests.lifecycle.fakes import ports
from tests.lifecycle.world import KUBELET, Host, Volume, World

CONTROL_PLANES = ("c1", "c2", "c3")
WORKERS = ("w1", "w2", "w3", "w4")
DOMAINS = {"c1": "a", "c2": "b", "c3": "c", "w1": "a", "w2": "b", "w3": "c", "w4": "a"}


def pin(node: str, generation: str = "g1", **changes: object) -> Pin:
    """What the stack file says of a node of these fleets."""
    control = node.startswith("c")
    fields: dict[str, object] = {
        "node": node,
        "pool": "control" if control else "hci",
        "role": Role.CONTROL_PLANE if control else Role.WORKER,
        "generation": generation,
        "os_image": f"OS {generation}",
        "kubelet": KUBELET,
        "boot_url": "http://boot.example/",
        "controller": Controller(f"https://bmc-{node}.example"),
        "mac": f"02:00:00:00:{ord(node[0]):02x}:{int(node[1:]) if node[1:].isdigit() else 0:02x}",
        "os_disk": "/dev/disk/by-id/os",
        "data_disks": (),
        "fault_domain": DOMAINS.get(node, ""),
        "max_unavailable": 1,
        "stores": not control,
    }
    return Pin(**{**fields, **changes})  # type: ignore[arg-type]  # a bag of fields, checked by what uses them


def claim(node: str, state: ClaimState, generation: str = "g1", machine_id: str = "", **changes: object) -> Claim:
    """The claim of a node of these fleets."""
    p = pin(node)
    fields = (p.controller, p.pool, p.role, p.stores)
    changes = {"machine_id": machine_id, "mac": p.mac, **changes}
    return Claim("metal", node, generation, state, *fields, **changes)  # type: ignore[arg-type]


def serving() -> World:
    """Three control planes and four workers that serve, with three databases of one replica set."""
    world = World(initialised="c1")
    for name in (*CONTROL_PLANES, *WORKERS):
        world.pins[name] = pin(name)
        world.hosts[name] = Host()
        world.claims[name] = claim(name, ClaimState.JOINED, machine_id=f"{name}-m1")
        world.nodes[name] = Node(name, True, False, "OS g1", "6.18", KUBELET, f"{name}-m1", f"{name}-b1")
    for name in CONTROL_PLANES:
        world.members[name] = Member(f"{name}-1", name, True, True, name == "c1")
    for i, (first, second) in enumerate((("w1", "w2"), ("w2", "w3"), ("w3", "w4"))):
        world.volumes[f"pv-{i}"] = Volume(f"data-db-{i}", {first: True, second: True}, attached_to=first)
        world.pods[f"apps/db-{i}"] = Pod("apps", f"db-{i}", first, "StatefulSet", claims=(f"data-db-{i}",))
        world.pods[f"kube-system/cni-{first}"] = Pod("kube-system", f"cni-{first}", first, "DaemonSet")
    world.budgets["db"] = 2
    entries = {
        n: Entry(pool=p.pool, role=p.role, generation="g1", fault_domain=p.fault_domain, standing=Standing.IN)
        for n, p in world.pins.items()
    }
    world.document, world.version = Roster(serving=True, nodes=entries).model_dump_json(), 1
    return world


def fresh() -> World:
    """The same fleet before its first up: hosts that are off, no cluster, no claims."""
    world = World()
    for name in (*CONTROL_PLANES, *WORKERS):
        world.pins[name] = pin(name)
        world.hosts[name] = Host(Power.OFF, Progress.NONE, False, "", 0)
    return world


def step(world: World, verb: Verb, node: str = "", generation: str = "g1") -> str:
    """Run a stored command in a process of its own."""
    fleet = node == ""
    return execute(Step(verb, world.stack, node, "" if fleet else generation), ports(world))


def replace_machine(world: World, node: str, old: str, new: str) -> None:
    """What the engine runs to replace a node's machine."""
    world.pins[node] = pin(node, new)
    step(world, Verb.LEAVE, node, old)
    step(world, Verb.RELEASE, node, old)
    bring_in(world, node, new)


def bring_in(world: World, node: str, generation: str = "g1") -> None:
    """What the engine runs to make a node."""
    step(world, Verb.PROVISION, node, generation)
    step(world, Verb.ENROL, node, generation)
    step(world, Verb.JOIN, node, generation)


def roster(world: World) -> Roster:
    return Roster.model_validate_json(world.document)


def standings(world: World) -> Mapping[str, str]:
    """`in`, `out`, or `leaving` while a slot is held."""
    return {n: "leaving" if e.slot_since_s is not None else e.standing.value for n, e in roster(world).nodes.items()}


def replace_node(node: Node, **changes: object) -> Node:
    return replace(node, **changes)  # type: ignore[arg-type]  # the test names the fields


def with_roster(at: Ports, store: object) -> Ports:
    """The same ports with another roster."""
    return replace(at, roster=store)  # type: ignore[arg-type]  # a tap stands for what it taps


def execute_with(world: World, verb: Verb, node: str, generation: str = "g1", **others: object) -> str:
    """Run a stored command with other ports than the usual ones."""
    at = replace(ports(world), **others)  # type: ignore[arg-type]  # a tap stands for what it taps
    return execute(Step(verb, world.stack, node, generation), at)
