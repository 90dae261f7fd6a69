"""What a fault's spec says, and what is none."""

from __future__ import annotations

import pytest

from rehearsal.rack.faults import BadFault, Faults, parse


class TestAPowerCut:
    """When a step begins, or so many seconds later."""

    @pytest.mark.parametrize(("spec", "step", "after_s"), [("power-cut:3", 3, 0), ("power-cut:21:300", 21, 300)])
    def test_is_read(self, spec: str, step: int, after_s: float) -> None:
        found = parse(spec)
        assert (found.kind, found.times, found.after_s) == ("power-cut", step, after_s)

    @pytest.mark.parametrize("spec", ["power-cut", "power-cut:w1", "power-cut:1:x", "power-cut:1:2:3", "power-cut:"])
    def test_of_another_form_is_refused(self, spec: str) -> None:
        with pytest.raises(BadFault, match=r"power-cut:STEP\[:SECONDS\]"):
            parse(spec)

    def test_strikes_once_at_its_step(self) -> None:
        cuts: list[float] = []
        faults = Faults.of(["power-cut:2:30"])
        faults.cut_power = cuts.append
        for expected in ([], [30], [30]):
            faults.step_begins()
            assert cuts == expected
        assert faults.idle() == ()
