"""Rules over several hosts by ties and a relaxation: what is found keeps them, what is claimed holds."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import pytest
from small_problems import small_problem

from placer.model.goals import parse_goals
from placer.planning.compile.compile import compile_fleet
from placer.read.inventory.inventory import parse_fleet
from solvers.evaluate import evaluate, violations
from solvers.exact.search import solve_exact
from solvers.problem import Problem
from solvers.reductions.without_rules import solve_ruled
from solvers.result import Limits, ObjectiveResult, Result

# Sought no further than needed: every worker collects this file.
SEEDS = list(
    islice(
        (
            seed
            for seed in range(400)
            if (rules := small_problem(seed).rules)
            and not any(rule.kind == "spread" and rule.scope in ("host", "node") for rule in rules)
        ),
        60,
    )
)


def exact(
    problem: Problem, limits: Limits, start: Result | None = None, proven: Sequence[ObjectiveResult] = ()
) -> Result:
    """Solve a part exactly."""
    return solve_exact(problem, limits=limits, warm_start=start)


@pytest.mark.parametrize("seed", SEEDS)
def test_answers_keep_the_rules_and_bounds_hold(seed: int) -> None:
    """No rule is broken, and no bound is above the proven optimum of the whole problem."""
    problem = small_problem(seed)
    found = solve_ruled(problem, exact, Limits(time_limit_s=20))
    whole = solve_exact(problem, limits=Limits(time_limit_s=20))
    if not found.patterns:
        assert found.status == "unknown"
        return
    assert violations(problem, found.patterns, found.unplaced) == []
    values = evaluate(problem, found.patterns, found.unplaced)
    assert values == tuple(row.value for row in found.objectives)
    assert values >= tuple(row.value for row in whole.objectives if row.value is not None)
    for row, best in zip(found.objectives, whole.objectives, strict=True):
        assert row.bound is None or best.value is None or row.bound <= best.value
        if row.value != best.value:
            break


def test_limits_of_hosts_with_room_to_spare_are_left_to_the_names_first() -> None:
    """Ten groups of alike VMs with one a host, and two that are held together, are decided as one flavor; where the
    names then keep not all limits, as eleven, and what is found keeps every rule.
    """
    rules = "".join(f"  - {{anti_affinity: {{app: a{n}}}}}\n" for n in range(10))
    rules += "".join(f"  - {{affinity: {{app: b{n}}}, scope: rack}}\n" for n in range(2))
    node = "{id: 0, cpus: 0-7, memory: 64GiB}"
    hosts = "".join(f"  - {{name: h{n}, labels: {{rack: r{n % 4}}}, nodes: [{node}]}}\n" for n in range(24))
    vms = "".join(
        f"  - {{name: {app}, count: 5, vcpus: 2, memory: 4GiB, labels: {{app: {app}}}}}\n"
        for app in [*(f"a{n}" for n in range(10)), "b0", "b1"]
    )
    text = f"schema: placer.inventory/v1\nhosts:\n{hosts}vms:\n{vms}rules:\n{rules}"
    fleet = parse_fleet(text.encode(), "fleet.yaml", Path())
    problem = compile_fleet(fleet, parse_goals("placed,rules,hosts,remote", fleet)).problem
    asked: list[int] = []

    def counting(part: Problem, limits: Limits, start: Result | None, proven: Sequence[ObjectiveResult]) -> Result:
        asked.append(len(part.flavors))
        return exact(part, limits, start, proven)

    found = solve_ruled(problem, counting, Limits(time_limit_s=60, rounds=60))
    assert asked[:2] == [1, 11]
    assert violations(problem, found.patterns, found.unplaced) == []
    assert not any(found.unplaced)


CROWDED = """schema: placer.inventory/v1
hosts:
  - {name: h0, labels: {rack: r0}, nodes: [{id: 0, cpus: 0-3, memory: 8GiB}, {id: 1, cpus: 4-7, memory: 8GiB}]}
  - {name: h1, labels: {rack: r1}, nodes: [{id: 0, cpus: 0-3, memory: 8GiB}, {id: 1, cpus: 4-7, memory: 8GiB}]}
  - {name: h2, labels: {rack: r2}, nodes: [{id: 0, cpus: 0-3, memory: 8GiB}, {id: 1, cpus: 4-7, memory: 8GiB}]}
vms:
  - name: o
    count: 2
    vcpus: 4
    cells: [{vcpus: 3, memory: 1GiB}, {vcpus: 1, memory: 1GiB}]
    memory: 2GiB
    host: h0
    nodes: [0, 1]
    pins: {0: '0', 1: '1', 2: '2', 3: '4'}
  - {name: a, count: 2, vcpus: 1, memory: 1GiB, labels: {app: a}}
  - {name: b, count: 2, vcpus: 1, memory: 1GiB, labels: {app: b}}
rules:
  - {anti_affinity: {app: a}, scope: rack}
  - {anti_affinity: {app: b}, scope: rack}
"""


def test_groups_merge_beside_hosts_whose_parts_are_counted() -> None:
    """Two VMs hold the same CPUs, so that parts of VMs count there; what is in different rules is merged for bounds."""
    fleet = parse_fleet(CROWDED.encode(), "fleet.yaml", Path())
    problem = compile_fleet(fleet, parse_goals("placed,excess,rules,remote", fleet)).problem
    assert any(shape.parts for shape in problem.shapes)
    found = solve_ruled(problem, exact, Limits(time_limit_s=20))
    assert violations(problem, found.patterns, found.unplaced) == []
    assert found.objectives[0].value == 0
