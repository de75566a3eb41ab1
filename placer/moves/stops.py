"""Where one may stop on the way: waves after which nothing is amiss, and a schedule up to the last such one in time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from placer.moves.model import Broken, Schedule, Step, Wave


def marked(waves: Sequence[Wave], broken: Sequence[Broken]) -> tuple[Wave, ...]:
    """Say of every wave whether one may stop after it: nobody is put aside or on passing CPUs then, and no rule is
    broken that a later wave mends.
    """
    astray: set[str] = set()
    found = []
    for number, wave in enumerate(waves, start=1):
        for step in wave.steps:
            if step.parking or step.passing:
                astray.add(step.vm)
            else:
                astray.discard(step.vm)
        amiss = any(rule.first <= number < rule.last for rule in broken)
        found.append(replace(wave, complete=not astray and not amiss))
    return tuple(found)


def cut(schedule: Schedule, window_minutes: float) -> Schedule:
    """Return the schedule up to the last wave within the window after which one may stop."""
    spent, keep = 0.0, 0
    for number, wave in enumerate(schedule.waves, start=1):
        spent += wave.minutes or 0.0
        if spent > window_minutes:
            break
        if wave.complete:
            keep = number
    rest: list[Step] = [step for wave in schedule.waves[keep:] for step in wave.steps]
    return replace(schedule, waves=schedule.waves[:keep], remaining=tuple(rest))
