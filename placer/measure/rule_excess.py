"""How far placements break the rules: the excess of every pair (rule, domain), at the start and under a plan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from placer.measure.as_now import as_now
from placer.measure.moved import is_present
from placer.model.fleet import Fleet
from placer.model.host import Host
from placer.model.plan import Plan
from placer.model.rules import Rule, RuleKind, Selection, looked_up, matches, value_of

Pair = tuple[int, Hashable]
"""Index of a rule, and the domain: a host, a label's value, (host, node id) or (host, `Topology.l3_domain_of_cpu`)."""

Domains = Callable[[Rule, int], Iterable[Hashable]]
"""Which domains of a rule's scope the VM with this index is in: none where it is nowhere."""

CONFINING = (RuleKind.WITHIN, RuleKind.OUTSIDE, RuleKind.DRAIN, RuleKind.DEDICATED)
TYING = tuple(kind for kind in RuleKind if kind not in (*CONFINING, RuleKind.RESERVE, RuleKind.GROUP))
WHOLE = (RuleKind.AFFINITY, RuleKind.SPREAD, RuleKind.EVEN)
"""Kinds whose excess is that of the rule as a whole, not of each domain."""
OWN_SCOPES = ("host", "node", "l3")


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleIndex:
    """Which VMs and which hosts each rule selects: indices into the fleet, by rule. `others` are the VMs of a rule's
    second group.
    """

    vms: tuple[tuple[int, ...], ...]
    hosts: tuple[frozenset[str], ...]
    others: tuple[tuple[int, ...], ...]


def rule_index(fleet: Fleet) -> RuleIndex:
    """Return what each rule selects. A drain without members selects every VM.

    Every object is looked up by its labels, so the work grows with the objects selected, not with rules × objects.
    """
    named = [(vm.name, vm.spec.labels) for vm in fleet.vms]
    vms = _selected([rule.members for rule in fleet.rules], named)
    second = _selected([rule.others for rule in fleet.rules], named)
    hosts = _selected([rule.hosts for rule in fleet.rules], [(host.name, host.labels) for host in fleet.hosts])
    everyone = tuple(range(len(fleet.vms)))
    return RuleIndex(
        vms=tuple(
            everyone if rule.kind is RuleKind.DRAIN and not rule.members else tuple(chosen)
            for rule, chosen in zip(fleet.rules, vms, strict=True)
        ),
        hosts=tuple(frozenset(fleet.hosts[number].name for number in chosen) for chosen in hosts),
        others=tuple(
            tuple(sorted(set(everyone).difference(members)))
            if rule.kind in (RuleKind.ALONE, RuleKind.DEDICATED)
            else tuple(chosen)
            for rule, members, chosen in zip(fleet.rules, vms, second, strict=True)
        ),
    )


def _selected(
    selections: Sequence[Selection | None], objects: Sequence[tuple[str, Mapping[str, str]]]
) -> list[list[int]]:
    by_pair: dict[tuple[str, str], list[int]] = {}
    for number, selection in enumerate(selections):
        if selection:
            for pair in looked_up(selection):
                by_pair.setdefault(pair, []).append(number)
    chosen: list[list[int]] = [[] for _ in selections]
    if not by_pair:
        return chosen
    keys = {key for key, _ in by_pair}
    for index, (name, labels) in enumerate(objects):
        for key in keys:
            value = value_of(key, name, labels)
            for number in by_pair.get((key, value), ()) if value is not None else ():
                if matches(selections[number], name, labels):
                    chosen[number].append(index)
    return chosen


def plan_excess(fleet: Fleet, plan: Plan, index: RuleIndex) -> dict[Pair, int]:
    """Return the excess of every pair that the plan breaks."""
    planned = plan.vm_by_name

    def host(number: int) -> Host | None:
        vm = planned.get(fleet.vms[number].name)
        return None if vm is None else fleet.host_by_name[vm.host]

    return _excess(fleet, index, planned_domains(fleet, plan), host)


