"""Which nodes a new machine would heal, and whether so many of a pool are unwell that none may be replaced.

Pure. The replacement itself is an `up` that is told to replace machines: leave, gates and roster decide as
ever whether a node may go (docs/decisions/0075.md).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from lifecycle.drift import GENERATION, Finding, Survey
from lifecycle.errors import LifecycleError
from lifecycle.ports import ClaimState, Pin

UNHEALTHY_SHARE_MAX = 0.2
"""Of a pool. More have a cause in common, and replacing them one by one would spend the rest of the pool on it."""

BROKEN_AFTER_S = 300.0
"""How long a node is given to be Ready again: a reboot takes minutes, and Kubernetes itself moves pods away
from a node that is not Ready after as long."""

EXPLAINED = frozenset({GENERATION, "image", "kubelet"})
"""What a changed stack file explains: an `up` rolls it, and repair must not."""


class Kind(StrEnum):
    """Why a node is unwell, in the order in which repair takes them."""

    BROKEN = "broken"  # it joined and does not serve
    HALFWAY = "half way"  # a step halted or was killed while it left or came in: any up goes on with it
    DRIFTED = "drifted"  # it serves, and is not what is pinned


@dataclass(frozen=True)
class Unwell:
    """A node that repair would heal, and why."""

    node: str
    pool: str
    kind: Kind
    why: tuple[str, ...]


class TooManyUnhealthy(LifecycleError):
    """More nodes of a pool are unwell than repair may replace. pools: name -> (its size, the unwell nodes)."""

    def __init__(self, pools: Mapping[str, tuple[int, tuple[str, ...]]]) -> None:
        said = [
            f"pool {pool}: expected at most {spared(size)} of {size} nodes unhealthy, found {len(names)} "
            f"({len(names) / size:.0%}): {', '.join(names)}"
            for pool, (size, names) in pools.items()
        ]
        super().__init__(
            "; ".join(said) + ". Nothing was changed. Remedy: runbooks/drift.md#too-many: find what they have in "
            "common; then replace them by name with `pulumi up --replace`"
        )
        self.pools = pools


class RollPending(LifecycleError):
    """The stack file says something new, which the up of a repair would carry out as well."""

    def __init__(self, stack: str, nodes: Sequence[str]) -> None:
        super().__init__(
            f"stack {stack}: expected a stack file that changes nothing, so that only broken and drifted nodes are "
            f"replaced; found that it changes {', '.join(nodes)}. Nothing was changed. Remedy: run `pulumi up`, "
            "which heals what is out before it rolls; or revert the stack file, then repair"
        )
        self.nodes = tuple(nodes)


def spared(size: int) -> int:
    """How many nodes of a pool of `size` may be unhealthy for repair to go on: a fifth, and one at least."""
    return max(1, int(size * UNHEALTHY_SHARE_MAX))


def unwell(seen: Survey, broken_after_s: float = BROKEN_AFTER_S) -> tuple[Unwell, ...]:
    """Every declared node that repair would heal, in the order of the stack file, the broken ones first."""
    findings: dict[str, list[Finding]] = {}
    for finding in seen.findings(in_turn=False):
        findings.setdefault(finding.node, []).append(finding)
    found = [
        sick
        for name, pin in seen.pins.items()
        if not pin.retire and (sick := _one(seen, pin, findings.get(name, []), broken_after_s))
    ]
    order = list(Kind)
    return tuple(sorted(found, key=lambda sick: order.index(sick.kind)))


def _one(seen: Survey, pin: Pin, findings: Sequence[Finding], broken_after_s: float) -> Unwell | None:
    claim, node = seen.claims.get(pin.node), seen.nodes.get(pin.node)
    if claim is None:
        return None  # an up brings it in, or a person must see whose it is
    if claim.state is not ClaimState.JOINED:
        return Unwell(pin.node, pin.pool, Kind.HALFWAY, (f"its host is {claim.state}",))
    if node is None:
        return Unwell(pin.node, pin.pool, Kind.BROKEN, ("it has no Node object",))
    if not node.ready:
        for_s = None if node.ready_changed_s is None else seen.now_s - node.ready_changed_s
        if for_s is None or for_s > broken_after_s:
            since = "for a time that it does not say" if for_s is None else f"for {for_s:.0f} s"
            return Unwell(pin.node, pin.pool, Kind.BROKEN, (f"not Ready {since}",))
    explained = EXPLAINED if claim.generation != pin.generation else frozenset()
    why = tuple(
        f"{f.what}: {f.found} instead of {f.expected}" for f in findings if f.replaces and f.what not in explained
    )
    return Unwell(pin.node, pin.pool, Kind.DRIFTED, why) if why else None


def refuse_many(pins: Mapping[str, Pin], found: Sequence[Unwell]) -> None:
    """Raises TooManyUnhealthy if a pool has more unwell nodes than `spared` allows."""
    sizes = Counter(pin.pool for pin in pins.values() if not pin.retire)
    by_pool: dict[str, list[str]] = {}
    for sick in found:
        by_pool.setdefault(sick.pool, []).append(sick.node)
    many = {p: (sizes[p], tuple(names)) for p, names in by_pool.items() if len(names) > spared(sizes[p])}
    if many:
        raise TooManyUnhealthy(many)


def refuse_roll(seen: Survey) -> None:
    """Raises RollPending if an up would do more than heal: roll a node, bring a new one in or take one out."""
    rolls = [
        name
        for name, pin in seen.pins.items()
        if pin.retire or (claim := seen.claims.get(name)) is None or claim.generation != pin.generation
    ]
    gone = [n for n, c in seen.claims.items() if n not in seen.pins and c.state is not ClaimState.LEFT]
    if rolls or gone:
        raise RollPending(seen.stack, [*rolls, *sorted(gone)])


def to_replace(found: Sequence[Unwell]) -> tuple[str, ...]:
    """The nodes whose machines the up must be told to replace; it goes on with the others by itself."""
    return tuple(sick.node for sick in found if sick.kind is not Kind.HALFWAY)
