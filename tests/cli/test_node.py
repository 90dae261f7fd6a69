"""`ingot node`: what a stored command meets when it runs, months later or in another checkout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.node import ROSTER_LIMIT_S, SILENT, app
from cli.step_ports import contents, declared, patches
from lifecycle.adapters import build
from lifecycle.adapters.clock import WallClock
from lifecycle.adapters.pins import StackFilePins
from lifecycle.adapters.place import Folder
from lifecycle.adapters.records import DirectoryRecords
from lifecycle.adapters.wire import CONNECT_S, READ_S
from lifecycle.commands import FLEET_VERBS, Step, Verb, parse
from lifecycle.ports import Claim, ClaimState, Controller, Role
from tests.lifecycle.adapters.api_server import api_server, node
from tests.lifecycle.adapters.wire_server import Reply, Wire, serving, silent_port

REPOSITORY = Path(__file__).resolve().parents[2]
HEAVY = (
    "pulumi",
    "kubernetes",
    "boto3",
    "botocore",
    "sushy",
    "httpx",
    "cryptography",
    "pydantic",
    "tenacity",
    "yaml",
    "grpc",
)


def run(step: Step, **environment: str) -> Result:
    words = step.command().split()[2:]
    without = dict.fromkeys(("INGOT_KUBECONFIG", "KUBECONFIG", "INGOT_SECRETS_FILE", "INGOT_BMC_USERNAME"))
    without |= {"INGOT_VIEW": "own"}  # a broker would outlive the test
    without |= {"INGOT_PULUMI": "no-engine"}  # so no state to read, and no time spent on trying
    return CliRunner().invoke(app, words, env={**without, **environment})


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout whose boot store is a directory of its own; the working directory is somewhere inside."""
    root = tmp_path / "project"
    (root / "stacks").mkdir(parents=True)
    (root / "Pulumi.yaml").write_text("name: ingot\n")
    (root / "store").mkdir()
    shutil.copy(REPOSITORY / "stacks/images.lock.json", root / "stacks")
    text = (REPOSITORY / "stacks/Pulumi.metal.yaml").read_text()
    (root / "stacks/Pulumi.metal.yaml").write_text(text.replace("directory: /srv/ingot", f"directory: {root}/store"))
    monkeypatch.chdir(root / "stacks")
    return root


@pytest.fixture
def api(tmp_path: Path) -> Iterator[tuple[Wire, str]]:
    """An API server and a kubeconfig for it."""
    with serving() as wire:
        yield wire, kubeconfig(tmp_path, wire.url)


def kubeconfig(folder: Path, url: str) -> str:
    file = folder / "kubeconfig"
    file.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n"
        f"clusters: [{{name: k, cluster: {{server: '{url}'}}}}]\n"
        "users: [{name: u, user: {token: t}}]\ncontexts: [{name: c, context: {cluster: k, user: u}}]\n"
    )
    return str(file)


def initialised(project: Path) -> None:
    """The stack's cluster was brought up before."""
    DirectoryRecords(lambda: project / "store", "metal", WallClock()).record_initialised("cp1")


def claimed(project: Path, stack: str = "metal", **states: ClaimState) -> None:
    """Claims of `stack`, by host."""
    records = DirectoryRecords(lambda: project / "store", stack, WallClock())
    for host, state in states.items():
        controller = Controller(f"https://bmc-{host}.example/redfish/v1/Systems/1")
        claim = Claim(stack, host, "0123456789abcdef", state, controller, "workers", Role.WORKER, stores=False)
        assert records.put_claim(host, claim, None)


