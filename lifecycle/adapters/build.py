"""Wires the real ports for one stored command. Connects to nothing: each adapter does when it is asked."""

from __future__ import annotations

import atexit
import hashlib
import ssl
import subprocess
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lifecycle import ec2, facts
from lifecycle.adapters import ec2_wiring, objects, talos_api
from lifecycle.adapters.access import ApiAccess
from lifecycle.adapters.boot_store import BootStore, DirectoryBoot
from lifecycle.adapters.broker import OWN, Broker, SharedView
from lifecycle.adapters.broker_folder import log_in, private_folder, sweep
from lifecycle.adapters.clock import WallClock, WatchingClock
from lifecycle.adapters.delivery import StoredDelivery
from lifecycle.adapters.ec2_api import Aws
from lifecycle.adapters.engine_process import EngineProcess
from lifecycle.adapters.etcd import GatewayEtcd
from lifecycle.adapters.evidence import FileEvidence, evidence_file
from lifecycle.adapters.installer import Installer
from lifecycle.adapters.kube_api import ADMINISTRATOR, KubeApi, from_authority, from_kubeconfig
from lifecycle.adapters.kubernetes import ApiKubernetes
from lifecycle.adapters.machines import Adapters, Kit, MachinesByScheme
from lifecycle.adapters.pins import Read, StackFilePins
from lifecycle.adapters.records import StoredRecords
from lifecycle.adapters.redfish import RedfishMachines
from lifecycle.adapters.roll import LeaseRolls
from lifecycle.adapters.roster import ConfigMapRoster
from lifecycle.adapters.secrets import StateSecrets, bmc_credentials, process_environment
from lifecycle.adapters.storage import Control, SimplyblockStorage, find_control
from lifecycle.adapters.stores import Stores
from lifecycle.adapters.talos_api import GrpcMachineApi
from lifecycle.adapters.tls import client_context
from lifecycle.adapters.turns import Turns
from lifecycle.adapters.view import Source, View
from lifecycle.adapters.wire import HttpJson
from lifecycle.address import authority
from lifecycle.commands import Step, Verb
from lifecycle.errors import LifecycleError, NeedsAttention
from lifecycle.permissions import Owner
from lifecycle.ports import Clock, Pin, Ports, Role

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

STORAGE_NAMESPACE = "simplyblock"
"""Where the driver's chart is installed; INGOT_STORAGE_NAMESPACE says otherwise."""
KUBECONFIGS = {Owner.HOST_LIFECYCLE: "INGOT_KUBECONFIG", Owner.STORAGE_POLICY: "INGOT_STORAGE_KUBECONFIG"}
"""The variable that names each owner's kubeconfig; without one of its own, storage policy goes in by the other's."""
ETCD_USER = "ingot-lifecycle"
"""Whom our certificates name to etcd, which lets in whatever its authority signed."""
NodePatches = Callable[[Path, str, Pin], tuple[str, str]]
"""(project root, stack, pin of a Talos machine) -> its pool's patch, and the node's own."""
Installers = Callable[[Path, str, Pin], Installer]
"""(project root, stack, pin) -> what starts the installation of the pin's host."""
Contents = Callable[[Path, str, Pin], Mapping[str, bytes]]
"""(project root, stack, pin) -> path in the boot store and bytes of all that the pin's host fetches."""
ETCD_PORT = 2379
ETCD_ANSWER_S = 5.0
"""etcd gives up a read without a majority after about as long."""


