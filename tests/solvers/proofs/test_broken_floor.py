"""How far rules stay broken at least: never above the best of all answers, and often that."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import get_args, get_type_hints

import numpy as np
from small_problems import answers, small_problem

from solvers.objective import Changes, Objective, RuleExcess
from solvers.problem import CrossRule, MoveBudget, Problem
from solvers.proofs.broken_floor import broken_floor, mending_moves
from solvers.proofs.first_claims import first_claims

KINDS = tuple(kind for kind in get_args(get_type_hints(CrossRule)["kind"]) if kind not in ("count", "used", "load"))


def ruled(seed: int) -> Problem | None:
    """Return a small problem that runs, with one to three rules of any kinds and few moves; None where nothing runs."""
    problem, draw = small_problem(seed), random.Random(seed)
    if all(one.is_empty for one in problem.classes):
        return None
    real = [number for number, flavor in enumerate(problem.flavors) if not flavor.phantom]
    rules: list[CrossRule] = []
    for _ in range(draw.randint(1, 3)):
        kind = draw.choice(KINDS)
        members, others = (tuple(sorted(draw.sample(real, draw.randint(1, len(real))))) for _ in range(2))
        most, scope = draw.randint(0, 1), draw.choice(("zone", "zone", "host"))
        amounts = tuple(draw.randint(1, 3) for _ in members) if kind == "spread" and draw.random() < 0.4 else ()
        if kind == "apart":
            rules.append(CrossRule(name=f"o{len(rules)}", kind="count", members=others, scope=scope))
        rules.append(
            CrossRule(
                name=f"r{len(rules)}",
                kind=kind,
                members=members,
                scope="zone" if kind == "even" else scope,
                max_per=max(most, int(kind in ("least", "hosts"))),
                against=len(rules) - 1 if kind == "apart" else -1,
                amounts=amounts,
                weight=draw.randint(1, 2),
            )
        )
    moves, migrations = draw.choice(((0, None), (1, None), (1, 1), (2, None), (None, 1), (3, 2), (None, None)))
    goals = (
        Objective(goal="rules", terms=(RuleExcess(),)),
        Objective(goal="moves", part="migrations", terms=(Changes(migrations=1),)),
        Objective(goal="moves", part="moves", terms=(Changes(moves=1),)),
    )
    return replace(
        problem,
        rules=tuple(rules),
        objectives=goals,
        budget=MoveBudget(moves=moves, migrations=migrations),
        classes=tuple(replace(one, fixed_members={}, allowed=np.ones_like(one.allowed)) for one in problem.classes),
    )


def test_no_answer_is_below_what_stays_broken() -> None:
    """Of rules of every kind, alone and mixed: the floor is at most the least of all answers, and mostly is it; nobody
    who mends has fewer moves than that takes.
    """
    broken = reached = moved = 0
    for seed in range(40):
        problem = ruled(seed)
        found = {} if problem is None else answers(problem)
        if problem is None or not found:
            continue
        floor, least = broken_floor(problem, problem.objectives[0]), min(value[0] for value in found)
        assert floor <= least, seed
        broken += least > 0
        reached += 0 < floor == least
        for value in found:
            moves = mending_moves(problem, problem.objectives[0], value[0])
            assert moves <= value[1], (seed, value)
            moved += moves > 0
            for number, claim in first_claims(problem, value):
                held = [other[number] for other in found if claim.holds(other[:number])]
                assert claim.value is not None and claim.value <= min(held), (seed, number, claim)
    assert broken > 3 and reached > 1 and moved > 5, (broken, reached, moved)
