"""When to stop: rounds are counted, and the wall clock and the interrupt are looked at between them.

A round that the clock has to cut off counts as never begun: whoever runs one changes nothing before its end.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from solvers.result import Interrupt, Limits
from solvers.work import Part


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
    _before: tuple[int, tuple[Part, ...]] | None = None
    """Rounds and what was done before the one at work; None between rounds."""

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
        if not self.has_left():
            raise CutOffError

    def has_left(self) -> bool:
        """Look at the clock in the midst of long work: tell whether a round in progress may go on."""
        return self.interrupt.work.look(not self.interrupt.requested and self.left_s > 0)

    def end_round(self) -> None:
        """Say that what follows is no part of a round: what is cut off then takes none back."""
        self._before = None

    def cut_round(self) -> None:
        """Take back a round that had to be cut off, and begin none any more; between rounds there is none."""
        work = self.interrupt.work
        if self._before is not None:
            self.rounds, before = self._before
            self._before = None
            work.back(before)
            work.look(False)
        work.look(False)
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
            if self.stopped != "round limit":
                self.interrupt.work.look(not self.stopped)
        return not self.stopped

    def next_round(self, *, reserve: float = 0.0) -> bool:
        """Begin a round if the limits allow, with `reserve`, a share of the time, left for what has to follow."""
        begun = self.may_begin(reserve=reserve)
        self.rounds += begun
        return begun

    def may_begin(self, *, reserve: float = 0.0) -> bool:
        """Tell whether the limits allow a further round, which whoever runs it counts in the end."""
        before = self.rounds, self.interrupt.work.mark()
        self._before = None
        if not self.goes_on(reserve=reserve):
            return False
        self._before = before
        return True
