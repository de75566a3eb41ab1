"""Bar charts of a report as SVG that any width can show: a line of text and a bar a row, the figures beside them."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

from placer.show.words import visible

ROW_PX = 40
_CHARACTERS = 42
"""Of label and figure together: what fits side by side on a screen of 400 pixels."""
_FEWEST = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One row: `value` is drawn (None: only told), `text` says it with its unit, `mark` is a bound drawn as a line.

    `begin` is where the bar begins; `of` is the whole of which the value is a part.
    """

    label: str
    value: float | None
    text: str
    mark: float | None = None
    of: float | None = None
    begin: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A chart with its caption and its drawing; `note` explains what the marks are."""

    title: str
    svg: str
    note: str = ""


def chart(title: str, bars: Sequence[Bar], *, note: str = "", number: int = 0) -> Chart | None:
    """Return a chart; None where it would say nothing: fewer than two rows, or no value above 0.

    Parameters
    ----------
    title : what the bars are, with the unit and whether less or more is better.
    bars : rows from top to bottom; `Bar.of` is the whole of which the value is a part, drawn behind it.
    note : a sentence on bounds or wholes, shown below the drawing.
    number : makes the chart's ids unique in its document.
    """
    drawn = [value for bar in bars for value in (bar.mark, bar.of) if value is not None]
    drawn += [bar.begin + bar.value for bar in bars if bar.value is not None]
    most = max(drawn, default=0.0)
    if len(bars) < 2 or most <= 0:
        return None
    # The first bar is what the others are compared with, unless each goes on where the one before ends.
    base = not any(bar.begin for bar in bars)
    pieces = [_row(place, bar, most, first=base and not place) for place, bar in enumerate(bars)]
    told = "; ".join(f"{visible(bar.label)}: {bar.text}" for bar in bars)
    name = f"chart{number}"
    svg = (
        f'<svg class="chart" role="img" aria-labelledby="{name}t {name}d" width="100%" height="{ROW_PX * len(bars)}">'
        f'<title id="{name}t">{html.escape(title)}</title><desc id="{name}d">{html.escape(told)}</desc>'
        f"{''.join(pieces)}</svg>"
    )
    return Chart(title=title, svg=svg, note=note)


def _row(place: int, bar: Bar, most: float, *, first: bool) -> str:
    top = place * ROW_PX
    figure = _cut(bar.text, _CHARACTERS - min(_FEWEST, len(visible(bar.label))))
    label = _cut(visible(bar.label), _CHARACTERS - len(figure))
    pieces = [
        f'<text x="0" y="{top + 14}">{html.escape(label)}</text>',
        f'<text x="100%" y="{top + 14}" text-anchor="end" class="figure">{html.escape(figure)}</text>',
    ]
    if bar.value is not None:
        if bar.of is not None:
            pieces.append(_rect("behind", top, bar.of / most))
        pieces.append(_rect("bar first" if first else "bar", top, bar.value / most, bar.begin / most))
    if bar.mark is not None:
        at = f"{100 * max(0.0, bar.mark) / most:.2f}%"
        pieces.append(f'<line class="mark" x1="{at}" x2="{at}" y1="{top + 17}" y2="{top + 35}"/>')
    return "".join(pieces)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _rect(name: str, top: int, share: float, begin: float = 0.0) -> str:
    left, width = 100 * begin, 100 * max(0.0, share)
    return f'<rect class="{name}" x="{left:.4g}%" y="{top + 20}" width="{width:.2f}%" height="12"/>'
