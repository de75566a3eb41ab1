"""Balance: equal shares are the optimum at any mix of sizes and any overcommit."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import pytest

import placer

FLEET = """
schema: placer.inventory/v1
hosts:
{hosts}
vms:
{vms}
"""


def planned(tmp_path: Any, hosts: str, vms: str) -> dict[str, int]:
    """Return host -> vCPUs after a solve for balance."""
    path = tmp_path / "fleet.yaml"
    path.write_text(FLEET.format(hosts=hosts, vms=vms))
    fleet = placer.read_fleet(path)
    plan = placer.solve(fleet, goals="placed,rules,balance,moves", max_moves=20)
    assert plan.status == "optimal" and placer.check(fleet, plan).ok
    out = {host.name: 0 for host in fleet.hosts}
    for vm in plan.vms:
        out[vm.host] += fleet.vm_by_name[vm.name].spec.vcpus
    return out


def test_load_goes_by_capacity(tmp_path: Any) -> None:
    """Of hosts of 32, 16 and 16 CPUs the large one gets half of the load, and not all that fits."""
    hosts = "\n".join(
        f"  - {{name: {name}, overcommit: 2, nodes: [{{id: 0, cpus: 0-{cpus - 1}, memory: 64GiB}}]}}"
        for name, cpus in (("a", 32), ("b", 16), ("c", 16))
    )
    vms = "\n".join(
        f"  - {{name: {host}, count: {count}, vcpus: 4, memory: 1GiB, cpu_policy: shared, host: {host}, nodes: [0]}}"
        for host, count in (("a", 4), ("b", 4), ("c", 4))
    )
    assert planned(tmp_path, hosts, vms) == {"a": 24, "b": 12, "c": 12}


def test_steps_fit_the_overcommit(tmp_path: Any) -> None:
    """Two VMs of 4 vCPUs beside one of 1 on another host part at a ratio of 16, where a share is next to nothing."""
    hosts = "\n".join(
        f"  - {{name: {name}, overcommit: 16, nodes: [{{id: 0, cpus: 0-31, memory: 64GiB}}]}}" for name in "ab"
    )
    vms = "\n".join(
        f"  - {{name: {name}, vcpus: {vcpus}, memory: 1GiB, cpu_policy: shared, host: {host}, nodes: [0]}}"
        for name, vcpus, host in (("one", 1, "a"), ("two", 4, "b"), ("three", 4, "b"))
    )
    assert sorted(planned(tmp_path, hosts, vms).values()) == [4, 5]


def test_floating_vms_count_on_every_node(tmp_path: Any) -> None:
    """VMs of one vCPU that float over two nodes are seen by the engine as they are measured: half on each."""
    hosts = "\n".join(
        f"  - {{name: {name}, overcommit: 4, nodes: [{{id: 0, cpus: 0-7, memory: 64GiB}}, {{id: 1, cpus: 8-15,"
        " memory: 64GiB}]}"
        for name in "ab"
    )
    vms = "  - {name: v, count: 6, vcpus: 1, memory: 1GiB, cpu_policy: shared, host: a}"
    assert sorted(planned(tmp_path, hosts, vms).values()) == [3, 3]


def test_memory_and_cpus_are_evened_out(tmp_path: Any) -> None:
    """By memory large guests part; by both no host is left with all of either; a threshold moves just what is above."""
    hosts = "\n".join(
        f"  - {{name: {name}, overcommit: 4, nodes: [{{id: 0, cpus: 0-15, memory: 64GiB}}]}}" for name in "abc"
    )
    vms = "\n".join(
        f"  - {{name: {name}, count: {count}, vcpus: 2, memory: {size}, overhead: 0MiB, cpu_policy: shared,"
        f" host: {host}}}"
        for name, count, size, host in (("db", 6, "8GiB", "a"), ("web", 8, "1GiB", "b"))
    )
    path = tmp_path / "fleet.yaml"
    path.write_text(FLEET.format(hosts=hosts, vms=vms))
    fleet = placer.read_fleet(path)
    gib: dict[str, dict[str, int]] = {}
    for goal in ("balance:memory", "balance:hosts", "balance:memory>50%"):
        plan = placer.solve(fleet, goals=f"placed,rules,{goal},moves", max_moves=20)
        assert plan.status == "optimal" and placer.check(fleet, plan).ok
        gib[goal] = {host.name: 0 for host in fleet.hosts}
        for vm in plan.vms:
            gib[goal][vm.host] += fleet.vm_by_name[vm.name].spec.memory_kib // (1 << 20)
        rows = {row["resource"]: row for row in plan.summary["shares"]}
        assert rows["memory"]["highest"] == max(gib[goal].values()) / 64
        assert rows["memory"]["before"]["highest"] == 48 / 64 and rows["memory"]["mean"] == round(56 / 192, 6)
    assert max(gib["balance:memory"].values()) <= 24
    assert max(gib["balance:hosts"].values()) <= 24
    assert gib["balance:memory>50%"]["a"] == 32
    assert plan.goal("moves").value == 2


@pytest.mark.parametrize("goal", ["balance:rack", "balance:cpus:rack", "balance:memory:rack", "balance:rack>30%"])
def test_racks_are_places(tmp_path: Any, goal: str) -> None:
    """Over a label the hosts of a value are one place and a host without it another: all answers are tried."""
    hosts = "\n".join(
        f"  - {{name: {name}, {label} overcommit: 2, nodes: [{{id: 0, cpus: 0-{cpus - 1}, memory: {gib}GiB}}]}}"
        for name, label, cpus, gib in (
            ("a", "labels: {rack: one},", 8, 16),
            ("b", "labels: {rack: one},", 4, 32),
            ("c", "labels: {rack: two},", 8, 32),
            ("d", "", 4, 16),
        )
    )
    sizes = {"u": (2, 4), "v": (4, 2), "w": (2, 8), "x": (4, 4)}
    vms = "\n".join(
        f"  - {{name: {name}, vcpus: {vcpus}, memory: {gib}GiB, overhead: 0MiB, cpu_policy: shared, host: a,"
        " nodes: [0]}"
        for name, (vcpus, gib) in sizes.items()
    )
    path = tmp_path / "fleet.yaml"
    path.write_text(FLEET.format(hosts=hosts, vms=vms))
    fleet = placer.read_fleet(path)
    plan = placer.solve(fleet, goals=f"placed,{goal}", max_moves=9)
    assert plan.status == "optimal" and placer.check(fleet, plan).ok
    has = {"one": (12, 48), "two": (8, 32), "d": (4, 16)}
    room = {"a": (16, 16), "b": (8, 32), "c": (16, 32), "d": (8, 16)}
    place = {"a": "one", "b": "one", "c": "two", "d": "d"}
    values = []
    for chosen in itertools.product("abcd", repeat=4):
        on = {host: [sizes[vm] for vm, at in zip(sizes, chosen, strict=True) if at == host] for host in "abcd"}
        if all(sum(n for n, _ in on[h]) <= room[h][0] and sum(g for _, g in on[h]) <= room[h][1] for h in "abcd"):
            total = 0.0
            for part, unit, mean, name in ((0, 2, 12 / 48, "cpus"), (1, 1, 18 / 96, "memory")):
                if name not in goal and ("cpus" in goal or "memory" in goal):
                    continue
                width = int(mean * 1000 / 5) / 1000
                steps = [0.3] if ">" in goal else [n * width for n in range(10)]
                weight = 0.25 if part and "memory" not in goal else 1
                for at, capacity in has.items():
                    load = sum(size[part] for h in "abcd" if place[h] == at for size in on[h]) / unit
                    total += weight * sum(max(0, load - capacity[part] * step) for step in steps)
            values.append(total)
    assert plan.goal(goal).value == pytest.approx(min(values))
    assert plan.goal(goal).bound == pytest.approx(min(values))


def test_dedicated_vcpus_that_float_load_racks_as_shared_ones(tmp_path: Any) -> None:
    """A vCPU without a CPU of its own counts by the overcommit: the bound over racks was above the plan's value."""
    hosts = "\n".join(
        f"  - {{name: {name}, labels: {{rack: {name}}}, overcommit: 4,"
        " nodes: [{id: 0, cpus: 0-7, memory: 16GiB}, {id: 1, cpus: 8-15, memory: 16GiB}]}"
        for name in "ab"
    )
    vms = "  - {name: v, count: 4, vcpus: 2, memory: 1GiB, host: a}"
    path = tmp_path / "fleet.yaml"
    path.write_text(FLEET.format(hosts=hosts, vms=vms))
    fleet = placer.read_fleet(path)
    goal = placer.solve(fleet, goals="placed,balance:cpus:rack,moves", max_moves=2).goal("balance:cpus:rack")
    assert goal.bound is not None and goal.value is not None and 0 < goal.bound <= goal.value


