"""A matrix of figures as a table whose colours say what its numbers say."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from placer.model.cpuset import format_cpuset
from placer.model.host import UNREACHABLE
from placer.show.words import figure

if TYPE_CHECKING:
    from rich.console import RenderableType

# One hue from light to dark, each with ink that can be read on it: told apart in grey and by the colour-blind.
_SHADES = (
    ("#fff5eb", "#000000"),
    ("#fdd0a2", "#000000"),
    ("#fdae6b", "#000000"),
    ("#f16913", "#000000"),
    ("#d94801", "#ffffff"),
    ("#8c2d04", "#ffffff"),
    ("#4a1502", "#ffffff"),
)
_UNREACHABLE_SHADE = ("#bdbdbd", "#000000")


def shades(figures: Sequence[Sequence[float]]) -> list[list[tuple[str, str]]]:
    """Return (background, ink) of every figure: darker is farther, by the place among the different figures."""
    levels = sorted({value for row in figures for value in row if value < UNREACHABLE})
    step = (len(_SHADES) - 1) / max(1, len(levels) - 1)
    shade = {value: _SHADES[round(place * step)] for place, value in enumerate(levels)}
    return [[shade.get(value, _UNREACHABLE_SHADE) for value in row] for row in figures]


def distance_lines(node_ids: Sequence[int], distances: Sequence[Sequence[float]], width: int) -> RenderableType:
    """Return the distances as a heat map where it fits into `width` columns, else a line a node and distance."""
    from rich.table import Table
    from rich.text import Text

    texts = [[figure(value, 1) for value in row] for row in distances]
    cell = max(len(text) for row in [*texts, [str(node) for node in node_ids]] for text in row) + 2
    label = len("to ") + max(len(str(node)) for node in node_ids) + 2
    if label + cell * len(node_ids) > width:
        return _by_distance(node_ids, distances)
    table = Table(box=None, padding=0, pad_edge=False, show_edge=False)
    table.add_column("", width=label)
    for node in node_ids:
        table.add_column(str(node), justify="right", width=cell, header_style="")
    for node, row, colours in zip(node_ids, texts, shades(distances), strict=True):
        cells = [
            Text(f"{text} ".rjust(cell), style=f"{ink} on {back}")
            for text, (back, ink) in zip(row, colours, strict=True)
        ]
        table.add_row(f"  {node}", *cells)
    return table


def _by_distance(node_ids: Sequence[int], distances: Sequence[Sequence[float]]) -> RenderableType:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column()
    for node, row in zip(node_ids, distances, strict=True):
        pairs = sorted(zip(row, node_ids, strict=True))
        for place, (value, group) in enumerate(groupby(pairs, key=lambda pair: pair[0])):
            first = f"  from {node}" if place == 0 else ""
            table.add_row(first, figure(value, 1), f"to {format_cpuset(other for _, other in group)}")
    return table
