"""Claims and the initialised record: one writer wins, also between processes; a broken record is never absent."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import shutil
from pathlib import Path

import pytest

from lifecycle.adapters.clock import WallClock
from lifecycle.adapters.files import LOCK_LIMIT_S, locked
from lifecycle.adapters.records import DirectoryRecords, as_filed, machine_file
from lifecycle.errors import MachineClaimed, NeedsAttention, PortError
from lifecycle.ports import BootMethod, Claim, ClaimState, Controller, Erasure, Role
from tests.lifecycle.adapters.wire_server import StillClock


def claim_of(stack: str, state: ClaimState = ClaimState.PROVISIONING) -> Claim:
    return Claim(
        stack=stack,
        node="w1",
        generation="0123456789abcdef",
        state=state,
        controller=Controller("https://bmc-w1.example/redfish/v1/Systems/1", verify_tls=False),
        pool="workers",
        role=Role.WORKER,
        stores=True,
        machine_id="m-1",
        retiring=True,
    )


def records_of(directory: Path, stack: str = "metal") -> DirectoryRecords:
    return DirectoryRecords(lambda: directory, stack, WallClock())


def race(directory: Path, stack: str, host: str, go: object, won: object) -> None:
    """One process's attempt to claim the machine as `host`, once all are ready."""
    go.wait(20)  # type: ignore[attr-defined]  # a barrier of multiprocessing, whose type has no public name
    try:
        claim = dataclasses.replace(claim_of(stack), node=host)
        found = str(records_of(directory, stack).put_claim(host, claim, None))
    except MachineClaimed as refused:
        found = type(refused).__name__
    won.put(found)  # type: ignore[attr-defined]  # a queue, as above


def raced(directory: Path, *racers: tuple[str, str]) -> list[str]:
    """What became of each attempt, (stack, host), when all were made at once."""
    context = multiprocessing.get_context("fork")
    go, won = context.Barrier(len(racers)), context.Queue()
    running = [context.Process(target=race, args=(directory, *racer, go, won)) for racer in racers]
    for process in running:
        process.start()
    results = [won.get(timeout=20) for _ in running]
    for process in running:
        process.join(20)
    return results


class TestClaims:
    """A claim changes only from what its writer saw."""

    def test_it_comes_back_as_it_was(self, tmp_path: Path) -> None:
        records = records_of(tmp_path)
        assert records.claim("w1") is None
        assert records.put_claim("w1", claim_of("metal"), None)
        assert records.claim("w1") == claim_of("metal")

    def test_with_what_is_to_be_erased(self, tmp_path: Path) -> None:
        erasure = Erasure("/dev/disk/by-id/os", ("/dev/disk/by-id/data",), "02:00:00:00:00:01", (BootMethod.PXE,))
        claim = dataclasses.replace(claim_of("metal"), retiring=True, erase=erasure)
        assert records_of(tmp_path).put_claim("w1", claim, None)
        assert records_of(tmp_path).claim("w1") == claim

    def test_one_stack_sees_the_others(self, tmp_path: Path) -> None:
        assert records_of(tmp_path, "metal").put_claim("w1", claim_of("metal"), None)
        assert not records_of(tmp_path, "lab").put_claim("w1", claim_of("lab"), None)
        assert records_of(tmp_path, "lab").claim("w1") == claim_of("metal")

    def test_a_change_from_something_else_changes_nothing(self, tmp_path: Path) -> None:
        records = records_of(tmp_path)
        records.put_claim("w1", claim_of("metal"), None)
        assert not records.put_claim("w1", None, claim_of("metal", ClaimState.LEFT))
        assert not records.put_claim("w1", claim_of("lab"), None)
        assert records.claim("w1") == claim_of("metal")

    def test_it_is_given_up(self, tmp_path: Path) -> None:
        records = records_of(tmp_path)
        records.put_claim("w1", claim_of("metal"), None)
        assert records.put_claim("w1", None, claim_of("metal"))
        assert records.put_claim("w1", None, None)
        assert records.claim("w1") is None

    def test_a_claim_of_an_older_version_is_read(self, tmp_path: Path) -> None:
        records = records_of(tmp_path)
        records.put_claim("w1", dataclasses.replace(claim_of("metal"), retiring=False, machine_id=""), None)
        file = tmp_path / "records/hosts/w1.json"
        newer = ("retiring", "fault_domain")
        lines = [line for line in file.read_text().splitlines() if not any(field in line for field in newer)]
        file.write_text("\n".join(lines))
        found = records.claim("w1")
        assert found is not None
        assert (found.retiring, found.fault_domain) == (False, "")

    def test_one_of_a_time_before_machines_were_known(self, tmp_path: Path) -> None:
        records = records_of(tmp_path)
        records.put_claim("w1", claim_of("metal"), None)
        file = tmp_path / "records/hosts/w1.json"
        stored = json.loads(file.read_text())
        del stored["claim"]["identity"], stored["claim"]["fault_domain"]
        file.write_text(json.dumps(stored))
        assert records.claim("w1") == claim_of("metal")

    def test_what_its_machine_is_known_by(self, tmp_path: Path) -> None:
        known = dataclasses.replace(claim_of("metal"), identity={"serial": "4711", "mac": "a,b"})
        records_of(tmp_path).put_claim("w1", known, None)
        assert records_of(tmp_path).claim("w1") == known

    def test_only_its_owner_may_read_it(self, tmp_path: Path) -> None:
        records_of(tmp_path).put_claim("w1", claim_of("metal"), None)
        assert (tmp_path / "records/hosts/w1.json").stat().st_mode & 0o777 == 0o600
        assert (tmp_path / "records").stat().st_mode & 0o777 == 0o700

    def test_a_name_cannot_lead_out_of_the_store(self, tmp_path: Path) -> None:
        records = records_of(tmp_path, "../../etc")
        records.put_claim("../../w1", claim_of("metal"), None)
        records.record_initialised("cp1")
        written = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.json") if p.parent.name != "machines")
        assert written == ["records/hosts/%2E.%2F..%2Fw1.json", "records/stacks/%2E.%2F..%2Fetc/initialised.json"]


