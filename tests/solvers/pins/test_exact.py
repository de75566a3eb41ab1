"""Pinning by CP-SAT where L3 domains matter."""

from __future__ import annotations

import random
from dataclasses import replace

from solvers.pins.construct import pin_node
from solvers.pins.cores import Core, Item, L3Rule
from solvers.pins.exact import fewest_l3, l3_used, pin_node_exact

DOMAINS = [Core((2 * n, 2 * n + 1), 2, n // 2) for n in range(6)]
"""Three L3 domains of two SMT-2 cores each."""


def test_it_pins_what_the_rows_allow_over_no_more_domains() -> None:
    """Both ways of pinning agree on what fits; CP-SAT never uses more L3 domains, and sometimes fewer."""
    rng = random.Random(3)
    better = pinned = 0
    for _ in range(300):
        cores = [Core((2 * n, 2 * n + 1)[: rng.choice((2, 2, 1))], 2, n // 2) for n in range(rng.randint(2, 6))]
        items = [
            Item(rng.choice(("isolate", "require", "prefer")), rng.randint(1, 4)) for _ in range(rng.randint(1, 4))
        ]
        quick = pin_node(cores, items)
        best = pin_node_exact(cores, items, hint=quick)
        assert (quick is None) == (best is None)
        if quick is None or best is None:
            continue
        pinned += 1
        assert sum(fewest_l3(cores, item) for item in items) <= l3_used(cores, best) <= l3_used(cores, quick)
        better += l3_used(cores, best) < l3_used(cores, quick)
    assert pinned > 50
    assert better > 0


def test_members_kept_apart_are_in_different_domains() -> None:
    """At most one member an L3 domain; a fourth member of three domains has no place."""
    items = [Item("prefer", 1) for _ in range(3)]
    answer = pin_node_exact(DOMAINS, items, [L3Rule(members=((0,), (1,), (2,)), max_per=1)])
    assert answer is not None
    assert len({item.cpus[0] // 4 for item in answer.items}) == 3
    assert (
        pin_node_exact(DOMAINS, [*items, Item("prefer", 1)], [L3Rule(members=((0,), (1,), (2,), (3,)), max_per=1)])
        is None
    )


def test_the_parts_of_one_vm_are_one_member() -> None:
    """Two cells of a VM in one L3 domain count once: beside another VM they are two members, not three."""
    one, rule = DOMAINS[:2], L3Rule(members=((5,), (7,)), max_per=2).by_items([5, 7, 7])
    items = [Item("prefer", 1) for _ in range(3)]
    assert pin_node_exact(one, items, [rule]) is not None
    assert pin_node_exact(one, items, [replace(rule, max_per=1)]) is None


def test_members_kept_together_share_one_domain() -> None:
    """Members of an affinity rule are all in one L3 domain, or there is no answer."""
    answer = pin_node_exact(
        DOMAINS, [Item("prefer", 2), Item("prefer", 3), Item("prefer", 2)], [L3Rule(members=((0,), (2,)), max_per=None)]
    )
    assert answer is not None
    assert len({cpu // 4 for number in (0, 2) for cpu in answer.items[number].cpus}) == 1
    assert (
        pin_node_exact(DOMAINS, [Item("prefer", 3), Item("prefer", 2)], [L3Rule(members=((0,), (1,)), max_per=None)])
        is None
    )


def test_it_keeps_cpus_that_are_there() -> None:
    """Where nothing is won by moving, current pins stay."""
    items = [Item("prefer", 2, current=(6, 7)), Item("prefer", 2)]
    answer = pin_node_exact(DOMAINS, items)
    assert answer is not None
    assert answer.items[0].cpus == (6, 7)