def ports(
    step: Step,
    read: Read,
    contents: Contents,
    patches: NodePatches,
    start: Path | None = None,
    environment: Mapping[str, str] | None = None,
    broker: Callable[[Path, str], Sequence[str]] | None = None,
    installers: Installers | None = None,
    launches: ec2_wiring.Launches | None = None,
    switched: Adapters = lambda _: {},
) -> Ports:
    """The ports of a step.

    read: reads a stack file. contents: makes what a pin boots. patches: makes what its configuration is
    completed with, if it runs Talos. start: where to look for the project, else the working directory.
    environment: of variables, else the process's own. broker: (folder, stack) -> the command that keeps a view
    there for all steps; without one, with INGOT_VIEW=own, and for a preview's roster, this process keeps its own.
    installers: for hosts that boot one. launches: for hosts on EC2. switched: of kinds of machine that bring their
    own adapter. Raises nothing: the adapter that misses something says so.
    """
    env = process_environment() if environment is None else environment
    wall = WallClock()
    pins, secrets, api = _way_in(step.stack, read, start, env, wall, patches)
    storage_api = KubeApi(lambda: _connect(env, pins, secrets, wall, Owner.STORAGE_POLICY), wall)
    own = View(api, wall, namespaces := frozenset({namespace := storage_namespace(env)}))
    source: Source = own
    if broker is not None and env.get("INGOT_VIEW") != OWN and step.verb is not Verb.ROSTER:
        source = SharedView(partial(_broker_folder, pins, env), partial(_launch, broker, pins, env), lambda: own, wall)
    clock = WatchingClock(source)
    kubernetes = ApiKubernetes(api, wall, namespaces, source)
    own_of_storage = ApiKubernetes(storage_api, wall, namespaces, source)
    control = partial(_control, env, own_of_storage, namespace, pins)
    guest = env.get(KUBECONFIGS[Owner.HOST_LIFECYCLE])
    administrator = None if guest else partial(_administrator, pins, secrets, wall)
    etcd_http = HttpJson(clock, timeout_s=ETCD_ANSWER_S, tls=partial(_etcd_tls, secrets, clock))

    stores = Stores(lambda: pins.stack_file.boot_store, wall)
    boots = _boot(stores, pins, contents, installers or _no_installers)
    redfish, kit = _redfish(boots, wall, env), Kit(boots, wall, env)
    instances = ec2_wiring.machines(aws := Aws(), pins, stores, launches, wall)
    return Ports(
        clock=clock,
        pins=pins,
        kubernetes=kubernetes,
        etcd=GatewayEtcd(etcd_http, lambda: _etcd_endpoints(env, pins, kubernetes), kubernetes.control_plane_addresses),
        storage=SimplyblockStorage(control, kubernetes, storage_api, clock, namespace),
        machines=MachinesByScheme({"http": redfish, "https": redfish, ec2.SCHEME: instances}, lambda: switched(kit)),
        records=StoredRecords(stores.private, step.stack, clock),
        delivery=StoredDelivery(stores.served, pins.pin),
        secrets=secrets,
        machine_api=GrpcMachineApi(partial(talos_api.address, env), lambda: secrets.authority("os-ca"), clock),
        roster=ConfigMapRoster(api, source, Turns(partial(_broker_folder, pins, env), wall)),
        rolls=LeaseRolls(api, EngineProcess(env)),
        access=ApiAccess({Owner.HOST_LIFECYCLE: api, Owner.STORAGE_POLICY: storage_api}, administrator, namespace),
        evidence=FileEvidence(lambda: evidence_file(pins.root, step.stack), clock),
        cloud=ec2_wiring.account(aws, pins),
    )


def _boot(stores: Stores, pins: StackFilePins, contents: Contents, installers: Installers) -> BootStore:
    return stores.boot(
        lambda: pins.stack_file.boot_url,
        lambda pin: contents(pins.root, pins.stack, pin),
        lambda pin: installers(pins.root, pins.stack, pin),
    )


def _redfish(store: BootStore, clock: Clock, env: Mapping[str, str], call_s: float | None = None) -> RedfishMachines:
    """Their sessions end with this process."""
    authority = env.get("INGOT_BMC_CA_FILE", "")
    made = RedfishMachines(lambda host: bmc_credentials(host, env), store, clock, authority=authority, call_s=call_s)
    atexit.register(made.close)
    return made


def _control(env: Mapping[str, str], kubernetes: ApiKubernetes, namespace: str, pins: StackFilePins) -> Control:
    return find_control(env, kubernetes, namespace, pins.stack_file.storage_cluster)


def controllers(pins: StackFilePins | None, env: Mapping[str, str], call_s: float) -> RedfishMachines:
    """Management controllers, to look at and never to change. pins: of a stack, whose boot store is looked at too.
    One caller at a time: sessions are not shared between threads."""
    wall = WallClock()
    if pins is None:
        return _redfish(DirectoryBoot(Path, str, lambda pin: {}), wall, env, call_s)
    stores = Stores(lambda: pins.stack_file.boot_store, wall)
    return _redfish(_boot(stores, pins, lambda root, stack, pin: {}, _no_installers), wall, env, call_s)


def _etcd_tls(secrets: StateSecrets, clock: Clock) -> ssl.SSLContext:
    return client_context(secrets.authority("etcd-ca"), ETCD_USER, ETCD_USER, clock.now_s())


def keep_view(stack: str, read: Read, folder: Path, start: Path | None = None) -> None:
    """Keep the view of a stack's cluster in `folder` for its steps, until none was there for a while."""
    env, clock = process_environment(), WallClock()
    _, _, api = _way_in(stack, read, start, env, clock, _no_patches)
    Broker(folder, View(api, clock, frozenset({storage_namespace(env)}))).serve()


