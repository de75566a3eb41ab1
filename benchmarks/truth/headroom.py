"""Headroom in the reference model: VMs to come of one flavor, as many as fit beside all others."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from ortools.sat.python import cp_model

from benchmarks.truth.model import Expr, ReferenceModel, Take, forbidden, node_cpus
from benchmarks.truth.places import Place, memory_use, places
from benchmarks.truth.reads.reading import Host, Vm, equal_cells

MOST_SLOTS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Flavor:
    """What a headroom goal counts: a VM of equal cells with dedicated vCPUs; no memory: CPU slots alone."""

    vcpus: int
    memory_kib: int
    cells: int


def add_headroom(model: ReferenceModel, flavor: Flavor) -> None:
    """Count VMs to come: CPUs of their own, memory and overhead, cells on nodes that reach each other."""
    vm = flavor_vm(flavor)
    for host in model.inventory.hosts:
        if host.failed or forbidden(model.inventory, vm, host):
            continue
        cells: dict[int, list[Expr]] = defaultdict(list)
        for place in _slot_places(vm, host):
            count = model.model.new_int_var(0, MOST_SLOTS, f"slots {len(model.slot_choice)}")
            model.slot_choice.append((place, count))
            for node in place.cpu_nodes:
                cells[node].append(flavor.vcpus // flavor.cells * count)
            if flavor.memory_kib:
                for (nodes, size), kib in memory_use(vm, place).items():
                    model.memory[host.name, size].append(Take(nodes=nodes, vm=None, units=kib, var=count))
        for node, terms in cells.items():
            at: dict[int, cp_model.IntVar] = {}
            model.one_each(at, host.name, node_cpus(host, node) & host.dedicated, "slot", sum(terms))
            model.slots.update({(host.name, cpu): var for cpu, var in at.items()})


def _slot_places(vm: Vm, host: Host) -> Iterable[Place]:
    """Yield the places of a headroom VM; one without memory may have its cells on any nodes with CPUs, each choice of
    nodes once.
    """
    seen: set[frozenset[tuple[int, int]]] = set()
    if vm.memory_kib:
        for place in places(vm, host, False):
            key = frozenset(zip(place.cpu_nodes, place.memory_nodes, strict=True))
            if key not in seen:
                seen.add(key)
                yield place
        return
    nodes = [node.id for node in host.nodes if node.cpus & host.usable]
    if host.kvm:
        for chosen in itertools.combinations(nodes, len(vm.cells)):
            yield Place(host=host, cells=vm.cells, cpu_nodes=chosen, memory_nodes=chosen, device_nodes=())


def flavor_vm(flavor: Flavor) -> Vm:
    """Return the VM that a flavor of the goal headroom stands for."""
    return Vm(
        name="",
        vcpus=flavor.vcpus,
        memory_kib=flavor.memory_kib,
        auto=False,
        flat=False,
        cells=equal_cells(flavor.vcpus, flavor.memory_kib, flavor.cells),
        interleave=1,
        share_node=False,
        locality=None,
        page_kib=None,
        dedicated=frozenset(range(flavor.vcpus)),
        thread_policy="prefer",
        own_emulator=False,
        overhead_kib=128 * 1024 + -(-flavor.memory_kib // 512) + 8 * 1024 * flavor.vcpus,
        any_tier=False,
        weight=Fraction(1),
        priority=0,
        devices=(),
        resources={},
        labels={},
        kvm=True,
        reshape=False,
        host=None,
        nodes=None,
        memory_nodes=None,
        bound=(),
        pin="allowed",
        pins={},
        pins_fixed=False,
        emulator=None,
        movable="live",
        running=True,
        usage=None,
    )
