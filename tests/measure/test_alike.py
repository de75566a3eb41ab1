"""Places that are alike share a number, whatever objects say so."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from placer.measure.alike import PlaceNumbers


def test_a_number_goes_by_value_not_by_object(build: Any) -> None:
    """Places made of other objects that say the same have one number; another CPU, mode or node gives another."""
    first = build.placed(build.vm(), pins=[0, 1], memory=[0])
    same = replace(first, name="w", pins=dict(first.pins), cells=tuple(replace(cell) for cell in first.cells))
    other_cpu = replace(first, pins={**first.pins, 1: frozenset({2})})
    shared_pins = replace(first, shown=not first.shown)
    numbers = PlaceNumbers()
    given = [numbers.of(one) for one in (first, same, other_cpu, shared_pins, replace(first))]
    assert given[0] == given[1] == given[4]
    assert len(set(given)) == 3
