"""Claims: when a bound holds, and what may be called optimal. The one place that knows.

A bound of an objective is proven over the answers in which no earlier objective is above some value, `held`. So it
holds for an answer, and may stand beside it, while none of its earlier objectives is above its value in `held`; it
stays when they improve. It does *not* bound the true lexicographic optimum where that is no such answer: held at values
that are not proven, the optimum may be better in one earlier objective, worse in the next, and then below the bound.
It does where all earlier objectives but the last of them are proven: the optimum is no worse in the first that is not.
An objective is optimal where its value meets its bound and all earlier ones are optimal.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from solvers.result import ObjectiveResult, Result


@dataclass(frozen=True, slots=True)
class Claim:
    """A bound of an objective: its value (None: nothing is known), what proves it, and the certificate where duals do.

    It holds while no earlier objective is above its value in `held`; those not in `held` may have any.
    """

    value: int | None = None
    source: str = ""
    certificate: Mapping[str, Any] | None = None
    held: tuple[int, ...] = ()

    def holds(self, values: Sequence[int | None]) -> bool:
        """Tell whether it holds for an answer of these values, of which the earlier objectives' count."""
        if len(self.held) > len(values):
            return False
        return all(value is not None and value <= most for value, most in zip(values, self.held, strict=False))

    def met(self, value: int | None) -> bool:
        """Tell whether a value is as good as can be."""
        return self.value is not None and value is not None and value <= self.value


NOTHING = Claim()


class Claims:
    """All that is claimed of the objectives of a problem."""

    def __init__(self, objectives: int) -> None:
        self._known: list[dict[tuple[int, ...], Claim]] = [{} for _ in range(objectives)]

    @classmethod
    def of(cls, *results: Result, note: str = "") -> Claims:
        """Return what results of one problem claim, with their certificates; `note` is added to every source."""
        out = cls(len(results[0].objectives))
        for result in results:
            entries = (
                [None] * len(result.objectives) if result.certificate is None else result.certificate["objectives"]
            )
            for number, (row, entry) in enumerate(zip(result.objectives, entries, strict=True)):
                if row.bound is not None:
                    out.claim(number, Claim(row.bound, row.source + note, entry, row.held))
        return out

    def claim(self, number: int, claim: Claim) -> None:
        """Note a claim of an objective, where it says more than what is known under the same values."""
        known = self._known[number].get(claim.held, NOTHING)
        if _strength(claim) > _strength(known):
            self._known[number][claim.held] = claim

    def take(self, rows: Iterable[ObjectiveResult]) -> None:
        """Note the bounds of a result's rows."""
        for number, row in enumerate(rows):
            if row.bound is not None:
                self.claim(number, Claim(row.bound, row.source, None, row.held))

    def best(self, number: int, values: Sequence[int | None]) -> Claim:
        """Return the strongest claim of an objective that holds for an answer of these values; `NOTHING` if none does.

        Of equal ones that which duals prove, since a second solver can prove it again, then that which holds under
        fewer values, then the first.
        """
        hold = [claim for claim in self._known[number].values() if claim.holds(values)]
        return max(hold, key=lambda claim: (*_strength(claim), -len(claim.held)), default=NOTHING)

    def judged(
        self, rows: Sequence[ObjectiveResult], values: Sequence[int]
    ) -> tuple[tuple[ObjectiveResult, ...], tuple[Claim, ...]]:
        """Return rows with these values, the strongest bounds that hold for them and what is optimal, and the claims.

        All else of `rows` stays, but that a search of what is proven was not stopped.
        """
        chosen = tuple(self.best(number, values[:number]) for number in range(len(rows)))
        out = []
        optimal = True
        for row, value, claim in zip(rows, values, chosen, strict=True):
            optimal = optimal and claim.met(value)
            out.append(
                replace(
                    row,
                    value=value,
                    bound=claim.value,
                    source=claim.source,
                    held=claim.held,
                    status="optimal" if optimal else "feasible",
                    stopped="" if claim.met(value) else row.stopped,
                )
            )
        return tuple(out), chosen


def _strength(claim: Claim) -> tuple[float, bool]:
    return (-math.inf if claim.value is None else claim.value, claim.certificate is not None)


def with_claims(found: Result, values: Sequence[int], claims: Claims, *, base: Result | None = None) -> Result:
    """Return an answer of these values with all that holds for it; `base` has the certificate that it adds to."""
    rows, chosen = claims.judged(found.objectives, values)
    certificate = next(
        (one.certificate for one in (found, base) if one is not None and one.certificate is not None), None
    )
    if certificate is not None:
        certificate = {**certificate, "objectives": [claim.certificate for claim in chosen]}
    return replace(
        found,
        objectives=rows,
        status="optimal" if all(row.status == "optimal" for row in rows) else "feasible",
        certificate=certificate,
    )
