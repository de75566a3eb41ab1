"""Pins: every dedicated vCPU of a host has its CPU, every shared one its set. Hosts of one pattern share the answer."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from placer.errors import Fault, NothingFoundError, RefusedPlanError
from placer.measure.rule_excess import Pair, rule_index, start_excess
from placer.model.rules import RuleKind
from placer.model.vm import Vm
from placer.planning.compile.capacity import FreeCore, with_idle
from placer.planning.compile.compile import Compiled
from placer.planning.compile.needs import Needs, joint_slots, spec_needs
from placer.planning.compile.placements import Placement
from placer.planning.compile.structures import core_of
from placer.planning.decode.cores_before import cores_before
from placer.planning.decode.host_work import HostPins, HostWork
from placer.planning.decode.pins_now import (
    as_of,
    cpus_of_all,
    current_extra,
    domains_to_float,
    fixed_cpus,
    is_sharing,
    is_wide,
    stays_on,
)
from placer.planning.decode.to_float import Floats, most_left, needed
from solvers.pins.apart import pins_apart
from solvers.pins.construct import pin_node
from solvers.pins.cores import Core, Item, L3Rule, PinResult


@dataclass(slots=True)
class Pinner:
    """Pins hosts one by one; equal capacities, patterns and current pins are answered once.

    With `hold` every part that stays on its node keeps the CPUs that it has, but with `yields` not on hosts where what
    floats would then lack CPUs that other pins leave it; else only where the VMs of a node find no CPUs otherwise.
    With `save_cpus` those who leave siblings idle take the cores with fewest, of whatever kind.
    """

    compiled: Compiled
    minimise_l3: bool = False
    save_cpus: bool = False
    hold: bool = False
    yields: bool = False
    _answers: dict[Hashable, HostPins] = field(default_factory=dict)
    _needs: dict[tuple[int, int], tuple[int, Needs]] = field(default_factory=dict)
    _broken: Mapping[Pair, int] | None = None

    def pin(
        self,
        host: int,
        placed: Sequence[tuple[Placement, int]],
        held: frozenset[int] = frozenset(),
        *,
        floats: Floats = (),
        stand_ins: Mapping[int, Vm] = MappingProxyType({}),
    ) -> HostPins:
        """Return the pins of the VMs (placement, index into the fleet) on a host; `held` are CPUs that VMs have which
        are not bound to one node a cell, `floats` what of such VMs floats there, `stand_ins` are pinned instead.

        Raises
        ------
        RefusedPlanError
            The CPU rows allow the counts but they cannot be pinned: a fault of ours.
        NothingFoundError
            A rule over L3 domains, which the counts only bound, cannot be kept on a node.
        """
        capacity = self.compiled.capacities[host]
        name = self.compiled.fleet.hosts[host].name
        vms = [stand_ins.get(number) or as_of(self.compiled.fleet.vms[number], name) for _, number in placed]
        needs = [self._needs_of(vm, len(placement.cpu_nodes)) for vm, (placement, _) in zip(vms, placed, strict=True)]
        here = [self._current(vm, name) for vm in vms]
        tied = [self._l3_rules_of(number) for _, number in placed]
        ids = self.compiled.fleet.hosts[host].topology.node_ids
        stays = [stays_on(vm, placement, ids) for vm, (placement, _) in zip(vms, placed, strict=True)]
        broken = self._broken_by(name, {rule for rules in tied for rule in rules})
        cores = tuple(cores_before(self.compiled.fleet, number, name, place) for place, number in placed)
        key = (
            id(capacity),
            held,
            floats,
            cores,
            tuple(sorted(broken.items(), key=str)),
            tuple(
                (need[0], placement, pins, rules, stay)
                for need, (placement, _), pins, rules, stay in zip(needs, placed, here, tied, stays, strict=True)
            ),
        )
        if key not in self._answers:
            placements = [placement for placement, _ in placed]
            needed = [need[1] for need in needs]
            work = HostWork(
                host, name, capacity, vms, needed, placements, tied, broken, stays, held, floats, cores, self.hold
            )
            self._answers[key] = self._pin(work)
        return self._answers[key]

    def _needs_of(self, vm: Vm, parts: int) -> tuple[int, Needs]:
        """Return the needs with exactly these parts, and a number that stands for them in keys."""
        key = (id(vm.spec), parts)
        if key not in self._needs:
            options = spec_needs(vm.spec, locked_cells=parts)
            self._needs[key] = (len(self._needs), options)
        return self._needs[key]

    def _l3_rules_of(self, number: int) -> tuple[int, ...]:
        """Return the rules of scope l3 that a VM is in."""
        flavors = self.compiled.flavors
        flavor = flavors.of_vm[number]
        tied = flavors.groups[flavor].rules if flavor >= 0 else flavors.fixed[number][0]
        rules = self.compiled.fleet.rules
        return tuple(rule for rule in tied if rule < len(rules) and rules[rule].scope == "l3")

    def _broken_by(self, host: str, rules: Set[int]) -> dict[tuple[int, int | None], int]:
        """Return (rule, L3 domain of a host, None for an affinity) -> by how much it is broken now, where it is."""
        if not rules:
            return {}
        if self._broken is None:
            self._broken = start_excess(self.compiled.fleet, rule_index(self.compiled.fleet))
        found: dict[tuple[int, int | None], int] = {}
        for (rule, domain), excess in self._broken.items():
            if rule in rules and domain is None:
                found[rule, None] = excess
            elif rule in rules and isinstance(domain, tuple) and domain[0] == host:
                found[rule, domain[1]] = excess
        return found

    def _current(self, vm: Vm, host: str) -> Hashable:
        if vm.current is None or vm.current.host != host or not vm.current.pins:
            return None
        return (
            vm.pins_fixed,
            tuple(sorted((vcpu, tuple(sorted(cpus))) for vcpu, cpus in vm.current.pins.items())),
            vm.current.emulator,
        )

    def _pin(self, work: HostWork) -> HostPins:
        self._pin_nodes(work)
        if self.hold and self.yields and work.lacks:
            # Who stays gives CPUs up to those that float only where that is enough for them.
            other = work.again(hold=False)
            self._pin_nodes(other)
            return work.pins if other.lacks else other.pins
        return work.pins

    def _pin_nodes(self, work: HostWork) -> None:
        on_node: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for number, placement in enumerate(work.placements):
            for slot, node in enumerate(placement.cpu_nodes):
                on_node[node].append((number, slot))
        for node, wanted in sorted(on_node.items()):
            rules = self._l3_rules(work.host, node, wanted, work.vms, work.tied, work.broken)
            self._pin_node(work, node, wanted, rules)
        # What its own node has enough of may lack to those that float over several: then pins spare all they can.
        for node, wanted in sorted(on_node.items()) if work.floats else ():
            if not work.lacks:
                break
            rules = self._l3_rules(work.host, node, wanted, work.vms, work.tied, work.broken)
            self._pin_node(work, node, wanted, rules, spare=True)

    def _pin_node(
        self,
        work: HostWork,
        node: int,
        wanted: Sequence[tuple[int, int]],
        rules: Mapping[int, L3Rule],
        *,
        spare: bool = False,
    ) -> None:
        where, capacity = f"{work.name}, node {node}", work.capacity.nodes[node]
        shared = sum(work.needs[number].options[0][slot].shared for number, slot in wanted)
        work.shared[node], least = shared, needed(capacity, work.capacity.ratio, shared)
        answer, hold = None, work.hold
        stay = any(work.stays[number][slot] for number, slot in wanted)
        for hold in (False, True) if not work.hold else (True,):
            items, owners, held = self._items(work, wanted, hold=hold)
            cores = [core_of(core) for core in _without(capacity.cores, held)]
            if self.save_cpus and all(item.kind == "any" for item in items):
                cores = [replace(core, slow=False) for core in cores]
            floats = max(least, most_left(cores, items)) if spare else least
            # What runs already may be more than the CPUs to float over carry: then as much as is left is.
            answer = pin_node(cores, items, floats, sparing=bool(work.floats)) or (
                pin_node(cores, items) if floats and stay else None
            )
            if answer is not None:
                break
        if answer is None:
            # Where more is there than the node has CPUs, those whose CPUs are not known stay so.
            unknown = [n for n, (number, slot) in enumerate(owners) if work.stays[number][slot]]
            items = [item for n, item in enumerate(items) if n not in unknown]
            owners = [owner for n, owner in enumerate(owners) if n not in unknown]
            answer = pin_node(cores, items)
        if answer is None:
            message = f"{where}: the counts fit the CPU rows but cannot be pinned"
            cure = "report this with the fleet file"
            raise RefusedPlanError((Fault(message=message, cure=cure, host=work.name),))
        if not rules:
            wide = {n: work.cores[number][slot] for n, (number, slot) in enumerate(owners) if work.cores[number]}
            answer = pins_apart(cores, items, answer, wide)
        if not hold:
            members = {number: rule.by_items([vm for vm, _ in owners]) for number, rule in rules.items()}
            answer = self._over_l3(work.name, where, cores, items, answer, members, floats)
        for (number, slot), item, pinned in zip(owners, items, answer.items, strict=True):
            if item.vcpus:
                work.give(number, slot, pinned.cpus)
            if pinned.extra:
                work.extra[number] = frozenset(pinned.extra)
        newly = work.newly[node] = set(answer.held.difference(*(item.current or () for item in items)))
        for item, pinned in zip(items, answer.items, strict=True):
            if item.current != pinned.cpus:
                newly.update(pinned.cpus)
        free = capacity.shared_cpus - answer.held - held
        work.left[node] = len(free)
        for number, slot in wanted:
            part = work.needs[number].options[0][slot]
            if part.shared or part.offline:
                work.floating[number][slot] = free or capacity.shared_cpus

    def _items(
        self, work: HostWork, wanted: Sequence[tuple[int, int]], *, hold: bool
    ) -> tuple[list[Item], list[tuple[int, int]], set[int]]:
        """Return what is to be pinned on a node, whose it is, and the CPUs that are held as they are."""
        items: list[Item] = []
        owners: list[tuple[int, int]] = []
        held = set(work.held)
        topology = self.compiled.fleet.hosts[work.host].topology
        for number, slot in wanted:
            vm, needs = work.vms[number], work.needs[number]
            part = needs.options[0][slot]
            if vm.pins_fixed:
                work.cpus[number][slot] = fixed_cpus(vm, slot, len(needs.options[0]))
                work.extra[number] = vm.current.emulator if vm.current and needs.extra_cpu else None
                continue
            emulator = 1 if needs.extra_cpu and slot == needs.lead(0) else 0
            joint = joint_slots(needs, work.placements[number].cpu_nodes, slot)
            if not (emulator or (joint and part.dedicated)):
                continue
            if hold and work.stays[number][slot] and not emulator and is_wide(vm, slot, needs):
                continue
            item = Item(
                policy=needs.thread_policy,
                vcpus=sum(needs.options[0][one].dedicated for one in joint),
                extra=emulator,
                current=cpus_of_all(vm, joint, needs),
                current_extra=current_extra(vm) if emulator else (),
                kind=needs.core_kind,
            )
            if hold and work.stays[number][slot] and item.current is not None:
                work.give(number, slot, item.current)
                held |= with_idle(item.policy, item.current, topology) | set(item.current_extra)
                if item.current_extra:
                    work.extra[number] = frozenset(item.current_extra)
                if item.current_extra or not emulator:
                    continue
                # Its emulator threads are pinned nowhere yet.
                item = Item(policy="prefer", vcpus=0, extra=emulator, current=None, kind=needs.core_kind)
            items.append(item)
            owners.append((number, slot))
        return items, owners, held

    def _l3_rules(
        self,
        host: int,
        at: int,
        wanted: Sequence[tuple[int, int]],
        vms: Sequence[Vm],
        tied: Sequence[tuple[int, ...]],
        broken: Mapping[tuple[int, int | None], int],
    ) -> dict[int, L3Rule]:
        """Return the rules over L3 domains that VMs on a node are in, their members by number, and what fixed pins
        and the start say of its domains.
        """
        here = sorted({number for number, _ in wanted})
        topology = self.compiled.fleet.hosts[host].topology
        own = topology.nodes[at]
        domains = {topology.l3_of_cpu.get(cpu) for cpu in own.cpus}
        found = {}
        for number in sorted({rule for vm in here for rule in tied[vm]}):
            rule = self.compiled.fleet.rules[number]
            there: Counter[int | None] = Counter()
            for vm in here:
                now = vms[vm].current
                if vms[vm].pins_fixed and number in tied[vm] and now is not None:
                    held = own.cpus & frozenset().union(*now.pins.values())
                    there.update({topology.l3_of_cpu.get(cpu) for cpu in held})
            apart = rule.kind is RuleKind.ANTI_AFFINITY
            if not apart and any(number in tied[vm] and is_sharing(vms[vm].spec) for vm in here):
                there.update(domains_to_float(self.compiled.fleet.hosts[host], own.cpus))
            named = {l3: broken.get((number, -1 - own.id if l3 is None else l3), 0) for l3 in domains}
            found[number] = L3Rule(
                members=tuple((vm,) for vm in here if number in tied[vm] and not vms[vm].pins_fixed),
                max_per=rule.max_per if apart else None,
                there=there,
                more=named if apart else {None: broken.get((number, None), 0)},
            )
        return found

    def _over_l3(
        self,
        host: str,
        where: str,
        cores: Sequence[Core],
        items: Sequence[Item],
        answer: PinResult,
        rules: Mapping[int, L3Rule],
        floats: int,
    ) -> PinResult:
        """Return pins that keep the rules over L3 domains and, where that is a goal, use as few domains as can be."""
        if not rules and not self.minimise_l3:
            return answer
        from solvers.pins.exact import fewest_l3, l3_used, pin_node_exact

        if not rules and l3_used(cores, answer) <= sum(fewest_l3(cores, item) for item in items):
            return answer
        better = pin_node_exact(cores, items, tuple(rules.values()), hint=answer, floating=floats)
        if better is not None:
            return better
        names = ", ".join(self.compiled.fleet.rules[number].label for number in rules)
        message = f"{where}: the VMs fit the node, but no pinning keeps {names} over its L3 domains"
        cure = "give the rule the scope node or host, or a larger max_per"
        raise NothingFoundError((Fault(message=message, cure=cure, host=host),))


def _without(cores: Sequence[FreeCore], held: set[int]) -> list[FreeCore]:
    """Return the cores less CPUs that are held: what their siblings may still carry is as it was."""
    if not held:
        return list(cores)
    out = []
    for core in cores:
        left = tuple(cpu for cpu in core.cpus if cpu not in held)
        beside = tuple(cpu for cpu in core.beside if cpu not in held)
        if left:
            out.append(replace(core, cpus=left, floats=core.floats - held, beside=beside))
    return out
