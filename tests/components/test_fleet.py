"""What a fleet registers: names, options, commands and order, as the engine gets them."""

from __future__ import annotations

import base64
import functools
import json
from collections.abc import Mapping
from typing import Any

import pulumi
import pytest

from components.environment import Environment
from components.fleet import Fleet, FleetArgs, fleet_digest, retired, server_url
from components.rollout.steps import NO_UPDATE, StepHalted
from components.storage.policy import PolicyRefused
from lifecycle.commands import Step, Verb, parse
from tests.components.program import SECRET, Monitor, roster, run

CONTROL = ("cp1", "cp2", "cp3")
WORKERS = ("w1", "w2", "w3", "w4")
COMMAND = "command:local:Command"


def host(number: int, **more: object) -> dict[str, object]:
    return {
        "bmc": {"url": f"https://bmc{number}.example/redfish/v1/Systems/1"},
        "mac": f"52:54:00:00:00:{number:02x}",
        "os_disk": f"/dev/disk/by-id/os-{number}",
        "fault_domain": f"rack-{number % 3}",
        **more,
    }


def environment(
    pools: Mapping[str, tuple[str, ...]] | None = None,
    *,
    give_up: frozenset[str] = frozenset(),
    **cluster: object,
) -> Environment:
    """Three control planes and pools of workers."""
    pools = {"workers": WORKERS} if pools is None else pools
    number = iter(range(1, 100))

    def pool(role: str, hosts: tuple[str, ...]) -> dict[str, object]:
        return {
            "role": role,
            "machines": {"kind": "bare-metal", "hosts": {h: host(next(number), retire=h in give_up) for h in hosts}},
        }

    document: dict[str, Any] = {
        "cluster": {"name": "metal", "kubernetes": "v1.36.3", "endpoint": "api.metal.example", **cluster},
        "image": {"os": "fedora-coreos", "version": "44.20260621.3.1"},
        "boot_store": {"kind": "directory", "url": "https://boot.metal.example", "directory": "/srv/ingot"},
        "pools": {
            "control-plane": pool("control-plane", CONTROL),
            **{name: pool("worker", hosts) for name, hosts in pools.items()},
        },
        "storage": {
            "driver": {"chart_version": "26.2.8", "cluster_id": "c1", "pool_name": "p1"},
            "nodes": list(pools),
            "policies": {"fast": {"default": True}},
        },
    }
    return Environment.model_validate(document)


def args(of: Environment, generation: str = "a" * 16) -> FleetArgs:
    return FleetArgs(environment=of, generations={name: generation for _, name, _ in of.hosts()})


@functools.cache
def rolling() -> Monitor:
    """A fleet that serves already, registered once for all tests that only read."""
    return register(environment())


@functools.cache
def first() -> Monitor:
    """A first bring-up, registered once for all tests that only read."""
    return register(environment(), Monitor())


def register(of: Environment, monitor: Monitor | None = None, generation: str = "a" * 16) -> Monitor:
    """Register a fleet; by default one that serves already, so that it rolls."""
    monitor = Monitor(roster=roster({name: "in" for _, name, _ in of.hosts()})) if monitor is None else monitor

    def program() -> None:
        fleet = Fleet("metal", args(of, generation))
        pulumi.export("kubeconfig", fleet.kubeconfig)
        pulumi.export("standing", fleet.standing)

    return run(program, monitor)


def order(monitor: Monitor, *suffixes: str) -> list[str]:
    return [name for name in monitor.names(COMMAND) if name.endswith(suffixes)]


