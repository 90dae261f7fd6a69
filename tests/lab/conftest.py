"""Labs that tests share. What a test does to one that others would notice, it undoes; or it starts its own."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from lab import fleet as make
from lab.fleet import Fleet, Json
from lab.lab import Lab
from lab.layout import ETCD_HOSTS
from lab.proxy import Proxy
from lifecycle.adapters.kube_api import path
from lifecycle.adapters.roll import LEASES
from lifecycle.adapters.roll import NAME as ROLL
from lifecycle.adapters.view import NAME as ROSTER
from lifecycle.adapters.view import NAMESPACE
from tests.lab.eventually import eventually
from tests.lab.leaving import TRIO, Cluster, serving

WORKERS = 4


def started(tmp_path_factory: pytest.TempPathFactory, members: int) -> Iterator[Lab]:
    with Lab.start(tmp_path_factory.mktemp("lab"), etcd_members=members) as lab:
        Fleet(lab.kubeconfig).create_nodes(WORKERS, ETCD_HOSTS[:members])
        yield lab


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One etcd member, the control plane, KWOK with `cp1` and four workers, Redfish. Up in some ten seconds."""
    yield from started(tmp_path_factory, 1)


@pytest.fixture(scope="session")
def three_member_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The same with three members and control planes."""
    yield from started(tmp_path_factory, 3)


@pytest.fixture(scope="session")
def fleet(lab: Lab) -> Fleet:
    return Fleet(lab.kubeconfig)


@dataclass(frozen=True)
class Space:
    """A namespace of one test."""

    fleet: Fleet
    name: str

    def create(self, *items: Json) -> None:
        for item in items:
            self.fleet.create(item, self.name)

    def read(self, item: Json) -> Json | None:
        return self.fleet.read(item, self.name)

    def status(self, item: Json) -> dict[str, Any]:
        return (self.read(item) or {}).get("status") or {}


@pytest.fixture
def proxy(lab: Lab) -> Iterator[Proxy]:
    """A proxy before the shared lab's API server, for the administrator."""
    with Proxy(lab.layout, lab.kubeconfig) as proxy:
        yield proxy


_numbers = itertools.count(1)


@pytest.fixture
def space(fleet: Fleet) -> Iterator[Space]:
    """A namespace of its own, in which pods can be created; deleted afterwards, without waiting for it."""
    name = f"test-{next(_numbers)}"
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    fleet.create(namespace)
    account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
    eventually(lambda: fleet.api.get("service account", account), f"the service account of {name}")
    yield Space(fleet, name)
    fleet.delete(namespace)


@pytest.fixture
def no_records(fleet: Fleet) -> Iterator[None]:
    """Neither roster nor Lease on the shared lab, before and after."""
    forget_records(fleet)
    yield
    forget_records(fleet)


def forget_records(fleet: Fleet) -> None:
    for record in (path(*LEASES, ROLL), path("api", "v1", "namespaces", NAMESPACE, "configmaps", ROSTER)):
        fleet.api.ask("a record of the roll", "DELETE", record, final=frozenset({404}))


@pytest.fixture
def trio(lab: Lab, space: Space, no_records: None) -> Iterator[Cluster]:
    """Three workers of a test's own on the shared lab, declared, joined and in; for whole leaves and joins."""
    for number, name in enumerate(TRIO, 1):
        space.fleet.create(make.node(name, f"10.3.0.{number}"))
    cluster = serving(lab, TRIO, space.name)
    yield cluster
    cluster.close()
    clear(cluster)


def clear(cluster: Cluster) -> None:
    """The shared lab as it was: no node, workload or record of `cluster`."""
    fleet, kubernetes = cluster.fleet, cluster.ports().kubernetes
    for kind in ("deployments", "daemonsets"):  # a namespace that is deleted takes five seconds over its pods
        fleet.api.ask(kind, "DELETE", path("apis", "apps", "v1", "namespaces", cluster.namespace, kind))
    for node in kubernetes.nodes():
        kubernetes.set_unschedulable(node.name, False)
    there = {node.name for node in kubernetes.nodes()} & set(TRIO)
    eventually(lambda: not any(kubernetes.pods_on(name) for name in there), "its pods to be gone")
    for name in there:
        kubernetes.delete_node(name)
    cluster.close()
