"""For all tests: those that need an ordinary Pulumi installation say so where there is none."""

from __future__ import annotations

import pytest

from tools.engine import look


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, with its reason, what only an engine with its Python language host can do (marker `engine`)."""
    marked = [item for item in items if item.get_closest_marker("engine")]
    if not marked or look().language_host:
        return
    reason = "needs an ordinary Pulumi installation: pulumi-language-python is neither on PATH nor beside the engine"
    for item in marked:
        item.add_marker(pytest.mark.skip(reason=reason))
