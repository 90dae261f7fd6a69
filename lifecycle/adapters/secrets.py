"""Secrets, found when a step needs them: never stored with a command, never shown, never on a command line.

The cluster's authorities come from the stack's own state (or a file), the management controllers'
credentials from the environment (or a file). Files are refused unless only their owner may read them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lifecycle.adapters import machine_configuration, talos_state
from lifecycle.adapters.files import private
from lifecycle.adapters.tls import Authority
from lifecycle.errors import NeedsAttention, PortError
from lifecycle.ports import Pin, Role

EXPORT_LIMIT_S = 120.0
"""`pulumi stack export` decrypts every secret of the state: seconds for a thousand nodes, more on a slow backend."""
AUTHORITIES = {"ca": "ca", "etcd-ca": "etcd/ca", "front-proxy-ca": "front-proxy-ca"}
"""Resource name -> file stem under /etc/kubernetes/pki, as kubeadm names them."""
SERVICE_ACCOUNT = "service-account"
REMEDY = (
    "run `pulumi up` until the cluster's authorities are made, or name a file of them in INGOT_SECRETS_FILE "
    "(docs/decisions/0031.md)"
)


Patches = Callable[[Pin], tuple[str, str]]
"""Of a pin that runs Talos: its pool's patch, and the one that makes it the node's."""


class StateSecrets:
    """Fulfils `lifecycle.ports.Secrets`; also lends an authority to the adapters that sign with it.

    root: the project's directory. endpoint: finds `host:port` of the cluster. environment: `os.environ`.
    patches: what a machine's configuration is completed with. Read once, on first use. Raises PortError, which
    says where it looked and never what it saw.
    """

    def __init__(
        self,
        stack: str,
        root: Callable[[], Path],
        endpoint: Callable[[], str],
        environment: Mapping[str, str],
        patches: Patches,
    ) -> None:
        self._stack, self._root, self._endpoint, self._environment = stack, root, endpoint, environment
        self._patches = patches
        self._found: _Found | None = None

    def endpoint(self) -> str:
        return self._endpoint()

    def pki(self, role: Role) -> Mapping[str, str]:
        if role is Role.WORKER:
            return {"ca.crt": self._pem("ca")}
        files = {"sa.key": self._pem(f"{SERVICE_ACCOUNT}-key"), "sa.pub": self._pem(f"{SERVICE_ACCOUNT}-pub")}
        for name, stem in AUTHORITIES.items():
            files |= {f"{stem}.crt": self._pem(name), f"{stem}.key": self._pem(f"{name}-key")}
        return files

    def authority(self, name: str) -> Authority:
        """name: `ca` or `etcd-ca`; of a cluster of Talos also `os-ca`, of the machines' own API."""
        return Authority(name, self._pem(name), self._pem(f"{name}-key"))

    def configuration(self, pin: Pin) -> str:
        what = f"machine configuration of {pin.node} in the state of stack {self._stack}"
        shared, own = self._patches(pin)
        kept = self._secrets().configurations.get(pin.pool)
        if kept is None:
            raise PortError(what, f"none for its pool {pin.pool}", machine_configuration.REMEDY)
        if kept.patch != talos_state.patch_digest(shared):
            found = "one that was made from another stack file or lock"
            raise PortError(what, found, machine_configuration.REMEDY)
        return machine_configuration.completed(kept.text, own, what)

    def _pem(self, name: str) -> str:
        pems = self._secrets().pems
        if name not in pems:
            raise PortError(f"secrets of stack {self._stack}", f"no {name}", REMEDY)
        return pems[name]

    def _secrets(self) -> _Found:
        if self._found is None:
            file = self._environment.get("INGOT_SECRETS_FILE")
            self._found = _Found(_from_file(Path(file)), {}) if file else _from_state(self._export())
        return self._found

    def _export(self) -> str:
        what = f"`pulumi stack export` for stack {self._stack}"
        program = self._environment.get("INGOT_PULUMI") or shutil.which("pulumi", path=self._environment.get("PATH"))
        if not program:
            raise NeedsAttention(
                what, "no pulumi on PATH", "put it there, name it in INGOT_PULUMI, or use INGOT_SECRETS_FILE"
            )
        line = [program, "stack", "export", "--show-secrets", "--non-interactive", "--stack", self._stack]
        try:
            done = subprocess.run(
                line,
                cwd=self._root(),
                env=dict(self._environment),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=EXPORT_LIMIT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise PortError(
                what, f"nothing within {EXPORT_LIMIT_S:.0f} s", "check that the state's backend answers"
            ) from None
        except OSError as error:
            raise PortError(what, f"{error.strerror}: {program}", "correct INGOT_PULUMI or PATH") from error
        if done.returncode != 0:
            said = next((s for s in done.stderr.splitlines() if s.startswith("error:")), f"exit code {done.returncode}")
            raise PortError(what, said, "check that this environment can read the state (backend, login, passphrase)")
        return done.stdout


@dataclass(frozen=True)
class _Found:
    """pems: by name. configurations: of Talos' pools, by pool."""

    pems: Mapping[str, str] = field(repr=False)
    configurations: Mapping[str, talos_state.PoolConfiguration]


def _from_file(path: Path) -> dict[str, str]:
    """`{"ca": {"cert": PEM, "key": PEM}, ..., "service-account": {"key": PEM}}`."""
    what = f"secrets file {path}"
    try:
        found = json.loads(private(path, "secrets file"))
        pems: dict[str, str] = {}
        for name, pair in found.items():
            pems |= {
                f"{name}-key" if part == "key" else name: str(pair[part]) for part in ("cert", "key") if part in pair
            }
    except (ValueError, TypeError, AttributeError):
        raise NeedsAttention(
            what, "something else than the documented JSON", "see docs/decisions/0031.md for its shape"
        ) from None
    return _with_public_key(pems, what)


def _from_state(text: str) -> _Found:
    """What the tls resources, or Talos' own, hold in an exported state."""
    what = "exported state"
    try:
        resources = json.loads(text)["deployment"].get("resources") or []
        wanted = {
            **dict.fromkeys(AUTHORITIES, "certPem"),
            **{f"{n}-key": "privateKeyPem" for n in (*AUTHORITIES, SERVICE_ACCOUNT)},
        }
        pems = talos_state.authorities(resources)
        for resource in resources:
            name = str(resource["urn"]).rsplit("::", 1)[-1]
            if str(resource.get("type", "")).startswith("tls:") and name in wanted and not resource.get("delete"):
                pem = talos_state.plain((resource.get("outputs") or {}).get(wanted[name]))
                pems[name] = pem if isinstance(pem, str) else ""
        configurations = talos_state.configurations(resources)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise PortError(what, "something else than a deployment", "see `pulumi stack export`") from None
    return _Found(_with_public_key({name: pem for name, pem in pems.items() if pem}, what), configurations)


def _with_public_key(pems: dict[str, str], what: str) -> dict[str, str]:
    key = pems.get(f"{SERVICE_ACCOUNT}-key")
    if key is None:
        return pems
    from cryptography.hazmat.primitives import serialization

    try:
        public = serialization.load_pem_private_key(key.encode(), None).public_key()
    except (ValueError, TypeError):
        raise PortError(what, f"a {SERVICE_ACCOUNT} key that cannot be read", REMEDY) from None
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return {**pems, f"{SERVICE_ACCOUNT}-pub": pem.decode()}


# ---------------------------------------------------------------- management controllers


@dataclass(frozen=True)
class BmcCredentials:
    """A user of a management controller. The password has no repr."""

    username: str
    password: str = field(repr=False)


def bmc_credentials(host: str, environment: Mapping[str, str]) -> BmcCredentials:
    """For `host`: its own entry in INGOT_CREDENTIALS_FILE, else that file's `default`, else INGOT_BMC_*.

    The file is YAML, mode 0600: `default: {username, password}` and `hosts: {<host>: {...}}`.
    Raises NeedsAttention, naming both ways, if neither gives a user.
    """
    file = environment.get("INGOT_CREDENTIALS_FILE")
    if file:
        found = _credentials_file(Path(file))
        entry = (found.get("hosts") or {}).get(host) or found.get("default")
        if entry is not None:
            return _user(entry, f"credentials of {host} in {file}")
    username, password = environment.get("INGOT_BMC_USERNAME"), environment.get("INGOT_BMC_PASSWORD")
    if username and password:
        return BmcCredentials(username, password)
    raise NeedsAttention(
        f"credentials for the BMC of {host}",
        f"none{f' in {file}' if file else ''}",
        "set INGOT_BMC_USERNAME and INGOT_BMC_PASSWORD, or name a YAML file (mode 0600) with `default` or "
        f"`hosts.{host}` (username, password each) in INGOT_CREDENTIALS_FILE",
    )


def _credentials_file(path: Path) -> dict[str, Any]:
    import yaml

    try:
        found = yaml.safe_load(private(path, "credentials file"))
    except yaml.YAMLError:
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("hosts") or {}, dict):
        raise NeedsAttention(
            f"credentials file {path}", "something else than a YAML mapping", "write `default:` or `hosts:` into it"
        )
    return found


def _user(entry: object, what: str) -> BmcCredentials:
    if isinstance(entry, dict) and entry.get("username") and entry.get("password"):
        return BmcCredentials(str(entry["username"]), str(entry["password"]))
    raise NeedsAttention(what, "an entry without `username` or `password`", "give both")


def process_environment() -> Mapping[str, str]:
    """The environment of this process."""
    return os.environ
