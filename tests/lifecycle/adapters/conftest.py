"""What the adapters' tests share."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lifecycle.adapters.ec2 import Ec2Machines
from lifecycle.adapters.kubernetes import ApiKubernetes
from lifecycle.adapters.object_store import Objects
from lifecycle.adapters.view import View
from tests.lifecycle.adapters.api_server import Api, connected
from tests.lifecycle.adapters.authority import ClusterAuthority
from tests.lifecycle.adapters.cloud import Cloud, FakeClock, account, machines
from tests.lifecycle.adapters.stores import Store, bucket, dummies, of_bucket, of_directory
from tests.lifecycle.adapters.wire_server import StillClock, Wire, serving


@pytest.fixture
def wire() -> Iterator[Wire]:
    with serving() as started:
        yield started


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
def server(wire: Wire) -> Api:
    """A Kubernetes API behind `wire`."""
    return Api(wire)


@pytest.fixture
def view(wire: Wire, clock: StillClock) -> Iterator[View]:
    """A view of what answers at `wire`, whose watches pause for no time worth mention."""
    ended = threading.Event()
    made = View(connected(wire.url, clock), clock, frozenset({"simplyblock"}), pause=lambda _: ended.wait(0.01))
    yield made
    ended.set()
    made.stop()


@pytest.fixture
def kubernetes(wire: Wire, clock: StillClock, view: View) -> ApiKubernetes:
    return ApiKubernetes(connected(wire.url, clock), clock, frozenset({"simplyblock"}), view)


@pytest.fixture
def cluster(tmp_path: Path) -> ClusterAuthority:
    (tmp_path / "cluster").mkdir()
    return ClusterAuthority(tmp_path / "cluster")


@pytest.fixture
def other_cluster(tmp_path: Path) -> ClusterAuthority:
    (tmp_path / "other").mkdir()
    return ClusterAuthority(tmp_path / "other")


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of the bucket that moto keeps."""
    dummies(monkeypatch)
    with bucket() as looking:
        yield looking


@pytest.fixture(params=["directory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """A boot store of each kind: whatever holds for one holds for the other."""
    if request.param == "directory":
        return of_directory(tmp_path)
    return of_bucket(request.getfixturevalue("s3"), tmp_path / "turns")


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    """An account of AWS that is the test's own."""
    with account() as made:
        yield made


@pytest.fixture
def ec2_clock() -> FakeClock:
    return FakeClock(time.time())


@pytest.fixture
def of(cloud: Cloud, ec2_clock: FakeClock) -> Ec2Machines:
    return machines(cloud, ec2_clock)


@pytest.fixture
def objects(store: Store, clock: StillClock) -> Objects:
    return store.open(clock)


@pytest.fixture
def other(store: Store, clock: StillClock) -> Objects:
    """The same store, as another step sees it."""
    return store.open(clock)
