"""Changes that cure a conflict, the smallest of each kind, each verified by a solve before it is named."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from dataclasses import dataclass

from placer.explain.trials import Parts, Rules, Trials, fewest
from placer.measure.moved import is_present
from placer.measure.rule_excess import OWN_SCOPES
from placer.model.fleet import Fleet
from placer.model.host import Host
from placer.model.rules import Rule, RuleKind
from placer.model.units import count
from placer.model.vm import MAX_AUTO_CELLS, Cell, CellMode, Vm
from placer.planning.compile.needs import auto_cells, part_memory, part_vcpus
from solvers.problem import MoveBudget

MOST_HOSTS = 16
MOST_SHAPES = 5
MOST_DOMAINS = 8
_NAMED = 5

Change = Callable[[Parts, int], Fleet]
"""Parts of the fleet after so much of a change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cure:
    """One change that lets every VM of the conflict be placed.

    `kind` is ``relax-rule``, ``lift-in-one``, ``lift-rule``, ``more-nodes``, ``drop-vms``, ``allow-moves`` or
    ``add-hosts``; `fleet` and `max_moves` are what to solve with it. `cures_all` says whether then every VM of the
    whole fleet has a place (a solve found it).
    """

    kind: str
    text: str
    fleet: Fleet
    max_moves: int | None
    cures_all: bool


def find_cures(trials: Trials, whole: Parts, core: Parts) -> tuple[Cure, ...]:
    """Return cures of a core, each tried on the core and then on the whole fleet."""
    return tuple(_Cures(trials, whole, core).all())


