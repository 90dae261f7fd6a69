"""A fleet on AWS, on the real engine, with every call judged by AWS's models and moto: up, roll, and what breaks."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from components.images import lock
from lifecycle import ec2
from rehearsal.aws.calls import Call
from rehearsal.session import IMAGES, ROOT
from tests.rehearsal.fleet import NEW, OLD, Fleet, Outcome
from tests.rehearsal.on_aws import CONTROL_PLANES, HOSTS, REGION, STORING, calls, copied, seen, small


@dataclass(frozen=True)
class Rolled:
    """A fleet on AWS after its roll, what the roll did, and what was asked of AWS for it."""

    fleet: Fleet
    before: Fleet
    outcome: Outcome
    asked: list[Call]


@pytest.fixture(scope="module")
def rolled(aws_up: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Rolled:
    fleet = copied(aws_up, tmp_path_factory.mktemp("rolled"))
    return Rolled(fleet, aws_up, fleet.up(NEW, change=small), calls(fleet)[len(calls(aws_up)) :])


@pytest.fixture
def own(aws_up: Fleet, tmp_path: Path) -> Fleet:
    """The same fleet, this test's own."""
    return copied(aws_up, tmp_path)


def ami(version: str) -> str:
    return lock.load(IMAGES).release("fedora-coreos", version, "aarch64").amis[REGION]


def host_of(call: Call) -> str:
    """The host that a launch is for, by the tags that it is asked for with."""
    tags = [tag for spec in call.parameters["TagSpecifications"] for tag in spec["Tags"]]
    return next(str(tag["Value"]) for tag in tags if tag["Key"] == ec2.HOST_TAG)


def of(asked: list[Call], operation: str) -> list[Call]:
    """Those that were done."""
    return [c for c in asked if c.operation == operation and not c.error]


class TestABringUp:
    """From an empty account."""

    def test_gives_each_host_one_instance_of_the_pinned_image(self, aws_up: Fleet) -> None:
        with seen(aws_up) as account:
            running = account.instances("running")
            assert {h: len(i) for h, i in account.by_host(running, "InstanceId").items()} == dict.fromkeys(HOSTS, 1)
            assert {i["ImageId"] for i in running} == {ami(OLD)}
            assert len(account.instances()) == len(HOSTS)

    def test_lets_no_pod_take_on_a_machines_role(self, aws_up: Fleet) -> None:
        with seen(aws_up) as account:
            options = [i["MetadataOptions"] for i in account.instances()]
        assert {(o["HttpTokens"], o["HttpPutResponseHopLimit"]) for o in options} == {("required", 1)}

    def test_encrypts_every_volume(self, aws_up: Fleet) -> None:
        with seen(aws_up) as account:
            volumes = account.ec2("describe_volumes", "Volumes")
        assert [v["VolumeId"] for v in volumes if not v["Encrypted"]] == []
        assert len(volumes) == len(HOSTS) + len(STORING)

    def test_attaches_to_each_host_what_is_its_own(self, aws_up: Fleet) -> None:
        with seen(aws_up) as account:
            instances = account.by_host(account.instances(), "InstanceId")
            volumes = account.ec2("describe_volumes", "Volumes", VolumeIds=list(account.volumes().values()))
            held = account.by_host(volumes, "Attachments")
            assert {h: a[0][0]["InstanceId"] for h, a in held.items()} == {h: instances[h][0] for h in STORING}
            addresses = account.by_host(account.instances(), "PrivateIpAddress")
            fixed = CONTROL_PLANES + STORING
            assert account.addresses() == {h: addresses[h][0] for h in fixed}

    def test_leads_the_api_to_the_control_planes(self, aws_up: Fleet) -> None:
        with seen(aws_up) as account:
            elb = account.account.client("elbv2", REGION)
            (group,) = elb.describe_target_groups()["TargetGroups"]
            health = elb.describe_target_health(TargetGroupArn=group["TargetGroupArn"])["TargetHealthDescriptions"]
            addresses = account.addresses()
        assert sorted(h["Target"]["Id"] for h in health) == sorted(addresses[cp] for cp in CONTROL_PLANES)


