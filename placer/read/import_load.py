"""What an imported host carries already: its overcommit is read off it, for no manager's export tells it."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

from placer.model.fleet import Fleet
from placer.model.host import Host
from placer.model.vm import VmSpec


def with_overcommit(fleet: Fleet) -> Fleet:
    """Return the fleet with an overcommit on each host that holds more shared vCPUs than CPUs, and a warning of it.

    The figure is the least whole number under which the VMs that are there fit. More dedicated vCPUs than CPUs cannot
    be: then VMs that are pinned nowhere are not dedicated, and a warning says so.
    """
    dedicated: Counter[str] = Counter()
    shared: Counter[str] = Counter()
    for vm in fleet.vms:
        if vm.current is not None:
            own = _dedicated(vm.spec)
            dedicated[vm.current.host] += own
            shared[vm.current.host] += vm.spec.vcpus - own
    hosts: list[Host] = []
    warnings = list(fleet.warnings)
    for host in fleet.hosts:
        cpus = len(host.usable_cpus)
        left = cpus - dedicated[host.name]
        if left < 0:
            warnings.append(
                f"host {host.name} has {cpus} CPUs for {dedicated[host.name]} dedicated vCPUs: those that are "
                "pinned nowhere are not dedicated; say cpu_policy: shared for them"
            )
        elif host.cpu_ratio == 1 and shared[host.name] > left > 0:
            ratio = math.ceil(shared[host.name] / left)
            held = f"{shared[host.name]} shared vCPUs on {left} CPUs"
            warnings.append(f"host {host.name} has {held}: overcommit {ratio} is taken")
            host = replace(host, cpu_ratio=float(ratio))
        hosts.append(host)
    return replace(fleet, hosts=tuple(hosts), warnings=tuple(warnings))


def _dedicated(spec: VmSpec) -> int:
    return sum(spec.is_dedicated(vcpu) for vcpu in range(spec.vcpus))
