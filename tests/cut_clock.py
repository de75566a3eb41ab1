"""Time that stands still until a look at it, and is past any limit from then on: where a search is cut is chosen."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import placer
from placer.emit.plan_file import plan_text
from placer.model.fleet import Fleet
from placer.model.plan import Plan

LIMIT_S = 1_000.0
LATE_S = 1e6


@dataclass(slots=True)
class CutClock:
    """Seconds that stand still for `after` looks, and are `late_s` later from then on."""

    after: int
    late_s: float = LATE_S
    looks: int = 0
    began: float = field(default_factory=time.monotonic)
    """The true time: what counts from a search's own start took it as it is."""

    def __call__(self) -> float:
        """Look at the clock."""
        self.looks += 1
        return self.began + (0.0 if self.looks <= self.after else self.late_s + self.looks)


@contextmanager
def cut(after: int, late_s: float = LATE_S) -> Iterator[CutClock]:
    """Let every clock be this one."""
    clock, known = CutClock(after, late_s), (time.monotonic, time.time)
    time.monotonic = time.time = clock  # type: ignore[assignment]
    try:
        yield clock
    finally:
        time.monotonic, time.time = known


def solved(fleet: Fleet, after: int, late_s: float = LATE_S, **asked: Any) -> tuple[Plan | None, int]:
    """Return the plan of a search that is cut after so many looks, None where there is none, and all looks."""
    with cut(after, late_s) as clock:
        try:
            plan = placer.solve(fleet, time_limit_s=LIMIT_S, **asked)
        except placer.errors.NothingFoundError:
            plan = None
    return plan, clock.looks


def cuts(fleet: Fleet, most: int, late_s: float = LATE_S, **asked: Any) -> Iterator[tuple[int, Plan]]:
    """Yield plans of searches that are cut after a look, `most` of many spread evenly, and the one of none cut."""
    whole, looks = solved(fleet, 10**9, **asked)
    step = max(1, looks // most)
    for after in range(0, looks, step):
        plan, _ = solved(fleet, after, late_s, **asked)
        if plan is not None:
            yield after, plan
    if whole is not None:
        yield looks, whole


def text_without_work(plan: Plan) -> str:
    """Return a plan's file, but for what tells how it was found."""
    lines = "".join(plan_text(plan)).splitlines()
    return "\n".join(line for line in lines if not line.startswith(('"work"', '"rounds"')))