def plan_domains(fleet: Fleet, plan: Plan, index: RuleIndex) -> dict[int, Counter[Hashable]]:
    """Return, a rule that ties VMs, how many of them the plan has in each domain; others that select any with none."""
    domains = planned_domains(fleet, plan)
    found: dict[int, Counter[Hashable]] = {}
    for number, rule in enumerate(fleet.rules):
        if index.vms[number] or index.hosts[number]:
            tied = index.vms[number] if rule.kind in TYING else ()
            found[number] = Counter(domain for vm in tied for domain in domains(rule, vm))
    return found


def planned_domains(fleet: Fleet, plan: Plan) -> Domains:
    """Return in which domains a plan has a VM."""
    planned = plan.vm_by_name

    def domains(rule: Rule, number: int) -> Iterable[Hashable]:
        vm = planned.get(fleet.vms[number].name)
        if vm is None:
            return ()
        at = fleet.host_by_name[vm.host]
        if rule.scope in ("node", "l3"):
            where = at.topology.node_of_cpu if rule.scope == "node" else at.topology.l3_domain_of_cpu
            return {(at.name, where[cpu]) for pin in set(vm.pins.values()) for cpu in pin if cpu in where}
        return host_domains(rule, at)

    return domains


def start_excess(fleet: Fleet, index: RuleIndex) -> dict[Pair, int]:
    """Return the excess of every pair that is broken now.

    A VM that is not on one node a cell counts on each node that its CPUs are bound to, and where nothing binds them on
    each that it could be on: what is not known to be better may stay as it is.
    """

    def host(number: int) -> Host | None:
        vm = fleet.vms[number]
        return fleet.host_by_name[vm.current.host] if vm.current is not None and is_present(fleet, vm) else None

    def domains(rule: Rule, number: int) -> Iterable[Hashable]:
        at, now = host(number), fleet.vms[number].current
        if at is None or now is None:
            return ()
        if rule.scope not in ("node", "l3"):
            return host_domains(rule, at)
        topology = at.topology
        cells = fleet.vms[number].spec.cells
        if now.nodes is None:
            there = as_now(fleet.vms[number], at)
            pins = set() if there is None else set(there.pins.values())
            nodes = {topology.node_of_cpu[cpu] for pin in pins for cpu in pin} or set(topology.node_ids)
        elif len(cells) == len(now.nodes):
            nodes = {node for node, cell in zip(now.nodes, cells, strict=True) if cell.vcpus}
        else:
            nodes = set(now.nodes)
        if rule.scope == "node":
            return {(at.name, node) for node in nodes}
        cpus = set().union(*now.pins.values())
        if len(now.pins) < fleet.vms[number].spec.vcpus:
            cpus |= {cpu for cpu, node in topology.node_of_cpu.items() if node in nodes}
        where = topology.l3_domain_of_cpu
        return {(at.name, where[cpu]) for cpu in cpus if cpu in where}

    return _excess(fleet, index, domains, host)


def host_domains(rule: Rule, host: Host) -> tuple[Hashable, ...]:
    """Return the domain of a rule over hosts or a label that a host is in; none where it has none."""
    if rule.scope == "host":
        return (host.name,)
    value = rule.domain_of(host.name, host.labels)
    return () if value is None else (value,)


def _excess(fleet: Fleet, index: RuleIndex, domains: Domains, host: Callable[[int], Host | None]) -> dict[Pair, int]:
    """Return pair -> excess, for pairs with any.

    Anti-affinity: members in a domain over `max_per`. Affinity: domains used − 1, one pair a rule (domain None).
    Apart and alone: of the other group in a domain that holds a member, those over `max_per` (alone: all). Spread: the
    fewest domains (or as many as there are members in any), less those used. Even: the most in a domain less the
    fewest, over `skew`. Share: what the members of a domain have over `most`. Within, outside, drain and dedicated:
    VMs on a host where they may not be, a pair each host.
    """
    found: dict[Pair, int] = {}
    for number, rule in enumerate(fleet.rules):
        if rule.kind in TYING:
            for domain, over in _tied_excess(fleet, rule, number, index, domains, host).items():
                if over > 0:
                    found[number, domain] = over
        elif rule.kind in CONFINING:
            for vm in misplaced(rule, number, index, host):
                at = host(vm)
                assert at is not None
                found[number, at.name] = found.get((number, at.name), 0) + 1
    return found


