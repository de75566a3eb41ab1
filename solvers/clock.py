"""When to stop: rounds are counted, and the wall clock and the interrupt are looked at between them.

A round that the clock has to cut off counts as never begun: whoever runs one changes nothing before its end.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from solvers.result import Interrupt, Limits


class CutOffError(Exception):
    """The time is up, or the work was interrupted, in the midst of a round: nothing of it counts."""


@dataclass(slots=True)
class Clock:
    """Counts rounds. `stopped` says why there will be no further one; the same number of rounds does the same work."""

    limits: Limits
    interrupt: Interrupt
    rounds: int = 0
    stopped: str = ""
    began: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.began

    @property
    def left_s(self) -> float:
        """Seconds until a round in progress is cut off."""
        return self.limits.guard_s - self.seconds

    def check(self) -> None:
        """Look at the clock in the midst of long work.

        Raises
        ------
        CutOffError
            Where not even a round in progress may go on, or the work was interrupted.
        """
        if self.interrupt.requested or self.left_s <= 0:
            raise CutOffError

    def cut_round(self) -> None:
        """Take back a round that had to be cut off, and begin none any more; before the first there is none."""
        self.rounds = max(0, self.rounds - 1)
        self.stopped = "interrupted" if self.interrupt.requested else "time limit"

    def goes_on(self, *, reserve: float = 0.0) -> bool:
        """Tell whether the limits allow a further round, with `reserve`, a share of the time, left for what follows."""
        if not self.stopped:
            if self.interrupt.requested:
                self.stopped = "interrupted"
            elif self.limits.rounds is not None and self.rounds >= self.limits.rounds:
                self.stopped = "round limit"
            elif self.seconds >= (1.0 - reserve) * self.limits.time_limit_s:
                self.stopped = "time limit"
        return not self.stopped

    def next_round(self, *, reserve: float = 0.0) -> bool:
        """Begin a round if the limits allow, with `reserve`, a share of the time, left for what has to follow."""
        if not self.goes_on(reserve=reserve):
            return False
        self.rounds += 1
        return True
