"""The API server, the controller manager and the scheduler, as kubeadm runs them where that matters to a client."""

from __future__ import annotations

from collections.abc import Callable

from lab import audit, etcd, probes
from lab.layout import ADMIN_GROUP, HOST, Layout
from lab.processes import Part

API_SERVER, CONTROLLER_MANAGER, SCHEDULER = "kube-apiserver", "kube-controller-manager", "kube-scheduler"

UNREACHABLE = "192.0.2.1"
"""Advertised for the `kubernetes` Service, which refuses a loopback address and which nobody here uses (RFC 5737)."""

UNTHROTTLED = {"kube-api-qps": "1000", "kube-api-burst": "2000"}
"""The defaults, 20 and 50 requests a second, spare a shared API server; with them 300 pods take 15 s instead of 5."""

SERVICES = "10.96.0.0/16"
"""Of Services' addresses. Nothing routes them."""


def api_server(layout: Layout) -> Part:
    """Clients show certificates or tokens: nobody is let in unnamed."""
    authority, server, accounts = layout.authority(), layout.server(), layout.service_accounts()
    store = etcd.client(layout)
    admin = authority.client("admin", "admin", ADMIN_GROUP)
    return _part(
        layout,
        API_SERVER,
        {
            "bind-address": HOST,
            "secure-port": str(layout.shape.api_port),
            "advertise-address": UNREACHABLE,
            "endpoint-reconciler-type": "none",
            "tls-cert-file": str(server.certificate),
            "tls-private-key-file": str(server.key),
            "client-ca-file": str(authority.pair.certificate),
            "anonymous-auth": "false",
            "authorization-mode": "Node,RBAC",
            "enable-admission-plugins": "NodeRestriction",
            "enable-bootstrap-token-auth": "true",
            "etcd-servers": ",".join(layout.etcd_endpoints),
            "etcd-cafile": str(layout.etcd_authority().pair.certificate),
            "etcd-certfile": str(store.certificate),
            "etcd-keyfile": str(store.key),
            "service-account-issuer": "https://kubernetes.default.svc",
            "service-account-signing-key-file": str(accounts.key),
            "service-account-key-file": str(accounts.certificate),
            "service-cluster-ip-range": SERVICES,
            **audit.flags(layout),
        },
        probes.Asked(f"https://{layout.endpoint}/readyz?verbose", authority.pair.certificate, admin),
    )


def controller_manager(layout: Layout) -> Part:
    """All its controllers, with those that kubeadm adds for bootstrap tokens."""
    kubeconfig = layout.kubeconfig(CONTROLLER_MANAGER, "system:kube-controller-manager")
    authority, server = layout.authority(), layout.server()
    return _part(
        layout,
        CONTROLLER_MANAGER,
        {
            "kubeconfig": str(kubeconfig),
            "authentication-kubeconfig": str(kubeconfig),
            "authorization-kubeconfig": str(kubeconfig),
            "bind-address": HOST,
            "secure-port": str(layout.shape.controller_manager_port),
            "tls-cert-file": str(server.certificate),
            "tls-private-key-file": str(server.key),
            "leader-elect": "false",
            **UNTHROTTLED,
            "controllers": "*,bootstrap-signer-controller,token-cleaner-controller",
            "use-service-account-credentials": "true",
            "service-account-private-key-file": str(layout.service_accounts().key),
            "root-ca-file": str(authority.pair.certificate),
            "cluster-signing-cert-file": str(authority.pair.certificate),
            "cluster-signing-key-file": str(authority.pair.key),
        },
        probes.Both(
            probes.Asked(f"https://{HOST}:{layout.shape.controller_manager_port}/healthz", authority.pair.certificate),
            # Before its controllers have made this, the API server refuses every pod.
            probes.Asked(
                f"https://{layout.endpoint}/api/v1/namespaces/default/serviceaccounts/default",
                authority.pair.certificate,
                authority.client("admin", "admin", ADMIN_GROUP),
            ),
        ),
    )


def scheduler(layout: Layout) -> Part:
    """The default scheduler, alone."""
    kubeconfig = layout.kubeconfig(SCHEDULER, "system:kube-scheduler")
    authority, server = layout.authority(), layout.server()
    return _part(
        layout,
        SCHEDULER,
        {
            "kubeconfig": str(kubeconfig),
            "authentication-kubeconfig": str(kubeconfig),
            "authorization-kubeconfig": str(kubeconfig),
            "bind-address": HOST,
            "secure-port": str(layout.shape.scheduler_port),
            "tls-cert-file": str(server.certificate),
            "tls-private-key-file": str(server.key),
            "leader-elect": "false",
            **UNTHROTTLED,
        },
        probes.Asked(f"https://{HOST}:{layout.shape.scheduler_port}/healthz", authority.pair.certificate),
    )


def _part(layout: Layout, name: str, flags: dict[str, str], answers: Callable[[], str]) -> Part:
    argv = [str(layout.binaries[name]), *(f"--{flag}={value}" for flag, value in flags.items())]
    return Part(name, argv, answers)
