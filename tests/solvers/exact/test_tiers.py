"""What the exact engine knows of an objective: bounds hold under what they were proven with."""

from __future__ import annotations

from solvers.backends.cpsat_rows import Sum
from solvers.exact.tiers import Tier


def test_a_bound_is_gone_where_an_earlier_objective_got_worse() -> None:
    """A bound counts while no earlier objective is above its value then; the best of those that count is taken."""
    tier = Tier(total=Sum(), tolerance=0.0)
    tier.claim(0, "no cost is negative", ())
    tier.claim(7, "CP-SAT", (2, 3))
    tier.claim(5, "CP-SAT", (2, 6))
    for now, bound in {(2, 3): 7, (1, 3): 7, (1, 4): 5, (2, 7): 0, (): 0}.items():
        tier.review(now)
        assert tier.bound == bound, now
