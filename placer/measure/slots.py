"""Headroom: how many VMs of a flavor would still fit beside a plan, counted from what its hosts have left.

For k equal cells on distinct nodes, with b_i whole cells that fit on node i, sorted down, B their sum, as many VMs fit
as ``min over 0 <= r < k of floor((B − b_1 − … − b_r) / (k − r))``. Where not every node reaches every other's memory,
or one with CPUs has none of its own, the ways to place a VM are listed; how many fit is a small integer program.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from placer.measure.cpu_use import cpu_use, loose_pins, shared_vcpus
from placer.measure.memory_use import memory_taken
from placer.model.fleet import Fleet
from placer.model.goals import Policy
from placer.model.host import UNREACHABLE, Host, Node, NodeKind
from placer.model.memory_room import Pool, memory_room
from placer.model.plan import Plan, PlanVm
from placer.model.vm import EmulatorPolicy, ThreadPolicy, Vm, VmSpec

MOST_WAYS = 20_000
"""Above so many ways to place a VM on one host, how many fit there is not counted."""
BUDGET = 5.0
"""Deterministic seconds of CP-SAT for one host's integer program."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """What is counted: a VM of `cells` equal cells on distinct nodes, ordinary pages, nothing else; its vCPUs are
    ``dedicated``, ``shared``, or ``floating`` over the whole host as its memory is.
    """

    vcpus: int
    memory_kib: int
    cells: int
    policy: Policy = "dedicated"


def free_slots(fleet: Fleet, plan: Plan, slot: Slot) -> int | None:
    """Return how many more VMs fit on all hosts together beside the plan's, or None where that is not counted.

    Failed and drained hosts, and hosts without KVM, hold none. A flavor without memory takes no overhead either and
    fits wherever its CPUs do; others take the default overhead, each cell on a node's own memory or, where it has none,
    on a node's that it reaches. None where VMs are placed that are not bound to one node a cell, and where what takes
    CPUs nobody knows depends on which they are.
    """
    if any(planned.bound for planned in plan.vms):
        return None
    placed: dict[str, list[tuple[Vm, PlanVm]]] = {}
    for planned in plan.vms:
        placed.setdefault(planned.host, []).append((fleet.vm_by_name[planned.name], planned))
    total = 0
    rooms: dict[tuple[int, int, float], Mapping[Pool, int]] = {}
    known: dict[tuple[object, ...], int | None] = {}
    for host in fleet.hosts:
        if host.failed or not host.kvm or host.name in fleet.drained or slot.vcpus > host.widest_vm:
            continue
        key = (id(host.topology), id(host.reserve), host.memory_ratio)
        if key not in rooms:
            rooms[key] = memory_room(host)
        nodes = [node for node in host.topology.nodes if node.kind is NodeKind.NORMAL and node.cpus & host.usable_cpus]
        there = placed.get(host.name, ())
        unpinned = _unpinned(host, there)
        if unpinned is None:
            return None
        if slot.policy == "floating":
            total += _floating(host, there, unpinned, slot, rooms[key])
            continue
        cells = _cells(host, there, unpinned, slot, rooms[key])
        alike = (id(host.topology), tuple(node.id for node in nodes), tuple(sorted(cells.items(), key=str)))
        if alike not in known:
            known[alike] = _whole_vms(host, nodes, cells, slot)
        fits = known[alike]
        if fits is None:
            return None
        total += fits
    return total


_Cells = Mapping[tuple[str, int], int]
"""("CPUs" or "memory", node id) -> cells for which the node has enough of it."""


def _cells(
    host: Host, placed: Sequence[tuple[Vm, PlanVm]], unpinned: Counter[int], slot: Slot, room: Mapping[Pool, int]
) -> _Cells:
    """Return for how many cells each node of a host has CPUs and memory left beside the VMs placed there."""
    free = _free_memory(host, placed, room)
    use = cpu_use(host, placed)
    taken, floating = use.taken, shared_vcpus(use)
    memory = slot.memory_kib // slot.cells
    if slot.memory_kib:
        memory += -(-_overhead_kib(slot) // slot.cells)
    cells = {}
    for node in host.topology.nodes:
        shared = floating.get(node.id, 0.0)
        lost, own = unpinned[node.id], slot.policy == "dedicated"
        left = _free_cpus(host, node, taken, shared) - lost if own else _free_shares(host, node, taken, shared, lost)
        cells["CPUs", node.id] = max(0, int(left // (slot.vcpus // slot.cells)))
        if memory:
            cells["memory", node.id] = max(0, free.get((node.id, None), 0)) // memory
    return cells


def _unpinned(host: Host, placed: Sequence[tuple[Vm, PlanVm]]) -> Counter[int] | None:
    """Return the dedicated vCPUs of each node of which only the node is known: a CPU each that is not free.

    A plan pins every dedicated vCPU to one; of a fleet as it runs the pins need not be known. None where how much they
    take depends on which CPUs they have: thread policies, emulators with a CPU of their own, CPUs that not all may use.
    """
    node_of = host.topology.node_of_cpu
    out: Counter[int] = Counter()
    for vm, planned in placed:
        loose = loose_pins(vm, planned)
        if loose and not _takes_one_each(vm.spec, planned):
            return None
        out.update(node_of[min(pin)] for pin in loose)
    return None if out and host.dedicated_pool != host.shared_pool else out


def _takes_one_each(spec: VmSpec, planned: PlanVm) -> bool:
    own_emulator = spec.emulator_threads is EmulatorPolicy.ISOLATE and planned.emulator is None
    return spec.thread_policy is ThreadPolicy.PREFER and not own_emulator


def _free_memory(host: Host, placed: Sequence[tuple[Vm, PlanVm]], room: Mapping[Pool, int]) -> dict[Pool, int]:
    """Return what is left of the room of each pool (KiB) beside the VMs placed there; below 0 where it is over."""
    free = dict(room)
    for vm, planned in placed:
        for pool, kib in memory_taken(vm.spec, host.topology, planned):
            free[pool] = free.get(pool, 0) - kib
    return free


def _floating(
    host: Host, placed: Sequence[tuple[Vm, PlanVm]], unpinned: Counter[int], slot: Slot, room: Mapping[Pool, int]
) -> int:
    """Return how many VMs that float over a host fit, of its shared vCPUs and ordinary memory on all nodes together."""
    free = _free_memory(host, placed, room)
    use = cpu_use(host, placed)
    shared = shared_vcpus(use)
    runs = [node for node in host.topology.nodes if node.kind is NodeKind.NORMAL and node.cpus]
    vcpus = sum(_free_shares(host, node, use.taken, shared.get(node.id, 0.0), unpinned[node.id]) for node in runs)
    fits = int(vcpus // slot.vcpus)
    if slot.memory_kib:
        kib = sum(max(0, free.get((node, None), 0)) for node in host.topology.memory_nodes)
        fits = min(fits, kib // (slot.memory_kib + _overhead_kib(slot)))
    return fits


def _overhead_kib(slot: Slot) -> int:
    return VmSpec(vcpus=slot.vcpus, memory_kib=slot.memory_kib).overhead_taken_kib


def _free_shares(host: Host, node: Node, taken: set[int], shared: float, lost: int) -> Fraction:
    """Return how many more shared vCPUs a node carries at the host's overcommit; `lost` CPUs more are taken."""
    room = (len((host.shared_pool & node.cpus) - taken) - lost) * Fraction(str(host.cpu_ratio))
    return max(Fraction(0), room - Fraction(shared).limit_denominator(10**6))


