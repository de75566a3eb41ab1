"""Groups of a problem's rules tied to domains one way, and the greedy answer to the problem tied so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from solvers.clock import CutOffError
from solvers.problem import Problem
from solvers.reductions.choose_domains import Ties
from solvers.reductions.homes import Homes
from solvers.reductions.merged import Merged
from solvers.reductions.tied import Tied
from solvers.result import HostPattern, Limits, ObjectiveResult, Result
from solvers.starts.best_fit import solve_greedy

Engine = Callable[[Problem, Limits, Result | None, Sequence[ObjectiveResult]], Result]
"""Solves a problem without rules, from an answer where one is known, with the bounds that are proven already."""

OTHER_ORDERS = 3
"""Orders of VMs that the greedy engine tries more where it leaves VMs out."""


@dataclass(slots=True, kw_only=True)
class Try:
    """Groups tied one way: the problem tied so, and the greedy answer to it, tied (`warm`) and as the whole one's.

    `check` is called between VMs that are placed; it raises `CutOffError` where the work has to end.
    """

    problem: Problem
    homes: Homes
    ties: Ties
    tied: Tied
    check: Callable[[], None]
    warm: Result | None
    start: Result | None = field(init=False)

    def __post_init__(self) -> None:
        """Take the greedy answer as one of the whole problem."""
        self.start = None if self.warm is None else self.back(self.warm)

    @classmethod
    def of(
        cls, problem: Problem, near: Result | None, seed: int, *, few: bool = False, check: Callable[[], None]
    ) -> Try:
        """Tie groups near an answer that breaks rules, or without one; `few`: so that they share domains."""
        patterns = () if near is None else near.patterns
        homes = Homes.of(problem, patterns, check)
        there = homes.forth(patterns)
        return cls._made(problem, homes, Ties.of(homes.problem, there, few=few), there, seed, check)

    @classmethod
    def beside(cls, problem: Problem, near: Result, seed: int, *, check: Callable[[], None]) -> Try:
        """Tie groups as an answer has them that keeps the rules, and place what it leaves out beside it."""
        homes = Homes.of(problem, near.patterns, check)
        there = homes.forth(near.patterns)
        ties = Ties.of(homes.problem, there)
        return cls._filled(problem, homes, ties, there, seed, check)

    def again_beside(self, seed: int) -> Try:
        """Tie groups with VMs left out anew, and place them where the others stay."""
        assert self.warm is not None
        own = self.tied.back(self.warm)
        ties = self.ties.again(own, elsewhere=True)
        return self._filled(self.problem, self.homes, ties, own.patterns, seed, self.check)

    @classmethod
    def _filled(
        cls,
        problem: Problem,
        homes: Homes,
        ties: Ties,
        patterns: Sequence[HostPattern],
        seed: int,
        check: Callable[[], None],
    ) -> Try:
        tied = Tied.of(homes.problem, ties)
        near = Result(status="feasible", objectives=(), patterns=tied.forth(patterns))
        warm = solve_greedy(tied.problem, seed=seed, warm_start=near, check=check)
        known = warm if warm.patterns else None
        return cls(problem=problem, homes=homes, ties=ties, tied=tied, check=check, warm=known)

    def again(self, seed: int) -> Try:
        """Tie groups with VMs left out anew."""
        assert self.warm is not None
        ties = self.ties.again(self.tied.back(self.warm))
        return self._made(self.problem, self.homes, ties, (), seed, self.check)

    @classmethod
    def _made(
        cls,
        problem: Problem,
        homes: Homes,
        ties: Ties,
        patterns: Sequence[HostPattern],
        seed: int,
        check: Callable[[], None],
    ) -> Try:
        tied = Tied.of(homes.problem, ties)
        starts: list[Result] = []
        with suppress(CutOffError):
            starts.append(solve_greedy(tied.problem, seed=seed, check=check))
            if patterns:
                warm = Result(status="feasible", objectives=(), patterns=tied.forth(patterns))
                starts.append(solve_greedy(tied.problem, seed=seed, warm_start=warm, check=check))
            for other in range(seed + 1, seed + 1 + OTHER_ORDERS):
                if any(start.patterns and not any(start.unplaced) for start in starts):
                    break
                starts.append(solve_greedy(tied.problem, seed=other, check=check))
        known = [start for start in starts if start.patterns]
        best = min(known, key=lambda start: _values(start), default=None)
        return cls(problem=problem, homes=homes, ties=ties, tied=tied, check=check, warm=best)

    def back(self, found: Result) -> Result:
        """Return an answer of the tied problem as one of the whole problem."""
        own = self.tied.back(found)
        return replace(own, patterns=self.homes.back(own.patterns)) if own.patterns else own

    def solved(self, engine: Engine, limits: Limits, proven: Sequence[ObjectiveResult]) -> Result:
        """Return the engine's answer to the tied problem, in which many flavors may be alike, as the whole one's."""
        merged = Merged.of(self.tied.problem)
        if merged is None:
            return self.back(engine(self.tied.problem, limits, self.warm, proven))
        start = None if self.warm is None else merged.forth(self.warm)
        return self.back(merged.back(engine(merged.problem, limits, start, proven)))

    @property
    def rank(self) -> tuple[int, ...]:
        """Tries in the order of their greedy answers; those without one last."""
        return (1,) if self.warm is None else (0, *_values(self.warm))


def _values(result: Result) -> tuple[int, ...]:
    return tuple(row.value for row in result.objectives if row.value is not None)
