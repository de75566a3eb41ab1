"""How a search went on: value and bound of each goal over its seconds, as a chart a goal."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from placer.emit.report.charts import Chart
from placer.show.words import figure, percent, visible

HEIGHT_PX = 150
_TOP_PX, _BOTTOM_PX = 22, 22
_FIRST_NUMBER = 40
"""Ids of these charts are unique beside the others of a page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """What was known of a goal after so many seconds; None is not known yet."""

    seconds: float
    value: float | None
    bound: float | None


def course_charts(course: Mapping[str, Sequence[Point]]) -> list[Chart]:
    """Return a chart a goal of which value or bound changed in the search; goals by name, points in order."""
    end = max((points[-1].seconds for points in course.values() if points), default=0.0)
    drawn: list[Chart] = []
    for name, points in course.items():
        known = [level for point in points for level in (point.value, point.bound) if level is not None]
        if len(points) > 1 and end > 0 and max(known, default=0.0) > min(known, default=0.0):
            drawn.append(_chart(name, points, end, (min(known), max(known)), _FIRST_NUMBER + len(drawn)))
    return drawn


def _chart(name: str, points: Sequence[Point], end: float, levels: tuple[float, float], number: int) -> Chart:
    last = points[-1]
    low, high = levels
    told = f"best {figure(last.value)}, bound {figure(last.bound)}, gap {percent(_gap(last))} after {end:.1f} s"
    lines = [
        _line("bound", [(one.seconds / end, one.bound) for one in points], levels),
        _line("value", [(one.seconds / end, one.value) for one in points], levels),
    ]
    plot = HEIGHT_PX - _TOP_PX - _BOTTOM_PX
    ids = f"course{number}"
    svg = (
        f'<svg class="chart" role="img" aria-labelledby="{ids}t {ids}d" width="100%" height="{HEIGHT_PX}">'
        f'<title id="{ids}t">{html.escape(visible(name))} over the seconds of the search</title>'
        f'<desc id="{ids}d">{html.escape(told)}</desc>'
        f'<text x="0" y="14" class="figure">{html.escape(figure(high))}</text>'
        f'<svg x="0" y="{_TOP_PX}" width="100%" height="{plot}" viewBox="0 -4 100 108" preserveAspectRatio="none">'
        f'<path class="axis" d="M0 0V100H100"/>{"".join(lines)}</svg>'
        f'<text x="0" y="{HEIGHT_PX - 6}" class="figure">{html.escape(figure(low))}</text>'
        f'<text x="100%" y="{HEIGHT_PX - 6}" text-anchor="end" class="figure">{end:.1f} s</text></svg>'
    )
    return Chart(
        title=f"{visible(name)}: {told}", svg=svg, note="The thick line is the best value so far, the dashed its bound."
    )


def _line(name: str, points: Sequence[tuple[float, float | None]], levels: tuple[float, float]) -> str:
    """Return steps: each value holds until the next one."""
    low, high = levels
    steps: list[str] = []
    height = 0.0
    for at, level in points:
        if level is None:
            continue
        height = 100 * (high - level) / (high - low)
        steps.append(f"{'H' if steps else 'M'}{100 * at:.2f}{' ' if not steps else 'V'}{height:.2f}")
    return f'<path class="{name}" d="{"".join(steps)}H100"/>' if steps else ""


def _gap(point: Point) -> float | None:
    if point.value is None or point.bound is None:
        return None
    largest = max(abs(point.value), abs(point.bound))
    return abs(point.value - point.bound) / largest if largest else 0.0
