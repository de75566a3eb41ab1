"""vCPUs in groups on the threads of cores, as SAP's guide pins them: each may run on all of its core, and no other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from placer.model.host import Topology
from placer.model.vm import Current

Pins = Mapping[int, frozenset[int]]
_SMT = (2, 4, 8)


def core_groups(pins: Pins) -> tuple[tuple[int, ...], ...]:
    """Return the groups of vCPUs that lie on the threads of cores: as many vCPUs as CPUs, pinned to all of them.

    All such groups are of one size of 2, 4 or 8 and overlap no other set; a single one is a plain cpuset.
    """
    if not any(len(cpus) in _SMT for cpus in pins.values()):
        return ()
    sharers: dict[frozenset[int], list[int]] = {}
    for vcpu, cpus in pins.items():
        sharers.setdefault(cpus, []).append(vcpu)
    holders = Counter(cpu for cpus in sharers for cpu in cpus)
    groups = [
        tuple(sorted(vcpus))
        for cpus, vcpus in sharers.items()
        if len(cpus) == len(vcpus) and len(cpus) in _SMT and all(holders[cpu] == 1 for cpu in cpus)
    ]
    return tuple(groups) if len(groups) > 1 and len({len(group) for group in groups}) == 1 else ()


def core_pairs(pins: Pins) -> frozenset[int]:
    """Return the vCPUs of all such groups."""
    return frozenset(vcpu for group in core_groups(pins) for vcpu in group)


def one_each(pins: Pins) -> Pins:
    """Return the pins with a CPU of its group for each vCPU of one: what they hold is the same."""
    groups = core_groups(pins)
    if not groups:
        return pins
    own = {vcpu: frozenset((cpu,)) for group in groups for vcpu, cpu in zip(group, sorted(pins[group[0]]), strict=True)}
    return {**pins, **own}


def in_groups(now: Current | None, pins: Pins, topology: Topology) -> Pins:
    """Return pins in which the vCPUs that lie in groups on the threads of cores `now` do so too, if the CPUs that each
    group has are all of one core.
    """
    groups = core_groups(now.pins) if now is not None else ()
    if not groups:
        return pins  # the same object: VMs that share their pins are looked at once
    cores = set(topology.cores)
    own = {vcpu: frozenset().union(*(pins[one] for one in group)) for group in groups for vcpu in group}
    return {**pins, **own} if all(cpus in cores for cpus in own.values()) else pins
