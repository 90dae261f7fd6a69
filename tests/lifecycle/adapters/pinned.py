"""A pin to test with."""

from __future__ import annotations

from lifecycle.ports import Controller, Pin, Role

GENERATION = "0123456789abcdef"


def pin_of(node: str, controller: Controller | None = None, role: Role = Role.WORKER) -> Pin:
    return Pin(
        node=node,
        pool="workers",
        role=role,
        generation=GENERATION,
        os_image="Fedora CoreOS 44.20260621.3.1",
        kubelet="v1.36.3",
        boot_url=f"https://boot.example/boot/{GENERATION}/{node}.ipxe",
        controller=controller or Controller(f"https://bmc-{node}.example/redfish/v1/Systems/1"),
        mac="52:54:00:00:01:01",
        os_disk=f"/dev/disk/by-id/nvme-EXAMPLE_OS_{node}",
        data_disks=(),
        fault_domain="rack-a",
        max_unavailable=1,
        stores=True,
    )