class TestARoll:
    """Every node is replaced, and what outlives a node is as it was."""

    def test_ends_with_every_node_on_the_next_image(self, rolled: Rolled) -> None:
        assert rolled.outcome.error == ""
        rolled.outcome.assert_whole(NEW, HOSTS)
        with seen(rolled.fleet) as account:
            running = account.instances("running")
            assert {h: len(i) for h, i in account.by_host(running, "InstanceId").items()} == dict.fromkeys(HOSTS, 1)
            assert {i["ImageId"] for i in account.instances()} == {ami(NEW)}
        assert sorted(map(host_of, of(rolled.asked, "RunInstances"))) == sorted(HOSTS)

    def test_keeps_each_data_volume_and_what_is_on_it(self, rolled: Rolled) -> None:
        with seen(rolled.before) as account:
            before = account.volumes()
        with seen(rolled.fleet) as account:
            assert account.volumes() == before
            volumes = account.ec2("describe_volumes", "Volumes", VolumeIds=list(before.values()))
            instances = account.by_host(account.instances(), "InstanceId")
            held = account.by_host(volumes, "Attachments")
            assert {h: a[0][0]["InstanceId"] for h, a in held.items()} == {h: instances[h][0] for h in STORING}
        markers = {h: dict(rolled.outcome.world.hosts[h].markers) for h in STORING}
        assert markers == {h: {before[h]: f"{h} data"} for h in STORING}

    def test_keeps_each_address(self, rolled: Rolled) -> None:
        with seen(rolled.before) as account:
            before = account.addresses()
        with seen(rolled.fleet) as account:
            assert account.addresses() == before

    def test_asks_for_nothing_but_new_templates_and_machines(self, rolled: Rolled) -> None:
        """So nothing that serves a node is pulled from it: its volumes go by its end, its targets not at all."""
        done = {c.operation for c in rolled.asked if not c.error and c.service != "rack"}
        assert done == {
            "CreateLaunchTemplateVersion",
            "ModifyLaunchTemplate",
            "TerminateInstances",
            "RunInstances",
            "AttachVolume",
        }

    def test_ends_an_instance_only_once_its_node_left(self, rolled: Rolled) -> None:
        """And launches the next only once that one is gone."""
        ended = {c.parameters["InstanceIds"][0]: c.at_s for c in of(rolled.asked, "TerminateInstances")}
        gone = {c.parameters["instance"]: c.at_s for c in rolled.asked if c.operation == "ends"}
        launched = {host_of(c): c.at_s for c in of(rolled.asked, "RunInstances")}
        with seen(rolled.before) as account:
            instances = account.by_host(account.instances(), "InstanceId")
        left = {e["node"]: e["at"] for e in rolled.outcome.journal if e["kind"] == "step" and e["verb"] == "release"}
        for host, (instance,) in instances.items():
            assert left[host] <= ended[instance] < gone[instance] <= launched[host]

    def test_shows_the_new_image_in_a_preview(self, own: Fleet) -> None:
        before = calls(own)
        shown = own.preview(NEW, change=small)
        assert shown.error == ""
        updated = [s for s in shown.steps if s.split()[0] == "update"]
        assert sorted(s.split()[1] for s in updated) == [f"{p}.template" for p in ("control-plane", "web", "workers")]
        assert ami(NEW) in shown.said
        assert [c.operation for c in calls(own)[len(before) :]] == ["image"], "a preview changed something"