def misplaced(rule: Rule, number: int, index: RuleIndex, host: Callable[[int], Host | None]) -> Iterator[int]:
    """Yield the VMs that are on a host where a confining rule does not let them be."""
    inside = index.hosts[number]
    only = rule.kind in (RuleKind.WITHIN, RuleKind.DEDICATED)
    for vm in index.vms[number]:
        at = host(vm)
        if at is not None and (at.name in inside) is not only:
            yield vm
    for vm in index.others[number] if rule.kind is RuleKind.DEDICATED else ():
        at = host(vm)
        if at is not None and at.name in inside:
            yield vm


def _tied_excess(
    fleet: Fleet, rule: Rule, number: int, index: RuleIndex, domains: Domains, host: Callable[[int], Host | None]
) -> dict[Hashable, int]:
    """Return domain (None: the rule as a whole) -> excess of a rule that ties VMs; 0 or less where it is kept."""
    count = taken_by(fleet, rule, index.vms[number], domains, host)
    others = taken_by(fleet, rule, index.others[number], domains, host)
    if rule.kind in WHOLE:
        return {None: over(fleet, rule, None, count, others)}
    counted = others if rule.kind in (RuleKind.APART, RuleKind.ALONE) else count
    return {domain: over(fleet, rule, domain, count, others) for domain in counted}


def over(fleet: Fleet, rule: Rule, domain: Hashable, count: Counter[Hashable], others: Counter[Hashable]) -> int:
    """Return the excess of a rule that ties VMs in a domain, 0 or less where it is kept.

    Of kinds that are `WHOLE` it is that of all domains.

    Parameters
    ----------
    count, others : what its members and its second group take of each domain where there are any.
    """
    match rule.kind:
        case RuleKind.AFFINITY:
            return len(count) - 1
        case RuleKind.SPREAD:
            return min(rule.domains_used, count.total()) - len(count)
        case RuleKind.EVEN:
            counts = [count[domain] for domain in open_domains(fleet, rule)]
            return max(counts) - min(counts) - rule.skew if counts else 0
        case RuleKind.ANTI_AFFINITY:
            return count[domain] - rule.max_per
        case RuleKind.SHARE:
            return count[domain] - rule.most
    most = rule.max_per if rule.kind is RuleKind.APART else 0
    return others[domain] - most if count[domain] else 0


def taken_by(
    fleet: Fleet, rule: Rule, vms: Iterable[int], domains: Domains, host: Callable[[int], Host | None]
) -> Counter[Hashable]:
    """Return domain -> how many of these VMs are there; of a share what they have there: vCPUs, MiB or hosts."""
    if rule.kind is RuleKind.SHARE and rule.of == "hosts":
        held = {(domain, None if (at := host(vm)) is None else at.name) for vm in vms for domain in domains(rule, vm)}
        return Counter(domain for domain, _ in held)
    taken: Counter[Hashable] = Counter()
    for vm in vms:
        for domain in domains(rule, vm):
            taken[domain] += size_of(fleet, rule, vm)
    return taken


def size_of(fleet: Fleet, rule: Rule, vm: int) -> int:
    """Return what a VM counts to a rule: of a share its vCPUs or its MiB (rounded up), else 1."""
    spec = fleet.vms[vm].spec
    if rule.kind is not RuleKind.SHARE or rule.of == "hosts":
        return 1
    return spec.vcpus if rule.of == "vcpus" else -(-spec.memory_kib // 1024)


def open_domains(fleet: Fleet, rule: Rule) -> Iterable[Hashable]:
    """Return the domains that an even rule compares: of hosts that work and are not to be emptied."""
    hosts = [host for host in fleet.hosts if not host.failed and host.name not in fleet.drained]
    return dict.fromkeys(domain for host in hosts for domain in host_domains(rule, host))
