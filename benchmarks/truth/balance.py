"""The goals of balance of docs/reference/measure.md, as an expression of the reference model."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from fractions import Fraction

from benchmarks.truth.floats import cpuset
from benchmarks.truth.model import Expr, NotCoveredError, ReferenceModel, node_cpus, shared_on
from benchmarks.truth.places import Place, memory_use
from benchmarks.truth.reads.reading import Host, Vm

STEPS = 10
KIB = 1024 * 1024
"""KiB of a GiB."""
GRAIN = 16 * 1024
MOST_SCALE = 10**11
"""Parts of a CPU or GiB that whole numbers still hold."""
_FORM = re.compile(r"balance(?::(cpus|memory|usage))?(?::([^:>]+))?(?:>([\d.]+)%)?")


def balance(model: ReferenceModel, goal: str) -> tuple[Expr, int]:
    """Return Σ over resources and places of weight × capacity × Σ_steps max(0, share − step), and by what to divide it.

    Steps are multiples of a fifth of the fleet's mean share, in whole thousandths, at least one, or the share that is
    said. A host without the label that is said is a place by itself.
    """
    match = _FORM.fullmatch(goal)
    assert match is not None
    resources = (match[1],) if match[1] else ("cpus", "memory")
    hosts = [host for host in model.inventory.hosts if not host.failed]
    total: list[tuple[Fraction, Expr]] = []
    for resource in resources:
        width = max(1, math.floor(_mean(model, resource) * 1000 / 5))
        steps = [Fraction(step * width, 1000) for step in range(STEPS)]
        if match[3]:
            steps = [Fraction(match[3]) / 100]
        weight = Fraction(1)
        if match[1] is None and resource == "memory":
            gib = sum(_has(host, "memory", node.id) for host in hosts for node in host.nodes)
            cpus = sum(len(host.usable) for host in hosts)
            weight = Fraction(max(1, math.floor(cpus * 1000 / gib)) if gib else 1, 1000)
        for has, terms in _places(model, resource, match[2] or "nodes"):
            scale = math.lcm(1000, has.denominator * 1000, *(work.denominator for work, _ in terms))
            if scale > MOST_SCALE:
                raise NotCoveredError("memory that floats over nodes in shares too fine to count")
            load = sum(int(work * scale) * var for work, var in terms)
            for step in steps if has else ():
                above = model.model.new_int_var(0, 10_000_000 * scale, "hinge")
                model.model.add_max_equality(above, [load - int(step * has * scale), 0])
                total.append((weight / scale, above))
    unit = math.lcm(1, *(factor.denominator for factor, _ in total))
    return sum(int(factor * unit) * above for factor, above in total), unit


def _places(model: ReferenceModel, resource: str, places: str) -> list[tuple[Fraction, list[tuple[Fraction, Expr]]]]:
    """Return what each place has, and what every VM that may be there brings, with its variable."""
    has: dict[object, Fraction] = defaultdict(Fraction)
    terms: dict[object, list[tuple[Fraction, Expr]]] = defaultdict(list)

    def place_of(host: Host, node: int) -> object:
        by_label = host.labels.get(places)
        return (
            (host.name, node)
            if places == "nodes"
            else ("host", host.name)
            if places == "hosts" or by_label is None
            else ("label", by_label)
        )

    for host in model.inventory.hosts:
        for node in host.nodes if not host.failed else ():
            has[place_of(host, node.id)] += _has(host, resource, node.id)
    for vm in model.inventory.vms:
        for place, var in model.choice[vm.name]:
            for at, work in _brings(vm, place, resource).items():
                terms[place_of(place.host, at)].append((work, var))
    return [(has[at], terms[at]) for at in terms]


def _has(host: Host, resource: str, number: int) -> Fraction:
    """Return the usable CPUs of a node, or the GiB that VMs may take, in whole grains."""
    if resource != "memory":
        return Fraction(len(node_cpus(host, number) & host.usable))
    node = next(node for node in host.nodes if node.id == number)
    if node.kind == "device":
        return Fraction(0)
    kib = node.memory_kib + sum(size * count for size, count in node.pools.items())
    return Fraction(kib // GRAIN * GRAIN, KIB)


def _mean(model: ReferenceModel, resource: str) -> Fraction:
    """Return what the fleet's VMs ask for (or use) over what the hosts have that work and are not to be emptied, all
    that work where there is no other.
    """
    drains = [rule for rule in model.inventory.rules if rule.kind == "drain" and rule.weight is None]
    drained = {host for rule in drains for host in rule.hosts}
    works = [host for host in model.inventory.hosts if not host.failed]
    hosts = [host for host in works if host.name not in drained] or works
    if resource == "memory":
        has = sum(_has(host, resource, node.id) for host in hosts for node in host.nodes)
        taken = sum(Fraction(vm.memory_kib + vm.overhead_kib, KIB) for vm in model.inventory.vms)
        return taken / has if has else Fraction(10**9)
    cpus = sum(len(host.usable) for host in hosts)
    if not cpus:
        return Fraction(0)
    capacity = sum((len(host.usable) * host.ratio for host in hosts), Fraction(0))
    mean = Fraction(0)
    for vm in model.inventory.vms:
        if resource == "usage" and vm.usage is not None:
            mean += vm.vcpus * vm.usage / cpus
        else:
            mean += vm.vcpus / (Fraction(cpus) if vm.dedicated else capacity)
    return mean


def _brings(vm: Vm, place: Place, resource: str) -> dict[int, Fraction]:
    """Return node -> CPUs' worth of work, or GiB, of a placed VM; floating memory goes by what nodes have."""
    if resource != "memory":
        return _work(vm, place, usage=resource == "usage")
    found: dict[int, Fraction] = defaultdict(Fraction)
    for (nodes, _), kib in memory_use(vm, place).items():
        has = {node: _has(place.host, "memory", node) for node in nodes}
        whole = sum(has.values())
        for node, amount in has.items():
            found[node] += Fraction(kib, KIB) * (amount / whole if whole else Fraction(1, len(has)))
    return found


def _work(vm: Vm, place: Place, *, usage: bool) -> dict[int, Fraction]:
    """Return node -> CPUs' worth of work of a placed VM: dedicated vCPUs and own emulator CPUs, shared ones by the
    overcommit; by usage what its vCPUs use. A vCPU that floats counts on the nodes of its CPUs, by their number.
    """
    found: dict[int, Fraction] = defaultdict(Fraction)
    host = place.host
    known = vm.usage if usage else None
    for part in place.parts:
        pool = cpuset(host, part)
        each = 1 / host.ratio if known is None else known
        for cpu in pool:
            found[host.node_of[cpu]] += part.floating * each / len(pool)
        for cpu in part.own:
            found[host.node_of[cpu]] += 1 if known is None else known
    shared = {} if place.parts else shared_on(vm, place.cells, place.cpu_nodes)
    for number, (cell, node) in enumerate(zip(place.cells, place.cpu_nodes, strict=not place.parts)):
        if known is not None:
            found[node] += len(cell.vcpus) * known
            continue
        found[node] += len(vm.dedicated.intersection(cell.vcpus)) + (vm.own_emulator and not number)
    for node, count in shared.items():
        if known is None:
            found[node] += count / host.ratio
    return found
