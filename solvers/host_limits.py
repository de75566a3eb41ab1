"""What may be together on one host, by flavor: limits between groups of VMs, and limits of a group by itself.

Between groups they are rules over hosts of kind ``apart``; of a group alone they are rows of every host that count its
VMs. An engine that has a line or a list a host looks both up by the VM that comes: nothing grows with limits times
hosts. Rows that are taken out so leave VMs of a size alike.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from solvers.problem import Hinge, HostClass, IntArray, Problem, Shape

Group = tuple[int, ...]
LARGEST = 64
"""Flavors of a group whose limit is looked up one by one; that of a larger one, as a resource is, stays a row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostLimits:
    """The limits that VMs of each flavor are under on any one host.

    Attributes
    ----------
    holders : flavor -> (the group that is counted beside it, the most) of each rule. counted : flavor -> (the group
    beside which it is counted, the group that is counted, the most). alone : flavor -> (its group, the most).
    """

    holders: Mapping[int, list[tuple[Group, int]]]
    counted: Mapping[int, list[tuple[Group, Group, int]]]
    alone: Mapping[int, list[tuple[Group, int]]]

    @classmethod
    def of(cls, problem: Problem, groups: Iterable[tuple[Group, int]] = ()) -> HostLimits:
        """List the limits of a problem's rules, and of `groups` by themselves."""
        holders: dict[int, list[tuple[Group, int]]] = defaultdict(list)
        counted: dict[int, list[tuple[Group, Group, int]]] = defaultdict(list)
        alone: dict[int, list[tuple[Group, int]]] = defaultdict(list)
        for rule in problem.rules:
            if rule.kind == "apart" and not rule.is_soft:
                others = problem.rules[rule.against].members
                for flavor in rule.members:
                    holders[flavor].append((others, rule.max_per))
                for flavor in others:
                    counted[flavor].append((rule.members, others, rule.max_per))
        for group, most in groups:
            for flavor in group:
                alone[flavor].append((group, most))
        return cls(holders=dict(holders), counted=dict(counted), alone=dict(alone))

    def many_of(self, flavor: int) -> int:
        """Return how many limits VMs of a flavor are under."""
        return sum(len(kind.get(flavor, ())) for kind in (self.holders, self.counted, self.alone))

    def may(self, flavor: int, held: Mapping[int, int]) -> bool:
        """Tell whether no limit is in the way of one more VM of a flavor on a host that holds so many of others."""
        for group, most in self.alone.get(flavor, ()):
            if sum(held[one] for one in group if one in held) >= most:
                return False
        for others, most in self.holders.get(flavor, ()):
            if sum(held[other] for other in others if other in held) + (flavor in others) > most:
                return False
        for group, others, most in self.counted.get(flavor, ()):
            holds = flavor in group or any(other in held for other in group)
            if holds and sum(held[other] for other in others if other in held) >= most:
                return False
        return True

    def on_empty(self, flavor: int, many: int) -> int:
        """Return how many of so many VMs of a flavor a host may hold that holds nobody else."""
        own = [most for _, most in self.alone.get(flavor, ())]
        own += [most for others, most in self.holders.get(flavor, ()) if flavor in others]
        return min([many, *own])

    def lower(self, flavor: int, where: Mapping[int, Mapping[int, int]], most: IntArray) -> None:
        """Lower `most` (hosts,) to what the limits allow of VMs of a flavor that come to each host.

        where : flavor -> host -> VMs, of all that are on one of these hosts.
        """
        for group, limit in self.alone.get(flavor, ()):
            np.minimum(most, limit, out=most)
            for host, many in _added(group, where).items():
                most[host] = min(most[host], limit - many)
        for others, limit in self.holders.get(flavor, ()):
            there, itself = _added(others, where), flavor in others
            if itself:
                np.minimum(most, limit, out=most)
            for host, many in there.items():
                if itself or many > limit:
                    most[host] = min(most[host], max(0, limit - many))
        for group, others, limit in self.counted.get(flavor, ()):
            if flavor not in group:
                there = _added(others, where) if any(other in where for other in others) else {}
                for one in group:
                    for host in where.get(one, ()):
                        most[host] = min(most[host], max(0, limit - there.get(host, 0)))


