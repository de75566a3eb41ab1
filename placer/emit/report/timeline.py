"""The waves of a plan's moves as a timeline: each begins where the one before ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from placer.emit.report.charts import Bar, Chart, chart
from placer.model.units import count
from placer.moves.model import Schedule, Wave
from placer.moves.need import Need
from placer.show.words import figure

MOST_ROWS = 16
"""Rows of the timeline; the last one stands for all waves after it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Span:
    """Waves that stand in one row: the numbers of the first and the last."""

    first: int
    last: int
    waves: tuple[Wave, ...]

    @property
    def memory_gib(self) -> float:
        """What they copy."""
        return sum(wave.memory_gib for wave in self.waves)


def wave_chart(schedule: Schedule) -> Chart | None:
    """Return the waves as bars along the memory that is copied; None where none is, or all are one wave.

    Waves in a row that copy nothing, which only give CPUs, stand in one row.
    """
    spans = list(_spans(schedule.waves))
    if len(spans) > MOST_ROWS:
        rest = spans[MOST_ROWS - 1 :]
        waves = tuple(wave for span in rest for wave in span.waves)
        spans = [*spans[: MOST_ROWS - 1], _Span(first=rest[0].first, last=rest[-1].last, waves=waves)]
    if not any(span.memory_gib for span in spans):
        return None
    bars, begin = [], 0.0
    for span in spans:
        bars.append(Bar(label=_label(span), value=span.memory_gib, begin=begin, text=_words(span)))
        begin += span.memory_gib
    title = f"Timeline of {count(len(schedule.waves), 'wave')}: {figure(begin, 1)} GiB are copied"
    note = "To the right: memory copied so far. A wave begins when the one before it is done."
    return chart(title, bars, note=note, number=20)


def _spans(waves: Sequence[Wave]) -> Iterator[_Span]:
    quiet: list[Wave] = []
    for number, wave in enumerate(waves, start=1):
        if not wave.memory_gib:
            quiet.append(wave)
            continue
        if quiet:
            yield _Span(first=number - len(quiet), last=number - 1, waves=tuple(quiet))
            quiet = []
        yield _Span(first=number, last=number, waves=(wave,))
    if quiet:
        yield _Span(first=len(waves) - len(quiet) + 1, last=len(waves), waves=tuple(quiet))


def _label(span: _Span) -> str:
    return f"wave {span.first}" if span.first == span.last else f"waves {span.first} to {span.last}"


def _words(span: _Span) -> str:
    needs = Counter(step.need for wave in span.waves for step in wave.steps)
    said = [f"{figure(span.memory_gib, 1)} GiB"] if span.memory_gib else []
    moves = sum(many for need, many in needs.items() if need not in (Need.PIN, Need.START))
    said += [count(moves, "move")] if moves else []
    said += [count(needs[Need.START], "start")] if needs[Need.START] else []
    said += [count(needs[Need.PIN], "new pin")] if needs[Need.PIN] else []
    return ", ".join(said)
