"""What is told while a problem with rules over hosts is solved in parts: of the whole problem, never of a part.

A part without the rules has better answers than the whole, and one with groups tied has bounds that hold for these ties
alone. So the value is that of the best answer that keeps the rules, and the bound one that was proven without them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from solvers.problem import Problem
from solvers.result import OnProgress, Progress


@dataclass(slots=True, kw_only=True)
class Telling:
    """Passes on the reports of engines that work on parts.

    Attributes
    ----------
    values : of the best answer that keeps the rules, empty where there is none yet. is_relaxed : whether the engine
    works without the rules now.
    """

    problem: Problem
    on_progress: OnProgress | None
    values: tuple[int, ...] = ()
    is_relaxed: bool = True
    _relaxed: dict[int, int] = field(default_factory=dict)
    """Objective -> value of the answer without rules."""
    _bounds: dict[int, tuple[int, tuple[int | None, ...]]] = field(default_factory=dict)
    """Objective -> what was proven without rules, and the values of the objectives before for which it holds."""

    def __call__(self, progress: Progress) -> None:
        """Take the report of an engine on a part."""
        if self.on_progress is None:
            return
        number = next(
            n for n, one in enumerate(self.problem.objectives) if (one.goal, one.part) == (progress.goal, progress.part)
        )
        if self.is_relaxed:
            if progress.value is not None:
                self._relaxed[number] = progress.value
            if progress.bound is not None:
                self._bounds[number] = progress.bound, tuple(self._relaxed.get(n) for n in range(number))
        value = self.values[number] if self.values else None
        self.on_progress(replace(progress, value=value, bound=self._bound(number)))

    def _bound(self, number: int) -> int | None:
        """Return what is proven of an objective for the best answer."""
        bound, held = self._bounds.get(number, (None, ()))
        if not self.values:
            return None if number else bound
        holds = all(most is not None and value <= most for value, most in zip(self.values, held, strict=False))
        return bound if holds else None