def renamed(claim: Claim, url: str = "") -> Claim:
    """The claim of another host, for the same controller or for that at `url`."""
    return dataclasses.replace(claim, node="x1", controller=Controller(url or claim.controller.url))


class TestOneMachineOneClaim:
    """A machine is its management controller: under another name it is still claimed."""

    @pytest.mark.parametrize("stack", ["metal", "lab"])
    @pytest.mark.parametrize("state", [ClaimState.PROVISIONING, ClaimState.JOINED])
    @pytest.mark.parametrize(
        "url",
        [
            "https://bmc-w1.example/redfish/v1/Systems/1",
            "https://BMC-w1.Example:443/redfish/v1/Systems/1/",
        ],
    )
    def test_another_name_is_refused(self, tmp_path: Path, url: str, state: ClaimState, stack: str) -> None:
        records_of(tmp_path).put_claim("w1", claim_of("metal", state), None)
        with pytest.raises(
            MachineClaimed, match=r"node x1: .* claimed for w1 by stack metal.*claims\.md#taken"
        ) as caught:
            records_of(tmp_path, stack).put_claim("x1", renamed(claim_of(stack), url), None)
        assert caught.value.found == f"{url} claimed for w1 by stack metal"
        assert records_of(tmp_path).claim("x1") is None

    def test_what_left_may_be_taken_and_not_be_taken_back(self, tmp_path: Path) -> None:
        records, left = records_of(tmp_path), claim_of("metal", ClaimState.LEFT)
        records.put_claim("w1", left, None)
        assert records.put_claim("x1", renamed(claim_of("metal")), None)
        with pytest.raises(MachineClaimed, match="claimed for x1"):
            records.put_claim("w1", claim_of("metal"), left)
        assert records.claim("w1") == left

    def test_a_claim_that_moves_to_a_claimed_controller(self, tmp_path: Path) -> None:
        records, own = records_of(tmp_path), renamed(claim_of("metal"), "https://bmc-x1.example/redfish/v1/Systems/1")
        records.put_claim("w1", claim_of("metal"), None)
        records.put_claim("x1", own, None)
        with pytest.raises(MachineClaimed, match="claimed for w1"):
            records.put_claim("x1", renamed(own, claim_of("metal").controller.url), own)

    @pytest.mark.parametrize(
        "url",
        ["https://bmc-w1.example/redfish/v1/Systems/2", "https://bmc-w1.example:8443/redfish/v1/Systems/1"],
    )
    def test_another_system_is_another_machine(self, tmp_path: Path, url: str) -> None:
        records = records_of(tmp_path)
        records.put_claim("w1", claim_of("metal"), None)
        assert records.put_claim("x1", renamed(claim_of("metal"), url), None)

    def test_its_holder_goes_on_whatever_else_was_recorded(self, tmp_path: Path) -> None:
        records, held = records_of(tmp_path), claim_of("metal")
        records.put_claim("w1", held, None)
        twice = records_of(tmp_path / "other")
        (tmp_path / "other").mkdir()
        twice.put_claim("x1", renamed(held), None)
        (tmp_path / "other/records/hosts/x1.json").rename(tmp_path / "records/hosts/x1.json")
        assert records.put_claim("w1", dataclasses.replace(held, state=ClaimState.JOINED), held)

    def test_a_claim_that_cannot_be_read_might_be_that_of_this_machine(self, tmp_path: Path) -> None:
        (tmp_path / "records/hosts").mkdir(parents=True)
        (tmp_path / "records/hosts/x1.json").write_text("{")
        with pytest.raises(NeedsAttention, match=r"x1\.json"):
            records_of(tmp_path).put_claim("w1", claim_of("metal"), None)
        assert records_of(tmp_path).claim("w1") is None

    def test_the_machine_is_locked_whatever_its_name(self, tmp_path: Path) -> None:
        left = claim_of("metal", ClaimState.LEFT)
        records_of(tmp_path).put_claim("w1", claim_of("metal"), None)
        records_of(tmp_path).put_claim("w1", left, claim_of("metal"))
        (lock,) = (tmp_path / "records/machines").glob("*.lock")
        records = DirectoryRecords(lambda: tmp_path, "metal", StillClock())
        with locked(lock, WallClock()), pytest.raises(PortError, match=r"lock .*fuser"):
            records.put_claim("x1", renamed(claim_of("metal")), None)
        assert records.claim("x1") is None

    def test_two_names_at_the_same_moment(self, tmp_path: Path) -> None:
        assert sorted(raced(tmp_path, ("metal", "w1"), ("metal", "x1"))) == ["MachineClaimed", "True"]