class TestOneSeed:
    """Gives one account and one report, whichever of the engine's calls came first."""

    @pytest.mark.faults
    def test_whatever_came_first(self, aws_up: Fleet, tmp_path: Path) -> None:
        again = Fleet(tmp_path / "aws", "aws")
        outcome = again.up(OLD, change=small)
        assert outcome.error == ""
        one, other = ({c.content for c in calls(f) if not c.error} for f in (aws_up, again))
        assert one ^ other == set()
        first, second = aws_up.world(), again.world()
        assert (first.now_s, first.hosts) == (second.now_s, second.hosts)

    def test_and_no_rack_of_metal_loads_what_serves_it(self) -> None:
        code = (
            "import sys, rehearsal.rehearse, rehearsal.saved, rehearsal.serve\n"
            "sys.exit(' '.join(m for m in ('boto3', 'botocore', 'moto', 'pulumi_aws') if m in sys.modules) or None)"
        )
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


def killed_up(fleet: Fleet, version: str, fault: str) -> int:
    """Run `up` in a process of its own, with a fault that kills; its exit code."""
    code = (
        "import sys; from pathlib import Path; from tests.rehearsal.fleet import Fleet; "
        "from tests.rehearsal.on_aws import small; fleet = Fleet(Path(sys.argv[1]), 'aws'); "
        "sys.exit(1 if 'halted' in fleet.up(sys.argv[2], sys.argv[3], change=small).error else 0)"
    )
    arguments = [sys.executable, "-c", code, str(fleet.folder), version, fault]
    return subprocess.run(arguments, cwd=ROOT, capture_output=True, timeout=300, check=False).returncode


KILLS = [("program", "machines.install:w1")]
MORE_KILLS = [
    (victim, f"machines.{call}:{host}")
    for call in ("install", "power_off", "identity")
    for victim, host in (("engine", "cp1"), ("program", "w2"), ("both", "web1"))
]


@pytest.mark.faults
class TestALaunchThatWasCutOff:
    """The instance is there and nobody has its id: the next up finds it by its tags and goes on with it."""

    @pytest.mark.parametrize(("victim", "call"), KILLS)
    def test_is_gone_on_with(self, own: Fleet, victim: str, call: str) -> None:
        host = call.partition(":")[2]
        before = len(calls(own))
        ended = killed_up(own, NEW, f"kill:{victim}:{call}")
        assert ended == (1 if victim == "engine" else -signal.SIGKILL), "the run did not end by the kill"
        launched = [c for c in of(calls(own)[before:], "RunInstances") if host_of(c) == host]
        assert len(launched) == 1, "the kill came before the launch"
        resumed = own.up(NEW, change=small)
        assert resumed.error == ""
        resumed.assert_whole(NEW, HOSTS)
        assert [host_of(c) for c in of(calls(own)[before:], "RunInstances")].count(host) == 1
        notes = [e["text"] for e in resumed.journal if e["kind"] == "note" and e["node"] == host]
        assert "a machine of this generation is coming already: it is gone on with" in notes
        with seen(own) as account:
            assert {h: len(i) for h, i in account.by_host(account.instances(), "InstanceId").items()}[host] == 1

    @pytest.mark.parametrize(("victim", "call"), MORE_KILLS)
    def test_at_each_call_leaves_one_instance_a_host(self, own: Fleet, victim: str, call: str) -> None:
        killed_up(own, NEW, f"kill:{victim}:{call}")
        resumed = own.up(NEW, change=small)
        assert resumed.error == ""
        resumed.assert_whole(NEW, HOSTS)
        with seen(own) as account:
            assert {h: len(i) for h, i in account.by_host(account.instances(), "InstanceId").items()} == dict.fromkeys(
                HOSTS, 1
            )

    def test_also_on_the_first_bring_up(self, engine: Path, tmp_path: Path) -> None:
        fleet = Fleet(tmp_path / "aws", "aws")
        assert killed_up(fleet, OLD, "kill:program:machines.install:w1") == -signal.SIGKILL
        resumed = fleet.up(OLD, change=small)
        assert resumed.error == ""
        assert sorted(host_of(c) for c in of(calls(fleet), "RunInstances")) == sorted(HOSTS)


def answers(asked: list[Call], host: str) -> list[str]:
    """With what each launch of a host was refused, "" for the one that was not."""
    return [c.error for c in asked if c.operation == "RunInstances" and host_of(c) == host]


