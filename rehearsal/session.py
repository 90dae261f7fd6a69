"""One run on a rack: the world, the providers that serve it, and the engine that drives the program.

The engine, its state and its plugins are real; only the machines, the cluster and time are not. A
session holds the rack's lock, so what it finds half done was left by a dead run: it clears that.
"""

from __future__ import annotations

import json
import logging
import os
import runpy
import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import yaml
from pulumi import automation
from pulumi.automation.events import EngineEvent
from pulumi.runtime.proto import provider_pb2_grpc

from components import stackfile
from components.boot.pin import pins, rollout
from components.environment import Environment
from components.fleet import pool_orders
from components.images import lock as image_lock
from components.images.lock import Lock
from components.rollout.planner import Plan, Standing, plan
from lifecycle.errors import LifecycleError
from lifecycle.ports import Limits, Pin
from rehearsal import letters, stand_in
from rehearsal.engine_lock import clear_dead_run, engine_pid
from rehearsal.providers.command import Command
from rehearsal.providers.kubernetes import Kubernetes
from rehearsal.providers.talos import Talos
from rehearsal.providers.tls import Tls
from rehearsal.rack.course import Course
from rehearsal.rack.faults import Faults
from rehearsal.rack.journal import Journal
from rehearsal.rack.rack import Rack
from rehearsal.rack.store import Store, WorldUnreadable
from rehearsal.rack.world import Host, World
from rehearsal.stuck import ended_if_stuck

# gRPC tells of every call that a dying engine cuts off, with a traceback; what a user must know is in the errors.
logging.getLogger("grpc").addHandler(logging.NullHandler())
logging.getLogger("grpc").propagate = False

ROOT = Path(__file__).resolve().parent.parent
"""The project."""


IMAGES = ROOT / "stacks" / "images.lock.json"


def home() -> Path:
    """Where racks and reports are kept: INGOT_HOME, else `.ingot` in the project (git-ignored)."""
    return Path(os.environ.get("INGOT_HOME", ROOT / ".ingot"))


PASSPHRASE = "rehearsal"
"""Encrypts the rehearsal's own state, which holds no secret of anyone."""

PARALLEL_MIN = 64


def run_program() -> None:
    """The project's own program, as a typed `pulumi up` runs it."""
    runpy.run_path(str(ROOT / "__main__.py"), run_name="__main__")


@dataclass
class Options:
    """How a session runs.

    version: replaces the stack file's image; None keeps it. durable: save the world and the engine's
    checkpoints at every step; only runs at scale, whose state may be lost, do without. replace: nodes
    whose machines are replaced although they do not differ. data: the raw environment, when it is not
    that of stacks/Pulumi.<stack>.yaml. program: what the engine runs; a bench has its own to compare with.
    locked: the caller holds the rack's lock already.
    """

    version: str | None = None
    seed: int = 1
    faults: tuple[str, ...] = ()
    durable: bool = True
    data: Mapping[str, Any] | None = None
    what: str = "ingot rack"
    on_event: Callable[[EngineEvent], None] | None = None
    continue_on_error: bool = False
    replace: tuple[str, ...] = ()
    program: Callable[[], None] = run_program
    locked: bool = False


class Halted(LifecycleError):
    """A run ended before it was done. texts: of each step that halted, what it said; where no step did,
    the engine's own words. stopped: it ended as it was asked to, between two nodes."""

    def __init__(self, verb: str, stack: str, texts: list[str], *, stopped: bool = False) -> None:
        said = "\n".join(f"- {text}" for text in texts)
        word = "stopped as asked" if stopped else "halted"
        again = "" if stopped else "\nWhen the cause is gone, run the same command again."
        super().__init__(f"{verb} of stack {stack} {word}:\n{said}{again}")
        self.texts, self.stopped = texts, stopped


