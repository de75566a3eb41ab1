"""Answers stay what they were: a step that means to move code only must not change one digest.

A step that means to change an answer renews the digests that it changes (`renew_answers.py`) and says so.
"""

from __future__ import annotations

import json

import pytest

from tests.contract import answers

KNOWN: dict[str, str] = json.loads(answers.DIGESTS.read_text())


@pytest.mark.parametrize("engine", answers.ENGINES)
@pytest.mark.parametrize("first", range(0, len(answers.PROBLEMS), 15))
def test_small_problems_have_the_same_answers(first: int, engine: answers.Engine) -> None:
    """Every engine answers the small problems with the same patterns, bounds and rounds as before."""
    now = {f"problem {n} {engine}": answers.problem_digest(n, engine) for n in range(first, first + 15)}
    assert now == {name: KNOWN[name] for name in now}


@pytest.mark.parametrize("name", sorted(path.name for path in answers.DATA.glob("*.yaml")))
def test_bundled_fleets_have_the_same_plans(name: str) -> None:
    """Every bundled inventory has the same plan as before, at each of three seeds."""
    now = {f"{name} {seed}": answers.fleet_digest(name, seed) for seed in answers.SEEDS}
    assert now == {key: KNOWN[key] for key in now}
