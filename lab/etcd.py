"""etcd: one member, or three with an address each. TLS with client certificates, among the members too."""

from __future__ import annotations

from lab import probes
from lab.certificates import Pair
from lab.layout import ETCD_HOSTS, Layout
from lab.processes import Part

CLIENT = "etcd-client"
"""The name of the client certificate with which the API server, the probes and `etcdctl` come."""


def name(member: int) -> str:
    """The part's name; members count from 1."""
    return f"etcd-{member}"


def node(member: int) -> str:
    """The member's own name: its node's, as kubeadm has it."""
    return f"cp{member}"


def client(layout: Layout) -> Pair:
    """A client certificate that etcd accepts. etcd does not tell its clients apart, as with kubeadm."""
    return layout.etcd_authority().client(CLIENT, CLIENT)


def part(layout: Layout, member: int) -> Part:
    """The member `member` (from 1) of a cluster that is made anew; started again, it goes on with its data."""
    authority, host = layout.etcd_authority(), ETCD_HOSTS[member - 1]
    pair = authority.server(name(member), host, "127.0.0.1", "localhost")
    url = layout.etcd_endpoints[member - 1]
    peers = [f"https://{at}:{port}" for at, port in zip(ETCD_HOSTS, layout.shape.peer_ports, strict=False)]
    trusted = str(authority.pair.certificate)
    flags = {
        "name": node(member),
        "data-dir": str(layout.folder / "data" / name(member)),
        "listen-client-urls": url,
        "advertise-client-urls": url,
        "listen-peer-urls": peers[member - 1],
        "initial-advertise-peer-urls": peers[member - 1],
        "initial-cluster": ",".join(f"{node(i)}={peer}" for i, peer in enumerate(peers, 1)),
        "initial-cluster-state": "new",
        "cert-file": str(pair.certificate),
        "key-file": str(pair.key),
        "trusted-ca-file": trusted,
        "client-cert-auth": "true",
        "peer-cert-file": str(pair.certificate),
        "peer-key-file": str(pair.key),
        "peer-trusted-ca-file": trusted,
        "peer-client-cert-auth": "true",
        # A lab may lose its data with the machine; a slow disk must not decide how long a test takes.
        "unsafe-no-fsync": "true",
        "logger": "zap",
        "log-level": "warn",
    }
    return Part(
        name(member),
        [str(layout.binaries["etcd"]), *(f"--{flag}={value}" for flag, value in flags.items())],
        probes.Asked(f"{url}/health", authority.pair.certificate, client(layout)),
        last=True,  # without it the API server does not end by itself
    )