def _added(group: Group, where: Mapping[int, Mapping[int, int]]) -> Mapping[int, int]:
    if len(group) == 1:
        return where.get(group[0], {})
    out: dict[int, int] = defaultdict(int)
    for flavor in group:
        for host, many in where.get(flavor, {}).items():
            out[host] += many
    return out


def without_counts(problem: Problem, hosts: int, spare: int) -> tuple[Problem, list[tuple[Group, int]]]:
    """Return the problem without rows that only count VMs of a group on a host, and these limits: (group, most) each.

    It is a relaxation, and hardly a weaker one: the row of a group stays that is not held `spare` times by so many
    `hosts`. Rows stay as well of hosts that are over some row, and of shapes of which rows are related to each other.
    """
    demand = problem.demand()
    found: dict[tuple[Group, int], dict[int, int]] = defaultdict(dict)
    shapes_of: dict[int, set[int]] = defaultdict(set)
    for at, shape in enumerate(problem.shapes):
        for flavor in np.unique(shape.flavor).tolist():
            shapes_of[flavor].add(at)
        for group, most, row in _counting_rows(problem, at):
            if spare * int(demand[list(group)].sum()) <= most * hosts:
                found[group, most].setdefault(at, row)
    # A group is under the same limit wherever one of it may be, or the rows stay.
    lifted = {one: rows for one, rows in found.items() if set().union(*map(shapes_of.__getitem__, one[0])) <= {*rows}}
    gone = [{rows[at] for rows in lifted.values() if at in rows} for at in range(len(problem.shapes))]
    kept = [
        np.array([row for row in range(len(shape.row_names)) if row not in less], dtype=np.int64)
        for shape, less in zip(problem.shapes, gone, strict=True)
    ]
    shapes = tuple(_of_rows(shape, rows) for shape, rows in zip(problem.shapes, kept, strict=True))
    classes = tuple(
        replace(one, capacity=one.capacity[kept[one.shape]], fixed=one.fixed[kept[one.shape]])
        if gone[one.shape]
        else one
        for one in problem.classes
    )
    return replace(problem, shapes=shapes, classes=classes), list(lifted)


def _counting_rows(problem: Problem, at: int) -> Iterator[tuple[Group, int, int]]:
    """Yield (group, most, row) of the rows of a shape that count VMs of a group on a host."""
    shape = problem.shapes[at]
    hosts = [one for one in problem.classes if one.shape == at]
    if shape.shortages or shape.inside or shape.parts or shape.loads or any(one.room is not None for one in hosts):
        return
    measured = {hinge.row for hinge in shape.hinges if any(_costs(hinge, one) for one in hosts)}
    for row, (node, _) in enumerate(shape.row_names):
        use = shape.use[:, row]
        if node is not None or row in measured or use.max(initial=0) != 1:
            continue
        group = np.unique(shape.flavor[use > 0])
        room = {int(one.capacity[row]) for one in hosts}
        if len(group) <= LARGEST and len(room) == 1 and min(room) >= 1 and use[np.isin(shape.flavor, group)].all():
            yield tuple(group.tolist()), room.pop(), row


def _of_rows(shape: Shape, kept: IntArray) -> Shape:
    """Return a shape with these of its rows alone."""
    if len(kept) == len(shape.row_names):
        return shape
    new = {row: number for number, row in enumerate(kept.tolist())}
    return replace(
        shape,
        row_names=tuple(shape.row_names[row] for row in kept.tolist()),
        use=shape.use[:, kept],
        hinges=tuple(replace(hinge, row=new[hinge.row]) for hinge in shape.hinges if hinge.row in new),
    )


def _costs(hinge: Hinge, host: HostClass) -> bool:
    """Tell whether hosts can be filled so that a hinge costs something; where the row is a limit they cannot."""
    return hinge.scale * int(host.fixed[hinge.row] + host.capacity[hinge.row]) > hinge.offset
