"""Check a VM's cells: those its spec allows, memory as libvirt can enforce it, each cell whole on one node."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from placer.measure.measure import NodeShares, ScoreCache, access_shares
from placer.measure.moved import has_fixed_pins
from placer.model.core_pairs import one_each
from placer.model.host import UNREACHABLE, NodeKind, Topology
from placer.model.plan import PlanCell, PlanVm
from placer.model.sets import bounds_now, known_nodes
from placer.model.vm import MAX_AUTO_CELLS, Bound, CellMode, CpuPolicy, PinPolicy, Vm, VmSpec

SMALLEST_PAGE_KIB = 4
"""The unit in which an ``auto`` VM's ordinary memory must divide by its cells."""

Messages = tuple[tuple[str, str], ...]
"""(field, what is wrong) pairs."""


@dataclass(slots=True)
class CellChecker:
    """Checks cells; VMs alike in spec, host topology and nodes are checked once.

    The cache keys objects by identity: keep the fleet alive as long as the checker.
    """

    scores: ScoreCache
    _by_place: dict[tuple[object, ...], Messages] = field(default_factory=dict)
    _by_nodes: dict[tuple[object, ...], Messages] = field(default_factory=dict)

    def messages(self, vm: Vm, topology: Topology, planned: PlanVm, *, kept: bool) -> Messages:
        """Return all that is wrong with a VM's cells.

        The VM's pins must name every vCPU and only CPUs of the host. `kept` says that the VM is on these nodes already:
        an odd place that it has now may stay.
        """
        locked = locked_cells(vm)
        rest = (kept, locked, has_fixed_pins(vm, planned))
        spec = self.scores.specs.of(vm.spec)
        here = (spec, id(topology), self.scores.places.of(planned), rest)
        found = self._by_place.get(here)
        if found is None:
            node_shares = self.scores.rows(topology).node_shares
            nodes = tuple([node_shares(pin) for pin in planned.pins.values()])
            cells = tuple([(c.id, c.vcpus, c.memory_kib, c.mode, tuple(c.nodes.items())) for c in planned.cells])
            key = (spec, id(topology), planned.shown, cells, tuple(planned.pins), nodes, rest)
            if planned.bound:
                return tuple(self._check(vm, topology, planned, kept, locked))
            found = self._by_nodes.get(key)
            if found is None:
                found = self._by_nodes[key] = tuple(self._check(vm, topology, planned, kept, locked))
            self._by_place[here] = found
        return found + tuple(_new_cells(vm, planned))

    def _check(
        self, vm: Vm, topology: Topology, planned: PlanVm, kept: bool, locked: int | None
    ) -> Iterator[tuple[str, str]]:
        spec = vm.spec
        wrong = list(_layout(spec, planned))
        yield from wrong
        if wrong:
            return
        if planned.bound:
            yield from _bound(vm, topology, planned)
            return
        yield from _as_spec(spec, planned, locked)
        for cell in planned.cells:
            where = f"cells[{cell.id}]"
            for message in _memory(spec, topology, cell, kept):
                yield f"{where}.nodes", message
        if planned.shown is not _shown(spec, planned):
            yield (
                "shown",
                f"says that the guest {'sees' if planned.shown else 'does not see'} its cells, and it is the other way",
            )
        if not has_fixed_pins(vm, planned):
            rows = self.scores.rows(topology)
            nodes = [Counter(rows.node_shares(planned.pins[vcpu]) for vcpu in cell.vcpus) for cell in planned.cells]
            far = {node.id for node in topology.nodes if node.kind is NodeKind.MEMORY_ONLY}
            yield from _cpu_nodes(spec, planned, nodes, kept, far)
        if not kept:
            yield from self._reachable(spec, topology, planned)

    def _reachable(self, spec: VmSpec, topology: Topology, planned: PlanVm) -> Iterator[tuple[str, str]]:
        if all(figure < UNREACHABLE for row in topology.distances for figure in row):
            return
        rows = self.scores.rows(topology)
        far = {
            (i, j)
            for i, row in zip(topology.node_ids, topology.distances, strict=True)
            for j, figure in zip(topology.node_ids, row, strict=True)
            if figure >= UNREACHABLE
        }
        for access, cell in zip(access_shares(spec, planned), planned.cells, strict=True):
            seen = {node for vcpu in cell.vcpus for node, _ in rows.node_shares(planned.pins[vcpu])}
            for i, j in sorted((node, other) for node in seen for other, _ in access if (node, other) in far):
                yield f"cells[{cell.id}].nodes", f"its vCPUs on node {i} cannot reach memory on node {j}"


