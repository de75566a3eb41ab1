"""When to stop: rounds are counted, and the wall clock and the interrupt are looked at between them only."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from solvers.result import Interrupt, Limits


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

    def next_round(self) -> bool:
        """Begin a round if the limits allow."""
        if not self.stopped:
            if self.interrupt.requested:
                self.stopped = "interrupted"
            elif self.limits.rounds is not None and self.rounds >= self.limits.rounds:
                self.stopped = "round limit"
            elif self.seconds >= self.limits.time_limit_s:
                self.stopped = "time limit"
        if self.stopped:
            return False
        self.rounds += 1
        return True
