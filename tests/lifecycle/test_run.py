"""There is one leave and one join: what a rehearsal shows and what the lab proves is what a real roll runs."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, cast

import grpc
import pytest

from lifecycle.commands import Step, Verb
from lifecycle.join import join
from lifecycle.leave import leave
from lifecycle.ports import Limits, Rollout
from rehearsal.providers.base import Refused
from rehearsal.providers.command import Command
from rehearsal.rack.rack import Rack
from rehearsal.rack.world import Host, World
from tests.lifecycle.fleets import pin

PROJECT = Path(__file__).resolve().parents[2]
AROUND = ("cli", "components", "lab", "rehearsal", "report")
"""All that a fleet is made, rehearsed and tried out by, but the lifecycle itself."""

EFFECTS = frozenset(
    {
        "set_unschedulable",
        "set_out_of_service",
        "delete_node",
        "evict",
        "delete_pod",
        "mint_token",
        "begin_maintenance",
        "end_maintenance",
        "evacuate",
    }
)
"""Of the ports: no node leaves or comes in without some of them, and nothing else needs any."""

PARTS = frozenset({"admit", "detach", "drain", "enrol", "gates", "join", "leave", "provision", "release", "vacate"})
"""The modules of lifecycle/ that a step's way is made of; `run` is their only door (import contract `door`)."""


def ordered(source: str) -> list[str]:
    """The calls of EFFECTS that are not made by one of the same name, which only hands on what it was asked for."""
    found = []

    def look(node: ast.AST, within: str) -> None:
        if isinstance(node, ast.FunctionDef):
            within = node.name
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            name = node.func.attr
            if name in EFFECTS and name != within.removeprefix("_"):
                found.append(f"{name} in {within}")
        for inner in ast.iter_child_nodes(node):
            look(inner, within)

    look(ast.parse(source), "")
    return found


def parts_used(source: str) -> set[str]:
    """The modules of PARTS that are imported, or of which something is."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module == "lifecycle":
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.removeprefix("lifecycle."))
        if isinstance(node, ast.Import):
            found |= {alias.name.removeprefix("lifecycle.") for alias in node.names}
    return found & PARTS


def sources(*folders: str) -> Iterator[tuple[str, str]]:
    for folder in folders:
        for path in sorted((PROJECT / folder).rglob("*.py")):
            yield str(path.relative_to(PROJECT)), path.read_text(encoding="utf-8")


class Call:
    """What a provider needs of the engine's call."""

    def add_callback(self, callback: object) -> bool:
        return True


@pytest.fixture
def rack() -> Iterator[Rack]:
    made = Rack(World(seed=1, hosts={"w1": Host(name="w1", fault_domain="a")}), {"w1": pin("w1", "g1")})
    yield made
    made.clock.close()


def runs(rack: Rack, step: Step, function: Any) -> bool:
    """Whether the rack runs this function when it serves this stored command as the engine gives it."""
    steps = Command(rack, Limits(), Rollout(), lambda: None, lambda roster: None)
    context, ran = cast(grpc.ServicerContext, Call()), set[CodeType]()

    def note(frame: FrameType, event: str, argument: Any) -> None:
        ran.add(frame.f_code)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        steps.delete("command:local:Command", "it", {"delete": step.command()}, context)
    except Refused:
        pass  # nothing is there for it to do; what counts is who says so
    finally:
        sys.setprofile(before)
    return function.__code__ in ran


class TestOneLifecycle:
    """Whoever runs a step runs it by lifecycle.run.execute, on ports of his own."""

    @pytest.mark.parametrize(("verb", "function"), [(Verb.LEAVE, leave), (Verb.JOIN, join)])
    def test_a_rehearsed_step_is_the_real_one(self, rack: Rack, verb: Verb, function: Any) -> None:
        assert runs(rack, Step(verb, "metal", "w1", "g1"), function)

    def test_nothing_around_it_orders_what_a_step_does(self) -> None:
        found = {where: calls for where, text in sources(*AROUND) if (calls := ordered(text))}
        assert found == {}

    def test_and_no_test_of_a_whole_roll_puts_one_together_from_parts(self) -> None:
        found = {where: parts for where, text in sources("tests/lab", "tests/rehearsal") if (parts := parts_used(text))}
        assert found == {}

    def test_a_second_one_would_be_seen(self) -> None:
        assert ordered("def roll(k):\n    k.evict(k.pods_on('w1'))\n") == ["evict in roll"]
        assert ordered("def evict(self, pods):\n    return self.inner.evict(pods)\n") == []
        assert parts_used("from lifecycle import drain\nimport lifecycle.leave\n") == {"drain", "leave"}
        assert parts_used("from lifecycle.join import join\nfrom lifecycle.run import execute\n") == {"join"}
