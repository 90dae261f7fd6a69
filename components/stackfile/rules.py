"""What must hold between the values of an environment, each rule by itself.

A rule takes the sketch, yields a flaw for every place where it is broken, and says why it is a rule.
It stays silent where it cannot read what it needs: the shape's own flaws speak there. To add one,
write the function and list it in RULES.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator
from typing import Final
from urllib.parse import urlsplit

from components.stackfile.aws_rules import AWS_RULES
from components.stackfile.problem import Flaw, Path, counted, path_text
from components.stackfile.sketch import PoolSketch, Sketch

Rule = Callable[[Sketch], Iterator[Flaw]]

NODE_PREFIX: Final = {4: 24, 6: 64}  # the addresses that Kubernetes' controller manager gives to each node


def broken(sketch: Sketch) -> list[Flaw]:
    """Every flaw that the rules find."""
    return [flaw for rule in RULES for flaw in rule(sketch)]


def _once(what: str, uses: Iterable[tuple[str | None, Path]], fix: str) -> Iterator[Flaw]:
    """Nothing is used twice; each further use is a flaw that names the first."""
    first: dict[str, Path] = {}
    for value, path in uses:
        if value is None:
            continue
        if value in first:
            yield Flaw(path, f"{value}, which {path_text(first[value])} has already", what, fix)
        first.setdefault(value, path)


def _storage_pools(s: Sketch) -> list[PoolSketch]:
    names = {name for _, name in s.storage_nodes or ()}
    return [p for p in s.pools or () if p.name in names and p.role == "worker"]


def hosts_once(s: Sketch) -> Iterator[Flaw]:
    """A host in two pools would be two nodes on one machine."""
    uses = ((h.name, h.path) for h in s.hosts)
    yield from _once("a host in one pool only", uses, "keep the host in the pool it belongs to")


def macs_once(s: Sketch) -> Iterator[Flaw]:
    """Two hosts with one MAC address would fetch each other's boot configuration."""
    uses = ((h.mac, (*h.path, "mac")) for h in s.hosts)
    yield from _once("a MAC address of the host's own", uses, "write the address that this host's own port has")


def controllers_once(s: Sketch) -> Iterator[Flaw]:
    """Two hosts with one BMC: replacing the one would power the other off."""
    uses = ((h.bmc_url, (*h.path, "bmc", "url")) for h in s.hosts)
    yield from _once("a Redfish system of the host's own", uses, "write the URL of this host's own system")


def disks_apart(s: Sketch) -> Iterator[Flaw]:
    """An installation writes the OS disk; a data disk that is the same one would be lost."""
    for h in s.hosts:
        uses: list[tuple[str | None, Path]] = [(h.os_disk, (*h.path, "os_disk"))]
        uses += [(disk, (*h.path, "data_disks", i)) for i, disk in h.data_disks or ()]
        uses += [(disk, (*h.path, "mounts", name, "disk")) for name, disk in h.mounts]
        fix = "write another disk, or take it out; the OS disk is overwritten by every installation"
        yield from _once("each disk once on its host", uses, fix)


def one_control_plane_pool(s: Sketch) -> Iterator[Flaw]:
    """Control planes share one budget, so they are one pool."""
    if s.pools is None:
        return
    expected = "one control-plane pool"
    found = [p for p in s.pools if p.role == "control-plane"]
    for extra in found[1:]:
        fix = f"move its hosts to {found[0].name}, or make it a pool of workers"
        yield Flaw((*extra.path, "role"), f"control-plane, which pool {found[0].name} is already", expected, fix)
    if not found and all(p.role is not None for p in s.pools):
        fix = "add a pool with role: control-plane and 1, 3 or 5 hosts"
        yield Flaw(("pools",), "no control-plane pool", expected, fix)


def quorum(s: Sketch) -> Iterator[Flaw]:
    """An even number of etcd members survives no more than one fewer; above five, writes only get slower."""
    pools = [p for p in s.pools or () if p.role == "control-plane" and p.hosts is not None]
    count = sum(len(p.hosts or ()) for p in pools)
    if len(pools) != 1 or count in (1, 3, 5):
        return
    if count % 2 == 0:
        margin = (count - 1) // 2 or "none"
        fix = f"add or remove one; etcd needs a majority, so {count} survive the loss of {margin}, as {count - 1} would"
    else:
        fix = "make some of them workers; more than 5 members of etcd only make writes slower"
    yield Flaw((*pools[0].path, "machines", "hosts"), f"{count} control planes", "1, 3 or 5 control planes", fix)


def control_planes_singly(s: Sketch) -> Iterator[Flaw]:
    """Control planes roll one at a time, so lanes and canaries mean nothing there."""
    for p in s.pools or ():
        if p.role != "control-plane":
            continue
        at = (*p.path, "rollout")
        if p.max_unavailable is not None and p.max_unavailable != 1:
            fix = "write 1, or take the key out; etcd must keep its majority"
            yield Flaw((*at, "max_unavailable"), str(p.max_unavailable), "1 for control planes", fix)
        if p.canary:
            fix = "take it out; each control plane is watched until etcd has caught up"
            yield Flaw((*at, "canary"), "true", "no canary for control planes", fix)


