"""The best answer that keeps rules over hosts, and what the problem without them proves of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from solvers.claims import Claim, Claims, with_claims
from solvers.evaluate import evaluate, violations
from solvers.problem import Problem
from solvers.reductions.telling import Telling
from solvers.result import ObjectiveResult, Result


@dataclass(slots=True, kw_only=True)
class BestAnswer:
    """The best answer that keeps the rules, and what the relaxed problem proves of it."""

    problem: Problem
    relaxed: Result
    rounds: int
    telling: Telling
    earlier: Result | None = None
    """What was proven at first, where the relaxed problem had a second turn: of another answer, so for other values."""
    best: Result | None = None
    values: tuple[int, ...] = ()
    closed: bool = False
    """Whether the best answer is proven best."""
    ruled: list[tuple[int, Claim]] = field(default_factory=list)
    """What is proven of objectives with rules as rows."""

    def offer(self, found: Result | None) -> None:
        """Take an answer if it keeps the rules and is better than the best."""
        if found is None or not found.patterns or violations(self.problem, found.patterns, found.unplaced):
            return
        values = evaluate(self.problem, found.patterns, found.unplaced)
        if self.best is None or values < self.values:
            self.best, self.values = found, values
            self.telling.values = values
            self._close()

    def prove(self, number: int, claim: Claim) -> None:
        """Take what is proven of an objective with rules as rows."""
        self.ruled.append((number, claim))
        self._close()

    @property
    def bounds(self) -> list[int | None]:
        """What is proven of each objective, as far as it holds for the best answer where rules are rows."""
        out = [row.bound for row in self.relaxed.objectives]
        for number, claim in self.ruled:
            known = out[number]
            if claim.value is not None and claim.holds(self.values[:number]) and (known is None or claim.value > known):
                out[number] = claim.value
        return out

    @property
    def proven(self) -> tuple[ObjectiveResult, ...]:
        """The bounds that are known, for an engine to go on from."""
        return tuple(
            row if bound == row.bound else replace(row, bound=bound, held=self.values[:number])
            for number, (row, bound) in enumerate(zip(self.relaxed.objectives, self.bounds, strict=True))
        )

    def _close(self) -> None:
        self.closed = all(
            bound is not None and value <= bound for value, bound in zip(self.values, self.bounds, strict=True)
        )

    def result(self) -> Result:
        """Return the best answer with what is proven of it."""
        if self.best is not None:
            proofs = (self.relaxed,) if self.earlier is None else (self.earlier, self.relaxed)
            return _judged(self.problem, self.best, self.values, proofs, self.rounds, self.ruled)
        if self.relaxed.status == "infeasible":
            return replace(self.relaxed, rounds=self.rounds)
        return Result(
            status="unknown", objectives=_unknown(self.problem), rounds=self.rounds, engine=self.relaxed.engine
        )


def _judged(
    problem: Problem,
    answer: Result,
    values: tuple[int, ...],
    proofs: Sequence[Result],
    rounds: int,
    ruled: Sequence[tuple[int, Claim]],
) -> Result:
    """Return the answer with its values under the rules, and the bounds as far as they hold for it: relaxed ones, and
    those that know rules.
    """
    relaxed = proofs[-1]
    claims = Claims.of(*proofs, note=" without rules over hosts" if problem.rules else "")
    for number, claim in ruled:
        claims.claim(number, claim)
    found = replace(answer, rounds=rounds, engine=relaxed.engine, certificate=None)
    return with_claims(found, values, claims, base=relaxed)


def _unknown(problem: Problem) -> tuple[ObjectiveResult, ...]:
    return tuple(
        ObjectiveResult(
            goal=o.goal,
            part=o.part,
            value=None,
            bound=None,
            source="",
            status="unknown",
            stopped="no answer kept the rules",
        )
        for o in problem.objectives
    )
