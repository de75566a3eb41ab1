"""A console as a file is: 80 columns, no colour; and a small plan."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from rich.console import Console

from placer.model.host import Host, Node, Reserve, Topology
from placer.model.plan import Change, GoalResult, Plan, PlanCell, PlanVm, Unplaced

GIB = 1 << 20

Draw = Callable[[Callable[[Console], None]], str]


@pytest.fixture
def drawn() -> Draw:
    """Return a function that gives the text of a picture at 80 columns without colour."""

    def draw(picture: Callable[[Console], None]) -> str:
        stream = io.StringIO()
        picture(Console(file=stream, width=80, no_color=True, markup=False, emoji=False, highlight=False))
        return stream.getvalue()

    return draw


@pytest.fixture
def small_host() -> Host:
    """Return a host of two nodes with four SMT cores each, one core of each reserved."""
    siblings = [frozenset((core, core + 8)) for core in range(8)]
    cpus = [frozenset().union(*siblings[:4]), frozenset().union(*siblings[4:])]
    return Host(
        name="kvm-a",
        reserve=Reserve(cpus=siblings[0] | siblings[4]),
        topology=Topology(
            nodes=tuple(Node(id=number, cpus=cpus[number], memory_kib=32 * GIB) for number in (0, 1)),
            distances=((10.0, 21.0), (21.0, 10.0)),
            cores=tuple(siblings),
            packages=tuple(cpus),
        ),
    )


@pytest.fixture
def small_plan() -> Plan:
    """Return a plan of three VMs on that host: two cells, a flat one, one that floats; one VM has no place."""

    def vm(name: str, pins: dict[int, set[int]], cells: list[tuple[set[int], int]], change: Change) -> PlanVm:
        return PlanVm(
            name=name,
            host="kvm-a",
            cells=tuple(
                PlanCell(id=number, vcpus=frozenset(vcpus), memory_kib=4 * GIB, mode="strict", nodes={node: 4 * GIB})
                for number, (vcpus, node) in enumerate(cells)
            ),
            pins={vcpu: frozenset(cpus) for vcpu, cpus in pins.items()},
            shown=len(cells) > 1,
            change=change,
        )

    wide = vm("db", {0: {1}, 1: {9}, 2: {5}, 3: {13}}, [({0, 1}, 0), ({2, 3}, 1)], Change.NONE)
    flat = vm("web", {0: {2}}, [({0}, 0)], Change.REPIN)
    floating = vm("ci\x1b[31m", {0: {6, 14}, 1: {6, 14}}, [({0, 1}, 1)], Change.NONE)
    return Plan(
        fleet_path="fleet.yaml",
        fleet_digest="0" * 64,
        seed=0,
        rounds=3,
        status="feasible",
        goals=(
            GoalResult(name="placed", value=8, bound=8, gap=0.0, source="CP-SAT", status="optimal"),
            GoalResult(
                name="remote", value=1.25, bound=None, gap=None, source="", status="feasible", stopped="time limit"
            ),
            GoalResult(name="hosts", value=1, bound=1, gap=0.0, source="CP-SAT", status="feasible", held_at="remote"),
        ),
        vms=(wide, flat, floating),
        unplaced=(Unplaced(name="huge", reason="needs 96 vCPUs on one node, the largest has 8"),),
        summary={
            "cpus": {"used": 7, "reserved": 4, "free": 5, "total": 16},
            "memory_mib": {"used": 16384, "reserved": 0, "free": 49152, "total": 65536},
            "largest_free_slot": {"cpus": 3, "memory_mib": 24576, "host": "kvm-a", "node": 0},
            "worst_host_failure": {
                "host": "kvm-a",
                "vms_without_place": 3,
                "vcpus_without_place": 7,
                "proven": False,
                "states": 1,
                "states_in_all": 1,
            },
        },
    )
