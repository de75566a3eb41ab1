"""Plain vector bin packing, which is a fleet of one-node hosts with the goal `hosts`: proven optimal how often?"""

from __future__ import annotations

import gzip
import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.registry import SMOKE, Job, Row, Spec
from placer.errors import Fault, InputError

if TYPE_CHECKING:
    from solvers.choice import Engine
    from solvers.problem import Problem

MAX_LINE = 1 << 22
TRIPLETS_FROM = 60
"""Sizes with more items than this have triplets among their records, whose optimum is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One instance: capacity (d,) of every bin and items (n, d), and what is known of it (None: unknown)."""

    name: str
    capacity: tuple[int, ...]
    items: tuple[tuple[int, ...], ...]
    lower: int | None = None
    optimum: int | None = None
    best_heuristic: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Size:
    records: int
    items: tuple[int, ...]
    resources: tuple[int, ...]
    time_limit_s: float = 20.0
    rebalancer: bool = True


_SIZES = {
    "60": _Size(records=60, items=(20, 40, 60), resources=(3, 5, 10)),
    "all": _Size(records=10_000, items=(20, 40, 60), resources=(3, 5, 10)),
    "500": _Size(records=12, items=(249, 300, 501), resources=(3, 5, 10), time_limit_s=60.0, rebalancer=False),
    SMOKE: _Size(records=2, items=(12,), resources=(3,), time_limit_s=10.0, rebalancer=False),
}


def read_records(path: Path) -> list[Record]:
    """Read a file of JSON records, one a line, gzipped or not: name, cap, items; lb, opt, best_heur where known.

    Raises
    ------
    InputError
        The file cannot be read, or lines are no records: all of them.
    """
    faults, found = [], []
    try:
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rt", encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                try:
                    found.append(_record(json.loads(line[:MAX_LINE])))
                except (ValueError, KeyError, TypeError) as error:
                    faults.append(Fault(message=f"is no record: {error}", file=str(path), line=number))
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read: {error}", file=str(path)) from None
    if faults:
        raise InputError(faults)
    return found


def _record(raw: dict[str, Any]) -> Record:
    capacity = tuple(int(amount) for amount in raw["cap"])
    items = tuple(tuple(int(amount) for amount in item) for item in raw["items"])
    if not capacity or any(len(item) != len(capacity) for item in items):
        raise ValueError("items and capacity have unequal lengths")
    if any(not 0 <= amount <= most for item in items for amount, most in zip(item, capacity, strict=True)):
        raise ValueError("an item fits in no bin")
    known = [None if raw.get(key) is None else int(raw[key]) for key in ("lb", "opt", "best_heur")]
    return Record(
        name=str(raw["name"]), capacity=capacity, items=items, lower=known[0], optimum=known[1], best_heuristic=known[2]
    )