class TestOneMacOneClaim:
    """Two hosts with one MAC address would fetch each other's boot configuration, whatever their controllers are."""

    MAC = "52:54:00:00:0a:01"
    OTHER = "https://bmc-x1.example/redfish/v1/Systems/1"

    def held(self, records: DirectoryRecords, state: ClaimState = ClaimState.JOINED) -> Claim:
        claim = dataclasses.replace(claim_of("metal", state), mac=self.MAC)
        records.put_claim("w1", claim, None)
        return claim

    @pytest.mark.parametrize("mac", [MAC, MAC.upper()])
    def test_a_second_one_is_refused_and_told_whose_it_is(self, tmp_path: Path, mac: str) -> None:
        held = self.held(records_of(tmp_path))
        new = dataclasses.replace(renamed(held, self.OTHER), stack="lab", mac=mac)
        with pytest.raises(MachineClaimed, match=f"found MAC address {mac} claimed for w1 by stack metal"):
            records_of(tmp_path, "lab").put_claim("x1", new, None)
        assert records_of(tmp_path).claim("x1") is None

    def test_one_that_was_left_may_be_taken_and_not_be_taken_back(self, tmp_path: Path) -> None:
        records = records_of(tmp_path)
        left = self.held(records, ClaimState.LEFT)
        assert records.put_claim("x1", renamed(dataclasses.replace(left, state=ClaimState.JOINED), self.OTHER), None)
        with pytest.raises(MachineClaimed, match=r"MAC address .* claimed for x1"):
            records.put_claim("w1", dataclasses.replace(left, state=ClaimState.PROVISIONING), left)

    def test_a_claim_that_moves_to_a_claimed_port(self, tmp_path: Path) -> None:
        records = records_of(tmp_path)
        held = self.held(records)
        own = dataclasses.replace(renamed(held, self.OTHER), mac="52:54:00:00:01:02")
        records.put_claim("x1", own, None)
        with pytest.raises(MachineClaimed, match=r"MAC address .* claimed for w1"):
            records.put_claim("x1", dataclasses.replace(own, mac=self.MAC), own)

    def test_machines_that_have_none_are_no_rivals(self, tmp_path: Path) -> None:
        records = records_of(tmp_path)
        records.put_claim("w1", claim_of("metal"), None)
        assert records.put_claim("x1", renamed(claim_of("metal"), self.OTHER), None)


