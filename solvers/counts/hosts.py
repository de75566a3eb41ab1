"""The exact engine's variables, integers ``y[host, placement]``, and every rule of the problem, one method each.

All variables but y and `unplaced` are derived (`solvers.backends.cpsat_rows`), so a full solution follows from
patterns alone.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from solvers.backends.cpsat_rows import RowWriter, Sum, total_of
from solvers.counts.overfull import keep_out
from solvers.problem import BoolArray, HostClass, IntArray, Problem, Shape

_NO_LIMIT = 1 << 53


@dataclass(frozen=True, slots=True)
class ClassView:
    """What of a class's shape its hosts can use.

    `placements` (A,) are the admissible ones; at most `upper` (A,) VMs each, `content` (A,) of them are there now.
    """

    host_class: HostClass
    shape: Shape
    placements: IntArray
    upper: IntArray
    content: IntArray
    flavor: IntArray
    use: IntArray
    phantom: BoolArray


class HostModel(RowWriter):
    """What the hosts of a problem can hold, and what ties them."""

    def __init__(self, problem: Problem, *, symmetry: bool = True, chains: bool = True) -> None:
        super().__init__()
        self.problem = problem
        self._phantom = np.array([flavor.phantom for flavor in problem.flavors], dtype=np.bool_)
        self.demand = problem.demand()
        self.before = [problem.content_of(number) for number in range(len(problem.classes))]
        self.views = [self._view(number) for number in range(len(problem.classes))]
        self.hosts: list[tuple[int, int]] = []
        """(class, first variable) of each host, class by class."""
        for number, host_class in enumerate(problem.classes):
            for _ in range(host_class.count):
                self.hosts.append((number, self.block(self.views[number].upper)))
        self.unplaced = [
            self.variable(0, 0 if flavor.phantom else flavor.arriving) if flavor.arriving else -1
            for flavor in problem.flavors
        ]
        self._capacity_rows()
        self._demand_rows()
        self._permission_rows()
        if symmetry:
            self._order_rows()
        if symmetry and chains:
            self._chain_rows()
        self._kept: list[tuple[Sum, Sum]] | None = None
        self._budget_rows()
        self.rule_excess = Sum()
        for index in range(len(problem.rules)):
            self.rule_excess.plus(self._cross_rule(index))

    # -- what a host can hold ------------------------------------------------------------------------------------------

    def _view(self, number: int) -> ClassView:
        host_class = self.problem.classes[number]
        shape = self.problem.shapes[host_class.shape]
        content = np.zeros(shape.placements, dtype=np.int64)
        for placement, many in host_class.content:
            content[placement] += many
        upper = np.full(shape.placements, _NO_LIMIT, dtype=np.int64)
        for row, room in enumerate(host_class.capacity.tolist()):
            column = shape.use[:, row]
            taking = column > 0
            upper[taking] = np.minimum(upper[taking], room // column[taking])
        if (upper[self._phantom[shape.flavor]] == _NO_LIMIT).any():
            raise ValueError(f"shape {shape.name}: a phantom that takes nothing fits without end")
        most = np.where(host_class.allowed, self.demand, np.minimum(self.demand, self.before[number]))
        most = np.where(self._phantom, np.where(host_class.allowed, _NO_LIMIT, 0), most)
        upper = np.minimum(upper, most[shape.flavor])
        upper = np.where(shape.stay_only, np.minimum(upper, content), upper)
        admissible = np.flatnonzero(upper > 0)
        return ClassView(
            host_class=host_class,
            shape=shape,
            placements=admissible,
            upper=upper[admissible],
            content=content[admissible],
            flavor=shape.flavor[admissible],
            use=shape.use[admissible],
            phantom=self._phantom[shape.flavor[admissible]],
        )

    def here(self, host: int) -> tuple[ClassView, IntArray]:
        """Return what a host can hold, and the variables that say how much of it does."""
        number, first = self.hosts[host]
        view = self.views[number]
        return view, np.arange(first, first + len(view.placements), dtype=np.int64)

    def _vms_of(self, host: int, flavors: Sequence[int]) -> Sum:
        view, y = self.here(host)
        return Sum().add(y[np.isin(view.flavor, flavors)], 1)

    # -- rules of the model --------------------------------------------------------------------------------------------

    def _capacity_rows(self) -> None:
        """What a host holds fits every row of its shape."""
        for host in range(len(self.hosts)):
            view, y = self.here(host)
            for row, room in enumerate(view.host_class.capacity.tolist()):
                self.row(Sum().add(y, view.use[:, row]), None, room)
            keep_out(self, view.shape, view.host_class, view.placements, y)

    def _demand_rows(self) -> None:
        """Every VM is somewhere, once; only arriving ones may stay out; phantoms come in any number."""
        totals: dict[int, Sum] = defaultdict(Sum)
        for host in range(len(self.hosts)):
            view, y = self.here(host)
            for flavor in np.unique(view.flavor).tolist():
                totals[flavor].add(y[view.flavor == flavor], 1)
        for flavor, demand in enumerate(self.demand.tolist()):
            if self._phantom[flavor]:
                continue
            if self.unplaced[flavor] >= 0:
                totals[flavor].add(self.unplaced[flavor], 1)
            index, factor = totals[flavor].arrays()
            if demand or len(index):
                row = self.proto.constraints.add().linear
                row.vars.extend(index)
                row.coeffs.extend(factor)
                row.domain.extend([demand, demand])

    def _permission_rows(self) -> None:
        """Where a flavor may not arrive, at most as many stay as are there now."""
        for host in range(len(self.hosts)):
            number, _ = self.hosts[host]
            view, _ = self.here(host)
            for flavor in np.unique(view.flavor[~view.host_class.allowed[view.flavor]]).tolist():
                self.row(self._vms_of(host, [flavor]), None, int(self.before[number][flavor]))

    def _chain_rows(self) -> None:
        """Blocks of nodes that are interchangeable hold ever less."""
        for host in range(len(self.hosts)):
            view, y = self.here(host)
            for keys in view.host_class.chains:
                for first, second in itertools.pairwise(keys):
                    self.row(Sum().add(y, (first - second)[view.placements]), 0, None)

    def _order_rows(self) -> None:
        """Hosts of one class are interchangeable: their VMs' vCPUs never increase from one to the next."""
        for host in range(1, len(self.hosts)):
            if self.hosts[host][0] != self.hosts[host - 1][0]:
                continue
            view, y = self.here(host)
            _, previous = self.here(host - 1)
            weight = self.order_key(view)
            self.row(Sum().add(previous, weight).add(y, -weight), 0, None)

    def order_key(self, view: ClassView) -> IntArray:
        """Return (A,): what a host's order among its class counts a VM; no automorphism of the host changes it."""
        vcpus = np.array([0 if flavor.phantom else flavor.vcpus for flavor in self.problem.flavors], dtype=np.int64)
        weight: IntArray = vcpus[view.flavor]
        return weight if weight.any() else np.where(view.phantom, 0, 1).astype(np.int64)

    def changes(self) -> list[tuple[Sum, Sum]]:
        """Return for each host the VMs that leave it, and those that leave it or change node on it."""
        if self._kept is None:
            self._kept = [self._changes_of(host) for host in range(len(self.hosts))]
        return self._kept

    def _changes_of(self, host: int) -> tuple[Sum, Sum]:
        number, _ = self.hosts[host]
        view, y = self.here(host)
        left, moved = Sum(), Sum()
        floating = dict(view.host_class.floating)
        for flavor in np.flatnonzero(self.before[number]).tolist():
            here = self._vms_of(host, [flavor])
            left.plus(self.positive_part(Sum(constant=int(self.before[number][flavor])).plus(here, -1)))
            kept = Sum()
            for place in np.flatnonzero((view.content > 0) & (view.flavor == flavor)).tolist():
                if view.upper[place] <= view.content[place]:
                    kept.add(y[place], 1)
                    continue
                stays = self.derive(Sum().add(y[place], 1), 0, int(view.content[place]))
                self.row(Sum().add(y[place], 1).add(stays, -1), 0, None)
                kept.add(stays, 1)
            if flavor in floating:
                settled = self.derive(Sum().plus(here).plus(kept, -1), 0, floating[flavor])
                self.row(Sum().plus(here).plus(kept, -1).add(settled, -1), 0, None)
                kept.add(settled, 1)
            moved.constant += int(self.before[number][flavor])
            moved.plus(kept, -1)
        return left, moved

    def _budget_rows(self) -> None:
        """Limits on the VMs that change host, or host or node; in all, and in and out of a host."""
        budget = self.problem.budget
        if budget.moves is not None:
            self.row(total_of(moved for _, moved in self.changes()), None, budget.moves)
        if budget.migrations is not None:
            self.row(total_of(left for left, _ in self.changes()), None, budget.migrations)
        if budget.host_out is not None:
            for left, _ in self.changes():
                self.row(left, None, budget.host_out)
        if budget.host_in is not None:
            self._host_in_rows(budget.host_in)

    def _host_in_rows(self, limit: int) -> None:
        """At most `limit` VMs migrate to a host; arriving ones, which are told from migrants by a count, do not."""
        arrivals: dict[int, Sum] = defaultdict(Sum)
        for host, (number, _) in enumerate(self.hosts):
            view, _ = self.here(host)
            migrants = Sum()
            for flavor in np.unique(view.flavor[~view.phantom]).tolist():
                arriving = self.problem.flavors[flavor].arriving
                if self.demand[flavor] == arriving:
                    continue
                more = self._vms_of(host, [flavor])
                more.constant -= int(self.before[number][flavor])
                if arriving:
                    new = self.derive(Sum().plus(more), 0, arriving)
                    arrivals[flavor].add(new, 1)
                    more.add(new, -1)
                migrants.plus(self.positive_part(more))
            self.row(migrants, None, limit)
        for flavor, total in arrivals.items():
            self.row(total.add(self.unplaced[flavor], 1), None, self.problem.flavors[flavor].arriving)

    def _cross_rule(self, index: int) -> Sum:
        """Return the excess of a rule over several hosts, having limited it to what it is at the start."""
        rule = self.problem.rules[index]
        domains, start = self._domains(index)
        excess = Sum()
        if rule.kind == "spread":
            for domain, members in domains.items():
                over = Sum(constant=-rule.max_per).plus(members)
                limit = max(0, start[domain] - rule.max_per)
                self.row(over, None, limit)
                if limit:
                    excess.plus(self.positive_part(over))
            return excess
        used, was = Sum(constant=-1), sum(1 for many in start.values() if many)
        for members in domains.values():
            used.plus(self.is_positive(members))
        self.row(used, None, max(0, was - 1))
        return self.positive_part(used)

    def _domains(self, index: int) -> tuple[dict[object, Sum], dict[object, int]]:
        """Return a rule's members in each domain, and how many there are at the start."""
        rule = self.problem.rules[index]
        members: dict[object, Sum] = defaultdict(Sum)
        start: dict[object, int] = defaultdict(int)
        for host, (number, _) in enumerate(self.hosts):
            view, y = self.here(host)
            chosen = np.isin(view.flavor, rule.members)
            if rule.scope == "node":
                fixed = view.host_class.fixed_on.get(index, np.zeros(view.shape.nodes, dtype=np.int64))
                floating = sum(many for flavor, many in view.host_class.floating if flavor in rule.members)
                for node in range(view.shape.nodes):
                    on = chosen & view.shape.touches[view.placements, node]
                    members[host, node].add(y[on], 1).constant += int(fixed[node])
                    start[host, node] += int(view.content[on].sum()) + int(fixed[node]) + floating
                continue
            domain = -1 if rule.scope == "host" else view.host_class.domain.get(rule.scope, -1)
            if domain < 0 and rule.scope != "host":
                continue
            key = domain if domain >= 0 else (-1, host)
            immovable = view.host_class.fixed_members.get(index, 0)
            members[key].add(y[chosen], 1).constant += immovable
            start[key] += immovable + int(self.before[number][list(rule.members)].sum())
        return members, start
