"""What the failure of a single host would do to a plan: would its VMs find a NUMA-true place on the others?"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from placer.planning.compile.compile import Compiled
from solvers.problem import IntArray, Problem
from solvers.result import HostPattern, Result
from solvers.slots import Filler

MOST_STATES = 64
"""So many distinct host states, the fullest first, are looked at; the answer says how many of how many."""
ROOMIEST = 128
"""VMs are first fitted on so many of the roomiest host states, and on all only if they do not fit there."""


@dataclass(frozen=True, slots=True)
class HostState:
    """Hosts of a plan that are alike: class, pattern as sorted (placement, VMs) pairs, how many, the first of them."""

    host_class: int
    pattern: tuple[tuple[int, int], ...]
    count: int
    example: int


def worst_failure(compiled: Compiled, result: Result) -> dict[str, Any]:
    """Return the worst single host failure: the host, and the VMs that would find no NUMA-true place on the others.

    The VMs of the failed host are fitted greedily into the free rows of the others. Where all fit, that is a proof.
    Where some do not, ``proven`` tells whether no solve could place more vCPUs while nothing else moves: for those left
    over there is no room even if their flavor had all of it to itself.
    ``states`` is how many distinct host states were looked at, of ``states_in_all``.
    """
    problem = compiled.problem
    states = host_states(problem, result)
    weight = [sum(n * problem.flavors[_flavor(problem, s, p)].vcpus for p, n in s.pattern) for s in states]
    order = sorted((n for n, state in enumerate(states) if state.pattern), key=lambda n: (-weight[n], n))
    rooms = _Rooms.of(problem, states)
    worst: dict[str, Any] = {"host": None, "vms_without_place": 0, "vcpus_without_place": 0, "proven": True}
    for number in order[:MOST_STATES]:
        lost = rooms.refit(number)
        vcpus = sum(problem.flavors[flavor].vcpus * count for flavor, count in lost.items())
        if worst["host"] is None or vcpus > worst["vcpus_without_place"]:
            name = compiled.fleet.hosts[states[number].example].name
            worst = {
                "host": name,
                "vms_without_place": sum(lost.values()),
                "vcpus_without_place": vcpus,
                "proven": not lost or problem.host_count == 1 or rooms.without_room(number) >= vcpus,
            }
    return {**worst, "states": min(len(order), MOST_STATES), "states_in_all": len(order)}


def host_states(problem: Problem, result: Result) -> list[HostState]:
    """Return the plan's hosts grouped by class and pattern; named in the same order as the decoder names them."""
    counts: Counter[tuple[int, tuple[tuple[int, int], ...]]] = Counter()
    first: dict[tuple[int, tuple[tuple[int, int], ...]], int] = {}
    ordered: dict[int, list[HostPattern]] = defaultdict(list)
    for pattern in result.patterns:
        ordered[pattern.host_class].append(pattern)
    for number, patterns in sorted(ordered.items()):
        members = iter(problem.classes[number].members)
        for pattern in sorted(patterns, key=lambda p: (not p.placements, tuple(sorted(p.placements)))):
            key = (number, tuple(sorted(pattern.placements)))
            hosts = [next(members) for _ in range(pattern.count)]
            counts[key] += pattern.count
            first.setdefault(key, hosts[0])
    return [HostState(cls, pattern, count, first[cls, pattern]) for (cls, pattern), count in counts.items()]


def _flavor(problem: Problem, state: HostState, placement: int) -> int:
    return int(problem.shapes[problem.classes[state.host_class].shape].flavor[placement])


