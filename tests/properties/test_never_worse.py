"""A plan that may move VMs is never worse than the fleet as it stands, whatever is asked for and wherever it stops."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

import placer
from placer.model.plan import Plan
from tests.properties.live_by_hand import unequal_fleet

FORMS = (
    *("balance", "balance:cpus", "balance:memory", "balance:usage", "balance:hosts", "balance:memory:hosts"),
    *("balance:rack", "balance:cpus:rack", "balance:memory:rack", "balance:usage:rack"),
    *("balance>60%", "balance:rack>40%", "balance:cpus:hosts>70%"),
    *("hosts", "remote", "cores", "l3", "excess"),
)


def vector(plan: Plan) -> list[float]:
    """Return the values of a plan's goals in order, those that have several parts part by part."""
    found = [
        value
        for goal in plan.goals
        for value in ([tier["value"] for tier in goal.tiers] if goal.tiers else [goal.value])
    ]
    return [round(value or 0.0, 6) for value in found]


@pytest.mark.parametrize("seed", range(8))
def test_moves_make_nothing_worse(tmp_path: Path, seed: int) -> None:
    """Hosts of different overcommit, VMs that float: any goals, any limit on moves, time and rounds, none too."""
    fleet = unequal_fleet(tmp_path, seed)
    rng = random.Random(seed)
    for form in rng.sample(FORMS, 2):
        goals = f"placed,rules,{form},moves" if rng.random() < 0.7 else f"placed,{form},rules,balance:rack,moves"
        goals = goals.replace("balance:rack,rules,balance:rack", "balance:rack,rules")
        stays = placer.solve(fleet, goals=goals, max_moves=0)
        for limit_s, rounds in ((0.0, None), (60.0, rng.choice((0, 1, 2)))):
            found = placer.solve(
                fleet, goals=goals, max_moves=rng.randint(1, 6), time_limit_s=limit_s, rounds=rounds, seed=seed
            )
            assert placer.check(fleet, found).ok
            assert vector(found) <= vector(stays), (goals, limit_s, rounds)


def test_shares_of_racks_count_by_each_hosts_overcommit(tmp_path: Path) -> None:
    """A shared vCPU weighs 16 times as much where the ratio is 1: the search counts it as the measure does."""
    path = tmp_path / "fleet.yaml"
    hosts = "\n".join(
        f"  - {{name: {name}, labels: {{rack: {name}}}, overcommit: {ratio},"
        " nodes: [{id: 0, cpus: 0-15, memory: 64GiB}]}"
        for name, ratio in (("dense", 16), ("sparse", 1))
    )
    vms = "  - {name: v, count: 8, vcpus: 1, memory: 1GiB, cpu_policy: shared, host: dense, nodes: [0]}"
    path.write_text(f"schema: placer.inventory/v1\nhosts:\n{hosts}\nvms:\n{vms}\n")
    fleet = placer.read_fleet(path)
    plan = placer.solve(fleet, goals="placed,balance:cpus:rack,moves", max_moves=8)
    # 8 / 16 of a CPU on the dense host are a share of 1 / 32; one of them alone is as much of a share on the other.
    assert plan.status == "optimal"
    assert sum(vm.host == "sparse" for vm in plan.vms) <= 1


def test_names_of_racks_are_no_names_of_hosts(tmp_path: Path) -> None:
    """A rack that is called as a host without a rack is in the search is another place; so is a label so called."""
    path = tmp_path / "fleet.yaml"
    labels = {"a": {"rack": "host b"}, "b": {}, "c": {"rack": "\\host b"}, "d": {"rack or host": "x"}}
    hosts = "\n".join(
        f"  - {{name: {name}, labels: {named}, nodes: [{{id: 0, cpus: 0-7, memory: 64GiB}}]}}"
        for name, named in labels.items()
    )
    vms = "  - {name: v, count: 8, vcpus: 1, memory: 1GiB, labels: {app: a}, host: a, nodes: [0]}"
    rules = '  - {anti_affinity: {app: a}, scope: "rack or host", max_per: 1}'
    path.write_text(f"schema: placer.inventory/v1\nhosts:\n{hosts}\nvms:\n{vms}\nrules:\n{rules}\n")
    fleet = placer.read_fleet(path)
    plan = placer.solve(fleet, goals="placed,rules,balance:cpus:rack,moves", max_moves=8)
    on = [sum(vm.host == name for vm in plan.vms) for name in labels]
    assert plan.status == "optimal" and placer.check(fleet, plan).ok
    assert sorted(on[:3]) == [2, 2, 3] and on[3] == 1
