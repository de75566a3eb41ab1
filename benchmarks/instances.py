"""Fleets made to measure: the synthetic empty fleet, and hosts that a known set of VMs fills exactly."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from placer.model.fleet import Fleet
from placer.model.host import Host, Node, Reserve, Topology
from placer.model.vm import DEFAULT_LOCALITY, Cell, CellMode, ThreadPolicy, Vm, VmSpec

KIB_PER_GIB = 1 << 20

Kind = Literal["cpu", "memory", "hugepages", "threads"]
"""What fits exactly: CPUs alone; CPUs and memory; CPUs and 1 GiB pages; whole cores under mixed thread policies."""


def smt_topology(
    *,
    packages: int,
    nodes_per_package: int,
    cpus_per_node: int,
    memory_kib: int,
    pages: Mapping[int, int] | None = None,
    across: float = 32.0,
) -> Topology:
    """Return a host of alike nodes with SMT-2 cores, siblings numbered as Linux does (n and n + half).

    SLIT distances are 10, 12 within a package and `across` between packages.
    """
    nodes = packages * nodes_per_package
    cores = cpus_per_node // 2
    total = nodes * cores
    siblings = [frozenset((core, core + total)) for core in range(total)]
    cpus = [frozenset().union(*siblings[node * cores : (node + 1) * cores]) for node in range(nodes)]
    near = [node // nodes_per_package for node in range(nodes)]
    return Topology(
        nodes=tuple(
            Node(id=node, cpus=cpus[node], memory_kib=memory_kib, pages=dict(pages or {})) for node in range(nodes)
        ),
        distances=tuple(
            tuple(10.0 if i == j else 12.0 if near[i] == near[j] else across for j in range(nodes))
            for i in range(nodes)
        ),
        cores=tuple(siblings),
        packages=tuple(
            frozenset().union(*cpus[first : first + nodes_per_package]) for first in range(0, nodes, nodes_per_package)
        ),
    )


def cell_spec(
    cells: int,
    vcpus: int,
    memory_kib: int,
    *,
    page_kib: int | None = None,
    thread_policy: ThreadPolicy = ThreadPolicy.PREFER,
    labels: Mapping[str, str] | None = None,
) -> VmSpec:
    """Return a VM of equal cells, `vcpus` and `memory_kib` each; without overhead, so that sums come out exactly."""
    made = tuple(
        Cell(vcpus=frozenset(range(cell * vcpus, (cell + 1) * vcpus)), memory_kib=memory_kib) for cell in range(cells)
    )
    return VmSpec(
        vcpus=cells * vcpus,
        memory_kib=cells * memory_kib,
        cell_mode=CellMode.GIVEN if cells > 1 else CellMode.NONE,
        cells=made,
        overhead_kib=0,
        page_kib=page_kib,
        thread_policy=thread_policy,
        labels=dict(labels or {}),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    """Hosts of one kind: their share of the fleet in tenths, and CPUs a node kept for the host."""

    name: str
    tenths: int
    packages: int
    nodes_per_package: int
    cpus_per_node: int
    memory_gib: int
    reserved: int
    across: float


_SHAPES = (
    _Shape(
        name="two", tenths=4, packages=2, nodes_per_package=1, cpus_per_node=64, memory_gib=250, reserved=2, across=21.0
    ),
    _Shape(
        name="four",
        tenths=3,
        packages=4,
        nodes_per_package=1,
        cpus_per_node=32,
        memory_gib=124,
        reserved=1,
        across=21.0,
    ),
    _Shape(
        name="eight",
        tenths=3,
        packages=2,
        nodes_per_package=4,
        cpus_per_node=16,
        memory_gib=92,
        reserved=1,
        across=32.0,
    ),
)
_VCPUS = ((1, 6), (2, 14), (4, 22), (8, 18), (12, 4), (16, 10), (24, 3), (32, 3), (48, 1))
_GIB_PER_VCPU = ((2, 1), (4, 2), (8, 1))


def greenfield_hosts(hosts: int, labels: Sequence[Mapping[str, str]] = ({},)) -> tuple[Host, ...]:
    """Return hosts of 2, 4 and 8 nodes in shares 4:3:3; `labels` are dealt out one after the other."""
    made: list[Host] = []
    for shape in _SHAPES:
        topology = smt_topology(
            packages=shape.packages,
            nodes_per_package=shape.nodes_per_package,
            cpus_per_node=shape.cpus_per_node,
            memory_kib=shape.memory_gib * KIB_PER_GIB,
            across=shape.across,
        )
        kept: set[int] = set()
        for node in topology.nodes:
            own = sorted(node.cpus)
            kept |= {own[0], own[len(own) // 2]} if shape.reserved == 2 else {own[0]}
        reserve = Reserve(cpus=frozenset(kept))
        made += [
            Host(
                name=f"{shape.name}-{number}",
                topology=topology,
                reserve=reserve,
                labels=dict(labels[(len(made) + number - 1) % len(labels)]),
            )
            for number in range(1, hosts * shape.tenths // 10 + 1)
        ]
    return tuple(made)


def greenfield_specs(vms: int, locality: float | None) -> list[tuple[str, VmSpec, int]]:
    """Return 27 flavors as (name, spec, how many): 1 to 48 vCPUs with 2, 4 or 8 GiB each, cells left to the solver."""
    total = sum(weight * share for _, weight in _VCPUS for _, share in _GIB_PER_VCPU)
    made = []
    for vcpus, weight in _VCPUS:
        for gib, share in _GIB_PER_VCPU:
            spec = VmSpec(vcpus=vcpus, memory_kib=vcpus * gib * KIB_PER_GIB, locality=locality, overhead_kib=0)
            made.append((f"c{vcpus}m{vcpus * gib}", spec, round(vms * weight * share / total)))
    return made


def greenfield_fleet(hosts: int, vms: int, *, locality: float | None = DEFAULT_LOCALITY) -> Fleet:
    """Return an empty fleet and VMs for it; `locality` None is uniform. Counts are rounded a flavor."""
    made = tuple(
        Vm(name=f"{name}-{number}", spec=spec)
        for name, spec, count in greenfield_specs(vms, locality)
        for number in range(1, count + 1)
    )
    return Fleet(hosts=greenfield_hosts(hosts), vms=made)


NODE_CPUS = 32
NODE_GIB = 128
_PACKAGES, _NODES_PER_PACKAGE = 2, 2
_SIZES = (1, 2, 2, 4, 4, 4, 8, 8, 12, 16)
_CORES = (1, 1, 2, 2, 2, 4, 4, 6, 8)
_CELL_VCPUS = (2, 4, 4, 6, 8)


@dataclass(frozen=True, slots=True)
class _Piece:
    """A VM as it was cut: where it came from is forgotten. `taken` are the CPUs it takes, idle siblings included."""

    cells: int
    vcpus: int
    gib: int
    policy: ThreadPolicy = ThreadPolicy.PREFER

    @property
    def taken(self) -> int:
        return self.cells * self.vcpus * (2 if self.policy is ThreadPolicy.ISOLATE else 1)


def exact_fit_fleet(*, seed: int, hosts: int, kind: Kind, load: float = 1.0, two_cell_share: float = 0.2) -> Fleet:
    """Return hosts of 2 packages x 2 nodes x 32 CPUs and VMs cut from them, so that all fit at `load` 1.0 exactly.

    Every two-cell VM is cut from the two nodes of one package, so a plan with no access across packages exists.
    Below 1.0, VMs drawn at random are left out until the CPUs taken are at most that share.
    """
    random_ = random.Random(f"{seed} {kind} {two_cell_share}")
    pieces: list[_Piece] = []
    for _ in range(hosts):
        pieces += _cut_host(random_, kind, two_cell_share)
    random_.shuffle(pieces)
    total = sum(piece.taken for piece in pieces)
    taken = total
    while taken > load * total:
        taken -= pieces.pop().taken
    pages = {KIB_PER_GIB: NODE_GIB} if kind == "hugepages" else None
    memory_gib = 2 * NODE_GIB if kind in ("cpu", "threads") else NODE_GIB + (8 if kind == "hugepages" else 0)
    topology = smt_topology(
        packages=_PACKAGES,
        nodes_per_package=_NODES_PER_PACKAGE,
        cpus_per_node=NODE_CPUS,
        memory_kib=memory_gib * KIB_PER_GIB,
        pages=pages,
    )
    specs = {
        piece: cell_spec(
            piece.cells,
            piece.vcpus,
            piece.gib * KIB_PER_GIB,
            page_kib=KIB_PER_GIB if kind == "hugepages" else None,
            thread_policy=piece.policy,
        )
        for piece in dict.fromkeys(pieces)
    }
    return Fleet(
        hosts=tuple(Host(name=f"host-{number}", topology=topology) for number in range(hosts)),
        vms=tuple(Vm(name=f"vm-{number}", spec=specs[piece]) for number, piece in enumerate(pieces)),
    )


def _cut_host(random_: random.Random, kind: Kind, two_cell_share: float) -> list[_Piece]:
    """Cut one host: two-cell VMs from both nodes of a package first, then each node's rest into one-cell VMs."""
    found: list[_Piece] = []
    for _ in range(_PACKAGES):
        left = [NODE_CPUS] * _NODES_PER_PACKAGE
        wide = [random_.choice(_CELL_VCPUS) for _ in range(8) if random_.random() < two_cell_share]
        for vcpus in wide:
            if left[0] >= vcpus + 2:
                left = [free - vcpus for free in left]
                found.append(_Piece(2, vcpus, 4 * vcpus))
        for free in left:
            found += _cut_cores(random_, free // 2) if kind == "threads" else _cut_node(random_, free, kind)
    return found


def _cut_node(random_: random.Random, free: int, kind: Kind) -> list[_Piece]:
    sizes: list[int] = []
    while free:
        sizes.append(random_.choice([size for size in _SIZES if size <= free]))
        free -= sizes[-1]
    if kind == "cpu":
        return [_Piece(1, vcpus, 4 * vcpus) for vcpus in sizes]
    # Pairs of one size share their memory 1:3, so that the sum stays what the node has and flavors stay few.
    found: list[_Piece] = []
    for vcpus in sorted(set(sizes)):
        many = sizes.count(vcpus)
        for _ in range(many // 2):
            lean = random_.random() < 0.8
            found += [_Piece(1, vcpus, (2 if lean else 4) * vcpus), _Piece(1, vcpus, (6 if lean else 4) * vcpus)]
        found += [_Piece(1, vcpus, 4 * vcpus)] * (many % 2)
    return found


def _cut_cores(random_: random.Random, cores: int) -> list[_Piece]:
    """Cut whole cores: a VM that isolates has one vCPU a core, the others two."""
    found: list[_Piece] = []
    while cores:
        size = random_.choice([size for size in _CORES if size <= cores])
        policy = random_.choice(tuple(ThreadPolicy))
        vcpus = size if policy is ThreadPolicy.ISOLATE else 2 * size
        found.append(_Piece(1, vcpus, 4 * size, policy))
        cores -= size
    return found
