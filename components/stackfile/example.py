"""Fleets of any size, as raw data: for benches, tests and whoever wants a file to begin with. Pure."""

from __future__ import annotations

from typing import Any, Final

STORAGE_HOSTS: Final = 6
STORAGE_HOSTS_MIN: Final = 3  # the driver's minimum for two replicas
RACKS_MIN: Final = 3


def example(workers: int, lanes: int, control_planes: int = 3) -> dict[str, Any]:
    """An environment of this size, valid, without the file around it.

    Pools: `control-plane` (cp1...), `storage` (w1 to w6, rolling singly), and for what workers there are beyond,
    `workers` (w7...) with `lanes` nodes out at most. Each lane has fault domains of its own, so that no
    lane waits for another. Raises ValueError for a fleet that cannot be.
    """
    rest = workers - STORAGE_HOSTS
    if workers < STORAGE_HOSTS_MIN:
        raise ValueError(f"workers: expected {STORAGE_HOSTS_MIN} at least for two replicas, found {workers}")
    if control_planes not in (1, 3, 5):
        raise ValueError(f"control_planes: expected 1, 3 or 5, found {control_planes}")
    if lanes < 1 or (rest > 0 and lanes > max(1, rest - 1)):
        most = f"1 to {max(1, rest - 1)}" if rest > 0 else "1 or more"
        raise ValueError(f"lanes: expected {most} with {workers} workers, found {lanes}")
    managing = [f"cp{i}" for i in range(1, control_planes + 1)]
    storing = [f"w{i}" for i in range(1, min(workers, STORAGE_HOSTS) + 1)]
    pools = {
        "control-plane": _pool("control-plane", managing, RACKS_MIN, 0x01),
        "storage": _pool("worker", storing, RACKS_MIN, 0x02, disks=2),
    }
    if rest > 0:
        racks = lanes * -(-RACKS_MIN // lanes)
        names = [f"w{i}" for i in range(STORAGE_HOSTS + 1, workers + 1)]
        pools["workers"] = _pool("worker", names, racks, 0x03) | {"rollout": {"max_unavailable": lanes}}
    return {
        "cluster": {
            "name": "example",
            "kubernetes": "v1.36.3",
            "endpoint": "api.fleet.example",
            "pod_cidr": "10.128.0.0/9",
        },
        "image": {"os": "fedora-coreos", "version": "44.20260621.3.1", "architecture": "x86_64"},
        "boot_store": {"kind": "directory", "url": "https://boot.fleet.example", "directory": "/srv/ingot"},
        "pools": pools,
        "storage": {
            "layout": "converged",
            "driver": {
                "kind": "simplyblock",
                "chart_version": "26.2.8",
                "cluster_id": "6f1c2a54-0d3e-4b8e-9a57-2f4c8f0b7d11",
                "pool_name": "fleet",
            },
            "nodes": ["storage"],
            "policies": {"default": {"replicas": 2, "default": True}},
        },
    }


def _pool(role: str, names: list[str], racks: int, mark: int, disks: int = 0) -> dict[str, Any]:
    """mark: makes the MAC addresses of a pool its own."""
    hosts = {name: _host(name, f"rack-{i % racks + 1}", mark << 24 | (i + 1), disks) for i, name in enumerate(names)}
    return {"role": role, "machines": {"kind": "bare-metal", "hosts": hosts}}


def _host(name: str, rack: str, number: int, disks: int) -> dict[str, Any]:
    host: dict[str, Any] = {
        "bmc": {"url": f"https://bmc-{name}.fleet.example/redfish/v1/Systems/1"},
        "mac": "52:54:" + ":".join(f"{number >> shift & 0xFF:02x}" for shift in (24, 16, 8, 0)),
        "os_disk": f"/dev/disk/by-id/nvme-EXAMPLE_OS_{name.upper()}",
        "fault_domain": rack,
    }
    if disks:
        host["data_disks"] = [f"/dev/disk/by-id/nvme-EXAMPLE_DATA_{name.upper()}_{i}" for i in range(1, disks + 1)]
    return host
