"""Flavors: which VMs are interchangeable, where each may be, and which cannot move at all."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from placer.model.fleet import Fleet
from placer.model.host import Host
from placer.model.rules import Rule, RuleKind, Selection, looked_up, matches
from placer.model.sets import Binding, known_nodes
from placer.model.vm import CellMode, PinPolicy, Vm
from placer.planning.compile.loose import OwnPart, online, own_parts
from placer.planning.compile.needs import Needs, spec_key, spec_needs

CONFINING = (RuleKind.WITHIN, RuleKind.OUTSIDE, RuleKind.DEDICATED)
TYING = tuple(kind for kind in RuleKind if kind not in (*CONFINING, RuleKind.DRAIN, RuleKind.RESERVE))


@dataclass(frozen=True, slots=True)
class Confinement:
    """Where VMs of a flavor may be: the rules that confine them, their migration domain and generation if they
    cannot leave them, the one host if they cannot leave that. `soft` are rules that say where they should be.

    A rule is named by its index; the VMs of its second group name it by its index and the number of rules in all.
    """

    rules: tuple[int, ...] = ()
    soft: tuple[int, ...] = ()
    domain: tuple[str | None, int] | None = None
    only_host: str | None = None


@dataclass(slots=True)
class FlavorGroup:
    """One flavor: needs, the rules that tie its VMs (named as in `Confinement`), and the VMs (indices into the fleet).

    `online` are the vCPUs of VMs that float wherever they come; None: they are bound to one node a cell.
    `binds` says whether VMs that float now shall or may be bound to nodes; None: they stay as they are.
    `busy` is what of its time a vCPU really uses, in thousandths; None: not known, or no goal asks.
    `own` are the CPUs of their own that VMs which are not bound take along, all of them from one host.
    `told` says that of some that may be bound it is known where their pages lie.
    """

    needs: Needs
    rules: tuple[int, ...]
    confinement: Confinement
    arriving: list[int] = field(default_factory=list)
    present: int = 0
    immovable: bool = False
    busy: int | None = None
    online: int | None = None
    binds: Binding | None = None
    own: tuple[OwnPart, ...] = ()
    told: bool = False


@dataclass(frozen=True, slots=True)
class Flavors:
    """All flavors of a fleet. `of_vm[i]` is the flavor of VM i, -1 where it is fixed to its place.

    `fixed` maps each such VM to the rules that tie it and those that confine it.
    """

    groups: tuple[FlavorGroup, ...]
    of_vm: tuple[int, ...]
    fixed: Mapping[int, tuple[tuple[int, ...], Confinement]]
    busy: tuple[int | None, ...] = ()
    _examples: dict[int, int] = field(default_factory=dict, repr=False, compare=False)

    def example(self, flavor: int) -> int:
        """Return a VM of a flavor."""
        if flavor not in self._examples:
            for vm, number in enumerate(self.of_vm):
                self._examples.setdefault(number, vm)
        return self._examples[flavor]

    def busy_of(self, vm: int) -> int | None:
        """Return what of its time a vCPU of the VM really uses; see `FlavorGroup`."""
        return self.busy[vm] if self.busy else None


def group_flavors(
    fleet: Fleet, busy: tuple[int | None, ...] = (), binds: Mapping[int, Binding] = MappingProxyType({})
) -> Flavors:
    """Group the fleet's VMs by what makes them interchangeable; `busy` is a VM's measured use where a goal asks,
    `binds` names the VMs that float now and shall or may be bound to nodes.
    """
    has_domains = len({(host.migration_domain, host.gen) for host in fleet.hosts}) > 1
    tied = _RuleIndex(fleet.rules, [i for i, rule in enumerate(fleet.rules) if rule.kind in TYING])
    confining = [i for i, rule in enumerate(fleet.rules) if rule.kind in CONFINING]
    confined = _RuleIndex(fleet.rules, [i for i in confining if not fleet.rules[i].is_soft])
    wished = _RuleIndex(fleet.rules, [i for i in confining if fleet.rules[i].is_soft])
    groups: list[FlavorGroup] = []
    index: dict[Hashable, int] = {}
    # Numbers for specs and confinements by value: hashed whole once an object, not once a VM.
    numbers: dict[Hashable, int] = {}
    keys: dict[tuple[int, int | None], int] = {}
    confinements: dict[Hashable, Confinement] = {}
    of_vm: list[int] = []
    fixed: dict[int, tuple[tuple[int, ...], Confinement]] = {}
    # Of VMs that are nowhere, which no rule tells apart, spec and wish say all.
    plain = not fleet.rules and not busy
    nowhere: dict[tuple[int, PinPolicy], int] = {}
    for number, vm in enumerate(fleet.vms):
        fresh = plain and vm.current is None and number not in binds
        if fresh and (id(vm.spec), vm.pin) in nowhere:
            flavor = nowhere[id(vm.spec), vm.pin]
            of_vm.append(flavor)
            groups[flavor].arriving.append(number)
            continue
        host = fleet.host_by_name.get(vm.current.host) if vm.current else None
        present = host is not None and not host.failed
        rules = tied.of(vm)
        binding = binds.get(number)
        floats = online(vm.spec) if binding is not None else floats_of(fleet, vm)
        known = floats is not None or known_nodes(vm) is not None
        said = (confined.of(vm), wished.of(vm))
        domain, only_host = None, None
        held = fleet.is_held(vm)
        if present and (vm.pins_fixed or held) and known and binding is None:
            fixed[number] = (rules, _confinement(confinements, *said))
            of_vm.append(-1)
            continue
        # A guest that runs flat on its host is bound as it is.
        flat = binding is not None and vm.current is not None and vm.spec.cell_mode is CellMode.AUTO
        locked = 1 if flat else _locked_cells(vm)
        if present and host is not None:
            if held:
                only_host = host.name
            elif vm.movable.is_live and vm.running and has_domains:
                domain = (host.migration_domain, host.gen)
        confinement = _confinement(confinements, *said, domain, only_host)
        short = (id(vm.spec), locked)
        if short not in keys:
            keys[short] = numbers.setdefault(spec_key(vm.spec, locked), len(numbers))
        immovable = present and held
        used = busy[number] if busy else None
        own = own_parts(vm, host.topology, locked) if floats is not None and host is not None else ()
        # On its own host such a VM stays as it is: who is there and who comes are no flavor together.
        counts = tuple((part.counts, part.shared) for part in own)
        alike = (counts, host.name if host is not None and present else None) if own else None
        key = (keys[short], rules, id(confinement), immovable, used, floats, binding, alike)
        if key not in index:
            index[key] = len(groups)
            groups.append(
                FlavorGroup(
                    needs=spec_needs(vm.spec, locked_cells=locked),
                    rules=rules,
                    confinement=confinement,
                    immovable=immovable,
                    busy=used,
                    online=floats,
                    binds=binding,
                    own=own,
                )
            )
        flavor = index[key]
        of_vm.append(flavor)
        if fresh:
            nowhere[id(vm.spec), vm.pin] = flavor
        if present:
            groups[flavor].present += 1
            groups[flavor].told |= binding == "may" and vm.current is not None and bool(vm.current.memory_on)
        else:
            groups[flavor].arriving.append(number)
    return Flavors(groups=tuple(groups), of_vm=tuple(of_vm), fixed=fixed, busy=busy)


def _confinement(
    known: dict[Hashable, Confinement],
    rules: tuple[int, ...],
    soft: tuple[int, ...],
    domain: tuple[str | None, int] | None = None,
    only_host: str | None = None,
) -> Confinement:
    """Return the confinement; of equal ones the same object."""
    key = (rules, soft, domain, only_host)
    if key not in known:
        known[key] = Confinement(rules=rules, soft=soft, domain=domain, only_host=only_host)
    return known[key]


def may_arrive(confinement: Confinement, needs: Needs, host: Host, rules: Sequence[Rule], drained: int) -> bool:
    """Tell whether a VM of this confinement may newly arrive on the host, which `drained` drain rules select."""
    if drained or host.failed or (needs.kvm and not host.kvm):
        return False
    width = sum(part.dedicated + part.shared for part in needs.options[0]) if needs.options else 0
    if width > host.widest_vm:
        return False
    if needs.thread_policy == "require" and needs.pins and not host.smt:
        return False
    if confinement.only_host is not None and confinement.only_host != host.name:
        return False
    if confinement.domain is not None:
        domain, gen = confinement.domain
        if domain != host.migration_domain or gen > host.gen:
            return False
    return broken_here(confinement, host, rules) == 0


def broken_here(confinement: Confinement, host: Host, rules: Sequence[Rule]) -> int:
    """Count the rules that a VM of this confinement breaks by being on the host."""
    return sum(is_broken(token, host, rules) for token in confinement.rules)


def rule_of(token: int, rules: Sequence[Rule]) -> Rule:
    """Return the rule that a VM names: by its number, in the second group by that and how many rules there are."""
    return rules[token % len(rules)]


def is_broken(token: int, host: Host, rules: Sequence[Rule]) -> bool:
    """Tell whether a VM that names a confining rule so breaks it by being on the host."""
    rule = rule_of(token, rules)
    inside = matches(rule.hosts, host.name, host.labels)
    return inside is (rule.kind in (RuleKind.OUTSIDE, RuleKind.DRAIN) or token >= len(rules))


def soft_confining(rules: Sequence[Rule]) -> tuple[int, ...]:
    """Return the soft rules of where VMs should be, as both of their groups name them."""
    kinds = (*CONFINING, RuleKind.DRAIN)
    own = [number for number, rule in enumerate(rules) if rule.is_soft and rule.kind in kinds]
    return (*own, *(number + len(rules) for number in own if rules[number].kind is RuleKind.DEDICATED))


def drain_counts(fleet: Fleet) -> tuple[int, ...]:
    """Return, a host, how many drain rules select it."""
    rules = [rule for rule in fleet.rules if rule.kind is RuleKind.DRAIN and not rule.is_soft]
    return tuple(
        sum(matches(rule.hosts, host.name, host.labels) for rule in rules) if rules else 0 for host in fleet.hosts
    )


def floats_of(fleet: Fleet, vm: Vm) -> int | None:
    """Return how many vCPUs of a VM float wherever it comes, None where it is bound to one node a cell.

    A VM that is bound to sets of nodes on its host keeps them there and floats elsewhere; one that must be bound does
    not float where it comes from a host that failed.
    """
    now = vm.current
    host = fleet.host_by_name.get(now.host) if now is not None else None
    if now is None or host is None:
        return online(vm.spec) if vm.pin is PinPolicy.NEVER else None
    return None if known_nodes(vm) is not None or (vm.pin is PinPolicy.MUST and host.failed) else online(vm.spec)


def current_positions(host: Host, vm: Vm) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Return the VM's CPU and memory nodes as positions in the topology; None where they are not one a cell."""
    parts = known_nodes(vm)
    if parts is None:
        return None
    position = {node_id: n for n, node_id in enumerate(host.topology.node_ids)}
    if any(node not in position for nodes in parts for node in nodes):
        return None
    return tuple(position[n] for n in parts[0]), tuple(position[n] for n in parts[1])


