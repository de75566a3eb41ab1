"""How far a plan breaks the rules, as expressions of the reference model: docs/reference/model.md and inventory.md.

What is broken at the start may not get worse and what is not broken is a hard limit, a rule and domain each.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable

from benchmarks.truth.floats import cpuset
from benchmarks.truth.model import Expr, ReferenceModel, node_cpus, shared_on
from benchmarks.truth.places import Place
from benchmarks.truth.reading import Host, Inventory, Rule, Vm

Domain = Hashable


def rules_excess(model: ReferenceModel) -> Expr:
    """Constrain the model by the rules, and return the goal `rules`: the sum of what is above what they allow."""
    total: list[Expr] = []
    touched: dict[tuple[str, str], dict[Domain, Expr]] = {}
    for rule in model.inventory.rules:
        if rule.kind in ("within", "outside", "drain"):
            total.append(_misplaced(model, rule))
            continue
        at: dict[Domain, list[Expr]] = defaultdict(list)
        for vm in model.inventory.vms:
            if vm.name in rule.members:
                key = (vm.name, rule.scope)
                if rule.scope not in ("node", "l3"):
                    found = _host_domains(model, vm, rule)
                else:
                    if key not in touched:
                        touched[key] = _node_domains(model, vm) if rule.scope == "node" else _l3_domains(model, vm)
                    found = touched[key]
                for domain, inside in found.items():
                    at[domain].append(inside)
        total.extend(_tied(model, rule, at))
    return sum(total)


def _misplaced(model: ReferenceModel, rule: Rule) -> Expr:
    return sum(
        var
        for vm in model.inventory.vms
        if vm.name in rule.members
        for place, var in model.choice[vm.name]
        if (place.host.name in rule.hosts) is not (rule.kind == "within")
    )


def _tied(model: ReferenceModel, rule: Rule, at: dict[Domain, list[Expr]]) -> list[Expr]:
    start = start_excess(model.inventory, rule)
    out = []
    if rule.kind == "affinity":
        used = [model.any_of(terms, "domain used") for terms in at.values()]
        above = model.model.new_int_var(0, start.get(None, 0), "affinity")
        model.model.add_max_equality(above, [sum(used) - 1, 0])
        return [above]
    for domain, terms in at.items():
        above = model.model.new_int_var(0, start.get(domain, 0), "anti-affinity")
        model.model.add_max_equality(above, [sum(terms) - rule.max_per, 0])
        out.append(above)
    return out


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
    return {cpu for part in place.parts for cpu in (*part.own, *(cpuset(place.host, part) if part.floating else ()))}


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
            model.model.add_min_equality(over, [sum(terms), 1 - model.taken[host_name, cpu]])
            found[_l3_domain(host, cpu)].append(over)
    return {domain: model.any_of(terms, f"{vm.name} in L3") for domain, terms in found.items()}


def _l3_domain(host: Host, cpu: int) -> Domain:
    if cpu in host.l3_of:
        return host.name, tuple(sorted(host.l3_of[cpu]))
    return host.name, host.node_of[cpu]


def start_excess(inventory: Inventory, rule: Rule) -> dict[Domain, int]:
    """Return what a rule that ties VMs is broken by now, a domain each; for an affinity under None.

    A VM on unknown nodes counts on each node of its host.
    """
    counts: dict[Domain, int] = defaultdict(int)
    for vm in inventory.vms:
        if vm.name in rule.members and vm.host is not None and inventory.present(vm):
            for domain in _domains_now(inventory.host(vm.host), vm, rule):
                counts[domain] += 1
    if rule.kind == "affinity":
        return {None: max(0, len(counts) - 1)}
    return {domain: max(0, count - rule.max_per) for domain, count in counts.items()}


def _domains_now(host: Host, vm: Vm, rule: Rule) -> set[Domain]:
    if rule.scope not in ("node", "l3"):
        domain = _host_domain(rule, host)
        return set() if domain is None else {domain}
    nodes = set(vm.nodes if vm.nodes is not None else (node.id for node in host.nodes if node.cpus))
    if rule.scope == "node":
        return {(host.name, node) for node in nodes}
    cpus = set[int]().union(*vm.pins.values())
    if len(vm.pins) < vm.vcpus:
        cpus |= {cpu for cpu, node in host.node_of.items() if node in nodes}
    return {_l3_domain(host, cpu) for cpu in cpus}
