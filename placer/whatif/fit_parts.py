"""New VMs planned beside what runs on some hosts of a fleet, and what in the rest of the fleet that depends on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from placer.errors import ImpossibleError, NothingFoundError
from placer.failures.kept import Row
from placer.measure.rule_excess import OWN_SCOPES, TYING, WHOLE
from placer.measure.score import goal_values
from placer.model.fleet import Fleet
from placer.model.host import Host
from placer.model.plan import Change, Plan, PlanVm, Unplaced
from placer.model.rules import Rule, RuleKind, matches
from placer.model.vm import Movable, Vm
from placer.options import SolveOptions
from placer.planner import solve_with
from placer.whatif.takers import concerns

GOALS = ("placed", "rules", "remote")
FEW_MOVES = ("placed", "rules", "moves", "remote")
TOLERANCE = 1e-6
"""Values are computed in floating point."""
Slots = tuple[tuple[Vm, ...], tuple[Rule, ...]]
"""Stand-ins for slots that stay free, and what confines them."""
NO_SLOTS: Slots = ((), ())
_CONFINED = (RuleKind.DRAIN, RuleKind.WITHIN, RuleKind.OUTSIDE, RuleKind.DEDICATED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """Where the new VMs go.

    Attributes
    ----------
    vms : the new VMs that have a place; `unplaced` those without, with why.
    moved, repinned : VMs that run and would have to go elsewhere, or on other CPUs of their nodes, for that.
    hosts : how many hosts were planned, of `hosts_in_all`.
    proven : no plan within the moves allowed places more of them; None where all have a place.
    reserve : what each reserve rule keeps beside them, as of a plan.
    wanted : what the new VMs need, by their names.
    """

    vms: tuple[PlanVm, ...]
    unplaced: tuple[Unplaced, ...]
    moved: tuple[PlanVm, ...]
    repinned: tuple[str, ...]
    hosts: int
    hosts_in_all: int
    proven: bool | None
    reserve: tuple[Row, ...] = ()
    wanted: tuple[Vm, ...] = ()


@dataclass(frozen=True, slots=True)
class PartPlanner:
    """Plans new VMs beside those on some hosts, and beside slots; `on` : host -> the VMs on it."""

    fleet: Fleet
    on: Mapping[str, Sequence[Vm]]
    new: Sequence[Vm]
    held: Slots
    options: SolveOptions

    def part(
        self, hosts: Sequence[Host], new: Sequence[Vm], *, keep: bool, moves: bool = False, tied_stay: bool = True
    ) -> Fleet:
        """Return these hosts with who is there, the new VMs, and the rules that a plan of them has to keep.

        Parameters
        ----------
        keep : VMs keep the CPUs they have for themselves.
        moves : VMs may move; those that rules tie to others `tied_stay`, where they may be tied to VMs elsewhere.

        Notes
        -----
        Rules that tie VMs count where they hold one of the new ones: their other members are in the part then. Without
        moves none of the others is concerned.
        """
        tying = [rule for rule in self.fleet.rules if _ties(rule, self.new)]
        hosts = self._with_members(hosts, tying)
        there = [vm for host in hosts for vm in self.on.get(host.name, ())]
        if keep:
            there = [_pinned(vm) for vm in there]
        if moves and tied_stay:
            held = [rule for rule in self.fleet.rules if rule.kind in TYING]
            there = [dataclasses.replace(vm, movable=Movable.NO) if _is_tied(vm, held) else vm for vm in there]
        everyone = [*there, *new]
        ties = moves and not tied_stay
        rules = [rule for rule in self.fleet.rules if _counts(rule, tying, ties) and concerns(rule, hosts, everyone)]
        return dataclasses.replace(
            self.fleet,
            hosts=tuple(hosts),
            vms=(*there, *self.held[0], *new),
            rules=(*rules, *self.held[1]),
            digest="",
        )

    def _with_members(self, hosts: Sequence[Host], tying: Sequence[Rule]) -> list[Host]:
        """Return the hosts, those that hold a member of such a rule beyond hosts, and one of each of its domains."""
        far = [rule for rule in tying if rule.scope not in OWN_SCOPES or rule.kind in WHOLE]
        out = {host.name: host for host in hosts}
        if not far or len(out) == len(self.fleet.hosts):
            return list(out.values())
        seen = {(rule.scope, rule.domain_of(host.name, host.labels)) for rule in far for host in hosts}
        for host in self.fleet.hosts:
            domains = {(rule.scope, rule.domain_of(host.name, host.labels)) for rule in far}
            holds = any(_is_tied(vm, far) for vm in self.on.get(host.name, ()))
            if not host.failed and (holds or not domains <= seen):
                out.setdefault(host.name, host)
                seen |= domains
        return list(out.values())

    def planned(
        self,
        hosts: Sequence[Host],
        new: Sequence[Vm],
        *,
        keep: bool,
        max_moves: int = 0,
        tied_stay: bool = False,
        goals: tuple[str, ...] = GOALS,
    ) -> Fit:
        """Plan new VMs beside those of some hosts, and beside slots; see `part`."""
        part = self.part(hosts, new, keep=keep, moves=bool(max_moves), tied_stay=tied_stay)
        options = dataclasses.replace(self.options, goals=goals, max_moves=max_moves)
        many, in_all = len(part.hosts), len(self.fleet.hosts)
        try:
            quick = _at_once(part, new, options) if self.held == NO_SLOTS and not max_moves else None
            plan = quick or solve_with(part, options)
        except (ImpossibleError, NothingFoundError) as error:
            none = tuple(Unplaced(name=vm.name, reason=str(error)) for vm in new)
            return Fit(vms=(), unplaced=none, moved=(), repinned=(), hosts=many, hosts_in_all=in_all, proven=False)
        names = {vm.name for vm in new}
        others = {vm.name for host in part.hosts for vm in self.on.get(host.name, ())}
        beside = ", beside the slots that rules keep free" if self.held[0] else ""
        known = part.vm_by_name
        placed = plan.goal("placed")
        left = tuple(one for one in plan.unplaced if one.name in names)
        return Fit(
            vms=tuple(vm for vm in plan.vms if vm.name in names),
            unplaced=tuple(dataclasses.replace(one, reason=one.reason + beside) for one in left),
            moved=tuple(vm for vm in plan.vms if vm.name in others and vm.change.moves),
            repinned=tuple(
                vm.name
                for vm in plan.vms
                if vm.name in others and vm.change is Change.REPIN and _has_pins(known[vm.name])
            ),
            hosts=many,
            hosts_in_all=in_all,
            proven=(placed.status == "optimal" and many == in_all) if left else None,
        )


def _at_once(fleet: Fleet, new: Sequence[Vm], options: SolveOptions) -> Plan | None:
    """Return a plan in which all fit and are as near as can be, if it is found without an engine: to load one takes
    longer than the answer.
    """
    try:
        plan = solve_with(fleet, dataclasses.replace(options, engine="greedy"))
    except NothingFoundError:
        return None
    names = {vm.name for vm in new}
    before = dataclasses.replace(plan, vms=tuple(vm for vm in plan.vms if vm.name not in names))
    old = dataclasses.replace(fleet, vms=tuple(vm for vm in fleet.vms if vm.name not in names), digest="")
    base = goal_values(old, before, GOALS)
    nothing_more = all(abs((plan.goal(name).value or 0) - (base[name] or 0)) <= TOLERANCE for name in GOALS)
    return plan if nothing_more and not plan.unplaced else None


def _ties(rule: Rule, new: Sequence[Vm]) -> bool:
    """Tell whether a rule ties one of the new VMs to others: it selects it, or has its members alone."""
    if rule.kind not in TYING or rule.is_soft:
        return False
    return rule.kind is RuleKind.ALONE or any(
        matches(chosen, vm.name, vm.spec.labels) for chosen in rule.selections for vm in new
    )


def _is_tied(vm: Vm, rules: Sequence[Rule]) -> bool:
    return any(matches(chosen, vm.name, vm.spec.labels) for rule in rules for chosen in rule.selections)


def _counts(rule: Rule, tying: Sequence[Rule], ties: bool) -> bool:
    """Tell whether a rule is kept by the plan of a part: it confines VMs, ties new ones, or VMs that may move."""
    if rule.kind is RuleKind.RESERVE:
        return False
    return rule.kind in _CONFINED or ties or any(rule is one for one in tying)


def _pinned(vm: Vm) -> Vm:
    """Return a VM that keeps the CPUs it has for itself."""
    current = vm.current
    if current is None or len(current.pins) != vm.spec.vcpus or any(len(pin) != 1 for pin in current.pins.values()):
        return vm
    return dataclasses.replace(vm, pins_fixed=True)


def _has_pins(vm: Vm) -> bool:
    return vm.current is not None and bool(vm.current.pins)
