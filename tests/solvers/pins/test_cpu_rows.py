"""The CPU rows against a search over core states."""

from __future__ import annotations

import random
from functools import cache

import pytest

from solvers.pins.cpu_rows import CpuPolicy, fits, main_width, node_cpu_rows

Item = tuple[CpuPolicy, int]
Core = tuple[int, int]


def can_be_pinned(cores: list[Core], items: list[Item]) -> bool:
    """Search over core states: every way to seat each item, cores told apart by (width, free, untouched) only."""
    t = main_width([width for width, _ in cores])

    def replaced(state: tuple[Core, ...], old: Core, new: Core) -> tuple[Core, ...]:
        out = list(state)
        out.remove(old)
        return tuple(sorted([*out, new]))

    @cache
    def seat(state: tuple[Core, ...], todo: tuple[Item, ...]) -> bool:
        if not todo:
            return True
        (policy, left), rest = todo[0], todo[1:]
        if left <= 0:
            return seat(state, rest)
        for core in sorted(set(state)):
            width, free = core
            whole = width == free and width in (1, t)
            if policy == "isolate" and whole:
                after, seated = (width, 0), 1
            elif policy == "require" and whole and width == t:
                after, seated = (width, 0), t
            elif policy in ("prefer", "extra") and free:
                after, seated = (width, free - 1), 1
            else:
                continue
            if seat(replaced(state, core, after), ((policy, left - seated), *rest)):
                return True
        return False

    return seat(tuple(sorted(cores)), tuple(items))


@pytest.mark.parametrize("widths", [(1,), (2,), (4,), (8,), (1, 2), (1, 4), (1, 2, 4)])
def test_rows_say_what_a_search_says(widths: tuple[int, ...]) -> None:
    """On random nodes the rows accept exactly the items that a search can seat."""
    draw = random.Random(sum(widths))
    seen = {True: 0, False: 0}
    for _ in range(400):
        cores = []
        for _ in range(draw.randint(1, 5)):
            width = draw.choice(widths)
            cores.append((width, draw.choice((width, width, draw.randint(0, width)))))
        items: list[Item] = [
            (draw.choice(("isolate", "require", "prefer", "extra")), draw.randint(1, max(widths) + 1))
            for _ in range(draw.randint(1, 3))
        ]
        answer = can_be_pinned(cores, items)
        assert fits(node_cpu_rows(cores), items) == answer, (cores, items)
        seen[answer] += 1
    assert min(seen.values()) > 20


def test_rows_depend_on_widths_not_on_what_is_free() -> None:
    """Hosts of one shape have rows of the same names and coefficients, whatever they hold."""
    full = node_cpu_rows([(2, 2), (2, 2), (1, 1)])
    busy = node_cpu_rows([(2, 0), (2, 1), (1, 0)])
    assert [(row.name, row.isolate, row.require_whole, row.width) for row in full] == [
        (row.name, row.isolate, row.require_whole, row.width) for row in busy
    ]
    assert [row.capacity for row in busy] == [0, 0, 1, 1]


def test_without_siblings_there_is_one_row() -> None:
    """A node whose cores have one thread each counts threads and nothing else."""
    (row,) = node_cpu_rows([(1, 1)] * 3)
    assert (row.name, row.capacity) == ("threads", 3)


def test_require_rounds_up_per_item() -> None:
    """Two require items of three vCPUs take four cores of two threads, not three."""
    whole, threads = node_cpu_rows([(2, 2)] * 4)
    assert (whole.demand("require", 3), threads.demand("require", 3)) == (2, 4)


def test_impossible_core_is_refused() -> None:
    """More free threads than threads is a fault of the caller."""
    with pytest.raises(ValueError, match="2 threads cannot have 3 free"):
        node_cpu_rows([(2, 3)])
