"""The rows that matter most, and how to see the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

MOST = 10
"""Rows on a screen where all are not asked for."""


def draw_rows(
    titles: Sequence[str], rows: Sequence[Sequence[str]], console: Console, *, most: int | None = MOST, rest: str = ""
) -> None:
    """Draw a table of texts; a title that ends in ``#`` is one of figures.

    Parameters
    ----------
    most : rows that are drawn, None for all; those left out are counted in a line below.
    rest : how to see them, which that line ends with.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for title in titles:
        right = title.endswith("#")
        table.add_column(title.rstrip("#"), justify="right" if right else "left", overflow="fold", no_wrap=right)
    for row in rows if most is None else rows[:most]:
        table.add_row(*(Text(cell) for cell in row))
    with console.capture() as drawn:
        console.print(table)
    for line in drawn.get().splitlines():
        say(console, line.rstrip())
    if most is not None and len(rows) > most:
        say(console, f"and {len(rows) - most:,} more{': ' if rest else ''}{rest}")


def say(console: Console, text: str) -> None:
    """Print a sentence; a terminal breaks the line where it ends."""
    console.print(text, soft_wrap=True, markup=False, highlight=False)
