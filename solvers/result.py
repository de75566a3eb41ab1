"""What an engine answers: counts, and every number of every objective kept apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from solvers.work import Work

Status = Literal["optimal", "feasible", "unknown", "infeasible"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPattern:
    """`count` hosts of class `host_class` that each hold `placements`: (placement, VMs) pairs, phantoms left out.

    `phantoms` are the (placement, phantom VMs) pairs that headroom goals count; they are no VMs.
    """

    host_class: int
    count: int
    placements: tuple[tuple[int, int], ...]
    phantoms: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectiveResult:
    """One objective's incumbent and bound, integers in the objective's own unit; unknown is None.

    `bound` holds for answers in which no earlier objective is above its value in `held` (those not in it may have any):
    for the true lexicographic optimum only if it is one of them, see `solvers.claims`. `source` says what proves it;
    `status` is ``optimal`` only where all earlier objectives are optimal too.
    """

    goal: str
    part: str
    value: int | None
    bound: int | None
    source: str
    status: Status
    stopped: str = ""
    held: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Result:
    """An engine's answer. `patterns` cover every host of every class exactly once; `unplaced[f]` arriving VMs stay out.

    ``status``: ``optimal`` (every objective proven), ``feasible``, ``infeasible`` (proven), ``unknown`` (nothing
    found).
    `rounds` is how many deterministic rounds ran: the same number replays the same answer.
    `certificate` is plain data from which a second solver can recompute the bounds.
    """

    status: Status
    objectives: tuple[ObjectiveResult, ...]
    patterns: tuple[HostPattern, ...] = ()
    unplaced: tuple[int, ...] = ()
    rounds: int = 0
    engine: str = ""
    certificate: Mapping[str, Any] | None = None

    @property
    def is_answer(self) -> bool:
        """Whether there is an answer at all; one of a fleet without a host that works has no pattern."""
        return self.status in ("optimal", "feasible")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When to stop: seconds of wall time (tested between rounds), or a fixed number of rounds, whichever comes
    first.
    """

    time_limit_s: float = 60.0
    rounds: int | None = None

    @property
    def guard_s(self) -> float:
        """Seconds after which a round in progress is cut off, and counts as never begun: a tenth and a second more."""
        return 1.1 * self.time_limit_s + 1.0

    @staticmethod
    def guarded_by(seconds: float) -> float:
        """Return the time limit of which a round in progress is cut off after so many seconds; 0 where none is."""
        return max(0.0, (seconds - 1.0) / 1.1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One line of progress: the objective in work, its incumbent and bound, seconds since the start."""

    goal: str
    part: str
    value: int | None
    bound: int | None
    seconds: float
    engine: str
    unit: int = 1
    sign: int = 1
    note: str = ""


OnProgress = Callable[[Progress], None]


@dataclass(slots=True)
class Interrupt:
    """Set by a signal handler; engines look at it between and, where they can, within rounds and keep the best
    answer. `work` is what they did by then.
    """

    requested: bool = False
    work: Work = field(default_factory=Work)
    preparing: bool = False
    """Whether there is no answer to keep yet: then whoever handles the signal may end at once."""
    stops: list[Callable[[], None]] = field(default_factory=list)

    def request(self) -> None:
        """Ask every running engine to stop with the best it has."""
        self.requested = True
        for stop in tuple(self.stops):
            stop()