def test_a_rack_without_any_of_it_is_no_place(tmp_path: Any) -> None:
    """A rack whose CPUs are all reserved has no share, whatever floats there: measure and bound agree."""
    path = tmp_path / "fleet.yaml"
    hosts = """  - {name: a, labels: {rack: r1}, reserve: {cpus: 0-7}, nodes: [{id: 0, cpus: 0-7, memory: 64GiB}]}
  - {name: b, labels: {rack: r2}, nodes: [{id: 0, cpus: 0-7, memory: 64GiB}]}"""
    vms = """  - {name: v, vcpus: 2, memory: 4GiB, cpu_policy: shared, host: a}
  - {name: w, vcpus: 2, memory: 4GiB, cpu_policy: shared, host: b}"""
    path.write_text(FLEET.format(hosts=hosts, vms=vms))
    goal = placer.solve(placer.read_fleet(path), goals="placed,balance:cpus:rack").goal("balance:cpus:rack")
    assert goal.status == "optimal" and goal.value == goal.bound


def test_dedicated_vcpus_without_a_cpu_of_their_own_are_work(tmp_path: Any) -> None:
    """Two VMs of 4 dedicated vCPUs run on 4 CPUs: as nobody has one alone they counted nothing, and the bound stood
    above the value.
    """
    path = tmp_path / "fleet.yaml"
    hosts = "  - {name: a, idle_watts: 50, busy_watts: 90, nodes: [{id: 0, cpus: 0-3, memory: 16GiB}]}"
    path.write_text(
        FLEET.format(hosts=hosts, vms="  - {name: v, count: 2, vcpus: 4, memory: 1GiB, host: a, nodes: [0]}")
    )
    fleet = placer.read_fleet(path)
    plan = placer.solve(fleet, goals="balance:cpus,power")
    [share] = plan.summary["shares"]
    assert share["highest"] == 2
    goal = plan.goal("balance:cpus")
    assert goal.value == goal.bound and goal.value is not None and goal.value > 0


