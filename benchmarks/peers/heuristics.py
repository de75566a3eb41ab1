"""First fit, best fit and what is like them, VM by VM, over every place of a host: what a scheduler without a solver
does.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.answer import PeerAnswer
from solvers.evaluate import evaluate, violations
from solvers.problem import IntArray, Problem
from solvers.result import HostPattern

Rule = Literal["first", "best", "worst", "cosine", "dot", "distance"]


def fit_each(problem: Problem, order: Sequence[int], rule: Rule, *, whole_host: bool = False) -> PeerAnswer:
    """Place VMs one after the other on an empty fleet; none is ever moved again.

    Parameters
    ----------
    order : flavor of each VM, in the order they come.
    rule : ``first`` takes the first host that has a place, and there the cheapest place; ``best`` the place, of all
        hosts, after which the nodes used have the least room (as a share, summed over rows). Of what the VM takes and
        what is free, as shares, ``cosine`` and ``dot`` take the place with the largest, ``distance`` the one where
        they are nearest to each other; ``worst`` is the opposite of ``best``.
    whole_host : weigh all rows of a host rather than those that the VM takes of.

    Raises
    ------
    ValueError
        The problem has content or rules between hosts.
    """
    if problem.rules or not all(cls.is_empty for cls in problem.classes):
        raise ValueError("first and best fit know neither rules between hosts nor VMs that are there now")
    began = time.perf_counter()
    fleets = [_Hosts(problem, shape) for shape in range(len(problem.shapes))]
    unplaced = [0] * len(problem.flavors)
    for flavor in order:
        found = [place for hosts in fleets if (place := hosts.place(flavor, rule, whole_host)) is not None]
        if not found:
            unplaced[flavor] += 1
            continue
        chosen = min(found, key=lambda place: place[0])
        fleets[chosen[1]].take(chosen[2], chosen[3])
    patterns = tuple(pattern for hosts in fleets for pattern in hosts.patterns())
    return _answer(problem, patterns, unplaced, time.perf_counter() - began)


def fill_each(problem: Problem, rule: Rule) -> PeerAnswer:
    """Fill one host after the other of an empty fleet, each time with the VM that suits best what is free there.

    Parameters
    ----------
    rule : as for `fit_each`; ``first`` is the largest VM that fits, as a share of the host.
    """
    began = time.perf_counter()
    left = np.array([flavor.arriving for flavor in problem.flavors], dtype=np.int64)
    patterns = []
    for number, cls in enumerate(problem.classes):
        shape = problem.shapes[cls.shape]
        whole = np.maximum(1.0, cls.capacity.astype(np.float64))
        for _ in range(cls.count):
            room, held = cls.capacity.copy(), Counter[int]()
            while True:
                able = (left[shape.flavor] > 0) & cls.allowed[shape.flavor] & ~shape.stay_only
                fits = np.flatnonzero(able & (shape.use <= room).all(axis=1))
                if not len(fits):
                    break
                take, free = shape.use[fits] / whole, np.tile(room / whole, (len(fits), 1))
                badness = -take.sum(axis=1) if rule == "first" else _badness(take, free, rule)
                placement = int(fits[badness.argmin()])
                held[placement] += 1
                room -= shape.use[placement]
                left[shape.flavor[placement]] -= 1
            patterns.append(HostPattern(host_class=number, count=1, placements=tuple(sorted(held.items()))))
    return _answer(problem, tuple(patterns), left.tolist(), time.perf_counter() - began)


def _answer(problem: Problem, patterns: tuple[HostPattern, ...], unplaced: list[int], seconds: float) -> PeerAnswer:
    """Return an answer that the referee accepts."""
    broken = violations(problem, patterns, unplaced)
    if broken:
        raise AssertionError(broken[0])
    return PeerAnswer(
        values=evaluate(problem, patterns, unplaced),
        bounds=(None,) * len(problem.objectives),
        status="feasible",
        seconds=seconds,
        patterns=patterns,
    )


class _Hosts:
    """All hosts of one shape, in order of their classes: `room` (hosts, rows) is what is left."""

    def __init__(self, problem: Problem, shape: int) -> None:
        self.number = shape
        self.shape = problem.shapes[shape]
        classes = [n for n, cls in enumerate(problem.classes) if cls.shape == shape]
        self.class_of = np.repeat(classes, [problem.classes[n].count for n in classes]) if classes else np.zeros(0, int)
        rows = len(self.shape.row_names)
        self.room: IntArray = np.array([problem.classes[n].capacity for n in self.class_of], dtype=np.int64).reshape(
            len(self.class_of), rows
        )
        self.whole: NDArray[np.float64] = np.maximum(1.0, self.room.astype(np.float64))
        self.allowed = np.array([problem.classes[n].allowed for n in self.class_of], dtype=np.bool_)
        self.held: dict[int, Counter[int]] = defaultdict(Counter)
        self.first = sum(cls.count for cls in problem.classes if cls.shape < shape)
        keys = [objective.cost for objective in problem.objectives if objective.cost is not None]
        self.places: dict[int, list[int]] = defaultdict(list)
        for placement in np.flatnonzero(~self.shape.stay_only).tolist():
            self.places[int(self.shape.flavor[placement])].append(placement)
        for places in self.places.values():
            places.sort(key=lambda p: [int(self.shape.cost[key][p]) for key in keys if key in self.shape.cost])

    def place(self, flavor: int, rule: Rule, whole_host: bool) -> tuple[tuple[float, ...], int, int, int] | None:
        """Return (how good: least is best, shape, host, placement) of the best place here, None if there is none."""
        best: tuple[tuple[float, ...], int, int, int] | None = None
        for rank, placement in enumerate(self.places.get(flavor, ())):
            use = self.shape.use[placement]
            rows = np.flatnonzero(use)
            fits = np.flatnonzero((self.room[:, rows] >= use[rows]).all(axis=1) & self.allowed[:, flavor])
            if not len(fits):
                continue
            if rule == "first":
                host = int(fits[0])
                key = (float(self.first + host), float(rank))
            else:
                seen = np.arange(len(use)) if whole_host else rows
                whole = self.whole[np.ix_(fits, seen)]
                badness = _badness(use[seen] / whole, self.room[np.ix_(fits, seen)] / whole, rule)
                host = int(fits[int(badness.argmin())])
                key = (float(badness.min()), float(rank))
            if best is None or key < best[0]:
                best = (key, self.number, host, placement)
        return best

    def take(self, host: int, placement: int) -> None:
        """Put a VM."""
        self.room[host] -= self.shape.use[placement]
        self.held[host][placement] += 1

    def patterns(self) -> list[HostPattern]:
        """Return what the hosts hold, a pattern a host."""
        return [
            HostPattern(host_class=int(cls), count=1, placements=tuple(sorted(self.held[host].items())))
            for host, cls in enumerate(self.class_of)
        ]


def _badness(take: NDArray[np.float64], free: NDArray[np.float64], rule: Rule) -> NDArray[np.float64]:
    """Return (hosts,) how badly places suit a VM by a rule; shares (hosts, rows) are what it takes and what is free."""
    if rule in ("best", "worst"):
        return np.asarray((free - take).mean(axis=1) * (1 if rule == "best" else -1))
    if rule == "distance":
        return np.asarray(((free - take) ** 2).sum(axis=1))
    product = (take * free).sum(axis=1)
    if rule == "dot":
        return np.asarray(-product)
    return np.asarray(-product / np.maximum(1e-12, np.sqrt((take**2).sum(axis=1) * (free**2).sum(axis=1))))
