"""The roll's Lease: as Kubernetes' own controllers write theirs, one writer wins, a lost answer is looked up."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lifecycle.adapters.engine_process import EngineProcess
from lifecycle.adapters.roll import LeaseRolls
from lifecycle.errors import PortError
from lifecycle.ports import Roll, Run
from tests.lifecycle.adapters.api_server import connected
from tests.lifecycle.adapters.wire_server import Asked, Reply, StillClock, Wire

LEASES = "/apis/coordination.k8s.io/v1/namespaces/ingot-system/leases"
LEASE = f"{LEASES}/ingot-roll"
RUN = Run("laptop/4711/1800000000", "laptop", "boot/pid", 4711, 1_800_000_000.25)
ROLL = Roll(RUN, 2, 1_800_000_000.5, 1_800_000_100.125)


class Store:
    """A Lease as an API server keeps it."""

    def __init__(self, wire: Wire) -> None:
        self.body: dict[str, Any] = {}
        self.version, self.namespace, self.lose_answers = 0, True, False
        wire.on("GET", LEASE, self.read)
        wire.on("POST", LEASES, self.create)
        wire.on("PUT", LEASE, self.replace)
        wire.on("POST", "/api/v1/namespaces", self.make_namespace)

    def read(self, asked: Asked) -> Reply:
        return Reply(body=self.body) if self.version else Reply(404, {"message": "not found"})

    def make_namespace(self, asked: Asked) -> Reply:
        self.namespace = True
        return Reply(201, {})

    def create(self, asked: Asked) -> Reply:
        if not self.namespace:
            return Reply(404, {"message": 'namespaces "ingot-system" not found'})
        return Reply(409, {"reason": "AlreadyExists"}) if self.version else self._write(asked.body)

    def replace(self, asked: Asked) -> Reply:
        stale = asked.body["metadata"]["resourceVersion"] != str(self.version)
        return Reply(409, {"reason": "Conflict"}) if stale else self._write(asked.body)

    def _write(self, body: dict[str, Any]) -> Reply:
        self.version += 1
        self.body = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self.version)}}
        return Reply(reset=True) if self.lose_answers else Reply(body=self.body)


@pytest.fixture
def store(wire: Wire) -> Store:
    return Store(wire)


@pytest.fixture
def rolls(wire: Wire, clock: StillClock) -> LeaseRolls:
    return LeaseRolls(connected(wire.url, clock), EngineProcess({}))


class TestTheLease:
    """Compare-and-swap on the resourceVersion; what is written is read again."""

    def test_there_is_none_before_the_first_roll(self, store: Store, rolls: LeaseRolls) -> None:
        assert rolls.read() == (None, "")

    def test_what_is_written_is_read(self, store: Store, rolls: LeaseRolls) -> None:
        assert rolls.write(ROLL, "")
        assert rolls.read() == (ROLL, "1")

    def test_it_says_what_kubectl_shows(self, store: Store, rolls: LeaseRolls) -> None:
        rolls.write(ROLL, "")
        assert store.body["spec"] == {
            "holderIdentity": "laptop/4711/1800000000",
            "leaseDurationSeconds": 60,
            "acquireTime": "2027-01-15T08:00:00.500000Z",
            "renewTime": "2027-01-15T08:01:40.125000Z",
            "leaseTransitions": 2,
        }

    def test_the_first_write_makes_the_namespace(self, store: Store, rolls: LeaseRolls) -> None:
        store.namespace = False
        assert rolls.write(ROLL, "")
        assert store.namespace

    def test_a_second_first_write_loses(self, store: Store, rolls: LeaseRolls) -> None:
        assert rolls.write(ROLL, "")
        assert not rolls.write(replace(ROLL, generation=9), "")

    def test_a_write_over_an_older_version_loses(self, store: Store, rolls: LeaseRolls) -> None:
        rolls.write(ROLL, "")
        rolls.write(replace(ROLL, generation=3), "1")
        assert not rolls.write(replace(ROLL, generation=4), "1")
        assert store.body["spec"]["leaseTransitions"] == 3

    def test_a_write_over_one_that_was_deleted_loses(self, store: Store, rolls: LeaseRolls, wire: Wire) -> None:
        wire.on("PUT", LEASE, Reply(404, {"message": "not found"}))
        assert not rolls.write(ROLL, "4")

    def test_one_that_a_person_wrote_names_its_holder(self, store: Store, rolls: LeaseRolls) -> None:
        rolls.write(ROLL, "")
        store.body["spec"] = {"holderIdentity": "ann"}
        assert rolls.read() == (Roll(Run("ann"), 0, 0, 0), "1")

    def test_its_age_is_the_servers_whatever_the_runners_clock_says(self, store: Store, rolls: LeaseRolls) -> None:
        rolls.write(replace(ROLL, renewed_s=0), "")
        before = datetime.now(UTC) - timedelta(seconds=100)
        spec: dict[str, Any] = {"f:spec": {"f:holderIdentity": {}, "f:renewTime": {}}}
        store.body["metadata"]["managedFields"] = [
            {"manager": "kubectl", "time": datetime.now(UTC).isoformat(), "fieldsV1": {"f:metadata": {}}},
            {"manager": "runner", "time": before.strftime("%Y-%m-%dT%H:%M:%SZ"), "fieldsV1": spec},
        ]
        read = rolls.read()[0]
        assert read is not None
        assert read.age_s is not None
        assert 99 <= read.age_s < 160

    @pytest.mark.parametrize("time", [None, "", "yesterday"])
    def test_its_age_is_unknown_if_the_server_does_not_say(self, store: Store, rolls: LeaseRolls, time: object) -> None:
        rolls.write(ROLL, "")
        fields: dict[str, Any] = {"f:spec": {"f:renewTime": {}}}
        store.body["metadata"]["managedFields"] = [{"time": time, "fieldsV1": fields}]
        read = rolls.read()[0]
        assert read is not None
        assert read.age_s is None

    def test_one_that_does_not_fit_is_an_error(self, store: Store, rolls: LeaseRolls) -> None:
        rolls.write(ROLL, "")
        store.body["spec"]["renewTime"] = "yesterday"
        with pytest.raises(PortError, match=r"Lease ingot-system/ingot-roll.*yesterday.*delete lease ingot-roll"):
            rolls.read()


class TestLostAnswers:
    """Whether it was written is read, not guessed."""

    @pytest.mark.parametrize("version", ["", "1"])
    def test_a_write_that_took_place_counts(self, store: Store, rolls: LeaseRolls, version: str) -> None:
        if version:
            rolls.write(replace(ROLL, generation=1), "")
        store.lose_answers = True
        assert rolls.write(ROLL, version)

    def test_a_write_that_did_not_is_an_error(self, wire: Wire, store: Store, rolls: LeaseRolls) -> None:
        rolls.write(ROLL, "")
        wire.on("PUT", LEASE, Reply(500, {"message": "etcdserver: request timed out"}))
        with pytest.raises(PortError, match=r"roll, replace.*request timed out"):
            rolls.write(replace(ROLL, generation=3), "1")

    @pytest.mark.parametrize("version", ["", "1"])
    def test_a_write_that_a_storm_kept_off_is_tried_again(
        self, wire: Wire, store: Store, rolls: LeaseRolls, version: str
    ) -> None:
        if version:
            rolls.write(replace(ROLL, generation=1), "")
        wire.on("POST", LEASES, Reply(503), store.create)
        wire.on("PUT", LEASE, Reply(reset=True), store.replace)
        assert rolls.write(ROLL, version)
        assert rolls.read()[0] == ROLL

    def test_a_write_that_somebody_else_overtook_loses(self, wire: Wire, store: Store, rolls: LeaseRolls) -> None:
        rolls.write(ROLL, "")

        def overtaken(asked: Asked) -> Reply:
            body = dict(asked.body)
            body["spec"] = {**body["spec"], "holderIdentity": "theirs"}
            store.replace(replace(asked, body=body))
            return Reply(500, {"message": "etcdserver: leader changed"})

        wire.on("PUT", LEASE, overtaken)
        assert not rolls.write(replace(ROLL, generation=3), "1")


class TestKeeping:
    """While a step is at work the Lease is renewed, whatever the step waits for; afterwards it is not."""

    def test_renews_until_the_end(self, rolls: LeaseRolls) -> None:
        renewed, over = threading.Event(), threading.Event()
        count = [0]

        def renew() -> None:
            count[0] += 1
            if count[0] == 2:
                renewed.set()
                over.wait(5)

        with rolls.keep(renew, 0.001):
            assert renewed.wait(5)
        over.set()
        for thread in [t for t in threading.enumerate() if t.name == "ingot-roll"]:
            thread.join(5)
        assert count[0] == 2

    def test_renews_on_after_a_failure_that_nobody_foresaw(self, rolls: LeaseRolls) -> None:
        renewed = threading.Event()
        tries: list[int] = []

        def renew() -> None:
            tries.append(len(tries))
            if len(tries) == 1:
                raise OSError("too many open files")
            renewed.set()

        with rolls.keep(renew, 0.001):
            assert renewed.wait(5)
