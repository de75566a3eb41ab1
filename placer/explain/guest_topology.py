"""What a CPU topology tells a guest, held against the host's cores, L3 domains and nodes that its vCPUs are on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import comb

from placer.model.cpu_topology import CpuTopology, cut_sockets
from placer.model.host import Topology
from placer.model.plan import PlanVm

Distances = tuple[tuple[int, ...], ...]
"""A row a guest cell: 10 is its own memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TopologyChoice:
    """A topology that a guest may be shown. Pairs are of vCPUs whose place on the host is known.

    Attributes
    ----------
    sockets : what is licensed by socket counts these, and a guest that takes only so many leaves the rest idle.
    cut : sockets whose vCPUs lie in several guest cells, and not all of these cells.
    l3_false, l3_missed : pairs that the guest takes to share an L3 and that do not, and the other way round: a guest of
        QEMU sees an L3 a die, which is a socket unless dies are told.
    core_false, core_missed : the same for pairs that share a core.
    shown : it is what the guest sees, or will.
    advised : of all choices it tells the guest least that is wrong; of those alike it is the one shown, else the one
        with fewest sockets.
    """

    topology: CpuTopology
    sockets: int
    cut: int
    l3_false: int
    l3_missed: int
    core_false: int
    core_missed: int
    shown: bool = False
    advised: bool = False

    @property
    def wrong(self) -> tuple[int, int, int]:
        """What is wrong in it, the worst kind first: cut sockets, pairs of a core, pairs of an L3."""
        return self.cut, self.core_false + self.core_missed, self.l3_false + self.l3_missed


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestTopology:
    """A VM's choices of topology on its planned host, what it is shown first.

    `cells` is how many cells the guest sees, `nodes` on how many nodes of its host its vCPUs may run; `known_cores` and
    `known_l3` how many vCPUs have a core, or an L3 domain, that they never leave. `told` are the distances between its
    cells that the guest is told, `real` those of the nodes that they are on; None where it has one cell or is told
    none.
    """

    name: str
    host: str
    vcpus: int
    cells: int
    nodes: int
    known_cores: int
    known_l3: int
    choices: tuple[TopologyChoice, ...]
    told: Distances | None = None
    real: Distances | None = None


def guest_topologies(vm: PlanVm, host: Topology, shown: CpuTopology) -> GuestTopology:
    """Return what each topology that is worth a thought would tell the guest.

    These are the one it is shown, one socket, a socket a cell, a socket an L3 domain and a socket a vCPU, each with one
    thread a core and with as many as the host has.
    """
    cores = _places(vm, host.core_of_cpu)
    caches = _places(vm, host.l3_of_cpu)
    choices = []
    for topology in dict.fromkeys((shown, *_candidates(vm, host, caches))):
        die = topology.cores * topology.clusters * topology.threads
        l3_false, l3_missed = _pairs(caches, die)
        core_false, core_missed = _pairs(cores, topology.threads)
        choices.append(
            TopologyChoice(
                topology=topology,
                sockets=topology.sockets,
                cut=_cut(vm, die * topology.dies),
                l3_false=l3_false,
                l3_missed=l3_missed,
                core_false=core_false,
                core_missed=core_missed,
                shown=topology == shown,
            )
        )
    best = min(choices, key=lambda one: (one.wrong, not one.shown, one.sockets))
    node_of = host.node_of_cpu
    return GuestTopology(
        name=vm.name,
        host=vm.host,
        vcpus=len(vm.pins),
        cells=len(vm.cells) if vm.shown else 1,
        nodes=len({node_of[cpu] for cpus in vm.pins.values() for cpu in cpus if cpu in node_of}),
        known_cores=len(cores),
        known_l3=len(caches),
        choices=tuple(replace(one, advised=one is best) for one in choices),
    )


def _candidates(vm: PlanVm, host: Topology, caches: Mapping[int, int]) -> Iterator[CpuTopology]:
    vcpus = len(vm.pins)
    widths = {len(core) for core in host.cores}
    cells = sum(1 for cell in vm.cells if cell.vcpus)
    for sockets in (1, cells, len(set(caches.values())), vcpus):
        for threads in sorted({1, *widths}, reverse=True):
            if sockets and vcpus % (sockets * threads) == 0:
                yield CpuTopology(sockets=sockets, cores=vcpus // sockets // threads, threads=threads)


def _places(vm: PlanVm, place_of: Mapping[int, int]) -> dict[int, int]:
    """Return vCPU -> the one core or domain that holds all the CPUs it may run on."""
    found = {}
    for vcpu, cpus in vm.pins.items():
        where = {place_of.get(cpu, -1) for cpu in cpus}
        if len(where) == 1 and -1 not in where:
            found[vcpu] = where.pop()
    return found


def _pairs(places: Mapping[int, int], size: int) -> tuple[int, int]:
    """Return how many pairs the guest takes to be together and are not, and the other way round.

    Runs of `size` vCPUs are together to the guest.
    """
    guest = Counter(vcpu // size for vcpu in places)
    host = Counter(places.values())
    both = Counter((vcpu // size, place) for vcpu, place in places.items())
    right = sum(comb(count, 2) for count in both.values())
    return sum(comb(n, 2) for n in guest.values()) - right, sum(comb(n, 2) for n in host.values()) - right


def _cut(vm: PlanVm, size: int) -> int:
    """Return how many sockets of `size` vCPUs the cells that the guest sees cut."""
    cells = [cell.vcpus for cell in vm.cells if cell.vcpus] if vm.shown else []
    return sum(1 for _ in cut_sockets(cells, len(vm.pins), size))
