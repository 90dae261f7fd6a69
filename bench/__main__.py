"""`make bench`: run every case, print each figure beside its limit or peer, and whether it holds.

Exit code 1 if one does not. `python -m bench CASE [NUMBER...]` runs one case and prints its figures; where they
hold a `ratio`, that of the case's own limit, and it is over 1, with exit code 3.
"""

from __future__ import annotations

import importlib
import json
import math
import subprocess
import sys
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

CASE_LIMIT_S = 1200

OVER = 3
"""A case's exit code if what it measured is over its limit."""

MODULES = {
    "drain": "bench.lab_cases",
    "gate": "bench.lab_gate",
    "lab-roll": "bench.lab_roll",
    "requests": "bench.lab_roll",
}
"""Where a case is, if not in bench.cases. Only what it needs is loaded: its memory may be one of the figures."""

HELP = """usage: python -m bench [CASE [NUMBER...]]

Without a case: all of them, as a table. Cases:
  rehearse                      `ingot rehearse metal`
  roll NODES LANES              on the simulated rack: bring-up and roll
  preview NODES LANES           on the simulated rack: first preview, and of a bump
  register NODES REPEATS        a preview, beside a flat program's
  drain PODS ROUNDS             in the lab: beside `kubectl drain`
  gate NODES PODS SAMPLES       in the lab: from a condition's truth to the gate's return; samples of each condition
  lab-roll NODES BOOT_S         in the lab: a roll, 50 at a time, beside what its nodes wait for
  requests NODES NODES...       in the lab: API requests for each replaced node, in fleets of these sizes
"""


@dataclass(frozen=True)
class Row:
    """A figure, what it is held against, and their ratio; at most 1 is good."""

    what: str
    figure: str
    against: str
    ratio: float


def run(case: str, *numbers: int) -> dict[str, float]:
    """One case in a process of its own; its figures are also said at once, since all of them take minutes."""
    words = [sys.executable, "-m", "bench", case, *map(str, numbers)]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=False, timeout=CASE_LIMIT_S)
    if done.returncode not in (0, OVER):
        raise subprocess.CalledProcessError(done.returncode, words, done.stdout)
    last = done.stdout.strip().splitlines()[-1]
    print(f"{case} {' '.join(map(str, numbers))}: {last}", file=sys.stderr, flush=True)
    found: dict[str, float] = json.loads(last)
    return found


def against_limit(what: str, figure: float, limit: float, unit: str) -> Row:
    return Row(what, f"{figure:.1f} {unit}", f"limit {limit:g} {unit}", figure / limit)


def exponent(small_s: float, large_s: float) -> float:
    """Of the growth from 100 to 1,000 nodes."""
    return math.log10(large_s / small_s)


def rows() -> list[Row]:
    """Measure everything, smallest first."""
    metal = run("rehearse")
    hundred, thousand = run("roll", 100, 5), run("roll", 1000, 50)
    registered = run("register", 300, 2)
    lanes = {n: run("preview", n, n // 20) for n in (100, 1000)}
    single = {n: run("preview", n, 1) for n in (100, 1000)}
    bring_up = hundred["virtual_up_s"] / hundred["slowest_host_s"]
    found = [
        against_limit("ingot rehearse metal", metal["wall_s"], 30, "s"),
        against_limit("100 nodes: up and roll", hundred["wall_s"], 30, "s"),
        against_limit("1,000 nodes: up and roll", thousand["wall_s"], 180, "s"),
        against_limit("1,000 nodes: peak memory", thousand["peak_mib"], 1024, "MiB"),
        Row(
            "registering 300 nodes",
            f"{registered['fleet_s']:.1f} s",
            f"flat program {registered['flat_s']:.1f} s, times 1.2",
            registered["fleet_s"] / registered["flat_s"] / 1.2,
        ),
        Row(
            "first bring-up of 100 hosts (rack time)",
            f"{hundred['virtual_up_s']:.0f} s",
            f"slowest host alone {hundred['slowest_host_s']:.0f} s, times 2",
            bring_up / 2,
        ),
    ]
    for name, figures in (("in 50 lanes", lanes), ("in one lane", single)):
        for key, what in (("first_s", "first preview"), ("bump_s", "preview of a bump")):
            small_s, large_s = figures[100][key], figures[1000][key]
            grown = exponent(small_s, large_s)
            found.append(
                Row(
                    f"{what} {name}, 100 to 1,000",
                    f"{small_s:.1f} s to {large_s:.1f} s: n^{grown:.2f}",
                    "limit n^1.15",
                    grown / 1.15,
                )
            )
    drained = run("drain", 50, 3)
    found += [
        Row(
            "draining a node of 50 pods",
            f"{drained['ingot_s']:.1f} s",
            f"kubectl drain {drained['kubectl_s']:.1f} s",
            drained["ingot_s"] / drained["kubectl_s"],
        ),
        Row(
            "API requests of that drain",
            f"{drained['ingot_requests']:.0f}",
            f"kubectl drain {drained['kubectl_requests']:.0f}",
            drained["ingot_requests"] / drained["kubectl_requests"],
        ),
    ]
    return found + _in_a_big_lab()


def _in_a_big_lab() -> list[Row]:
    gate, rolled, asked = run("gate", 1000, 10_000, 60), run("lab-roll", 300, 60), run("requests", 50, 200, 1000)
    return [
        against_limit("p99 from a condition's truth to its gate's return", gate["p99_s"], 1, "s"),
        Row(
            "rolling 300 nodes, 50 at a time, that boot in 60 s",
            f"{rolled['wall_s']:.0f} s",
            f"its critical path's own waits {rolled['own_waits_s']:.0f} s, times 1.1",
            rolled["ratio"],
        ),
        Row(
            "API requests for each replaced node of 1,000",
            f"{asked['of_1000']:.1f}",
            f"of 50 {asked['of_50']:.1f}, times 1.1",
            asked["ratio"],
        ),
    ]


def main() -> int:
    if len(sys.argv) > 1:
        case = sys.argv[1]
        if case in ("-h", "--help"):
            print(HELP, end="")
            return 0
        module = importlib.import_module(MODULES.get(case, "bench.cases"))
        if case not in module.CASES:
            print(HELP, end="", file=sys.stderr)
            return 2
        figures = module.CASES[case](*map(int, sys.argv[2:]))
        print(json.dumps(figures))
        return OVER if figures.get("ratio", 0) > 1 else 0
    table = Table("what", "figure", "against", "ratio", title="At most 1 holds")
    found = rows()
    for row in found:
        table.add_row(row.what, row.figure, row.against, f"{row.ratio:.2f}{'' if row.ratio <= 1 else '  NO'}")
    Console(width=120).print(table)
    return 0 if all(row.ratio <= 1 for row in found) else 1


if __name__ == "__main__":
    sys.exit(main())
