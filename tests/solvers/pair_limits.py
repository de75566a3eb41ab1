"""Limits between groups of VMs on hosts, for the tests that need them: of two at random at most so many together."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from solvers.problem import CrossRule


def add_limit(rules: list[CrossRule], first: Sequence[int], second: Sequence[int], most: int) -> None:
    """Let a host that holds a VM of the first flavors hold at most so many of the second."""
    at = len(rules)
    one = CrossRule(name="apart", kind="apart", members=tuple(first), scope="host", max_per=most, against=at + 1)
    rules += [one, replace(one, kind="count", members=tuple(second), against=at)]


def random_limits(rng: random.Random, groups: int, limits: int, most: Sequence[int]) -> list[CrossRule]:
    """Return limits between two groups of one flavor each, with one of `most` each."""
    rules: list[CrossRule] = []
    for _ in range(limits):
        first, second = rng.sample(range(groups), 2)
        add_limit(rules, (first,), (second,), rng.choice(most))
    return rules