def made_records(seed: int, size: _Size) -> Iterator[Record]:
    """Yield random records: items of 10 to 40 % or 5 to 60 % of a bin, resources independent or correlated."""
    for number in range(min(size.records, 60)):
        random_ = random.Random(f"{seed} {number}")
        if max(size.items) > TRIPLETS_FROM and number % 2 == 0:
            yield triplets(
                random_,
                f"triplets {number}",
                size.items[number // 2 % len(size.items)] // 3,
                size.resources[number // 2 // len(size.items) % len(size.resources)],
            )
            continue
        count = size.items[number % len(size.items)]
        resources = size.resources[number // len(size.items) % len(size.resources)]
        low, high = ((100, 400), (50, 600))[number % 2]
        spread = (300, 60)[number // 2 % 2]
        items = []
        for _ in range(count):
            base = random_.randint(low, high)
            items.append(tuple(min(high, max(low, base + random_.randint(-spread, spread))) for _ in range(resources)))
        yield Record(name=f"made {number}", capacity=(1000,) * resources, items=tuple(items))


def triplets(random_: random.Random, name: str, bins: int, resources: int) -> Record:
    """Return three items for every bin that fill it in every resource, each between a quarter and half of it."""
    items = []
    for _ in range(bins):
        parts = []
        for _ in range(resources):
            one = random_.randint(250, 500)
            two = random_.randint(250, min(500, 750 - one))
            parts.append((one, two, 1000 - one - two))
        items += [tuple(part[number] for part in parts) for number in range(3)]
    random_.shuffle(items)
    return Record(name=name, capacity=(1000,) * resources, items=tuple(items), lower=bins, optimum=bins)


def packing_problem(record: Record, bins: int) -> tuple[Problem, list[int]]:
    """Return a record as a fleet of `bins` one-node hosts with the goals placed and hosts, and each item's flavor."""
    import numpy as np

    from solvers.objective import HostCosts, Objective, Unplaced
    from solvers.problem import COST_UNIT, Flavor, HostClass, Problem, Shape

    counts = Counter(record.items)
    kinds = sorted(counts, reverse=True)
    resources = len(record.capacity)
    shape = Shape(
        name="bin",
        nodes=1,
        row_names=tuple((0, f"resource {number}") for number in range(resources)),
        flavor=np.arange(len(kinds), dtype=np.int64),
        use=np.array(kinds, dtype=np.int64).reshape(len(kinds), resources),
        cost={},
        touches=np.ones((len(kinds), 1), dtype=np.bool_),
        stay_only=np.zeros(len(kinds), dtype=np.bool_),
    )
    hosts = HostClass(
        shape=0,
        count=bins,
        capacity=np.array(record.capacity, dtype=np.int64),
        fixed=np.zeros(resources, dtype=np.int64),
        allowed=np.ones(len(kinds), dtype=np.bool_),
        stay_penalty=np.zeros(len(kinds), dtype=np.int64),
    )
    problem = Problem(
        flavors=tuple(Flavor(name=f"item {n}", vcpus=1, arriving=counts[kind]) for n, kind in enumerate(kinds)),
        shapes=(shape,),
        classes=(hosts,),
        objectives=(
            Objective(goal="placed", part="VMs", terms=(Unplaced(np.ones(len(kinds), dtype=np.int64)),)),
            Objective(goal="hosts", terms=(HostCosts(),), unit=COST_UNIT),
        ),
    )
    index = {kind: number for number, kind in enumerate(kinds)}
    return problem, [index[item] for item in record.items]


def _largest_first(record: Record) -> list[int]:
    """Return the items' numbers by their sum of shares of a bin, the largest first."""
    share = [sum(a / max(1, most) for a, most in zip(item, record.capacity, strict=True)) for item in record.items]
    return sorted(range(len(record.items)), key=lambda number: (-share[number], number))


def _measure(job: Job) -> Iterator[Row]:
    size = _SIZES[job.size]
    for seed in job.seeds:
        records = list(made_records(seed, size)) if job.data is None else read_records(job.data)
        step = max(1, len(records) // size.records)
        for record in records[::step][: size.records]:
            yield from _one(record, size, seed)


def _one(record: Record, size: _Size, seed: int) -> Iterator[Row]:
    from benchmarks.contest import PLACER, peer_row, result_row, run_placer
    from benchmarks.peers.heuristics import fit_each
    from benchmarks.peers.highs import solve_highs

    # As many bins as items are always enough; what first fit needs is enough too, and all that is promised.
    problem, flavor = packing_problem(record, len(record.items))
    order = [flavor[number] for number in _largest_first(record)]
    known: Row = {
        "instance": record.name,
        "seed": seed,
        "time_limit_s": size.time_limit_s,
        "items": len(record.items),
        "resources": len(record.capacity),
        "known_lower": record.lower,
        "known_optimum": record.optimum,
        "known_heuristic": record.best_heuristic,
    }
    first = fit_each(problem, order, "first")
    best = fit_each(problem, order, "best")
    bins = peer_row(problem, first, "hosts")["hosts"]
    problem, _ = packing_problem(record, int(bins))
    ways: tuple[tuple[str, Engine], ...] = ((PLACER, "auto"), ("placer, columns alone", "columns"))
    for method, engine in ways:
        run = run_placer(problem, time_limit_s=size.time_limit_s, seed=seed, engine=engine)
        row = _judged(record, result_row(problem, run.result, "hosts"))
        yield {"method": method, **known, **row, "seconds": run.seconds}
    for method, answer in (("first fit, largest first", first), ("best fit, largest first", best)):
        yield {"method": method, **known, **_judged(record, peer_row(problem, answer, "hosts"))}
    highs = solve_highs(problem, time_limit_s=size.time_limit_s, seed=seed)
    yield {"method": "counts per bin (HiGHS)", **known, **_judged(record, peer_row(problem, highs, "hosts"))}
    if size.rebalancer:
        yield {**_rebalancer(record, size.time_limit_s, seed), **known}


def _rebalancer(record: Record, time_limit_s: float, seed: int) -> Row:
    from benchmarks.peers.environment import PeerMissingError
    from benchmarks.peers.rebalancer import METHOD, pack

    try:
        used, seconds = pack(record.capacity, record.items, time_limit_s=time_limit_s, seed=seed)
    except PeerMissingError as error:
        return {"method": METHOD, "status": f"skipped: {error}", "seconds": None}
    row: Row = {"unplaced_vms": 0, "hosts": float(used), "hosts_bound": None}
    return {"method": METHOD, "status": "feasible", "seconds": seconds, **_judged(record, row)}


def _judged(record: Record, row: Row) -> Row:
    """Add how an answer stands beside what is known of the record; None where nothing is."""
    value, bound = row.get("hosts"), row.get("hosts_bound")
    best, optimum = record.best_heuristic, record.optimum
    whole = row["unplaced_vms"] == 0 and value is not None
    return {
        **row,
        "above_heuristic": None if best is None or not whole or value is None else max(0, round(value) - best),
        "above_optimum": None if optimum is None or not whole or value is None else round(value) - optimum,
        "bound_above_optimum": None if optimum is None or bound is None else max(0, round(bound) - optimum),
    }


SPEC = Spec(
    name="vector-packing",
    about="Bins of 3 to 10 resources: fewest bins with a proof, beside what is known of the record.",
    sizes={
        "60": "60 records of 20 to 60 items, drawn evenly from the file where one is given",
        "all": "every record of the file",
        "500": "12 records of 249 to 501 items, nearly all different: triplets, correlated and independent resources",
        SMOKE: "2 records of 12 items",
    },
    measure=_measure,
    seeds=1,
    reads="records of vector bin packing, JSON, one a line",
    columns={
        "seconds": "{:.2f}",
        "hosts": "{:.0f}",
        "gap_percent": "{:.2f}",
        "above_heuristic": "{:.0f}",
        "above_optimum": "{:.0f}",
        "bound_above_optimum": "{:.0f}",
    },
)
