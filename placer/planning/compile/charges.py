"""Goals that count hosts in use: what each host counts while it holds a VM, or one of a group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from placer.model.fleet import Fleet
from placer.model.goals import Goal
from placer.model.host import Host
from placer.model.rules import Rule, RuleKind
from placer.planning.compile.label_loads import LabelLoads
from placer.planning.compile.needs import Needs
from solvers.problem import COST_UNIT

COUNTED = ("hosts", "power", "hosts of", "cores of")
"""Kinds of goal that count hosts in use."""
UNITS = {"hosts": COST_UNIT, "power": COST_UNIT}


@dataclass(frozen=True, slots=True)
class Charges:
    """What hosts count: towards the goal `first` whatever they hold, as their cost; towards `others` as rules; and what
    they have of `loads`.
    """

    fleet: Fleet
    first: Goal | None
    others: tuple[Goal, ...]
    loads: LabelLoads

    @classmethod
    def of(cls, fleet: Fleet, goals: Sequence[Goal], loads: LabelLoads) -> Charges:
        """Choose the goal whose charges are the costs of hosts: engines know these best."""
        counted = [goal for goal in goals if goal.kind in COUNTED]
        first = next((goal for goal in counted if goal.chosen is None or _by_hosts(fleet, goal)), None)
        return cls(fleet=fleet, first=first, others=tuple(goal for goal in counted if goal is not first), loads=loads)

    def groups(self) -> tuple[Rule, ...]:
        """Return the VMs that each of the other goals asks for, all or those of a label: rules that limit nothing."""
        asked = tuple(
            Rule(
                kind=RuleKind.GROUP,
                members=None if goal.chosen is None or _by_hosts(self.fleet, goal) else dict([goal.chosen]),
                name=goal.name,
            )
            for goal in self.others
        )
        return (*asked, *self.loads.rules())

    def cost(self, host: Host) -> int:
        """Return the cost of a host in use."""
        return 0 if self.first is None else _charge(self.fleet, self.first, host)

    def by_goal(self, host: Host) -> tuple[tuple[str, int], ...]:
        """Return what a host counts towards each of the other goals, and has of each load."""
        return (*((goal.name, _charge(self.fleet, goal, host)) for goal in self.others), *self.loads.has(host))

    def watts_a_cpu(self, host: Host) -> float | None:
        """Return the watts that a CPU at work takes beyond an idle one; None where no goal asks."""
        asked = [self.first, *self.others]
        if not any(goal is not None and goal.kind == "power" for goal in asked):
            return None
        idle = host.idle_watts or 0.0
        return max(0.0, (idle if host.busy_watts is None else host.busy_watts) - idle) / max(1, len(host.usable_cpus))


def power_of(needs: Needs, watts_a_cpu: float, ratio: float) -> int:
    """Return the power that a VM takes, in millionths of a watt."""
    parts = needs.options[0]
    return round(COST_UNIT * watts_a_cpu * sum(part.dedicated + part.shared / ratio for part in parts))


def with_groups(fleet: Fleet, charges: Charges) -> Fleet:
    """Return the fleet with the groups that goals ask for behind its rules."""
    groups = charges.groups()
    return replace(fleet, rules=(*fleet.rules, *groups)) if groups else fleet


def _by_hosts(fleet: Fleet, goal: Goal) -> bool:
    """Tell whether a goal is about hosts of a label, and not about VMs of one."""
    assert goal.chosen is not None
    label, value = goal.chosen
    return any(host.labels.get(label) == value for host in fleet.hosts)


def _charge(fleet: Fleet, goal: Goal, host: Host) -> int:
    if goal.kind == "hosts":
        return round(COST_UNIT * host.cost)
    if goal.kind == "power":
        return round(COST_UNIT * (host.idle_watts or 0.0))
    assert goal.chosen is not None
    label, value = goal.chosen
    if _by_hosts(fleet, goal) and host.labels.get(label) != value:
        return 0
    return 1 if goal.kind == "hosts of" else len(host.topology.cores)
