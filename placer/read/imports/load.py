"""What an imported host carries already: its overcommit is read off it, for no manager's export tells it."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import replace

from placer.model.fleet import Fleet
from placer.model.host import Host
from placer.model.vm import CpuPolicy, Vm, VmSpec

_SAID = re.compile(r"(?<=: planned as )dedicated$")


def with_overcommit(fleet: Fleet) -> Fleet:
    """Return the fleet with an overcommit on each host that holds more shared vCPUs than CPUs, and a warning of it.

    The figure is the least whole number under which the VMs that are there fit. More dedicated vCPUs than CPUs cannot
    be: on such a host the VMs that are pinned nowhere are taken as shared, and a warning says so.
    """
    fleet, warnings = _with_shared(fleet)
    dedicated, shared = _load(fleet)
    hosts: list[Host] = []
    for host in fleet.hosts:
        cpus = len(host.usable_cpus)
        left = cpus - dedicated[host.name]
        if left < 0:
            warnings.append(
                f"host {host.name} has {cpus} CPUs for {dedicated[host.name]} dedicated vCPUs: not all that are pinned "
                "there can be dedicated; say cpu_policy: shared for those that are not"
            )
        elif host.cpu_ratio == 1 and shared[host.name] > left > 0:
            ratio = math.ceil(shared[host.name] / left)
            held = f"{shared[host.name]} shared vCPUs on {left} CPUs"
            warnings.append(f"host {host.name} has {held}: overcommit {ratio} is taken")
            host = replace(host, cpu_ratio=float(ratio))
        hosts.append(host)
    return replace(fleet, hosts=tuple(hosts), warnings=(*fleet.warnings, *warnings))


def _load(fleet: Fleet) -> tuple[Counter[str], Counter[str]]:
    """Return the dedicated and the shared vCPUs on each host."""
    dedicated: Counter[str] = Counter()
    shared: Counter[str] = Counter()
    for vm in fleet.vms:
        if vm.current is not None:
            own = _dedicated(vm.spec)
            dedicated[vm.current.host] += own
            shared[vm.current.host] += vm.spec.vcpus - own
    return dedicated, shared


def _with_shared(fleet: Fleet) -> tuple[Fleet, list[str]]:
    """Return the fleet with VMs that are pinned nowhere as shared on hosts that cannot hold them as dedicated."""
    dedicated, _ = _load(fleet)
    full = {host.name for host in fleet.hosts if dedicated[host.name] > len(host.usable_cpus)}
    specs: dict[int, VmSpec] = {}
    changed: Counter[str] = Counter()
    vms: list[Vm] = []
    for vm in fleet.vms:
        where = vm.current.host if vm.current is not None and not vm.current.pins else None
        if where in full and where is not None and vm.spec.cpu_policy is CpuPolicy.DEDICATED:
            spec = specs.setdefault(id(vm.spec), replace(vm.spec, cpu_policy=CpuPolicy.SHARED))
            vm = replace(vm, spec=spec, notes=tuple(_SAID.sub(CpuPolicy.SHARED.value, note) for note in vm.notes))
            changed[where] += 1
        vms.append(vm)
    warnings = [
        f"host {host.name} has {len(host.usable_cpus)} CPUs for {dedicated[host.name]} vCPUs that are pinned nowhere "
        f"or to CPUs of their own: its {changed[host.name]} VMs that are pinned nowhere are taken as shared"
        for host in fleet.hosts
        if changed[host.name]
    ]
    return (replace(fleet, vms=tuple(vms)) if changed else fleet), warnings


def _dedicated(spec: VmSpec) -> int:
    return sum(spec.is_dedicated(vcpu) for vcpu in range(spec.vcpus))
