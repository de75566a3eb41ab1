"""Explain: verdicts on other places agree with solves that force the VM there; prices and costs add up."""

from __future__ import annotations

import dataclasses
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from placer.errors import InputError, PlacerError
from placer.model.fleet import Fleet
from placer.model.plan import Plan
from placer.model.rules import Rule, RuleKind
from placer.model.vm import Movable
from placer.planning.after import fleet_after
from placer.planning.alternatives import Alternative, Verdict, alternatives
from placer.planning.moved import is_present
from placer.planning.score import PlanValues
from placer.planning.solve import solve_fleet

sys.path.insert(0, str(Path(__file__).parent.parent / "properties"))

from small_fleets import small_fleet, small_live_fleet

Build = Any
MOVES = 200
GOALS = ("placed", "rules", "remote", "hosts", "moves")


def forced(fleet: Fleet, plan: Plan, name: str, host: str) -> Plan | None:
    """Return the best plan with the VM on this host and all others where the plan has them; None: there is none."""
    planned = plan.vm_by_name
    vms = tuple(
        fleet.vm_by_name[vm.name] if vm.name == name else dataclasses.replace(vm, movable=Movable.NO)
        for vm in fleet_after(fleet, plan).vms
        if vm.name in planned or vm.name == name
    )
    rule = Rule(kind=RuleKind.WITHIN, members={"name": name}, hosts={"name": host}, name="forced")
    alone = dataclasses.replace(fleet, vms=vms, rules=(*fleet.rules, rule))
    try:
        found = solve_fleet(alone, goals=("rules", "placed", "remote", "hosts", "moves"), max_moves=1, time_limit_s=20)
    except PlacerError:
        return None
    at = found.vm_by_name.get(name)
    if at is None or at.host != host:
        return None
    assert found.status == "optimal"
    return dataclasses.replace(plan, vms=found.vms, unplaced=tuple(u for u in plan.unplaced if u.name != name))


def change(fleet: Fleet, plan: Plan, other: Plan) -> tuple[str, float] | None:
    """Return the first goal in which two plans differ, and by how much; tiers of `placed` and `moves` in order."""
    was, now = PlanValues(fleet, plan), PlanValues(fleet, other)
    for goal in GOALS:
        tiers = list(zip(was.tiers(goal), now.tiers(goal), strict=True)) or [
            ((goal, was.value(goal) or 0.0), (goal, now.value(goal) or 0.0))
        ]
        for (_, before), (_, after) in tiers:
            if abs(after - before) > 1e-5:
                return goal, after - before
    return None


def best_on(places: Sequence[Alternative], host: str) -> Alternative:
    """Return the first (best) place on a host, a planned one aside."""
    return next(place for place in places if host in place.hosts)


def fleet_of(seed: int) -> tuple[Fleet, Plan]:
    """Return a small fleet, every other one live, and a plan of it."""
    fleet = small_live_fleet(seed) if seed % 2 else small_fleet(seed)
    goals = ",".join(GOALS)
    return fleet, solve_fleet(fleet, goals=goals, max_moves=9 if seed % 2 else None, time_limit_s=20)


@pytest.mark.slow
def test_verdicts_agree_with_forced_solves() -> None:
    """On 200 random moves: BLOCKED where no plan exists with the VM there, else the same first goal by as much."""
    rng = random.Random(8)
    looked = seed = 0
    seen: set[Verdict] = set()
    while looked < MOVES:
        seed += 1
        fleet, plan = fleet_of(seed)
        free = [vm for vm in fleet.vms if not (is_present(fleet, vm) and vm.movable is Movable.NO)]
        for vm in rng.sample(free, min(3, len(free))):
            host = rng.choice(fleet.hosts).name
            planned = plan.vm_by_name.get(vm.name)
            if planned is not None and planned.host == host:
                continue
            looked += 1
            place = best_on(alternatives(fleet, plan, vm.name).places, host)
            seen.add(place.verdict)
            other = forced(fleet, plan, vm.name, host)
            where = f"seed {seed}, {vm.name} to {host}: {place}"
            assert (other is None) == (place.verdict is Verdict.BLOCKED), where
            if other is None or planned is None:
                continue
            differs = change(fleet, plan, other)
            if differs is None:
                assert place.verdict is Verdict.SAFE and place.goal is None, where
                continue
            goal, by = differs
            assert place.goal is not None and place.goal.partition(" ")[0] == goal, (where, differs)
            assert place.by == pytest.approx(by, abs=1e-5), (where, differs)
            assert place.verdict is (Verdict.WORSE if by > 0 else Verdict.SAFE), where
    assert seen == set(Verdict)