class TestWhoHoldsAMachine:
    """One claim is read for it, whatever the size of the fleet, and that claim decides."""

    @pytest.fixture
    def records(self, tmp_path: Path) -> DirectoryRecords:
        """With a claim that nobody can read: whoever reads all of them halts."""
        made = records_of(tmp_path)
        made.put_claim("w1", claim_of("metal"), None)
        (tmp_path / "records/hosts/broken.json").write_text("{")
        return made

    def test_no_other_claim_is_read(self, records: DirectoryRecords) -> None:
        controller = claim_of("metal").controller
        assert records.holder("x1", controller) == "w1 by stack metal"
        assert records.holder("w1", controller) == ""
        with pytest.raises(MachineClaimed, match="claimed for w1"):
            records.put_claim("x1", renamed(claim_of("metal")), None)
        left = claim_of("metal", ClaimState.LEFT)
        assert records.put_claim("w1", left, claim_of("metal"))
        assert records.put_claim("w1", claim_of("metal"), left)

    def test_one_that_left_holds_nothing_until_it_takes_it_again(self, records: DirectoryRecords) -> None:
        controller, left = claim_of("metal").controller, claim_of("metal", ClaimState.LEFT)
        records.put_claim("w1", left, claim_of("metal"))
        assert records.holder("x1", controller) == ""
        assert records.put_claim("x1", renamed(claim_of("metal")), None)
        assert records.holder("w1", controller) == "x1 by stack metal"

    def test_one_that_moved_to_another_controller_or_was_given_up(
        self, records: DirectoryRecords, tmp_path: Path
    ) -> None:
        here, there = (
            claim_of("metal"),
            renamed(claim_of("metal"), "https://bmc-x1.example/redfish/v1/Systems/1").controller,
        )
        moved = dataclasses.replace(here, controller=there)
        (tmp_path / "records/hosts/broken.json").unlink()  # the other machine is taken for the first time: all is read
        assert records.put_claim("w1", moved, here)
        assert records.holder("x1", here.controller) == ""
        assert records.holder("x1", there) == "w1 by stack metal"
        assert records.put_claim("w1", None, moved)
        assert records.holder("x1", there) == ""

    def test_a_store_from_before_machines_were_filed_is_read_whole(self, tmp_path: Path) -> None:
        records = records_of(tmp_path)
        records.put_claim("w1", claim_of("metal"), None)
        shutil.rmtree(tmp_path / "records/machines")
        assert records.holder("x1", claim_of("metal").controller) == "w1 by stack metal"
        with pytest.raises(MachineClaimed, match="claimed for w1"):
            records.put_claim("x1", renamed(claim_of("metal")), None)

    def test_killed_before_its_claim_was_written(self, tmp_path: Path) -> None:
        """The machine is filed for a host that has no claim: nobody holds it."""
        records, controller = records_of(tmp_path), claim_of("metal").controller
        (tmp_path / "records/machines").mkdir(parents=True)
        (tmp_path / "records/machines" / machine_file(controller)).write_bytes(as_filed("x1"))
        assert records.holder("w1", controller) == ""
        assert records.put_claim("w1", claim_of("metal"), None)
        assert records.holder("x1", controller) == "w1 by stack metal"

    def test_a_file_that_cannot_be_read_is_not_taken_for_none(self, tmp_path: Path) -> None:
        records, controller = records_of(tmp_path), claim_of("metal").controller
        records.put_claim("w1", claim_of("metal"), None)
        (tmp_path / "records/machines" / machine_file(controller)).write_text('{"format": 1}')
        with pytest.raises(NeedsAttention, match="without `host`"):
            records.put_claim("x1", renamed(claim_of("metal")), None)