def _locked_cells(vm: Vm) -> int | None:
    """Return how many cells an ``auto`` VM that was placed has: its guest's topology stays, unless it may be reshaped,
    and also where its host failed.
    """
    if vm.current is None or vm.spec.cell_mode is not CellMode.AUTO or vm.spec.reshape:
        return None
    nodes = vm.current.nodes if vm.current.nodes is not None else vm.current.memory_nodes
    return None if nodes is None else len(nodes)


class _RuleIndex:
    """Which rules select a VM, named as in `Confinement`: looked up by one label of each selection, answered once a
    spec where no name is asked.
    """

    def __init__(self, rules: Sequence[Rule], candidates: Sequence[int]) -> None:
        self._chosen: dict[int, Selection] = {}
        self._rest: dict[int, int] = {}
        """Rules whose second group are all other VMs: how members name them, and how the others do."""
        self._by_name: dict[str, list[int]] = {}
        self._by_label: dict[tuple[str, str], list[int]] = {}
        self._cache: dict[int, tuple[int, ...]] = {}
        self._always = {n for n in candidates if rules[n].kind is RuleKind.GROUP and not rules[n].members}
        for number in candidates:
            rule, other = rules[number], number + len(rules)
            if rule.members:
                self._chosen[number] = rule.members
            if rule.others:
                self._chosen[other] = rule.others
            elif rule.kind in (RuleKind.ALONE, RuleKind.DEDICATED):
                self._rest[number] = other
        for token, selection in self._chosen.items():
            for key, value in looked_up(selection):
                if key == "name":
                    self._by_name.setdefault(value, []).append(token)
                else:
                    self._by_label.setdefault((key, value), []).append(token)

    def of(self, vm: Vm) -> tuple[int, ...]:
        """Return the rules that select the VM, ascending."""
        if not self._chosen and not self._always and not self._rest:
            return ()
        labels = vm.spec.labels
        if id(vm.spec) not in self._cache:
            near = [token for pair in labels.items() for token in self._by_label.get(pair, ())]
            self._cache[id(vm.spec)] = self._all(n for n in near if matches(self._chosen[n], vm.name, labels))
        named = [
            n for n in self._by_name.get(labels.get("name", vm.name), ()) if matches(self._chosen[n], vm.name, labels)
        ]
        known = self._cache[id(vm.spec)]
        return (
            self._all({*known, *named}.difference(self._rest[n] for n in named if n in self._rest)) if named else known
        )

    def _all(self, found: Iterable[int]) -> tuple[int, ...]:
        """Return rules in order, those added of which the VM is one of all the others."""
        own = self._always.union(found)
        return tuple(sorted(own | {other for member, other in self._rest.items() if member not in own}))
