"""Small empty fleets of ten kinds, and on each of them every simple heuristic: is the plan ever worse than the best?"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.many_sizes import hosts_and_vms, placing_problem
from benchmarks.registry import SMOKE, Job, Row, Spec

if TYPE_CHECKING:
    from benchmarks.peers.answer import PeerAnswer
    from benchmarks.peers.heuristics import Rule
    from solvers.problem import Problem

Amounts = tuple[int, ...]
LOADS = (0.85, 0.9, 0.95, 1.0, 1.05)
FIT: tuple[Rule, ...] = ("first", "best", "worst", "cosine", "dot", "distance")
FILL: tuple[Rule, ...] = ("first", "cosine", "dot", "distance")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Size:
    about: str
    instances: int
    most_hosts: int
    time_limit_s: float


_SIZES = {
    "100": _Size(about="100 fleets of 3 to 40 hosts, 5 s each", instances=100, most_hosts=40, time_limit_s=5.0),
    SMOKE: _Size(about="10 fleets of up to 4 hosts, 1 s each", instances=10, most_hosts=4, time_limit_s=1.0),
}


def small_fleet(number: int, seed: int, most_hosts: int) -> tuple[str, Problem]:
    """Return a fleet of the kind that the number says, with its name: VMs for one of the `LOADS`, and perhaps too
    many.
    """
    draw = random.Random(f"small {seed} {number}")
    name, make = KINDS[number % len(KINDS)]
    hosts = draw.randint(3, most_hosts)
    load = LOADS[number // len(KINDS) % len(LOADS)]
    return f"{name}, {hosts} hosts, load {load:g}", make(draw, hosts, load)


def _different(draw: random.Random, hosts: int, load: float) -> Problem:
    """VMs cut from hosts of nearly as many shapes; above a load of 1 some of another such fleet besides."""
    seed = draw.randrange(1 << 30)
    machines, vms = hosts_and_vms(seed, hosts, min(load, 1.0))
    more = round((load - 1.0) * len(vms))
    return placing_problem(machines, vms + hosts_and_vms(seed + 1, hosts, 1.0)[1][: max(0, more)])


def _drawn(
    draw: random.Random, capacities: Sequence[Amounts], load: float, item: Callable[[random.Random], tuple[float, ...]]
) -> Problem:
    """VMs drawn as shares of a mean host until one resource is so full."""
    whole = [sum(column) for column in zip(*capacities, strict=True)]
    mean = [amount / len(capacities) for amount in whole]
    items: list[Amounts] = []
    taken = [0] * len(whole)
    while True:
        one = tuple(max(1, round(share * most)) for share, most in zip(item(draw), mean, strict=True))
        taken = [a + b for a, b in zip(taken, one, strict=True)]
        if any(a > load * most for a, most in zip(taken, whole, strict=True)):
            return placing_problem(capacities, items or [one])
        items.append(one)


def _correlated(draw: random.Random, hosts: int, load: float) -> Problem:
    def item(draw: random.Random) -> tuple[float, ...]:
        size = draw.uniform(0.05, 0.45)
        return size, size * draw.uniform(0.85, 1.15)

    return _drawn(draw, [(1000, 1000)] * hosts, load, item)


def _opposed(draw: random.Random, hosts: int, load: float) -> Problem:
    def item(draw: random.Random) -> tuple[float, ...]:
        size = draw.uniform(0.05, 0.45)
        return size, max(0.01, 0.5 - size + draw.uniform(-0.03, 0.03))

    return _drawn(draw, [(1000, 1000)] * hosts, load, item)


def _few_large(draw: random.Random, hosts: int, load: float) -> Problem:
    def item(draw: random.Random) -> tuple[float, ...]:
        low, high = (0.35, 0.9) if draw.random() < 0.4 else (0.03, 0.15)
        return draw.uniform(low, high), draw.uniform(low, high)

    return _drawn(draw, [(1000, 1000)] * hosts, load, item)


def _many_resources(draw: random.Random, hosts: int, load: float) -> Problem:
    rows = draw.randint(3, 6)
    capacities = [tuple(draw.randint(500, 1000) for _ in range(rows)) for _ in range(hosts)]
    return _drawn(draw, capacities, load, lambda draw: tuple(draw.uniform(0.02, 0.4) for _ in range(rows)))


def _unequal(draw: random.Random, hosts: int, load: float) -> Problem:
    capacities = [
        (size, round(size * draw.choice((1, 2, 4)))) for size in (draw.choice((100, 250, 1000)) for _ in range(hosts))
    ]
    return _drawn(draw, capacities, load, lambda draw: (draw.uniform(0.02, 0.5), draw.uniform(0.02, 0.5)))


def _few_sizes(draw: random.Random, hosts: int, load: float) -> Problem:
    sizes = [(draw.randint(40, 400) / 1000, draw.randint(40, 400) / 1000) for _ in range(6)]
    return _drawn(draw, [(1000, 1000)] * hosts, load, lambda draw: draw.choice(sizes))


def _two_nodes(draw: random.Random, hosts: int, load: float) -> Problem:
    """Hosts of two nodes: most VMs go to one of them, others to both, and large ones to both at the cost of remote
    access.
    """
    import numpy as np

    from solvers.objective import Objective, PlacementCosts, Unplaced
    from solvers.problem import Flavor, HostClass, Problem, Shape

    node = (64, 256)
    counts: Counter[tuple[Amounts, bool]] = Counter()
    taken = [0, 0]
    while True:
        two = draw.random() < 0.25
        one = (draw.randint(1, 24) * (2 if two else 1), draw.randint(4, 96) * (2 if two else 1))
        taken = [a + b for a, b in zip(taken, one, strict=True)]
        if any(a > load * 2 * hosts * most for a, most in zip(taken, node, strict=True)):
            break
        counts[one, two] += 1
    kinds = sorted(counts, reverse=True)
    flavor, use, cost = [], [], []
    for number, ((cpus, memory), two) in enumerate(kinds):
        places = [(cpus, memory, 0, 0), (0, 0, cpus, memory)] if not two else []
        half = (-(-cpus // 2), -(-memory // 2))
        for place in [*places, half + half]:
            flavor.append(number)
            use.append(place)
            cost.append(0 if two or place in places else cpus)
    shape = Shape(
        name="two nodes",
        nodes=2,
        row_names=((0, "CPUs"), (0, "memory"), (1, "CPUs"), (1, "memory")),
        flavor=np.array(flavor, dtype=np.int64),
        use=np.array(use, dtype=np.int64),
        cost={"remote": np.array(cost, dtype=np.int64)},
        touches=np.array([[bool(row[0]), bool(row[2])] for row in use], dtype=np.bool_),
        stay_only=np.zeros(len(use), dtype=np.bool_),
    )
    return Problem(
        flavors=tuple(
            Flavor(name=f"size {n}", vcpus=kind[0][0], arriving=counts[kind]) for n, kind in enumerate(kinds)
        ),
        shapes=(shape,),
        classes=(
            HostClass(
                shape=0,
                count=hosts,
                capacity=np.array(node + node, dtype=np.int64),
                fixed=np.zeros(4, dtype=np.int64),
                allowed=np.ones(len(kinds), dtype=np.bool_),
                stay_penalty=np.zeros(len(kinds), dtype=np.int64),
            ),
        ),
        objectives=(
            Objective(goal="placed", part="vCPUs", terms=(Unplaced(np.array([kind[0][0] for kind in kinds])),)),
            Objective(goal="placed", part="VMs", terms=(Unplaced(np.ones(len(kinds), dtype=np.int64)),)),
            Objective(goal="remote", terms=(PlacementCosts("remote"),)),
        ),
    )


def _fewest_hosts(draw: random.Random, hosts: int, load: float) -> Problem:
    """VMs that fill so much of some hosts of two kinds, and hosts enough besides: placed, then hosts."""
    from dataclasses import replace

    from solvers.objective import HostCosts, Objective
    from solvers.problem import COST_UNIT

    capacities = [draw.choice(((1000, 1000), (500, 1000))) for _ in range(2 * hosts)]
    made = _drawn(draw, capacities, load / 2, lambda draw: (draw.uniform(0.03, 0.5), draw.uniform(0.03, 0.5)))
    return replace(made, objectives=(*made.objectives, Objective(goal="hosts", terms=(HostCosts(),), unit=COST_UNIT)))


def _any_weight(draw: random.Random, hosts: int, load: float) -> Problem:
    """As correlated ones, but what a VM left out costs has nothing to do with its size."""
    from dataclasses import replace

    import numpy as np

    from solvers.objective import Objective, Unplaced

    made = _correlated(draw, hosts, 1.2 * load)
    worth = np.array([draw.randint(1, 10) for _ in made.flavors], dtype=np.int64)
    return replace(made, objectives=(Objective(goal="placed", part="weight", terms=(Unplaced(worth),)),))


KINDS: tuple[tuple[str, Callable[[random.Random, int, float], Problem]], ...] = (
    ("all different", _different),
    ("correlated", _correlated),
    ("opposed", _opposed),
    ("few large", _few_large),
    ("many resources", _many_resources),
    ("unequal hosts", _unequal),
    ("few sizes", _few_sizes),
    ("two nodes", _two_nodes),
    ("fewest hosts", _fewest_hosts),
    ("any weight", _any_weight),
)


def simple_answers(problem: Problem) -> Iterator[tuple[str, PeerAnswer]]:
    """Yield every simple heuristic's answer with its name: eight orders with six rules, and hosts filled in turn."""
    from benchmarks.peers.heuristics import fill_each, fit_each

    two = any(shape.nodes > 1 for shape in problem.shapes)
    for words, order in _orders(problem):
        for rule in FIT:
            yield f"{rule}, {words}", fit_each(problem, order, rule)
            if two and rule != "first":
                yield f"{rule} of the whole host, {words}", fit_each(problem, order, rule, whole_host=True)
    for rule in FILL:
        yield f"filled by {rule}", fill_each(problem, rule)


