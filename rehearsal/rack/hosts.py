"""Hosts: power, installer, first boot, and the way into the cluster.

Assumptions. Servers spend minutes in firmware: 90 to 180 s here for each power-on or reboot (the
field reports 10 to 15 min for a bare-metal node from power-on to Ready; two firmware passes, a live
boot and an image write give 6 to 11 min here). Power changes are seen seconds after they are asked
for (a Redfish emulator shows 1 to 11 s). A kubelet whose host is gone is NotReady after 40 s, the
default grace period of the node controller. A node cannot be Ready before there is a CNI.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from lifecycle.ports import Pin, Progress, Role, Way
from rehearsal.rack import quorum, volumes, workloads
from rehearsal.rack.world import Event, Host, Kept, KubeNode

if TYPE_CHECKING:
    from rehearsal.rack.rack import Rack

POWER_S = (1.0, 8.0)
FIRMWARE_S = (90.0, 180.0)
LIVE_BOOT_S = (35.0, 60.0)
WRITE_IMAGE_S = (60.0, 120.0)
BOOT_S = (30.0, 50.0)
INIT_S = (45.0, 75.0)
JOIN_S = (20.0, 45.0)
READY_S = (5.0, 15.0)
NODE_GRACE_S = 40.0
RETRY_S = 30.0
ERASE_S = (5.0, 30.0)
WIPE_S = (20.0, 60.0)
"""Pods are stopped first; the disk itself is erased in a moment (only its beginning and its filesystems' are)."""


def power_off(rack: Rack, host: Host) -> None:
    rack.later(rack.draw(*POWER_S, host.name, host.boots, "off"), "power-off", host.name, host.boots)


def install(rack: Rack, host: Host, pin: Pin) -> None:
    """One-time boot into the installer: the host forgets what ran on it, its data disks do not. A host
    that still ran is cut off, as by a forced restart."""
    if host.power == "on":
        stop(rack, host)
    host.power, host.boot_override = "on", True
    host.boots += 1
    host.progress = Progress.NONE
    host.credentials, host.joined = "", False
    if host.kept is None and host.holds is not None:
        kept = Kept(generation=host.generation, os_image=host.os_image, kubelet=host.kubelet, way=host.holds)
        host.kept = kept
    if pin.erases:
        host.os_disk = pin.os_disk
        rack.later(_live_boot_s(rack, host), "erasing", host.name, host.boots)
        return
    host.os_disk, host.way = pin.os_disk, pin.way
    host.generation, host.os_image, host.kubelet = pin.generation, pin.os_image, pin.kubelet
    for disk in pin.data_disks:
        host.markers.setdefault(disk, f"{host.name} data")
    rack.later(_live_boot_s(rack, host), "installing", host.name, host.boots)


def _live_boot_s(rack: Rack, host: Host) -> float:
    """From power on until a live system runs."""
    firmware_s = rack.draw(*FIRMWARE_S, host.name, host.boots, "firmware")
    return firmware_s + rack.draw(*LIVE_BOOT_S, host.name, host.boots, "live")


def deliver(rack: Rack, host: Host, *, init: bool) -> None:
    """The node finds its one-time credentials and runs kubeadm; the same ones again change nothing."""
    if host.credentials:
        return
    host.credentials = "init" if init else "join"
    if host.progress is Progress.RUNNING:
        start_kubeadm(rack, host)


def bootstrap(rack: Rack, host: Host) -> None:
    """A Talos machine begins the cluster, whose configuration it has; the same again changes nothing."""
    if host.credentials == "join" and not host.joined:
        host.credentials = "init"
        if host.progress is Progress.RUNNING:
            start_kubeadm(rack, host)


def wipe(rack: Rack, host: Host) -> None:
    """A Talos machine erases its own disk and switches itself off; its data disks stay."""
    host.holds, host.kept, host.member = None, None, False
    rack.later(rack.draw(*WIPE_S, host.name, host.boots, "wipe"), "power-off", host.name, host.boots)


def start_kubeadm(rack: Rack, host: Host) -> None:
    """It has its credentials, and runs."""
    span = INIT_S if host.credentials == "init" else JOIN_S
    rack.later(rack.draw(*span, host.name, host.boots, "kubeadm"), "kubeadm", host.name, host.boots)


def current(rack: Rack, event: Event) -> Host | None:
    """The host that an event is about, while it runs on the boot that the event is of."""
    host = rack.world.hosts[event.subject]
    return host if host.boots == event.number and host.power == "on" else None


def _power_off(rack: Rack, event: Event) -> None:
    host = rack.world.hosts[event.subject]
    if host.boots == event.number and host.power == "on":
        stop(rack, host)


def stop(rack: Rack, host: Host) -> None:
    """The host runs no more."""
    rack.laws.machine_stops(host.name)
    host.power, host.joined, host.credentials = "off", False, ""
    if host.progress is not Progress.ERASED:  # a report stays where it is until the next installation
        host.progress = Progress.NONE
    quorum.elect(rack)
    volumes.host_stopped(rack, host.name)
    rack.later(NODE_GRACE_S, "node-lost", host.name, host.boots)
    rack.changed(f"host/{host.name}", "etcd", "storage")


def _installing(rack: Rack, event: Event) -> None:
    host = current(rack, event)
    if host is None:
        return
    if host.way is Way.TALOS and host.holds is Way.TALOS:
        return  # Talos does not start over what is on the disk already (lifecycle/way.py): it halts
    if rack.faults.active("never-boots", host.name):
        rack.later(RETRY_S, "installing", host.name, host.boots)
        return
    host.progress, host.holds, host.kept, host.member = Progress.INSTALLING, None, None, False
    rack.later(rack.draw(*WRITE_IMAGE_S, host.name, host.boots, "write"), "installed", host.name, host.boots)
    rack.changed(f"host/{host.name}")


def _erasing(rack: Rack, event: Event) -> None:
    host = current(rack, event)
    if host is None:
        return
    if rack.faults.active("never-boots", host.name):
        rack.later(RETRY_S, "erasing", host.name, host.boots)
        return
    host.progress, host.boot_override = Progress.INSTALLING, False
    rack.later(rack.draw(*ERASE_S, host.name, host.boots, "erase"), "erased", host.name, host.boots)
    rack.changed(f"host/{host.name}")


def _erased(rack: Rack, event: Event) -> None:
    """It reports, and switches itself off."""
    host = current(rack, event)
    if host is None:
        return
    _writes_os_disk(rack, host, "")
    host.holds, host.kept, host.member = None, None, False
    host.generation = host.os_image = host.kubelet = host.machine_id = ""
    host.progress = Progress.ERASED
    rack.later(rack.draw(*POWER_S, host.name, host.boots, "erased"), "power-off", host.name, host.boots)
    rack.changed(f"host/{host.name}")


def _writes_os_disk(rack: Rack, host: Host, contents: str) -> None:
    """What would be lost if it were a data disk."""
    if host.os_disk in host.markers:
        host.markers[host.os_disk] = contents
        rack.laws.disk_written(host.name, host.os_disk)


def _installed(rack: Rack, event: Event) -> None:
    host = current(rack, event)
    if host is None:
        return
    host.progress, host.boot_override = Progress.INSTALLED, False
    host.installs += 1
    host.holds = host.way
    _writes_os_disk(rack, host, host.os_image)
    host.machine_id = f"{host.name}-{host.installs:03d}"
    after = rack.draw(*FIRMWARE_S, host.name, host.boots, "reboot") + rack.draw(*BOOT_S, host.name, host.boots, "boot")
    rack.later(after, "running", host.name, host.boots)
    rack.changed(f"host/{host.name}")


def _running(rack: Rack, event: Event) -> None:
    host = current(rack, event)
    if host is None:
        return
    host.progress = Progress.RUNNING
    if host.credentials:
        start_kubeadm(rack, host)
    rack.changed(f"host/{host.name}")


def _kubeadm(rack: Rack, event: Event) -> None:
    host = current(rack, event)
    if host is None or host.joined:
        return
    waits_for_api = host.credentials == "join" and not quorum.api_answers(rack)
    if waits_for_api or rack.faults.active("never-joins", host.name):
        rack.later(RETRY_S, "kubeadm", host.name, host.boots)
        return
    host.joined = host.member = True
    if rack.role(host.name) is Role.CONTROL_PLANE:
        quorum.member_starts(rack, host.name)
    image = "Fedora CoreOS 39.20240101.3.0" if rack.faults.active("wrong-image", host.name) else host.os_image
    known = rack.world.nodes.get(host.name)
    rack.world.nodes[host.name] = KubeNode(
        name=host.name,
        unschedulable=known.unschedulable if known is not None else False,
        os_image=image,
        kubelet=host.kubelet,
        machine_id=host.machine_id,
        boot_id=boot_id(host),
        ready_changed_s=rack.now_s,
    )
    rack.journal.add(rack.now_s, "image", node=host.name, image=image)
    if rack.world.cni_up:
        rack.later(rack.draw(*READY_S, host.name, host.boots, "ready"), "node-ready", host.name, host.boots)
    rack.note_standing(host.name)
    rack.changed(f"node/{host.name}", "etcd")


def boot_id(host: Host) -> str:
    """Of the boot that it runs."""
    return f"{host.machine_id}-{host.boots}"


def cni_comes_up(rack: Rack) -> None:
    """The CNI was installed: nodes that waited for it become Ready."""
    if rack.world.cni_up:
        return
    rack.world.cni_up = True
    for name in sorted(rack.world.nodes):
        host = rack.world.hosts[name]
        if host.joined and not rack.world.nodes[name].ready:
            rack.later(rack.draw(*READY_S, name, host.boots, "ready"), "node-ready", name, host.boots)


def _node_ready(rack: Rack, event: Event) -> None:
    host = current(rack, event)
    node = rack.world.nodes.get(event.subject)
    if host is None or node is None or not host.joined:
        return
    node.ready, node.ready_changed_s = True, rack.now_s
    rack.world.dark.discard(node.name)
    rack.note_standing(node.name)
    workloads.place_pending(rack)
    rack.changed(f"node/{node.name}")


def _node_lost(rack: Rack, event: Event) -> None:
    host, node = rack.world.hosts[event.subject], rack.world.nodes.get(event.subject)
    if node is None or host.joined:
        return
    if node.ready:
        node.ready, node.ready_changed_s = False, rack.now_s
    rack.note_standing(node.name)
    rack.changed(f"node/{node.name}")


HANDLERS: Mapping[str, Callable[[Rack, Event], None]] = {
    "power-off": _power_off,
    "installing": _installing,
    "installed": _installed,
    "erasing": _erasing,
    "erased": _erased,
    "running": _running,
    "kubeadm": _kubeadm,
    "node-ready": _node_ready,
    "node-lost": _node_lost,
}
