"""How many hosts groups under rules take at least: those that may share none, and those that have to spread.

Groups that must be apart, or alone, are on different hosts, and so are groups that must each be in one domain where no
domain has room for two. What each takes at least by itself adds up then. By itself a group takes so many hosts as hold
its largest share of a resource, so many as it must have domains (`spread`, `least`), and one for each VM that takes
more than half of a host. It is a proof for any choice of groups; they are chosen greedily, the largest first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from solvers.problem import CrossRule, IntArray, Problem

FloatArray = NDArray[np.float64]

SAFE = 1e-6
"""What is taken off sums of shares before they are rounded up."""
MOST_GROUPS = 3_000
"""Groups, the largest first, that are chosen among."""
OWN = ("host", "node")


def groups_floor(problem: Problem) -> int:
    """Return what the hosts cost at least that all VMs take, in COST_UNIT, by rules over hosts; 0 where nothing is
    known.

    Rules are hard limits where hosts are empty; where any is not, nothing is said.
    """
    if not problem.rules or any(not one.is_empty or one.fixed_members for one in problem.classes):
        return 0
    if groups_floor not in problem.found:
        hosts = _Groups(problem=problem).hosts()
        cost = np.sort(np.repeat([one.cost for one in problem.classes], [one.count for one in problem.classes]))
        problem.found[groups_floor] = int(cost[:hosts].sum())
    known: int = problem.found[groups_floor]
    return known


@dataclass(slots=True, kw_only=True)
class _Group:
    """Flavors, as bits, that have `hosts` hosts at least. `together` the scope of which they are all in one domain.

    `apart` flavors, as bits, none of which may be where any of these is.
    """

    bits: int
    members: tuple[int, ...]
    hosts: int
    together: str
    apart: int


@dataclass(slots=True, kw_only=True)
class _Groups:
    """The groups of a problem.

    Attributes
    ----------
    share : (F, resources) of a host what a VM takes at least. need : (F, resources) the same in units. fit : (F,) most
    VMs of a flavor on a host. room : scope -> (resources,) what the largest domain has.
    """

    problem: Problem
    share: FloatArray = field(init=False)
    need: IntArray = field(init=False)
    fit: IntArray = field(init=False)
    demand: IntArray = field(init=False)
    room: dict[str, IntArray] = field(default_factory=dict)
    _capacity: IntArray = field(init=False)

    def __post_init__(self) -> None:
        """Add up rows by resource."""
        problem = self.problem
        self.demand = problem.demand()
        names = sorted({name for shape in problem.shapes for _, name in shape.row_names})
        flavors, width = len(problem.flavors), len(names)
        far = np.iinfo(np.int64).max
        need = np.full((flavors, width), far, dtype=np.int64)
        share = np.full((flavors, width), np.inf)
        fit = np.zeros(flavors, dtype=np.int64)
        self._capacity = np.zeros((len(problem.classes), width), dtype=np.int64)
        least = [self._least(at, names) for at in range(len(problem.shapes))]
        for number, one in enumerate(problem.classes):
            rows = problem.shapes[one.shape].row_names
            for row, (_, name) in enumerate(rows):
                self._capacity[number, names.index(name)] += one.capacity[row]
            own, placed = least[one.shape]
            able = np.flatnonzero(placed & one.allowed)
            room, taken = self._capacity[number], own[able]
            need[able] = np.minimum(need[able], taken)
            with np.errstate(divide="ignore", invalid="ignore"):
                each = np.where(taken > 0, taken / room, 0.0)
            share[able] = np.minimum(share[able], each)
            with np.errstate(divide="ignore"):
                many = np.where(taken > 0, room // np.maximum(taken, 1), far).min(axis=1, initial=far)
            fit[able] = np.maximum(fit[able], many)
        self.need = np.where(need == far, 0, need)
        self.share, self.fit = np.where(np.isfinite(share), share, 0.0), np.maximum(fit, 1)

    def _least(self, at: int, names: Sequence[str]) -> tuple[IntArray, NDArray[np.bool_]]:
        """Return (F, resources) what a VM takes at least of a host of a shape, and (F,) whether it has a place."""
        shape, flavors = self.problem.shapes[at], len(self.problem.flavors)
        use = np.zeros((shape.placements, len(names)), dtype=np.int64)
        for row, (_, name) in enumerate(shape.row_names):
            use[:, names.index(name)] += shape.use[:, row]
        out = np.full((flavors, len(names)), np.iinfo(np.int64).max, dtype=np.int64)
        np.minimum.at(out, shape.flavor, use)
        placed = np.zeros(flavors, dtype=np.bool_)
        placed[shape.flavor] = True
        return out, placed

    def hosts(self) -> int:
        """Return how many hosts the VMs take at least."""
        known = self._known()
        # All others than a tenant's VMs are a group too, a large one that meets most.
        return max(self._apart(known), self._apart([group for group in known if group.apart or group.together]))

    def _apart(self, known: Sequence[_Group]) -> int:
        """Return how many hosts groups take together that share none, and those beside them that may not meet them."""
        chosen: list[_Group] = []
        for group in known:
            if all(self._never_meet(group, other) for other in chosen):
                chosen.append(group)
        rest = -1 if chosen else 0
        for group in chosen:
            rest &= group.apart
        others = [flavor for flavor in np.flatnonzero(self.demand).tolist() if rest >> flavor & 1]
        return sum(group.hosts for group in chosen) + (self._hosts_of(others) if others else 0)

    def _known(self) -> list[_Group]:
        """Return the groups that rules make, those that take most hosts first."""
        rules = [rule for rule in self.problem.rules if not rule.is_soft and self._counts_everywhere(rule)]
        by: dict[int, list[CrossRule]] = defaultdict(list)
        for rule in rules:
            if rule.kind in ("spread", "together", "apart", "least", "count"):
                by[_bits(self._there(rule.members))].append(rule)
        limits: dict[int, int] = defaultdict(int)
        for rule in rules:
            if rule.kind == "apart" and rule.max_per == 0 and rule.scope != "node":
                others = _bits(self._there(self.problem.rules[rule.against].members))
                mine = _bits(self._there(rule.members))
                limits[mine] |= others
        out = []
        for bits, own in by.items():
            members = self._there(own[0].members)
            if not members:
                continue
            together = next((rule.scope for rule in own if rule.kind == "together"), "")
            hosts = max(self._hosts_of(members), *(self._domains(rule) for rule in own))
            out.append(_Group(bits=bits, members=members, hosts=hosts, together=together, apart=limits[bits]))
        return sorted(out, key=lambda group: (-group.hosts, not group.apart, group.bits))[:MOST_GROUPS]

    def _there(self, members: Iterable[int]) -> tuple[int, ...]:
        return tuple(flavor for flavor in sorted(members) if self.demand[flavor])

    def _counts_everywhere(self, rule: CrossRule) -> bool:
        """Tell whether every host is in a domain of a rule: elsewhere it limits nobody."""
        return rule.scope in OWN or all(one.domain.get(rule.scope, -1) >= 0 for one in self.problem.classes)

    def _hosts_of(self, members: Sequence[int]) -> int:
        """Return how many hosts VMs take by their sizes."""
        own = list(members)
        many = self.demand[own]
        filled = (self.share[own] * many[:, None]).sum(axis=0)
        large = ((self.share[own] > 0.5 + SAFE) * many[:, None]).sum(axis=0)
        alike = -(-many // self.fit[own])
        return max(1, int(np.ceil(filled - SAFE).max()), int(large.max()), int(alike.max()))

    def _domains(self, rule: CrossRule) -> int:
        """Return how many domains a rule makes its members use, each of them a host at least."""
        many = self.demand[list(rule.members)]
        if rule.scope == "node":
            return 1
        if rule.kind == "spread" and rule.max_per > 0:
            return -(-int(many @ np.array(rule.counts, dtype=np.int64)) // rule.max_per)
        return min(rule.max_per, int(many.sum())) if rule.kind == "least" else 1

    def _never_meet(self, one: _Group, other: _Group) -> bool:
        """Tell whether no host holds VMs of both groups."""
        if not other.bits & ~one.apart or not one.bits & ~other.apart:
            return True
        if not one.together or one.together != other.together or one.bits & other.bits:
            return False
        both = [*one.members, *other.members]
        return bool(((self.need[both] * self.demand[both][:, None]).sum(axis=0) > self._room(one.together)).any())

    def _room(self, scope: str) -> IntArray:
        """Return (resources,): what the largest domain of a scope has of each."""
        if scope not in self.room:
            if scope in OWN:
                self.room[scope] = self._capacity.max(axis=0)
            else:
                domain = np.array([one.domain[scope] for one in self.problem.classes], dtype=np.int64)
                count = np.array([one.count for one in self.problem.classes], dtype=np.int64)
                total = np.zeros((int(domain.max()) + 1, self._capacity.shape[1]), dtype=np.int64)
                np.add.at(total, domain, self._capacity * count[:, None])
                self.room[scope] = total.max(axis=0)
        return self.room[scope]


def _bits(flavors: Iterable[int]) -> int:
    out = 0
    for flavor in flavors:
        out |= 1 << flavor
    return out