class _Cures:
    def __init__(self, trials: Trials, whole: Parts, core: Parts) -> None:
        self.trials, self.fleet = trials, trials.fleet
        self.whole, self.core = whole, core
        self.budget = trials.budget if core.limit else MoveBudget()

    def all(self) -> Iterator[Cure]:
        """Yield the cures, small changes of rules first."""
        for number in self.core.rules:
            yield from self._relaxed(number)
            if self.fleet.rules[number].kind is RuleKind.ANTI_AFFINITY:
                yield from self._lifted_in_one(number)
        for number in self.core.rules:
            yield from self._lifted(number)
        yield from self._reshaped()
        yield from self._dropped()
        yield from self._moved()
        yield from self._grown()

    def _cure(self, kind: str, text: str, fleet: Fleet, budget: MoveBudget | None = None) -> Cure:
        limits = budget or self.trials.budget
        found = bool(self.trials.all_placed(fleet, limits))
        return Cure(kind=kind, text=text, fleet=fleet, max_moves=limits.moves, cures_all=found)

    def _cures_core(self, fleet: Fleet) -> bool:
        return bool(self.trials.all_placed(fleet, self.budget))

    def _count(self, change: Change, core_most: int, whole_most: int) -> int | None:
        """Return how much of a change lets the whole fleet be placed, or else the core; None where it does neither."""
        least = _smallest(core_most, lambda count: self._cures_core(change(self.core, count)))
        if least is None:
            return None
        found = _smallest(
            whole_most, lambda count: bool(self.trials.all_placed(change(self.whole, count), self.trials.budget)), least
        )
        return least if found is None else found

    def _relaxed(self, number: int) -> Iterator[Cure]:
        """Let a rule that is about a number allow more: as little more as suffices."""
        rule = self.fleet.rules[number]
        most = _widest(rule, [self.fleet.vms[vm].spec.vcpus for vm in self.whole.vms], len(self.fleet.hosts))

        def wider(parts: Parts, more: int) -> Fleet:
            return self.trials.part(parts, {number: _wider(rule, more)})

        needed = self._count(wider, most, most) if most else None
        if needed is not None:
            text = f"let the rule {rule.label} {_as_wide(_wider(rule, needed))}"
            yield self._cure("relax-rule", text, wider(self.whole, needed))

    def _lifted_in_one(self, number: int) -> Iterator[Cure]:
        """Lift an anti-affinity rule over a host label in one domain alone: the first that suffices."""
        rule = self.fleet.rules[number]
        if rule.scope in OWN_SCOPES or rule.unless:
            return
        domains = dict.fromkeys(rule.domain_of(host.name, host.labels) for host in self.fleet.hosts)
        named = [domain for domain in domains if domain is not None]
        for domain in named[:MOST_DOMAINS] if len(named) > 1 else ():
            lifted: Rules = {number: dataclasses.replace(rule, unless={rule.scope: domain})}
            if self._cures_core(self.trials.part(self.core, lifted)):
                where = f"in {rule.scope} {domain}: unless: {{{rule.scope}: {domain}}}"
                text = f"lift the rule {rule.label} {where}"
                yield self._cure("lift-in-one", text, self.trials.part(self.whole, lifted))
                return

    def _lifted(self, number: int) -> Iterator[Cure]:
        rest = _without_rule(self.core, number)
        if self._cures_core(self.trials.part(rest)):
            text = f"lift the rule {self.fleet.rules[number].label}"
            yield self._cure("lift-rule", text, self.trials.part(_without_rule(self.whole, number)))

    def _reshaped(self) -> Iterator[Cure]:
        """Let flat and one-cell arrivals take several nodes: as few nodes as cure the core, then as few VMs."""
        mine, others = self._narrow(self.core), self._narrow(self.whole)
        for cells in range(2, MAX_AUTO_CELLS + 1):
            core_able = [n for n in mine if cells in auto_cells(_auto(self.fleet.vms[n]).spec)]
            able = core_able + [
                n for n in others if n not in core_able and cells in auto_cells(_auto(self.fleet.vms[n]).spec)
            ]

            def widened(parts: Parts, count: int, cells: int = cells, able: Sequence[int] = able) -> Fleet:
                return self._in_cells(parts, able[:count], cells)

            count = self._count(widened, len(core_able), len(able)) if core_able else None
            if count is not None:
                yield self._in_few_cells(tuple(able[:count]), cells)
                return

    def _narrow(self, parts: Parts) -> list[int]:
        """Return the arrivals that are on one node, the largest first: a node holds those least easily."""
        vms = self.fleet.vms
        chosen = [n for n in parts.vms if _is_narrow(self.fleet, vms[n])]
        return sorted(chosen, key=lambda n: (-vms[n].spec.vcpus, -vms[n].spec.memory_kib, n))

    def _in_few_cells(self, able: tuple[int, ...], cells: int) -> Cure:
        """Return the cure with as few of these VMs in so many cells as still do for what all of them do."""
        scope, budget = self.whole, self.trials.budget
        if not self.trials.all_placed(self._in_cells(self.whole, able, cells), budget):
            scope, budget = self.core, self.budget
        chosen = fewest(able, lambda kept: bool(self.trials.all_placed(self._in_cells(scope, kept, cells), budget)))
        what = "this VM" if len(chosen) == 1 else f"these {len(chosen)} VMs"
        text = f"let {what} ({self._names(chosen)}) use {count(cells, 'node')}: cells: {cells}"
        return self._cure("more-nodes", text, self._in_cells(self.whole, chosen, cells))

    def _in_cells(self, parts: Parts, chosen: Collection[int], cells: int) -> Fleet:
        """Return the parts' fleet with the chosen VMs in so many equal cells."""
        own, picked = self.fleet.vms, frozenset(chosen)
        vms = tuple(_split(own[n], cells) if n in picked else own[n] for n in parts.vms)
        return dataclasses.replace(self.trials.part(parts), vms=vms)

    def _dropped(self) -> Iterator[Cure]:
        """Leave out arrivals of the lowest priority: one of a minimal core, more where other VMs conflict too."""
        arriving = [n for n in self.core.vms if not is_present(self.fleet, self.fleet.vms[n])]
        if not arriving:
            return
        lowest = min(self.fleet.vms[n].spec.priority for n in arriving)
        for_first = [n for n in arriving if self.fleet.vms[n].spec.priority == lowest]

        def fewer(parts: Parts, count: int) -> Fleet:
            gone = frozenset(for_first[-count:])
            return self.trials.part(dataclasses.replace(parts, vms=tuple(n for n in parts.vms if n not in gone)))

        count = self._count(fewer, len(for_first), len(for_first))
        if count is not None:
            what = "VM" if count == 1 else "VMs"
            text = f"drop {count} {what} of priority {lowest} ({self._names(for_first[-count:])})"
            yield self._cure("drop-vms", text, fewer(self.whole, count))

    def _moved(self) -> Iterator[Cure]:
        """Allow the fewest moves that suffice."""
        if not self.core.limit:
            return
        fleet = self.trials.part(self.whole)
        most = sum(is_present(fleet, vm) for vm in fleet.vms)
        needed = _smallest(most, lambda count: bool(self.trials.all_placed(fleet, MoveBudget(moves=count))))
        if needed is not None:
            what = "move" if needed == 1 else "moves"
            text = f"allow {needed} {what}: --max-moves {needed}"
            yield self._cure("allow-moves", text, fleet, MoveBudget(moves=needed))

    def _grown(self) -> Iterator[Cure]:
        """Add the fewest hosts of one shape, alike in all, or in racks of their own where a rule spreads over racks."""
        rules = (self.fleet.rules[n] for n in self.core.rules)
        labels = frozenset(rule.scope for rule in rules if _spreads(rule))
        shapes: dict[Hashable, Host] = {}
        for host in self.fleet.hosts:
            shapes.setdefault((_size(host), host.labels.get("rack") if not labels else None), host)
        for host in list(shapes.values())[:MOST_SHAPES]:

            def grown(parts: Parts, count: int, host: Host = host) -> Fleet:
                return _with_hosts(self.trials.part(parts), host, count, labels)

            needed = self._count(grown, MOST_HOSTS, MOST_HOSTS)
            if needed is not None:
                where = f", each in a {' and '.join(sorted(labels))} of its own" if labels else ""
                text = f"add {needed} {'host' if needed == 1 else 'hosts'} like {host.name}{where}"
                yield self._cure("add-hosts", text, grown(self.whole, needed))

    def _names(self, chosen: Collection[int]) -> str:
        names = [self.fleet.vms[n].name for n in sorted(chosen)]
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        return ", ".join(names[:_NAMED]) + more


