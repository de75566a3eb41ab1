"""Plans that libvirt 9.0 to 9.2 takes and then does not start: preallocated memory where QEMU itself may not run.

QEMU 7.2 and newer preallocates a guest's memory in threads that libvirt 9.0 to 9.2 ties to the CPUs of the memory's
node (Red Hat bug 2185039, mended in libvirt 9.3). Where the emulator threads have none of those CPUs, QEMU ends with
"Setting CPU affinity failed". No plan tells the version of libvirt that will run it, so this is a warning;
`placer apply`, which can ask, refuses it.
"""

from __future__ import annotations

from collections.abc import Container, Iterator

from placer.check.findings import some
from placer.model.cpuset import format_cpuset
from placer.model.fleet import Fleet
from placer.model.plan import Plan, PlanVm


def start_warnings(fleet: Fleet, plan: Plan, *, immediate: Container[str] = ()) -> Iterator[str]:
    """Yield one sentence on the VMs whose preallocated memory is away from their emulator threads, if there are any.

    Parameters
    ----------
    immediate
        Names of VMs whose XML has its ordinary memory allocated at once; huge pages always are.
    """
    away = [
        vm
        for vm in plan.vms
        if (fleet.vm_by_name[vm.name].spec.page_sizes != {None} or vm.name in immediate) and _is_away(fleet, vm)
    ]
    if away:
        first = away[0]
        cpus = format_cpuset(first.emulator or ())
        yield (
            f"VMs {some([vm.name for vm in away])}: memory that is allocated at start lies on nodes where the emulator "
            f"threads (CPUs {cpus} on {first.host}) have no CPU; libvirt 9.0 to 9.2 with QEMU 7.2 or newer does not "
            "start them: update libvirt, reserve a CPU on each node, or say emulator_threads: share"
        )


def _is_away(fleet: Fleet, vm: PlanVm) -> bool:
    topology = fleet.host_by_name[vm.host].topology
    if not vm.emulator:
        return False
    nodes = {node for cell in vm.cells for node, kib in cell.nodes.items() if kib}
    return any(not topology.node(node).cpus & vm.emulator for node in nodes if node in topology.node_ids)
