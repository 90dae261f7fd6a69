"""The lifecycle's adapters, connected to a lab as a step connects to a cluster."""

from __future__ import annotations

from lab.lab import Lab
from lifecycle.adapters.clock import WallClock
from lifecycle.adapters.etcd import GatewayEtcd
from lifecycle.adapters.kube_api import KubeApi, from_kubeconfig
from lifecycle.adapters.tls import Authority, client_context
from lifecycle.adapters.wire import HttpJson

CLOCK = WallClock()


def authority(lab: Lab, name: str) -> Authority:
    """One of the lab's, as a step gets it from the stack's state."""
    texts = [(lab.layout.pki / f"{name}.{end}").read_text(encoding="ascii") for end in ("crt", "key")]
    return Authority(name, *texts)


def api_of(lab: Lab) -> KubeApi:
    return KubeApi(lambda: from_kubeconfig(lab.kubeconfig, authority(lab, "ca").certificate), CLOCK)


def etcd_of(lab: Lab) -> GatewayEtcd:
    tls = client_context(authority(lab, "etcd-ca"), "ingot-lifecycle", "ingot-lifecycle", CLOCK.now_s())
    return GatewayEtcd(HttpJson(CLOCK, tls=lambda: tls, timeout_s=5), lambda: lab.layout.etcd_endpoints)