@dataclass(slots=True)
class _Rooms:
    """Free rows of every host state, stacked a shape: `free[shape]` is (states, K), `which[shape]` their numbers."""

    problem: Problem
    states: Sequence[HostState]
    which: dict[int, list[int]]
    free: dict[int, IntArray]

    @classmethod
    def of(cls, problem: Problem, states: Sequence[HostState]) -> _Rooms:
        """Return the free rows as the plan leaves them, the roomiest hosts first."""
        rows: dict[int, list[tuple[float, int, IntArray]]] = defaultdict(list)
        for number, state in enumerate(states):
            host_class = problem.classes[state.host_class]
            free = host_class.capacity.copy()
            for placement, count in state.pattern:
                free -= count * problem.shapes[host_class.shape].use[placement]
            share = float((np.maximum(free, 0) / np.maximum(host_class.capacity, 1)).sum())
            rows[host_class.shape].append((-share, number, free))
        which, stacked = {}, {}
        for shape, found in rows.items():
            found.sort(key=lambda item: item[:2])
            which[shape] = [number for _, number, _ in found]
            stacked[shape] = np.array([free for _, _, free in found], dtype=np.int64)
        return cls(problem=problem, states=states, which=which, free=stacked)

    def refit(self, failed: int) -> dict[int, int]:
        """Fit the VMs of one host of a state on all others; return flavor -> VMs that found no place."""
        lost = self._refit(failed, ROOMIEST)
        return self._refit(failed, None) if lost and len(self.states) > ROOMIEST else lost

    def without_room(self, failed: int) -> int:
        """Return vCPUs of one host of a state for which the others have no room, each flavor counted alone."""
        problem = self.problem
        demand: Counter[int] = Counter()
        for placement, vms in self.states[failed].pattern:
            demand[_flavor(problem, self.states[failed], placement)] += vms
        total = 0
        for flavor, vms in demand.items():
            room = 0
            for shape, which in self.which.items():
                form = problem.shapes[shape]
                own = np.flatnonzero((form.flavor == flavor) & ~form.stay_only)
                if not form.complete:
                    return 0
                if not len(own):
                    continue
                hosts = np.array([self.states[n].count - (n == failed) for n in which])
                hosts *= [problem.classes[self.states[n].host_class].allowed[flavor] for n in which]
                most = Filler.of(form.use[own], form.touches[own], form.row_names).bounds(self.free[shape]).most
                room += int((most * hosts).sum())
            total += problem.flavors[flavor].vcpus * max(0, vms - room)
        return total

    def _refit(self, failed: int, most: int | None) -> dict[int, int]:
        problem = self.problem
        demand: Counter[int] = Counter()
        for placement, vms in self.states[failed].pattern:
            demand[_flavor(problem, self.states[failed], placement)] += vms
        free = {shape: rows[:most].copy() for shape, rows in self.free.items()}
        count = {
            shape: np.array([self.states[n].count - (n == failed) for n in which[:most]])
            for shape, which in self.which.items()
        }
        owner = {shape: list(which[:most]) for shape, which in self.which.items()}
        lost: Counter[int] = Counter()
        for flavor in sorted(demand, key=lambda f: (-problem.flavors[f].vcpus, f)):
            for _ in range(demand[flavor]):
                if not any(self._place(shape, flavor, free, count, owner) for shape in sorted(free)):
                    lost[flavor] += 1
        return dict(lost)

    def _place(
        self, shape: int, flavor: int, free: dict[int, IntArray], count: dict[int, Any], owner: dict[int, list[int]]
    ) -> bool:
        problem = self.problem
        form = problem.shapes[shape]
        allowed = np.array([problem.classes[self.states[n].host_class].allowed[flavor] for n in owner[shape]]) & (
            count[shape] > 0
        )
        own = np.flatnonzero((form.flavor == flavor) & ~form.stay_only)
        for placement in own[np.argsort(form.cost["remote"][own], kind="stable")]:
            fits = (form.use[placement] <= free[shape]).all(axis=1) & allowed
            if not fits.any():
                continue
            at = int(fits.argmax())
            # One host of the group takes the VM and is a group of its own from now on.
            count[shape][at] -= 1
            free[shape] = np.vstack([free[shape], free[shape][at] - form.use[placement]])
            count[shape] = np.append(count[shape], 1)
            owner[shape].append(owner[shape][at])
            return True
        return False
