"""The measure: how far vCPUs are from their memory, computed from fleet and plan alone.

For a vCPU u of cell c on node i, with `d` the relative distances of the host, `T[c][e]` the share of the accesses of
cell c that goes to cell e's memory and `s[e][j]` the share of that memory on node j::

    distance(u)   = Σ_e T[c][e] Σ_j s[e][j] d[i][j]
    remote_access = Σ_vm weight(vm) Σ_u (distance(u) − 1 + Σ_devices (d[i][device node] − 1))

The devices are those that the VM would rather have near (policy ``preferred``), each of a request's `count` for itself.
A vCPU whose cpuset spans nodes counts by its CPUs. This file shares nothing with the compiler or the solvers.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from placer.measure.alike import PlaceNumbers
from placer.measure.sets_taken import Taken, taken_by
from placer.measure.spec_numbers import SpecNumbers
from placer.model.fleet import Fleet
from placer.model.host import LOCAL, UNREACHABLE, Host, Topology
from placer.model.plan import Plan, PlanCell, PlanVm
from placer.model.same_host import room_key
from placer.model.vm import CellMode, DeviceRequest, Vm, VmSpec

DEVICE_WEIGHT = 1.0
"""What a vCPU counts a preferred device for, against 1 for its memory."""

NodeShares = tuple[tuple[int, float], ...]
"""Node id and share, the shares adding up to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VmScore:
    """The measure of one VM.

    `extra_distance` is Σ_u (distance(u) − 1), `device_distance` the same for preferred devices, `remote_vcpus` Σ_u of
    the share of u's accesses that leave its node; all in vCPUs. `weight` counts in `remote_access` only. `known` says
    whether it is bound to one node a cell: of one that floats nobody knows what leaves its node.
    """

    vcpus: int
    extra_distance: float
    device_distance: float
    remote_vcpus: float
    weight: float
    known: bool = True

    @property
    def remote_access(self) -> float:
        """Weighted extra distance, devices included, in vCPU equivalents."""
        return self.weight * (self.extra_distance + DEVICE_WEIGHT * self.device_distance)

    @property
    def remote_share(self) -> float:
        """Share of the accesses that leave the node, 0 to 1."""
        return self.remote_vcpus / self.vcpus

    @property
    def locality_score(self) -> float:
        """100 × (1 − remote share)."""
        return 100.0 * (1.0 - self.remote_share)

    @property
    def mean_distance(self) -> float:
        """Mean distance of its vCPUs, 1 = all local."""
        return 1.0 + self.extra_distance / self.vcpus


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetScore:
    """The measure of all placed VMs.

    Shares and means are vCPU-weighted over the VMs whose place is known, None where there are none.
    """

    vms: Mapping[str, VmScore]
    vcpus: int
    remote_access: float
    device_access: float
    remote_share: float | None
    locality_score: float | None
    mean_distance: float | None


def score_fleet(fleet: Fleet, plan: Plan, cache: ScoreCache | None = None) -> FleetScore:
    """Return the measure of every placed VM and of the whole.

    VMs of one spec with cells and vCPUs on the same nodes of one topology are computed once and share their `VmScore`.

    Raises
    ------
    KeyError
        The plan names a VM, host, node or CPU that the fleet has not: `check` says which.
    """
    cache = cache if cache is not None else ScoreCache()
    vms = {
        vm.name: cache.score(fleet.vm_by_name[vm.name].spec, fleet.host_by_name[vm.host].topology, vm)
        for vm in plan.vms
    }
    return total_score(vms)


def total_score(vms: Mapping[str, VmScore]) -> FleetScore:
    """Add up the scores of VMs. The sums are exact before rounding, so the order of the VMs does not matter."""
    scores = vms.values()
    vcpus = sum(score.vcpus for score in scores if score.known)
    share = math.fsum(score.remote_vcpus for score in scores) / vcpus if vcpus else None
    return FleetScore(
        vms=vms,
        vcpus=sum(score.vcpus for score in scores),
        remote_access=math.fsum(score.remote_access for score in scores),
        device_access=math.fsum(score.weight * DEVICE_WEIGHT * score.device_distance for score in scores),
        remote_share=share,
        locality_score=None if share is None else 100.0 * (1.0 - share),
        mean_distance=1.0 + math.fsum(score.extra_distance for score in scores) / vcpus if vcpus else None,
    )