class TestStoredCommands:
    """Every command that a state may hold is understood."""

    @pytest.mark.parametrize("verb", list(Verb))
    def test_each_verb_is_taken_apart(self, verb: Verb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        node = () if verb in FLEET_VERBS else ("w1", "0123456789abcdef")
        step = Step(verb, "metal", *node)
        assert parse(step.command()) == step
        result = run(step)
        assert result.exit_code == (0 if verb is Verb.ROSTER else 1), result.output  # 2 would be a usage error
        if verb is not Verb.ROSTER:
            assert "no Pulumi.yaml there or above" in result.stderr

    def test_a_newer_format_is_refused(self, project: Path) -> None:
        result = run(Step(Verb.LEAVE, "metal", "w1", format=99))
        assert result.exit_code == 1
        assert "found format 99; nothing was changed" in result.stderr

    @pytest.mark.parametrize("verb", list(Verb))
    def test_its_help_shows_an_example_that_is_a_command(self, verb: Verb) -> None:
        (command,) = [c for c in app.registered_commands if c.callback and c.callback.__name__ == verb.value]
        assert command.epilog is not None
        assert parse(command.epilog.removeprefix("Example: ")).verb is verb


class TestErrors:
    """A halt ends with 1 and the whole text, and nothing on stdout."""

    def test_the_boot_store_is_not_mounted(self, project: Path) -> None:
        (project / "store").rmdir()
        result = run(Step(Verb.LEAVE, "metal", "w1", "0123456789abcdef"))
        assert (result.exit_code, result.stdout) == (1, "")
        assert "no such directory. Remedy: mount or create it" in result.stderr

    def test_a_stack_file_with_faults_shows_all_of_them(self, project: Path) -> None:
        file = project / "stacks/Pulumi.metal.yaml"
        file.write_text(file.read_text().replace("version: 44.20260621.3.1", "version: latest\n      typo: 1"))
        result = run(Step(Verb.LEAVE, "metal", "w1"))
        assert result.exit_code == 1
        assert "version" in result.stderr
        assert "typo" in result.stderr

    def test_an_install_without_credentials_names_both_ways(self, project: Path) -> None:
        generation = declared(project, "metal").pins["w1"].generation
        result = run(Step(Verb.PROVISION, "metal", "w1", generation))
        assert result.exit_code == 1
        assert "INGOT_BMC_USERNAME and INGOT_BMC_PASSWORD" in result.stderr
        assert "INGOT_CREDENTIALS_FILE" in result.stderr


class TestLazy:
    """A step needs only what it touches."""

    def test_a_leave_with_nothing_to_leave_needs_no_credentials_and_no_cluster(self, project: Path) -> None:
        result = run(Step(Verb.LEAVE, "metal", "w1", "0123456789abcdef"))
        assert result.exit_code == 0, result.stderr
        assert result.stdout.startswith("w1 ")

    def test_wiring_asks_for_nothing(self, tmp_path: Path) -> None:
        def never(*_: object) -> None:
            raise AssertionError

        build.ports(Step(Verb.GATE, "metal"), never, never, never, tmp_path, {})  # type: ignore[arg-type]  # never called

    def test_start_up_loads_no_big_library(self) -> None:
        line = "import sys, cli.node; print(*(m for m in sys.argv[1:] if m in sys.modules))"
        done = subprocess.run(
            [sys.executable, "-c", line, *HEAVY], cwd=REPOSITORY, capture_output=True, text=True, check=True
        )
        assert done.stdout.split() == []


class TestOneViewForAllSteps:
    """What one step made the broker watch, the next one does not list again."""

    def test_a_broker_serves_steps_that_are_processes_of_their_own(
        self, project: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        root = tmp_path_factory.mktemp("p")  # a socket's path must be short
        shutil.copytree(project, root, dirs_exist_ok=True)
        with api_server() as server:
            server.put("nodes", node("w1"))
            env = {**os.environ, "INGOT_KUBECONFIG": kubeconfig(root, server.wire.url), "INGOT_PULUMI": "no-engine"}
            pins = StackFilePins(root, "metal", declared)
            folder = build._broker_folder(pins, env)
            words = [sys.executable, "-m", "cli.main", "node", "view", "--stack", "metal", "--folder", str(folder)]
            with subprocess.Popen(words, cwd=root, env=env) as keeper:
                try:
                    server.until_watched()
                    asked = len(server.wire.asked)
                    monkeypatch.chdir(root)
                    for _ in range(2):
                        gate, none = Step(Verb.GATE, "metal"), lambda *_: pytest.fail("another")
                        ports = build.ports(gate, declared, contents, patches, root, env, none)
                        assert [n.name for n in ports.kubernetes.nodes()] == ["w1"]
                        assert ports.roster.read() == ("", "")
                    paths = [a.path for a in server.wire.asked[asked:]]
                    assert paths == [TestRoster.MAP] * 2  # that there is no roster is asked once more
                finally:
                    keeper.kill()


class TestRoster:
    """The program asks in every preview: an answer, or silence, never an error."""

    STEP = Step(Verb.ROSTER, "metal")
    MAP = "/api/v1/namespaces/ingot-system/configmaps/ingot-roster"

    def test_it_is_printed(self, project: Path, api: tuple[Wire, str]) -> None:
        wire, config = api
        wire.on("GET", "/readyz", Reply(body="ok"))
        entry = {"pool": "workers", "role": "worker", "generation": "0", "fault_domain": "a", "standing": "in"}
        document = json.dumps({"nodes": {"w1": entry, "w2": {**entry, "standing": "out"}}})
        initialised(project)
        wire.on("GET", self.MAP, Reply(body={"metadata": {"resourceVersion": "1"}, "data": {"roster.json": document}}))
        result = run(self.STEP, INGOT_KUBECONFIG=config)
        assert result.exit_code == 0
        assert json.loads(result.stdout) == {"answered": True, "nodes": {"w1": "in", "w2": "out"}}

    def test_what_the_shell_has_in_kubeconfig_is_not_asked(self, project: Path, api: tuple[Wire, str]) -> None:
        wire, config = api
        wire.on("GET", "/readyz", Reply(body="ok"))
        initialised(project)
        assert run(self.STEP, KUBECONFIG=config).stdout.strip() == SILENT
        assert wire.asked == []

    @pytest.mark.parametrize(
        ("text", "mode"),
        [
            pytest.param(json.dumps({"ca": {"cert": "PEM", "key": "PEM"}}), 0o600, id="of another cluster"),
            pytest.param(json.dumps({"ca": {"cert": "PEM", "key": "PEM"}}), 0o644, id="readable by others"),
            pytest.param("{}", 0o600, id="without an authority"),
        ],
    )
    def test_a_kubeconfig_that_the_secrets_do_not_bear_out_is_not_asked(
        self, project: Path, api: tuple[Wire, str], text: str, mode: int
    ) -> None:
        wire, config = api
        wire.on("GET", "/readyz", Reply(body="ok"))
        initialised(project)
        secrets = project / "secrets.json"
        secrets.write_text(text)
        secrets.chmod(mode)
        assert run(self.STEP, INGOT_KUBECONFIG=config, INGOT_SECRETS_FILE=str(secrets)).stdout.strip() == SILENT
        assert wire.asked == []

    def test_claims_tell_when_nobody_listens(self, project: Path, tmp_path: Path) -> None:
        config = kubeconfig(tmp_path, f"http://127.0.0.1:{silent_port()}")
        initialised(project)
        claimed(project, w1=ClaimState.JOINED, w2=ClaimState.LEFT, w3=ClaimState.PROVISIONING, gone=ClaimState.JOINED)
        claimed(project, "other", w4=ClaimState.JOINED)
        result = run(self.STEP, INGOT_KUBECONFIG=config)
        nodes = {"w1": "in", "w2": "out", "w3": "out"}
        assert json.loads(result.stdout) == {"answered": True, "nodes": nodes, "source": "claims"}

    def test_the_roster_is_believed_before_the_claims(self, project: Path, api: tuple[Wire, str]) -> None:
        wire, config = api
        wire.on("GET", "/readyz", Reply(body="ok"))
        wire.on("GET", "/api/v1/nodes", Reply(body={"items": []}))
        initialised(project)
        claimed(project, w1=ClaimState.JOINED)
        assert json.loads(run(self.STEP, INGOT_KUBECONFIG=config).stdout) == {"answered": True, "nodes": {}}

    def test_claims_tell_nothing_of_a_cluster_that_never_was(self, project: Path) -> None:
        claimed(project, w1=ClaimState.PROVISIONING)
        assert run(self.STEP).stdout.strip() == SILENT

    def test_it_has_time_for_the_state_and_for_one_slow_answer(self) -> None:
        """`pulumi stack export` takes seconds on its own, and the answer itself may take as long as a read."""
        assert ROSTER_LIMIT_S >= CONNECT_S + READ_S / 2 + 10

    def test_silence_when_nobody_listens(self, project: Path, tmp_path: Path) -> None:
        config = kubeconfig(tmp_path, f"http://127.0.0.1:{silent_port()}")
        initialised(project)
        result = run(self.STEP, INGOT_KUBECONFIG=config)
        assert (result.exit_code, result.stdout.strip()) == (0, SILENT)

    @pytest.mark.parametrize("reply", [Reply(500, "boom"), Reply(body="<html>"), Reply(401, "no")])
    def test_silence_when_something_else_answers(self, project: Path, api: tuple[Wire, str], reply: Reply) -> None:
        wire, config = api
        initialised(project)
        wire.on("GET", "/readyz", reply, Reply(body="ok"))
        wire.on("GET", self.MAP, reply)
        assert run(self.STEP, INGOT_KUBECONFIG=config).stdout.strip() == SILENT

    def test_silence_when_the_stack_has_no_cluster_yet(self, project: Path) -> None:
        initialised(project)
        secrets = project / "secrets.json"
        secrets.write_text("{}")
        secrets.chmod(0o600)
        assert run(self.STEP, INGOT_SECRETS_FILE=str(secrets)).stdout.strip() == SILENT

    def test_silence_outside_a_project(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        result = run(self.STEP)
        assert (result.exit_code, result.stdout.strip(), result.stderr) == (0, SILENT, "")


class TestStackFile:
    """What a step learns of the stack file is what the program made of it."""

    def test_pins_and_addresses(self, project: Path) -> None:
        found = declared(project, "org/ingot/metal")
        assert found.endpoint == "api.metal.example:6443"
        assert found.boot_store == Folder(project / "store")
        assert list(found.pins)[:3] == ["cp1", "cp2", "cp3"]
        assert len(found.pins) == 9

    def test_an_address_of_ipv6_is_bracketed(self, project: Path) -> None:
        file = project / "stacks/Pulumi.metal.yaml"
        file.write_text(file.read_text().replace("endpoint: api.metal.example", 'endpoint: "fd00::10"'))
        assert declared(project, "metal").endpoint == "[fd00::10]:6443"

    def test_what_is_published_is_what_the_pin_boots(self, project: Path) -> None:
        found = declared(project, "metal")
        for pin in found.pins.values():
            assert pin.boot_url in {f"{found.boot_url}/{path}" for path in contents(project, "metal", pin)}
