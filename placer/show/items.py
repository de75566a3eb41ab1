"""Sentences under a picture, a dash before each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from placer.show.words import visible

if TYPE_CHECKING:
    from rich.console import Console


def draw_items(title: str, sentences: Sequence[str], console: Console) -> None:
    """Draw a title and the sentences, wrapped beside their dash; nothing where there are none."""
    from rich.table import Table

    if not sentences:
        return
    console.print(title)
    table = Table.grid(padding=0)
    table.add_column(width=4)
    table.add_column(overflow="fold")
    for sentence in sentences:
        table.add_row("  -", visible(sentence))
    console.print(table)
