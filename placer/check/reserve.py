"""Check what a plan claims of failures and of free slots: that the CPUs and memory left could hold them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from placer.check.findings import Findings
from placer.model.fleet import Fleet
from placer.model.goals import parse_flavor
from placer.model.host import Host
from placer.model.plan import Plan, PlanVm
from placer.model.rules import Rule, RuleKind
from placer.model.vm import VmSpec

TOLERANCE = 0.5
"""Ratios are floating point, CPUs and KiB are whole."""


def check_reserve(fleet: Fleet, plan: Plan, found: Findings) -> None:
    """Note every reserve that a plan calls kept though what fails needs more than all others have free together.

    Slots that are said to be free need the CPUs and the memory of their hosts beside the VMs and each other.

    This is necessary for survival and does not suffice: nodes, cells and rules are not looked at. It needs no plan of a
    failure, so it shares nothing with the sweeps that made the claim.
    """
    said = plan.summary.get("reserve")
    rules = [rule for rule in fleet.rules if rule.kind is RuleKind.RESERVE]
    if not isinstance(said, (list, tuple)) or not rules:
        return
    if len(said) != len(rules):
        found.fault(
            f"the plan reports on {len(said)} reserve rules, and there are {len(rules)}", where="summary.reserve"
        )
        return
    room = _Free(fleet, plan)
    for rule, claim in zip(rules, said, strict=True):
        if not isinstance(claim, Mapping):
            found.fault(f"rule {rule.label!r} has no figures", where="summary.reserve")
        elif rule.holds:
            for message in room.slots(rule, claim):
                found.fault(f"rule {rule.label!r}: {message}", where="summary.reserve")
        elif claim.get("proven") is True:
            for what, short in _short(fleet, plan, rule):
                message = f"rule {rule.label!r} is said to be kept, and a failure of {rule.scope} leaves {short}"
                found.fault(f"{message} {what} too few", where="summary.reserve")


def _short(fleet: Fleet, plan: Plan, rule: Rule) -> list[tuple[str, str]]:
    """Return what the hosts left lack in sum after the worst failure: the resource and how much."""
    domain: dict[str, str] = {}
    for host in fleet.hosts:
        value = host.name if rule.scope == "host" else host.labels.get(rule.scope)
        if value is not None and not host.failed:
            domain[host.name] = value
    out = []
    free_cpus, free_memory = _free_room(fleet, plan)
    for what, free_of in (("CPUs", free_cpus), ("KiB of memory", free_memory)):
        takes: dict[str, float] = defaultdict(float)
        for vm in plan.vms:
            spec = fleet.vm_by_name[vm.name].spec
            if vm.host in domain and rule.covers(vm.name, spec.labels):
                takes[domain[vm.host]] += spec.width if what == "CPUs" else spec.memory_kib
        everywhere = 0.0
        for name, free in free_of.items():
            everywhere += free
            if name in domain:
                takes[domain[name]] += free
        # Those that fail lose what they hold, and what they had free is gone too.
        lacking = sum(sorted(takes.values(), reverse=True)[: rule.fail]) - everywhere
        if lacking > TOLERANCE:
            out.append((what, f"{lacking:.0f}"))
    return out


class _Free:
    """What hosts have free beside the VMs of a plan, in sum, and beside the slots that rules have told so far."""

    def __init__(self, fleet: Fleet, plan: Plan) -> None:
        self.fleet = fleet
        self.cpus, self.memory = _free_room(fleet, plan)
        self.specs = {vm.name: fleet.vm_by_name[vm.name].spec for vm in plan.vms if vm.name in fleet.vm_by_name}

    def slots(self, rule: Rule, claim: Mapping[str, Any]) -> list[str]:
        """Return what is wrong with the slots that a rule is said to have free."""
        hosts = claim.get("hosts")
        if not isinstance(hosts, Mapping) or not all(
            host in self.cpus and isinstance(many, int) and many > 0 for host, many in hosts.items()
        ):
            return ["its slots are not on hosts that work"]
        wanted, (vcpus, memory_kib) = self._wanted(rule)
        free = sum(hosts.values())
        out = []
        if (claim.get("slots"), claim.get("free"), claim.get("proven")) != (wanted, free, free == wanted):
            out.append(f"{wanted} slots are wanted and {free} are on hosts, and the plan says otherwise")
        for host, many in hosts.items():
            self.cpus[host] -= many * vcpus
            self.memory[host] -= many * memory_kib
            if min(self.cpus[host], self.memory[host]) < -TOLERANCE:
                out.append(f"host {host!r} has no room for {many} of its slots")
        return out

    def _wanted(self, rule: Rule) -> tuple[int, tuple[int, int]]:
        """Return how many slots a rule asks for, and the vCPUs and KiB that each of them takes at least."""
        if rule.flavor is None:
            own = [spec for name, spec in self.specs.items() if rule.covers(name, spec.labels)]
            least = (min(spec.width for spec in own), min(spec.memory_kib for spec in own)) if own else (0, 0)
            return len(own), least
        flavor = parse_flavor(rule.flavor)
        domains = {
            host.name if rule.scope == "host" else host.labels.get(rule.scope)
            for host in self.fleet.hosts
            if not host.failed
        }
        many = len(domains - {None}) if rule.scope else 1
        return many * rule.slots, (flavor.vcpus, flavor.memory_kib)


def _free_room(fleet: Fleet, plan: Plan) -> tuple[dict[str, float], dict[str, float]]:
    """Return the vCPUs and the KiB that each working host can take at most beside the VMs of a plan.

    A node that is over its room may stay so and takes nothing from the others; VMs on no one node take from the host.
    """
    on: dict[str, list[PlanVm]] = defaultdict(list)
    specs = {vm.name: fleet.vm_by_name[vm.name].spec for vm in plan.vms if vm.name in fleet.vm_by_name}
    for vm in plan.vms:
        if vm.name in specs:
            on[vm.host].append(vm)
    working = [host for host in fleet.hosts if not host.failed]
    cpus = {
        host.name: _left(_cpus(host), (_cpu_load(host, specs[vm.name], vm) for vm in on[host.name])) for host in working
    }
    memory = {host.name: _left(_memory_kib(host), (_memory_load(vm) for vm in on[host.name])) for host in working}
    return cpus, memory


def _left(room: Mapping[int, float], loads: Iterable[Mapping[int | None, float]]) -> float:
    """Return what is free of the room of nodes; loads of node None are on any of them."""
    total: dict[int | None, float] = defaultdict(float)
    for load in loads:
        for node, many in load.items():
            total[node] += many
    free = sum(max(0.0, has - total[node]) for node, has in room.items())
    return max(0.0, free - total[None])


def _cpu_load(host: Host, spec: VmSpec, vm: PlanVm) -> dict[int | None, float]:
    """Return node -> vCPUs of a VM that are online or hold a CPU; None for those that may run on several nodes."""
    load: dict[int | None, float] = defaultdict(float)
    for cell in vm.cells:
        for vcpu in cell.vcpus:
            if not (spec.is_dedicated(vcpu) or spec.is_online(vcpu)):
                continue
            pins = vm.pins.get(vcpu, frozenset())
            nodes = [node.id for node in host.topology.nodes if pins & node.cpus]
            load[nodes[0] if len(nodes) == 1 else None] += 1
    return load


def _memory_load(vm: PlanVm) -> dict[int | None, float]:
    """Return the KiB of a VM on each node, None for what lies anywhere."""
    load: dict[int | None, float] = defaultdict(float)
    for cell in vm.cells:
        for node, kib in cell.nodes.items():
            load[node] += kib
        load[None] += cell.memory_kib - sum(cell.nodes.values())
    return load


def _cpus(host: Host) -> dict[int, float]:
    """Return the vCPUs that each node of a host can take at most, whatever their kind."""
    return {node.id: len(node.cpus & host.usable_cpus) * max(1.0, host.cpu_ratio) for node in host.topology.nodes}


def _memory_kib(host: Host) -> dict[int, float]:
    """Return the memory that VMs can have on each node of a host at most (KiB)."""
    return {node.id: max(1.0, host.memory_ratio) * node.memory_kib for node in host.topology.nodes}
