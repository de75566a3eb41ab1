"""The goals of docs/reference/measure.md as objectives of the reference model."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from benchmarks.truth.balance import balance
from benchmarks.truth.capacity import vcpu_scale
from benchmarks.truth.headroom import Flavor
from benchmarks.truth.model import Expr, ReferenceModel, node_cpus
from benchmarks.truth.places import MICRO, expected_access, remote_access
from benchmarks.truth.reads.quantities import kib
from benchmarks.truth.reads.reading import Host, Vm

EXCESS = ("memory", "CPUs", "vCPUs", "others")
"""The parts of the goal `excess` in their order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One objective: `sense` 1 is minimised, −1 maximised; value = `expression` / `scale`."""

    expression: Expr
    scale: int = 1
    sense: int = 1


def parse(goals: str) -> list[tuple[str, Fraction]]:
    """Return the names of a list of goals, each with its tolerance as a share."""
    found = []
    for text in goals.split(","):
        name, _, slack = text.strip().partition("~")
        share = Fraction(slack.removesuffix("%") or "0") / (100 if slack.endswith("%") else 1)
        found.append((name, share))
    return found


def flavor_of(goals: str) -> Flavor | None:
    """Return the flavor of the headroom goal in a list, if there is one."""
    for name, _ in parse(goals):
        if name.startswith("headroom:"):
            # The reference counts dedicated vCPUs alone; placer, where no policy is said, what most VMs are.
            size, _, cells = name.removesuffix(":dedicated").partition(":")[2].partition("/")
            vcpus, _, memory = size.partition("x")
            return Flavor(vcpus=int(vcpus), memory_kib=0 if memory == "0" else kib(memory), cells=int(cells or 1))
    return None


def objectives(model: ReferenceModel, rules: Mapping[str, Expr], name: str, *, unbound: int = 0) -> list[Part]:
    """Return the objectives of a goal in order; `rules` are the goals that the model's rules give, `unbound` how many
    VMs shall be bound and cannot be.
    """
    if name.startswith("headroom:"):
        return [Part(expression=sum(count for _, count in model.slot_choice), sense=-1)]
    if name == "placed":
        return _placed(model)
    if name == "rules" or name.partition(":")[0] == "soft":
        return [Part(expression=rules.get(name, 0))]
    if name == "power":
        return [_power(model)]
    if name.startswith(("hosts:", "cores:")):
        return [_licences(model, name)]
    if name == "moves":
        return _moves(model)
    if name == "repins":
        return [Part(expression=sum(model.repinned(vm) for vm in model.inventory.vms))]
    if name == "excess":
        return [Part(expression=sum(model.excess[part]), scale=_scale(model, part)) for part in EXCESS]
    if name.startswith("balance"):
        expression, scale = balance(model, name)
        return [Part(expression=expression, scale=scale)]
    if name == "remote":
        return _remote(model, unbound)
    return [{"hosts": _hosts, "cores": _cores, "l3": _l3}[name](model)]


def _scale(model: ReferenceModel, part: str) -> int:
    """Return in which parts of one a part of `excess` is counted: CPUs at an overcommit are no whole numbers."""
    return vcpu_scale(model) if part == "vCPUs" else 1


def _placed(model: ReferenceModel) -> list[Part]:
    """Unplaced vCPUs, then VMs, priority by priority from the highest."""
    to_come = [vm for vm in model.inventory.vms if not model.inventory.present(vm)]
    out = {vm.name: 1 - sum(var for _, var in model.choice[vm.name]) for vm in to_come}
    parts = []
    for priority in sorted({vm.priority for vm in to_come}, reverse=True):
        group = [vm for vm in to_come if vm.priority == priority]
        parts.append(Part(expression=sum(vm.vcpus * out[vm.name] for vm in group)))
        parts.append(Part(expression=sum(out[vm.name] for vm in group)))
    return parts or [Part(expression=0)]


def _moves(model: ReferenceModel) -> list[Part]:
    pairs = [model.moved(vm) for vm in model.inventory.vms]
    return [
        Part(expression=sum(away for away, _ in pairs)),
        Part(expression=sum(away + near for away, near in pairs)),
    ]


def _remote(model: ReferenceModel, unbound: int) -> list[Part]:
    """VMs that shall be bound and are not, where there are such; remote access, and what is expected of those that may
    be bound and float.
    """
    floats, terms = [], []
    for vm in model.inventory.vms:
        binds = model.binds.get(vm.name)
        for place, var in model.choice[vm.name]:
            if place.parts and binds == "shall":
                floats.append(var)
            access = expected_access(vm, place) if place.parts and binds == "may" else remote_access(vm, place)
            terms.append(access * var)
    parts = [Part(expression=sum(terms), scale=MICRO)]
    return [Part(expression=sum(floats) + unbound), *parts] if floats or unbound else parts


def _hosts(model: ReferenceModel) -> Part:
    scale = math.lcm(*(host.cost.denominator for host in model.inventory.hosts))
    terms = []
    for host in model.inventory.hosts:
        here = [
            var for vm in model.inventory.vms for place, var in model.choice[vm.name] if place.host.name == host.name
        ]
        terms.append(int(host.cost * scale) * model.any_of(here, f"{host.name} used"))
    return Part(expression=sum(terms), scale=scale)


def _holding(model: ReferenceModel, host: Host, members: frozenset[str] | None = None) -> Expr:
    """Return whether a host holds a VM, or one of some."""
    return model.any_of(
        [
            var
            for vm in model.inventory.vms
            if members is None or vm.name in members
            for place, var in model.choice[vm.name]
            if place.host.name == host.name
        ],
        f"{host.name} used",
    )


def _licences(model: ReferenceModel, name: str) -> Part:
    """Hosts, or their cores, with a label that hold a VM; where no host has it, those that hold a VM with it."""
    what, _, chosen = name.partition(":")
    label, _, value = chosen.partition("=")
    hosts, members = model.inventory.hosts, None
    if any(host.labels.get(label) == value for host in hosts):
        hosts = tuple(host for host in hosts if host.labels.get(label) == value)
    else:
        members = frozenset(vm.name for vm in model.inventory.vms if vm.labels.get(label) == value)
    each = [(host, 1 if what == "hosts" else len(set(host.core_of.values()))) for host in hosts]
    return Part(expression=sum(count * _holding(model, host, members) for host, count in each))


def _power(model: ReferenceModel) -> Part:
    """Watts of hosts that hold a VM, and of the rest up to busy the share of their usable CPUs that VMs ask for."""
    terms = []
    for host in model.inventory.hosts:
        idle, more = host.watts
        terms.append(round(idle * MICRO) * _holding(model, host))
        for vm in model.inventory.vms:
            dedicated = len(vm.dedicated)
            asked = dedicated + (vm.vcpus - dedicated) / host.ratio
            micro = round(MICRO * more * asked / max(1, len(host.usable)))
            terms += [micro * var for place, var in model.choice[vm.name] if place.host.name == host.name]
    return Part(expression=sum(terms), scale=MICRO)


def _cores(model: ReferenceModel) -> Part:
    """Σ over cores of (VMs that hold a CPU there − 1): by dedicated vCPUs, or by an emulator CPU of their own."""
    holds: dict[tuple[str, frozenset[int]], dict[str, list[Expr]]] = defaultdict(lambda: defaultdict(list))
    for (vm, host, _), at in model.own.items():
        for cpu, var in at.items():
            holds[host, model.inventory.host(host).core_of[cpu]][vm].append(var)
    for (vm, host), at in model.emulator.items():
        for cpu, var in at.items():
            holds[host, model.inventory.host(host).core_of[cpu]][vm].append(var)
    terms = []
    for by_vm in holds.values():
        inside = [model.any_of(variables, "holds a core") for variables in by_vm.values()]
        terms.append(sum(inside) - model.any_of(inside, "core held"))
    return Part(expression=sum(terms))


def _l3(model: ReferenceModel) -> Part:
    """Σ over cells and their nodes of (L3 domains used − fewest possible), by dedicated vCPUs."""
    terms = []
    for vm in model.inventory.vms:
        for (name, host_name, number), at in model.own.items():
            if name != vm.name:
                continue
            host = model.inventory.host(host_name)
            for node in host.nodes:
                used: dict[frozenset[int], list[Expr]] = defaultdict(list)
                for cpu, var in at.items():
                    if cpu in node.cpus and cpu in host.l3_of:
                        used[host.l3_of[cpu]].append(var)
                if len(used) < 2:
                    continue
                fewest = [
                    var * fewest_l3(host, vm, node.id, len(vm.dedicated.intersection(place.cells[number].vcpus)))
                    for place, var in model.choice[vm.name]
                    if place.host.name == host_name and number < len(place.cells) and place.cpu_nodes[number] == node.id
                ]
                domains = [model.any_of(variables, "L3 used") for variables in used.values()]
                above = model.model.new_int_var(0, len(domains), "L3 above")
                model.model.add_max_equality(above, [sum(domains) - sum(fewest), 0])
                terms.append(above)
    return Part(expression=sum(terms))


def fewest_l3(host: Host, vm: Vm, node: int, vcpus: int) -> int:
    """Return how few L3 domains of the empty node could carry so many dedicated vCPUs."""
    pool = node_cpus(host, node) & host.dedicated
    sizes = []
    for domain in set(host.l3_of.values()):
        free = domain & pool
        sizes.append(len({host.core_of[cpu] for cpu in free}) if vm.thread_policy == "isolate" else len(free))
    count = 0
    for size in sorted(sizes, reverse=True):
        if vcpus <= 0:
            break
        vcpus -= size
        count += 1
    return count
