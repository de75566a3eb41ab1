"""The goals of balance: what shall be even, over which places, and from which share on it counts.

A goal is written ``balance[:cpus|memory|usage][:hosts|LABEL][>PERCENT%]``. Without a resource it is of CPUs and memory,
the two added up: a sum sees whatever gets more even, where the larger share of a place would hide the other one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from placer.errors import InputError
from placer.model.fleet import Fleet
from placer.model.host import Host
from placer.model.memory_room import memory_room
from placer.model.units import KIB_PER_GIB
from placer.model.usage_levels import THOUSAND
from placer.model.vm import CpuPolicy

CPUS, MEMORY, USAGE = "cpus", "memory", "usage"
RESOURCES = (CPUS, MEMORY, USAGE)
NODES, HOSTS = "nodes", "hosts"
BALANCE_STEPS = 10
STEPS_A_MEAN = 5
"""Steps from nothing to the fleet's mean share; as many again lie above it, beyond them the cost grows evenly."""
MEMORY_GRAIN_KIB = 16 * 1024
"""Of the memory of a node whole 16 MiB count, so that hosts of a kind are of one size whatever their firmware keeps."""

_WRITTEN = re.compile(rf"balance(?::({'|'.join(RESOURCES)}))?(?::([^:>~]+))?(?:>(\d{{1,4}}(?:\.\d)?)%)?")


def is_label(places: str) -> bool:
    """Tell whether places are the hosts of each value of a label, rather than nodes or hosts."""
    return places not in (NODES, HOSTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """What a goal of balance asks for: the resources, the places (``nodes``, ``hosts`` or a label of hosts), and the
    share in thousandths of which only what is above counts; None: all shares count, the larger the more.
    """

    resources: tuple[str, ...]
    places: str = NODES
    above: int | None = None

    @property
    def by_label(self) -> bool:
        """Tell whether the places are the hosts of each value of a label."""
        return is_label(self.places)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One resource of a goal of balance: Σ over places of weight × capacity × Σ_steps max(0, share − step).

    `steps` are in thousandths of a share; `weight` is in thousandths a CPU of capacity, of memory a GiB.
    """

    goal: str
    resource: str
    places: str
    steps: tuple[int, ...]
    weight: int = THOUSAND

    def parts(self, one: Fraction) -> Fraction:
        """Return of how many thousandths of a row's unit the goal makes one; `one` are the units of a CPU, or GiB."""
        return THOUSAND * THOUSAND * one / self.weight

    @property
    def by_label(self) -> bool:
        """Tell whether the places are the hosts of each value of a label."""
        return is_label(self.places)


def parse_balance(text: str) -> Balance | None:
    """Read a goal of balance without its tolerance; None where it is written otherwise.

    Raises
    ------
    InputError
        A share above which no place comes.
    """
    match = _WRITTEN.fullmatch(text)
    if match is None:
        return None
    resources = (match[1],) if match[1] else (CPUS, MEMORY)
    above = None if match[3] is None else int(Fraction(match[3]) * 10)
    if above == 0:
        cure = f"leave >{match[3]}% away: then all shares count"
        raise InputError(f"goal {text!r}: every share is above {match[3]} %", field="goals", cure=cure)
    return Balance(resources=resources, places=match[2] or NODES, above=above)


def loads_of(fleet: Fleet, goal: str) -> tuple[Load, ...]:
    """Return what a goal of balance measures in a fleet, a resource each; empty where it is none.

    The width of a step is a fifth of the fleet's mean share, in whole thousandths, at least one: of hosts that are to
    be emptied no share is had, and steps over these as well ended below what the others can come to. Where a goal is
    of CPUs and of memory, a GiB counts as many CPUs as the fleet has for each, so that both weigh as much.
    """
    asked = parse_balance(goal.partition("~")[0])
    if asked is None:
        return ()
    hosts = [host for host in fleet.hosts if not host.failed]
    staying = [host for host in hosts if host.name not in fleet.drained] or hosts
    cpus, gib = sum(len(host.usable_cpus) for host in hosts), Fraction(sum(map(memory_kib, hosts)), KIB_PER_GIB)
    out = []
    for resource in asked.resources:
        weight = THOUSAND
        if resource == MEMORY and len(asked.resources) > 1:
            weight = max(1, int(cpus * THOUSAND / gib)) if gib else 1
        if asked.above is not None:
            steps: tuple[int, ...] = (asked.above,)
        else:
            width = max(1, int(_mean(fleet, staying, resource) * THOUSAND / STEPS_A_MEAN))
            steps = tuple(step * width for step in range(BALANCE_STEPS))
        out.append(Load(goal=goal, resource=resource, places=asked.places, steps=steps, weight=weight))
    return tuple(out)


def node_memory_kib(host: Host) -> dict[int, int]:
    """Return what VMs may take of each node's memory (KiB), pools and overcommit included, in whole grains."""
    found = {node.id: 0 for node in host.topology.nodes}
    for (node, _), kib in memory_room(host).items():
        found[node] += kib
    return {node: kib // MEMORY_GRAIN_KIB * MEMORY_GRAIN_KIB for node, kib in found.items()}


def memory_kib(host: Host) -> int:
    """Return what VMs may take of a host's memory, as `node_memory_kib` has it."""
    return sum(node_memory_kib(host).values())


def _mean(fleet: Fleet, hosts: list[Host], resource: str) -> Fraction:
    """Return what the VMs ask for over what these hosts have: it depends on no plan, so that all are measured alike.

    Of CPUs it is D / Σ CPUs + S / Σ (CPUs × overcommit) over usable CPUs, D the vCPUs of VMs that are not shared and S
    of those that are; of usage what the VMs use over the CPUs, those of which it is not known as they ask; of memory
    their RAM and overhead over what VMs may take.
    """
    if resource == MEMORY:
        taken = sum(vm.spec.memory_kib + vm.spec.overhead_taken_kib for vm in fleet.vms)
        return Fraction(taken, max(1, sum(map(memory_kib, hosts))))
    sizes = [(len(host.usable_cpus), Fraction(str(host.cpu_ratio))) for host in hosts]
    cpus = sum(count for count, _ in sizes)
    if not cpus:
        return Fraction(0)
    capacity = sum(count * ratio for count, ratio in sizes)
    asked = Fraction(0)
    for vm in fleet.vms:
        if resource == USAGE and vm.usage is not None and vm.usage.cpu_p95 is not None:
            asked += vm.spec.vcpus * Fraction(str(vm.usage.cpu_p95)) / cpus
        else:
            asked += Fraction(vm.spec.vcpus) / (capacity if vm.spec.cpu_policy is CpuPolicy.SHARED else cpus)
    return asked