class TestNodeIsThreeResources:
    """Named by the host alone, each replaced old one first, each triggered by the one before."""

    def test_machine_is_triggered_by_what_it_boots(self) -> None:
        machine = register(environment(), generation="b" * 16).one("w1.machine")
        assert machine.inputs["triggers"] == ["b" * 16]
        assert machine.delete_before_replace

    def test_membership_and_readiness_are_triggered_by_the_one_before(self) -> None:
        monitor = rolling()
        assert monitor.one("w1.membership").inputs["triggers"] == ["id of w1.machine"]
        assert monitor.one("w1.readiness").inputs["triggers"] == ["id of w1.membership"]
        assert monitor.one("w1.membership").delete_before_replace
        assert monitor.one("w1.readiness").delete_before_replace

    @pytest.mark.parametrize(
        ("resource", "create", "delete"),
        [
            ("machine", Verb.PROVISION, Verb.RELEASE),
            ("membership", Verb.ENROL, Verb.LEAVE),
            ("readiness", Verb.JOIN, None),
        ],
    )
    def test_runs_its_own_verbs(self, resource: str, create: Verb, delete: Verb | None) -> None:
        inputs = rolling().one(f"w1.{resource}").inputs
        stored = {key: inputs[key] for key in ("create", "delete") if key in inputs}
        verbs = {"create": create} | ({"delete": delete} if delete else {})
        assert {key: parse(line) for key, line in stored.items()} == {
            key: Step(verb, "metal", "w1", "a" * 16) for key, verb in verbs.items()
        }

    def test_makes_no_component_of_its_own(self) -> None:
        few, more = (len(register(environment({"workers": WORKERS[:n]})).registered) for n in (3, 4))
        assert more - few == 3


class TestStoredCommands:
    """Nothing is stored but the command line and what replaces it."""

    def test_carry_no_environment_and_no_directory(self) -> None:
        commands = [r for r in rolling().registered if r.type == COMMAND]
        assert len(commands) == 3 * 7 + 2
        assert all(set(r.inputs) <= {"create", "update", "delete", "triggers"} for r in commands)

    def test_changed_texts_run_nothing(self) -> None:
        commands = [r for r in rolling().registered if r.type == COMMAND]
        assert {r.inputs["update"] for r in commands} == {NO_UPDATE}


class TestPoolsAreNames:
    """Renaming a pool or moving a host touches no live host: its URNs stay."""

    @staticmethod
    def urns(monitor: Monitor) -> set[str]:
        return {r.urn for r in monitor.registered if r.type == COMMAND}

    def test_renaming_a_pool_changes_no_urn(self) -> None:
        assert self.urns(rolling()) == self.urns(register(environment({"compute": WORKERS})))

    def test_moving_a_host_changes_no_urn(self) -> None:
        split = environment({"workers": ("w1", "w2"), "other": ("w4", "w3")})
        assert self.urns(rolling()) == self.urns(register(split))

    def test_reordering_changes_no_input(self) -> None:
        def inputs(monitor: Monitor) -> dict[str, object]:
            return {r.name: r.inputs for r in monitor.registered if r.name.partition(".")[0] in WORKERS}

        shuffled = register(environment(), Monitor(roster=roster({"w4": "out", "w2": "in"})))
        assert inputs(rolling()) == inputs(shuffled)


class TestStages:
    """Machines; API; network; nodes; storage; then the barrier."""

    def test_of_a_first_bring_up(self) -> None:
        monitor = first()
        seen = monitor.names()
        stages = ["retirement", "cp1.machine", "cp1.readiness", "kubernetes", "cni", "w1.readiness", "storage"]
        places = [seen.index(name) for name in stages]
        assert places == sorted(places)
        assert seen.index("w4.readiness") < seen.index("storage") < seen.index("storage-operator")
        assert seen[-1] == "fleet-ready"

    def test_boots_every_machine_of_a_first_bring_up_at_once(self) -> None:
        names = first().names(COMMAND)
        assert names.index("w4.machine") < names.index("cp2.readiness")

    def test_workers_are_ready_after_the_network(self) -> None:
        monitor = first()
        assert monitor.after("w1.readiness") == {"cni", "w1.membership"}
        assert monitor.after("cp2.readiness") == {"cp2.membership"}

    def test_rolls_in_the_plans_order(self) -> None:
        served = [name.removesuffix(".machine") for name in order(rolling(), ".machine")]
        assert served == [*CONTROL, *WORKERS]

    def test_a_machine_waits_for_the_readiness_before_it(self) -> None:
        names = order(rolling(), ".machine", ".readiness")
        assert names == [f"{h}.{part}" for h in (*CONTROL, *WORKERS) for part in ("machine", "readiness")]

    def test_barrier_runs_again_when_any_node_boots_something_else(self) -> None:
        before, after = (register(environment(), generation=g).one("fleet-ready") for g in ("a" * 16, "b" * 16))
        assert before.inputs["triggers"] != after.inputs["triggers"]
        assert parse(after.inputs["create"]).verb is Verb.GATE


