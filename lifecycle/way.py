"""How a machine comes into its cluster, by its operating system: the one place where steps tell two ways apart.

KUBEADM: the installed system fetches credentials at its one-time location and runs kubeadm. TALOS: the machine
fetches its whole configuration there, installs itself with it, and joins; etcd's first member begins when the
machine's own API is asked to. Whatever a Talos disk holds goes before what the machine is told, so such a machine
erases its disk before it is given away or installed anew (docs/decisions/0083.md).
"""

from __future__ import annotations

from contextlib import suppress

from lifecycle import power, switches
from lifecycle.errors import NeverPoweredOff, PortError
from lifecycle.ports import Controller, Credentials, Pin, Ports, Power, Way
from lifecycle.waiting import Blocked, wait_until

TOKEN_TTL_S = 3600.0
"""The longest a join token may live; the node uses it within minutes."""


def credentials(ports: Ports, pin: Pin, *, init: bool) -> Credentials:
    """What the node finds at its one-time location. init: it is the first of its cluster."""
    endpoint = ports.secrets.endpoint()
    if pin.way is Way.TALOS:
        return Credentials(init=init, endpoint=endpoint, configuration=ports.secrets.configuration(pin))
    token = "" if init else ports.kubernetes.mint_token(TOKEN_TTL_S)
    return Credentials(init=init, endpoint=endpoint, token=token, pki=ports.secrets.pki(pin.role))


def begin(ports: Ports, pin: Pin) -> None:
    """Let the cluster begin on this machine, the one that is on record to. Idempotent. Raises PortError."""
    if pin.way is Way.TALOS:
        ports.machine_api.bootstrap(pin.node)


def came_in(ports: Ports, pin: Pin) -> None:
    """The machine runs from its disk: no later network boot may start an installation. Talos reports no progress by
    which the boot store would know that earlier (docs/decisions/0032.md)."""
    if pin.way is Way.TALOS:
        machines = ports.machines
        power.order(
            ports,
            pin.node,
            pin.controller,
            "clear boot override",
            lambda: machines.clear_boot_override(pin.node, pin.controller),
        )


def wipe(ports: Ports, host: str, controller: Controller, way: Way) -> None:
    """Have a Talos machine erase its own disk and switch itself off, which proves that it did. One that does not
    answer, or does not end, is noted: what is left on its disk keeps its next installation from starting.

    Does nothing for another system, whose installer overwrites what is there, for a machine that takes its disk with
    it, or if the power is off.
    """
    machines = ports.machines
    if way is not Way.TALOS or not switches.of(controller).keeps_disk:
        return
    if power.order(ports, host, controller, "power state", lambda: machines.power(host, controller)) is Power.OFF:
        return
    ports.fence.check(host)
    ports.evidence.begin(host, "power-off", "its machine erases its disk")
    try:
        ports.machine_api.wipe(host)
    except PortError as silent:
        ports.evidence.note(host, f"its disk is not erased (runbooks/talos.md#disk): {silent}")
        return
    with suppress(NeverPoweredOff):
        wait_until(
            lambda: (
                True
                if machines.power(host, controller) is Power.OFF
                else Blocked("the power is on", look_s=power.POLL_S)
            ),
            what="its machine erases its disk and switches itself off",
            node=host,
            about=f"host/{host}",
            ports=ports,
            limit_s=ports.pins.limits().boot_s,
            error=NeverPoweredOff,
        )
        return
    ports.evidence.note(host, "its disk is not proven erased (runbooks/talos.md#disk): its power stayed on")
