"""A VM as it is now, written as a plan writes it: for what stands today, and for what a plan leaves alone."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

from placer.measure.memory_use import cells_now
from placer.measure.moved import is_present
from placer.model.fleet import Fleet
from placer.model.host import Host
from placer.model.plan import PlanCell, PlanVm
from placer.model.same_host import room_key
from placer.model.sets import bounds_now, cell_sets, known_nodes
from placer.model.vm import CellMode, Vm


def as_now(vm: Vm, host: Host) -> PlanVm | None:
    """Return a present VM where it is on its host, None where its cells cannot be told.

    A vCPU without a known cpuset may run on the CPUs of its nodes that carry such vCPUs; devices are left out.
    """
    now = vm.current
    if now is None or now.host != host.name:
        return None
    if known_nodes(vm) is None:
        return _loose(vm, host)
    cells = cells_now(vm)
    nodes = known_nodes(vm)
    if not cells or nodes is None:
        return None
    runs = _runs(vm, len(nodes[0]))
    if len(cells) == len(runs):
        cells = tuple(
            PlanCell(id=cell.id, vcpus=frozenset(run), memory_kib=cell.memory_kib, mode=cell.mode, nodes=cell.nodes)
            for cell, run in zip(cells, runs, strict=True)
        )
    pins: dict[int, frozenset[int]] = {}
    for run, node in zip(runs, nodes[0], strict=True):
        own = host.topology.node(node).cpus
        pool = own & host.shared_pool or own & host.usable_cpus or own
        pins.update({vcpu: now.pins.get(vcpu) or pool for vcpu in run})
    return PlanVm(
        name=vm.name,
        uuid=vm.uuid,
        host=host.name,
        cells=cells,
        pins=dict(sorted(pins.items())),
        shown=_shown(vm, len(cells)),
        emulator=now.emulator,
        iothreads=now.iothread_pins,
    )


@dataclass(slots=True)
class AsNow:
    """VMs where they are; those of one spec that are bound alike, on hosts alike, share what they are made of.

    Objects are known again by identity: keep the fleet alive as long as this.
    """

    _known: dict[Hashable, PlanVm] = field(default_factory=dict)

    def of(self, vm: Vm, host: Host) -> PlanVm | None:
        """Return `as_now` of a present VM."""
        now = vm.current
        if now is None or now.host != host.name:
            return None
        threads = (tuple(now.pins.items()), now.emulator, tuple(now.iothread_pins.items()))
        key = (id(vm.spec), room_key(host), now.nodes, now.memory_nodes, now.bound, threads)
        found = self._known.get(key)
        if found is not None:
            return replace(found, name=vm.name, uuid=vm.uuid, host=host.name)
        there = as_now(vm, host)
        if there is not None:
            self._known[key] = there
        return there


def places_now(fleet: Fleet) -> Iterator[tuple[Vm, PlanVm | None]]:
    """Yield each VM on a host that works with where it is, as a plan says it; None where that is not known of all its
    cells and vCPUs.
    """
    standing = AsNow()
    for vm in fleet.vms:
        if vm.current is not None and is_present(fleet, vm):
            at = standing.of(vm, fleet.host_by_name[vm.current.host])
            yield vm, at if at is not None and set(at.pins) == set(range(vm.spec.vcpus)) else None


def _loose(vm: Vm, host: Host) -> PlanVm:
    now, spec, topology = vm.current, vm.spec, host.topology
    assert now is not None
    sets = cell_sets(vm, topology)
    given = spec.cell_mode is CellMode.GIVEN and len(spec.cells) == len(sets)
    cells, pins = [], {}
    for number, one in enumerate(sets if given else sets[:1]):
        vcpus = spec.cells[number].vcpus if given else frozenset(range(spec.vcpus))
        kib = spec.cells[number].memory_kib if given else spec.memory_kib
        memory = [one.memory] if given else [each.memory for each in sets]
        cells.append(_cell(number, vcpus, kib, memory))
        own = frozenset().union(*(topology.node(node).cpus for node in one.cpus))
        pool = own & host.shared_pool or own & host.usable_cpus or own
        # One CPU alone would read as one of its own, which a dedicated vCPU that is pinned nowhere has not.
        wide = next((cpus for cpus in (pool, own) if len(cpus) > 1), topology.cpus)
        pins.update({vcpu: now.pins.get(vcpu) or (wide if spec.is_dedicated(vcpu) else pool) for vcpu in vcpus})
    return PlanVm(
        name=vm.name,
        uuid=vm.uuid,
        host=host.name,
        cells=tuple(cells),
        pins=dict(sorted(pins.items())),
        shown=_shown(vm, len(cells)),
        emulator=now.emulator,
        iothreads=now.iothread_pins,
        bound=bounds_now(vm),
    )


def _cell(number: int, vcpus: frozenset[int], kib: int, memory: list[frozenset[int]]) -> PlanCell:
    """Return a cell whose memory lies on one node, in equal parts on several, or where the kernel puts it."""
    mode: Literal["strict", "interleave", "floats"] = "floats"
    nodes: dict[int, int] = {}
    if all(len(one) == 1 for one in memory):
        mode = "strict" if len(memory) == 1 else "interleave"
        low, more = divmod(kib, len(memory))
        for part, one in enumerate(memory):
            node = min(one)
            nodes[node] = nodes.get(node, 0) + low + (part < more)
    return PlanCell(id=number, vcpus=vcpus, memory_kib=kib, mode=mode, nodes=nodes)


def _runs(vm: Vm, parts: int) -> list[tuple[int, ...]]:
    spec = vm.spec
    if spec.cell_mode is CellMode.GIVEN and len(spec.cells) == parts:
        return [tuple(sorted(cell.vcpus)) for cell in spec.cells]
    low, more = divmod(spec.vcpus, parts)
    out, first = [], 0
    for number in range(parts):
        size = low + (number < more)
        out.append(tuple(range(first, first + size)))
        first += size
    return out


def _shown(vm: Vm, cells: int) -> bool:
    mode = vm.spec.cell_mode
    return mode is CellMode.GIVEN or (mode is CellMode.AUTO and cells > 1)