class TestDestroyOrder:
    """What is recorded makes a destroy go the other way: workers leave before control planes."""

    def test_a_lane_hangs_below_the_last_control_plane(self) -> None:
        assert rolling().after("w1.machine") == {"cp3.readiness"}

    def test_control_planes_hang_below_the_pki_that_joining_and_leaving_ask_for(self) -> None:
        secrets = {"ca", "etcd-ca", "front-proxy-ca", "service-account-key", "admin"}
        assert first().after("cp1.machine") == secrets
        assert rolling().after("cp2.machine") == {*secrets, "cp1.readiness"}

    def test_a_node_hangs_below_the_one_before_it(self) -> None:
        assert rolling().after("w3.machine") == {"w2.readiness"}

    def test_new_workers_leave_before_the_control_planes_they_came_in_to(self) -> None:
        assert first().after("w1.membership") == {"cp3.readiness", "w1.machine"}

    def test_objects_in_the_cluster_die_with_it(self) -> None:
        monitor = rolling()
        objects = [r for r in monitor.registered if r.type.startswith("kubernetes:")]
        assert {r.name for r in objects} >= {"cni", "storage", "storage-operator"}
        assert {r.deleted_with for r in objects} == {monitor.one("ca").urn}


class TestKnown:
    """What stands decides the order, whoever says it; nobody need answer."""

    def test_nodes_that_are_out_come_first(self) -> None:
        monitor = Monitor(roster=roster({**dict.fromkeys((*CONTROL, *WORKERS), "in"), "w3": "out"}))
        assert order(register(environment(), monitor), ".machine")[:2] == ["w3.machine", "cp1.machine"]

    def test_the_last_outputs_stand_in_for_a_silent_roster(self) -> None:
        silent = json.dumps({"answered": False, "nodes": {}})
        standing = dict.fromkeys((*CONTROL, *WORKERS), "in")
        monitor = register(environment(), Monitor(roster=silent, last={"standing": standing}))
        assert order(monitor, ".machine", ".readiness")[:3] == ["cp1.machine", "cp1.readiness", "cp2.machine"]

    @pytest.mark.parametrize("preview", [True, False])
    def test_a_roster_that_cannot_be_asked_fails_nothing(self, preview: bool) -> None:
        monitor = register(environment(), Monitor(preview=preview, roster=None))
        assert monitor.names()[-1] == "fleet-ready"
        assert monitor.invoked == [Step(Verb.ROSTER, "metal").command()]

    def test_the_next_run_is_told(self) -> None:
        assert rolling().outputs["standing"] == dict.fromkeys((*CONTROL, *WORKERS), "in")


class TestPreview:
    """A preview registers what an up registers, in the same order, cluster or none."""

    @pytest.mark.parametrize("known", [{}, dict.fromkeys((*CONTROL, *WORKERS), "in")])
    def test_registers_the_same(self, known: dict[str, str]) -> None:
        preview = register(environment(), Monitor(preview=True, roster=roster(known)))
        up = rolling() if known else first()
        assert sorted(preview.names()) == sorted(up.names())
        assert order(preview, ".machine", ".readiness") == order(up, ".machine", ".readiness")


class TestFailure:
    """A program that fails keeps the engine from taking what was not registered for removed."""

    def test_of_a_step_fails_the_program_and_stops_every_lane(self) -> None:
        serving = roster(dict.fromkeys((*CONTROL, *WORKERS), "in"))
        monitor = Monitor(roster=serving, breaks=frozenset({"w1.readiness"}))
        with pytest.raises(RuntimeError, match=r"w1\.readiness failed"):
            register(environment(), monitor)
        assert order(monitor, ".machine")[-1] == "w1.machine"
        assert monitor.outputs == {}

    @pytest.mark.parametrize("broken", ["w1.machine", "w1.membership", "w1.readiness", "cp2.machine"])
    def test_that_the_engine_would_overlook_fails_the_program_too(self, broken: str) -> None:
        serving = roster(dict.fromkeys((*CONTROL, *WORKERS), "in"))
        monitor = Monitor(roster=serving, breaks=frozenset({broken}), continue_on_error=True)
        with pytest.raises(StepHalted, match=f"{broken.partition('.')[0]}"):
            register(environment(), monitor)
        assert order(monitor, ".machine")[-1] == f"{broken.partition('.')[0]}.machine"

    @pytest.mark.parametrize(("overlooked", "raised"), [(False, RuntimeError), (True, StepHalted)])
    def test_of_retirement_touches_no_node(self, overlooked: bool, raised: type[Exception]) -> None:
        monitor = Monitor(breaks=frozenset({"retirement"}), continue_on_error=overlooked)
        with pytest.raises(raised, match="retirement"):
            register(environment(), monitor)
        assert order(monitor, ".machine") == []

    def test_of_a_policy_registers_nothing(self) -> None:
        few = environment({"workers": ("w1", "w2")})
        monitor = Monitor()
        with pytest.raises(PolicyRefused, match="3 storage nodes"):
            register(few, monitor)
        assert monitor.registered == []


