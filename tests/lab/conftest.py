"""Labs that tests share. What a test does to one that others would notice, it undoes; or it starts its own."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from lab.fleet import Fleet, Json
from lab.lab import Lab
from lab.layout import ETCD_HOSTS
from tests.lab.eventually import eventually

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
