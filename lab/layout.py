"""What a lab consists of and where everything is: data from which every command line follows."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from lab.certificates import Authority, Pair, service_account_key, write_private
from lab.errors import LabIsDown, NotLinux
from lab.ports import free_ports

FILE = "lab.json"
"""In the lab's folder: its shape."""

HOST = "127.0.0.1"
"""Where everything but etcd listens."""

ETCD_HOSTS = ("127.0.0.11", "127.0.0.12", "127.0.0.13")
"""An address each: the lifecycle knows members by their addresses. All of 127.0.0.0/8 is loopback on Linux."""

ADMIN_GROUP = "system:masters"
"""The API server lets this group do everything without any role."""


@dataclass(frozen=True)
class Shape:
    """What was asked for, and the ports that were found for it."""

    etcd_members: int
    systems: int
    client_ports: tuple[int, ...]
    peer_ports: tuple[int, ...]
    api_port: int
    controller_manager_port: int
    scheduler_port: int
    kwok_port: int
    redfish_port: int

    @classmethod
    def choose(cls, etcd_members: int, systems: int) -> Shape:
        """With free ports. Raises NoFreePort."""
        etcd = free_ports(2 * etcd_members)
        clients, peers = etcd[:etcd_members], etcd[etcd_members:]
        return cls(etcd_members, systems, clients, peers, *(port for port in free_ports(5)))


@dataclass(frozen=True)
class Layout:
    """A lab's folder, its shape, and the binaries of tools.lab by name."""

    folder: Path
    shape: Shape
    binaries: Mapping[str, Path]

    @property
    def pki(self) -> Path:
        return self.folder / "pki"

    @property
    def audit_log(self) -> Path:
        """What the owners of lifecycle.permissions asked the API server for, a JSON document a line."""
        return self.folder / "data" / "audit.jsonl"

    @property
    def endpoint(self) -> str:
        """The API server, as `host:port`."""
        return f"{HOST}:{self.shape.api_port}"

    @property
    def etcd_endpoints(self) -> tuple[str, ...]:
        """The client URL of every member."""
        return tuple(f"https://{host}:{port}" for host, port in zip(ETCD_HOSTS, self.shape.client_ports, strict=False))

    @property
    def redfish_url(self) -> str:
        return f"https://{HOST}:{self.shape.redfish_port}"

    def authority(self) -> Authority:
        """Of the cluster: the API server, its clients, the control plane's own servers."""
        return Authority(self.pki, "ca")

    def etcd_authority(self) -> Authority:
        """Of etcd's members and their clients: whoever holds it holds the cluster, so it is one of its own."""
        return Authority(self.pki, "etcd-ca")

    def bmc_authority(self) -> Authority:
        """Of the management controllers."""
        return Authority(self.pki, "bmc-ca")

    def server(self) -> Pair:
        """The certificate of every server on HOST but the management controllers'."""
        return self.authority().server("server", HOST, "localhost", "kubernetes.default.svc")

    def service_accounts(self) -> Pair:
        return service_account_key(self.pki)

    def kubeconfig(self, name: str, common_name: str, *organisations: str) -> Path:
        """A kubeconfig for a user in groups, by name; its client certificate is issued on first use."""
        pair, authority = self.authority().client(name, common_name, *organisations), self.authority().pair
        path = self.folder / f"{name}.kubeconfig"
        cluster = {"server": f"https://{self.endpoint}", "certificate-authority": str(authority.certificate)}
        user = {"client-certificate": str(pair.certificate), "client-key": str(pair.key)}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "lab", "cluster": cluster}],
            "users": [{"name": common_name, "user": user}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": common_name}}],
            "current-context": "lab",
        }
        write_private(path, (json.dumps(document, indent=2) + "\n").encode())  # JSON is YAML
        return path

    def write(self) -> None:
        """Keep the shape, so that another process can find its way about."""
        (self.folder / FILE).write_text(json.dumps(asdict(self.shape), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path, binaries: Mapping[str, Path]) -> Layout:
        """That of the lab in `folder`. Raises LabIsDown."""
        try:
            found = json.loads((folder / FILE).read_text(encoding="utf-8"))
            clients, peers = tuple(found.pop("client_ports")), tuple(found.pop("peer_ports"))
            return cls(folder, Shape(client_ports=clients, peer_ports=peers, **found), binaries)
        except FileNotFoundError:
            raise LabIsDown(folder, "no such file") from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise LabIsDown(folder, f"one that cannot be read ({type(error).__name__})") from error


def require_linux(system: str = platform.system()) -> None:
    """Raises NotLinux."""
    if system != "Linux":
        raise NotLinux(system)
