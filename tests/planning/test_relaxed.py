"""Fleets with nodes of which no rows say just what fits: found and proven on rows that all which fits keeps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from placer.check.check import check
from placer.model.fleet import Fleet
from placer.model.plan import Plan, PlanCell
from placer.planner import solve_fleet
from placer.planning.decode.certificate import check_certificate
from placer.read.inventory.inventory import read_fleet

HOST = """
hosts: [{name: h, nodes: [{id: 0, cpus: "0-%d", memory: 16GiB}], siblings: ["0-1", "2-3"], efficiency: "4-%d"}]
vms:
"""
VM = "  - {{name: {}, vcpus: {}, memory: 1GiB, overhead: 0MiB, core_kind: {}, thread_policy: {}}}\n"
ODD = (("alone", 2, "any", "isolate"), ("a", 2, "any", "pairs"), ("b", 2, "any", "pairs"))
"""On two cores of two threads and three of one there is room for them, but then for no thread of a performance core."""
SMALL = ("small", 1, "performance", "prefer")


def fleet(tmp_path: Path, last: int, *vms: tuple[str, int, str, str]) -> Fleet:
    """Return VMs on a host of two cores of two threads, and of cores of one up to CPU `last`."""
    path = tmp_path / "fleet.yaml"
    text = "schema: placer.inventory/v1" + HOST % (last, last) + "".join(VM.format(*vm) for vm in vms)
    path.write_text(text, encoding="utf-8")
    return read_fleet(path)


def solved(wanted: Fleet, rounds: int | None = None) -> Plan:
    """Return the plan of VMs to place."""
    return solve_fleet(wanted, goals="placed,remote", engine="exact", time_limit_s=20, rounds=rounds)


def test_items_of_any_kind_fill_cores_of_both_kinds(tmp_path: Path) -> None:
    """Four VMs that fill two threads each have two cores of two threads and four of one, proven and certified."""
    wanted = fleet(tmp_path, 7, *((f"vm{n}", 2, "any", "pairs") for n in range(4)), ("more", 2, "any", "pairs"))
    plan = solved(wanted)
    assert len(plan.vms) == 4
    assert plan.status == "optimal"
    assert check(wanted, plan).ok
    faults, remarks = check_certificate(wanted, plan)
    assert not faults
    assert any("confirmed" in text for text in remarks)


@pytest.mark.parametrize("rounds", [False, True])
def test_an_answer_that_cannot_be_pinned_leaves_its_bound(tmp_path: Path, rounds: bool) -> None:
    """Rows let all four VMs in, pins do not: there is a plan with one of them left out, and its bound is what the rows
    prove, replayed or not.
    """
    wanted = fleet(tmp_path, 6, *ODD, SMALL)
    plan = solved(wanted)
    plan = solved(wanted, plan.rounds) if rounds else plan
    placed = plan.goal("placed")
    assert placed.status == "feasible"
    assert placed.bound == 0
    assert 0 < (placed.value or 0) <= 2
    assert check(wanted, plan).ok
    assert check_certificate(wanted, plan)[0] == []


def test_what_fits_without_the_odd_one_is_optimal(tmp_path: Path) -> None:
    """The three VMs alone are all placed, which needs no more than one look."""
    plan = solved(fleet(tmp_path, 6, *ODD))
    assert (plan.status, len(plan.vms)) == ("optimal", 3)


def test_cpus_to_float_over_are_left_where_isolated_ones_are_free(tmp_path: Path) -> None:
    """By count two shared vCPUs fit beside who fills both wide cores and who has an efficiency core: an isolated CPU is
    free. One that they may float over is left, so they have no place, and a plan that gives them it is refused.
    """
    host = HOST.replace("}]\nvms", ', isolated_cpus: "1,3-4,6"}]\nvms') % (6, 6)
    shared = "  - {name: shared, vcpus: 2, memory: 1GiB, overhead: 0MiB, cpu_policy: shared}\n"
    own = VM.format("whole", 4, "any", "require") + VM.format("slow", 1, "efficiency", "prefer")
    path = tmp_path / "fleet.yaml"
    path.write_text("schema: placer.inventory/v1" + host + own + shared, encoding="utf-8")
    wanted = read_fleet(path)
    plan = solved(wanted)
    assert [one.name for one in plan.unplaced] == ["shared"] and check(wanted, plan).ok
    left = frozenset({5})
    crowded = replace(
        plan.vms[0],
        name="shared",
        uuid=None,
        cells=(PlanCell(id=0, vcpus=frozenset({0, 1}), memory_kib=1 << 20, mode="strict", nodes={0: 1 << 20}),),
        pins={0: left, 1: left},
        emulator=left,
    )
    faults = check(wanted, replace(plan, vms=(*plan.vms, crowded), unplaced=())).faults
    assert any("shared vCPUs lack 1 CPUs beside those that are taken" in str(fault) for fault in faults)
