"""Runway on fleets whose last month is known by hand."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from placer.errors import InputError
from placer.options import SweepOptions
from placer.sweeps.executors import Pool, SerialExecutor, processes
from placer.whatif.runway import grown_fleet, runway

OPTIONS = SweepOptions(time_limit_s=20)


def test_the_first_month_that_does_not_fit(build: Any) -> None:
    """Four VMs on eight places, 25 % a month: 4, 5, 7, 8, 10: month 3 fits to the last place, month 4 cannot."""
    vms = [build.vm(f"v{n}", build.spec(4, 1, cells=1)) for n in range(4)]
    fleet = build.fleet([build.host(f"h{n}") for n in range(4)], vms)
    assert [len(grown_fleet(fleet, Fraction(1, 4), month).vms) for month in range(5)] == [4, 5, 7, 8, 10]
    found = runway(fleet, Fraction(1, 4), OPTIONS)
    assert (found.fits, found.full, found.proven) == (3, 4, True)
    # 10 VMs of 4 vCPUs are more than 32 CPUs, so month 4 is the end of what is searched, and is asked for itself.
    assert [month.month for month in found.months] == [0, 2, 3, 4]


def test_an_empty_fleet_grows_for_ever(build: Any) -> None:
    """Nothing times any growth is nothing: a thousand months of doubling were a number too large to be counted."""
    found = runway(build.fleet([build.host("h0")], []), Fraction(1), OPTIONS, most_months=1100)
    assert (found.fits, found.full) == (1100, None)


def test_a_fleet_that_is_over_its_memory_now(build: Any) -> None:
    """What VMs come to says nothing where they are over their hosts already: they stay, and one more does not fit."""
    vms = [build.vm(f"v{n}", build.spec(1, 9, cells=1), current=build.now("h0", (n % 2,))) for n in range(4)]
    fleet = build.fleet([build.host("h0")], vms)
    found = runway(fleet, Fraction(1, 4), OPTIONS)
    assert (found.fits, found.full) == (0, 1)
    assert [(month.month, month.unplaced) for month in found.months] == [(0, 0), (1, 1)]


def test_the_same_answer_wherever_it_is_solved(build: Any, tmp_path: Path) -> None:
    """Wide pools solve months ahead, which the answer does not show; a second run finds all months in its results."""
    vms = [build.vm(f"v{n}", build.spec(4, 1, cells=1)) for n in range(4)]
    fleet = build.fleet([build.host(f"h{n}") for n in range(12)], vms)
    expected = runway(fleet, Fraction(1, 10), OPTIONS)
    # 24 places; 4 × 1.1^m, rounded up: 24 in month 18 and 25 in month 19.
    assert (expected.fits, expected.full, expected.proven) == (18, 19, True)
    for width in (2, 3, 8):
        solved: list[int] = []
        pool = Pool(open=lambda seen=solved: Counting(seen), width=width)
        assert runway(fleet, Fraction(1, 10), OPTIONS, pool=pool) == expected
        assert len(solved) >= len(expected.months) + (width > 2)
    kept = tmp_path / "months.jsonl"
    assert runway(fleet, Fraction(1, 10), OPTIONS, pool=processes(2), results=kept) == expected
    lines = kept.read_text()
    assert runway(fleet, Fraction(1, 10), OPTIONS, results=kept) == expected
    assert kept.read_text() == lines


class Counting(SerialExecutor):
    """Notes every task that it runs."""

    def __init__(self, seen: list[int]) -> None:
        self.seen = seen

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Run a task and note it."""
        self.seen.append(args[-1])
        return super().submit(fn, *args, **kwargs)


def test_months_are_nested(build: Any) -> None:
    """The VMs of a month hold all of the month before, in every kind."""
    vms = [build.vm(f"a{n}", build.spec(1, 1)) for n in range(7)] + [build.vm("b", build.spec(2, 1))]
    fleet = build.fleet([build.host()], vms)
    names = [{vm.name for vm in grown_fleet(fleet, Fraction(3, 100), month).vms} for month in range(24)]
    assert all(before <= after for before, after in pairwise(names))


def test_limits_of_looking(build: Any) -> None:
    """Where all fits as far as was looked nothing is said of later; what does not fit now has no month at all."""
    small = build.fleet([build.host()], [build.vm("v", build.spec(1, 1))])
    found = runway(small, Fraction(1, 100), OPTIONS, most_months=5)
    assert (found.fits, found.full) == (5, None)
    full = build.fleet([build.host()], [build.vm(f"v{n}", build.spec(4, 1, cells=1)) for n in range(3)])
    assert (runway(full, Fraction(1, 100), OPTIONS).fits, runway(full, Fraction(1, 100), OPTIONS).full) == (-1, 0)
    with pytest.raises(InputError, match="growth of nothing"):
        runway(small, Fraction(0), OPTIONS)
