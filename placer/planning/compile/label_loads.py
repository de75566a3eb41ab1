"""Loads of the hosts of a label, for goals of balance: each is a rule that limits nothing and counts what is uneven."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from placer.model.balance import MEMORY, USAGE, Load, memory_kib
from placer.model.fleet import Fleet
from placer.model.host import Host
from placer.model.rules import Rule, RuleKind
from placer.model.units import KIB_PER_GIB
from placer.planning.compile.needs import Needs
from placer.planning.compile.row_table import PER_CPU
from solvers.problem import COST_UNIT, CrossRule

MOST_PARTS = COST_UNIT * 10_000


@dataclass(slots=True)
class LabelLoads:
    """The loads over labels of hosts that goals ask for, each under a name of its own.

    A shared vCPU counts by the largest overcommit of the fleet wherever it is: where hosts differ in it, what the
    counts prove is a bound, and the finished plan is measured.
    """

    loads: dict[str, Load] = field(default_factory=dict)
    ratio: Fraction = Fraction(1)
    memory_unit: int = 1

    @classmethod
    def of(cls, fleet: Fleet, loads: Iterable[Load]) -> LabelLoads:
        """Choose the loads that are over labels."""
        chosen = {f"{load.goal} {load.resource}": load for load in loads if load.by_label}
        ratios = [Fraction(str(host.cpu_ratio)) for host in fleet.hosts if not host.failed]
        return cls(loads=chosen, ratio=max(ratios, default=Fraction(1)))

    def rules(self) -> tuple[Rule, ...]:
        """Return all VMs as groups, one a load."""
        return tuple(Rule(kind=RuleKind.GROUP, scope=load.places, name=name) for name, load in self.loads.items())

    def units(self) -> dict[str, int]:
        """Return the unit of each goal, in which what a step costs is a whole number unless that grows too large."""
        found: dict[str, int] = {}
        for load in self.loads.values():
            found[load.goal] = math.lcm(found.get(load.goal, COST_UNIT), self._parts(load).numerator)
        return {goal: unit if unit <= MOST_PARTS else COST_UNIT * 1_000 for goal, unit in found.items()}

    def has(self, host: Host) -> tuple[tuple[str, int], ...]:
        """Return what a host has of each load, in its units."""
        return tuple(
            (
                name,
                memory_kib(host) // self.memory_unit
                if load.resource == MEMORY
                else len(host.usable_cpus) * self._a_cpu(load.resource),
            )
            for name, load in self.loads.items()
        )

    def amount(self, name: str, needs: Needs, busy: int | None, online: int | None) -> int:
        """Return what a VM counts of a load; `busy` is what of its time a vCPU uses, in thousandths, if it is known.

        `online` are the vCPUs of one that may float, dedicated ones too: they count as shared ones do.
        """
        load, parts = self.loads[name], needs.options[0]
        if load.resource == MEMORY:
            return sum(part.memory_kib + part.overhead_kib for part in parts) // self.memory_unit
        if load.resource == USAGE and busy is not None:
            return sum(part.vcpus for part in parts) * busy * self.ratio.numerator
        own = sum(part.dedicated for part in parts) + needs.extra_cpu
        asked = own * self.ratio.numerator + sum(part.shared for part in parts) * self.ratio.denominator
        if online is not None:
            asked = min(asked, online * self.ratio.denominator)
        return asked * PER_CPU[load.resource]

    def rule(self, rule: Rule, members: Sequence[int], amounts: Sequence[int]) -> CrossRule:
        """Return a load as the engines take it; `amounts` are what a VM of each member counts."""
        name = rule.name or ""
        load = self.loads[name]
        return CrossRule(
            name=name,
            kind="load",
            members=tuple(members),
            scope=rule.domains,
            amounts=tuple(amounts),
            steps=load.steps,
            goal=load.goal,
            weight=int(self.units()[load.goal] / self._parts(load)),
        )

    def _a_cpu(self, resource: str) -> int:
        return self.ratio.numerator * PER_CPU[resource]

    def _parts(self, load: Load) -> Fraction:
        """Return of how many thousandths of a unit a load's goal makes one."""
        memory = load.resource == MEMORY
        one = Fraction(KIB_PER_GIB, self.memory_unit) if memory else Fraction(self._a_cpu(load.resource))
        return load.parts(one)