@dataclass
class Session:
    """A rack with its engine. Make one with `open_session`."""

    stack_name: str
    environment: Environment
    rack: Rack
    store: Store
    options: Options
    workspace: Path
    ports: dict[str, int]
    plans: list[Plan] = field(default_factory=list)
    stack_text: bytes = b""

    # ---------------------------------------------------------------- what the engine does

    def up(self) -> automation.UpResult:
        """Raises Halted if a step halted."""
        with self._run("up") as stack, self._ended_if_stuck():
            return stack.up(
                parallel=self._parallel(),
                on_event=self._event,
                continue_on_error=self.options.continue_on_error,
                replace=[f"**::{node}.machine" for node in self.options.replace] or None,
            )

    def preview(self) -> automation.PreviewResult:
        """Raises Halted if the program refused."""
        with self._run("preview") as stack:
            return stack.preview(parallel=self._parallel(), on_event=self._event)

    def refresh(self) -> automation.RefreshResult:
        """Raises Halted if the engine refused."""
        with self._run("refresh") as stack:
            return stack.refresh(parallel=self._parallel(), on_event=self._event)

    def destroy(self) -> automation.DestroyResult:
        """Raises Halted if a leave refused."""
        with self._run("destroy") as stack:
            return stack.destroy(parallel=self._parallel(), on_event=self._event)

    def _event(self, event: EngineEvent) -> None:
        """The program or the engine failed: what the plan still expects may never be asked for."""
        if event.diagnostic_event is not None and event.diagnostic_event.severity == "error":
            self.rack.clock.loosen()
        if self.options.on_event is not None:
            self.options.on_event(event)

    @contextmanager
    def _run(self, verb: str) -> Iterator[automation.Stack]:
        before = len(self.rack.journal.entries)
        self.rack.clock.begin_phase(None)
        try:
            yield self._stack()
        except automation.CommandError as error:
            failures = [e for e in self.rack.journal.entries[before:] if e["kind"] == "failure"]
            said = [e["text"] for e in failures] or [engine_words(str(error))]
            stopped = bool(failures) and all(e.get("stopped") for e in failures)
            raise Halted(verb, self.stack_name, said, stopped=stopped) from None
        finally:
            if self.rack.clock.loosened:
                why = f"this run is not reproducible: {self.rack.clock.loosened}"
                self.rack.journal.add(self.rack.now_s, "note", node="the clock:", text=why)
            self.save()

    def _ended_if_stuck(self) -> AbstractContextManager[None]:
        if not self.options.continue_on_error:
            return nullcontext()
        journal, before = self.rack.journal, len(self.rack.journal.entries)
        return ended_if_stuck(
            failed=lambda: any(e["kind"] == "failure" for e in journal.entries[before:]),
            idle_s=self.rack.clock.idle_s,
            engine_pid=lambda: engine_pid(self.store.engine_state),
        )

    def resources(self) -> list[dict[str, Any]]:
        """The engine's own state."""
        deployment = self._stack().export_stack().deployment or {}
        found: list[dict[str, Any]] = deployment.get("resources") or []
        return found

    def save(self) -> None:
        """Make the world durable, if this session is."""
        with self.rack.clock.lock:
            if self.options.durable:
                saved = self.rack.world.journal_lines
                self.rack.freeze()
                self.store.save(self.rack.world, self.rack.journal.entries[saved:])

    def engine_variables(self) -> dict[str, str]:
        """With these a pulumi in another terminal meets this rack."""
        attached = ",".join(f"{package}:{port}" for package, port in self.ports.items())
        found = {
            # Without metadata: its files are not replaced atomically, and a program that reads its own stack's
            # outputs while the engine saves a step may find one empty ("failed to load checkpoint: EOF").
            "PULUMI_BACKEND_URL": f"file://{self.store.engine_state}?metadata=skip",
            "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
            "PULUMI_DEBUG_PROVIDERS": attached,
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_PARALLEL": str(self._parallel()),
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        }
        if not self.options.durable:
            found |= {"PULUMI_SKIP_CHECKPOINTS": "true", "PULUMI_EXPERIMENTAL": "true"}
        return found

    def typed_project(self) -> Path:
        """A folder in which a `pulumi` of another terminal finds this stack: the project's program and
        virtual environment, and the scratch stack file, so that nothing tracked is written."""
        self._stack()
        folder = self.store.folder / "typed"
        folder.mkdir(exist_ok=True)
        project = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())
        project["main"] = str(ROOT)
        project["runtime"]["options"]["virtualenv"] = str(ROOT / ".venv")
        (folder / "Pulumi.yaml").write_text(yaml.safe_dump(project, sort_keys=False))
        stacks = folder / "stacks"
        if not stacks.exists():
            stacks.symlink_to(self.workspace / "stacks")
        return folder

    def on_roster(self, nodes: dict[str, str]) -> None:
        """The program asked who belongs: it will now make this plan, and the clock goes by it."""
        self._follow_stack_file()
        if not nodes and self.rack.world.served:
            return  # a cluster that does not answer: the program goes by its last outputs, the clock by quiet
        standing = {name: Standing(word) for name, word in nodes.items()}
        made = plan(pool_orders(self.environment), standing)
        self.plans.append(made)
        self.rack.clock.begin_phase(Course(made))

    def _follow_stack_file(self) -> None:
        """Take over what another terminal changed in the scratch stack file (`ingot rack serve`). A file
        that is refused changes nothing here: the program refuses it too, before it registers anything."""
        path = self.workspace / "stacks" / f"Pulumi.{self.stack_name}.yaml"
        text = path.read_bytes()
        if text == self.stack_text:
            return
        self.stack_text = text
        try:
            self.environment = stackfile.load(path)
        except stackfile.StackFileError:
            return
        with self.rack.clock.lock:
            found = pins(self.environment, pinned(self.environment), stack=self.stack_name)
            self.rack.declare(found)
            _declare(self.rack.world, found)

    def _parallel(self) -> int:
        return max(PARALLEL_MIN, len(self.rack.pins) + 64)

    def _stack(self) -> automation.Stack:
        workspace = automation.LocalWorkspace(
            work_dir=str(self.workspace), program=self.options.program, env_vars=self.engine_variables()
        )
        stack = automation.Stack.create_or_select(self.stack_name, workspace)
        clear_dead_run(stack, self.store.engine_state)
        return stack


