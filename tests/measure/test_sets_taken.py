"""What placed VMs take of a host by sets of nodes, where not everything about them is known."""

from __future__ import annotations

from typing import Any

from placer.measure.as_now import as_now
from placer.measure.sets_taken import taken_by
from placer.model.plan import PlanCell, PlanVm
from placer.model.vm import Cell, CellMode, CpuPolicy, EmulatorPolicy, VmSpec


def test_an_emulator_of_unknown_cpu_is_beside_the_first_part(build: Any) -> None:
    """Of a flat guest on nodes 1 and 0 it is on node 1, as a plan has it: what stays takes no more than now."""
    spec = build.spec(4, 2, cpu_policy=CpuPolicy.SHARED, interleave=2, emulator_threads=EmulatorPolicy.ISOLATE)
    vm = build.vm("v", spec, current=build.now(nodes=(1, 0), memory_nodes=(1, 0)))
    planned = as_now(vm, build.host())
    assert planned is not None and planned.emulator is None
    taken = taken_by(vm, build.host(), planned)
    assert dict(taken.threads) == {1: 1}
    assert dict(taken.shared) == {frozenset((1,)): 2, frozenset((0,)): 2}


def test_an_emulator_is_beside_the_first_cell_that_has_vcpus(build: Any) -> None:
    """A first cell without vCPUs has none to be beside."""
    spec = VmSpec(
        vcpus=2,
        memory_kib=2 * build.GIB,
        cell_mode=CellMode.GIVEN,
        cells=(
            Cell(vcpus=frozenset(), memory_kib=build.GIB),
            Cell(vcpus=frozenset((0, 1)), memory_kib=build.GIB),
        ),
        emulator_threads=EmulatorPolicy.ISOLATE,
    )
    cells = tuple(
        PlanCell(id=number, vcpus=cell.vcpus, memory_kib=cell.memory_kib, mode="strict", nodes={number: build.GIB})
        for number, cell in enumerate(spec.cells)
    )
    pins = {0: frozenset((4,)), 1: frozenset((5,))}
    planned = PlanVm(name="v", uuid=None, host="a", cells=cells, pins=pins, shown=True)
    taken = taken_by(build.vm("v", spec), build.host(), planned)
    assert sum(taken.threads.values()) == 3 and set(taken.threads) == {1}
