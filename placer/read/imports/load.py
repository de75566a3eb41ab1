"""What an imported fleet carries already: its overcommit is read off it, for no manager's export tells it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from placer.model.fleet import Fleet
from placer.model.units import count
from placer.model.vm import Bound, CpuPolicy, Vm, VmSpec


def with_overcommit(fleet: Fleet) -> Fleet:
    """Return the fleet with an overcommit where hosts hold more shared vCPUs than CPUs, and warnings of what runs.

    The figure is the least whole number under which the VMs that are there fit on every host: one for all hosts of a
    fleet, for how full a host is at the moment says nothing of how full it may be. A host that has a figure keeps it.
    vCPUs that are not online do not count.
    """
    warnings = [*fleet.warnings, *_standing(fleet)]
    dedicated, shared = _load(fleet)
    worst, ratio = None, 1
    for host in fleet.hosts:
        left = len(host.usable_cpus) - dedicated[host.name]
        if left < 0:
            has, wanted = count(len(host.usable_cpus), "CPU"), count(dedicated[host.name], "dedicated vCPU")
            warnings.append(
                f"host {host.name} has {has} for {wanted}: not all that are pinned there can be dedicated; "
                "say cpu_policy: shared for those that are not"
            )
        elif host.cpu_ratio == 1 and shared[host.name] > left > 0:
            needed = math.ceil(shared[host.name] / left)
            if needed > ratio:
                ratio = needed
                worst = f"{host.name} has {count(shared[host.name], 'shared vCPU')} on {count(left, 'CPU')}"
    if worst is None:
        return replace(fleet, warnings=tuple(warnings))
    warnings.append(f"host {worst}: overcommit {ratio} is taken for all hosts that tell none")
    hosts = [replace(host, cpu_ratio=float(ratio)) if host.cpu_ratio == 1 else host for host in fleet.hosts]
    return replace(fleet, hosts=tuple(hosts), warnings=tuple(warnings))


def _standing(fleet: Fleet) -> Iterator[str]:
    """Yield one line on how the VMs that are on hosts are bound, with counts, and one on hosts of unknown memory."""
    placed = [vm for vm in fleet.vms if vm.current is not None]
    counts = Counter(map(_kind, placed))
    if counts.keys() - {"a node a cell"}:
        said = ", ".join(f"{counts[kind]:,} {kind}" for kind in _KINDS if counts[kind])
        yield f"of {count(len(placed), 'VM')} on hosts: {said}; all stay as they are unless a plan is asked to pin"
    unknown = [host.name for host in fleet.hosts if not any(node.memory_kib for node in host.topology.nodes)]
    if unknown:
        more = f" and {len(unknown) - _NAMED} more" if len(unknown) > _NAMED else ""
        yield f"the memory of hosts {', '.join(unknown[:_NAMED])}{more} is not told"


_NAMED = 5
_KINDS = (
    "a node a cell",
    "pinned nowhere",
    "with CPUs on one node and memory anywhere",
    "with CPUs of their own over several nodes",
    "with a node that their memory only prefers",
    "bound to sets of nodes",
    "with pins of some vCPUs alone",
)
"""How VMs are bound, in the words of the line that counts them."""


def _kind(vm: Vm) -> str:
    now = vm.current
    if now is None or now.nodes is not None:
        return _KINDS[0]
    if not now.bound and now.memory_nodes is None:
        return _KINDS[6] if now.pins else _KINDS[1]
    cpus = {len(one.cpus) if one.cpus is not None else 0 for one in now.bound or (Bound(),)}
    if vm.spec.cpu_policy is CpuPolicy.DEDICATED and max(cpus) > 1:
        return _KINDS[3]
    if any(one.memory is not None for one in now.bound) or now.memory_nodes is not None or max(cpus) > 1:
        return _KINDS[5]
    return _KINDS[2] if cpus == {1} and all(one.wish == one.cpus for one in now.bound) else _KINDS[4]


def _load(fleet: Fleet) -> tuple[Counter[str], Counter[str]]:
    """Return the dedicated and the shared vCPUs on each host."""
    dedicated: Counter[str] = Counter()
    shared: Counter[str] = Counter()
    for vm in fleet.vms:
        if vm.current is not None:
            own = [vcpu for vcpu in range(vm.spec.vcpus) if vm.spec.is_dedicated(vcpu)]
            dedicated[vm.current.host] += len(own)
            shared[vm.current.host] += _online(vm.spec) - sum(map(vm.spec.is_online, own))
    return dedicated, shared


def _online(spec: VmSpec) -> int:
    return spec.vcpus if spec.vcpus_current is None else spec.vcpus_current