def engine_words(output: str) -> str:
    """Of all that the engine printed, what it said went wrong."""
    lines = [line.strip() for line in output.splitlines()]
    wrong = [line for line in lines if line.startswith("error:")]
    return "\n".join(dict.fromkeys(wrong)) or output.strip()


def known_stack(stack: str) -> Path:
    """The stack's file. Raises components.stackfile.StackFileError if there is none, or it is refused."""
    path = ROOT / "stacks" / f"Pulumi.{stack}.yaml"
    stackfile.load(path)
    return path


def stack_data(stack: str, options: Options) -> dict[str, Any]:
    """The raw environment in force. Raises components.stackfile.StackFileError."""
    data = dict(options.data) if options.data is not None else stackfile.environment_of(known_stack(stack))
    return stackfile.with_image(data, options.version) if options.version else data


def limits(environment: Environment) -> Limits:
    """The deadlines that the stack file sets."""
    return Limits(**environment.limits.model_dump())


def _world(seed: int, environment: Environment, found: Mapping[str, Pin]) -> World:
    world = World(seed=seed)
    _declare(world, found)
    return world


def _declare(world: World, found: Mapping[str, Pin]) -> None:
    """Every declared host stands in the rack, powered off, before anything is asked of it."""
    for name, pin in found.items():
        if name not in world.hosts:
            world.hosts[name] = Host(name=name, fault_domain=pin.fault_domain)


