"""object_store.Objects: the contract, on everything that fulfils it, and what is built on it."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from lifecycle.adapters.boot_store import StoredBoot
from lifecycle.adapters.delivery import StoredDelivery
from lifecycle.adapters.object_store import Objects, Stored
from lifecycle.adapters.records import StoredRecords
from lifecycle.errors import MachineClaimed, NeedsAttention
from lifecycle.ports import Claim, ClaimState, Controller, Credentials, Progress, Role
from tests.lifecycle.adapters.pinned import GENERATION, pin_of
from tests.lifecycle.adapters.stores import MemoryObjects, Store
from tests.lifecycle.adapters.wire_server import StillClock

RECORD = "records/hosts/w1.json"


def stored(objects: Objects, path: str = RECORD) -> Stored:
    found = objects.read(path)
    assert found is not None
    return found


class TestAnObject:
    """It is whole or not there, and changes only from what its writer saw."""

    def test_there_is_none(self, objects: Objects) -> None:
        assert objects.read(RECORD) is None
        assert objects.below("records/") == ()

    def test_it_is_read_as_it_was_written(self, objects: Objects, other: Objects) -> None:
        data = bytes(range(256))
        assert objects.write(RECORD, data, None)
        assert stored(other).data == data

    def test_of_two_first_writers_one_wins(self, objects: Objects, other: Objects) -> None:
        assert objects.write(RECORD, b"1", None)
        assert not other.write(RECORD, b"2", None)
        assert stored(objects).data == b"1"

    def test_of_two_who_saw_the_same_one_wins(self, objects: Objects, other: Objects) -> None:
        objects.write(RECORD, b"1", None)
        seen, seen_too = stored(objects).version, stored(other).version
        assert other.write(RECORD, b"2", seen_too)
        assert not objects.write(RECORD, b"3", seen)
        assert stored(objects).data == b"2"

    def test_what_is_gone_is_not_written_over(self, objects: Objects, other: Objects) -> None:
        objects.write(RECORD, b"1", None)
        seen = stored(objects).version
        assert other.remove(RECORD, seen)
        assert not objects.write(RECORD, b"2", seen)
        assert objects.read(RECORD) is None

    def test_only_the_version_that_was_seen_is_removed(self, objects: Objects, other: Objects) -> None:
        objects.write(RECORD, b"1", None)
        seen = stored(objects).version
        other.write(RECORD, b"2", seen)
        assert not objects.remove(RECORD, seen)
        assert stored(objects).data == b"2"
        assert objects.remove(RECORD, stored(objects).version)
        assert not objects.remove(RECORD, seen)

    def test_put_takes_the_place_of_whatever_is_there(self, objects: Objects) -> None:
        objects.put("next/w1.ipxe", b"1")
        objects.put("next/w1.ipxe", b"2")
        assert stored(objects, "next/w1.ipxe").data == b"2"

    def test_erased_twice(self, objects: Objects) -> None:
        objects.put("once/w1", b"1")
        objects.erase("once/w1")
        objects.erase("once/w1")
        assert objects.read("once/w1") is None

    def test_erasing_is_of_this_one_alone(self, objects: Objects) -> None:
        for path in ("once/w1", "once/w10", "once/worker/w1"):
            objects.put(path, b"1")
        objects.erase("once/w1")
        assert objects.below("once/") == ("once/w10", "once/worker/w1")

    def test_a_node_may_be_called_like_a_role(self, objects: Objects) -> None:
        objects.put("once/worker", b"1")
        objects.erase("once/worker/worker")
        assert stored(objects, "once/worker").data == b"1"

    def test_what_never_changes_is_written_once(self, objects: Objects, other: Objects) -> None:
        objects.write_once("boot/x/w1.ign", b"1")
        before = stored(objects, "boot/x/w1.ign")
        other.write_once("boot/x/w1.ign", b"1")
        assert stored(objects, "boot/x/w1.ign") == before

    def test_other_bytes_there_are_refused_and_kept(self, objects: Objects) -> None:
        objects.write_once("boot/x/w1.ign", b"1")
        with pytest.raises(NeedsAttention, match=r"w1\.ign: found other bytes"):
            objects.write_once("boot/x/w1.ign", b"2")
        assert stored(objects, "boot/x/w1.ign").data == b"1"

    def test_all_below_a_prefix_and_nothing_else(self, objects: Objects) -> None:
        for path in ("records/hosts/w2.json", RECORD, "records/machines/m.json", "records/stacks/a/b.json"):
            objects.write(path, b"1", None)
        assert objects.below("records/hosts/") == (RECORD, "records/hosts/w2.json")
        assert len(objects.below("records/")) == 4

    def test_its_name_leads_to_it(self, objects: Objects) -> None:
        assert objects.where(RECORD).endswith(f"/{RECORD}")

    @pytest.mark.parametrize(
        "ask",
        [
            lambda o: o.read(RECORD),
            lambda o: o.write(RECORD, b"1", None),
            lambda o: o.write(RECORD, b"1", "v"),
            lambda o: o.remove(RECORD, "v"),
            lambda o: o.put("once/w1", b"1"),
            lambda o: o.erase("once/w1"),
            lambda o: o.write_once("boot/x", b"1"),
            lambda o: o.keep("boot/x", "0" * 64, contextlib.nullcontext),
            lambda o: o.below("records/"),
        ],
    )
    def test_a_store_that_is_not_there_is_not_an_empty_one(
        self, store: Store, clock: StillClock, ask: Callable[[Objects], object]
    ) -> None:
        with pytest.raises(NeedsAttention, match=r"absent: found no such (directory|bucket)"):
            ask(store.absent(clock))
        assert clock.slept == []


def claim_of(node: str, stack: str = "metal", state: ClaimState = ClaimState.PROVISIONING) -> Claim:
    """A claim on the one machine that there is."""
    controller = Controller("https://bmc-w1.example/redfish/v1/Systems/1")
    return Claim(stack, node, GENERATION, state, controller, "workers", Role.WORKER, stores=True)


def records_of(objects: Objects, stack: str = "metal") -> StoredRecords:
    return StoredRecords(lambda: objects, stack, StillClock())


class TestRecords:
    """One writer wins, one host has a machine, and what cannot be read is never absent."""

    def test_a_claim_comes_back(self, objects: Objects, other: Objects) -> None:
        records = records_of(objects)
        assert records.put_claim("w1", claim_of("w1"), None)
        assert records_of(other, "lab").claims() == {"w1": claim_of("w1")}
        assert records.put_claim("w1", None, claim_of("w1"))
        assert records.claim("w1") is None

    def test_of_another_stack_it_is_not_replaced(self, objects: Objects, other: Objects) -> None:
        records_of(objects).put_claim("w1", claim_of("w1"), None)
        assert not records_of(other, "lab").put_claim("w1", claim_of("w1", "lab"), None)
        assert records_of(objects).claim("w1") == claim_of("w1")

    def test_one_machine_under_two_names(self, objects: Objects, other: Objects) -> None:
        records_of(objects).put_claim("w1", claim_of("w1"), None)
        with pytest.raises(MachineClaimed, match="claimed for w1 by stack metal"):
            records_of(other, "lab").put_claim("x1", claim_of("x1", "lab"), None)
        left = claim_of("w1", state=ClaimState.LEFT)
        assert records_of(objects).put_claim("w1", left, claim_of("w1"))
        assert records_of(other, "lab").put_claim("x1", claim_of("x1", "lab"), None)
        assert records_of(objects).holder("w1", left.controller) == "x1 by stack lab"

    def test_initialised_once(self, objects: Objects, other: Objects) -> None:
        assert records_of(objects).initialised_by() is None
        assert records_of(objects).record_initialised("cp1")
        assert not records_of(other).record_initialised("cp2")
        assert records_of(other).record_initialised("cp1")
        assert records_of(other, "lab").initialised_by() is None

    def test_initialising_until_it_is_forgotten(self, objects: Objects, other: Objects) -> None:
        assert records_of(objects).record_initialising("cp1")
        records_of(other).forget_initialising("cp2")
        assert not records_of(other).record_initialising("cp2")
        records_of(other).forget_initialising("cp1")
        assert records_of(other).record_initialising("cp2")

    @pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[]", b'{"format": 2}', b'{"format": 1}'])
    def test_one_that_cannot_be_read(self, store: Store, objects: Objects, data: bytes) -> None:
        store.raw(RECORD, data)
        records = records_of(objects)
        for ask in (lambda: records.claim("w1"), lambda: records.put_claim("w1", claim_of("w1"), None), records.claims):
            with pytest.raises(NeedsAttention, match=r"record .*w1\.json.*never delete"):
                ask()
        assert stored(objects).data == data


class Turns:
    """Lets two steps touch one store in a given order: `order` says whose turn each touch is; then the first goes on
    to its end, as chance would have one of them do: their pauses fall out of step."""

    def __init__(self, order: Sequence[int]) -> None:
        self._order, self._at, self._done = order, 0, set[int]()
        self._changed = threading.Condition()

    def take(self, who: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self._mine(who), 30)
            self._at += 1
            self._changed.notify_all()

    def end(self, who: int) -> None:
        with self._changed:
            self._done.add(who)
            self._changed.notify_all()

    def _mine(self, who: int) -> bool:
        turn = self._order[self._at] if self._at < len(self._order) else 0
        return turn == who or bool(self._done)


class InTurn:
    """Objects that wait for their step's turn before each touch, and are touched by one step at a time."""

    def __init__(self, inner: Objects, turns: Turns, who: int, lock: threading.Lock) -> None:
        self._inner, self._turns, self._who, self._lock = inner, turns, who, lock

    def __getattr__(self, name: str) -> Callable[..., object]:
        def touched(*given: object) -> object:
            self._turns.take(self._who)
            with self._lock:
                answer: object = getattr(self._inner, name)(*given)
                return answer

        return touched