def access_shares(spec: VmSpec, vm: PlanVm) -> list[NodeShares]:
    """Return, a cell, to which nodes its vCPUs' accesses go: Σ_e T[c][e] s[e][j], a node j."""
    memory = [cell.memory_kib for cell in vm.cells]
    spread = [memory_shares(cell) for cell in vm.cells]
    out = []
    for row in transfer_shares(memory, spec.locality if vm.shown else None):
        nodes: dict[int, float] = {}
        for part, cell_nodes in zip(row, spread, strict=True):
            for node, share in cell_nodes:
                nodes[node] = nodes.get(node, 0.0) + part * share
        out.append(tuple(sorted((node, share) for node, share in nodes.items() if share)))
    return out


def transfer_shares(memory_kib: Sequence[int], locality: float | None) -> list[list[float]]:
    """Return T: for each cell the share of its accesses that goes to each cell's memory.

    `locality` λ: its own memory gets λ, the others 1 − λ in proportion to their size; None: all in proportion to size.
    Cells without any memory count as equal; a cell whose fellows have none keeps all its accesses.
    """
    cells = len(memory_kib)
    sizes = list(memory_kib) if sum(memory_kib) else [1] * cells
    total = sum(sizes)
    if locality is None or cells == 1:
        return [[size / total for size in sizes] for _ in sizes]
    rows = []
    for own, size in enumerate(sizes):
        others = total - size
        if others:
            rows.append([locality if e == own else (1.0 - locality) * sizes[e] / others for e in range(cells)])
        else:
            rows.append([1.0 if e == own else 0.0 for e in range(cells)])
    return rows


def memory_shares(cell: PlanCell) -> NodeShares:
    """Return s: the share of a cell's memory on each of its nodes; equal shares where it has none."""
    total = sum(cell.nodes.values())
    if not total:
        return tuple((node, 1.0 / len(cell.nodes)) for node in cell.nodes)
    return tuple((node, kib / total) for node, kib in cell.nodes.items())


def preferred_devices(spec: VmSpec, vm: PlanVm) -> tuple[tuple[int, int], ...]:
    """Return (node, devices) of the VM's devices that it would rather have near, as far as their nodes are known."""
    return tuple(
        (node, 1) for request, node in device_places(spec, vm) if request.policy == "preferred" and node is not None
    )


def device_places(spec: VmSpec, vm: PlanVm) -> Iterator[tuple[DeviceRequest, int | None]]:
    """Yield, a device, its request and the node it hangs on: those of a request stand together in a plan."""
    nodes = iter(vm.devices)
    for request, count in spec.device_requests(cells_for_devices(spec, vm)):
        for _, node in itertools.islice(nodes, count):
            yield request, node


def cells_for_devices(spec: VmSpec, vm: PlanVm) -> int:
    """Return how many cells have devices where these are counted by cell: those with vCPUs; a flat guest is one."""
    return 1 if spec.cell_mode is CellMode.NONE else sum(1 for cell in vm.cells if cell.vcpus)


class TopologyRows:
    """Distances of one topology by node id, and the nodes of its CPU sets."""

    __slots__ = ("_cpusets", "_node_of_cpu", "distance", "topology")

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        ids = topology.node_ids
        self.distance = {
            (i, j): min(figure, UNREACHABLE) / LOCAL
            for i, row in zip(ids, topology.distances, strict=True)
            for j, figure in zip(ids, row, strict=True)
        }
        self._node_of_cpu = topology.node_of_cpu
        self._cpusets: dict[frozenset[int], NodeShares] = {}

    def node_shares(self, cpus: frozenset[int]) -> NodeShares:
        """Return on which nodes the CPUs of a set lie, and what share of them on each."""
        found = self._cpusets.get(cpus)
        if found is None:
            count = Counter(self._node_of_cpu[cpu] for cpu in cpus)
            found = tuple((node, number / len(cpus)) for node, number in sorted(count.items()))
            self._cpusets[cpus] = found
        return found

    def extra(self, access: NodeShares, node: int) -> float:
        """Return the mean distance of accesses seen from a node, less 1: exactly 0 where all are local."""
        return sum(share * (self.distance[node, other] - 1.0) for other, share in access)


