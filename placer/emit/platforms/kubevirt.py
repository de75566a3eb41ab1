"""A plan for KubeVirt: migrations to named nodes, and what a VirtualMachine has to ask for to get its cells.

Which CPUs and NUMA nodes a guest gets is the kubelet's choice (CPU, memory and topology managers): the plan's host is
kept, its nodes are as near as ``dedicatedCpuPlacement`` and ``guestMappingPassthrough`` bring them.
Source: KubeVirt user guide, API kubevirt.io/v1; ``addedNodeSelector`` of a migration is there from version 1.4 on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from placer.emit.export import SCRIPT_MODE, Exporter
from placer.emit.platforms.waves import Form, changes_of, wave_script
from placer.model.cpuset import format_cpuset
from placer.model.fleet import Fleet
from placer.model.plan import Plan, PlanVm
from placer.model.units import count
from placer.model.vm import CellMode, CpuPolicy, EmulatorPolicy, Vm
from placer.moves.model import Place, Step, StepKind

_LABEL = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"(?:{_LABEL}/)?{_LABEL}(?:\.{_LABEL})*")
_LISTED = 20

_HELPERS = r"""
kube() { local namespace=${1%/*}; run kubectl --namespace "$namespace" "${@:2}"; }
where() { kubectl --namespace "${1%/*}" get virtualmachineinstance "${1#*/}" --output 'jsonpath={.status.nodeName}'; }
migrate() {  # NAMESPACE/NAME FROM TO HOW
  local namespace=${1%/*} name=${1#*/} object wait=${PLACER_MIGRATION_S:-1800}s
  if [ "$4" != live ]; then restart "$1" "$3"; return; fi
  object=$(printf '{"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstanceMigration",
 "metadata": {"name": "%s"},
 "spec": {"vmiName": "%s", "addedNodeSelector": {"kubernetes.io/hostname": "%s"}}}' "$(one "$1" "$3")" "$name" "$3")
  feed "$object" kubectl --namespace "$namespace" create --filename - &&
    kube "$1" wait "virtualmachineinstancemigration/$(one "$1" "$3")" --for 'jsonpath={.status.phase}=Succeeded' \
      --timeout "$wait"
}
one() { printf 'placer-%s' "$(printf '%s %s %s' "$way" "$1" "$2" | sha256sum | cut -c -16)"; }
restart() {  # NAMESPACE/NAME NODE: off, and on again on that node, which it may leave afterwards
  local wait=${PLACER_MIGRATION_S:-1800}s
  kube "$1" patch virtualmachine "${1#*/}" --type merge --patch \
    "{\"spec\": {\"template\": {\"spec\": {\"nodeSelector\": {\"kubernetes.io/hostname\": \"$2\"}}}}}" &&
    run virtctl --namespace "${1%/*}" restart "${1#*/}" &&
    kube "$1" wait "virtualmachineinstance/${1#*/}" --for "jsonpath={.status.nodeName}=$2" --timeout "$wait" &&
    kube "$1" patch virtualmachine "${1#*/}" --type merge --patch \
      '{"spec": {"template": {"spec": {"nodeSelector": {"kubernetes.io/hostname": null}}}}}'
}
settings() { kubectl --namespace "${1%/*}" get virtualmachine "${1#*/}" --output json; }
set_to() {
  kube "$1" patch virtualmachine "${1#*/}" --type merge --patch "$3" && say "$label: holds from its next start on"
}
restore() { need jq; kube "$1" patch virtualmachine "${1#*/}" --type merge --patch "$(jq -c '
  .spec.template.spec as $old | {spec: {template: {spec: {nodeSelector: $old.nodeSelector, affinity: $old.affinity,
    domain: {cpu: {dedicatedCpuPlacement: $old.domain.cpu.dedicatedCpuPlacement, numa: $old.domain.cpu.numa,
                   isolateEmulatorThread: $old.domain.cpu.isolateEmulatorThread},
             memory: {hugepages: $old.domain.memory.hugepages}}}}}}' "$3")"; }
"""


def kubevirt_script(plan: Plan, fleet: Fleet) -> bytes:
    """Return the script for a machine with kubectl; virtctl for VMs that have to be started again."""
    form = Form(
        title="Carry out a placer plan in a KubeVirt cluster.",
        helpers=_HELPERS,
        key=lambda vm: vm.manager_id if vm.manager_id is None or "/" in vm.manager_id else f"default/{vm.manager_id}",
        settings=_words,
        refuses=lambda name: None if _NAME.fullmatch(name) else "Kubernetes has no such names",
        notes=_notes,
        missing="its manager_id is namespace/name: placer import kubevirt --update writes it",
    )
    return wave_script(plan, fleet, form)


def _words(step: Step, planned: PlanVm, vm: Vm, place: Place) -> list[str] | None:
    """Return the patch that makes a VirtualMachine ask for its cells; None where it does already."""
    if not (planned.new_cells or step.kind is StepKind.START):
        return None
    spec = vm.spec
    if spec.cpu_policy is not CpuPolicy.DEDICATED:
        return None
    cpu: dict[str, Any] = {"dedicatedCpuPlacement": True}
    if spec.emulator_threads is EmulatorPolicy.ISOLATE:
        cpu["isolateEmulatorThread"] = True
    domain: dict[str, Any] = {"cpu": cpu}
    if spec.page_kib is not None:
        # Cells reach the guest only with huge pages: KubeVirt refuses the mapping without them.
        domain["memory"] = {"hugepages": {"pageSize": _quantity(spec.page_kib)}}
        if spec.cell_mode is not CellMode.NONE:
            cpu["numa"] = {"guestMappingPassthrough": {}}
    return [json.dumps({"spec": {"template": {"spec": {"domain": domain}}}})]


def _quantity(kib: int) -> str:
    for unit, size in (("Gi", 1 << 20), ("Mi", 1 << 10)):
        if kib % size == 0:
            return f"{kib // size}{unit}"
    return f"{kib}Ki"


def _notes(plan: Plan, fleet: Fleet) -> Iterator[str]:
    """Say what the kubelet decides."""
    vms = list(changes_of(plan))
    yield f"Kept: the node of {count(len(plan.vms), 'VM')}. Their CPUs and NUMA nodes on it are the kubelet's choice:"
    yield "cpuManagerPolicy static, memoryManagerPolicy Static and topologyManagerPolicy single-numa-node or restricted"
    yield "bring small guests onto one node as planned."
    for vm in vms[:_LISTED]:
        nodes = format_cpuset(frozenset().union(*(cell.nodes for cell in vm.cells)))
        yield f"planned for {vm.name}: node {vm.host}, {f'NUMA nodes {nodes}' if nodes else 'over which it floats'}"
    if len(vms) > _LISTED:
        yield f"... and {len(vms) - _LISTED} more: placer show PLAN"


EXPORTER = Exporter(
    files=lambda plan, fleet: {"kubevirt.sh": kubevirt_script(plan, fleet)}, document=kubevirt_script, mode=SCRIPT_MODE
)
