"""`ingot hosts`: what management controllers tell of hosts, before a roll depends on it. Changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from cli.survey import AsJson, Stack
from cli.table import table
from lifecycle.errors import NeedsAttention, PortError
from lifecycle.hosts import Finding, Inspection, Proof, judge

if TYPE_CHECKING:
    from lifecycle.ports import Clock, Pin

T = TypeVar("T")

NOT_AS_DECLARED = 4
"""The exit code where a host is not as declared, as `ingot drift` ends where something drifted."""
AT_ONCE = 128
"""Controllers that are asked at one time: each answers for itself, and the wait is theirs."""
LIMIT_S = 120.0
AGAIN_S = 3.0
"""Before a controller that failed is asked a second time, unless it asks for longer."""
SCHEMES = ("https", "http")

Limit = Annotated[float, typer.Option("--limit", help="Seconds until a controller that is silent is named.", min=1)]

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)


@app.command("check", epilog="Example: ingot hosts check metal --json")
def check(
    stack: Stack,
    everything: Annotated[bool, typer.Option("--all", help="Show what was proven too.")] = False,
    limit_s: Limit = LIMIT_S,
    as_json: AsJson = False,
) -> None:
    """Ask every controller of STACK: does it answer, take the credentials, offer a way to boot that the stack file
    names, and list the port and the disks that the stack file names?

    All are asked at once. Nothing is changed: a session is opened and ended, the rest is reading. What a controller
    does not tell is listed as not proven. Exit code 0: nothing is wrong; 4: something is; 1: could not be asked.
    """
    from cli.step_ports import declared
    from lifecycle.adapters import build
    from lifecycle.adapters.clock import WallClock
    from lifecycle.adapters.pins import StackFilePins
    from lifecycle.adapters.secrets import process_environment

    files = StackFilePins(Path.cwd(), stack, declared)
    pins, env, clock = files.stack_file.pins, process_environment(), WallClock()

    def inspect(host: str, pin: Pin) -> Inspection:
        asked = build.controllers(files, env, limit_s)
        try:
            return asked.inspect(host, pin)
        finally:
            asked.close()

    ask = {h: partial(inspect, h, p) for h, p in pins.items() if p.controller.url.startswith(SCHEMES)}
    found = judge(pins, {**dict.fromkeys(pins), **at_once(ask, clock, limit_s)})
    wrong = [f for f in found if f.proof is Proof.WRONG]
    if as_json:
        typer.echo(json.dumps({"stack": stack, "hosts": len(pins), "findings": [asdict(f) for f in found]}))
    else:
        typer.echo(told(stack, len(pins), found, everything=everything))
    if wrong:
        raise typer.Exit(NOT_AS_DECLARED)


@app.command("import", epilog="Example: ingot hosts import --csv servers.csv")
def bring_in(
    addresses: Annotated[
        list[str] | None, typer.Argument(help="Controllers to scan, such as 192.0.2.10.", metavar="ADDRESS...")
    ] = None,
    table_file: Annotated[Path | None, typer.Option("--csv", help="A CSV file of hosts, instead.")] = None,
    list_file: Annotated[Path | None, typer.Option("--file", help="A file of addresses, one a line.")] = None,
    fault_domain: Annotated[str, typer.Option("--fault-domain", help="Of all hosts that are scanned.")] = "",
    limit_s: Limit = LIMIT_S,
) -> None:
    """Print a `hosts:` block for a stack file, from a CSV file or from what controllers list.

    Columns of a CSV file: name, bmc_url, mac, os_disk, fault_domain; data_disks, boot and verify_tls if you like, with
    spaces between several. A scan asks each address at once for its systems, their ports and drives, and changes
    nothing; what a person has to decide is listed. Every problem is told at once, on stderr, with exit code 1; a CSV
    file with one gives no block. No credentials are read from a file of hosts, nor printed.
    """
    from components.machines.inventory import Inventory, from_csv, from_scan

    named = [*(addresses or ()), *(_lines(list_file) if list_file else ())]
    if (table_file is None) == (not named):
        raise typer.BadParameter("expected either --csv or addresses to scan")
    if table_file is not None:
        made: Inventory = from_csv(_text_of(table_file))
        failed: tuple[str, ...] = ()
        shown = not made.problems
    else:
        found, failed = _scanned(list(dict.fromkeys(named)), limit_s)
        made, shown = from_scan(found, fault_domain), bool(found)
    if shown:
        typer.echo(made.text(), nl=False)
    problems = (*failed, *made.problems)
    for problem in problems:
        typer.echo(problem, err=True)
    if problems:
        raise typer.Exit(1)


def _scanned(addresses: list[str], limit_s: float) -> tuple[list[tuple[str, Inspection]], tuple[str, ...]]:
    """(URL, what it tells) of every system, by address and path; and what became of the others."""
    from lifecycle.adapters import build
    from lifecycle.adapters.clock import WallClock
    from lifecycle.adapters.secrets import process_environment
    from lifecycle.ports import Controller

    def scan(address: str) -> list[tuple[str, Inspection]]:
        base = address if "://" in address else f"https://{address}"
        asked = build.controllers(None, process_environment(), limit_s)
        try:
            found = asked.scan(address, Controller(f"{base.rstrip('/')}/redfish/v1/"))
        finally:
            asked.close()
        return [(f"{base.rstrip('/')}{path}", told) for path, told in sorted(found.items())]

    met = at_once({address: partial(scan, address) for address in addresses}, WallClock(), limit_s)
    failed = tuple(str(m) for m in met.values() if isinstance(m, PortError | NeedsAttention))
    return [pair for m in met.values() if isinstance(m, list) for pair in m], failed


def _lines(path: Path) -> list[str]:
    """The addresses in a file: one a line; # begins a remark."""
    return [found for line in _text_of(path).splitlines() if (found := line.partition("#")[0].strip())]


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{path}: expected a file of UTF-8 text, found {error}") from error