def _orders(problem: Problem) -> Iterator[tuple[str, list[int]]]:
    import numpy as np

    flavors = len(problem.flavors)
    shape = problem.shapes[0]
    whole = np.sum([cls.count * cls.capacity for cls in problem.classes], axis=0).astype(np.float64)
    share = np.zeros((flavors, len(whole)))
    np.maximum.at(share, shape.flavor, shape.use / whole)
    cost = np.zeros(flavors)
    for objective in problem.objectives[::-1]:
        if objective.unplaced is not None:
            cost = objective.unplaced * 1e6 + cost
    keys = {
        "largest sum first": (-share.sum(axis=1),),
        "largest share first": (-share.max(axis=1),),
        "largest product first": (-np.prod(np.maximum(share, 1e-9), axis=1),),
        "largest square first": (-(share**2).sum(axis=1),),
        "lexicographic": tuple(-share.T[::-1]),
        "lexicographic, last resource first": tuple(-share.T),
        "dearest first": (-share.sum(axis=1), -cost),
        "smallest first": (share.sum(axis=1),),
        "dearest for their size first": (-cost / np.maximum(1e-12, share.sum(axis=1)),),
    }
    many = [flavor.arriving for flavor in problem.flavors]
    for words, key in keys.items():
        yield words, [int(f) for f in np.lexsort(key) for _ in range(many[f])]


