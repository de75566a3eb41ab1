"""A bound holds under what it was proven with; the strongest that holds is taken, and only what is met is optimal."""

from __future__ import annotations

from solvers.claims import Claim, Claims, with_claims
from solvers.result import ObjectiveResult, Result


def rows(*entries: tuple[int | None, int | None, tuple[int, ...]]) -> tuple[ObjectiveResult, ...]:
    """Return rows of (value, bound, held)."""
    plain = {"part": "", "source": "s", "status": "feasible", "stopped": "late"}
    return tuple(
        ObjectiveResult(goal=f"g{n}", value=value, bound=bound, held=held, **plain)  # type: ignore[arg-type]
        for n, (value, bound, held) in enumerate(entries)
    )


def test_a_bound_is_gone_where_an_earlier_objective_got_worse() -> None:
    """A bound counts while no earlier objective is above its value then; the best of those that count is taken."""
    claims = Claims(3)
    claims.claim(2, Claim(0, "no cost is negative"))
    claims.claim(2, Claim(7, "CP-SAT", None, (2, 3)))
    claims.claim(2, Claim(5, "CP-SAT", None, (2, 6)))
    for now, bound in {(2, 3): 7, (1, 3): 7, (1, 4): 5, (2, 7): 0, (): 0}.items():
        assert claims.best(2, now).value == bound, now


def test_a_better_answer_keeps_later_bounds() -> None:
    """Under a reduction too: an answer better in an earlier objective is among those that the bound was proven for."""
    known = Result(status="feasible", objectives=rows((2, 0, ()), (6, 5, (2,))))
    found = Result(status="feasible", objectives=rows((1, None, ()), (6, None, ())))
    out = with_claims(found, (1, 6), Claims.of(known))
    assert [(row.value, row.bound, row.held) for row in out.objectives] == [(1, 0, ()), (6, 5, (2,))]
    worse = with_claims(found, (3, 6), Claims.of(known))
    assert [row.bound for row in worse.objectives] == [0, None]


def test_only_what_is_met_under_proven_ones_is_optimal() -> None:
    """The second meets its bound, and the first does not: so it is not optimal, and neither is the whole."""
    known = Result(status="feasible", objectives=rows((1, 0, ()), (6, 6, (1,))))
    out = with_claims(known, (1, 6), Claims.of(known))
    assert [(row.status, row.stopped) for row in out.objectives] == [("feasible", "late"), ("feasible", "")]
    assert out.status == "feasible"
    done = with_claims(known, (0, 6), Claims.of(known))
    assert done.status == "optimal"


def test_of_equal_bounds_that_with_a_certificate_is_taken() -> None:
    """A second solver can prove that one again; the others have none beside them."""
    plain = Result(status="feasible", objectives=rows((4, 3, ()), (6, 2, (4,))))
    entries = {"objectives": [{"bound": 3}, {"bound": 1}]}
    duals = Result(status="feasible", objectives=rows((4, 3, ()), (6, 1, (4,))), certificate=entries)
    out = with_claims(plain, (4, 6), Claims.of(plain, duals), base=duals)
    assert out.certificate == {"objectives": [{"bound": 3}, None]}
