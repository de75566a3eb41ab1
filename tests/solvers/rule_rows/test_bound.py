"""Rules over hosts as rows of the linear program: the bound is that with them, and a second solver proves it again."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from placer.model.goals import parse_goals
from placer.planning.compile.compile import compile_fleet
from placer.read.documents.certificate_schema import certificate_faults
from placer.read.inventory.inventory import parse_fleet
from solvers.exact.search import solve_exact
from solvers.problem import Problem
from solvers.proofs.duals_by_highs import recheck
from solvers.result import Limits, ObjectiveResult
from solvers.rule_rows.rows import RuleRow, RuleRows
from solvers.solve import solve

WITH_ROWS = "1 of 1 rules over hosts as rows"
SPREAD = "{anti_affinity: {app: a}, scope: rack, max_per: 2}"
TOGETHER = "{affinity: {app: a}, scope: rack}"
DEAR_RACKS = ((1, 6), (3, 6), (3, 6))
"""(cost of a host, hosts) of each rack."""


def ruled(rule: str, racks: tuple[tuple[int, int], ...], count: int = 6, goals: str = "placed,rules,hosts") -> Problem:
    """Return VMs under a rule that fill a host each, and the hosts of some racks."""
    hosts = "".join(
        f"  - {{name: h{number}-{n}, labels: {{rack: r{number}}}, cost: {cost},"
        " nodes: [{id: 0, cpus: 0-7, memory: 64GiB}]}\n"
        for number, (cost, many) in enumerate(racks)
        for n in range(many)
    )
    vms = f"  - {{name: a, count: {count}, vcpus: 8, memory: 8GiB, labels: {{app: a}}}}\n"
    text = f"schema: placer.inventory/v1\nhosts:\n{hosts}vms:\n{vms}rules:\n  - {rule}\n"
    fleet = parse_fleet(text.encode(), "fleet.yaml", Path())
    return compile_fleet(fleet, parse_goals(goals, fleet)).problem


def last(problem: Problem) -> ObjectiveResult:
    """Return what the columns engine says of the last objective."""
    return solve(problem, engine="columns", limits=Limits(time_limit_s=20)).objectives[-1]


@pytest.mark.parametrize(
    ("rule", "racks", "count", "value"),
    [
        pytest.param(SPREAD, DEAR_RACKS, 6, 14, id="at most two in a rack"),
        pytest.param("{share: {app: a}, scope: rack, max_vcpus: 16}", DEAR_RACKS, 6, 14, id="a share of a rack"),
        pytest.param(
            "{even: {app: a}, scope: rack, max_skew: 1}", DEAR_RACKS, 6, 14, id="next to as many in each rack"
        ),
        pytest.param("{spread: {app: a}, scope: rack, at_least: 3}", DEAR_RACKS, 6, 10, id="in three racks"),
        pytest.param(TOGETHER, ((1, 5), (3, 6), (1, 5)), 6, 18, id="all in the only rack with room"),
    ],
)
def test_the_bound_knows_rules_where_racks_cost_differently(
    rule: str, racks: tuple[tuple[int, int], ...], count: int, value: int
) -> None:
    """Without the rule the bound would be 6; with it it is the optimum."""
    problem = ruled(rule, racks, count)
    found = last(problem)
    assert (found.value, found.bound) == (value * 1_000_000, value * 1_000_000)
    assert found.source.endswith(WITH_ROWS)
    assert solve_exact(problem, limits=Limits(time_limit_s=20)).objectives[-1].value == found.value


def test_hosts_without_a_rack_close_no_rack() -> None:
    """Where a group has no room in the cheap rack, one VM of it may be on a host that is in none, beside the rule."""
    hosts = "".join(
        f"  - {{name: h{n}, labels: {{{'rack: r' + str(n // 3) if n < 6 else ''}}}, cost: {1 if n < 3 else 3},"
        " nodes: [{id: 0, cpus: 0-7, memory: 64GiB}]}\n"
        for n in range(7)
    )
    vms = "  - {name: a, count: 4, vcpus: 8, memory: 6GiB, labels: {app: a}}\n"
    text = f"schema: placer.inventory/v1\nhosts:\n{hosts}vms:\n{vms}rules:\n  - {TOGETHER}\n"
    fleet = parse_fleet(text.encode(), "fleet.yaml", Path())
    problem = compile_fleet(fleet, parse_goals("placed,rules,hosts", fleet)).problem
    found = last(problem)
    assert (found.value, found.bound) == (6_000_000, 6_000_000)
    assert solve_exact(problem, limits=Limits(time_limit_s=20)).objectives[-1].value == found.value


def test_a_group_held_together_is_in_no_parts_of_racks() -> None:
    """Two flavors of a group are cheap in different racks each, and may not be in both."""
    hosts = "".join(
        f"  - {{name: h{n}, labels: {{rack: r{n // 4}}}, cost: {cost},"
        f" nodes: [{{id: 0, cpus: {cpus}, memory: {gib}GiB}}]}}\n"
        for n, (cost, cpus, gib) in enumerate(
            [(1, "0-7", 8)] * 2 + [(4, "0-7", 64)] * 2 + [(4, "0-7", 64)] * 2 + [(1, "0-3", 64)] * 2
        )
    )
    vms = (
        "  - {name: a, count: 2, vcpus: 8, memory: 6GiB, labels: {app: a}}\n"
        "  - {name: b, count: 2, vcpus: 4, memory: 60GiB, labels: {app: a}}\n"
    )
    text = f"schema: placer.inventory/v1\nhosts:\n{hosts}vms:\n{vms}rules:\n  - {TOGETHER}\n"
    fleet = parse_fleet(text.encode(), "fleet.yaml", Path())
    problem = compile_fleet(fleet, parse_goals("placed,rules,hosts", fleet)).problem
    found = solve(problem, engine="columns", limits=Limits(time_limit_s=20))
    assert (found.objectives[-1].value, found.objectives[-1].bound) == (10_000_000, 10_000_000)
    assert found.certificate is not None
    assert any("closed" not in row for row in found.certificate["objectives"][-1]["rows"])
    assert recheck(problem, found.certificate)[0] == []


def test_alike_vms_of_a_group_that_another_rule_tells_apart_are_in_rows_of_their_own() -> None:
    """Two flavors alike have a row each, which counts the VMs of one: as one flavor they were held to half of them."""
    hosts = "".join(
        f"  - {{name: h{n}, labels: {{rack: r{min(n, 2)}}}, cost: 2,"
        f" nodes: [{{id: 0, cpus: 0-{cpus}, memory: 32GiB}}]}}\n"
        for n, cpus in enumerate((3, 3, 7, 7))
    )
    vms = "".join(
        f"  - {{name: {app}{vcpus}, count: {count}, vcpus: {vcpus}, memory: {gib}GiB,"
        f" labels: {{app: {app}, all: x}}}}\n"
        for app, count, vcpus, gib in (("a", 1, 2, 2), ("a", 3, 1, 2), ("b", 4, 2, 14), ("c", 4, 2, 14))
    )
    rules = "  - {affinity: {all: x}, scope: rack}\n  - {anti_affinity: {app: c}, scope: rack, max_per: 3}\n"
    text = f"schema: placer.inventory/v1\nhosts:\n{hosts}vms:\n{vms}rules:\n{rules}"
    fleet = parse_fleet(text.encode(), "fleet.yaml", Path())
    problem = compile_fleet(fleet, parse_goals("placed,rules,hosts", fleet)).problem
    found = solve(problem, engine="columns", limits=Limits(time_limit_s=5))
    assert found.certificate is not None
    assert "rows" in found.certificate["objectives"][0]
    assert recheck(problem, found.certificate)[0] == []


def test_racks_alike_have_no_rows() -> None:
    """What is placed can be shared out evenly: no row is broken, and none is asked for."""
    found = last(ruled(SPREAD, ((1, 6), (1, 6), (1, 6))))
    assert found.value == found.bound == 6_000_000
    assert "as rows" not in found.source


def test_racks_alike_share_a_row() -> None:
    """Four dear racks that are alike are told from the cheap one, and not from each other."""
    problem = ruled(SPREAD, ((1, 8), *(((3, 4),) * 4)), 8)
    found = solve(problem, engine="columns", limits=Limits(time_limit_s=20))
    assert found.certificate is not None
    entry = found.certificate["objectives"][-1]
    assert entry["bound"] == 20_000_000
    assert [row["domains"] for row in entry["rows"]] == [[0]]


def test_a_second_solver_proves_the_bound_again_and_refuses_rows_of_no_rule() -> None:
    """HiGHS comes to the same bound with the rows; rows of other domains, or that close what is open, prove nothing."""
    problem = ruled(SPREAD, DEAR_RACKS)
    found = solve(problem, engine="columns", limits=Limits(time_limit_s=20))
    assert found.certificate is not None
    assert certificate_faults({"objectives": found.certificate["objectives"]}, "plan.cert.json") == []
    faults, remarks = recheck(problem, found.certificate)
    assert (faults, len(remarks)) == ([], 1)
    for change in ({"domains": [7]}, {"members": [3]}, {"rule": 1}):
        wrong = copy.deepcopy(dict(found.certificate))
        wrong["objectives"][-1]["rows"][0].update(change)
        faults, _ = recheck(problem, wrong)
        assert len(faults) == 1
        assert "is not of the form that proves a bound" in faults[0]
    damaged = copy.deepcopy(dict(found.certificate))
    damaged["objectives"][-1]["bound"] += 1_000_000
    assert len(recheck(problem, damaged)[0]) == 1


def test_domains_are_closed_to_a_group_only_where_none_of_it_is_left_out() -> None:
    """A rack that has no room for all is closed while all are placed; held at more VMs left out the row is refused."""
    problem = ruled(TOGETHER, ((1, 5), (3, 6)))
    rows = RuleRows(problem=problem)
    number = len(problem.objectives) - 1
    row = RuleRow(rule=0, domains=(0,), members=(0,), closed=True)
    assert rows.narrow(0) == (0,)
    assert rows.limit(row, number, (0,) * number).most == 0
    with pytest.raises(ValueError, match="closes domains"):
        rows.limit(row, number, (8, 1, 0))
    with pytest.raises(ValueError, match="closes domains"):
        rows.limit(RuleRow(rule=0, domains=(1,), members=(0,), closed=True), number, (0,) * number)