class TestRetirement:
    """Said in the stack file, applied by an up before anything may leave because of it."""

    def test_lists_what_the_stack_file_gives_up(self) -> None:
        assert retired(environment(give_up=frozenset({"w2"}))) == ["host w2"]
        cluster = environment().model_copy(
            update={"cluster": environment().cluster.model_copy(update={"retire": True})}
        )
        assert retired(cluster) == ["cluster"]

    def test_is_applied_when_the_list_changes(self) -> None:
        inputs = register(environment(give_up=frozenset({"w2"}))).one("retirement").inputs
        assert inputs["triggers"] == ["host w2"]
        assert parse(inputs["create"]) == Step(Verb.RETIRE, "metal")

    def test_comes_before_every_machine(self) -> None:
        names = rolling().names()
        assert names.index("retirement") < min(i for i, name in enumerate(names) if name.endswith(".machine"))


class TestSecrets:
    """Keys and the kubeconfig are secret wherever they stand."""

    def test_the_provider_is_given_the_kubeconfig_as_a_secret(self) -> None:
        provider = rolling().one("kubernetes", "pulumi:providers:kubernetes")
        assert SECRET in provider.inputs["kubeconfig"].values()
        assert provider.inputs["clusterIdentifier"] == "metal"

    def test_the_kubeconfig_is_exported_as_a_secret(self) -> None:
        assert SECRET in rolling().outputs["kubeconfig"].values()

    def test_the_kubeconfig_comes_of_pki_and_endpoint_alone(self) -> None:
        value = json.loads(rolling().outputs["kubeconfig"]["value"])
        assert value["clusters"][0]["cluster"]["server"] == "https://api.metal.example:6443"
        data = value["users"][0]["user"]["client-certificate-data"]
        assert base64.b64decode(data) == b"certPem of admin"

    def test_the_provider_looks_for_the_api_when_a_control_plane_serves_it(self) -> None:
        assert "cp1.readiness" in rolling().after("kubernetes")

    def test_authorities_bear_the_names_that_steps_ask_for(self) -> None:
        keys = [r for r in rolling().registered if r.type == "tls:index/privateKey:PrivateKey"]
        assert sorted(r.name for r in keys) == [
            *("admin-key", "ca-key", "etcd-ca-key", "front-proxy-ca-key", "service-account-key"),
        ]
        assert all(r.inputs["algorithm"] == "ECDSA" and r.inputs["ecdsaCurve"] == "P256" for r in keys)

    def test_no_change_replaces_the_identity_of_the_cluster(self) -> None:
        of_tls = [r for r in rolling().registered if r.type.startswith("tls:")]
        kept = {r.name for r in of_tls if r.ignore_changes == ("*",)}
        authorities = {"ca", "etcd-ca", "front-proxy-ca"}
        assert kept == authorities | {f"{name}-key" for name in authorities} | {"service-account-key"}


class TestServerUrl:
    """Where the API answers, whichever machine serves it."""

    def test_of_a_name(self) -> None:
        assert server_url(environment(endpoint_port=443)) == "https://api.metal.example:443"

    def test_of_an_address_of_ipv6(self) -> None:
        assert server_url(environment(endpoint="fd00::10")) == "https://[fd00::10]:6443"


class TestFleetDigest:
    """The barrier runs again exactly when what it answers for changed."""

    def test_is_the_same_for_the_same_fleet(self) -> None:
        assert fleet_digest(args(environment()), ()) == fleet_digest(args(environment()), ())

    def test_does_not_know_pools(self) -> None:
        one, two = environment(), environment({"compute": WORKERS})
        assert fleet_digest(args(one), ()) == fleet_digest(args(two), ())
