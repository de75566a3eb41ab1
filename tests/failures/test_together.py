"""Several domains that fail together: the heaviest ways first, at any number of domains, and what survives at once."""

from __future__ import annotations

from itertools import combinations

from placer.failures.refuge import Refuge
from placer.failures.together import MOST_TOGETHER, Apart, as_many_alike, distinct_failures


def on(host: str) -> Refuge:
    """Return a failure's room on one host."""
    return Refuge(frozenset((host,)), frozenset(), frozenset())


def test_ways_come_the_heaviest_first() -> None:
    """Of domains that all differ every combination comes once, in the order of what it holds."""
    held = {f"d{n}": 7 * n % 5 + n for n in range(7)}
    found, whole = distinct_failures({name: name for name in held}, held, 3)
    sums = [sum(held[name] for name in way) for way in found]
    assert whole and sums == sorted(sums, reverse=True)
    assert {frozenset(way) for way in found} == {frozenset(way) for way in combinations(held, 3)}


def test_alike_domains_are_one_way() -> None:
    """Of two and three alike, two that fail are two of the one kind, one of each, or two of the other."""
    kinds = {"a1": "a", "a2": "a", "b1": "b", "b2": "b", "b3": "b"}
    found, whole = distinct_failures(kinds, {name: 2 if kind == "a" else 1 for name, kind in kinds.items()}, 2)
    assert (found, whole) == ([("a1", "a2"), ("a1", "b1"), ("b1", "b2")], True)
    assert [as_many_alike(kinds, {"a": 2, "b": 3}, way) for way in found] == [1, 6, 3]
    assert distinct_failures(kinds, dict.fromkeys(kinds, 1), 6) == ([], True)


def test_thousands_that_differ_end() -> None:
    """The heaviest so many are taken, whatever the number of domains; that they are not all is said."""
    held = {f"d{n}": 3000 - n for n in range(3000)}
    found, whole = distinct_failures({name: name for name in held}, held, 2)
    assert len(found) == MOST_TOGETHER and not whole and found[0] == ("d0", "d1")


def test_a_domain_without_a_place_ends_the_search() -> None:
    """Sixteen domains with three places each, and one with none: nothing to try."""
    hosts = {f"d{n}": (f"h{n}",) for n in range(17)}
    places = {f"d{n}": [on(f"r{n}-{k}") for k in range(3)] for n in range(16)} | {"d16": []}
    apart = Apart(places, hosts)
    assert not apart.survives([f"d{n}" for n in range(17)])
    assert apart.survives([f"d{n}" for n in range(16)])
