"""Problems built directly as numbers: the synthetic fleet, live fleets, vector packing, and small random ones.

The engines' tests and their timing runs share these. `placer.planning.compile` builds the same kind of Problem from an
inventory; here nothing of `placer` is used, so that the engines can be tested alone.
"""

from __future__ import annotations

import csv
import itertools
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from solvers.objective import Changes, HostCosts, Objective, PlacementCosts, Unplaced
from solvers.problem import COST_UNIT, Flavor, HostClass, IntArray, MoveBudget, Problem, Shape

VCPUS = ((1, 6), (2, 14), (4, 22), (8, 18), (12, 4), (16, 10), (24, 3), (32, 3), (48, 1))
RATIOS = ((2, 1), (4, 2), (8, 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeGrid:
    """A host shape: nodes alike, free CPUs and memory (GiB) a node, nodes per package, distances (SLIT)."""

    name: str
    nodes: int
    cpus: int
    memory_gib: int
    per_package: int

    def distances(self) -> IntArray:
        """Return (nodes, nodes): 10 local, 12 in a package, 21 or (several packages of several nodes) 32 across."""
        far = 21 if self.per_package == 1 else 32
        rows = [
            [10 if i == j else 12 if i // self.per_package == j // self.per_package else far for j in range(self.nodes)]
            for i in range(self.nodes)
        ]
        return np.array(rows, dtype=np.int64)


TWO = NodeGrid(name="two", nodes=2, cpus=62, memory_gib=250, per_package=1)
FOUR = NodeGrid(name="four", nodes=4, cpus=31, memory_gib=124, per_package=1)
EIGHT = NodeGrid(name="eight", nodes=8, cpus=15, memory_gib=92, per_package=4)
SHARES = ((TWO, 4), (FOUR, 3), (EIGHT, 3))


def remote_cost(vcpus: int, nodes: Sequence[int], distances: IntArray, locality: float | None) -> int:
    """Return the cost (1e-6 vCPU) of equal cells on `nodes`; `locality` None is uniform."""
    cells = len(nodes)
    inner = distances[np.ix_(nodes, nodes)] / 10.0 - 1.0
    if cells == 1:
        return 0
    share = 1.0 / cells if locality is None else (1.0 - locality) / (cells - 1)
    return round(COST_UNIT * vcpus / cells * share * float(inner.sum()))


def grid_shape(grid: NodeGrid, sizes: Sequence[tuple[int, int]], locality: float | None) -> Shape:
    """Build the shape with placements of every flavor (vCPUs, memory in GiB): k equal cells, k <= 8, on distinct
    nodes.
    """
    distances = grid.distances()
    flavor, use, cost, touches = [], [], [], []
    for index, (vcpus, memory) in enumerate(sizes):
        for cells in (k for k in range(1, min(8, grid.nodes) + 1) if vcpus % k == 0 and memory * 1024 % k == 0):
            if vcpus // cells > grid.cpus or memory > grid.memory_gib * cells:
                continue
            for nodes in itertools.combinations(range(grid.nodes), cells):
                row = np.zeros(2 * grid.nodes, dtype=np.int64)
                on = np.zeros(grid.nodes, dtype=np.bool_)
                for node in nodes:
                    row[2 * node], row[2 * node + 1] = vcpus // cells, memory * 1024 // cells
                    on[node] = True
                flavor.append(index)
                use.append(row)
                cost.append(remote_cost(vcpus, nodes, distances, locality))
                touches.append(on)
    names = tuple((node, resource) for node in range(grid.nodes) for resource in ("cpu", "memory"))
    return Shape(
        name=grid.name,
        nodes=grid.nodes,
        row_names=names,
        flavor=np.array(flavor, dtype=np.int64),
        use=np.array(use, dtype=np.int64),
        cost={"remote": np.array(cost, dtype=np.int64)},
        touches=np.array(touches, dtype=np.bool_),
        stay_only=np.zeros(len(flavor), dtype=np.bool_),
    )


def grid_chains(grid: NodeGrid, shape: Shape) -> tuple[IntArray, ...]:
    """Return the orders of equal nodes inside a package and of whole packages, by CPUs taken then memory."""
    weight = np.zeros((grid.nodes, shape.placements), dtype=np.int64)
    for node in range(grid.nodes):
        weight[node] = shape.use[:, 2 * node] * 4096 + shape.use[:, 2 * node + 1] // 1024
    if grid.per_package == 1:
        return (weight,)
    inside = [weight[first : first + grid.per_package] for first in range(0, grid.nodes, grid.per_package)]
    return (*inside, np.array([part.sum(axis=0) for part in inside]))


def placed_goals(flavors: Sequence[Flavor]) -> tuple[Objective, Objective]:
    """Return the two objectives of the goal ``placed`` for one priority: vCPUs unplaced, then VMs unplaced."""
    vcpus = np.array([0 if flavor.phantom else flavor.vcpus for flavor in flavors], dtype=np.int64)
    vms = np.array([0 if flavor.phantom else 1 for flavor in flavors], dtype=np.int64)
    return Objective(goal="placed", part="vcpus", terms=(Unplaced(vcpus),)), Objective(
        goal="placed", part="vms", terms=(Unplaced(vms),)
    )


REMOTE = Objective(goal="remote", terms=(PlacementCosts("remote"),), unit=COST_UNIT)
HOSTS = Objective(goal="hosts", terms=(HostCosts(),), unit=COST_UNIT)
MIGRATIONS = Objective(goal="moves", part="migrations", terms=(Changes(migrations=1),))
MOVES = Objective(goal="moves", part="moves", terms=(Changes(moves=1),))


def synthetic_fleet(
    hosts: int, vms: int, locality: float | None = 0.8, goals: Sequence[Objective] = (REMOTE,)
) -> Problem:
    """Build the empty synthetic fleet: 27 flavors, three shapes in shares 4:3:3; `locality` None is uniform."""
    sizes = [(vcpus, vcpus * ratio) for vcpus, _ in VCPUS for ratio, _ in RATIOS]
    weights = [weight * share for _, weight in VCPUS for _, share in RATIOS]
    flavors = tuple(
        Flavor(name=f"c{vcpus}m{memory}", vcpus=vcpus, arriving=round(vms * weight / sum(weights)))
        for (vcpus, memory), weight in zip(sizes, weights, strict=True)
    )
    shapes = tuple(grid_shape(grid, sizes, locality) for grid, _ in SHARES)
    classes = tuple(
        HostClass(
            shape=index,
            count=hosts * share // 10,
            capacity=np.array([grid.cpus, grid.memory_gib * 1024] * grid.nodes, dtype=np.int64),
            fixed=np.zeros(2 * grid.nodes, dtype=np.int64),
            allowed=np.ones(len(flavors), dtype=np.bool_),
            stay_penalty=np.zeros(len(flavors), dtype=np.int64),
            chains=grid_chains(grid, shapes[index]),
        )
        for index, (grid, share) in enumerate(SHARES)
    )
    return Problem(
        flavors=flavors,
        shapes=shapes,
        classes=classes,
        objectives=(*placed_goals(flavors), *goals),
        budget=MoveBudget(),
    )


def packing(capacity: Sequence[int], items: Sequence[Sequence[int]], bins: int | None = None) -> Problem:
    """Build plain vector packing: one-node hosts of one kind, a flavor an item, placed first, then fewest hosts."""
    distinct = sorted({tuple(int(x) for x in item) for item in items}, reverse=True)
    counts = dict.fromkeys(distinct, 0)
    for item in items:
        counts[tuple(int(x) for x in item)] += 1
    flavors = tuple(Flavor(name=str(item), vcpus=1, arriving=counts[item]) for item in distinct)
    rows = len(capacity)
    shape = Shape(
        name="bin",
        nodes=1,
        row_names=tuple((0, f"resource {row}") for row in range(rows)),
        flavor=np.arange(len(distinct), dtype=np.int64),
        use=np.array(distinct, dtype=np.int64).reshape(len(distinct), rows),
        cost={},
        touches=np.ones((len(distinct), 1), dtype=np.bool_),
        stay_only=np.zeros(len(distinct), dtype=np.bool_),
    )
    host = HostClass(
        shape=0,
        count=len(items) if bins is None else bins,
        capacity=np.array(capacity, dtype=np.int64),
        fixed=np.zeros(rows, dtype=np.int64),
        allowed=np.ones(len(distinct), dtype=np.bool_),
        stay_penalty=np.zeros(len(distinct), dtype=np.int64),
    )
    return Problem(flavors=flavors, shapes=(shape,), classes=(host,), objectives=(*placed_goals(flavors), HOSTS))


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveVm:
    """A VM of a live two-node fleet: its host, nodes (1 or 2 of them), vCPUs and memory (MB) in all."""

    host: int
    nodes: tuple[int, ...]
    vcpus: int
    memory_mb: int


def read_live(folder: Path, name: str) -> tuple[tuple[int, int], int, list[LiveVm]]:
    """Read a snapshot of two-node hosts in the form of the ByteDance set: (CPUs, MB) of a node, hosts, VMs."""
    with (folder / f"{name}_hosts.csv").open() as file:
        hosts = list(csv.DictReader(file))
    nodes = {(int(h[f"cpu{k}"]), int(float(h[f"mem{k}_mb"]))) for h in hosts for k in (0, 1)}
    if len(nodes) != 1:
        raise ValueError(f"{name}: nodes of {len(nodes)} sizes")
    with (folder / f"{name}_vms.csv").open() as file:
        vms = [
            LiveVm(
                host=int(row["host_index"]),
                nodes=tuple(sorted(int(node) for node in row["numa_nodes"].split(";"))),
                vcpus=int(float(row["cpu"])),
                memory_mb=int(float(row["mem_mb"])),
            )
            for row in csv.DictReader(file)
        ]
    return nodes.pop(), len(hosts), vms


def live_fleet(
    node: tuple[int, int], hosts: int, vms: Sequence[LiveVm], *, moves: int | None, slot: int = 16
) -> Problem:
    """Build a live fleet of two-node hosts with the goals placed and headroom of slots of `slot` CPUs."""
    kinds = sorted({(vm.vcpus, vm.memory_mb, len(vm.nodes)) for vm in vms})
    flavors = [Flavor(name=f"{c}x{m}/{k}", vcpus=c) for c, m, k in kinds]
    flavors.append(Flavor(name=f"{slot}x0", vcpus=slot, phantom=True))
    places = [(n, nodes) for n, (_, _, k) in enumerate(kinds) for nodes in (((0,), (1,)) if k == 1 else ((0, 1),))]
    places += [(len(kinds), (0,)), (len(kinds), (1,))]
    use = np.zeros((len(places), 4), dtype=np.int64)
    for p, (flavor, nodes) in enumerate(places):
        vcpus, memory, cells = kinds[flavor] if flavor < len(kinds) else (slot, 0, 1)
        for k in nodes:
            use[p, 2 * k : 2 * k + 2] = -(-vcpus // cells), -(-memory // cells)
    phantom = np.array([flavor == len(kinds) for flavor, _ in places])
    shape = Shape(
        name="two",
        nodes=2,
        row_names=((0, "cpu"), (0, "memory"), (1, "cpu"), (1, "memory")),
        flavor=np.array([flavor for flavor, _ in places], dtype=np.int64),
        use=use,
        cost={"headroom": -phantom.astype(np.int64)},
        touches=np.array([[0 in nodes, 1 in nodes] for _, nodes in places]),
        stay_only=np.zeros(len(places), dtype=np.bool_),
    )
    index = {place: p for p, place in enumerate(places)}
    kind = {vm_kind: n for n, vm_kind in enumerate(kinds)}
    content: list[Counter[int]] = [Counter() for _ in range(hosts)]
    for vm in vms:
        content[vm.host][index[kind[vm.vcpus, vm.memory_mb, len(vm.nodes)], vm.nodes]] += 1
    groups: dict[tuple[tuple[int, int], ...], list[int]] = {}
    for host, held in enumerate(content):
        groups.setdefault(tuple(sorted(held.items())), []).append(host)
    capacity = np.array([*node, *node], dtype=np.int64)
    classes = []
    for held, members in groups.items():
        load = sum((n * use[p] for p, n in held), np.zeros(4, dtype=np.int64))
        classes.append(
            HostClass(
                shape=0,
                count=len(members),
                capacity=np.maximum(capacity, load),
                fixed=np.zeros(4, dtype=np.int64),
                content=held,
                allowed=np.ones(len(flavors), dtype=np.bool_),
                stay_penalty=np.zeros(len(flavors), dtype=np.int64),
                members=tuple(members),
            )
        )
    return Problem(
        flavors=tuple(flavors),
        shapes=(shape,),
        classes=tuple(classes),
        objectives=(*placed_goals(flavors), Objective(goal="headroom", terms=(PlacementCosts("headroom"),), sign=-1)),
        budget=MoveBudget(moves=moves),
    )


@dataclass(slots=True)
class _LiveShape:
    """A grid shape in the making: placements are added as VMs on them come up."""

    grid: NodeGrid
    flavors: Sequence[tuple[int, int, int]]
    places: dict[tuple[int, tuple[int, ...], tuple[int, ...]], int]

    def cost(self, flavor: int, cpu: tuple[int, ...], memory: tuple[int, ...]) -> int:
        """Return the cost (1e-6 vCPU) of cells with CPUs on `cpu` and memory on `memory`, locality 0.8."""
        vcpus, distances = self.flavors[flavor][0], self.grid.distances()
        if cpu == memory:
            return remote_cost(vcpus, cpu, distances, 0.8)
        return round(COST_UNIT * vcpus * (distances[cpu[0], memory[0]] / 10.0 - 1.0))

    def build(self, proper: int) -> Shape:
        """Return the shape; placements from number `proper` on are irregular."""
        nodes = self.grid.nodes
        use = np.zeros((len(self.places), 2 * nodes), dtype=np.int64)
        touches = np.zeros((len(self.places), nodes), dtype=np.bool_)
        for place, (flavor, cpu, memory) in enumerate(self.places):
            vcpus, gib, cells = self.flavors[flavor]
            for node in cpu:
                use[place, 2 * node] += vcpus // cells
                touches[place, node] = True
            for node in memory:
                use[place, 2 * node + 1] += -(-gib // cells)
        return Shape(
            name=self.grid.name,
            nodes=nodes,
            row_names=tuple((node, resource) for node in range(nodes) for resource in ("cpu", "memory")),
            flavor=np.array([flavor for flavor, _, _ in self.places], dtype=np.int64),
            use=use,
            cost={"remote": np.array([self.cost(*place) for place in self.places], dtype=np.int64)},
            touches=touches,
            stay_only=np.arange(len(self.places)) >= proper,
        )


def live_nodes_fleet(hosts: int, *, load: float, moves: int | None, seed: int, remote: float = 0.05) -> Problem:
    """Build a live fleet of four- and eight-node hosts in turn, a share of whose VMs is remote, with the goal remote.

    A remote VM of one cell has CPUs and memory on different nodes; one of several cells may lie across packages.
    """
    rng = random.Random(seed)
    grids = (
        NodeGrid(name="four", nodes=4, cpus=31, memory_gib=124, per_package=1),
        NodeGrid(name="eight", nodes=8, cpus=15, memory_gib=92, per_package=4),
    )
    base = [(c, c * ratio, w * share) for c, w in VCPUS for ratio, share in RATIOS]

    def cells_of(grid: NodeGrid, vcpus: int, gib: int) -> int | None:
        fits = (k for k in (1, 2, 4) if vcpus % k == 0 and vcpus // k <= grid.cpus and -(-gib // k) <= grid.memory_gib)
        return next(fits, None)

    kinds = {(c, g, k): None for grid in grids for c, g, _ in base if (k := cells_of(grid, c, g)) is not None}
    flavors = list(kinds)
    index = {kind: n for n, kind in enumerate(flavors)}
    shapes = [_LiveShape(grid, flavors, {}) for grid in grids]
    for shape in shapes:
        for n, (c, g, k) in enumerate(flavors):
            if c // k <= shape.grid.cpus and -(-g // k) <= shape.grid.memory_gib and k <= shape.grid.nodes:
                for nodes in itertools.combinations(range(shape.grid.nodes), k):
                    shape.places[n, nodes, nodes] = len(shape.places)
    proper = [len(shape.places) for shape in shapes]
    contents = [_live_content(rng, shapes[h % 2], base, index, cells_of, load, remote) for h in range(hosts)]
    built = [shape.build(first) for shape, first in zip(shapes, proper, strict=True)]
    groups: dict[tuple[int, tuple[tuple[int, int], ...]], list[int]] = {}
    for host, held in enumerate(contents):
        groups.setdefault((host % 2, tuple(sorted(held.items()))), []).append(host)
    problem_flavors = tuple(Flavor(name=f"{c}x{g}/{k}", vcpus=c) for c, g, k in flavors)
    classes = tuple(
        HostClass(
            shape=shape,
            count=len(members),
            capacity=np.array([grids[shape].cpus, grids[shape].memory_gib] * grids[shape].nodes, dtype=np.int64),
            fixed=np.zeros(2 * grids[shape].nodes, dtype=np.int64),
            content=held,
            allowed=np.ones(len(flavors), dtype=np.bool_),
            stay_penalty=np.zeros(len(flavors), dtype=np.int64),
            members=tuple(members),
        )
        for (shape, held), members in groups.items()
    )
    return Problem(
        flavors=problem_flavors,
        shapes=tuple(built),
        classes=classes,
        objectives=(*placed_goals(problem_flavors), REMOTE),
        budget=MoveBudget(moves=moves),
    )


def _live_content(
    rng: random.Random,
    shape: _LiveShape,
    base: Sequence[tuple[int, int, int]],
    index: dict[tuple[int, int, int], int],
    cells_of: Callable[[NodeGrid, int, int], int | None],
    load: float,
    remote: float,
) -> Counter[int]:
    """Fill one host at random up to its load; return placement -> VMs."""
    grid = shape.grid
    cpus, gibs = [grid.cpus] * grid.nodes, [grid.memory_gib] * grid.nodes
    held: Counter[int] = Counter()
    misses = 0
    while misses < 12 and grid.cpus * grid.nodes - sum(cpus) < load * grid.cpus * grid.nodes:
        vcpus, gib, _ = rng.choices(base, [weight for _, _, weight in base])[0]
        cells = cells_of(grid, vcpus, gib)
        if cells is None:
            continue
        bad = rng.random() < remote
        for attempt in range(30):
            cpu = tuple(sorted(rng.sample(range(grid.nodes), cells)))
            apart = len({node // grid.per_package for node in cpu}) > 1
            if cells > 1 and not bad and attempt < 20 and apart and grid.per_package > 1:
                continue
            memory = cpu
            if cells == 1 and bad:
                memory = (rng.choice([node for node in range(grid.nodes) if node != cpu[0]]),)
            if all(cpus[n] >= vcpus // cells for n in cpu) and all(gibs[n] >= -(-gib // cells) for n in memory):
                break
        else:
            misses += 1
            continue
        for node in cpu:
            cpus[node] -= vcpus // cells
        for node in memory:
            gibs[node] -= -(-gib // cells)
        held[shape.places.setdefault((index[vcpus, gib, cells], cpu, memory), len(shape.places))] += 1
    return held
