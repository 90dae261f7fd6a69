"""Whether a machine runs exactly what is pinned: OS image, kernel and kubelet.

An image's publisher may not say which kernel is in it (Fedora CoreOS's stream metadata does not). Then the
kernel of the first machine that joined with an image is written to the roster, and every later machine
with that image must run the same one (docs/decisions/0074.md).
"""

from __future__ import annotations

from dataclasses import dataclass

from lifecycle import roster
from lifecycle.errors import WrongImage
from lifecycle.facts import Claim, ClaimState, Node, Pin
from lifecycle.ports import Ports
from lifecycle.roster import Roster

STEADY = 2
"""Looks in a row at what a machine says of itself: in a single one it may be about to restart."""


@dataclass(frozen=True)
class Mismatch:
    """One thing that a machine runs and should not. what: `image`, `kernel` or `kubelet`."""

    what: str
    expected: str
    found: str


def of(pin: Pin) -> str:
    """The image of a pin, as the roster names it: one version holds another kernel for each architecture."""
    return f"{pin.os_image} {pin.architecture}".rstrip()


def expected_kernel(pin: Pin, known: Roster) -> str:
    """The kernel that the pin's image is known to hold; "" while nobody knows."""
    return pin.kernel or known.kernels.get(of(pin), "")


def mismatches(pin: Pin, seen: Node, kernel: str) -> tuple[Mismatch, ...]:
    """All that `seen` runs and the pin does not say. kernel: the one expected, "" for any."""
    compared = (
        Mismatch("image", pin.os_image, seen.os_image),
        Mismatch("kernel", kernel or seen.kernel, seen.kernel),
        Mismatch("kubelet", pin.kubelet, seen.kubelet),
    )
    return tuple(m for m in compared if m.expected != m.found)


def told(os_image: str, kernel: str, kubelet: str) -> str:
    """In words; no kernel where none is expected."""
    return ", ".join([os_image or "no image", *([f"kernel {kernel}"] if kernel else []), f"kubelet {kubelet}"])


def require(ports: Ports, pin: Pin, claim: Claim, seen: Node, kernel: str) -> None:
    """Return if the machine runs what is pinned. Raises WrongImage; a new machine is cordoned first, since it
    is registered, and may be Ready, all the same."""
    if not mismatches(pin, seen, kernel):
        return
    if claim.state is ClaimState.PROVISIONING and not seen.unschedulable:
        ports.kubernetes.set_unschedulable(pin.node, True)
    raise WrongImage(
        pin.node,
        told(seen.os_image, seen.kernel if kernel else "", seen.kubelet),
        told(pin.os_image, kernel, pin.kubelet),
    )


def same_boot(before: Node, now: Node) -> bool:
    """Whether both looks saw one machine in one and the same boot."""
    return (before.machine_id, before.boot_id) == (now.machine_id, now.boot_id)


def settle_kernel(ports: Ports, pin: Pin, claim: Claim, seen: Node, standing: Roster) -> None:
    """Return if the machine runs the kernel of its image; the first one to join says which that is.

    standing: the roster as just read. Raises WrongImage.
    """
    kernel = expected_kernel(pin, standing)
    if not kernel and seen.kernel:
        done = roster.update(ports, pin.node, lambda now: _recorded(now, pin, seen.kernel))
        kernel = expected_kernel(pin, done) if isinstance(done, Roster) else ""
    require(ports, pin, claim, seen, kernel)


def _recorded(now: Roster, pin: Pin, kernel: str) -> Roster:
    if of(pin) in now.kernels:
        return now  # another machine came first
    return now.model_copy(update={"kernels": {**now.kernels, of(pin): kernel}})
