"""The timeline of a report: waves end to end along the memory that they copy."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from placer.emit.report.timeline import MOST_ROWS, wave_chart
from placer.model.plan import PlanCell
from placer.moves.model import Place, Schedule, Step, StepKind, Wave


def wave(*kinds: StepKind, gib: float = 0.0) -> Wave:
    """Return a wave of a step a kind; the first copies so much."""
    cell = PlanCell(id=0, vcpus=frozenset({0}), memory_kib=1, mode="strict", nodes={1: 1})
    here, there = Place(host="h", nodes=(0,)), Place(host="h", nodes=(1,), cells=(cell,))
    return Wave(
        steps=tuple(
            Step(vm=f"v{n}", uuid=None, kind=kind, source=here, target=there, memory_gib=0.0 if n else gib)
            for n, kind in enumerate(kinds)
        )
    )


def bars(schedule: Schedule) -> list[tuple[float, float]]:
    """Return where each bar begins and how long it is, in per cent of the whole."""
    chart = wave_chart(schedule)
    assert chart is not None
    drawn = ElementTree.fromstring(chart.svg).iter("rect")
    return [tuple(float(one.attrib[key].rstrip("%")) for key in ("x", "width")) for one in drawn]  # type: ignore[misc]


def test_a_wave_begins_where_the_one_before_ends() -> None:
    """Lengths are the memory copied; waves in a row that only give CPUs are one row of no length."""
    schedule = Schedule(
        waves=(
            wave(StepKind.MIGRATE, StepKind.REPIN, gib=30),
            wave(StepKind.REPIN),
            wave(StepKind.REPIN, StepKind.REPIN),
            wave(StepKind.RENODE, StepKind.RENODE, StepKind.RESTART, gib=10),
        )
    )
    assert bars(schedule) == [(0, 75), (75, 0), (75, 25)]
    chart = wave_chart(schedule)
    assert chart is not None and chart.title == "Timeline of 4 waves: 40 GiB are copied"
    told = re.search("<desc[^>]*>(.*?)</desc>", chart.svg)
    assert told is not None and told[1] == (
        "wave 1: 30 GiB, 1 move, 1 new pin; waves 2 to 3: 3 new pins; wave 4: 10 GiB, 3 moves"
    )


def test_many_waves_end_in_one_row() -> None:
    """The last row stands for all waves that have no row of their own: nothing is left out of the sum."""
    drawn = bars(Schedule(waves=tuple(wave(StepKind.MIGRATE, gib=1) for _ in range(40))))
    assert len(drawn) == MOST_ROWS
    assert drawn[-1] == (37.5, 62.5) and sum(length for _, length in drawn) == 100


def test_no_timeline_where_nothing_is_copied() -> None:
    """Re-pins alone take no time that is known, and one wave is no line."""
    assert wave_chart(Schedule(waves=(wave(StepKind.REPIN), wave(StepKind.REPIN)))) is None
    assert wave_chart(Schedule(waves=(wave(StepKind.MIGRATE, gib=4),))) is None
