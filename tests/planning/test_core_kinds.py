"""Hybrid hosts from a text to pins: kinds are read, performance cores come first, `core_kind` binds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from placer.check.check import check
from placer.errors import InputError
from placer.model.cpuset import format_cpuset
from placer.model.fleet import Fleet
from placer.planner import solve_fleet
from placer.read.hosts.host import read_topology
from placer.read.inventory.inventory import read_fleet

HOST = """
hosts: [{name: h, nodes: [{id: 0, cpus: "0-7", memory: 16GiB}], siblings: ["0-1", "2-3"], efficiency: "4-7"}]
vms:
"""
VM = "  - {{name: {}, vcpus: {}, memory: 1GiB, overhead: 0MiB, core_kind: {}, thread_policy: {}}}\n"


def lscpu(*clocks: float) -> str:
    """Return a table of lscpu: two cores of two threads, then a core a CPU, all at such clocks."""
    cores = [0, 0, 1, 1, *range(2, len(clocks) - 2)]
    rows = [f"{cpu} 0 0 {core} {clock}" for cpu, (core, clock) in enumerate(zip(cores, clocks, strict=True))]
    return "\n".join(["CPU NODE SOCKET CORE MAXMHZ", *rows]) + "\n"


def fleet(tmp_path: Path, text: str) -> Fleet:
    """Return the fleet of an inventory."""
    path = tmp_path / "fleet.yaml"
    path.write_text("schema: placer.inventory/v1" + text, encoding="utf-8")
    return read_fleet(path)


@pytest.mark.parametrize(
    ("clocks", "slow"),
    [
        ((5700, 5700, 5500, 5500, 4300, 4300), "4-5"),
        ((5700, 5700, 5500, 5500, 5400, 5400), "4-5"),
        ((3000, 3000, 3000, 3000), ""),
    ],
)
def test_clocks_and_threads_tell_kinds(tmp_path: Path, clocks: tuple[float, ...], slow: str) -> None:
    """Cores of clearly lower clocks are efficiency cores, favoured ones are none; without such clocks those of one
    thread beside cores of two are taken for such.
    """
    path = tmp_path / "host.txt"
    path.write_text(lscpu(*clocks), encoding="utf-8")
    topology = read_topology(path)
    assert format_cpuset(topology.efficiency) == slow
    assumed = [said for said in topology.assumptions if "efficiency" in said]
    assert len(assumed) == (clocks[-1] == 5400)


def test_inventory_says_kinds(tmp_path: Path) -> None:
    """`efficiency` names CPUs of the host, whole cores, and may name none."""
    assert (
        format_cpuset(fleet(tmp_path, HOST + VM.format("v", 1, "any", "prefer")).hosts[0].topology.efficiency) == "4-7"
    )
    none = fleet(tmp_path, HOST.replace('"4-7"}]', '""}]') + VM.format("v", 1, "any", "prefer"))
    assert not none.hosts[0].topology.efficiency
    with pytest.raises(InputError, match="only a part of the core of CPUs 0-1"):
        fleet(tmp_path, HOST.replace('"4-7"}]', '"1,4-7"}]') + VM.format("v", 1, "any", "prefer"))
    with pytest.raises(InputError, match="needs dedicated vCPUs"):
        fleet(tmp_path, HOST + "  - {name: v, vcpus: 1, memory: 1GiB, cpu_policy: shared, core_kind: efficiency}\n")


@pytest.mark.parametrize(
    ("kind", "policy", "vcpus", "cpus"),
    [
        ("any", "isolate", 2, {0, 2}),
        ("any", "prefer", 2, {0, 1}),
        ("efficiency", "prefer", 2, {4, 5}),
        ("efficiency", "isolate", 3, {4, 5, 6}),
        ("performance", "require", 4, {0, 1, 2, 3}),
        ("performance", "isolate", 3, None),
        ("efficiency", "prefer", 5, None),
        ("any", "isolate", 6, {0, 2, 4, 5, 6, 7}),
    ],
)
def test_vcpus_are_on_the_cores_that_are_asked_for(
    tmp_path: Path, kind: str, policy: str, vcpus: int, cpus: set[int] | None
) -> None:
    """Performance cores come first, a kind that is asked for binds, and too few of it leave the VM out with a proof."""
    known = fleet(tmp_path, HOST + VM.format("v", vcpus, kind, policy))
    plan = solve_fleet(known, goals="placed", time_limit_s=20)
    assert plan.status == "optimal"
    assert check(known, plan).ok
    if cpus is None:
        assert [unplaced.name for unplaced in plan.unplaced] == ["v"]
    else:
        assert set().union(*plan.vms[0].pins.values()) == cpus


def test_the_checker_refuses_cores_of_the_other_kind(tmp_path: Path) -> None:
    """A plan that is right for any core is refused where efficiency cores are asked for."""
    anywhere = fleet(tmp_path, HOST + VM.format("v", 1, "any", "prefer"))
    plan = solve_fleet(anywhere, goals="placed", time_limit_s=20)
    bound = fleet(tmp_path, HOST + VM.format("v", 1, "efficiency", "prefer"))
    faults = [str(fault) for fault in check(bound, replace(plan, fleet_digest=bound.digest)).faults]
    assert any("CPUs 0 are of no efficiency core" in fault for fault in faults)
