"""The worst single host failure in one line: found greedily, proven where it can be."""

from __future__ import annotations

from typing import Any

from placer.model.goals import parse_goals
from placer.planning.compile.budget import move_budget
from placer.planning.compile.compile import compile_fleet
from placer.planning.decode.worst_host import worst_failure
from solvers.result import Limits
from solvers.solve import solve


def worst(build: Any, hosts: int, *vms: tuple[int, str, int]) -> dict[str, Any]:
    """Return the worst failure of hosts of two nodes of four CPUs; a VM is (vCPUs, host, node)."""
    made = [
        build.vm(f"v{n}", build.spec(vcpus, 1, cells=1), current=build.now(host, (node,)))
        for n, (vcpus, host, node) in enumerate(vms)
    ]
    fleet = build.fleet([build.host(f"h{n}") for n in range(hosts)], made)
    compiled = compile_fleet(fleet, parse_goals("placed", fleet), move_budget(fleet, None, None))
    return worst_failure(compiled, solve(compiled.problem, engine="greedy", limits=Limits(time_limit_s=5)))


def test_all_find_a_place(build: Any) -> None:
    """Two full nodes find two empty ones."""
    found = worst(build, 2, (4, "h0", 0), (4, "h0", 1))
    assert (found["host"], found["vms_without_place"], found["proven"]) == ("h0", 0, True)


def test_no_room_is_proven(build: Any) -> None:
    """Three wide VMs on two hosts: one host left has one free node, so that of two VMs one finds none."""
    found = worst(build, 2, (4, "h0", 0), (4, "h0", 1), (4, "h1", 0))
    assert (found["host"], found["vms_without_place"], found["vcpus_without_place"]) == ("h0", 1, 4)
    assert found["proven"]


def test_what_a_solve_might_find_is_not_claimed(build: Any) -> None:
    """VMs of 3, 2 and 2 vCPUs fit free nodes of 4 and 3, if the 3 goes to the 3: what greed misses is not proven."""
    found = worst(build, 2, (3, "h0", 0), (2, "h0", 1), (2, "h0", 1), (1, "h1", 1))
    assert (found["host"], found["vms_without_place"], found["vcpus_without_place"]) == ("h0", 1, 2)
    assert not found["proven"]


def test_one_host_alone_loses_all(build: Any) -> None:
    """Where there is no other host, nothing finds a place, which is proven."""
    found = worst(build, 1, (2, "h0", 0))
    assert (found["vms_without_place"], found["proven"]) == (1, True)
