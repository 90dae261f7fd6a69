"""The API server's log of what one user changed."""

from __future__ import annotations

import time

import pytest

from lab import audit
from lab import fleet as make
from lab.fleet import Fleet
from lab.lab import Lab
from tests.lab.conftest import Space

pytestmark = pytest.mark.lab


class TestChanges:
    """Hold all that the user asked to change, also what was refused, and nobody else's."""

    def test_of_one_user_are_kept(self, lab: Lab, space: Space) -> None:
        layout = lab.layout
        user, began_s = Fleet(audit.kubeconfig(layout)), time.time()
        pod, other = make.pod("mine"), make.pod("other")
        user.create(pod, space.name)
        user.create(pod, space.name)
        user.read(pod, space.name)
        space.create(other)
        found = [c for c in audit.changes(layout) if space.name in c.what]
        assert [(c.what, c.status) for c in found] == [
            (f"create pods {space.name}/mine", 201),
            (f"create pods {space.name}/mine", 409),
        ]
        assert all(began_s <= c.at_s <= time.time() for c in found)
