"""How a fleet is solved: what the planner, sweeps and the command line agree on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from placer.model.sets import PinMode

Engine = Literal["auto", "exact", "columns", "states", "greedy"]
"""``states`` is the older name of ``columns``."""
DEFAULT_TIME_LIMIT_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SolveOptions:
    """What decides a plan beside its fleet; see `placer.planner.solve_fleet`.

    `rounds` makes it repeatable to the byte where solves end by their limit; where all are proven it is so anyway.
    """

    goals: tuple[str, ...] | None = None
    time_limit_s: float = DEFAULT_TIME_LIMIT_S
    rounds: int | None = None
    seed: int = 0
    engine: Engine = "auto"
    max_moves: int | None = None
    max_migrations: int | None = None
    max_repins: int | None = None
    pin: PinMode = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepOptions(SolveOptions):
    """How every fleet of a sweep is solved, and what is told of it.

    `time_limit_s` is for each solve, `total_time_s` for all failures of a fleet together; None: no limit. `headroom`
    are the flavors of which is told how many more fit.
    """

    total_time_s: float | None = None
    headroom: tuple[str, ...] = ()
