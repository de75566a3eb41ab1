"""The problem in numbers: flavors, shapes with their rows and placements, host classes, cross-host rules, objectives.

Nothing here knows of VMs or libvirt. A *shape* has K capacity rows: one a (node, resource) or (host, resource), so
memory, page pools, CPU rows, devices and free resources are all the same to an engine. A *placement* is one way to put
one VM of a flavor on a host of the shape; it takes an integer amount of every row and has an integer cost in every
goal. An engine decides integer counts ``y[host, placement]`` with ``use.T @ y <= capacity``; it never sees a VM.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from solvers.objective import Objective

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

LOAD_SCALE = 1000
"""Steps of loads are in thousandths of what hosts have."""
COST_UNIT = 1_000_000
"""Costs that are fractions (remote access, host cost) are integers in millionths."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flavor:
    """VMs that are interchangeable. `arriving` of them are nowhere yet and may stay out; those in a host's content
    may not.

    A `phantom` flavor is only counted (headroom): it takes rows like the others but is no VM, and is placed as often
    as pays. Where a VM `settles`, nobody knows its place on its host: none that it may have there is a move.
    """

    name: str
    vcpus: int
    arriving: int = 0
    priority: int = 0
    phantom: bool = False
    settles: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Hinge:
    """A convex cost on a row's load: ``slope * max(0, scale * load - offset)`` counts towards goal `goal`.

    The load is ``fixed[row] + use[:, row] @ y``, phantoms left out: they are no VMs and hurt no goal.
    """

    goal: str
    row: int
    offset: int
    slope: int = 1
    scale: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortage:
    """How what has no place on a host counts, of one resource, towards `part` of the goal ``excess``.

    Rows are over sets of nodes, so what has no place is the most that rows of sets without a common node are over
    their room together (Ore's form of Hall's theorem). `apart` are these families, each of (row, value of a unit).
    """

    part: str
    apart: tuple[tuple[tuple[int, int], ...], ...]

    def most(self, over: IntArray) -> int:
        """Return what has no place where rows are over their room by so much (K,): the worst family counts."""
        return max(sum(int(over[row]) * each for row, each in family) for family in self.apart)


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What makes hosts interchangeable: rows and placements.

    Attributes
    ----------
    row_names : K tuples (node position or None for the whole host, resource name), for messages.
    flavor : (P,) flavor index of each placement.
    use : (P, K) units of each row that one VM so placed takes.
    cost : goal -> (P,) integer cost of one VM so placed; goals not named cost nothing.
    hinges : convex costs on rows. shortages : what counts on classes that hold more than they have room for.
    inside : row over several nodes -> the largest families of rows over fewer of them, no two on one node, of the same
    resource in the same units.
    loads : name of a rule of kind ``load`` -> the row that it adds up over hosts, and what a unit of that counts.
    parts : row -> (parts, P) how many of each part of its VM a placement has there, of rows of CPUs that parts have for
    their own: a part that comes finds none where another of the same VM leaves.
    touches : (P, nodes) whether the placement has CPUs on the node.
    stay_only : (P,) True where only a VM that is already there may be so (an irregular current placement).
    complete : False where not every placement of every flavor was enumerated: then a bound may not be claimed.
    unlisted : goal -> flavor -> what one VM costs at least in a way that was not enumerated, where only this is open.
    """

    name: str
    nodes: int
    row_names: tuple[tuple[int | None, str], ...]
    flavor: IntArray
    use: IntArray
    cost: Mapping[str, IntArray]
    touches: BoolArray
    stay_only: BoolArray
    hinges: tuple[Hinge, ...] = ()
    shortages: tuple[Shortage, ...] = ()
    inside: Mapping[int, tuple[tuple[int, ...], ...]] = field(default_factory=dict)
    loads: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    parts: Mapping[int, IntArray] = field(default_factory=dict)
    complete: bool = True
    unlisted: Mapping[str, Mapping[int, int]] = field(default_factory=dict)

    def kept(self, row: int) -> IntArray:
        """Return (n, P) amounts of which no flavor may have more than now while a row is over: units, each part."""
        units = self.use[:, row][None]
        return np.concatenate([units, self.parts[row]]) if row in self.parts else units

    def of_placements(self, chosen: IntArray, flavor: IntArray) -> Shape:
        """Return the shape with these of its placements (P',), some of them several times, and their flavors (P',)."""
        return replace(
            self,
            flavor=flavor,
            use=self.use[chosen],
            parts={row: counts[:, chosen] for row, counts in self.parts.items()},
            cost={goal: cost[chosen] for goal, cost in self.cost.items()},
            touches=self.touches[chosen],
            stay_only=self.stay_only[chosen],
        )

    @cached_property
    def taken(self) -> tuple[IntArray, IntArray, IntArray]:
        """Rows that placements take of and how much of each, those of placement p from ends[p] to ends[p + 1]: (ends,
        row, units).
        """
        placement, row = np.nonzero(self.use)
        return np.searchsorted(placement, np.arange(self.placements + 1)), row, self.use[placement, row]

    @cached_property
    def hinges_of(self) -> Mapping[str, tuple[IntArray, IntArray, IntArray, IntArray]]:
        """Goal -> (row, offset, slope, scale) of its hinges, (H,) each."""
        by: dict[str, list[tuple[int, int, int, int]]] = {}
        for hinge in self.hinges:
            by.setdefault(hinge.goal, []).append((hinge.row, hinge.offset, hinge.slope, hinge.scale))
        columns = {goal: np.array(found, dtype=np.int64).T for goal, found in by.items()}
        return {goal: (own[0], own[1], own[2], own[3]) for goal, own in columns.items()}

    def over(self, load: IntArray, room: IntArray) -> list[int]:
        """Return the rows that are over: that lack more than rows inside them lack already.

        What has no place on one node has none on any set of nodes that holds it; it does not close the others.
        """
        above = np.maximum(load - room, 0)
        return [
            row
            for row in np.flatnonzero(above).tolist()
            if above[row] > max((int(above[list(family)].sum()) for family in self.inside.get(row, ())), default=0)
        ]

    @property
    def placements(self) -> int:
        """How many placements the shape has."""
        return len(self.flavor)


@dataclass(frozen=True, kw_only=True)
class HostClass:
    """`count` hosts alike in shape, capacities, content and domains: a *state* with its multiplicity.

    Attributes
    ----------
    capacity : (K,) what the movable VMs and arrivals may take of each row; already less what cannot move, and never
        below what the content takes now (a row broken at the start may not get worse).
    room : (K,) the same as it really is, below 0 where immovable VMs alone take too much; None where it is `capacity`.
        A row that is over (`Shape.over`) has no flavor that takes more of it than now (`Shape.kept`).
    silent : rows over their room that count for nothing: other rows tell of what is lacked.
    fixed : (K,) what immovable VMs take, for hinges.
    content : (placement, VMs) pairs: movable VMs that are there now.
    at_most : placement -> VMs of which no more may be so placed, whoever is there; one that is not named has no limit.
    floating : (flavor, VMs) pairs: VMs that are there now on no known node; any placement on this host is no move.
    allowed : (F,) whether a VM of the flavor may newly arrive here. Where False, at most as many as are there now may
    stay.
    stay_penalty : (F,) rule excess counted for each VM of the flavor that is there in the end (drain, within, outside).
    cost : cost of the host in the goal ``hosts`` (COST_UNIT = 1.0), paid when it holds any VM; 0 if it is used anyway.
    domain : scope name -> domain index, -1 (or no entry) for none. closed : whether ``even`` rules over hosts leave
    its hosts out.
    fixed_members : index of a cross rule -> what immovable VMs of its members on one host of the class count.
    fixed_on : index of one of scope ``node`` -> (nodes,) how many of these have CPUs on each node.
    charges : goal of a rule of kind ``used`` -> what a host that holds a member of it counts; name of one of kind
    ``load`` -> what a host has.
    chains : orders that break symmetry: each an (m, P) array of keys; ``keys[i] @ y >= keys[i + 1] @ y`` cuts off no
    optimum.
    members : indices of the hosts, in the caller's numbering; ``len(members) == count``.
    """

    shape: int
    count: int
    capacity: IntArray
    fixed: IntArray
    room: IntArray | None = None
    silent: tuple[int, ...] = ()
    content: tuple[tuple[int, int], ...] = ()
    at_most: Mapping[int, int] = field(default_factory=dict)
    floating: tuple[tuple[int, int], ...] = ()
    allowed: BoolArray
    stay_penalty: IntArray
    cost: int = COST_UNIT
    domain: Mapping[str, int] = field(default_factory=dict)
    closed: bool = False
    charges: Mapping[str, int] = field(default_factory=dict)
    fixed_members: Mapping[int, int] = field(default_factory=dict)
    fixed_on: Mapping[int, IntArray] = field(default_factory=dict)
    chains: tuple[IntArray, ...] = ()
    members: tuple[int, ...] = ()

    def may_have(self, placement: int, held: int) -> bool:
        """Tell whether one more VM may be so placed beside so many on the same host (`at_most`)."""
        return held < self.at_most.get(placement, held + 1)

    @property
    def over_rows(self) -> tuple[int, ...]:
        """Rows that may stay over their room."""
        return () if self.room is None else tuple(np.flatnonzero(self.room < self.capacity).tolist())

    @property
    def ceiling(self) -> IntArray:
        """(K,): the load of each row above which what has no place counts."""
        if self.room is None:
            return self.capacity
        out = self.room.copy()
        out[list(self.silent)] = self.capacity[list(self.silent)]
        return out

    def floating_of(self, flavors: int) -> IntArray:
        """Return (F,): VMs of each of so many flavors that are there now on no known node."""
        out = np.zeros(flavors, dtype=np.int64)
        for flavor, count in self.floating:
            out[flavor] += count
        return out

    def unsettled_of(self, present: IntArray, settles: BoolArray) -> IntArray:
        """Return (F,): those of the VMs `present` for which no place here is a move: on no known node, or of a flavor
        that settles (`Flavor.settles`).
        """
        return np.where(settles, present, self.floating_of(len(present)))

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing movable is there now."""
        return not self.content and not self.floating


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossRule:
    """A rule over several hosts (rules within a host or node are rows with a hinge).

    ``spread``: at most `max_per` VMs of `members` in a domain; excess = VMs over it, summed over domains.
    ``together``: all in one domain; excess = domains used - 1. `scope` is ``host`` (each host a domain), ``node`` (each
    node of each host; a VM is in all nodes its placement touches) or a key of `HostClass.domain`; nothing is counted on
    a host without a domain. A ``spread`` may weigh its members by `amounts`, in their order.
    ``apart``: a domain that holds a member holds at most `max_per` members of the rule `against`, which is of kind
    ``count`` and limits nothing by itself; excess = those over it. ``least``: as many domains as `max_per` are used, or
    as many as members are in any; excess = domains that lack. ``even``: of the domains (of classes that are not
    `closed`) the one with most members has at most `max_per` more than the one with fewest; excess = what is above.
    ``hosts``: at most `max_per` hosts of a domain hold a member. ``used``: a host that holds a member counts what its
    class says for the goal (`HostClass.charges`); such a rule is soft. ``load``: a domain counts
    Σ over `steps` of max(0, 1000 × load − step × what its hosts have), both added up over its hosts: the load is a row
    of theirs (`Shape.loads`), what they have their classes say for the rule's name; soft too.
    The excess of a domain, or of the whole rule (together, least, even), may not exceed what it is at the start, unless
    the rule is soft: then `goal` is not ``rules``, and each unit counts `weight` towards that goal. A floating VM is on
    its host at the start; with scope ``node`` on each node of it, so that settling it never breaks a rule.
    """

    name: str
    kind: Literal["spread", "together", "apart", "count", "least", "even", "hosts", "used", "load"]
    members: tuple[int, ...]
    scope: str
    max_per: int = 1
    against: int = -1
    amounts: tuple[int, ...] = ()
    steps: tuple[int, ...] = ()
    goal: str = "rules"
    weight: int = 1

    @property
    def is_soft(self) -> bool:
        """Tell whether the rule limits nothing and only counts."""
        return self.goal != "rules"

    @property
    def counts(self) -> tuple[int, ...]:
        """What a VM of each of the members counts."""
        return self.amounts or (1,) * len(self.members)

    def leaves_out(self, host_class: HostClass) -> bool:
        """Tell whether hosts of a class are no domain of the rule; named domains that are none have no number."""
        return self.kind == "even" and self.scope == "host" and host_class.closed


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveBudget:
    """Limits on change: `moves` VMs change host or node in all, `migrations` change host, `host_in`/`host_out` a
    host. None = no limit.
    """

    moves: int | None = None
    migrations: int | None = None
    host_in: int | None = None
    host_out: int | None = None


