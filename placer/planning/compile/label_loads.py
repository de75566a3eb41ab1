"""Loads of the hosts of a label, for goals of balance: each is a rule that limits nothing and counts what is uneven."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from placer.model.balance import HOSTS, MEMORY, Load, memory_kib
from placer.model.fleet import Fleet
from placer.model.host import Host
from placer.model.rules import Rule, RuleKind
from placer.model.units import KIB_PER_GIB
from placer.planning.compile.row_table import PER_CPU
from placer.planning.compile.rows import Row, RowKind
from solvers.problem import COST_UNIT, CrossRule

MOST_PARTS = COST_UNIT * 10_000
FINEST_RATIO = 100_000
"""Parts of a CPU in which loads of hosts are added up, at most."""


@dataclass(slots=True)
class LabelLoads:
    """The loads over labels of hosts that goals ask for, each under a name of its own.

    What a host carries is a row of its own, in parts of a CPU that its overcommit divides; hosts of a label are added
    up in `ratio` parts of a CPU, which every overcommit divides. Where that would be too many, what a host carries is
    rounded down: then the counts only bound the goal, and the finished plan is measured.
    """

    loads: dict[str, Load] = field(default_factory=dict)
    ratio: int = 1
    memory_unit: int = 1

    @classmethod
    def of(cls, fleet: Fleet, loads: Iterable[Load]) -> LabelLoads:
        """Choose the loads that are over labels."""
        chosen = {f"{load.goal} {load.resource}": load for load in loads if load.by_label}
        ratios = {Fraction(str(host.cpu_ratio)).numerator for host in fleet.hosts if not host.failed}
        ratio = math.lcm(*ratios) if chosen else 1
        return cls(loads=chosen, ratio=ratio if ratio <= FINEST_RATIO else FINEST_RATIO)

    def rules(self) -> tuple[Rule, ...]:
        """Return all VMs as groups, one a load."""
        return tuple(Rule(kind=RuleKind.GROUP, scope=load.places, name=name) for name, load in self.loads.items())

    def kinds(self) -> set[tuple[str, str]]:
        """Return the loads of single hosts that these are added up from, (resource, places)."""
        return {(load.resource, HOSTS) for load in self.loads.values()}

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

    def rows(self, rows: Mapping[Row, int], ratio: Fraction) -> dict[str, tuple[int, int]]:
        """Return load -> the row of hosts of an overcommit that it is of, and what a unit of it counts."""
        out = {}
        for name, load in self.loads.items():
            row = rows.get(Row(RowKind.LOAD, (), load.resource))
            if row is not None:
                out[name] = (row, 1 if load.resource == MEMORY else self.ratio // ratio.numerator)
        return out

    def rule(self, rule: Rule, members: Sequence[int]) -> CrossRule:
        """Return a load as the engines take it."""
        name = rule.name or ""
        load = self.loads[name]
        return CrossRule(
            name=name,
            kind="load",
            members=tuple(members),
            scope=rule.domains,
            steps=load.steps,
            goal=load.goal,
            weight=int(self.units()[load.goal] / self._parts(load)),
        )

    def _a_cpu(self, resource: str) -> int:
        return self.ratio * PER_CPU[resource]

    def _parts(self, load: Load) -> Fraction:
        """Return of how many thousandths of a unit a load's goal makes one."""
        memory = load.resource == MEMORY
        one = Fraction(KIB_PER_GIB, self.memory_unit) if memory else Fraction(self._a_cpu(load.resource))
        return load.parts(one)
