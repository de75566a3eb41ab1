"""A plan for OpenNebula: ``onevm migrate``, and the TOPOLOGY that a VM's template needs for its cells.

OpenNebula's scheduler pins VMs with a PIN_POLICY itself and takes a new topology only when a VM is created: the plan's
host is kept by the script, its nodes by NODE_AFFINITY in the template. Source: OpenNebula 6.8, Virtual Topology and CPU
Pinning; onevm(1).
"""

from __future__ import annotations

from collections.abc import Iterator

from placer.emit.export import SCRIPT_MODE, Exporter
from placer.emit.platforms.waves import Form, changes_of, wave_script
from placer.model.fleet import Fleet
from placer.model.plan import Plan, PlanVm
from placer.model.units import count
from placer.model.vm import CpuPolicy, ThreadPolicy, Vm

_HELPERS = r"""
[ $mode = show ] || need jq
state() { onevm show --json "$1" | jq -r "$2"; }
where() {
  state "$1" '[.VM.HISTORY_RECORDS.HISTORY] | flatten | max_by(.SEQ | tonumber) | .HOSTNAME // empty'
}
runs() { [ "$(state "$1" '.VM.STATE + " " + .VM.LCM_STATE')" = '3 3' ]; }  # ACTIVE and RUNNING
migrate() {  # VM FROM TO HOW
  local left=${PLACER_MIGRATION_S:-1800}
  if [ "$4" = live ]; then run onevm migrate --live "$1" "$3"; else run onevm migrate --poff "$1" "$3"; fi || return 1
  [ $mode = apply ] && [ "$4" != off ] || return 0
  until runs "$1"; do
    left=$((left - 5)); [ $left -gt 0 ] || { fail "does not run"; return 1; }
    sleep 5
  done
  same "$(where "$1")" "$3" || fail "is on $(where "$1"), not on $3"
}
"""


def opennebula_script(plan: Plan, fleet: Fleet) -> bytes:
    """Return the script for the front-end."""
    form = Form(
        title="Carry out the moves of a placer plan on an OpenNebula front-end.",
        helpers=_HELPERS,
        key=lambda vm: vm.manager_id,
        settings=lambda step, planned, vm, place: None,
        refuses=lambda name: "OpenNebula has no such name" if name.startswith("-") or not name.isprintable() else None,
        notes=_notes,
        missing="its manager_id is its number in onevm list: placer import opennebula --update writes it",
    )
    return wave_script(plan, fleet, form)


def _notes(plan: Plan, fleet: Fleet) -> Iterator[str]:
    """Give the TOPOLOGY of each VM whose place on its host changes; a template takes it with onetemplate update."""
    yield f"Kept: the host of {count(len(plan.vms), 'VM')}. OpenNebula pins CPUs when a VM is made; for the templates:"
    for vm in changes_of(plan):
        yield f"{vm.name}: {' '.join(_topology(vm, fleet.vm_by_name[vm.name]))}"


def _topology(vm: PlanVm, known: Vm) -> Iterator[str]:
    """Yield the attributes that give a VM its cells."""
    pinned = known.spec.cpu_policy is CpuPolicy.DEDICATED
    policy = "THREAD" if known.spec.thread_policy is ThreadPolicy.PREFER else "CORE"
    words = [f'PIN_POLICY = "{policy if pinned else "NONE"}"', f'SOCKETS = "{len(vm.cells)}"']
    nodes = {node for cell in vm.cells for node in cell.nodes}
    if len(nodes) == 1 and pinned:
        words.append(f'NODE_AFFINITY = "{min(nodes)}"')
    if known.spec.page_kib is not None:
        words.append(f'HUGEPAGE_SIZE = "{known.spec.page_kib // 1024}"')
    yield f"TOPOLOGY = [ {', '.join(words)} ]"
    for cell in vm.cells if vm.shown else ():
        yield f'NUMA_NODE = [ TOTAL_CPUS = "{len(cell.vcpus)}", MEMORY = "{cell.memory_kib // 1024}" ]'


EXPORTER = Exporter(
    files=lambda plan, fleet: {"opennebula.sh": opennebula_script(plan, fleet)},
    document=opennebula_script,
    mode=SCRIPT_MODE,
)
