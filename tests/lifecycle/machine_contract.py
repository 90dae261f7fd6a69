"""What every kind of machine promises (docs/machines.md), as checks that any fulfilment of the port must pass.

A kind brings a `Trial`: one host of its own with a way to see and to do what goes past the port. Each check gets a
trial of its own. tests/lifecycle/test_machine_contract.py runs them on all kinds that there are.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

from lifecycle.errors import LifecycleError, NeedsAttention, PortError
from lifecycle.ports import Machines, Pin, Power, Progress

LOOKS_MAX = 200
"""At something that comes about by itself; the trial lets time pass between two."""


class Trial(ABC):
    """One host that is off and empty, and whatever switches it. pin: of its first generation.

    new_machine: an installation makes another machine, with another identity; else it stays the same one.
    """

    new_machine: ClassVar[bool] = False

    def __init__(self, pin: Pin) -> None:
        self.pin = pin

    @abstractmethod
    def machines(self) -> Machines:
        """The adapter, as the next step has it: it remembers nothing of the one before."""

    @abstractmethod
    def passes(self) -> None:
        """Let what was ordered go on: seconds, on whatever clock there is."""

    @abstractmethod
    def runs(self, pin: Pin) -> None:
        """The installer is done and what it installed for `pin` says that it runs, if the kind hears that."""

    @abstractmethod
    def reboot(self) -> None:
        """Start the machine's system again, as its own kernel would."""

    @abstractmethod
    def cut_off(self) -> None:
        """From now on nothing that switches the machine answers."""

    def alive(self) -> int:
        """How many machines there are of the host."""
        return 1

    def boots_its_disk(self) -> bool:
        """Whether the next start is from its own disk."""
        return True

    def data(self) -> object:
        """What is on the host's data disks, as its machine sees them; None for a kind that has none to look at."""
        return None


Check = Callable[[Trial], None]


def settles(trial: Trial, holds: Callable[[], bool], what: str) -> None:
    """Return once it holds. Fails after LOOKS_MAX looks."""
    for _ in range(LOOKS_MAX):
        if holds():
            return
        trial.passes()
    raise AssertionError(f"{trial.pin.node}: {what} does not come about")


def is_off(trial: Trial) -> bool:
    return trial.machines().power(trial.pin.node, trial.pin.controller) is Power.OFF


def come_up(trial: Trial, pin: Pin) -> None:
    """Install, and watch as the step does until the system runs or the kind cannot tell."""
    machines = trial.machines()
    machines.install(pin.node, pin)
    trial.runs(pin)

    def up() -> bool:
        try:
            return machines.progress(pin.node, pin) in (Progress.RUNNING, Progress.UNKNOWN)
        except PortError:
            return False  # asked again, as the step does

    settles(trial, up, f"generation {pin.generation}")


def go_down(trial: Trial) -> None:
    trial.machines().power_off(trial.pin.node, trial.pin.controller)
    settles(trial, lambda: is_off(trial), "its power being off")


def identity(trial: Trial) -> dict[str, str]:
    return dict(trial.machines().identity(trial.pin.node, trial.pin.controller))


def next_of(pin: Pin) -> Pin:
    """The same host, of another generation."""
    return replace(pin, generation=pin.generation[::-1] + "0")


# ---------------------------------------------------------------- the checks


def an_empty_host_is_off(trial: Trial) -> None:
    assert is_off(trial)


def a_machine_that_runs_is_on_whoever_asks(trial: Trial) -> None:
    come_up(trial, trial.pin)
    assert trial.machines().power(trial.pin.node, trial.pin.controller) is Power.ON


def power_off_is_proven(trial: Trial) -> None:
    come_up(trial, trial.pin)
    go_down(trial)
    trial.passes()
    assert is_off(trial)


def power_off_of_what_is_off_is_no_error(trial: Trial) -> None:
    trial.machines().power_off(trial.pin.node, trial.pin.controller)
    come_up(trial, trial.pin)
    go_down(trial)
    trial.machines().power_off(trial.pin.node, trial.pin.controller)
    trial.passes()
    assert is_off(trial)


def preparing_the_next_touches_no_machine(trial: Trial) -> None:
    come_up(trial, trial.pin)
    before = identity(trial)
    for _ in range(2):
        trial.machines().prepare(trial.pin.node, next_of(trial.pin))
    trial.passes()
    assert trial.machines().power(trial.pin.node, trial.pin.controller) is Power.ON
    assert (trial.alive(), identity(trial)) == (1, before)
    assert trial.machines().progress(trial.pin.node, trial.pin) in (Progress.RUNNING, Progress.UNKNOWN)


