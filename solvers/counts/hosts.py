"""The exact engine's variables, integers ``y[host, placement]``, and every rule of the problem, one method each.

All variables but y and `unplaced` are derived (`solvers.backends.cpsat_rows`), so a full solution follows from
patterns alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from solvers.backends.cpsat_rows import RowWriter, Sum, total_of
from solvers.counts.host_block import HostBlock
from solvers.counts.host_view import HostView, host_view
from solvers.problem import LOAD_SCALE, CrossRule, IntArray, Problem


class HostModel(RowWriter):
    """What the hosts of a problem can hold, and what ties them."""

    def __init__(self, problem: Problem, *, symmetry: bool = True, chains: bool = True) -> None:
        super().__init__()
        self.problem = problem
        self._phantom = np.array([flavor.phantom for flavor in problem.flavors], dtype=np.bool_)
        self._settles = np.array([flavor.settles for flavor in problem.flavors], dtype=np.bool_)
        self.demand = problem.demand()
        self.before = [problem.content_of(number) for number in range(len(problem.classes))]
        self.views = [self._view(number) for number in range(len(problem.classes))]
        self.hosts = [number for number, one in enumerate(problem.classes) for _ in range(one.count)]
        """The class of each host, class by class."""
        self.blocks = [HostBlock(self, self.views[number]) for number in self.hosts]
        self.unplaced = [
            self.variable(0, 0 if flavor.phantom else flavor.arriving) if flavor.arriving else -1
            for flavor in problem.flavors
        ]
        for block in self.blocks:
            block.write_capacity()
        self._demand_rows()
        for block in self.blocks:
            block.write_permissions()
        if symmetry:
            self._order_rows()
        if symmetry and chains:
            for block in self.blocks:
                block.write_chains()
        self._budget_rows()
        self.rule_excess: dict[str, Sum] = defaultdict(Sum)
        for index, rule in enumerate(problem.rules):
            self.rule_excess[rule.goal].plus(self._cross_rule(index), rule.weight)

    # -- what a host can hold ------------------------------------------------------------------------------------------

    def _view(self, number: int) -> HostView:
        host_class = self.problem.classes[number]
        shape = self.problem.shapes[host_class.shape]
        return host_view(
            host_class, shape, self.before[number], demand=self.demand, phantom=self._phantom, settles=self._settles
        )

    def here(self, host: int) -> tuple[HostView, IntArray]:
        """Return what a host can hold, and the variables that say how much of it does."""
        block = self.blocks[host]
        return block.view, block.y

    # -- rules of the model --------------------------------------------------------------------------------------------

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

    def _order_rows(self) -> None:
        """Hosts of one class are interchangeable: their VMs' vCPUs never increase from one to the next."""
        for host in range(1, len(self.hosts)):
            if self.hosts[host] != self.hosts[host - 1]:
                continue
            view, y = self.here(host)
            _, previous = self.here(host - 1)
            weight = self.order_key(view)
            self.row(Sum().add(previous, weight).add(y, -weight), 0, None)

    def order_key(self, view: HostView) -> IntArray:
        """Return (A,): what a host's order among its class counts a VM; no automorphism of the host changes it."""
        vcpus = np.array([0 if flavor.phantom else flavor.vcpus for flavor in self.problem.flavors], dtype=np.int64)
        weight: IntArray = vcpus[view.flavor]
        return weight if weight.any() else np.where(view.phantom, 0, 1).astype(np.int64)

    def _budget_rows(self) -> None:
        """Limits on the VMs that change host, or host or node; in all, and in and out of a host."""
        budget = self.problem.budget
        if budget.moves is not None:
            self.row(total_of(block.moved() for block in self.blocks), None, budget.moves)
        if budget.migrations is not None:
            self.row(total_of(block.left() for block in self.blocks), None, budget.migrations)
        if budget.host_out is not None:
            for block in self.blocks:
                self.row(block.left(), None, budget.host_out)
        if budget.host_in is not None:
            self._host_in_rows(budget.host_in)

    def _host_in_rows(self, limit: int) -> None:
        """At most `limit` VMs migrate to a host; arriving ones, which are told from migrants by a count, do not."""
        arrivals: dict[int, Sum] = defaultdict(Sum)
        for block in self.blocks:
            migrants = Sum()
            for flavor in np.unique(block.view.flavor[~block.view.phantom]).tolist():
                arriving = self.problem.flavors[flavor].arriving
                if self.demand[flavor] == arriving:
                    continue
                more = block.more(flavor)
                if arriving:
                    new = self.derive(Sum().plus(more), 0, arriving)
                    arrivals[flavor].add(new, 1)
                    more.add(new, -1)
                migrants.plus(self.positive_part(more))
            self.row(migrants, None, limit)
        for flavor, total in arrivals.items():
            self.row(total.add(self.unplaced[flavor], 1), None, self.problem.flavors[flavor].arriving)

    def _cross_rule(self, index: int) -> Sum:
        """Return the excess of a rule over hosts, having limited it to what it is at the start unless it is soft."""
        rule = self.problem.rules[index]
        if rule.kind == "count":
            return Sum()
        if rule.kind == "load":
            had = self.problem.had(rule)
            return total_of(
                self.positive_part(Sum(constant=-step * had[domain]).plus(carried, LOAD_SCALE))
                for domain, carried in self._carried(rule).items()
                if domain in had
                for step in rule.steps
            )
        domains, start = self._domains(index)
        if rule.kind == "used":
            charges = [self.problem.classes[number].charges.get(rule.goal, 0) for number in self.hosts]
            return total_of(
                Sum().plus(self.is_positive(members), charge)
                for members, charge in zip(domains.values(), charges, strict=True)
                if charge
            )
        if rule.kind in ("spread", "hosts"):
            parts = [
                (Sum(constant=-rule.max_per).plus(members), start[domain] - rule.max_per)
                for domain, members in domains.items()
            ]
        elif rule.kind == "apart":
            parts = list(self._apart(rule, domains, start))
        elif rule.kind == "least":
            parts = [self._least(rule, domains, start)]
        elif rule.kind == "even":
            parts = [self._even(rule, domains, start)]
        else:
            used, was = Sum(constant=-1), sum(1 for many in start.values() if many)
            for members in domains.values():
                used.plus(self.is_positive(members))
            parts = [(used, was - 1)]
        excess = Sum()
        for over, before in parts:
            if not rule.is_soft:
                self.row(over, None, max(0, before))
            if rule.is_soft or before > 0:
                excess.plus(self.positive_part(over))
        return excess

    def _apart(
        self, rule: CrossRule, domains: dict[object, Sum], start: dict[object, int]
    ) -> Iterator[tuple[Sum, int]]:
        """Yield what members of the other group are over their limit where a domain holds a member, and were."""
        others, had = self._domains(rule.against)
        for domain, members in others.items():
            if domain not in domains:
                continue
            index, factor = members.arrays()
            most = self.range_of(index, factor)[1] + members.constant
            if most <= rule.max_per:
                continue
            holds = self.is_positive(domains[domain])
            # No more than all of them are over where there is no member.
            over = Sum(constant=-most).plus(members).plus(holds, most - rule.max_per)
            yield over, had[domain] - rule.max_per if start[domain] else 0

    def _least(self, rule: CrossRule, domains: dict[object, Sum], start: dict[object, int]) -> tuple[Sum, int]:
        """Return the domains that a rule lacks: the fewest, or as many as members are in any, less those used."""
        all_ = total_of(domains.values())
        used = Sum()
        for members in domains.values():
            if members.constant:
                used.constant += 1
            elif len(members.arrays()[0]):
                one = self.derive(members, 0, 1)
                self.row(Sum().plus(members).add(one, -1), 0, None)
                used.add(one, 1)
        index, factor = all_.arrays()
        most = self.range_of(index, factor)[1] + all_.constant
        before = min(rule.max_per, sum(start.values())) - sum(1 for many in start.values() if many)
        # The lesser of two numbers: whether all the domains are asked for decides which one is meant.
        wanted = self.derive(Sum().plus(all_), 0, rule.max_per)
        whole = self.derive(Sum(constant=1 - rule.max_per).plus(all_), 0, 1)
        self.row(Sum().add(wanted, 1).add(whole, -rule.max_per), 0, None)
        self.row(Sum().add(wanted, 1).plus(all_, -1).add(whole, max(0, most)), 0, None)
        return Sum().add(wanted, 1).plus(used, -1), before

    def _even(self, rule: CrossRule, domains: dict[object, Sum], start: dict[object, int]) -> tuple[Sum, int]:
        """Return by how much the domain with most members is too far above the one with fewest."""
        if not domains:
            return Sum(), 0
        counts = list(domains.values())
        most, fewest = Sum().plus(counts[0]), Sum().plus(counts[0])
        for members in counts[1:]:
            most = Sum().plus(most).plus(self.positive_part(Sum().plus(members).plus(most, -1)))
            fewest = Sum().plus(fewest).plus(self.positive_part(Sum().plus(fewest).plus(members, -1)), -1)
        was = [start[domain] for domain in domains]
        return Sum(constant=-rule.max_per).plus(most).plus(fewest, -1), max(was) - min(was) - rule.max_per

    def _carried(self, rule: CrossRule) -> dict[int, Sum]:
        """Return what each domain of a load carries."""
        out: dict[int, Sum] = defaultdict(Sum)
        for host, number in enumerate(self.hosts):
            view, y = self.here(host)
            if rule.name in view.shape.loads:
                row, each = view.shape.loads[rule.name]
                fixed = self.problem.load_of(rule, number, ())
                here = Sum(constant=fixed).add(y, each * np.where(view.phantom, 0, view.use[:, row]))
                out[view.host_class.domain.get(rule.scope, -1)].plus(here)
        return out

    def _domains(self, index: int) -> tuple[dict[object, Sum], dict[object, int]]:
        """Return a rule's members in each domain, and how many there are at the start."""
        rule = self.problem.rules[index]
        members: dict[object, Sum] = defaultdict(Sum)
        start: dict[object, int] = defaultdict(int)
        amounts = np.zeros(len(self.problem.flavors), dtype=np.int64)
        amounts[list(rule.members)] = rule.counts
        for host, number in enumerate(self.hosts):
            view, y = self.here(host)
            chosen = np.isin(view.flavor, rule.members)
            if rule.leaves_out(view.host_class):
                continue
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
            here = Sum(constant=immovable).add(y[chosen], amounts[view.flavor[chosen]])
            before = immovable + int(amounts @ self.before[number])
            if rule.kind == "hosts":
                here, before = self.is_positive(here), int(before > 0)
            members[key].plus(here)
            start[key] += before
        return members, start