def claimed_in(order: Sequence[int], objects: Objects, before: Claim | None = None) -> list[str]:
    """What became of two hosts that claim one machine, touching the store in this order."""
    turns, lock, found = Turns(order), threading.Lock(), ["", ""]

    def claim(who: int, node: str) -> None:
        seen: object = InTurn(objects, turns, who, lock)
        try:
            records = records_of(seen)  # type: ignore[arg-type]  # passes every method on
            found[who] = str(records.put_claim(node, claim_of(node), before if node == "w1" else None))
        except MachineClaimed:
            found[who] = "refused"
        finally:
            turns.end(who)

    steps = [threading.Thread(target=claim, args=(who, node)) for who, node in enumerate(("w1", "x1"))]
    for step in steps:
        step.start()
    for step in steps:
        step.join(60)
    return found


class TestTwoHostsWantOneMachineAtOnce:
    """In whatever order they touch the store, one has it, and the other is told who."""

    @pytest.mark.parametrize("filed", ["nobody", "w1", "x1", "y1"])
    def test_every_order(self, filed: str) -> None:
        """filed: for whom the machine is filed already; without a claim that holds it, unless it is w1's that left."""
        for order in itertools.product((0, 1), repeat=9):
            objects: Any = MemoryObjects()
            before = claim_of("w1", state=ClaimState.LEFT) if filed == "w1" else None
            if filed != "nobody":
                records_of(objects).put_claim(filed, claim_of(filed), None)
                records_of(objects).put_claim(filed, before, claim_of(filed))
            found = claimed_in(order, objects, before)
            assert sorted(found) == ["True", "refused"], (order, found)
            holding = [h for h, c in records_of(objects).claims().items() if c.state is ClaimState.PROVISIONING]
            assert holding == [("w1", "x1")[found.index("True")]], (order, found)

    def test_one_after_the_other(self, objects: Objects) -> None:
        assert claimed_in([0] * 9, objects) == ["True", "refused"]

    def test_one_in_the_middle_of_the_other(self, objects: Objects) -> None:
        """w1 has filed the machine for itself; then x1 goes all its way."""
        assert claimed_in([0] * 4 + [1] * 9, objects) == ["refused", "True"]