def locked_cells(vm: Vm) -> int | None:
    """Return how many cells an ``auto`` VM must have since its guest runs with them, None where that is open."""
    if vm.spec.cell_mode is not CellMode.AUTO or vm.spec.reshape or vm.current is None or vm.current.nodes is None:
        return None
    return len(vm.current.nodes)


def _bound(vm: Vm, topology: Topology, planned: PlanVm) -> Iterator[tuple[str, str]]:
    """A VM that is not bound to one node a cell keeps what it is bound to, or floats over a host that it comes to."""
    stays = vm.current is not None and vm.current.host == planned.host
    if stays:
        if planned.bound != bounds_now(vm):
            yield "bound", "is bound to other nodes than now: on its host a VM keeps its sets, or is bound to nodes"
        for vcpu, cpus in sorted((vm.current.pins if vm.current else {}).items()):
            if planned.pins.get(vcpu) != cpus:
                yield f"pins.{vcpu}", f"is not bound to one node a cell, and vCPU {vcpu} gets another cpuset"
                break
    elif vm.pin is PinPolicy.ALLOWED and not _may_float(vm):
        yield "bound", "floats, and its vCPUs and memory are bound to nodes now, or are to be"
    elif lost := [vcpu for vcpu in _wide(planned) if _has_own_cpu(vm, vcpu)]:
        yield f"pins.{min(lost)}", f"dedicated vCPU {min(lost)} has a CPU of its own now, and floats"
    if not stays:
        yield from _like_sets(vm, topology, planned)
    given = [(cell.vcpus, cell.memory_kib) for cell in vm.spec.cells]
    if vm.spec.cell_mode is CellMode.GIVEN and [(c.vcpus, c.memory_kib) for c in planned.cells] != given:
        yield "cells", "its cells are not those of its guest"
    if sum(cell.memory_kib for cell in planned.cells) != vm.spec.memory_kib:
        yield "cells", f"its cells do not hold the {vm.spec.memory_kib} KiB that it has"
    for cell in planned.cells:
        if cell.mode != "floats" and sum(cell.nodes.values()) != cell.memory_kib:
            yield f"cells[{cell.id}].nodes", f"{sum(cell.nodes.values())} KiB lie on nodes, not {cell.memory_kib}"
    if any(not cpus <= topology.cpus for cpus in planned.pins.values()):
        yield "pins", "names CPUs that the host has not"


def _like_sets(vm: Vm, topology: Topology, planned: PlanVm) -> Iterator[tuple[str, str]]:
    """On a host that it comes to a VM is bound to as many nodes as it is now, or to none, so to nothing that nobody
    asked for; and its vCPUs run on the nodes that it is bound to.
    """
    now = bounds_now(vm)
    for number, one in enumerate(planned.bound):
        mine = now[number] if len(now) == len(planned.bound) else Bound()
        for what, nodes, had in (("CPUs", one.cpus, mine.cpus), ("memory", one.memory, mine.memory)):
            if nodes is not None and (had is None or len(nodes) != len(had)):
                yield "bound", f"its {what} are bound to {len(nodes)} nodes of a host that it comes to, and not now"
        if one.wish and len(one.wish) != len(mine.wish):
            yield "bound", f"its memory rather lies on {len(one.wish)} nodes of a host that it comes to, and not now"
    for number, cell in enumerate(planned.cells):
        bound = planned.bound[number if len(planned.bound) > 1 else 0].cpus
        runs = {topology.node_of_cpu.get(cpu) for vcpu in cell.vcpus for cpu in planned.pins[vcpu]}
        if bound is not None and not runs <= bound:
            yield "pins", f"vCPUs of cell {cell.id} may run beside the nodes that they are bound to"


def _has_own_cpu(vm: Vm, vcpu: int) -> bool:
    """Tell whether a dedicated vCPU is pinned to one CPU where the VM runs, or with others to the threads of a core."""
    pins = one_each(vm.current.pins) if vm.current is not None else {}
    return len(pins.get(vcpu, ())) == 1 and vm.spec.is_dedicated(vcpu)


