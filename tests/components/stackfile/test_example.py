"""components.stackfile.example: fleets of any size."""

from __future__ import annotations

import pytest

from components.stackfile import example, validate


class TestExample:
    """Generated fleets are valid at any size."""

    @pytest.mark.parametrize(("workers", "lanes"), [(3, 1), (6, 1), (7, 1), (9, 2), (100, 4), (1000, 1), (1000, 50)])
    def test_is_valid(self, workers: int, lanes: int) -> None:
        environment = validate(example(workers, lanes), "here")
        assert len(list(environment.hosts())) == workers + 3
        assert environment.storage.nodes == ("storage",)
        if workers > 6:
            assert environment.pools["workers"].rollout.max_unavailable == lanes

    @pytest.mark.parametrize("lanes", [1, 2, 3, 4, 10])
    def test_lanes_share_no_rack(self, lanes: int) -> None:
        """Else lanes would wait for one another: two nodes of one fault domain are never out at once."""
        machines = validate(example(100, lanes), "here").pools["workers"].machines
        hosts = [machines.own(name) for name in machines.hosts]
        racks = [{h.fault_domain for h in hosts[i::lanes]} for i in range(lanes)]
        assert len(set().union(*racks)) == sum(map(len, racks)) >= 3

    @pytest.mark.parametrize(("workers", "lanes", "control_planes"), [(2, 1, 3), (9, 3, 3), (9, 0, 3), (9, 1, 2)])
    def test_refuses_fleets_that_cannot_be(self, workers: int, lanes: int, control_planes: int) -> None:
        with pytest.raises(ValueError, match=r"expected .* found"):
            example(workers, lanes, control_planes)