def _maintained(tmp_path: Any, many: int) -> placer.Fleet:
    hosts = "\n".join(
        f"  - {{name: {name}, overcommit: 4, {state}nodes: [{{id: 0, cpus: 0-15, memory: 64GiB}}]}}"
        for name, state in (("a", ""), ("b", ""), *((f"m{n}", "state: maintenance, ") for n in range(many)))
    )
    vms = "\n".join(
        f"  - {{name: {host}, count: {count}, vcpus: 2, memory: 1GiB, cpu_policy: shared, host: {host}, nodes: [0]}}"
        for host, count in (("a", 15), ("b", 11))
    )
    path = tmp_path / "fleet.yaml"
    path.write_text(FLEET.format(hosts=hosts, vms=vms))
    return placer.read_fleet(path)


@pytest.mark.parametrize("many", [0, 3])
def test_hosts_that_are_emptied_take_no_part(tmp_path: Any, many: int) -> None:
    """With three hosts of five in maintenance, 15 and 11 VMs on the other two were called even: steps ended below."""
    fleet = _maintained(tmp_path, many)
    plan = placer.solve(fleet, goals="placed,rules,balance:cpus,moves", max_moves=9)
    assert sorted(Counter(vm.host for vm in plan.vms).values()) == [13, 13]
    (shares,) = plan.summary["shares"]
    assert (shares["highest"], shares["lowest"], shares["mean"]) == (0.40625, 0.40625, 0.40625)
    assert (shares["before"]["highest"], shares["before"]["lowest"]) == (0.46875, 0.34375)