def an_installation_asked_twice_is_one(trial: Trial) -> None:
    trial.machines().install(trial.pin.node, trial.pin)
    come_up(trial, trial.pin)
    assert trial.alive() == 1
    assert trial.machines().power(trial.pin.node, trial.pin.controller) is Power.ON


def nothing_is_under_way_before_it_was_asked_for(trial: Trial) -> None:
    assert not trial.machines().underway(trial.pin.node, trial.pin)
    come_up(trial, trial.pin)
    assert not trial.machines().underway(trial.pin.node, next_of(trial.pin))


def what_is_under_way_is_gone_on_with(trial: Trial) -> None:
    trial.machines().install(trial.pin.node, trial.pin)
    coming = trial.machines().underway(trial.pin.node, trial.pin)
    before = identity(trial)
    come_up(trial, trial.pin)
    assert not coming or identity(trial) == before


def progress_before_an_installation_is_no_success(trial: Trial) -> None:
    try:
        assert trial.machines().progress(trial.pin.node, trial.pin) in (Progress.NONE, Progress.INSTALLING)
    except (PortError, NeedsAttention) as error:
        named(trial, error)


def identity_is_plain_and_not_empty(trial: Trial) -> None:
    come_up(trial, trial.pin)
    found = identity(trial)
    assert set(found) - {"zone"}
    assert all(found.values())


def identity_stays_over_a_reboot(trial: Trial) -> None:
    come_up(trial, trial.pin)
    before = identity(trial)
    trial.reboot()
    trial.passes()
    assert identity(trial) == before


def identity_after_a_replacement_is_the_machines(trial: Trial) -> None:
    come_up(trial, trial.pin)
    before = identity(trial)
    go_down(trial)
    come_up(trial, next_of(trial.pin))
    changed = {key for key, value in identity(trial).items() if before.get(key) != value} - {"zone"}
    assert bool(changed) is trial.new_machine


def data_disks_survive_a_replacement(trial: Trial) -> None:
    come_up(trial, trial.pin)
    before = trial.data()
    go_down(trial)
    trial.machines().clear_boot_override(trial.pin.node, trial.pin.controller)
    come_up(trial, next_of(trial.pin))
    assert trial.data() == before


def a_cleared_override_stays_cleared(trial: Trial) -> None:
    trial.machines().install(trial.pin.node, trial.pin)
    for _ in range(2):
        trial.machines().clear_boot_override(trial.pin.node, trial.pin.controller)
        assert trial.boots_its_disk()
    go_down(trial)
    trial.machines().clear_boot_override(trial.pin.node, trial.pin.controller)
    assert trial.boots_its_disk()


def named(trial: Trial, error: LifecycleError) -> None:
    """It says what was asked, what was found instead and what to do about it, and which host it is."""
    assert isinstance(error, PortError | NeedsAttention)
    assert error.what
    assert error.found
    assert error.remedy
    assert trial.pin.node in str(error)


def silence_is_an_error_that_says_what_to_do(trial: Trial) -> None:
    come_up(trial, trial.pin)
    trial.cut_off()
    host, controller = trial.pin.node, trial.pin.controller
    asked: dict[str, Callable[[Machines], object]] = {
        "power": lambda m: m.power(host, controller),
        "power_off": lambda m: m.power_off(host, controller),
        "identity": lambda m: m.identity(host, controller),
        "install": lambda m: m.install(host, trial.pin),
    }
    for order, ask in asked.items():
        try:
            ask(trial.machines())
        except LifecycleError as error:
            named(trial, error)
        else:
            raise AssertionError(f"{order}: expected an error from what does not answer, found none")


CHECKS: tuple[Check, ...] = (
    an_empty_host_is_off,
    a_machine_that_runs_is_on_whoever_asks,
    power_off_is_proven,
    power_off_of_what_is_off_is_no_error,
    preparing_the_next_touches_no_machine,
    an_installation_asked_twice_is_one,
    nothing_is_under_way_before_it_was_asked_for,
    what_is_under_way_is_gone_on_with,
    progress_before_an_installation_is_no_success,
    identity_is_plain_and_not_empty,
    identity_stays_over_a_reboot,
    identity_after_a_replacement_is_the_machines,
    data_disks_survive_a_replacement,
    a_cleared_override_stays_cleared,
    silence_is_an_error_that_says_what_to_do,
)