class TestRaces:
    """Two processes want one host: one gets it."""

    def test_two_stacks_at_the_same_moment(self, tmp_path: Path) -> None:
        assert sorted(raced(tmp_path, ("metal", "w1"), ("lab", "w1"))) == ["False", "True"]
        assert records_of(tmp_path).claim("w1") in (claim_of("metal"), claim_of("lab"))

    def test_a_lock_that_stays_held_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "records/hosts").mkdir(parents=True)
        lock = tmp_path / "records/hosts/w1.lock"
        records = DirectoryRecords(lambda: tmp_path, "metal", StillClock())
        with locked(lock, WallClock()), pytest.raises(PortError, match=rf"w1\.lock.*{LOCK_LIMIT_S:.0f} s.*fuser"):
            records.put_claim("w1", claim_of("metal"), None)
        assert records.claim("w1") is None


class TestInitialised:
    """Written once, by one node, for one stack."""

    def test_the_first_node_keeps_it(self, tmp_path: Path) -> None:
        records = records_of(tmp_path)
        assert records.initialised_by() is None
        assert records.record_initialised("cp1")
        assert records.record_initialised("cp1")
        assert not records.record_initialised("cp2")
        assert records.initialised_by() == "cp1"

    def test_each_stack_has_its_own(self, tmp_path: Path) -> None:
        records_of(tmp_path, "metal").record_initialised("cp1")
        assert records_of(tmp_path, "hosts").initialised_by() is None


class TestInitialising:
    """One node at a time is told to, until it is forgotten."""

    def test_by_the_first(self, tmp_path: Path) -> None:
        records = records_of(tmp_path)
        assert records.initialising_by() is None
        assert records.record_initialising("cp1")
        assert records.record_initialising("cp1")
        assert not records.record_initialising("cp2")
        records.forget_initialising("cp2")
        assert records.initialising_by() == "cp1"
        records.forget_initialising("cp1")
        assert records.record_initialising("cp2")
        assert records.initialised_by() is None


class TestBrokenRecords:
    """What cannot be read is an error: a host must not look free, nor a cluster uninitialised."""

    @pytest.mark.parametrize(
        "text", ["", "{", "[]", '{"format": 2}', '{"format": 1}', '{"format": 1, "claim": {"x": 1}}']
    )
    def test_a_claim(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "records/hosts").mkdir(parents=True)
        (tmp_path / "records/hosts/w1.json").write_text(text)
        with pytest.raises(NeedsAttention, match=r"record .*w1\.json.*never delete"):
            records_of(tmp_path).claim("w1")
        with pytest.raises(NeedsAttention):
            records_of(tmp_path).put_claim("w1", claim_of("metal"), None)
        assert (tmp_path / "records/hosts/w1.json").read_text() == text

    def test_the_initialised_record(self, tmp_path: Path) -> None:
        records_of(tmp_path).record_initialised("cp1")
        (tmp_path / "records/stacks/metal/initialised.json").write_text('{"format": 1}')
        with pytest.raises(NeedsAttention, match=r"initialised\.json.*without `node`"):
            records_of(tmp_path).record_initialised("cp2")

    def test_a_store_that_is_not_there_is_not_an_empty_one(self, tmp_path: Path) -> None:
        with pytest.raises(NeedsAttention, match=r"absent.*no such directory.*mount"):
            records_of(tmp_path / "absent").initialised_by()
        assert list(tmp_path.iterdir()) == []

    def test_a_write_that_fails_leaves_the_old_record(self, tmp_path: Path) -> None:
        records = records_of(tmp_path)
        records.put_claim("w1", claim_of("metal"), None)
        file = tmp_path / "records/hosts/w1.json"
        before = file.read_text()
        file.unlink()
        file.mkdir()  # a directory in its place: neither readable as a record nor replaceable
        with pytest.raises(NeedsAttention):
            records.put_claim("w1", claim_of("lab"), claim_of("metal"))
        file.rmdir()
        file.write_text(before)
        assert records.claim("w1") == claim_of("metal")
        assert [p.name for p in file.parent.iterdir() if p.name.startswith(".new-")] == []
