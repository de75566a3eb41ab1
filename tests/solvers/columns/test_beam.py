"""Sets of VMs that fill a host, where nearly all VMs differ."""

from __future__ import annotations

import random
from collections import Counter
from itertools import combinations_with_replacement

import numpy as np

from solvers.columns.pricing.beam import EACH, Items, valuable_sets
from solvers.columns.pricing.exact import _cut_knapsack


def drawn(rng: random.Random, count: int, rows: int) -> Items:
    """Return items of 20 to 60 % of a host, worth about what they take."""
    use = np.array([[rng.randint(20, 60) for _ in range(rows)] for _ in range(count)])
    return Items(
        value=use.sum(axis=1) * 10 + np.array([rng.randint(0, 99) for _ in range(count)]),
        use=use,
        upper=np.array([rng.choice((1, 1, 2)) for _ in range(count)]),
        room=np.full(rows, 100),
    )


def keys(count: int) -> np.ndarray:
    """Return random numbers for items."""
    return np.random.default_rng(0).integers(1, 1 << 62, size=count)


def test_sets_fit_and_the_most_valuable_comes_first() -> None:
    """On 20 small hosts every set fits, none has an item too often, and the first is worth what the best of all is."""
    for seed in range(20):
        items = drawn(random.Random(seed), 9, 2)
        found = valuable_sets(items, keys(9))
        best = max(
            int(items.value[list(one)].sum())
            for size in range(1, 6)
            for one in combinations_with_replacement(range(9), size)
            if (items.use[list(one)].sum(axis=0) <= items.room).all()
            and all(many <= items.upper[item] for item, many in Counter(one).items())
        )
        assert int(items.value[found[0]].sum()) == best
        worth = [int(items.value[one].sum()) for one in found]
        assert worth == sorted(worth, reverse=True)
        for one in found:
            assert (items.use[one].sum(axis=0) <= items.room).all()
            assert (np.bincount(one, minlength=9) <= items.upper).all()


def test_no_item_is_in_more_than_a_few_sets() -> None:
    """Sets are spread over the items: one that fits everywhere does not keep the others out."""
    items = drawn(random.Random(1), 40, 3)
    uses: Counter[int] = Counter()
    for one in valuable_sets(items, keys(40)):
        uses.update(set(one.tolist()))
    assert max(uses.values()) <= EACH and len(uses) > 20


def test_what_fills_a_host_wholly_is_found_beside_what_does_not() -> None:
    """Three items that fill a host in every row are found beside 17 that do not."""
    rng = random.Random(2)
    use = [[rng.randint(26, 45) for _ in range(3)] for _ in range(17)] + [[30, 41, 33], [36, 25, 40], [34, 34, 27]]
    items = Items(
        value=np.array(use).sum(axis=1), use=np.array(use), upper=np.ones(20, dtype=np.int64), room=np.full(3, 100)
    )
    found = valuable_sets(items, keys(20))
    assert any(sorted(one.tolist()) == [17, 18, 19] for one in found)


def test_nothing_fits() -> None:
    """Where no item fits there is no set."""
    items = Items(value=np.array([5]), use=np.array([[7]]), upper=np.ones(1, dtype=np.int64), room=np.array([6]))
    assert valuable_sets(items, keys(1)) == []


def test_a_cut_knapsack_is_the_linear_optimum_rounded_up() -> None:
    """On 300 random knapsacks the bound is what taking by value for size and cutting the last one comes to."""
    from fractions import Fraction

    for seed in range(300):
        rng = random.Random(seed)
        count = rng.randint(1, 8)
        value = np.array([rng.randint(0, 20) for _ in range(count)])
        upper = np.array([rng.randint(1, 3) for _ in range(count)])
        use = np.array([rng.randint(0, 9) for _ in range(count)])
        room = rng.randint(0, 30)
        total, left = Fraction(int((value * upper)[use == 0].sum())), Fraction(room)
        for n in sorted(np.flatnonzero(use).tolist(), key=lambda n: Fraction(-int(value[n]), int(use[n]))):
            taken = min(Fraction(int(upper[n])), left / int(use[n]))
            total += taken * int(value[n])
            left -= taken * int(use[n])
        assert _cut_knapsack(value, upper, use, room) == -(-total.numerator // total.denominator)
