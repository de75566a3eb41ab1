"""How a search went on, drawn: steps of value and bound over its seconds."""

from __future__ import annotations

import re

from placer.emit.report.course import Point, course_charts

NASTY = "</svg><script>x</script>"


def test_value_and_bound_are_steps_over_the_seconds() -> None:
    """Each holds until the next one, to the end of the search; the highest level is on top."""
    points = [
        Point(seconds=0, value=8, bound=None),
        Point(seconds=2.5, value=8, bound=4),
        Point(seconds=5, value=6, bound=6),
        Point(seconds=10, value=6, bound=6),
    ]
    (chart,) = course_charts({"remote": points})
    assert chart.title == "remote: best 6, bound 6, gap 0 % after 10.0 s"
    lines = dict(re.findall(r'<path class="(value|bound)" d="([^"]*)"', chart.svg))
    assert lines["value"] == "M0.00 0.00H25.00V0.00H50.00V50.00H100.00V50.00H100"
    assert lines["bound"] == "M25.00 100.00H50.00V50.00H100.00V50.00H100"


def test_a_goal_that_never_changed_has_no_chart() -> None:
    """One report, or one level, is a point and no line; names stay text."""
    flat = [Point(seconds=0, value=1, bound=1), Point(seconds=3, value=1, bound=1)]
    assert course_charts({"placed": flat[:1], "rules": flat, "hosts": []}) == []
    moved = [Point(seconds=0, value=2, bound=None), Point(seconds=3, value=1, bound=0)]
    (chart,) = course_charts({NASTY: moved})
    assert "<script>" not in chart.svg and "&lt;script&gt;" in chart.svg
