"""On how many cores the vCPUs of a VM are where it comes from."""

from __future__ import annotations

from placer.model.fleet import Fleet
from placer.planning.compile.needs import part_vcpus
from placer.planning.compile.placements import Placement


def cores_before(fleet: Fleet, number: int, host: str, placement: Placement) -> tuple[int, ...]:
    """Return on how many cores the vCPUs of each part are where a VM comes from, that it may have as many here: what
    its XML shows the guest of threads stays as it is. Empty where not each vCPU has one CPU there.
    """
    vm, parts = fleet.vms[number], len(placement.cpu_nodes)
    now = vm.current
    if now is None or now.host == host or vm.domain is None or vm.spec.reshape:
        return ()
    old = fleet.host_by_name.get(now.host)
    if old is None or len(now.pins) < vm.spec.vcpus or any(len(cpus) != 1 for cpus in now.pins.values()):
        return ()
    core_of = old.topology.core_of_cpu
    return tuple(len({core_of.get(min(now.pins[vcpu])) for vcpu in vcpus}) for vcpus in part_vcpus(vm.spec, parts))