@dataclass(frozen=True, kw_only=True)
class Problem:
    """All of it. Demand of flavor f: `arriving` VMs that may stay out, plus all content, which may not.

    `found` keeps what was worked out of this problem, for whoever asks again; a changed copy begins with nothing.
    """

    flavors: tuple[Flavor, ...]
    shapes: tuple[Shape, ...]
    classes: tuple[HostClass, ...]
    objectives: tuple[Objective, ...]
    rules: tuple[CrossRule, ...] = ()
    budget: MoveBudget = field(default_factory=MoveBudget)
    found: dict[object, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    @cached_property
    def is_complete(self) -> bool:
        """Whether every placement of every shape was listed."""
        return all(shape.complete for shape in self.shapes)

    def __post_init__(self) -> None:
        """Refuse arrays that do not fit each other: a fault of the caller."""
        flavors = len(self.flavors)
        for shape in self.shapes:
            count, rows = shape.placements, len(shape.row_names)
            fits = (
                shape.use.shape == (count, rows)
                and shape.touches.shape == (count, shape.nodes)
                and shape.stay_only.shape == (count,)
                and all(cost.shape == (count,) for cost in shape.cost.values())
                and (shape.use >= 0).all()
                and (count == 0 or (shape.flavor.min() >= 0 and shape.flavor.max() < flavors))
            )
            if not fits:
                raise ValueError(
                    f"shape {shape.name}: arrays do not fit {count} placements, {rows} rows, {flavors} flavors"
                )
        for number, cls in enumerate(self.classes):
            shape = self.shapes[cls.shape]
            rows = len(shape.row_names)
            if (
                cls.capacity.shape != (rows,)
                or cls.fixed.shape != (rows,)
                or cls.allowed.shape != (flavors,)
                or cls.stay_penalty.shape != (flavors,)
                or (cls.room is not None and (cls.room.shape != (rows,) or (cls.room > cls.capacity).any()))
            ):
                raise ValueError(f"host class {number}: arrays do not fit {rows} rows and {flavors} flavors")
            if cls.count < 1 or (cls.members and len(cls.members) != cls.count):
                raise ValueError(f"host class {number}: {cls.count} hosts, {len(cls.members)} members")

    @property
    def host_count(self) -> int:
        """Hosts in all classes."""
        return sum(cls.count for cls in self.classes)

    def load_of(self, rule: CrossRule, number: int, placements: Iterable[tuple[int, int]]) -> int:
        """Return what a host of class `number` that holds (placement, VMs) counts towards a ``load`` rule."""
        cls = self.classes[number]
        shape = self.shapes[cls.shape]
        if rule.name not in shape.loads:
            return 0
        row, each = shape.loads[rule.name]
        return each * (int(cls.fixed[row]) + sum(int(shape.use[place, row]) * many for place, many in placements))

    def had(self, rule: CrossRule) -> dict[object, int]:
        """Return domain -> what its hosts have together, of a ``load`` rule; those that have nothing are left out."""
        out: dict[object, int] = {}
        for cls in self.classes:
            domain = cls.domain.get(rule.scope, -1)
            if domain >= 0:
                out[domain] = out.get(domain, 0) + cls.count * cls.charges.get(rule.name, 0)
        return {domain: has for domain, has in out.items() if has > 0}

    def content_of(self, number: int) -> IntArray:
        """Return (F,): VMs of each flavor now on one host of class `number`, floating ones included."""
        cls = self.classes[number]
        out = np.zeros(len(self.flavors), dtype=np.int64)
        for placement, count in cls.content:
            out[self.shapes[cls.shape].flavor[placement]] += count
        return out + cls.floating_of(len(out))

    def demand(self) -> IntArray:
        """Return (F,): VMs of each flavor in all, arriving and present."""
        out = np.array([flavor.arriving for flavor in self.flavors], dtype=np.int64)
        for number, cls in enumerate(self.classes):
            out += cls.count * self.content_of(number)
        return out