def _way_in(
    stack: str, read: Read, start: Path | None, env: Mapping[str, str], clock: Clock, patches: NodePatches
) -> tuple[StackFilePins, StateSecrets, KubeApi]:
    pins = StackFilePins(start or Path.cwd(), stack, read)
    secrets = StateSecrets(
        stack, lambda: pins.root, lambda: pins.stack_file.endpoint, env, lambda pin: patches(pins.root, stack, pin)
    )
    return pins, secrets, KubeApi(lambda: _connect(env, pins, secrets, clock, Owner.HOST_LIFECYCLE), clock)


def _no_patches(root: Path, stack: str, pin: Pin) -> tuple[str, str]:
    raise NeedsAttention(f"configuration of {pin.node}", "a view of the cluster that asks for it", "report this line")


def _no_installers(root: Path, stack: str, pin: Pin) -> Installer:
    raise NeedsAttention(f"installer of {pin.node}", "nobody who makes it", "report this line")


def storage_namespace(env: Mapping[str, str]) -> str:
    """Where the storage driver is installed."""
    return env.get("INGOT_STORAGE_NAMESPACE") or STORAGE_NAMESPACE


def _broker_folder(pins: StackFilePins, env: Mapping[str, str]) -> Path:
    """Of the broker for this stack, API and identity, and for this very code, whose facts go through it."""
    parts = [pins.stack, pins.stack_file.endpoint, storage_namespace(env)]
    for name in ("INGOT_KUBECONFIG", "INGOT_SECRETS_FILE"):
        file = env.get(name, "")
        parts += [file, hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else ""]
    parts += [hashlib.sha256(Path(module).read_bytes()).hexdigest() for module in (facts.__file__, objects.__file__)]
    key = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]
    return private_folder(private_folder(pins.root / ".ingot" / "view") / key)


def _launch(
    command: Callable[[Path, str], Sequence[str]], pins: StackFilePins, env: Mapping[str, str], folder: Path
) -> None:
    """Start a broker that outlives this step: in a session of its own, with none of its pipes."""
    sweep(folder, WallClock().now_s())
    with log_in(folder) as log:
        subprocess.Popen(
            command(folder, pins.stack),
            cwd=pins.root,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _connect(
    env: Mapping[str, str], pins: StackFilePins, secrets: StateSecrets, clock: Clock, owner: Owner
) -> ApiClient:
    """The kubeconfig that is named, else the endpoint and authority of the stack itself. What a shell happens to
    have in KUBECONFIG says nothing about this stack, so it is not read."""
    file = env.get(KUBECONFIGS[owner]) or env.get(KUBECONFIGS[Owner.HOST_LIFECYCLE])
    if file:
        return from_kubeconfig(Path(file), _certificate(env, secrets))
    identity = (owner.user, owner.group)
    return from_authority(pins.stack_file.endpoint, secrets.authority("ca"), clock.now_s(), identity)


def administrator_of(stack: str, read: Read, start: Path | None = None) -> KubeApi:
    """A connection to the stack's cluster that may do everything, to make the owners' roles with."""
    env, clock = process_environment(), WallClock()
    pins, secrets, _ = _way_in(stack, read, start, env, clock, _no_patches)
    return _administrator(pins, secrets, clock)


def _administrator(pins: StackFilePins, secrets: StateSecrets, clock: Clock) -> KubeApi:
    def connect() -> ApiClient:
        return from_authority(pins.stack_file.endpoint, secrets.authority("ca"), clock.now_s(), ADMINISTRATOR)

    return KubeApi(connect, clock)


def _certificate(env: Mapping[str, str], secrets: StateSecrets) -> str:
    """The certificate of the stack's own authority as PEM, "" where the stack's state cannot be read. A file
    of secrets that is named must be right: raises LifecycleError."""
    try:
        return secrets.authority("ca").certificate
    except LifecycleError:
        if env.get("INGOT_SECRETS_FILE"):
            raise
        return ""


def _etcd_endpoints(env: Mapping[str, str], pins: StackFilePins, kubernetes: ApiKubernetes) -> tuple[str, ...]:
    """INGOT_ETCD_ENDPOINTS, else the control planes' addresses, else their names: etcd must be reachable
    while the API server in front of it is not."""
    given = [url.strip() for url in env.get("INGOT_ETCD_ENDPOINTS", "").split(",") if url.strip()]
    if given:
        return tuple(given)
    try:
        hosts = tuple(kubernetes.control_plane_addresses())
    except LifecycleError:
        hosts = ()
    names = (node for node in pins.declared() if (pin := pins.pin(node)) and pin.role is Role.CONTROL_PLANE)
    return tuple(f"https://{authority(host, ETCD_PORT)}" for host in hosts or names)
