"""The OS disk of a host that leaves for good is erased, where the stack file asks for it.

The host boots once more, by the ways that it was installed by, into a live system that erases the one disk that its
claim names, reports that it did, and switches itself off. Both are waited for. Data disks are told to it as what it
must leave alone. A machine of Way.TALOS erases its disk itself (lifecycle/way.py).
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from lifecycle import boot, power
from lifecycle.errors import NeedsAttention, WaitedTooLong
from lifecycle.ports import Claim, Controller, Erasure, Pin, Ports, Power, Progress, Way
from lifecycle.waiting import Blocked, wait_until


class NeverErased(WaitedTooLong):
    """The host did not report that its OS disk is erased, or did not switch itself off after it."""

    expected = "its OS disk to be erased before it is given away"
    remedy = "runbooks/boot.md#erase, then run `pulumi up` (or `destroy`) again"


def asked(pin: Pin | None) -> Erasure | None:
    """What a declared host's claim keeps for it; None where the stack file does not ask."""
    if pin is None or not pin.wipe_os_disk:
        return None
    return Erasure(pin.os_disk, pin.data_disks, pin.mac, pin.boot)


def pin_of(claim: Claim, erasure: Erasure, *, generation: str, boot_url: str) -> Pin:
    """What the claimed host boots for it. generation: of the eraser."""
    return Pin(
        node=claim.node,
        pool=claim.pool,
        role=claim.role,
        generation=generation,
        os_image="",
        kubelet="",
        boot_url=boot_url,
        controller=claim.controller,
        mac=erasure.mac,
        os_disk=erasure.os_disk,
        data_disks=erasure.data_disks,
        fault_domain="",
        max_unavailable=1,
        stores=claim.stores,
        retire=True,
        boot=erasure.boot,
        erases=True,
    )


def erase(ports: Ports, claim: Claim, controller: Controller) -> bool:
    """Erase the OS disk of the claim's host, whose power is off, and return whether there was anything to do, once
    its power is off again. Does it again from the start if it was cut off, and not if it was done.

    Raises ControllerUnreachable, NeverPoweredOff, NeverErased.
    """
    node, declared = claim.node, ports.pins.pin(claim.node)
    erasure = asked(declared) if declared is not None else claim.erase
    if erasure is None or not claim.retiring or claim.way is Way.TALOS:
        return False
    eraser = replace(ports.pins.eraser(claim, erasure), controller=controller)
    if _reported(ports, eraser):
        return True
    try:
        boot.installed(ports, eraser)
    except WaitedTooLong as never:
        raise NeverErased(node, never.blocked, never.names, never.limit_s) from None
    _wait_off(ports, eraser)
    ports.evidence.note(node, f"its OS disk {eraser.os_disk} is erased")
    return True


def _reported(ports: Ports, eraser: Pin) -> bool:
    """Whether an earlier run got so far. A report of a failure is of an earlier run too, and does not keep from
    trying again."""
    host, machines = eraser.node, ports.machines
    with suppress(NeedsAttention):
        far = power.order(ports, host, eraser.controller, "progress", lambda: machines.progress(host, eraser))
        return far is Progress.ERASED
    return False


def _wait_off(ports: Ports, eraser: Pin) -> None:
    """It switches itself off once it is done, and only then: where the boot store takes no reports, that is all that
    proves it."""
    host, machines = eraser.node, ports.machines

    def off() -> bool | Blocked:
        on = machines.power(host, eraser.controller) is Power.ON
        return (
            Blocked(f"what erases {eraser.os_disk} has not switched it off", (eraser.os_disk,), look_s=power.POLL_S)
            if on
            else True
        )

    wait_until(
        off,
        what="it switches itself off",
        node=host,
        about=f"host/{host}",
        ports=ports,
        limit_s=ports.pins.limits().boot_s,
        error=NeverErased,
        consecutive=power.STEADY,
        observe_s=power.DARK_S,
    )
