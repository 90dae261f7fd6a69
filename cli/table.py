"""Tables in a terminal: as wide as it is, and nothing of a cell is lost where it is narrow."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

WIDTH_MIN = 100
"""Where there is no terminal (a CI's log), or a very narrow one."""


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """The rows under their heads, each line ended. Cells are shown as they are: no markup, no colour."""
    made = Table(show_edge=False, pad_edge=False)
    for head in heads:
        made.add_column(head, overflow="fold")
    for row in rows:
        made.add_row(*row)
    console = Console(
        width=max(WIDTH_MIN, shutil.get_terminal_size().columns), markup=False, highlight=False, color_system=None
    )
    with console.capture() as captured:
        console.print(made)
    return "".join(line.rstrip() + "\n" for line in captured.get().splitlines())
