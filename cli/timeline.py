"""`ingot timeline`: a real roll, drawn from what its steps recorded, as a rehearsal's report draws its rack."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.pools import Prices, pools
from cli.survey import Stack

if TYPE_CHECKING:
    from report import evidence
    from report.evidence import Event, Evidence
    from report.record import Pool, Roll

ALL = "all"
UNITS_S: Mapping[str, int] = {"m": 60, "h": 3600, "d": 86400}
NAMED_MAX = 5
"""Unreadable lines that are named on stderr; the page names more."""

app = typer.Typer(add_completion=False)


@app.command("timeline", epilog="Example: ingot timeline metal --against .ingot/reports/metal.jsonl")
def timeline(
    stack: Stack,
    file: Annotated[Path | None, typer.Option("--file", help="Default: .ingot/evidence/<STACK>.jsonl.")] = None,
    since: Annotated[
        str | None,
        typer.Option("--since", help="A moment (2026-11-25T10:00:00Z), a day, 90m, 36h or 7d ago, or all."),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the pages. Default: .ingot/reports.")] = None,
    against: Annotated[
        Path | None, typer.Option("--against", help="Another roll to set beside it, such as a rehearsal's .jsonl.")
    ] = None,
    price: Prices = None,
) -> None:
    """Draw the last roll of STACK, as HTML and Markdown, from the lines that its joins and leaves left behind.

    The last roll is what came after the last two hours of silence; --since takes more or less. Lines that
    cannot be read are counted and named, and left out.
    """
    from lifecycle.adapters.evidence import evidence_file
    from report import html, markdown

    now = datetime.now(UTC)
    known = _known(stack, price or ())
    one = _roll(stack, file or evidence_file(_root(), stack), since, now, known)
    other = _roll(stack, against, None, now, known) if against else None
    folder = out or Path(os.environ.get("INGOT_HOME") or _root() / ".ingot") / "reports"
    name = f"{stack}.{'compared' if other else 'timeline'}"
    pages = {
        "html": html.render_pair(one, other) if other else html.render(one),
        "md": markdown.render_pair(one, other) if other else markdown.render(one),
    }
    written = _written(folder, {f"{name}.{kind}": text for kind, text in pages.items()})
    typer.echo(_verdict(stack, one))
    typer.echo("\n".join(f"{'report: ' if i == 0 else '        '}{path}" for i, path in enumerate(written)))


@dataclass(frozen=True)
class Known:
    """What the stack file says of its nodes and pools; nothing where it cannot be read."""

    nodes: Mapping[str, evidence.Known]
    pools: tuple[Pool, ...]


def _roll(stack: str, path: Path, since: str | None, now: datetime, known: Known) -> Roll:
    """What the file says of the roll that is asked for. Raises NoEvidence."""
    from report.evidence import NoEvidence, roll

    found = _read(path)
    if found.unread:
        typer.echo(f"{path}: {len(found.unread)} lines could not be read, and are left out:", err=True)
        for unread in found.unread[:NAMED_MAX]:
            typer.echo(f"  {unread}", err=True)
    chosen = _chosen(found.events, since, now)
    if not chosen:
        what = f"none since {since}" if found.events else "none"
        raise NoEvidence(str(path), what)
    written = now.strftime("%Y-%m-%d %H:%M UTC")
    return roll(stack, chosen, found.unread, known.nodes, written).model_copy(update={"pools": known.pools})


def _read(path: Path) -> Evidence:
    from report.evidence import NoEvidence, read

    try:
        with path.open(encoding="utf-8", errors="replace") as lines:
            return read(lines)
    except OSError as error:
        raise NoEvidence(str(path), (error.strerror or type(error).__name__).lower()) from None


def _chosen(events: Sequence[Event], since: str | None, now: datetime) -> Sequence[Event]:
    from report.evidence import last_roll

    if since is None:
        return last_roll(events)
    from_when = moment(since, now)
    return events if from_when is None else [e for e in events if e.at >= from_when]


def moment(since: str, now: datetime) -> datetime | None:
    """What --since means; None for everything. Raises typer.BadParameter."""
    if since == ALL:
        return None
    ago = re.fullmatch(r"(\d{1,6})([mhd])", since)
    if ago:
        return now - timedelta(seconds=int(ago[1]) * UNITS_S[ago[2]])
    try:
        found = datetime.fromisoformat(since)
    except ValueError:
        raise typer.BadParameter(
            f"expected a moment, a day, a length such as 36h, or {ALL}; found {since!r}", param_hint="--since"
        ) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _known(stack: str, prices: Sequence[str]) -> Known:
    """What is declared. Where the stack file cannot be read now, the nodes are drawn without their pools."""
    from cli.step_ports import declared, environment
    from report import evidence

    try:
        pins, read = declared(_root(), stack).pins, environment(_root(), stack)
    except Exception as error:  # noqa: BLE001  # of a past roll, the stack file of today is only a help
        first = (str(error).splitlines() or [type(error).__name__])[0]
        typer.echo(f"the nodes' pools are not known here: {first}", err=True)
        return Known({}, ())
    nodes = {node: evidence.Known(pin.pool, pin.role.value, pin.fault_domain) for node, pin in pins.items()}
    return Known(nodes, pools(read, prices))


def _root() -> Path:
    from lifecycle.adapters.pins import project_root

    return project_root(Path.cwd())


def _written(folder: Path, pages: Mapping[str, str]) -> list[Path]:
    """Raises NeedsAttention if the folder cannot be written."""
    from lifecycle.errors import NeedsAttention

    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in pages.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise NeedsAttention(f"folder {folder}", error.strerror or "an error", "name another one with --out") from None
    return [folder / name for name in pages]


def _verdict(stack: str, one: Roll) -> str:
    from report.summary import summarise

    told = summarise(one)
    return f"{stack}: {told.headline}" + "".join(f"\nhalted at {h.at}: {h.what}" for h in told.standing)
