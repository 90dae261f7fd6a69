"""Which nodes repair takes, and when it takes none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from lifecycle.drift import Survey
from lifecycle.ports import ClaimState
from lifecycle.repair import (
    Kind,
    RollPending,
    TooManyUnhealthy,
    Unwell,
    refuse_many,
    refuse_roll,
    spared,
    to_replace,
    unwell,
)
from tests.lifecycle.fleets import claim, pin
from tests.lifecycle.test_drift import joined, node

NOW_S = 10_000.0
NAMES = ("c1", "c2", "c3", "w1", "w2", "w3", "w4", "w5", "w6")


Changes = Mapping[str, Any]
NONE: Changes = {}


def fleet(nodes: Changes = NONE, claims: Changes = NONE, **pins: Changes) -> Survey:
    """A fleet as pinned, but for the changes of a Node or claim (None: there is none), or of a pin."""
    declared = {n: replace(pin(n), **pins.get(n, {})) for n in NAMES}
    held = {n: replace(joined(n), **claims.get(n, {})) for n in NAMES if claims.get(n, {}) is not None}
    seen = {n: replace(node(n), **nodes.get(n, {})) for n in NAMES if nodes.get(n, {}) is not None}
    return Survey("metal", declared, held, seen, NOW_S)


def dark(for_s: float | None) -> dict[str, object]:
    """Not Ready since then."""
    return {"ready": False, "ready_changed_s": None if for_s is None else NOW_S - for_s}


class TestUnwell:
    """Broken, half way or drifted; everything else is left alone."""

    def test_a_fleet_as_pinned_is_well(self) -> None:
        assert unwell(fleet()) == ()

    @pytest.mark.parametrize(
        ("for_s", "after_s", "broken"),
        [(299, 300, False), (300, 300, False), (301, 300, True), (None, 300, True), (301, 600, False)],
    )
    def test_not_ready_for_longer_than_the_limit(self, for_s: float | None, after_s: float, broken: bool) -> None:
        found = unwell(fleet({"w1": dark(for_s)}), after_s)
        assert [(u.node, u.kind) for u in found] == ([("w1", Kind.BROKEN)] if broken else [])

    def test_it_says_for_how_long(self) -> None:
        assert unwell(fleet({"w1": dark(420)})) == (Unwell("w1", "hci", Kind.BROKEN, ("not Ready for 420 s",)),)

    def test_without_a_node_object(self) -> None:
        assert unwell(fleet({"w1": None}))[0].why == ("it has no Node object",)

    def test_half_way(self) -> None:
        (found,) = unwell(fleet(claims={"w1": {"state": ClaimState.LEFT}}))
        assert (found.kind, found.why) == (Kind.HALFWAY, ("its host is left",))
        assert to_replace((found,)) == ()  # an up goes on with it unasked

    def test_drifted(self) -> None:
        (found,) = unwell(fleet({"w1": {"os_image": "OS 0", "kernel": "6.0"}}))
        assert (found.kind, found.why) == (
            Kind.DRIFTED,
            ("image: OS 0 instead of OS g1", "kernel: 6.0 instead of 6.18"),
        )

    @pytest.mark.parametrize("changes", [{"labels": {}}, {"boot_id": "b9"}])
    def test_not_over_what_needs_no_new_machine(self, changes: dict[str, object]) -> None:
        assert unwell(fleet({"w1": changes})) == ()

    def test_not_over_what_an_up_rolls(self) -> None:
        assert unwell(fleet(w1={"generation": "g2", "os_image": "OS g2", "kubelet": "v1.37.0"})) == ()

    def test_nor_over_a_node_that_retires_or_was_never_brought_in(self) -> None:
        assert unwell(fleet({"w1": None, "w2": dark(999)}, {"w1": None}, w2={"retire": True})) == ()

    def test_the_broken_ones_come_first(self) -> None:
        found = unwell(
            fleet({"c1": {"kernel": "6.0"}, "w2": dark(999), "w4": None}, {"w3": {"state": ClaimState.LEFT}})
        )
        assert [(u.node, u.kind.value) for u in found] == [
            ("w2", "broken"),
            ("w4", "broken"),
            ("w3", "half way"),
            ("c1", "drifted"),
        ]
        assert to_replace(found) == ("w2", "w4", "c1")


class TestAFifth:
    """More of a pool have a cause in common. One node may always be repaired."""

    @pytest.mark.parametrize(
        ("size", "may"), [(1, 1), (2, 1), (3, 1), (5, 1), (9, 1), (10, 2), (14, 2), (15, 3), (1000, 200)]
    )
    def test_of_a_pool(self, size: int, may: int) -> None:
        assert spared(size) == may

    @pytest.mark.parametrize(
        ("nodes", "refused"),
        [
            ({}, ()),
            ({"w1": dark(999)}, ()),
            ({"c1": {"kernel": "6.0"}, "w1": dark(999)}, ()),  # one of each pool
            ({"w1": dark(999), "w2": {"kernel": "6.0"}}, ("hci",)),
            ({"c1": dark(999), "c2": None, "w1": dark(999), "w2": dark(999)}, ("control", "hci")),
        ],
    )
    def test_refuses(self, nodes: dict[str, object], refused: tuple[str, ...]) -> None:
        seen = fleet(nodes)
        if not refused:
            refuse_many(seen.pins, unwell(seen))
            return
        with pytest.raises(TooManyUnhealthy) as error:
            refuse_many(seen.pins, unwell(seen))
        assert tuple(sorted(error.value.pools)) == refused

    def test_names_the_pool_the_numbers_and_the_remedy(self) -> None:
        seen = fleet({"w1": dark(999), "w2": None})
        with pytest.raises(TooManyUnhealthy) as error:
            refuse_many(seen.pins, unwell(seen))
        assert str(error.value).startswith(
            "pool hci: expected at most 1 of 6 nodes unhealthy, found 2 (33%): w1, w2. Nothing was changed. "
            "Remedy: runbooks/drift.md#too-many"
        )

    def test_nodes_that_retire_make_no_pool_larger(self) -> None:
        seen = fleet({"w1": dark(999)}, **{n: {"retire": True} for n in ("w2", "w3", "w4", "w5", "w6")})
        refuse_many(seen.pins, unwell(seen))
        assert len(unwell(seen)) == 1


class TestRollPending:
    """An up does all that the stack file says, so repair begins only when that is nothing new."""

    def test_nothing_new(self) -> None:
        refuse_roll(fleet({"w1": dark(999)}, {"w2": {"state": ClaimState.PROVISIONING}}))

    @pytest.mark.parametrize(
        ("seen", "nodes"),
        [
            (fleet(w1={"generation": "g2"}), ("w1",)),
            (fleet(w1={"retire": True}), ("w1",)),
            (fleet({"w1": None}, {"w1": None}), ("w1",)),
        ],
    )
    def test_something_new(self, seen: Survey, nodes: tuple[str, ...]) -> None:
        with pytest.raises(RollPending, match=r"it changes w1. Nothing was changed") as error:
            refuse_roll(seen)
        assert error.value.nodes == nodes

    def test_a_node_taken_out_of_the_stack_file(self) -> None:
        seen = fleet()
        held = {**seen.claims, "w9": claim("w9", ClaimState.JOINED), "w8": claim("w8", ClaimState.LEFT)}
        with pytest.raises(RollPending) as error:
            refuse_roll(replace(seen, claims=held))
        assert error.value.nodes == ("w9",)
