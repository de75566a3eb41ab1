"""A report of an engine in a line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from placer.show.words import figure, percent, visible

if TYPE_CHECKING:
    from solvers.result import Progress


def progress_name(progress: Progress) -> str:
    """Return the goal that a report is of, and which part of it."""
    return f"{progress.goal} ({progress.part})" if progress.part else progress.goal


def progress_figures(progress: Progress) -> tuple[float | None, float | None]:
    """Return best value and bound in the unit of the goal; None is not known."""
    value, bound = (
        None if number is None else progress.sign * number / progress.unit
        for number in (progress.value, progress.bound)
    )
    return value, bound


def progress_line(progress: Progress) -> str:
    """Return a report as one line: ``remote  best 2.4  bound 2.3  gap 4.17 %  12.5 s  exact``."""
    value, bound = progress_figures(progress)
    gap = None
    if value is not None and bound is not None:
        largest = max(abs(value), abs(bound))
        gap = abs(value - bound) / largest if largest else 0.0
    best = "none yet" if value is None else figure(value)
    words = [
        f"{progress_name(progress):<24}",
        f"best {best}",
        f"bound {figure(bound)}",
        f"gap {percent(gap)}",
        f"{progress.seconds:.1f} s",
    ]
    return visible("  ".join([*words, progress.engine, *([progress.note] if progress.note else [])]))
