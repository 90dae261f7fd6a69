"""The rack keeps claims as the boot store does: one machine has one claim, whatever its host is called."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from lifecycle.errors import MachineClaimed
from lifecycle.ports import Claim, ClaimState, Controller, Role
from rehearsal.rack.ports import RackRecords
from rehearsal.rack.rack import Rack
from rehearsal.rack.world import Host, World

CLAIM = Claim(
    stack="metal",
    node="w1",
    generation="0123456789abcdef",
    state=ClaimState.JOINED,
    controller=Controller("https://bmc-w1.example/redfish/v1/Systems/1"),
    pool="workers",
    role=Role.WORKER,
    stores=True,
)
RENAMED = replace(CLAIM, node="x1", stack="lab", state=ClaimState.PROVISIONING)


@pytest.fixture
def rack() -> Iterator[Rack]:
    """Two names of one machine; the first is claimed."""
    made = Rack(World(seed=1, hosts={n: Host(name=n, fault_domain=n) for n in ("w1", "x1")}), pins={})
    made.world.claims["w1"] = CLAIM
    yield made
    made.clock.close()


@pytest.fixture
def records(rack: Rack) -> RackRecords:
    return RackRecords(rack, "test", lambda: None)


class TestOneMachineOneClaim:
    """The second name is refused until the first has left."""

    def test_while_the_first_serves(self, rack: Rack, records: RackRecords) -> None:
        with pytest.raises(MachineClaimed, match="claimed for w1 by stack metal"):
            records.put_claim("x1", RENAMED, None)
        assert rack.world.claims == {"w1": CLAIM}

    def test_once_the_first_has_left(self, rack: Rack, records: RackRecords) -> None:
        left = replace(CLAIM, state=ClaimState.LEFT)
        assert records.put_claim("w1", left, CLAIM)
        assert records.put_claim("x1", RENAMED, None)
        assert rack.world.claims == {"w1": left, "x1": RENAMED}