@pytest.mark.faults
class TestCapacity:
    """Another type, or another zone, is taken where the stack file allows it."""

    def test_of_a_type_is_had_of_the_next(self, own: Fleet) -> None:
        before = len(calls(own))
        roll = own.up(NEW, "no-capacity:c7g.xlarge", change=small)
        assert roll.error == ""
        roll.assert_whole(NEW, HOSTS)
        assert answers(calls(own)[before:], "web1") == ["InsufficientInstanceCapacity", ""]
        with seen(own) as account:
            types = account.by_host(account.instances(), "InstanceType")
        assert types["web1"] == ["c6g.xlarge"]

    def test_of_a_zone_is_had_in_the_next_which_is_then_the_nodes_fault_domain(self, own: Fleet) -> None:
        roll = own.up(OLD, f"no-capacity:{REGION}a", change=small, replace=("web1",))
        assert roll.error == ""
        roll.assert_whole(OLD, HOSTS)
        assert roll.world.hosts["web1"].fault_domain == roll.world.claims["web1"].fault_domain == f"{REGION}b"
        assert '"fault_domain":"eu-central-1b"' in roll.world.roster.replace(" ", "")

    def test_that_nobody_has_halts_and_says_all_that_was_asked(self, own: Fleet) -> None:
        halted = own.up(NEW, "no-capacity:m7g.2xlarge", change=small)
        assert halted.nodes_asked("leave")[-1] == "w1"
        assert "m7g.2xlarge in eu-central-1a: InsufficientInstanceCapacity" in halted.error
        assert "runbooks/aws.md" in halted.error
        assert halted.broken == []
        resumed = own.up(NEW, change=small)
        assert resumed.error == ""
        resumed.assert_whole(NEW, HOSTS)


@dataclass(frozen=True)
class Case:
    """fault: a spec. named: what the error must contain. halted: the node at which the roll stops, "" for none."""

    fault: str
    named: tuple[str, ...]
    halted: str


CASES = [
    Case("terminates:w2", ("w2", "Client.InternalError", "runbooks/aws.md#ended"), "w2"),
    Case("volume-attached:w2", ("w2", "vol-", "terminated"), "w2"),
    Case("throttled:RunInstances", ("RequestLimitExceeded", "cp1"), "cp1"),
    Case("never-boots:w2", ("w2",), "w2"),
    Case("throttled:TerminateInstances", ("RequestLimitExceeded", "cp1"), "cp1"),
    Case("throttled:DescribeInstances", ("RequestLimitExceeded",), ""),
    Case("throttled:AttachVolume", ("RequestLimitExceeded", "w1"), "w1"),
    Case("fails:machines.install:w3", ("w3",), "w3"),
    Case("never-joins:cp2", ("cp2",), "cp2"),
]


@pytest.mark.faults
class TestFaults:
    """Halt at the node, are named, and are forgotten once their cause is gone."""

    @pytest.mark.parametrize("case", CASES, ids=lambda c: c.fault)
    def test_case(self, own: Fleet, case: Case) -> None:
        with seen(own) as account:
            before = account.volumes()
        halted = own.up(NEW, case.fault, change=small)
        assert halted.error, "the roll went on"
        assert [word for word in (*case.named, "Remedy") if word not in halted.error] == []
        assert "Traceback" not in halted.error
        assert halted.broken == []
        if case.halted:
            assert halted.nodes_asked("leave")[-1] == case.halted
        resumed = own.up(NEW, change=small)
        assert resumed.error == ""
        resumed.assert_whole(NEW, HOSTS)
        with seen(own) as account:
            assert account.volumes() == before

    def test_a_limit_that_passes_is_waited_out(self, own: Fleet) -> None:
        roll = own.up(NEW, "throttled:RunInstances:2", change=small)
        assert roll.error == ""
        roll.assert_whole(NEW, HOSTS)
        assert [c.error for c in calls(own) if c.fault] == ["RequestLimitExceeded"] * 2
