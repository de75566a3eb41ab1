"""VMs that come with CPUs of their own and their memory unbound: what stands for them where CPUs are given."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

from placer.model.fleet import Fleet
from placer.model.vm import Cell, CellMode, CpuPolicy, EmulatorPolicy, Vm, VmSpec
from placer.planning.compile.loose import Loose, own_parts
from placer.planning.compile.placements import Placement


@dataclass(frozen=True, slots=True, kw_only=True)
class Coming:
    """A VM with a cell for its vCPUs on each node, in the order of `placement`; `vcpus` are their ids in the VM."""

    stand_in: Vm
    placement: Placement
    vcpus: tuple[tuple[int, ...], ...]

    def pins(self, cpus: Sequence[Sequence[int]]) -> Mapping[int, frozenset[int]]:
        """Return vCPU -> its CPU, of the CPUs that the stand-in's cells were given."""
        return {
            vcpu: frozenset((cpu,))
            for run, own in zip(self.vcpus, cpus, strict=True)
            for vcpu, cpu in zip(run, own, strict=True)
        }


def coming(vm: Vm, fleet: Fleet, place: Loose, specs: dict[Hashable, VmSpec]) -> Coming | None:
    """Return what stands for a VM at its place on a host that it comes to; None where it has no CPUs of its own.

    `specs` are those of stand-ins so far: VMs that are alike share theirs.
    """
    old = fleet.host_by_name.get(vm.current.host) if vm.current is not None else None
    parts = own_parts(vm, old.topology, _locked(vm, len(place.parts))) if old is not None else ()
    nodes: list[int] = []
    runs: list[tuple[int, ...]] = []
    for part, at in zip(parts, place.parts, strict=False):
        order = [vcpu for _, group in part.own for vcpu in group]
        for node, count in at.own:
            nodes.append(node)
            runs.append(tuple(order[:count]))
            order = order[count:]
    if not runs:
        return None
    helpers = vm.spec.emulator_threads if place.parts[0].own else None
    sizes = tuple(map(len, runs))
    spec = specs.setdefault((id(vm.spec), sizes, helpers), _spec_of(vm.spec, sizes, helpers))
    stand_in = replace(vm, spec=spec, current=None, pins_fixed=False)
    return Coming(stand_in=stand_in, placement=Placement(0, tuple(nodes), tuple(nodes)), vcpus=tuple(runs))


def _spec_of(spec: VmSpec, sizes: Sequence[int], helpers: EmulatorPolicy | None) -> VmSpec:
    """Return a spec with a cell of so many dedicated vCPUs each, and nothing else that takes anything."""
    cells, first = [], 0
    for size in sizes:
        cells.append(Cell(vcpus=frozenset(range(first, first + size)), memory_kib=0))
        first += size
    return VmSpec(
        vcpus=first,
        memory_kib=0,
        cell_mode=CellMode.GIVEN,
        cells=tuple(cells),
        share_node=True,
        cpu_policy=CpuPolicy.DEDICATED,
        thread_policy=spec.thread_policy,
        core_kind=spec.core_kind,
        emulator_threads=helpers,
    )


def _locked(vm: Vm, parts: int) -> int | None:
    return parts if vm.spec.cell_mode is CellMode.AUTO else None
