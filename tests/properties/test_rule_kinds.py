"""Rules of every kind, hard and soft, on small fleets, empty and live: as good as the best of all plans, and proven."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Literal

import pytest
from rules_by_hand import FIGURES, best, excess, fleet_of, now, with_priorities

from placer.check.check import check
from placer.model.fleet import Fleet
from placer.model.plan import Plan
from placer.model.rules import RuleKind, soft_goal
from placer.planner import solve_fleet

SEEDS = 24


def planned(fleet: Fleet, moves: int, engine: Literal["auto", "states", "greedy"] = "auto") -> Plan:
    """Return a plan for goals that count rules before all but places."""
    last = "moves" if fleet.is_live else "hosts"
    return solve_fleet(fleet, goals=f"placed,rules,{last}", max_moves=moves, time_limit_s=20, engine=engine)


def vector(fleet: Fleet, plan: Plan) -> tuple[float | None, ...]:
    """Return the values of a plan in the order of `best`."""
    levels = sorted({rule.priority for rule in fleet.rules if rule.is_soft}, reverse=True)
    moves = plan.goals[-1]
    last = [tier["value"] for tier in moves.tiers] if fleet.is_live else [moves.value]
    soft = [plan.goal(soft_goal(level)).value for level in levels]
    return (plan.goal("placed").value, len(plan.unplaced), plan.goal("rules").value, *soft, *last)


def drawn(seed: int) -> tuple[Fleet, int]:
    """Return a fleet and the moves that it is allowed."""
    fleet = with_priorities(fleet_of(seed), seed)
    return fleet, (0, 1, 2, 9)[seed % 4] if fleet.is_live else 9


def test_the_best_of_all_plans_is_found_and_proven() -> None:
    """Every goal has the value of the best plan, in order, and is proven; the checker agrees."""
    for seed in range(SEEDS):
        fleet, moves = drawn(seed)
        plan = planned(fleet, moves)
        assert vector(fleet, plan) == best(fleet, moves), f"seed {seed}"
        assert [goal.status for goal in plan.goals] == ["optimal"] * len(plan.goals), f"seed {seed}"
        assert check(fleet, plan).ok, f"seed {seed}"


@pytest.mark.parametrize("name", FIGURES)
def test_licences_and_power_are_the_least_of_all_plans(name: str) -> None:
    """Hosts of a kind or of a group, their cores, and watts: alone, and behind the cost of hosts."""
    for seed in range(3000, 3010):
        fleet, moves = drawn(seed)
        rng = random.Random(seed)
        hosts = tuple(
            replace(host, idle_watts=rng.choice((90.0, 150.5)), busy_watts=rng.choice((None, 400.0)))
            for host in fleet.hosts
        )
        fleet = replace(fleet, hosts=hosts)
        if ("rack" in name and not any(host.labels.get("rack") == "r0" for host in hosts)) or (
            "app" in name and not any(vm.spec.labels["app"] == "a" for vm in fleet.vms)
        ):
            continue
        plan = solve_fleet(fleet, goals=f"placed,rules,{name}", max_moves=moves, time_limit_s=20)
        assert plan.goals[-1].value == pytest.approx(best(fleet, moves, FIGURES[name])[-1], abs=1e-4), f"seed {seed}"
        assert {goal.status for goal in plan.goals} == {"optimal"} and check(fleet, plan).ok, f"seed {seed}"
        behind = solve_fleet(fleet, goals=f"placed,hosts,{name}", max_moves=moves, time_limit_s=20)
        assert {goal.status for goal in behind.goals} == {"optimal"} and check(fleet, behind).ok, f"seed {seed}"


@pytest.mark.parametrize("engine", ["states", "greedy"])
def test_other_engines_keep_the_rules_and_claim_no_false_bound(engine: Literal["states", "greedy"]) -> None:
    """The columns engine and the greedy one answer within the rules; no bound is above the value of the best plan."""
    for seed in range(1000, 1010):
        fleet, moves = drawn(seed)
        plan = planned(fleet, moves, engine)
        truth = planned(fleet, moves)
        assert check(fleet, plan).ok, f"seed {seed}"
        for own, proven in zip(plan.goals, truth.goals, strict=True):
            if own.bound is not None and proven.value is not None:
                assert own.bound <= proven.value + 1e-6, f"seed {seed}: {own.name}"
            if own.value != proven.value:
                break


def test_the_checker_refuses_plans_that_break_a_rule_of_each_kind() -> None:
    """Plans made without rules are refused just where a pair of rule and domain gets worse than it is."""
    refused: set[RuleKind] = set()
    # Plans that fill few hosts hold groups together.
    wanted = set(RuleKind) - {RuleKind.RESERVE, RuleKind.AFFINITY, RuleKind.GROUP}
    for seed in range(2000, 2400):
        if seed > 2060 and refused >= wanted:
            break
        fleet, _ = drawn(seed)
        plan = solve_fleet(replace(fleet, rules=()), goals="placed", max_moves=9, engine="greedy")
        names = [host.name for host in fleet.hosts]
        at = {vm.name: (names.index(vm.host), 0 if min(vm.pins[0]) < 3 else 1) for vm in plan.vms}
        before = excess(fleet, [now(fleet, vm) for vm in fleet.vms])
        after = excess(fleet, [at.get(vm.name) for vm in fleet.vms])
        worse = {number for number, domain in after if after[number, domain] > before.get((number, domain), 0)}
        hard = {number for number in worse if not fleet.rules[number].is_soft}
        said = [fault.message for fault in check(fleet, plan).faults if fault.message.startswith("rule ")]
        for number in hard:
            assert any(repr(fleet.rules[number].label) in message for message in said), f"seed {seed}: {number}"
        if not worse and not after:
            assert not said, f"seed {seed}"
        refused |= {fleet.rules[number].kind for number in hard}
    assert refused >= wanted