def _without_rule(parts: Parts, number: int) -> Parts:
    return dataclasses.replace(parts, rules=tuple(n for n in parts.rules if n != number))


def _spreads(rule: Rule) -> bool:
    return rule.kind is RuleKind.ANTI_AFFINITY and rule.scope not in OWN_SCOPES


def _is_narrow(fleet: Fleet, vm: Vm) -> bool:
    return not is_present(fleet, vm) and vm.spec.cell_mode is not CellMode.AUTO and len(vm.spec.cells) == 1


def _auto(vm: Vm) -> Vm:
    return dataclasses.replace(vm, spec=dataclasses.replace(vm.spec, cell_mode=CellMode.AUTO, cells=(), interleave=1))


def _split(vm: Vm, count: int) -> Vm:
    """Return the VM in so many equal cells."""
    spec = _auto(vm).spec
    parts = zip(part_vcpus(spec, count), part_memory(spec, count), strict=True)
    cells = tuple(Cell(vcpus=frozenset(run), memory_kib=kib) for run, kib in parts)
    return dataclasses.replace(vm, spec=dataclasses.replace(spec, cell_mode=CellMode.GIVEN, cells=cells))


def _size(host: Host) -> Hashable:
    """Return what makes hosts alike to one who buys some: imported fleets have a topology object a host."""
    topology = host.topology
    nodes = tuple((len(node.cpus), node.memory_kib, tuple(sorted(node.pages.items()))) for node in topology.nodes)
    return nodes, len(topology.cores), topology.distances, tuple(sorted(host.resources.items())), host.cpu_ratio


def _with_hosts(fleet: Fleet, like: Host, count: int, own_labels: frozenset[str]) -> Fleet:
    taken = {host.name for host in fleet.hosts}
    added: list[Host] = []
    number = 0
    while len(added) < count:
        number += 1
        name = f"{like.name}-new-{number}"
        if name not in taken:
            labels = {**like.labels, **dict.fromkeys(own_labels, name)}
            added.append(dataclasses.replace(like, name=name, uuid=None, failed=False, labels=labels))
    return dataclasses.replace(fleet, hosts=(*fleet.hosts, *added))


def _widest(rule: Rule, vcpus: Sequence[int], hosts: int) -> int:
    """Return how much more a rule about a number can allow until it says nothing; 0 for other kinds.

    `vcpus` are those of the VMs there are.
    """
    match rule.kind:
        case RuleKind.ANTI_AFFINITY | RuleKind.APART | RuleKind.EVEN:
            return len(vcpus)
        case RuleKind.SPREAD:
            return max(0, rule.domains_used - 1)
        case RuleKind.SHARE:
            return {"vcpus": sum(vcpus), "hosts": hosts}.get(rule.of or "", 0)
    return 0


def _wider(rule: Rule, more: int) -> Rule:
    """Return a rule that allows so much more."""
    match rule.kind:
        case RuleKind.SPREAD:
            return dataclasses.replace(rule, domains_used=rule.domains_used - more)
        case RuleKind.EVEN:
            return dataclasses.replace(rule, skew=rule.skew + more)
        case RuleKind.SHARE:
            return dataclasses.replace(rule, most=rule.most + more)
    return dataclasses.replace(rule, max_per=rule.max_per + more)


def _as_wide(rule: Rule) -> str:
    """Return in words what a rule allows, with its key in an inventory."""
    one = f"one { ({'node': 'NUMA node', 'l3': 'L3 domain'}.get(rule.scope, rule.scope)) }"
    match rule.kind:
        case RuleKind.SPREAD:
            return f"be content with {rule.domains_used} of {rule.scope}: at_least: {rule.domains_used}"
        case RuleKind.EVEN:
            return f"have {count(rule.skew, 'VM')} more in {one} than in another: max_skew: {rule.skew}"
        case RuleKind.SHARE:
            what = count(rule.most, {"vcpus": "vCPU", "hosts": "host"}[rule.of or ""])
            return f"have {what} of {one}: max_{rule.of}: {rule.most}"
        case RuleKind.APART:
            return f"have {count(rule.max_per, 'VM')} beside the others in {one}: max_together: {rule.max_per}"
    return f"have {count(rule.max_per, 'VM')} in {one}: max_per: {rule.max_per}"


def _smallest(most: int, holds: Callable[[int], bool], least: int = 1) -> int | None:
    """Return the smallest count from `least` to `most` that holds, for a property that larger counts keep, or None."""
    low, high = least - 1, least
    while not holds(high):
        if high >= most:
            return None
        low, high = high, min(2 * high, most)
    while high - low > 1:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle
    return high
