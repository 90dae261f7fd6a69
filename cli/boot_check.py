"""Boot configurations as Talos' and Ignition's own packages see them, where they were built (tools/lab); never here.

A Talos machine gets a whole configuration, of which only patches are the stack file's: with Talos' packages it is made
as the provider makes it, of masked secrets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from components.boot.pin import NodeBoot
    from components.boot.talos import TalosPool
    from tools.lab.talos_config import TalosRefused

OF_TALOS: Final = "talos"
MODE: Final = "metal"
"""Where Talos is told that a configuration runs: all machines of a stack file are bare metal."""
HOW_TO_GET: Final = "Remedy: `python -m tools.lab --ensure` builds it, once"


@dataclass(frozen=True)
class Built:
    """The programs with the systems' own packages in them; None for one that was never built here."""

    ignition: Path | None
    talos: Path | None


def built() -> Built:
    """What is in the cache, and is as it was recorded."""
    from tools.lab.obtain import kept
    from tools.lab.parts import IGNITION_VALIDATE, TALOS_CONFIG

    return Built(kept(IGNITION_VALIDATE), kept(TALOS_CONFIG))


@dataclass(frozen=True)
class Judged:
    """What a validator says of one node. refusals: a line each, none if it accepts everything. remarks: likewise, of
    what it accepts. by: who judged, with its version; None if it was never built here. wanted: who would judge."""

    node: str
    wanted: str
    by: str | None = None
    refusals: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.by is None:
            return f"{self.node}: not judged; expected {self.wanted}, found none built here. {HOW_TO_GET}"
        head = f"{self.node}: {self.by} {'refuses' if self.refusals else 'accepts'} what it boots"
        return "\n".join([head, *(f"  {line}" for line in (*self.refusals, *self.remarks))])


def judged(boots: Sequence[NodeBoot], by: Built) -> list[Judged]:
    """Each node's verdict, in order. Raises ValidatorFailed, TalosConfigFailed if a validator gives none."""
    of_talos = [found for found in boots if _is_talos(found)]
    others = [found for found in boots if not _is_talos(found)]
    by_node = {said.node: said for said in (*_by_talos(of_talos, by.talos), *_by_ignition(others, by.ignition))}
    return [by_node[found.own.name] for found in boots]


def whole(found: NodeBoot, by: Built) -> bytes | None:
    """All of a Talos machine's configuration, its secrets masked; None for another system, whose own is whole, and
    without Talos' packages. Raises TalosRefused if they do not take it, TalosConfigFailed."""
    from tools.lab.parts import TALOS
    from tools.lab.talos_config import TalosRefused

    if by.talos is None or not _is_talos(found):
        return None
    [made] = _completed([found], by.talos)
    if isinstance(made, TalosRefused):
        raise TalosRefused(
            f"machine configuration of {found.own.name}: expected one that Talos {TALOS} makes, found that it refuses: "
            f"{made}. Remedy: correct the stack file; --published shows the rest"
        )
    return made.encode()


def _is_talos(found: NodeBoot) -> bool:
    return found.boot.asked.release.os == OF_TALOS


# ---------------------------------------------------------------- Ignition


def _by_ignition(boots: Sequence[NodeBoot], program: Path | None) -> Iterator[Judged]:
    """Of the installed system and of the installer, which are configured by Ignition both."""
    from tools.lab.parts import IGNITION
    from tools.lab.verdicts import verdicts

    name = f"Ignition {IGNITION}"
    if program is None or not boots:
        yield from (Judged(found.own.name, name) for found in boots)
        return
    texts = [(found.own.name, at, data) for found in boots for at, data in _ignition_files(found)]
    lines: dict[str, tuple[list[str], list[str]]] = {found.own.name: ([], []) for found in boots}
    for (node, at, _), said in zip(texts, verdicts(program, [data for _, _, data in texts]), strict=True):
        report = said.report or (() if said.valid else ("no reason is given",))
        lines[node][said.valid].extend(f"{at}: {line}" for line in report)
    for node, (refusals, remarks) in lines.items():
        yield Judged(node, name, name, tuple(refusals), tuple(remarks))


def _ignition_files(found: NodeBoot) -> Iterator[tuple[str, bytes]]:
    from components.boot.contract import covered
    from components.boot.immutability import CONFIGURATION, IGNITION

    for name, data in covered(found.boot, found.own, found.generation).items():
        if name == CONFIGURATION or name.endswith(IGNITION):
            yield name, data


# ---------------------------------------------------------------- Talos


def _by_talos(boots: Sequence[NodeBoot], program: Path | None) -> Iterator[Judged]:
    from tools.lab.parts import TALOS
    from tools.lab.talos_config import TalosRefused, ask

    name = f"Talos {TALOS}"
    if program is None or not boots:
        yield from (Judged(found.own.name, name) for found in boots)
        return
    texts = _completed(boots, program)
    asked = [{"verb": "validate", "mode": MODE, "configuration": t} for t in texts if not isinstance(t, TalosRefused)]
    answers = iter(ask(program, asked))
    for found, text in zip(boots, texts, strict=True):
        said = str(text) if isinstance(text, TalosRefused) else str(next(answers).get("error", ""))
        yield Judged(found.own.name, name, name, tuple(said.splitlines()))


def _completed(boots: Sequence[NodeBoot], program: Path) -> list[str | TalosRefused]:
    """Each node's configuration as its step would hand it over, or why Talos makes none. A pool's is made once."""
    from lifecycle.adapters.machine_configuration import completed
    from tools.lab.talos_config import TalosRefused, answered, ask

    requests = {_pool(found).patch(): _request(found) for found in boots}
    made = dict(zip(requests, ask(program, list(requests.values())), strict=True))
    texts: list[str | TalosRefused] = []
    for found in boots:
        try:
            pools = str(answered(made[_pool(found).patch()])["machineConfiguration"])
        except TalosRefused as refused:
            texts.append(refused)
            continue
        own = _pool(found).own(found.own, found.generation)
        texts.append(completed(pools, own, f"machine configuration of {found.own.name}"))
    return texts


def _pool(found: NodeBoot) -> TalosPool:
    from components.boot.talos import TalosPool

    if not isinstance(found.boot, TalosPool):
        raise TypeError(f"{found.own.name}: expected a pool of Talos, found {type(found.boot).__name__}")
    return found.boot


def _request(found: NodeBoot) -> Mapping[str, object]:
    """What the provider is asked for a pool (components/kubernetes/talos.py), of masked secrets."""
    from components.boot.kubeadm import endpoint
    from rehearsal import talos_secrets

    patch, cluster = _pool(found).patch(), found.boot.asked.environment.cluster
    return {
        "verb": "generate",
        "talosVersion": patch.contract,
        "machineSecrets": talos_secrets.masked(),
        "clusterName": cluster.name,
        "clusterEndpoint": f"https://{endpoint(cluster)}",
        "kubernetesVersion": patch.kubernetes,
        "machineType": patch.machine_type,
        "configPatches": [patch.patch],
    }