def _measure(job: Job) -> Iterator[Row]:
    from benchmarks.contest import PLACER, run_placer

    size = _SIZES[job.size]
    for seed in job.seeds:
        for number in range(size.instances):
            name, problem = small_fleet(number, seed, size.most_hosts)
            best = min(simple_answers(problem), key=lambda one: one[1].values)
            run = run_placer(problem, time_limit_s=size.time_limit_s, seed=seed)
            mine = tuple(row.value for row in run.result.objectives)
            about: Row = {"instance": f"{number}: {name}", "seed": seed, "time_limit_s": size.time_limit_s}
            yield {
                "method": PLACER,
                **about,
                "status": run.result.status,
                "values": " ".join(map(str, mine)),
                "worse_than_simple": int(mine > best[1].values),
                "better_than_simple": int(mine < best[1].values),
                "seconds": run.seconds,
            }
            yield {
                "method": "the best simple heuristic",
                **about,
                "status": best[1].status,
                "which": best[0],
                "values": " ".join(map(str, best[1].values)),
                "seconds": best[1].seconds,
            }


SPEC = Spec(
    name="small-fleets",
    about="Small fleets of ten kinds: is the plan ever worse, by all goals in order, than the best simple heuristic?",
    sizes={name: size.about for name, size in _SIZES.items()},
    measure=_measure,
    seeds=1,
    columns={"seconds": "{:.2f}", "worse_than_simple": "{:.0f}", "better_than_simple": "{:.0f}"},
)
