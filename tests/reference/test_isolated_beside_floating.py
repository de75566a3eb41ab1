"""CPUs that nobody may float over are of no use to VMs that float over several nodes: in rows, pins and check alike."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from benchmarks.truth.cases import Case
from benchmarks.truth.race import Outcome, fleet_of, planned, race, reference
from placer.check.check import check
from solvers.choice import Engine

ENGINES: tuple[Engine, ...] = ("auto", "exact", "columns", "greedy")
OWN = {"vcpus": 4, "cpu_policy": "dedicated", "cells": "none"}


def case_of(host: dict[str, Any], *vms: dict[str, Any], goals: str = "placed,excess,moves") -> Case:
    """Return a fleet of one host of two nodes."""
    made = {"name": "h", **host}
    each = [{"name": f"v{n}", "memory": "256MiB", **vm} for n, vm in enumerate(vms)]
    return Case(inventory={"schema": "placer.inventory/v1", "hosts": [made], "vms": each}, goals=goals)


def nodes(*cpus: str) -> list[dict[str, Any]]:
    """Return nodes with these CPUs."""
    return [{"id": n, "cpus": own, "memory": "4GiB"} for n, own in enumerate(cpus)]


def floats(vcpus: int, **more: Any) -> dict[str, Any]:
    """Return a VM that runs and is bound to nothing."""
    return {"vcpus": vcpus, "cpu_policy": "shared", "host": "h", "nodes": [], **more}


def held(case: Case, engine: Engine) -> Outcome:
    """Return the outcome of a race in which nothing was wrong."""
    outcome = race(case, engine)
    assert not outcome.wrong, outcome.wrong
    return outcome


@pytest.mark.parametrize("engine", ENGINES)
def test_isolated_cpus_of_another_node_carry_nothing(engine: Engine) -> None:
    """Four dedicated vCPUs on the node without isolated CPUs leave one to float over, and three are asked for."""
    host = {"nodes": nodes("0-2", "3-6"), "isolated_cpus": "0-1"}
    case = case_of(host, floats(3), OWN)
    assert reference(case).values["placed"][0] == 4
    held(case, engine)


def test_check_counts_isolated_cpus_for_dedicated_vcpus_alone() -> None:
    """The plan of the host without isolated CPUs is refused where it has some: what floats lacks two."""
    free = case_of({"nodes": nodes("0-2", "3-6")}, floats(3), OWN)
    host = {"nodes": nodes("0-2", "3-6"), "isolated_cpus": "0-1"}
    fleet = fleet_of(case_of(host, floats(3), OWN).inventory)
    plan = planned(free, fleet_of(free.inventory))
    assert not plan.unplaced
    faults = check(fleet, replace(plan, fleet_digest=fleet.digest)).faults
    assert any("nodes 0, 1: 3 shared vCPUs, and 1 unpinned CPUs" in str(fault) for fault in faults)


@pytest.mark.parametrize("engine", ENGINES)
def test_pins_leave_what_floats_over_both_nodes(engine: Engine) -> None:
    """Who has two CPUs that are floated over gives them up for the isolated ones when a VM comes that needs them."""
    host = {"nodes": nodes("0-3", "4-5"), "isolated_cpus": "0-1"}
    own = {"vcpus": 2, "cpu_policy": "dedicated", "host": "h", "nodes": [0], "pins": {0: "2", 1: "3"}}
    case = case_of(host, own, {"vcpus": 4, "cpu_policy": "shared", "pin": "never"})
    held(case, engine)
    plan = planned(case, fleet_of(case.inventory), engine)
    assert not plan.unplaced and set().union(*plan.vm_by_name["v0"].pins.values()) == {0, 1}


@pytest.mark.parametrize("engine", ENGINES)
def test_siblings_left_idle_are_not_floated_over(engine: Engine) -> None:
    """Where the CPUs are split within cores, an isolated vCPU takes a sibling that a VM floats over."""
    host = {"nodes": nodes("0-3", "4-5"), "siblings": ["0,1", "2,3", "4,5"], "shared_cpus": "1,3-5"}
    alone = {"vcpus": 1, "cpu_policy": "dedicated", "thread_policy": "isolate"}
    assert reference(case_of(host, floats(4), alone)).values["placed"][0] == 1
    held(case_of(host, floats(4), alone), engine)
    assert reference(case_of(host, floats(3), alone)).values["placed"][0] == 0
    held(case_of(host, floats(3), alone), engine)


def test_who_stays_gives_a_cpu_up_to_those_who_float_newly() -> None:
    """The only CPU to float over is a VM's that stays, and one nobody may float over is free: to keep it would be one
    re-pin fewer, and the VM that comes would have no CPU.
    """
    stays = {"vcpus": 1, "cpu_policy": "dedicated", "host": "h", "nodes": [1], "pins": {"0": "3"}}
    other = {"vcpus": 3, "cpu_policy": "dedicated", "host": "h", "nodes": [0], "pins": {"0": "0", "1": "1", "2": "2"}}
    comes = {"vcpus": 2, "cpu_policy": "shared", "pin": "never"}
    host = {"nodes": nodes("0-2", "3-4"), "isolated_cpus": "4", "overcommit": 4}
    case = case_of(host, stays, other, comes, goals="placed,excess,moves,repins")
    truth = reference(case)
    assert (truth.values["placed"][0], truth.values["repins"]) == (0, (1,))
    held(case, "auto")


def test_who_may_come_to_what_is_over_takes_nothing_of_it() -> None:
    """Shared vCPUs lack CPUs of a node: dedicated ones that isolated CPUs carry come, as many as all CPUs carry."""
    host = {"nodes": nodes("0-4"), "isolated_cpus": "2-4"}
    crowd = [{"vcpus": 2, "cpu_policy": "shared", "host": "h", "nodes": [0]} for _ in range(2)]
    new = [{"vcpus": 1, "cpu_policy": "dedicated"} for _ in range(2)]
    case = case_of(host, *crowd, *new)
    truth = reference(case)
    assert (truth.values["placed"][0], truth.values["excess"][2]) == (1, 2)
    held(case, "auto")


def test_vm_wider_than_its_host_is_bound_only_where_that_gains() -> None:
    """Bound to the one node it would count as no excess any more, and reach over no less than now."""
    wide = {"vcpus": 4, "cpu_policy": "shared", "host": "h", "nodes": [], "pin": "allowed"}
    host = {"nodes": nodes("0-3"), "dedicated_cpus": "0-2", "shared_cpus": "3", "overcommit": 4}
    case = replace(case_of(host, wide, goals="placed,excess,remote,moves"), pin="worth")
    truth = reference(case)
    assert truth.values["excess"][2] == 3
    held(case, "auto")


def test_check_refuses_who_floats_over_one_node_beside_isolated_ones_and_has_no_cpu() -> None:
    """Of the other node all CPUs are isolated, so that a VM floats over this one; who stays there has its CPUs."""
    stays = {"vcpus": 2, "cpu_policy": "dedicated", "host": "h", "nodes": [0], "pins": {"0": "0", "1": "1"}}
    comes = {"vcpus": 2, "cpu_policy": "shared", "pin": "never"}
    host = {"nodes": nodes("0-3", "4-5"), "isolated_cpus": "2-5", "overcommit": 2}
    fleet = fleet_of(case_of(host, stays, comes).inventory)
    free = planned(case_of(host, stays, comes), fleet)
    assert not free.unplaced
    assert not check(fleet, free).faults
    on_its_own = {vcpu: frozenset({vcpu}) for vcpu in range(2)}
    damaged = tuple(replace(vm, pins=on_its_own) if vm.name == "v0" else vm for vm in free.vms)
    faults = check(fleet, replace(free, vms=damaged)).faults
    assert any("shared vCPUs lack 1 CPUs" in str(fault) for fault in faults)


def test_naming_cpus_that_nobody_knows_is_no_reason_to_refuse_who_stays() -> None:
    """Two VMs keep a sibling idle each, whichever CPUs they have: one CPU is left to two shared vCPUs, as today."""
    mixed = {"vcpus": 2, "cpu_policy": "mixed", "dedicated_vcpus": "0", "thread_policy": "isolate", "cells": 1}
    crowd = [{**mixed, "host": "h", "nodes": [0], "running": False} for _ in range(2)]
    host = {
        "nodes": nodes("0-5"),
        "siblings": ["0,1", "2,3", "4,5"],
        "dedicated_cpus": "3-5",
        "shared_cpus": "1-2",
        "isolated_cpus": "0",
    }
    case = case_of(host, *crowd, goals="placed,remote,moves")
    plan = planned(case, fleet := fleet_of(case.inventory))
    assert not [text for text in plan.warnings if "fault of placer" in text]
    assert not check(fleet, plan).faults
