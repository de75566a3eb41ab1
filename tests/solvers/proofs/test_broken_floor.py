"""How far rules stay broken at least: never above the best of all answers, and often that."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any, get_args, get_type_hints

import numpy as np
from small_problems import answers, small_problem

from placer.model.goals import parse_goals
from placer.model.rules import Rule, RuleKind
from placer.planning.compile.compile import compile_fleet
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


def _in_racks(build: Any, free: str, *, moves: int) -> Problem:
    """Return a group of three in a rack of two hosts, a fourth elsewhere, and VMs of no group on some hosts."""
    app = {"app": "web"}
    hosts = [build.host(f"h{n}", build.topology(1, 8), labels={"rack": f"r{n // 2}"}) for n in range(4)]
    where = [("h0", 4, app), ("h0", 2, app), ("h1", 4, app), ("h2", 4, app), *((host, 2, {}) for host in free.split())]
    vms = [
        build.vm(f"v{n}", build.spec(vcpus, 1, labels=labels), current=build.now(host, (0,)))
        for n, (host, vcpus, labels) in enumerate(where)
    ]
    fleet = build.fleet(hosts, vms, [Rule(kind=RuleKind.AFFINITY, members=app, scope="rack")])
    return compile_fleet(fleet, parse_goals("rules,moves", fleet), MoveBudget(moves=moves)).problem


def test_without_room_for_the_one_that_has_to_come_it_takes_two_moves(build: Any) -> None:
    """A VM of four CPUs has to come where a host has two free at most: with one move the rule stays broken, proven."""
    for free, moves, floor in (("h0 h1", 1, 1), ("h0 h1", 2, 0), ("h0", 1, 0)):
        problem = _in_racks(build, free, moves=moves)
        assert broken_floor(problem, problem.objectives[0]) == floor, (free, moves)


def test_a_vm_that_mends_a_rule_by_leaving_makes_room_for_nothing_more(build: Any) -> None:
    """Where one of two that must be apart is in the rack it leaves anyway, and no more moves are proven than breaks."""
    problem = _in_racks(build, "h0 h1", moves=2)
    small = [n for n, flavor in enumerate(problem.flavors) if flavor.vcpus == 2]
    members = tuple(n for n in small if n not in problem.rules[0].members)
    apart = CrossRule(name="apart", kind="spread", members=members, scope="rack")
    both = replace(problem, rules=(*problem.rules, apart))
    assert broken_floor(both, both.objectives[0]) == 0
    assert broken_floor(replace(both, budget=MoveBudget(moves=1)), both.objectives[0]) == 1
