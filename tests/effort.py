"""How much work a piece of code does, told in work that this machine does beside it: no test is timed by the clock.

A guard against what would take minutes (a bomb unpacked to its end, a search that is quadratic) must hold on a machine
that is slow or busy as well. So it is a ratio in one run: CPU seconds of the work over those of a yardstick that is run
after it, with ten times the room that the work takes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


def yardstick() -> float:
    """Return the CPU seconds of a fixed piece of work: about 0.02 on a machine of 2024."""
    began = time.process_time()
    counts: dict[int, int] = {}
    for n in range(100_000):
        counts[n % 1009] = counts.get(n % 1009, 0) + n
    return time.process_time() - began


_NO_FASTER_S = 0.004
"""No machine runs the yardstick in less: what took less than so many of these needs no yardstick."""


@contextmanager
def no_more_than(yardsticks: float) -> Iterator[None]:
    """Expect that the work inside takes no more CPU time than this many yardsticks."""
    began = time.process_time()
    try:
        yield
    finally:
        taken = time.process_time() - began
        if taken > yardsticks * _NO_FASTER_S:
            took = taken / max(yardstick() for _ in range(5))
            assert took <= yardsticks, f"{took:.0f} yardsticks of work, {yardsticks:.0f} are allowed"
