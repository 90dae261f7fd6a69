"""The pools of a stack file, and the prices that somebody gives for their machines."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from cli.pools import pools
from components import stackfile

METAL = Path(__file__).resolve().parents[2] / "stacks" / "Pulumi.metal.yaml"


class TestPools:
    """What the report reckons with is what the stack file says."""

    def test_of_the_example(self) -> None:
        control_plane, workers = pools(stackfile.load(METAL), ())
        assert (control_plane.role, control_plane.hosts, control_plane.keeps) == (
            "control-plane",
            ("cp1", "cp2", "cp3"),
            False,
        )
        assert (workers.strategy, workers.max_unavailable, workers.canary, workers.soak_s) == ("rolling", 1, True, 120)
        assert workers.keeps
        assert (workers.price, workers.currency) == (None, "")


class TestPrices:
    """None is known here; each is said."""

    @pytest.mark.parametrize(
        ("said", "price", "currency"),
        [("workers=0.21EUR", 0.21, "EUR"), ("workers=3", 3.0, ""), ("workers=0.5 USD", 0.5, "USD")],
    )
    def test_are_kept_with_their_pool(self, said: str, price: float, currency: str) -> None:
        control_plane, workers = pools(stackfile.load(METAL), [said])
        assert (workers.price, workers.currency) == (price, currency)
        assert control_plane.price is None

    @pytest.mark.parametrize("said", ["workers", "workers=", "workers=-1", "workers=1e9", "workers=nan", "=1", "0.21"])
    def test_what_is_none_is_refused(self, said: str) -> None:
        with pytest.raises(typer.BadParameter, match="expected a pool and an amount"):
            pools(stackfile.load(METAL), [said])

    def test_of_another_pool_is_refused(self) -> None:
        with pytest.raises(typer.BadParameter, match="which are control-plane, workers; found gpus"):
            pools(stackfile.load(METAL), ["gpus=1"])
