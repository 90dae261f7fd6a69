"""Hosts that are EC2 instances: one is launched where a host is installed, and ended where its power goes off.

An instance is found by its tags, so that one whose launch was cut off is gone on with and not launched twice. Its
address and its data volumes are there before it and after it (lifecycle/adapters/ec2_volumes.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from lifecycle import ec2
from lifecycle.adapters.ec2_api import Aws
from lifecycle.adapters.ec2_find import COMING, ENDED, ENDING, VOLUME, Finder, only_one
from lifecycle.adapters.ec2_launch import Launcher, UserData
from lifecycle.adapters.ec2_volumes import Volumes
from lifecycle.ec2 import Instance, Place
from lifecycle.errors import NeedsAttention, PortError
from lifecycle.ports import Clock, Controller, Pin, Power, Progress

BOOT = "runbooks/aws.md#ended: see its console output, mend what it names, then run `pulumi up` again"
OTHERS = "runbooks/aws.md#two, then run `pulumi up` again"


class Store(Protocol):
    """The boot store, as far as instances have to do with it."""

    def put(self, files: Mapping[str, bytes]) -> None:
        """Make sure that these are there, by their paths; what is there already is never changed."""
        ...

    def forget(self, pin: Pin) -> None:
        """What the host's machines reported so far is of those before."""
        ...

    def progress(self, pin: Pin) -> Progress:
        """What the machine last reported for this generation; NONE before its first report, UNKNOWN where there are
        no reports. Raises NeedsAttention if it reports a failure."""
        ...


class Ec2Machines:
    """Fulfils `lifecycle.ports.Machines`.

    stack: whose instances these are, as their tags have it. user_data: (pin, zone) -> what an instance starts with
    there. boot_s: the longest that a boot may take, in seconds.
    """

    def __init__(
        self,
        aws: Aws,
        stack: str,
        user_data: Callable[[Pin, str], UserData],
        store: Store,
        clock: Clock,
        boot_s: Callable[[], float],
    ) -> None:
        self._aws, self._store, self._clock, self._boot_s = aws, store, clock, boot_s
        self._stack = stack
        self._finder = Finder(aws, stack)
        self._volumes = Volumes(aws, self._finder)
        self._launcher = Launcher(aws, self._finder, self._volumes, stack, user_data, store.put, clock.now_s)
        self._before: dict[str, frozenset[str]] = {}

    def power(self, host: str, controller: Controller) -> Power:
        """OFF once every instance is terminated and none of them holds a data volume; a stopped one is not off."""
        place = _place(host, controller)
        found = self._finder.instances(place)
        if any(one.state != ENDED for one in found):
            return Power.ON
        held = self._volumes.held_by_the_dead(place, frozenset(one.id for one in found)) if found else ()
        if held:
            raise PortError(f"EC2 of {host} in {place.region}", f"{'; '.join(held)}, which is terminated", VOLUME)
        return Power.OFF

    def power_off(self, host: str, controller: Controller) -> None:
        """Terminate the host's instances, once it is proven that its data volumes outlive them."""
        place = _place(host, controller)
        alive = [one for one in self._finder.instances(place) if one.alive]
        for one in alive:
            self._volumes.outlive(place, one)
        if alive:
            self._aws.ask(place, "TerminateInstances", InstanceIds=[one.id for one in alive])

    def underway(self, host: str, pin: Pin) -> bool:
        """Whether the only live instance is of the pin's generation and image, and comes: it reported that it runs, or
        its time to boot is not over."""
        place, of = _place(host, pin.controller), self._particulars(pin)
        alive = [one for one in self._finder.instances(place) if one.state != ENDED]
        if len(alive) != 1:
            return False
        one = alive[0]
        if one.state not in COMING or one.generation != pin.generation or one.ami != of.ami:
            return False
        late = self._clock.now_s() - one.launched_s > self._boot_s()
        return not late or self._store.progress(pin) is Progress.RUNNING

    def prepare(self, host: str, pin: Pin) -> None:
        """Nothing: images and launch templates are the account's own."""

    def install(self, host: str, pin: Pin) -> None:
        """Go on with the instance of this generation, else launch one. Its volumes follow once it runs: `progress`."""
        place, of = _place(host, pin.controller), self._particulars(pin)
        found = self._finder.instances(place)
        alive = tuple(one for one in found if one.alive)
        ours = only_one(place, alive)
        wrong = ours if ours is not None and ours.generation != pin.generation else None
        wrong = wrong or next((one for one in found if one.state == ENDING), None)
        if wrong is not None:
            raise PortError(f"EC2 of {host} in {place.region}", f"{wrong}, and no other may be alive", OTHERS)
        if ours is None:
            self._before[host] = frozenset(one.id for one in found)
            self._store.forget(pin)
            self._launcher.launch(place, pin, of, found)

    def progress(self, host: str, pin: Pin) -> Progress:
        """How far the host's instance has come; attaches its volumes on the way.

        Raises NeedsAttention if it ended by itself or reports a failure; PortError while a volume is not attached, or
        a status check of EC2's fails.
        """
        place, of = _place(host, pin.controller), self._particulars(pin)
        before = self._before.get(host, frozenset())  # for a while EC2 may list these alone
        listed = (one for one in self._finder.instances(place) if one.id not in before)
        found = tuple(one for one in listed if one.generation == pin.generation)
        one = only_one(place, tuple(one for one in found if one.alive))
        if one is None and found:
            one = found[0]
        if one is None or one.state == "pending":
            return Progress.NONE
        if one.state != "running":
            raise NeedsAttention(f"EC2 of {host} in {place.region}", f"{one}, which says {one.reason}", BOOT)
        wanting = self._volumes.attach(place, of.volumes, one)
        if wanting:
            raise PortError(f"EC2 of {host} in {place.region}", "; ".join(wanting), VOLUME)
        seen = self._store.progress(pin)
        failed = self._finder.failed_checks(place, one.id) if seen in (Progress.NONE, Progress.UNKNOWN) else ()
        if failed:
            raise PortError(f"{one} of {host}", ", ".join(failed), BOOT)
        return seen

    def clear_boot_override(self, host: str, controller: Controller) -> None:
        """There is none: an instance boots from its own disk, always."""

    def identity(self, host: str, controller: Controller) -> Mapping[str, str]:
        """`instance` and `zone` of the one that lives. Raises NeedsAttention if there are several."""
        place = _place(host, controller)
        one = only_one(place, tuple(one for one in self._finder.instances(place) if one.alive))
        return {"instance": one.id, "zone": self._finder.zone(place, one.subnet)} if one else {}

    def _particulars(self, pin: Pin) -> Instance:
        of = pin.particulars
        if not isinstance(of, Instance) or of.stack.rsplit("/", 1)[-1] != self._stack:
            raise NeedsAttention(
                f"pin of {pin.node}",
                f"nothing of an instance of stack {self._stack}",
                "run this from the checkout that declares it",
            )
        return of


def _place(host: str, controller: Controller) -> Place:
    try:
        place = ec2.place(controller.url)
    except ValueError as error:
        raise NeedsAttention(f"controller of {host}", str(error), "correct the stack file") from error
    if place.host != host:
        raise NeedsAttention(f"controller of {host}", f"that of {place.host}", "run this from the checkout you mean")
    return place