def budget_can_be_spared(s: Sketch) -> Iterator[Flaw]:
    """No more nodes may be out than their pool, their fault domains and every storage policy can spare."""
    replicas = min(((p.replicas, p.name) for p in s.policies or () if p.replicas is not None), default=None)
    stores = {p.name for p in _storage_pools(s)}
    for p in s.pools or ():
        if p.role == "control-plane" or p.hosts is None or p.max_unavailable is None:
            continue
        spared = [(max(1, len(p.hosts) - 1), f"the pool has {counted(len(p.hosts), 'host')}", "add hosts")]
        if p.domains is not None:
            why = f"no two nodes of a fault domain are out at once, and the pool has {len(p.domains)}"
            spared.append((len(p.domains), why, "spread the hosts over more fault domains"))
        if p.name in stores and replicas is not None:
            why = f"policy {replicas[1]} has {replicas[0]} replicas"
            spared.append((replicas[0] - 1, why, "give every policy more replicas"))
        most, why, otherwise = min(spared, key=lambda limit: limit[0])
        if p.max_unavailable > most:
            at = (*p.path, "rollout", "max_unavailable")
            yield Flaw(at, str(p.max_unavailable), f"{most} at most: {why}", f"write {most}, or {otherwise}")


def soak_of_canary(s: Sketch) -> Iterator[Flaw]:
    """Only a canary is watched."""
    for p in s.pools or ():
        if p.soak_s and p.canary is False:
            fix = "take soak_s out" if p.role == "control-plane" else "add canary: true, or take soak_s out"
            found = f"{p.soak_s:g} without a canary"
            yield Flaw((*p.path, "rollout", "soak_s"), found, "soak_s with canary: true only", fix)


def force_where_nothing_is_lost(s: Sketch) -> Iterator[Flaw]:
    """Forced past a deadline, a control plane could cost etcd's majority, and a storage node somebody's data."""
    storage = {name for _, name in s.storage_nodes or ()}
    for p in s.pools or ():
        why = "control planes" if p.role == "control-plane" else "pools that store" if p.name in storage else ""
        for key in p.forced if why else ():
            fix = "write halt, or take the key out; mend what blocks the node, then run up again"
            yield Flaw((*p.path, "rollout", "on_timeout", key), "force", f"halt for {why}", fix)


def storage_on_workers(s: Sketch) -> Iterator[Flaw]:
    """Replicas live on workers: a control plane's budget knows nothing of them."""
    if s.storage_nodes is None:
        return
    pools = {p.name: p for p in s.pools or ()}
    workers = [p.name for p in s.pools or () if p.role == "worker"]
    choose = f"write {' or '.join(workers)}" if workers else "add a pool of workers"
    expected = "the name of a pool of workers"
    for i, name in s.storage_nodes if pools else ():
        if name not in pools:
            yield Flaw(("storage", "nodes", i), f"{name}, which is no pool", expected, choose)
        elif pools[name].role == "control-plane":
            yield Flaw(("storage", "nodes", i), f"{name}, a control-plane pool", expected, choose)
    uses = ((name, ("storage", "nodes", i)) for i, name in s.storage_nodes)
    yield from _once("each pool once", uses, "take one of the two out")


def storage_disks(s: Sketch) -> Iterator[Flaw]:
    """A storage node without a data disk holds nothing."""
    for p in _storage_pools(s):
        for h in p.hosts or ():
            if h.data_disks == ():
                fix = "add a data disk, or move the host to a pool that does not store"
                expected = f"one data disk at least, as pool {p.name} stores"
                yield Flaw((*h.path, "data_disks"), "no data disk", expected, fix)


def storage_size(s: Sketch) -> Iterator[Flaw]:
    """simplyblock's smallest clusters are data + 2 x parity nodes (1+1: 3, 2+1: 4, 2+2: 6); n replicas are 1+(n-1)."""
    pools = _storage_pools(s)
    named = {name for _, name in s.storage_nodes or ()}
    if not pools or len(pools) != len(named) or any(p.hosts is None for p in pools):
        return
    nodes = sum(len(p.hosts or ()) for p in pools)
    domains = [p.domains for p in pools]
    spread = None if None in domains else len(frozenset().union(*(d or () for d in domains)))
    for policy in s.policies or ():
        if policy.replicas is None:
            continue
        needs = 2 * policy.replicas - 1
        at = (*policy.path, "replicas")
        if nodes < needs:
            found = f"{policy.replicas} replicas on {counted(nodes, 'storage node')}"
            fewer = ", or ask for fewer replicas" if policy.replicas > 2 else ""
            fix = f"add {needs - nodes} to the pools that store{fewer}"
            yield Flaw(at, found, f"{needs} storage nodes at least", fix)
        if spread is not None and spread < policy.replicas:
            found = f"{policy.replicas} replicas on storage nodes of {counted(spread, 'fault domain')}"
            fix = "spread the storage nodes over more fault domains"
            yield Flaw(at, found, f"{policy.replicas} fault domains at least, one for each replica", fix)