@dataclass(slots=True)
class ScoreCache:
    """Scores of VMs, each distinct (spec, topology, place) computed once.

    The cache keys objects by identity: keep the fleet alive as long as the cache.
    """

    specs: SpecNumbers = field(default_factory=SpecNumbers)
    places: PlaceNumbers = field(default_factory=PlaceNumbers)
    _rows: dict[int, TopologyRows] = field(default_factory=dict)
    _scores: dict[tuple[int, int, int], VmScore] = field(default_factory=dict)
    _by_nodes: dict[tuple[object, ...], VmScore] = field(default_factory=dict)
    _taken: dict[Hashable, Taken] = field(default_factory=dict)

    def taken(self, vm: Vm, host: Host, planned: PlanVm) -> Taken:
        """Return what a placed VM takes of its host: the same object for VMs alike, not to be changed."""
        spec = vm.spec
        online = (spec.vcpus_current, spec.offline_vcpus)
        key = (self.specs.of(spec), online, room_key(host), self.places.of(planned))
        found = self._taken.get(key)
        if found is None:
            found = self._taken[key] = taken_by(vm, host, planned)
        return found

    def rows(self, topology: Topology) -> TopologyRows:
        """Return the distances of a topology."""
        rows = self._rows.get(id(topology))
        if rows is None:
            rows = self._rows[id(topology)] = TopologyRows(topology)
        return rows

    def score(self, spec: VmSpec, topology: Topology, vm: PlanVm) -> VmScore:
        """Return the score of a placed VM; one that is not bound to one node a cell is known to be nowhere: 0."""
        if vm.bound:
            return VmScore(
                vcpus=spec.vcpus,
                extra_distance=0.0,
                device_distance=0.0,
                remote_vcpus=0.0,
                weight=spec.weight,
                known=False,
            )
        key = (self.specs.of(spec), id(topology), self.places.of(vm))
        found = self._scores.get(key)
        if found is None:
            found = self._scores[key] = self._score_by_nodes(spec, topology, vm)
        return found

    def _score_by_nodes(self, spec: VmSpec, topology: Topology, vm: PlanVm) -> VmScore:
        """Return the score of a VM: other CPUs of the same nodes give the same."""
        rows = self.rows(topology)
        nodes = rows.node_shares
        places = tuple([nodes(pin) for pin in vm.pins.values()])
        cells = tuple([(cell.vcpus, cell.memory_kib, tuple(cell.nodes.items())) for cell in vm.cells])
        key = (self.specs.of(spec), id(topology), vm.shown, cells, tuple(vm.pins), places, vm.devices)
        found = self._by_nodes.get(key)
        if found is None:
            found = self._by_nodes[key] = _score(spec, rows, vm)
        return found


def _score(spec: VmSpec, rows: TopologyRows, vm: PlanVm) -> VmScore:
    devices = preferred_devices(spec, vm)
    extra = away = near = 0.0
    for access, cell in zip(access_shares(spec, vm), vm.cells, strict=True):
        vcpus = Counter(rows.node_shares(vm.pins[vcpu]) for vcpu in cell.vcpus)
        for places, count in vcpus.items():
            for node, share in places:
                extra += count * share * rows.extra(access, node)
                away += count * share * sum(part for other, part in access if other != node)
                near += count * share * sum(number * (rows.distance[node, at] - 1.0) for at, number in devices)
    return VmScore(vcpus=spec.vcpus, extra_distance=extra, device_distance=near, remote_vcpus=away, weight=spec.weight)
