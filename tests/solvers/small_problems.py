"""Random problems small enough to enumerate every answer, with every feature of the contract, and their enumeration."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import Literal

import numpy as np

from solvers.clock import Clock
from solvers.evaluate import evaluate, violations
from solvers.objective import Changes, Hinges, HostCosts, Objective, PlacementCosts, RuleExcess, StayPenalties, Unplaced
from solvers.problem import CrossRule, Flavor, Hinge, HostClass, IntArray, MoveBudget, Problem, Shape
from solvers.result import HostPattern, Interrupt, Limits

Answer = tuple[tuple[HostPattern, ...], tuple[int, ...]]
FEWEST_ANSWERS, MOST_ANSWERS = 25, 600


@cache
def small_problem(seed: int) -> Problem:
    """Return a problem with at most a few thousand answers; which features it has depends on the seed."""
    for attempt in itertools.count():
        problem = _draw(random.Random(f"{seed}/{attempt}"))
        if FEWEST_ANSWERS <= _size(problem) <= MOST_ANSWERS:
            return problem
    raise AssertionError("unreachable")


def _draw(draw: random.Random) -> Problem:
    phantom = draw.random() < 0.3
    sizes = [(draw.randint(1, 3), draw.randint(1, 3)) for _ in range(draw.randint(1, 3))]
    flavors = [
        Flavor(name=f"f{i}", vcpus=cpu, arriving=draw.randint(0, 2), priority=draw.randint(0, 1))
        for i, (cpu, _) in enumerate(sizes)
    ]
    if phantom:
        sizes.append((2, 1))
        flavors.append(Flavor(name="slot", vcpus=2, phantom=True))
    shapes = [_shape(draw, sizes, phantom, number) for number in range(draw.randint(1, 2))]
    classes = []
    for _ in range(draw.randint(1, 2)):
        number = draw.randrange(len(shapes))
        classes.append(_host_class(draw, number, shapes[number], flavors, phantom))
    rules = tuple(_rule(draw, number, len(sizes) - phantom) for number in range(draw.choice((0, 0, 1, 2))))
    if rules and draw.random() < 0.3:
        classes[0] = replace(classes[0], fixed_members={0: 1})
    live = any(not host_class.is_empty for host_class in classes)
    budget = MoveBudget()
    if live and draw.random() < 0.7:
        budget = MoveBudget(
            **{name: draw.choice((None, None, 0, 1, 2)) for name in ("moves", "migrations", "host_in", "host_out")}
        )
    return Problem(
        flavors=tuple(flavors),
        shapes=tuple(shapes),
        classes=tuple(classes),
        objectives=_objectives(draw, flavors, phantom),
        rules=rules,
        budget=budget,
    )


def _shape(draw: random.Random, sizes: Sequence[tuple[int, int]], phantom: bool, number: int) -> Shape:
    """Two nodes with a CPU and a memory row each, and a row of the host; a VM on one node, or split over both."""
    flavor, use, cost, touches, stay = [], [], [], [], []
    for index, (cpu, memory) in enumerate(sizes):
        for node in (0, 1):
            row = [0, 0, 0, 0, 1]
            row[2 * node], row[2 * node + 1] = cpu, memory
            flavor.append(index)
            use.append(row)
            cost.append(0)
            touches.append([node == 0, node == 1])
            stay.append(False)
        if cpu % 2 == 0 and draw.random() < 0.6:
            flavor.append(index)
            use.append([cpu // 2, memory, cpu // 2, memory, 1])
            cost.append(draw.randint(1, 4))
            touches.append([True, True])
            stay.append(False)
        elif draw.random() < 0.4 and not (phantom and index == len(sizes) - 1):
            flavor.append(index)
            use.append([cpu, 0, 0, memory, 1])
            cost.append(draw.randint(2, 5))
            touches.append([True, False])
            stay.append(True)
    names = ((0, "cpu"), (0, "memory"), (1, "cpu"), (1, "memory"), (None, "slots"))
    costs = {"remote": np.array(cost, dtype=np.int64)}
    if phantom:
        costs["headroom"] = -(np.array(flavor) == len(sizes) - 1).astype(np.int64)
        costs["remote"] = np.where(np.array(flavor) == len(sizes) - 1, 0, costs["remote"])
    hinges: tuple[Hinge, ...] = ()
    if draw.random() < 0.4:
        hinges = (
            Hinge(goal="rules", row=4, offset=draw.randint(0, 2), slope=draw.randint(1, 2)),
            Hinge(goal="balance", row=0, offset=draw.randint(0, 5), scale=2),
            Hinge(goal="balance", row=2, offset=draw.randint(0, 5), scale=2),
            Hinge(goal="balance", row=2, offset=7, scale=2, slope=3),
        )
    return Shape(
        name=f"s{number}",
        nodes=2,
        row_names=names,
        flavor=np.array(flavor, dtype=np.int64),
        use=np.array(use, dtype=np.int64),
        cost=costs,
        touches=np.array(touches, dtype=np.bool_),
        stay_only=np.array(stay, dtype=np.bool_),
        hinges=hinges,
    )


def _host_class(draw: random.Random, number: int, shape: Shape, flavors: Sequence[Flavor], phantom: bool) -> HostClass:
    even = draw.random() < 0.5
    room = [*(draw.randint(2, 5) for _ in range(4)), draw.randint(2, 4)]
    if even:
        room[2:4] = room[0:2]
    capacity = np.array(room, dtype=np.int64)
    content: dict[int, int] = {}
    floating: dict[int, int] = {}
    left = capacity.copy()
    for _ in range(draw.choice((0, 0, 1, 2, 3))):
        placement = draw.randrange(shape.placements)
        if flavors[shape.flavor[placement]].phantom or (shape.use[placement] > left).any():
            continue
        left -= shape.use[placement]
        if draw.random() < 0.2 and not shape.stay_only[placement]:
            flavor = int(shape.flavor[placement])
            floating[flavor] = floating.get(flavor, 0) + 1
        else:
            content[placement] = content.get(placement, 0) + 1
    fixed = np.array([draw.choice((0, 1)) for _ in room], dtype=np.int64) * draw.choice((0, 1))
    allowed = np.array([draw.random() < 0.85 for _ in flavors], dtype=np.bool_)
    penalty = np.array([0 if flavor.phantom else draw.choice((0, 0, 0, 1)) for flavor in flavors], dtype=np.int64)
    chains: tuple[IntArray, ...] = ()
    if even and not content and not floating and not fixed.any() and not shape.hinges and not _is_lopsided(shape):
        chains = (np.stack([shape.use[:, 0], shape.use[:, 2]]),)
    return HostClass(
        shape=number,
        count=draw.choice((1, 1, 2)),
        capacity=capacity,
        fixed=fixed,
        content=tuple(sorted(content.items())),
        floating=tuple(sorted(floating.items())),
        allowed=allowed,
        stay_penalty=penalty,
        cost=draw.choice((0, 1, 2)),
        domain={"zone": draw.choice((-1, 0, 1))},
        chains=chains,
    )


def _is_lopsided(shape: Shape) -> bool:
    free = ~shape.stay_only
    tables = (shape.use[free], shape.use[free][:, [2, 3, 0, 1, 4]])
    own, other = (
        {(*row, flavor) for row, flavor in zip(table.tolist(), shape.flavor[free].tolist(), strict=True)}
        for table in tables
    )
    return own != other


def _rule(draw: random.Random, number: int, flavors: int) -> CrossRule:
    members = tuple(sorted(draw.sample(range(flavors), draw.randint(1, flavors))))
    kind: Literal["spread", "together"] = draw.choice(("spread", "together"))
    scope = draw.choice(("zone", "host") if kind == "spread" else ("zone", "host", "node"))
    return CrossRule(name=f"r{number}", kind=kind, members=members, scope=scope, max_per=draw.randint(1, 2))


def _objectives(draw: random.Random, flavors: Sequence[Flavor], phantom: bool) -> tuple[Objective, ...]:
    out = []
    for priority in sorted({flavor.priority for flavor in flavors if not flavor.phantom}, reverse=True):
        here = [not flavor.phantom and flavor.priority == priority for flavor in flavors]
        picked = np.array(here, dtype=np.int64)
        vcpus = picked * np.array([flavor.vcpus for flavor in flavors])
        out.append(Objective(goal="placed", part=f"vCPUs of priority {priority}", terms=(Unplaced(vcpus),)))
        out.append(Objective(goal="placed", part=f"VMs of priority {priority}", terms=(Unplaced(picked),)))
    rest = [
        Objective(
            goal="rules",
            terms=(
                Hinges("rules"),
                StayPenalties(),
                RuleExcess(),
            ),
        ),
        Objective(goal="remote", terms=(PlacementCosts("remote"),)),
        Objective(goal="hosts", terms=(HostCosts(),)),
        Objective(goal="balance", terms=(Hinges("balance"),)),
        Objective(goal="moves", part="migrations", terms=(Changes(migrations=1),)),
        Objective(goal="moves", part="moves", terms=(Changes(moves=1),)),
    ]
    if phantom:
        rest.append(Objective(goal="headroom", terms=(PlacementCosts("headroom"),), sign=-1))
    draw.shuffle(rest)
    return (*out, *rest[: draw.randint(2, len(rest))])


def _host_patterns(problem: Problem, number: int) -> list[HostPattern]:
    """Return everything that one host of a class can hold."""
    host_class = problem.classes[number]
    shape = problem.shapes[host_class.shape]
    demand = problem.demand()
    found: list[HostPattern] = []

    def extend(first: int, held: dict[int, int], left: IntArray) -> None:
        real = tuple((p, n) for p, n in sorted(held.items()) if not problem.flavors[shape.flavor[p]].phantom)
        ghost = tuple((p, n) for p, n in sorted(held.items()) if problem.flavors[shape.flavor[p]].phantom)
        found.append(HostPattern(host_class=number, count=1, placements=real, phantoms=ghost))
        for placement in range(first, shape.placements):
            flavor = int(shape.flavor[placement])
            taken = sum(many for other, many in held.items() if shape.flavor[other] == flavor)
            if not problem.flavors[flavor].phantom and taken >= demand[flavor]:
                continue
            if (shape.use[placement] <= left).all():
                extend(placement, {**held, placement: held.get(placement, 0) + 1}, left - shape.use[placement])

    extend(0, {}, host_class.capacity)
    return found


def _choices(problem: Problem) -> list[list[tuple[HostPattern, ...]]]:
    return [
        list(itertools.combinations_with_replacement(_host_patterns(problem, number), host_class.count))
        for number, host_class in enumerate(problem.classes)
    ]


def _size(problem: Problem) -> int:
    size = 1.0
    for number, host_class in enumerate(problem.classes):
        size *= len(_host_patterns(problem, number)) ** host_class.count
        if size > 40 * MOST_ANSWERS:
            return 2 * MOST_ANSWERS
    return sum(1 for _ in _counted(problem))


def _counted(problem: Problem) -> Iterator[Answer]:
    demand = problem.demand()
    arriving = np.array([flavor.arriving for flavor in problem.flavors])
    real = np.array([not flavor.phantom for flavor in problem.flavors])
    for parts in itertools.product(*_choices(problem)):
        patterns = tuple(itertools.chain.from_iterable(parts))
        placed = np.zeros(len(demand), dtype=np.int64)
        for pattern in patterns:
            shape = problem.shapes[problem.classes[pattern.host_class].shape]
            for placement, many in pattern.placements:
                placed[shape.flavor[placement]] += many
        left = (demand - placed) * real
        if (left >= 0).all() and (left <= arriving).all():
            yield patterns, tuple(left.tolist())


@cache
def small_case(seed: int) -> tuple[Problem, dict[tuple[int, ...], Answer]]:
    """Return a small problem, and every vector of objective values that some answer has, with one such answer."""
    problem = small_problem(seed)
    return problem, answers(problem)


def answers(problem: Problem) -> dict[tuple[int, ...], Answer]:
    """Return every vector of objective values that some answer of a problem has, with one such answer."""
    found: dict[tuple[int, ...], Answer] = {}
    for patterns, unplaced in _counted(problem):
        if not violations(problem, patterns, unplaced):
            found.setdefault(evaluate(problem, patterns, unplaced), (patterns, unplaced))
    return found


def clock(time_limit_s: float = 1e6, interrupt: Interrupt | None = None) -> Clock:
    """Return a clock with so many seconds left."""
    limits = Limits(time_limit_s=time_limit_s)
    began = time.monotonic() - (limits.guard_s - time_limit_s)
    return Clock(limits=limits, interrupt=interrupt or Interrupt(), began=began)
