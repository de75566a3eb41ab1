"""Small hosts, VMs and plans made by hand for the tests of planning."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from placer.model.fleet import Fleet
from placer.model.host import Host, Node, NodeKind, Topology
from placer.model.plan import Change, GoalResult, Plan, PlanCell, PlanVm, Unplaced
from placer.model.rules import Rule
from placer.model.units import KIB_PER_GIB
from placer.model.vm import Cell, CellMode, Current, Movable, Vm, VmSpec


class Build:
    """Builders with defaults: nodes of 4 CPUs in 2 cores and 16 GiB, distance 10 and 21; overhead 0."""

    GIB = KIB_PER_GIB

    def topology(
        self,
        nodes: int = 2,
        cpus: int = 4,
        *,
        threads: int = 2,
        memory_gib: float = 16,
        far: float = 21,
        distances: Sequence[Sequence[float]] | None = None,
        l3_cpus: int | None = None,
        pages: Mapping[int, int] | None = None,
        memory_only: Iterable[int] = (),
        device_memory: Iterable[int] = (),
        **more: Any,
    ) -> Topology:
        """Return nodes of consecutive CPUs; those in `memory_only` and `device_memory` have none."""
        kinds = {**dict.fromkeys(memory_only, NodeKind.MEMORY_ONLY), **dict.fromkeys(device_memory, NodeKind.DEVICE)}
        made, first = [], 0
        for number in range(nodes):
            count = 0 if number in kinds else cpus
            own = frozenset(range(first, first + count))
            first += count
            memory = int(memory_gib * KIB_PER_GIB)
            kind = kinds.get(number, NodeKind.NORMAL)
            made.append(Node(id=number, cpus=own, memory_kib=memory, pages=dict(pages or {}), kind=kind))
        cores = tuple(frozenset(range(cpu, cpu + threads)) for cpu in range(0, first, threads))
        size = l3_cpus or cpus
        rows = distances or [[10 if i == j else far for j in range(nodes)] for i in range(nodes)]
        return Topology(
            nodes=tuple(made),
            distances=tuple(tuple(float(d) for d in row) for row in rows),
            cores=cores,
            l3=tuple(frozenset(range(cpu, cpu + size)) for cpu in range(0, first, size)),
            **more,
        )

    def host(self, name: str = "a", topology: Topology | None = None, **more: Any) -> Host:
        """Return a host."""
        return Host(name=name, topology=topology or self.topology(), **more)

    def spec(self, vcpus: int = 2, memory_gib: float = 2, cells: int | str = "none", **more: Any) -> VmSpec:
        """Return a spec: `cells` is ``none``, ``auto`` or a number of equal given cells."""
        memory = int(memory_gib * KIB_PER_GIB)
        more.setdefault("overhead_kib", 0)
        if cells == "auto":
            return VmSpec(vcpus=vcpus, memory_kib=memory, **more)
        count = cells if isinstance(cells, int) else 1
        each = vcpus // count
        made = tuple(
            Cell(vcpus=frozenset(range(n * each, n * each + each)), memory_kib=memory // count) for n in range(count)
        )
        mode = CellMode.NONE if cells == "none" else CellMode.GIVEN
        return VmSpec(vcpus=vcpus, memory_kib=memory, cell_mode=mode, cells=made, **more)

    def vm(self, name: str = "v", spec: VmSpec | None = None, **more: Any) -> Vm:
        """Return a VM."""
        return Vm(name=name, spec=spec or self.spec(), **more)

    def now(self, host: str = "a", nodes: tuple[int, ...] | None = (0,), **more: Any) -> Current:
        """Return where a VM is now."""
        return Current(host=host, nodes=nodes, **more)

    def fleet(self, hosts: Sequence[Host], vms: Sequence[Vm], rules: Sequence[Rule] = (), **more: Any) -> Fleet:
        """Return a fleet with a digest."""
        return Fleet(hosts=tuple(hosts), vms=tuple(vms), rules=tuple(rules), digest="d1", **more)

    def placed(
        self,
        vm: Vm,
        pins: Sequence[int | Iterable[int]],
        memory: Sequence[int | Mapping[int, int]],
        host: str = "a",
        **more: Any,
    ) -> PlanVm:
        """Return a placed VM: a CPU or cpuset a vCPU, a node (or node -> KiB) a cell; emulator on its own CPUs."""
        spec, count = vm.spec, len(memory)
        each = spec.vcpus // count
        cells = []
        for number, where in enumerate(memory):
            if spec.cells:
                vcpus, kib = spec.cells[number].vcpus, spec.cells[number].memory_kib
            else:
                vcpus, kib = frozenset(range(number * each, number * each + each)), spec.memory_kib // count
            nodes = {where: kib} if isinstance(where, int) else dict(where)
            mode = "strict" if len(nodes) == 1 else "interleave"
            cells.append(PlanCell(id=number, vcpus=vcpus, memory_kib=kib, mode=mode, nodes=nodes))  # type: ignore[arg-type]
        sets = {n: frozenset({pin} if isinstance(pin, int) else pin) for n, pin in enumerate(pins)}
        own: frozenset[int] = frozenset().union(*sets.values())
        more.setdefault("emulator", own)
        more.setdefault("shown", spec.cell_mode is CellMode.GIVEN or count > 1)
        more.setdefault("new_cells", spec.cell_mode is CellMode.AUTO and vm.current is None)
        more.setdefault("iothreads", dict.fromkeys(spec.iothreads, more["emulator"]))
        return PlanVm(name=vm.name, host=host, uuid=vm.uuid, cells=tuple(cells), pins=sets, **more)

    def plan(self, *vms: PlanVm, goals: Sequence[GoalResult] = (), unplaced: Sequence[str] = (), **more: Any) -> Plan:
        """Return a plan of the fleet with digest d1."""
        left = tuple(Unplaced(name=name, reason="no room") for name in unplaced)
        fields: dict[str, Any] = {
            "seed": 0,
            "rounds": 1,
            "status": "feasible",
            "fleet_path": None,
            "fleet_digest": "d1",
        }
        return Plan(**{**fields, **more}, goals=tuple(goals), vms=vms, unplaced=left)

    def goal(self, name: str, value: float | None, bound: float | None = None, **more: Any) -> GoalResult:
        """Return a goal's result, optimal where the bound is the value; the gap follows from both."""
        gap = None
        if value is not None and bound is not None:
            gap = abs(value - bound) / max(abs(value), abs(bound)) if value or bound else 0.0
        status = "optimal" if value is not None and value == bound else "feasible"
        fields: dict[str, Any] = {"gap": gap, "source": "exact", "status": status}
        return GoalResult(name=name, value=value, bound=bound, **{**fields, **more})

    NO = Movable.NO
    replace = staticmethod(replace)
    Change = Change


@pytest.fixture(scope="session")
def build() -> Build:
    """Return the builders."""
    return Build()