def one_default_policy(s: Sketch) -> Iterator[Flaw]:
    """With two default classes, Kubernetes takes the newest, whichever that is."""
    found = [p for p in s.policies or () if p.default]
    for extra in found[1:]:
        fix = f"take default out here or in {found[0].name}"
        yield Flaw((*extra.path, "default"), f"true, as policy {found[0].name} has", "one default policy at most", fix)


def endpoint_of_no_machine(s: Sketch) -> Iterator[Flaw]:
    """Whatever the endpoint names must stay when any machine is replaced."""
    if s.endpoint is None:
        return
    controllers = {urlsplit(h.bmc_url).hostname: h.name for h in s.hosts if h.bmc_url is not None}
    label = s.endpoint.split(".")[0]
    fix = "write a DNS name or a virtual IP address that outlives every machine"
    expected = "a name that belongs to no machine"
    if any(h.name == label for h in s.hosts) and _address(s.endpoint) is None:
        yield Flaw(("cluster", "endpoint"), f"{s.endpoint}, the name of host {label}", expected, fix)
    elif s.endpoint in controllers:
        found = f"{s.endpoint}, the management controller of host {controllers[s.endpoint]}"
        yield Flaw(("cluster", "endpoint"), found, expected, fix)


def addresses_apart(s: Sketch) -> Iterator[Flaw]:
    """Pods, services and the endpoint are told apart by their addresses."""
    pods = None if s.pod_cidr is None else ipaddress.ip_network(s.pod_cidr)
    services = None if s.service_cidr is None else ipaddress.ip_network(s.service_cidr)
    if pods is not None and services is not None:
        at: Path = ("cluster", "service_cidr")
        if pods.version != services.version:
            fix = "write both as IPv4, or both as IPv6"
            yield Flaw(at, f"{services} beside pod_cidr {pods}", "ranges of one kind", fix)
        elif pods.overlaps(services):
            fix = "write ranges that have no address in common"
            yield Flaw(at, f"{services}, which overlaps pod_cidr {pods}", "ranges apart", fix)
    endpoint = _address(s.endpoint)
    for key, network in (("pod_cidr", pods), ("service_cidr", services)):
        if endpoint is not None and network is not None and endpoint in network:
            fix = f"write an address outside {network}"
            found = f"{endpoint}, inside {key} {network}"
            yield Flaw(("cluster", "endpoint"), found, "an address that machines can reach", fix)


def _address(endpoint: str | None) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The endpoint as an IP address, or None if it is a name."""
    try:
        return ipaddress.ip_address(endpoint or "")
    except ValueError:
        return None


def pods_have_room(s: Sketch) -> Iterator[Flaw]:
    """Each node takes a range of its own; a node for which none is left never becomes Ready."""
    if s.pod_cidr is None or not s.hosts:
        return
    pods = ipaddress.ip_network(s.pod_cidr)
    each = NODE_PREFIX[pods.version]
    room = 1 << (each - pods.prefixlen) if pods.prefixlen <= each else 0
    if len(s.hosts) > room:
        fix = "write a larger range, with a smaller number after the /"
        found = f"{pods}, which has room for {counted(room, 'node')}"
        yield Flaw(("cluster", "pod_cidr"), found, f"a /{each} for each of {counted(len(s.hosts), 'host')}", fix)


def no_login_on_talos(s: Sketch) -> Iterator[Flaw]:
    """Talos has no SSH and no shell; keys for it would promise a way in that is not there."""
    for path, os in s.systems:
        if os == "talos" and s.logins:
            fix = "take the keys out of settings.ssh_authorized_keys; talosctl is the way to look at a node"
            yield Flaw(
                path, f"talos with {counted(s.logins, 'SSH key')}", "no SSH keys for Talos, which has no SSH", fix
            )


def talos_alone(s: Sketch) -> Iterator[Flaw]:
    """A Talos machine joins with the secrets of its cluster's Talos, any other with what kubeadm left there: neither
    finds what it needs in a cluster that the other began."""
    first, others = s.systems[:1], s.systems[1:]
    for path, os in others:
        if "talos" in (os, first[0][1]) and os != first[0][1]:
            fix = f"write {first[0][1]}, or one system for all in {path_text(first[0][0])}"
            yield Flaw(
                path, f"{os}, where {path_text(first[0][0])} is {first[0][1]}", "Talos in all pools or none", fix
            )


RULES: Final[tuple[Rule, ...]] = (
    hosts_once,
    macs_once,
    controllers_once,
    disks_apart,
    one_control_plane_pool,
    quorum,
    control_planes_singly,
    budget_can_be_spared,
    soak_of_canary,
    force_where_nothing_is_lost,
    storage_on_workers,
    storage_disks,
    storage_size,
    one_default_policy,
    endpoint_of_no_machine,
    addresses_apart,
    pods_have_room,
    no_login_on_talos,
    talos_alone,
    *AWS_RULES,
)
