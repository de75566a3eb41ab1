"""Runway on fleets whose last month is known by hand."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest

from placer.errors import InputError
from placer.planning.runway import grown_fleet, runway
from placer.planning.whatif import SweepOptions

OPTIONS = SweepOptions(time_limit_s=20)


def test_the_first_month_that_does_not_fit(build: Any) -> None:
    """Four VMs on eight places, 25 % a month: 4, 5, 7, 8, 10: month 3 fits to the last place, month 4 cannot."""
    vms = [build.vm(f"v{n}", build.spec(4, 1, cells=1)) for n in range(4)]
    fleet = build.fleet([build.host(f"h{n}") for n in range(4)], vms)
    assert [len(grown_fleet(fleet, Fraction(1, 4), month).vms) for month in range(5)] == [4, 5, 7, 8, 10]
    found = runway(fleet, Fraction(1, 4), OPTIONS)
    assert (found.fits, found.full, found.proven) == (3, 4, True)
    assert [month.month for month in found.months] == [0, 1, 2, 3, 4]


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