@contextmanager
def open_session(stack: str, options: Options | None = None, folder: Path | None = None) -> Iterator[Session]:
    """Open the rack of `stack` and serve it.

    folder: where it is kept; default `.ingot/rack/<stack>` in the project. Raises
    components.stackfile.StackFileError before anything is touched, RackBusy, WorldUnreadable.
    """
    options = options or Options()
    data = stack_data(stack, options)
    environment = stackfile.validate(data, f"stacks/Pulumi.{stack}.yaml")
    faults = Faults.of(options.faults)
    lock = pinned(environment)
    found = pins(environment, lock, stack=stack)
    store = Store(folder or home() / "rack" / stack)
    with nullcontext() if options.locked else store.hold(f"{options.what} {stack}"):
        if store.half_reset():
            raise WorldUnreadable(store.world_path, "none, beside an engine's state of it")
        loaded = store.load()
        world, entries = loaded if loaded is not None else (_world(options.seed, environment, found), [])
        if options.durable:
            store.cut_journal(entries)
        _declare(world, found)
        rack = Rack(world, found, faults, Journal(entries))
        faults.engine_pid = lambda: engine_pid(store.engine_state)
        session = Session(stack, environment, rack, store, options, _workspace(store, stack, data, lock), {})
        rack.read_letters = lambda: letters.deliver(store, rack, session.save)
        session.stack_text = (session.workspace / "stacks" / f"Pulumi.{stack}.yaml").read_bytes()
        servers = _serve(session)
        try:
            session.save()
            yield session
        finally:
            rack.clock.close()
            for server in servers:
                server.stop(grace=None)
            session.save()


def pinned(environment: Environment) -> Lock:
    """What is pinned, with stand-ins for systems of which nothing is pinned."""
    return stand_in.completed(environment, image_lock.load(IMAGES))[0]


def _workspace(store: Store, stack: str, data: Mapping[str, Any], lock: Lock) -> Path:
    """A scratch project: the engine writes its salt into the stack file, which must not dirty a tracked one, and
    the program finds in it what this rack takes for pinned."""
    folder = store.folder / "project"
    written = folder / "stacks" / f"Pulumi.{stack}.yaml"
    lines = written.read_text().splitlines() if written.exists() else []
    salt = [line for line in lines if line.startswith("encryptionsalt:")]
    written.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "Pulumi.yaml", folder / "Pulumi.yaml")
    # JSON is YAML, and a fleet of a thousand nodes takes seconds in YAML's own notation.
    images = folder / image_lock.LOCK_FILE
    images.write_bytes(lock.to_bytes())
    config = json.dumps({**stackfile.as_file(data)["config"], image_lock.CONFIG_KEY: str(images)})
    written.write_text("\n".join([*salt, f"config: {config}", ""]))
    store.engine_state.mkdir(parents=True, exist_ok=True)
    return folder


def _serve(session: Session) -> list[grpc.Server]:
    rack = session.rack
    threads = session._parallel() + 32
    providers = {
        "command": Command(
            rack, limits(session.environment), rollout(session.environment), session.save, session.on_roster
        ),
        "kubernetes": Kubernetes(rack, session.save),
        "talos": Talos(),
        "tls": Tls(),
    }
    servers = []
    for package, provider in providers.items():
        server = grpc.server(
            futures.ThreadPoolExecutor(threads if package == "command" else 16, thread_name_prefix=f"rack-{package}"),
            options=[("grpc.max_receive_message_length", 256 << 20), ("grpc.max_send_message_length", 256 << 20)],
        )
        provider_pb2_grpc.add_ResourceProviderServicer_to_server(provider, server)
        session.ports[package] = server.add_insecure_port("127.0.0.1:0")
        server.start()
        servers.append(server)
    return servers


def use_engine(path: Path) -> None:
    """Put the engine that was decided on before all others for this process and its children."""
    os.environ["PATH"] = f"{path.parent}{os.pathsep}{os.environ.get('PATH', '')}"
