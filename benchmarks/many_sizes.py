"""Empty fleets of one-node hosts of many shapes with VMs of many sizes: what fits is a matter of packing alone."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.registry import SMOKE, Job, Row, Spec

if TYPE_CHECKING:
    from benchmarks.peers.heuristics import Rule
    from solvers.problem import Problem

CPUS = (32, 48, 64, 96, 128)
GIB_PER_CPU = (2, 4, 8)
VCPUS = (2, 4, 6, 8, 12, 16, 24, 32)
HEURISTICS: tuple[tuple[str, Rule], ...] = (
    ("first fit, largest first", "first"),
    ("best fit, largest first", "best"),
    ("cosine, largest first", "cosine"),
    ("dot product, largest first", "dot"),
    ("L2, largest first", "distance"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Size:
    """`loads` of hosts with VMs cut from them, or `resources` of bins and items that are like them."""

    about: str
    hosts: int
    loads: tuple[float, ...] = ()
    resources: tuple[int, ...] = ()
    time_limit_s: float = 20.0


_RESOURCES = (2, 4, 6, 8, 10)
_SIZES = {
    "all-different": _Size(
        about="100 hosts of about as many shapes, VMs cut from them, load 0.9, 0.95 and 1",
        hosts=100,
        loads=(0.9, 0.95, 1.0),
    ),
    "similar-10": _Size(about="10 bins of 2 to 10 resources, each cut in five", hosts=10, resources=_RESOURCES),
    "similar-30": _Size(about="30 bins", hosts=30, resources=_RESOURCES, time_limit_s=60.0),
    "similar-100": _Size(about="100 bins", hosts=100, resources=_RESOURCES, time_limit_s=120.0),
    SMOKE: _Size(about="5 hosts, load 0.9", hosts=5, loads=(0.9,)),
}


def hosts_and_vms(seed: int, hosts: int, load: float) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Return (CPUs, MiB) of hosts, nearly all of a shape of their own, and of VMs cut from them up to a load of 1.

    A VM's memory is in proportion to its host's, times 0.5 to 1.5; the VMs of a host fill it, so that all
    of them can be placed at any load.
    """
    draw = random.Random(f"{seed} {hosts} {load}")
    machines, vms = [], []
    for _ in range(hosts):
        cpus = draw.choice(CPUS)
        memory = int(cpus * draw.choice(GIB_PER_CPU) * 1024 * draw.uniform(0.9, 1.1))
        machines.append((cpus, memory))
        left, free = cpus, memory
        while left:
            vcpus = draw.choice([size for size in VCPUS if size <= left])
            share = free * vcpus / left * draw.uniform(0.5, 1.5)
            mib = free if vcpus == left else min(free, max(64, int(share) // 64 * 64))
            vms.append((vcpus, mib))
            left, free = left - vcpus, free - mib
    draw.shuffle(vms)
    most = load * sum(cpus for cpus, _ in machines)
    taken, total = [], 0
    for vm in vms:
        if total + vm[0] <= most + 1e-9:
            taken.append(vm)
            total += vm[0]
    return machines, taken


def similar(seed: int, bins: int, resources: int) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    """Return capacities of 10 to 1,000 in every resource, and items of about a fifth of a bin that fill all of them.

    A bin is cut in five; a part is a fifth times a number drawn exponentially between 0.5 and what is left of the bin.
    """
    draw = random.Random(f"similar {seed} {bins} {resources}")
    capacities, items = [], []
    for _ in range(bins):
        capacity = tuple(draw.randint(10, 1000) for _ in range(resources))
        capacities.append(capacity)
        weights = [[0.5 + draw.expovariate(2.0) for _ in range(5)] for _ in range(resources)]
        for part in range(5):
            items.append(
                tuple(
                    math.floor(most * weight[part] / sum(weight))
                    for most, weight in zip(capacity, weights, strict=True)
                )
            )
    draw.shuffle(items)
    return capacities, items


def placing_problem(capacities: Sequence[tuple[int, ...]], items: Sequence[tuple[int, ...]]) -> Problem:
    """Return hosts of one node and VMs as a problem with the goal to place them: units of the first resource, VMs."""
    import numpy as np

    from solvers.objective import Objective, Unplaced
    from solvers.problem import Flavor, HostClass, Problem, Shape

    counts = Counter(items)
    kinds = sorted(counts, reverse=True)
    rows = len(capacities[0])
    shape = Shape(
        name="host",
        nodes=1,
        row_names=tuple((0, f"resource {number}") for number in range(rows)),
        flavor=np.arange(len(kinds), dtype=np.int64),
        use=np.array(kinds, dtype=np.int64).reshape(len(kinds), rows),
        cost={},
        touches=np.ones((len(kinds), 1), dtype=np.bool_),
        stay_only=np.zeros(len(kinds), dtype=np.bool_),
    )
    machines = Counter(capacities)
    return Problem(
        flavors=tuple(
            Flavor(name=f"size {n}", vcpus=max(1, kind[0]), arriving=counts[kind]) for n, kind in enumerate(kinds)
        ),
        shapes=(shape,),
        classes=tuple(
            HostClass(
                shape=0,
                count=count,
                capacity=np.array(capacity, dtype=np.int64),
                fixed=np.zeros(rows, dtype=np.int64),
                allowed=np.ones(len(kinds), dtype=np.bool_),
                stay_penalty=np.zeros(len(kinds), dtype=np.int64),
            )
            for capacity, count in machines.items()
        ),
        objectives=(
            Objective(goal="placed", part="vCPUs", terms=(Unplaced(np.array([max(1, kind[0]) for kind in kinds])),)),
            Objective(goal="placed", part="VMs", terms=(Unplaced(np.ones(len(kinds), dtype=np.int64)),)),
        ),
    )


def _measure(job: Job) -> Iterator[Row]:
    size = _SIZES[job.size]
    for seed in job.seeds:
        for load in size.loads:
            yield from _one(*hosts_and_vms(seed, size.hosts, load), f"load {load:g}", seed, size)
        for resources in size.resources:
            yield from _one(*similar(seed, size.hosts, resources), f"{resources} resources", seed, size)


def _one(
    capacities: Sequence[tuple[int, ...]], items: Sequence[tuple[int, ...]], name: str, seed: int, size: _Size
) -> Iterator[Row]:
    from benchmarks.contest import PLACER, gap_percent, peer_row, result_row, run_placer
    from benchmarks.peers.heuristics import fit_each

    problem = placing_problem(capacities, items)
    about: Row = {
        "instance": f"{size.hosts} hosts, {len(items)} VMs, {name}",
        "seed": seed,
        "time_limit_s": size.time_limit_s,
    }
    run = run_placer(problem, time_limit_s=size.time_limit_s, seed=seed)
    first = run.result.objectives[0]
    row = result_row(problem, run.result, "placed")
    gap = gap_percent(first.value, first.bound)
    yield {"method": PLACER, **about, **row, "gap_percent": gap, "seconds": run.seconds}
    kinds = sorted(set(items), reverse=True)
    number = {kind: n for n, kind in enumerate(kinds)}
    whole = [sum(capacity[row] for capacity in capacities) for row in range(len(capacities[0]))]
    order = sorted(
        (number[item] for item in items),
        key=lambda n: -sum(amount / most for amount, most in zip(kinds[n], whole, strict=True)),
    )
    for method, rule in HEURISTICS:
        yield {"method": method, **about, **peer_row(problem, fit_each(problem, order, rule), "placed")}


SPEC = Spec(
    name="many-sizes",
    about="VMs and hosts of many sizes, cut so that all fits: how many VMs are left out, beside simple heuristics.",
    sizes={name: size.about for name, size in _SIZES.items()},
    measure=_measure,
    columns={"seconds": "{:.2f}", "unplaced_vms": "{:.0f}", "unplaced_vcpus": "{:.0f}"},
)