def _wide(planned: PlanVm) -> list[int]:
    """Return the vCPUs that have no CPU of their own in the plan."""
    return [vcpu for vcpu, pin in one_each(planned.pins).items() if len(pin) > 1]


def _may_float(vm: Vm) -> bool:
    """Tell whether a VM may float over a host that it comes to: it does now, or it is new and has no CPU of its own."""
    if vm.current is None:
        return vm.spec.cpu_policy is CpuPolicy.SHARED and vm.spec.page_kib is None and not vm.spec.devices
    return known_nodes(vm) is None


def _layout(spec: VmSpec, planned: PlanVm) -> Iterator[tuple[str, str]]:
    """Cells are numbered from 0, and every vCPU is in exactly one."""
    ids = [cell.id for cell in planned.cells]
    if not ids or ids != list(range(len(ids))):
        yield "cells", f"cells are numbered {ids}, not from 0 without gaps"
    inside = Counter(vcpu for cell in planned.cells for vcpu in cell.vcpus)
    if inside.keys() != set(range(spec.vcpus)) or max(inside.values(), default=1) > 1:
        yield "cells", f"the cells do not hold each of its {spec.vcpus} vCPUs exactly once"


def _as_spec(spec: VmSpec, planned: PlanVm, locked: int | None) -> Iterator[tuple[str, str]]:
    """Cells are those that the guest has, or equal ones where the solver may choose."""
    given = [(cell.vcpus, cell.memory_kib, spec.page_of(number) or 1) for number, cell in enumerate(spec.cells)]
    cells = planned.cells
    if given:
        same = len(cells) == len(given) and all(
            cell.vcpus == vcpus and cell.memory_kib in (kib, -(-kib // page) * page)
            for cell, (vcpus, kib, page) in zip(cells, given, strict=True)
        )
        if not same and not (spec.reshape and planned.new_cells):
            what = "one flat guest" if spec.cell_mode is CellMode.NONE else f"{len(given)} given cells"
            yield "cells", f"its cells are not those of its guest ({what}), and it may not be reshaped"
        if same or not spec.reshape:
            return
    if locked is not None and len(cells) != locked:
        yield "cells", f"has {len(cells)} cells, and its guest is running with {locked}; it may not be reshaped"
    yield from _equal_cells(spec, cells)


def _equal_cells(spec: VmSpec, cells: tuple[PlanCell, ...]) -> Iterator[tuple[str, str]]:
    """Cells that the solver chose: k equal ones, k <= 8, dividing the vCPUs and the memory in pages."""
    k, page = len(cells), spec.page_kib or SMALLEST_PAGE_KIB
    pages = -(-spec.memory_kib // page)
    if k > MAX_AUTO_CELLS:
        yield "cells", f"has {k} cells, more than {MAX_AUTO_CELLS}"
    if spec.vcpus % k or any(len(cell.vcpus) * k != spec.vcpus for cell in cells):
        yield "cells", f"{k} cells do not share its {spec.vcpus} vCPUs equally"
    if k > 1 and (pages % k or any(-(-cell.memory_kib // page) * k != pages for cell in cells)):
        yield "cells", f"{k} cells do not share its {pages} pages of {page} KiB equally"
    if sum(cell.memory_kib for cell in cells) not in (spec.memory_kib, pages * page):
        yield "cells", f"the cells hold {sum(c.memory_kib for c in cells)} KiB, the VM has {spec.memory_kib} KiB"


def _memory(spec: VmSpec, topology: Topology, cell: PlanCell, kept: bool) -> Iterator[str]:
    """A cell's memory is whole on one node, or in equal parts on several where asked, on nodes that may hold it."""
    kinds = {node.id: node.kind for node in topology.nodes}
    for node in cell.nodes:
        if node not in kinds:
            yield f"the host has no node {node}"
        elif kinds[node] is NodeKind.DEVICE and not kept:
            yield f"node {node} is a device's memory, which is never planned for"
        elif kinds[node] is NodeKind.MEMORY_ONLY and cell.vcpus and spec.memory_tier != "any" and not kept:
            yield f"node {node} has memory only, and the VM does not say memory_tier: any"
    if sum(cell.nodes.values()) != cell.memory_kib:
        yield f"{sum(cell.nodes.values())} KiB lie on nodes, the cell has {cell.memory_kib} KiB"
    if cell.mode == "strict":
        if len(cell.nodes) != 1:
            yield f"strict memory lies on exactly one node, not on {len(cell.nodes)}"
        return
    if spec.cell_mode is not CellMode.NONE or spec.interleave < 2:
        yield "its memory is interleaved, which the VM does not ask for"
    elif len(cell.nodes) > spec.interleave or (len(cell.nodes) < spec.interleave and not kept):
        yield f"its memory lies on {len(cell.nodes)} nodes, and {spec.interleave} were asked for"
    if max(cell.nodes.values()) - min(cell.nodes.values()) > (spec.page_kib or SMALLEST_PAGE_KIB):
        yield "interleaved memory lies in equal parts on its nodes, and these are not equal"


def _cpu_nodes(
    spec: VmSpec, planned: PlanVm, nodes: list[Counter[NodeShares]], kept: bool, far: set[int]
) -> Iterator[tuple[str, str]]:
    """Each cell's vCPUs are on one node, the cells on distinct ones; an interleaved guest is spread evenly, but where
    some of its memory is on nodes without CPUs (`far`).
    """
    for cell, places in zip(planned.cells, nodes, strict=True):
        spanning = [place for place in places if len(place) > 1]
        if spanning:
            ids = [node for node, _ in spanning[0]]
            yield "pins", f"a vCPU of cell {cell.id} may run on nodes {ids}, not on one"
            return
    used = [Counter({place[0][0]: count for place, count in places.items()}) for places in nodes]
    if spec.cell_mode is CellMode.NONE and spec.interleave > 1:
        counts = used[0]
        if not (kept or far.isdisjoint(planned.cells[0].nodes)):
            # The parts on memory-only nodes run beside others: a node has the vCPUs of one part or of several.
            low, more = divmod(spec.vcpus, spec.interleave)
            fewest = sum(-(-count // (low + (more > 0))) for count in counts.values())
            most = sum(count // low for count in counts.values())
            if not fewest <= spec.interleave <= most:
                spread = ", ".join(f"{count} on node {node}" for node, count in sorted(counts.items()))
                yield "pins", f"its vCPUs are not those of {spec.interleave} equal parts: {spread}"
            return
        if not (kept or spec.share_node) and (
            len(counts) != min(spec.interleave, spec.vcpus) or max(counts.values()) - min(counts.values()) > 1
        ):
            spread = ", ".join(f"{count} on node {node}" for node, count in sorted(counts.items()))
            yield "pins", f"its vCPUs are not spread evenly over {spec.interleave} nodes: {spread}"
        return
    for cell, counts in zip(planned.cells, used, strict=True):
        if len(counts) > 1:
            yield "pins", f"the vCPUs of cell {cell.id} are on nodes {sorted(counts)}, not on one"
            return
    first: dict[int, int] = {}
    for cell, counts in zip(planned.cells, used, strict=True):
        if not counts and not cell.memory_kib:
            continue
        # A cell without vCPUs is where its memory is.
        node = next(iter(counts or cell.nodes))
        if node in first and not spec.share_node and not kept:
            yield (
                "pins",
                f"cells {first[node]} and {cell.id} are both on node {node}, and the VM does not say share_node",
            )
        first.setdefault(node, cell.id)


def _shown(spec: VmSpec, planned: PlanVm) -> bool:
    """Given cells are shown to the guest, chosen ones where there are several, a flat guest's never."""
    return spec.cell_mode is CellMode.GIVEN or len(planned.cells) > 1


def _new_cells(vm: Vm, planned: PlanVm) -> Iterator[tuple[str, str]]:
    """Cells are new where the solver chose them, and only there: export writes them into the guest."""
    spec = vm.spec
    if spec.cell_mode is not CellMode.AUTO:
        if planned.new_cells and not spec.reshape:
            yield "new_cells", "says that its cells are new, and they are its guest's own"
    elif vm.current is None:
        if not planned.new_cells:
            yield "new_cells", "says that its cells are not new, and the plan chose them"
    elif vm.current.nodes is not None and planned.new_cells is not (len(vm.current.nodes) != len(planned.cells)):
        counts = f"{len(vm.current.nodes)} cells now and {len(planned.cells)} planned"
        yield "new_cells", f"says new_cells {planned.new_cells}, with {counts}"
