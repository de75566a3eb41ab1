"""A plan as a table: one row a vCPU, with the CPUs it may run on and where they and its memory are.

In CSV rows follow of what is no vCPU: cells of memory alone, emulator threads, IOThreads, memory modes
that change, devices of the host.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from placer.emit.export import Exporter
from placer.measure.memory_mode import memory_modes_of
from placer.model.cpuset import format_cpuset
from placer.model.fleet import Fleet
from placer.model.plan import Plan

COLUMNS = ("vm", "uuid", "host", "cell", "vcpu", "cpuset", "affinity", "cpu_nodes", "memory_nodes", "change")
"""`affinity` is ``hard`` for a CPU of its own and ``floating`` for a set; the node columns hold the host's node ids."""


def plan_rows(plan: Plan, fleet: Fleet) -> Iterator[tuple[str | int, ...]]:
    """Return the rows of the table in the order of `COLUMNS`, VMs as in the plan, vCPUs ascending by cell."""
    for vm in plan.vms:
        node_of_cpu = fleet.host_by_name[vm.host].topology.node_of_cpu
        for cell in vm.cells:
            loose = vm.bound[cell.id if len(vm.bound) > 1 else 0].memory if vm.bound else None
            memory = format_cpuset(cell.nodes or loose or ())
            for vcpu in sorted(cell.vcpus):
                cpus = vm.pins[vcpu]
                yield (
                    vm.name,
                    vm.uuid or "",
                    vm.host,
                    cell.id,
                    vcpu,
                    format_cpuset(cpus),
                    "hard" if len(cpus) == 1 else "floating",
                    format_cpuset(node_of_cpu[cpu] for cpu in cpus if cpu in node_of_cpu),
                    memory,
                    vm.change.value,
                )


def other_rows(plan: Plan, fleet: Fleet) -> Iterator[tuple[str | int, ...]]:
    """Return rows in the order of `COLUMNS` for what is no vCPU: a cell without any has its memory alone; in the column
    of the vCPU stands ``emulator`` or ``iothread N`` where a plan pins these, the memory mode where it is another, or a
    device by kind and address, all without a cell.
    """
    for vm in plan.vms:
        node_of_cpu = fleet.host_by_name[vm.host].topology.node_of_cpu
        who = (vm.name, vm.uuid or "", vm.host)
        for cell in vm.cells:
            if not cell.vcpus:
                yield (*who, cell.id, "", "", "", "", format_cpuset(cell.nodes), vm.change.value)
        threads = [] if vm.emulator is None else [("emulator", vm.emulator)]
        threads += [(f"iothread {number}", cpus) for number, cpus in sorted(vm.iothreads.items())]
        for name, cpus in threads:
            affinity = "hard" if len(cpus) == 1 else "floating"
            nodes = format_cpuset(node_of_cpu[cpu] for cpu in cpus if cpu in node_of_cpu)
            yield (*who, "", name, format_cpuset(cpus), affinity, nodes, "", vm.change.value)
        if (modes := memory_modes_of(fleet.vm_by_name[vm.name], vm, fleet)) is not None:
            yield (*who, "", f"memory mode {modes[1]}, was {modes[0]}", "", "", "", "", vm.change.value)
        for named, (_, node) in zip(vm.named_devices, vm.devices, strict=True):
            yield (*who, "", f"device {named}", "", "", "" if node is None else node, "", vm.change.value)


def csv_table(plan: Plan, fleet: Fleet) -> bytes:
    """Return the table as CSV in UTF-8, quoted where a name needs it."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(plan_rows(plan, fleet))
    writer.writerows(other_rows(plan, fleet))
    return text.getvalue().encode("utf-8", "surrogateescape")


EXPORTER = Exporter(files=lambda plan, fleet: {"plan.csv": csv_table(plan, fleet)}, document=csv_table)