def _whole_vms(host: Host, nodes: Sequence[Node], cells: _Cells, slot: Slot) -> int | None:
    """Return how many VMs can be made of so many cells a node, None where there are too many ways."""
    if not slot.memory_kib:
        return whole_vms([cells["CPUs", node.id] for node in nodes], slot.cells)
    ids, distances = host.topology.node_ids, host.topology.distances
    far = {
        (i, j) for i, row in zip(ids, distances, strict=True) for j, d in zip(ids, row, strict=True) if d >= UNREACHABLE
    }
    own = [node.id for node in nodes]
    if all(node.memory_kib for node in nodes) and not any(i in own and j in own for i, j in far):
        return whole_vms([min(cells["CPUs", i], cells["memory", i]) for i in own], slot.cells)
    lending = [node.id for node in host.topology.nodes if node.kind is NodeKind.NORMAL and node.memory_kib]
    pairs = [(node.id, j) for node in nodes for j in ([node.id] if node.memory_kib else lending)]
    pairs = [(i, j) for i, j in pairs if (i, j) not in far and cells["CPUs", i] and cells["memory", j]]
    ways = list(itertools.islice(_ways(pairs, slot.cells, far), MOST_WAYS + 1))
    return None if len(ways) > MOST_WAYS else _most(ways, cells)


_Way = tuple[tuple[int, int], ...]
"""The nodes of each cell's CPUs and of its memory."""


def _ways(pairs: Sequence[tuple[int, int]], count: int, far: set[tuple[int, int]], chosen: _Way = ()) -> Iterator[_Way]:
    """Yield the ways to place a VM: its cells' CPUs on distinct nodes that all reach the memory of each cell."""
    if len(chosen) == count:
        yield chosen
        return
    for number, (i, j) in enumerate(pairs):
        if all(i != a and (i, b) not in far and (a, j) not in far for a, b in chosen):
            yield from _ways(pairs[number + 1 :], count, far, (*chosen, (i, j)))


def _most(ways: Sequence[_Way], cells: _Cells) -> int | None:
    """Return how many VMs fit, each placed in one of these ways; None where that is not settled in its time."""
    if not ways:
        return 0
    from ortools.sat.python import cp_model

    model = cp_model.CpModel()
    takes: dict[tuple[str, int], list[cp_model.IntVar]] = {}
    counts = []
    for way in ways:
        many = model.new_int_var(0, min(min(cells["CPUs", i], cells["memory", j]) for i, j in way), "")
        counts.append(many)
        for i, j in way:
            takes.setdefault(("CPUs", i), []).append(many)
            takes.setdefault(("memory", j), []).append(many)
    for what, parts in takes.items():
        model.add(sum(parts) <= cells[what])
    model.maximize(sum(counts))
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.catch_sigint_signal = False  # the caller's: CP-SAT's own handler ends the process
    solver.parameters.max_deterministic_time = BUDGET
    return round(solver.objective_value) if solver.solve(model) == cp_model.OPTIMAL else None


def _free_cpus(host: Host, node: Node, taken: set[int], shared: float) -> int:
    """Return how many more CPUs of a node dedicated vCPUs may have, without crowding out the shared vCPUs there."""
    free = (host.dedicated_pool & node.cpus) - taken
    pool = host.shared_pool & node.cpus
    if not shared or not free & pool:
        return len(free)
    spare = len(pool - taken) - Fraction(shared).limit_denominator(10**6) / Fraction(host.cpu_ratio)
    # At least one CPU stays for them to float over.
    return len(free - pool) + min(len(free & pool), max(0, int(spare // 1)), len(pool - taken) - 1)


def whole_vms(cells: Iterable[int], per_vm: int) -> int:
    """Return how many VMs of `per_vm` cells on distinct nodes can be made of so many cells a node."""
    down = sorted(cells, reverse=True)
    if len(down) < per_vm:
        return 0
    return min(sum(down[skip:]) // (per_vm - skip) for skip in range(per_vm))
