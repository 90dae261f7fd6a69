"""What the adapters' tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lifecycle.adapters.authority import ClusterAuthority
from tests.lifecycle.adapters.wire_server import StillClock, Wire, serving


@pytest.fixture
def wire() -> Iterator[Wire]:
    with serving() as started:
        yield started


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
def cluster(tmp_path: Path) -> ClusterAuthority:
    (tmp_path / "cluster").mkdir()
    return ClusterAuthority(tmp_path / "cluster")


@pytest.fixture
def other_cluster(tmp_path: Path) -> ClusterAuthority:
    (tmp_path / "other").mkdir()
    return ClusterAuthority(tmp_path / "other")
