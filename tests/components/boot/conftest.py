"""A small fleet to boot, and what is pinned for it, each with the changes that a test asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from components.environment import Environment
from components.images.lock import Lock
from tests.components.boot.fleet import IMAGES, changed, fleet, pinned


@pytest.fixture
def document() -> dict[str, Any]:
    return fleet()


@pytest.fixture
def environment() -> Callable[..., Environment]:
    """The fleet with changes, each a path such as `pools/hci/role` and its value."""

    def make(changes: dict[str, Any] | None = None) -> Environment:
        made = fleet()
        for at, value in (changes or {}).items():
            made = changed(made, at, value)
        return Environment.model_validate(made)

    return make


@pytest.fixture
def lock() -> Callable[..., Lock]:
    """What is pinned, with changes as for `environment`."""

    def make(changes: dict[str, Any] | None = None) -> Lock:
        made = pinned()
        for at, value in (changes or {}).items():
            made = changed(made, at, value)
        return Lock.model_validate(made)

    return make


@pytest.fixture
def stack(os: str, environment: Callable[..., Environment]) -> Callable[..., Environment]:
    """The fleet on that system, with changes."""

    def make(changes: Mapping[str, Any] | None = None) -> Environment:
        return environment({"image": IMAGES[os][0], **(changes or {})})

    return make