class TestDelivery:
    """Credentials are there only while the node comes in."""

    CREDENTIALS = Credentials(init=False, endpoint="e:6443", token="abcdef.0123456789abcdef", pki={"ca.crt": "PEM"})

    def test_they_come_and_go(self, objects: Objects) -> None:
        delivery = StoredDelivery(lambda: objects, pin_of)
        delivery.deliver("w1", self.CREDENTIALS)
        assert json.loads(stored(objects, "once/w1").data)["token"] == "abcdef.0123456789abcdef"
        delivery.withdraw("w1")
        delivery.withdraw("w1")
        assert objects.below("once/") == ()

    def test_machines_that_sign_have_them_below_their_role(self, objects: Objects) -> None:
        on_aws = dataclasses.replace(pin_of("w1"), controller=Controller("ec2://eu-central-1/example/w1"))
        StoredDelivery(lambda: objects, lambda _: on_aws).deliver("w1", self.CREDENTIALS)
        assert objects.below("once/") == ("once/worker/w1",)
        StoredDelivery(lambda: objects, lambda _: None).withdraw("w1")
        assert objects.below("once/") == ()


class TestBoot:
    """What is published is whole; a report counts for its own generation."""

    def boot(self, objects: Objects, script: bytes = b"#!ipxe") -> StoredBoot:
        path = f"boot/{GENERATION}/w1.ipxe"
        return StoredBoot(lambda: objects, lambda: "https://boot.example/", lambda _: {path: script})

    def test_published_twice(self, objects: Objects) -> None:
        for _ in range(2):
            self.boot(objects).publish(pin_of("w1"))
        assert objects.below("boot/") == (f"boot/{GENERATION}/w1.ipxe",)
        assert b"chain --replace https://boot.example/boot/" in stored(objects, "next/52-54-00-00-01-01.ipxe").data

    def test_withdrawn(self, objects: Objects) -> None:
        self.boot(objects).publish(pin_of("w1"))
        self.boot(objects).withdraw("1")
        assert len(objects.below("next/")) == 1
        self.boot(objects).withdraw("w1")
        assert objects.below("next/") == ()

    def test_a_report(self, store: Store, objects: Objects) -> None:
        store.raw("progress/w1", f'{{"generation": "{GENERATION}", "state": "running"}}'.encode())
        assert self.boot(objects).progress(pin_of("w1")) is Progress.RUNNING
        self.boot(objects).publish(pin_of("w1"))
        assert self.boot(objects).progress(pin_of("w1")) is Progress.NONE
        store.raw("progress/w1", b"<html>")
        with pytest.raises(NeedsAttention, match="no report"):
            self.boot(objects).progress(pin_of("w1"))
