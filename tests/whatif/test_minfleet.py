"""The smallest fleet, on demands whose optimum is known by construction."""

from __future__ import annotations

import random

import pytest

from placer.errors import InputError
from placer.model.fleet import Fleet
from placer.model.host import Host, Node, Topology
from placer.model.vm import Cell, CellMode, Vm, VmSpec
from placer.whatif.minfleet import smallest_fleet

GIB = 1024 * 1024


def host(name: str, cpus: int, cost: float = 1.0) -> Host:
    """Return a host of two equal nodes without SMT."""
    half = cpus // 2
    nodes = tuple(Node(id=n, cpus=frozenset(range(n * half, (n + 1) * half)), memory_kib=64 * GIB) for n in range(2))
    topology = Topology(
        nodes=nodes, distances=((10.0, 21.0), (21.0, 10.0)), cores=tuple(frozenset({c}) for c in range(cpus))
    )
    return Host(name=name, topology=topology, cost=cost)


def vm(name: str, vcpus: int, cells: int = 1) -> Vm:
    """Return a VM of 1 GiB a cell that has so many equal cells."""
    each = vcpus // cells
    parts = tuple(Cell(vcpus=frozenset(range(n * each, (n + 1) * each)), memory_kib=GIB) for n in range(cells))
    spec = VmSpec(vcpus=vcpus, memory_kib=cells * GIB, cell_mode=CellMode.GIVEN, cells=parts, overhead_kib=0)
    return Vm(name=name, spec=spec)


def vms(*sizes: int) -> tuple[Vm, ...]:
    """Return VMs of so many vCPUs, 1 GiB each."""
    return tuple(
        Vm(name=f"v{n}", spec=VmSpec(vcpus=size, memory_kib=GIB, overhead_kib=0)) for n, size in enumerate(sizes)
    )


def test_hosts_that_are_filled_exactly() -> None:
    """Twelve VMs of 4 vCPUs fill exactly three hosts of 16 CPUs: 3, proven."""
    found = smallest_fleet(Fleet(hosts=(host("a", 16),), vms=vms(*[4] * 12)), ["a"])
    assert (found.hosts, found.cost, found.bound, found.status) == ({"a": 3}, 3, 3, "optimal")


def test_nodes_bind_where_cpus_alone_would_do() -> None:
    """Four VMs of 5 vCPUs, cells given, on nodes of 8: one a node, so 2 hosts although 20 CPUs would fit 32."""
    found = smallest_fleet(Fleet(hosts=(host("a", 16),), vms=vms(5, 5, 5, 5)), ["a"])
    assert (found.hosts, found.bound) == ({"a": 2}, 2)


def test_the_cheaper_shape_is_bought() -> None:
    """A host twice as large for 1.5 times the cost wins where it is filled."""
    found = smallest_fleet(
        Fleet(hosts=(host("small", 8), host("large", 16, 1.5)), vms=vms(*[4] * 8)), ["small", "large"]
    )
    assert (found.hosts, found.cost, found.status) == ({"small": 0, "large": 2}, 3.0, "optimal")


@pytest.mark.parametrize(("seed", "hosts"), [(0, 5), (1, 12), (2, 30)])
def test_generated_demands_that_fill_hosts_to_the_last_cpu(seed: int, hosts: int) -> None:
    """Nodes of 16 CPUs cut into VMs, some of two cells across both nodes: as many hosts as were cut, proven."""
    rng = random.Random(seed)
    made = []
    for number in range(hosts):
        left = [16, 16]
        if rng.random() < 0.7:
            each = rng.choice((2, 4, 6))
            left = [room - each for room in left]
            made.append(vm(f"{number}-wide", 2 * each, cells=2))
        for node, room in enumerate(left):
            while room:
                size = min(room, rng.choice((1, 2, 2, 3, 4, 4, 8)))
                room -= size
                made.append(vm(f"{number}-{node}-{room}", size))
    rng.shuffle(made)
    found = smallest_fleet(Fleet(hosts=(host("a", 32),), vms=tuple(made)), ["a"], time_limit_s=600)
    assert (found.hosts, found.cost, found.bound, found.status) == ({"a": hosts}, hosts, hosts, "optimal")
    assert len(found.plan.vms) == len(made)


def test_three_shapes_by_what_they_cost() -> None:
    """Twelve VMs of 8 vCPUs: a host of 32 CPUs for 3 is dearer a CPU than one of 16 for 1.4, which beats one of 8."""
    fleet = Fleet(hosts=(host("tiny", 8), host("middle", 16, 1.4), host("wide", 32, 3.0)), vms=vms(*[8] * 12))
    found = smallest_fleet(fleet, ["tiny", "middle", "wide"])
    # A host of 8 CPUs has nodes of 4: it holds none. Six hosts of 16 cost 8.4, three of 32 cost 9.
    assert (found.hosts, round(found.cost, 6), found.status) == ({"tiny": 0, "middle": 6, "wide": 0}, 8.4, "optimal")


def test_what_fits_no_shape_is_named() -> None:
    """A VM that no host of the shapes could hold is named, and so is a shape that is none."""
    fleet = Fleet(hosts=(host("a", 16),), vms=vms(31))
    with pytest.raises(InputError, match="'v0' among them"):
        smallest_fleet(fleet, ["a"])
    with pytest.raises(InputError, match="no host is named 'b'"):
        smallest_fleet(fleet, ["b"])
