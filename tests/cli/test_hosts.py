"""Many controllers at once: each gets its answer or its error, within one limit."""

from __future__ import annotations

import threading
from pathlib import Path

from typer.testing import CliRunner

from cli.hosts import app, at_once, told
from lifecycle.adapters.clock import WallClock
from lifecycle.errors import NeedsAttention, PortError
from lifecycle.hosts import Finding, Proof
from tests.lifecycle.adapters.wire_server import StillClock


class TestAtOnce:
    """None waits for another."""

    def test_all_are_asked_before_any_has_answered(self) -> None:
        gate = threading.Barrier(20, timeout=60)
        found = at_once({f"w{n}": gate.wait for n in range(20)}, WallClock(), 60)
        assert {type(answer) for answer in found.values()} == {int}

    def test_one_that_fails_is_asked_again_no_sooner_than_it_says(self) -> None:
        clock, met = StillClock(), [PortError("BMC of w1", "HTTP 503", "wait", retry_after_s=20)]

        def ask() -> str:
            if met:
                raise met.pop()
            return "it answers"

        assert at_once({"w1": ask}, clock, 60) == {"w1": "it answers"}
        assert clock.slept == [20]

    def test_one_that_fails_twice_says_how(self) -> None:
        def ask() -> str:
            raise PortError("BMC of w1", "HTTP 500", "restart it")

        found = at_once({"w1": ask, "w2": lambda: "it answers"}, StillClock(), 60)
        assert (str(found["w1"]), found["w2"]) == (
            "BMC of w1: expected an answer, found HTTP 500. Remedy: restart it",
            "it answers",
        )

    def test_what_asking_again_cannot_help_is_asked_once(self) -> None:
        asked: list[int] = []

        def ask() -> str:
            asked.append(1)
            raise NeedsAttention("BMC of w1", "HTTP 401", "correct the password")

        assert isinstance(at_once({"w1": ask}, StillClock(), 60)["w1"], NeedsAttention)
        assert len(asked) == 1

    def test_one_that_is_silent_is_named_when_the_limit_is_over(self) -> None:
        over = threading.Event()
        try:
            found = at_once({"w1": lambda: over.wait(60), "w2": lambda: True}, WallClock(), 2.0)
        finally:
            over.set()
        assert "BMC of w1: expected an answer, found no whole answer within 2 s" in str(found["w1"])
        assert found["w2"] is True

    def test_nobody(self) -> None:
        assert at_once({}, StillClock(), 60) == {}


class TestTold:
    """For a person: what was proven is counted."""

    FOUND = (
        Finding("w1", "controller", Proof.PROVEN, "it answers"),
        Finding("w1", "mac", Proof.WRONG, "another", "correct `mac`"),
        Finding("w2", "mac", Proof.WRONG, "another", "correct `mac`"),
        Finding("w2", "OS disk", Proof.UNPROVEN, "not listed"),
    )

    def test_what_is_open_and_the_verdict(self) -> None:
        lines = told("metal", 2, self.FOUND, everything=False).splitlines()
        assert not any("it answers" in line for line in lines)
        assert lines[-2:] == ["w1, w2: correct `mac`", "metal: 2 hosts; 1 proven, 1 not proven, 2 wrong"]

    def test_all(self) -> None:
        assert "it answers" in told("metal", 2, self.FOUND, everything=True)


class TestImport:
    """From one source at a time, and nothing but the block on stdout."""

    def test_of_a_file(self, tmp_path: Path) -> None:
        file = tmp_path / "servers.csv"
        file.write_text(
            "name,bmc_url,mac,os_disk,fault_domain\n"
            "w1,https://bmc-w1.example/redfish/v1/Systems/1,52:54:00:00:02:01,/dev/disk/by-id/nvme-OS_1,rack-a\n"
        )
        done = CliRunner().invoke(app, ["import", "--csv", str(file)])
        assert (done.exit_code, done.stderr) == (0, "")
        assert done.stdout.startswith("hosts:\n  w1:\n")

    def test_with_a_problem_there_is_no_block(self, tmp_path: Path) -> None:
        file = tmp_path / "servers.csv"
        file.write_text("name,bmc_url,mac,os_disk,fault_domain\nw1,https://u:s3cret@bmc,s3cret,/dev/sda,rack-a\n")
        done = CliRunner().invoke(app, ["import", "--csv", str(file)])
        assert (done.exit_code, done.stdout) == (1, "")
        assert done.stderr.count("line 2, ") == 3
        assert "s3cret" not in done.stderr

    def test_needs_one_source(self, tmp_path: Path) -> None:
        for arguments in (["import"], ["import", "192.0.2.1", "--csv", "servers.csv"]):
            assert CliRunner().invoke(app, arguments).exit_code == 2

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        done = CliRunner().invoke(app, ["import", "--csv", str(tmp_path / "none.csv")])
        assert done.exit_code == 2
        assert "none.csv" in "".join(part.strip(" │") for part in done.stderr.splitlines())  # however it is wrapped
