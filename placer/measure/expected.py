"""What VMs that float can be expected to reach over: their place is not known, so this is no part of the measure."""

from __future__ import annotations

from placer.measure.measure import TopologyRows, transfer_shares
from placer.measure.sets_taken import bound_memory
from placer.model.host import Topology
from placer.model.plan import PlanVm
from placer.model.sets import pages_in_eighths
from placer.model.vm import Vm


def expected_remote(vm: Vm, topology: Topology, planned: PlanVm) -> float:
    """Return the weighted remote access of a VM that floats, in vCPUs, if its vCPUs run on all their CPUs alike.

    E = weight × Σ_c U_c Σ_e T[c][e] Σ_i Σ_j p_i q_j (d[i][j] − 1), p the share of a vCPU's CPUs on node i, q that of a
    cell's memory on node j: where its pages lie now if that is known, in eighths of them, else in proportion to the
    memory of its nodes.
    """
    rows = TopologyRows(topology)
    memory = [_memory_shares(vm, topology, planned, number) for number in range(len(planned.cells))]
    sizes = [cell.memory_kib for cell in planned.cells]
    transfer = transfer_shares(sizes, vm.spec.locality if planned.shown else None)
    total = 0.0
    for shares, cell in zip(transfer, planned.cells, strict=True):
        for vcpu in cell.vcpus:
            for node, part in rows.node_shares(planned.pins[vcpu]):
                for share, spread in zip(shares, memory, strict=True):
                    total += part * share * rows.extra(spread, node)
    return vm.spec.weight * total


def binding_gain(vm: Vm, topology: Topology, planned: PlanVm) -> tuple[float, float] | None:
    """Return the weighted remote access (vCPUs) that a VM which floats can be expected to save bound to one node: once
    its memory is there, and at once on the node that is best then.

    None where it is bound, has CPUs of its own or several cells, or no node with CPUs is large enough for it alone.
    """
    if not planned.bound or len(planned.cells) != 1 or any(len(pin) == 1 for pin in planned.pins.values()):
        return None
    spec, rows = vm.spec, TopologyRows(topology)
    nodes = [n.id for n in topology.nodes if len(n.cpus) >= spec.vcpus and n.memory_kib >= spec.memory_kib > 0]
    if not nodes:
        return None
    lies = _memory_shares(vm, topology, planned, 0)
    soon = min(rows.extra(lies, node) for node in nodes)
    now = expected_remote(vm, topology, planned)
    return now, now - spec.weight * spec.vcpus * soon


def _memory_shares(vm: Vm, topology: Topology, planned: PlanVm, number: int) -> tuple[tuple[int, float], ...]:
    cell = planned.cells[number]
    stays = vm.current is not None and vm.current.host == planned.host
    known = pages_in_eighths(vm.current.memory_on) if vm.current is not None and stays else ()
    amounts: dict[int, int] = dict(cell.nodes) or dict(known)
    if not sum(amounts.values()):
        amounts = {node: topology.node(node).memory_kib for node in sorted(bound_memory(topology, planned, number))}
    whole = sum(amounts.values())
    return tuple((node, kib / whole if whole else 1 / len(amounts)) for node, kib in amounts.items())
