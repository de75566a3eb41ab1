"""How far a plan breaks the rules, as expressions of the reference model: docs/reference/model.md and inventory.md.

What is broken at the start may not get worse and what is not broken is a hard limit, a rule and domain each.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping
from typing import Any

from benchmarks.truth.floats import Part, cpuset, parts_on
from benchmarks.truth.model import Expr, ReferenceModel, node_cpus, shared_on
from benchmarks.truth.places import Place
from benchmarks.truth.reads.reading import Host, Inventory, Vm
from benchmarks.truth.reads.rules import Rule

Domain = Hashable


CONFINING = ("within", "outside", "dedicated", "drain")
PLENTY = 10**7


def rules_excess(model: ReferenceModel) -> dict[str, Expr]:
    """Constrain the model by the rules, and return the goals `rules` and `soft`: what is above what rules allow."""
    total: dict[str, list[Expr]] = defaultdict(list)
    touched: dict[tuple[str, str], dict[Domain, Expr]] = {}
    for rule in model.inventory.rules:
        if rule.kind in CONFINING:
            found = [_misplaced(model, rule)]
        else:
            members, others = (_inside(model, rule, group, touched) for group in (rule.members, rule.others))
            found = _tied(model, rule, members, others)
        if rule.weight is None:
            total["rules"] += found
        else:
            total[rule.soft_goal] += [rule.weight * one for one in found]
    return {goal: sum(terms) for goal, terms in total.items()}


def _inside(
    model: ReferenceModel,
    rule: Rule,
    group: frozenset[str],
    touched: dict[tuple[str, str], dict[Domain, Expr]],
) -> dict[Domain, dict[str, Expr]]:
    """Return domain -> VM of a group -> whether it is there."""
    at: dict[Domain, dict[str, Expr]] = defaultdict(dict)
    for vm in model.inventory.vms:
        if vm.name in group:
            key = (vm.name, rule.scope)
            if rule.scope not in ("node", "l3"):
                found = _host_domains(model, vm, rule)
            else:
                if key not in touched:
                    touched[key] = _node_domains(model, vm) if rule.scope == "node" else _l3_domains(model, vm)
                found = touched[key]
            for domain, inside in found.items():
                at[domain][vm.name] = inside
    return at


def _misplaced(model: ReferenceModel, rule: Rule) -> Expr:
    only = rule.kind in ("within", "dedicated")
    away = [
        var
        for vm in model.inventory.vms
        if vm.name in rule.members
        for place, var in model.choice[vm.name]
        if (place.host.name in rule.hosts) is not only
    ]
    if rule.kind == "dedicated":
        away += [
            var
            for vm in model.inventory.vms
            if vm.name in rule.others
            for place, var in model.choice[vm.name]
            if place.host.name in rule.hosts
        ]
    return sum(away)


def _tied(
    model: ReferenceModel,
    rule: Rule,
    members: Mapping[Domain, Mapping[str, Expr]],
    others: Mapping[Domain, Mapping[str, Expr]],
) -> list[Expr]:
    """Return what a rule that ties VMs is broken by, domain by domain or as a whole: no more than now."""
    start = start_excess(model.inventory, rule)
    count = {domain: sum(inside.values()) for domain, inside in members.items()}
    used = {domain: model.any_of(list(inside.values()), "domain used") for domain, inside in members.items()}

    def above(domain: Domain | None, expression: Expr) -> Expr:
        most = start.get(domain, 0) if rule.weight is None else PLENTY
        found = model.model.new_int_var(0, most, rule.kind)
        model.model.add_max_equality(found, [expression, 0])
        return found

    if rule.kind == "affinity":
        return [above(None, sum(used.values()) - 1)]
    if rule.kind == "spread":
        want = model.model.new_int_var(0, PLENTY, "domains wanted")
        model.model.add_min_equality(want, [rule.least, sum(count.values())])
        return [above(None, want - sum(used.values()))]
    if rule.kind == "even":
        there = [count.get(domain, 0) for domain in open_domains(model.inventory, rule)]
        if not there:
            return []
        most, fewest = (model.model.new_int_var(0, PLENTY, "VMs of a domain") for _ in range(2))
        model.model.add_max_equality(most, there)
        model.model.add_min_equality(fewest, there)
        return [above(None, most - fewest - rule.skew)]
    if rule.kind == "share":
        return [above(domain, taken - rule.most) for domain, taken in _taken(model, rule, members).items()]
    if rule.kind == "anti_affinity":
        return [above(domain, inside - rule.most) for domain, inside in count.items()]
    out = []
    for domain, inside in others.items():
        if domain in used:
            beside = model.model.new_int_var(0, PLENTY, "VMs of the other group")
            model.model.add_max_equality(beside, [sum(inside.values()) - (rule.most if rule.kind == "apart" else 0), 0])
            # All of them count while a member is there, none otherwise.
            limit = start.get(domain, 0) if rule.weight is None else PLENTY
            found = model.model.new_int_var(0, limit, rule.kind)
            model.model.add(found == beside).only_enforce_if(_literal(model, used[domain]))
            model.model.add(found == 0).only_enforce_if(_literal(model, used[domain]).negated())
            out.append(found)
    return out


def _literal(model: ReferenceModel, used: Expr) -> Any:
    """Return a Boolean for what `any_of` found."""
    if isinstance(used, int):
        return model.model.new_constant(used)
    return used


def _taken(model: ReferenceModel, rule: Rule, members: Mapping[Domain, Mapping[str, Expr]]) -> dict[Domain, Expr]:
    """Return what the members of a share take of each domain: vCPUs, MiB (each VM's rounded up), or hosts."""
    vms = {vm.name: vm for vm in model.inventory.vms}
    if rule.of != "hosts":
        size = {
            name: vms[name].vcpus if rule.of == "vcpus" else -(-vms[name].memory_kib // 1024) for name in rule.members
        }
        return {domain: sum(size[name] * inside for name, inside in there.items()) for domain, there in members.items()}
    out: dict[Domain, Expr] = defaultdict(int)
    for host in model.inventory.hosts:
        domain = _host_domain(rule, host)
        here = [var for name in rule.members for place, var in model.choice[name] if place.host.name == host.name]
        if domain is not None and here:
            out[domain] += model.any_of(here, "host used")
    return out


def open_domains(inventory: Inventory, rule: Rule) -> list[Domain]:
    """Return the domains of hosts that work and are not to be emptied."""
    drained = {host for one in inventory.rules if one.kind == "drain" and one.weight is None for host in one.hosts}
    open_hosts = [host for host in inventory.hosts if not host.failed and host.name not in drained]
    found = [_host_domain(rule, host) for host in open_hosts]
    return list(dict.fromkeys(domain for domain in found if domain is not None))


def _host_domain(rule: Rule, host: Host) -> Domain | None:
    if rule.scope == "host":
        return host.name
    return None if host.name in rule.exempt else host.labels.get(rule.scope)


def _host_domains(model: ReferenceModel, vm: Vm, rule: Rule) -> dict[Domain, Expr]:
    found: dict[Domain, list[Expr]] = defaultdict(list)
    for place, var in model.choice[vm.name]:
        domain = _host_domain(rule, place.host)
        if domain is not None:
            found[domain].append(var)
    return {domain: sum(terms) for domain, terms in found.items()}


def _node_domains(model: ReferenceModel, vm: Vm) -> dict[Domain, Expr]:
    found: dict[Domain, list[Expr]] = defaultdict(list)
    for place, var in model.choice[vm.name]:
        for node in set(place.cpu_nodes) | {place.host.node_of[cpu] for cpu in _floats_over(place)}:
            found[place.host.name, node].append(var)
    return {domain: sum(terms) for domain, terms in found.items()}


def _floats_over(place: Place) -> set[int]:
    """Return the CPUs that a VM which floats runs on."""
    return {cpu for part in place.parts for cpu in _cpus_of(place.host, part)}


def _cpus_of(host: Host, part: Part) -> set[int]:
    return {*part.own, *(cpuset(host, part) if part.floating else ())}


def _l3_domains(model: ReferenceModel, vm: Vm) -> dict[Domain, Expr]:
    """Return in which L3 domains a VM is: of its CPUs, and of all free ones that its shared vCPUs float over.

    A node whose CPUs are in no told domain is one domain.
    """
    found: dict[Domain, list[Expr]] = defaultdict(list)
    for (name, host_name, _), cpus in model.own.items():
        if name == vm.name:
            host = model.inventory.host(host_name)
            for cpu, var in cpus.items():
                found[_l3_domain(host, cpu)].append(var)
    floats: dict[tuple[str, int], list[Expr]] = defaultdict(list)
    for place, var in model.choice[vm.name]:
        for cpu in _floats_over(place):
            found[_l3_domain(place.host, cpu)].append(var)
        for node in () if place.parts else shared_on(vm, place.cells, place.cpu_nodes):
            floats[place.host.name, node].append(var)
    fixed = vm.pins_fixed and model.inventory.present(vm)
    for (host_name, node), terms in floats.items():
        host = model.inventory.host(host_name)
        if fixed:
            pool = frozenset[int]().union(*(pin for vcpu, pin in vm.pins.items() if vcpu not in vm.dedicated))
            for cpu in pool & node_cpus(host, node):
                found[_l3_domain(host, cpu)].append(sum(terms))
            continue
        for cpu in sorted(node_cpus(host, node) & host.shared):
            over = model.boolean(f"{vm.name} floats over {cpu}")
            model.model.add_min_equality(over, [sum(terms), 1 - _held(model, host_name, cpu)])
            found[_l3_domain(host, cpu)].append(over)
    return {domain: model.any_of(terms, f"{vm.name} in L3") for domain, terms in found.items()}


def _held(model: ReferenceModel, host: str, cpu: int) -> Expr:
    """Return whether a VM keeps others from floating over a CPU: those that headroom counts are not there."""
    slot = model.slots.get((host, cpu))
    if slot is None:
        return model.taken[host, cpu]
    return model.any_of([one for one in model.takers[host, cpu] if one is not slot], f"{host} {cpu} held")


def _l3_domain(host: Host, cpu: int) -> Domain:
    if cpu in host.l3_of:
        return host.name, tuple(sorted(host.l3_of[cpu]))
    return host.name, host.node_of[cpu]


def start_excess(inventory: Inventory, rule: Rule) -> dict[Domain, int]:
    """Return what a rule that ties VMs is broken by now, a domain each; for an affinity under None.

    A VM that is not on one node a cell counts on each node that it may run on.
    """
    counts: dict[Domain, int] = defaultdict(int)
    others: dict[Domain, int] = defaultdict(int)
    taken: dict[Domain, int] = defaultdict(int)
    held: set[tuple[Domain, str]] = set()
    for vm in inventory.vms:
        for group, found in ((rule.members, counts), (rule.others, others)):
            if vm.name in group and vm.host is not None and inventory.present(vm):
                for domain in _domains_now(inventory.host(vm.host), vm, rule):
                    found[domain] += 1
                    if rule.kind == "share" and (domain, vm.host) not in held:
                        held.add((domain, vm.host))
                        taken[domain] += rule.of == "hosts"
                    size = {"vcpus": vm.vcpus, "memory": -(-vm.memory_kib // 1024)}
                    taken[domain] += size.get(rule.of, 0)
    if rule.kind == "affinity":
        return {None: max(0, len(counts) - 1)}
    if rule.kind == "spread":
        return {None: max(0, min(rule.least, sum(counts.values())) - len(counts))}
    if rule.kind == "even":
        there = [counts.get(domain, 0) for domain in open_domains(inventory, rule)]
        return {None: max(0, max(there, default=0) - min(there, default=0) - rule.skew)}
    if rule.kind == "share":
        return {domain: max(0, amount - rule.most) for domain, amount in taken.items()}
    if rule.kind == "anti_affinity":
        return {domain: max(0, count - rule.most) for domain, count in counts.items()}
    most = rule.most if rule.kind == "apart" else 0
    return {domain: max(0, count - most) for domain, count in others.items() if counts.get(domain)}


def _domains_now(host: Host, vm: Vm, rule: Rule) -> set[Domain]:
    if rule.scope not in ("node", "l3"):
        domain = _host_domain(rule, host)
        return set() if domain is None else {domain}
    nodes = set(vm.nodes or ())
    if vm.nodes is None:
        nodes = {host.node_of[cpu] for part in parts_on(vm, host, stays=True) for cpu in _cpus_of(host, part)}
    if rule.scope == "node":
        return {(host.name, node) for node in nodes}
    cpus = set[int]().union(*vm.pins.values())
    if len(vm.pins) < vm.vcpus:
        cpus |= {cpu for cpu, node in host.node_of.items() if node in nodes}
    return {_l3_domain(host, cpu) for cpu in cpus}