def at_once(
    ask: Mapping[str, Callable[[], T]], clock: Clock, limit_s: float
) -> dict[str, T | PortError | NeedsAttention]:
    """What each of `ask` returns, or the error that it ended in, by name; all of them at once, within the limit. One
    that fails is asked a second time while there is time."""
    until_s = clock.now_s() + limit_s

    def patiently(one: Callable[[], T]) -> T | PortError | NeedsAttention:
        try:
            return one()
        except NeedsAttention as refused:
            return refused
        except PortError as failed:
            pause_s = max(AGAIN_S, failed.retry_after_s)
            if clock.now_s() + pause_s >= until_s:
                return failed
            clock.sleep(pause_s)
        try:
            return one()
        except (NeedsAttention, PortError) as failed:
            return failed

    pool = ThreadPoolExecutor(max(1, min(AT_ONCE, len(ask))), thread_name_prefix="controller")
    running = {name: pool.submit(patiently, one) for name, one in ask.items()}
    wait(running.values(), timeout=limit_s)
    pool.shutdown(wait=False, cancel_futures=True)
    silent = f"no whole answer within {limit_s:g} s"
    fix = "restart the controller, or allow it more with --limit"
    return {
        name: future.result() if future.done() and not future.cancelled() else PortError(f"BMC of {name}", silent, fix)
        for name, future in running.items()
    }


def told(stack: str, hosts: int, found: Iterable[Finding], *, everything: bool) -> str:
    """The findings for a person: what is wrong first to act on, then what nobody could prove."""
    found = tuple(found)
    count = {proof: sum(f.proof is proof for f in found) for proof in Proof}
    shown = [f for f in found if everything or f.proof is not Proof.PROVEN]
    verdict = f"{stack}: {hosts} hosts; " + ", ".join(f"{n} {proof}" for proof, n in count.items())
    rows = [(f.host, f.what, str(f.proof), f.found) for f in shown]
    remedies: dict[str, list[str]] = {}
    for f in shown:
        if f.remedy:
            remedies.setdefault(f.remedy, []).append(f.host)
    lines = [f"{', '.join(dict.fromkeys(of))}: {remedy}" for remedy, of in remedies.items()]
    return (table(("host", "what", "proof", "found"), rows) if rows else "") + "\n".join([*lines, verdict])
