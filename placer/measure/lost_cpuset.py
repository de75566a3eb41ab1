"""VMs whose vCPUs are confined to some CPUs of the host where they run, and to none of the one that they come to."""

from __future__ import annotations

from placer.model.fleet import Fleet
from placer.model.plan import PlanVm
from placer.model.vm import Vm


def lost_cpuset(vm: Vm, planned: PlanVm, fleet: Fleet) -> frozenset[int] | None:
    """Return the CPUs that the shared vCPUs of a VM may run on now, where a plan has them float over all of another
    host; None where it does not, where they float over all of their host too, or where no such CPUs are known.
    """
    now = vm.current
    if now is None or now.host == planned.host or not planned.bound or any(one.cpus for one in planned.bound):
        return None
    old = fleet.host_by_name.get(now.host)
    sets = [cpus for vcpu, cpus in now.pins.items() if len(planned.pins.get(vcpu, ())) > 1]
    if old is None or not sets:
        return None
    cpus = frozenset().union(*sets)
    everywhere = old.shared_pool or old.usable_cpus
    return None if not cpus or everywhere <= cpus else cpus
