"""A plan for a Proxmox VE cluster: ``qm set`` and ``qm migrate``, each on the node where the VM is.

Proxmox ties all threads of a VM to one set of CPUs and binds guest cells to host nodes by ``numaN``; both are read when
the VM starts. Source: qm(1) and qm.conf(5), Proxmox VE 8.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from placer.emit.export import SCRIPT_MODE, Exporter
from placer.emit.platforms.rules import host_rules
from placer.emit.platforms.waves import Form, affinity, still_floats, wave_script
from placer.emit.script import quote
from placer.model.cpuset import format_cpuset
from placer.model.fleet import Fleet
from placer.model.plan import Plan, PlanCell, PlanVm
from placer.model.rules import RuleKind
from placer.model.vm import Vm
from placer.moves.model import Place, Step, StepKind

_HELPERS = r"""
ask() {  # NODE COMMAND...: run it on that node of the cluster
  if [ "$1" = "$(hostname)" ]; then "${@:2}"; else ssh -n -o BatchMode=yes "root@$1" "$(printf '%q ' "${@:2}")"; fi
}
at() {  # the same, printed first
  printf '%s: ' "$1"; words "${@:2}"; printf '\n'
  [ $mode = show ] || ask "$@" || fail "$2 $3 failed"
}
where() {  # VMID: pmxcfs keeps each configuration below the node that has the VM
  local file
  for file in "${PLACER_PVE:-/etc/pve}"/nodes/*/qemu-server/"$1.conf"; do
    [ ! -e "$file" ] || { file=${file%/qemu-server/*}; printf '%s\n' "${file##*/}"; return 0; }
  done
  return 1
}
migrate() {  # VMID FROM TO HOW
  case $4 in
    live) at "$2" qm migrate "$1" "$3" --online 1 --with-local-disks 1 ;;
    cold)
      { ! runs "$1" "$2" || at "$2" qm shutdown "$1" --timeout "${PLACER_SHUTDOWN_S:-300}"; } &&
        at "$2" qm migrate "$1" "$3" ;;
    off) at "$2" qm migrate "$1" "$3" ;;
  esac
}
runs() { [ $mode = show ] || [ "$(ask "$2" qm status "$1")" = 'status: running' ]; }  # VMID NODE
up() { if [ $mode = show ] || ! runs "$1" "$2"; then at "$2" qm start "$1"; fi; }
set_to() { at "$2" qm set "$1" "${@:3}" && say "$label: its CPUs and memory nodes are read at its next start"; }
settings() { ask "$(where "$1")" qm config "$1"; }
restore() {  # VMID NODE FILE: what was there comes back, what was not goes
  local line key words=() gone=
  for key in affinity numa numa{0..7}; do
    if line=$(grep -m 1 "^$key: " "$3"); then words+=("--$key" "${line#*: }"); else gone+=,$key; fi
  done
  at "$2" qm set "$1" ${words[@]+"${words[@]}"} ${gone:+--delete "${gone#,}"}
}
"""


def proxmox_script(plan: Plan, fleet: Fleet) -> bytes:
    """Return the script for a node of the cluster."""
    form = Form(
        title="Carry out a placer plan on a Proxmox VE cluster; run it on a node of it, as root.",
        helpers=_HELPERS,
        key=lambda vm: vm.manager_id,
        settings=_words,
        refuses=_refuses,
        notes=_notes,
        missing="its manager_id is its VMID: placer import proxmox --update writes it",
        on_arrival=True,
    )
    return wave_script(plan, fleet, form)


def _refuses(name: str) -> str | None:
    return None if name and not name.startswith("-") and name.isprintable() and "/" not in name else "no such name"


def _notes(plan: Plan, fleet: Fleet) -> Iterator[str]:
    """Say which HA rules hold the inventory's rules on the cluster; those that came from it are there already.

    Source: ha-manager(1), Proxmox VE 9. A negative rule allows one of its VMs a node.
    """
    for one in host_rules(fleet):
        known = all(vm.manager_id is not None for vm in one.vms)
        if (one.rule.name or "").startswith("ha:") or not known or one.rule.max_per > 1:
            continue
        resources = ",".join(f"vm:{vm.manager_id}" for vm in one.vms)
        if one.rule.kind is RuleKind.WITHIN:
            words = ["node-affinity", one.name, "--strict", "1", "--nodes", ",".join(one.hosts)]
        else:
            sign = "positive" if one.rule.kind is RuleKind.AFFINITY else "negative"
            words = ["resource-affinity", one.name, "--affinity", sign]
        command = " ".join(map(quote, ["ha-manager", "rules", "add", *words, "--resources", resources]))
        yield f"the cluster keeps {one.rule.label} by itself with (Proxmox VE 9): {command}"


def _words(step: Step, planned: PlanVm, vm: Vm, place: Place) -> list[str] | None:
    """Return the options of ``qm set`` that differ from what the VM has."""
    now = vm.current
    words: list[str] = []
    cpus = affinity(place)
    if not still_floats(vm, place.cells) and (now is None or frozenset().union(*now.pins.values()) != cpus):
        words += ["--affinity", format_cpuset(cpus)]
    bound = now is not None and not planned.new_cells and step.kind is not StepKind.START
    kept = bound and now is not None and now.memory_nodes == _nodes(place)
    if not kept and (planned.shown or any(cell.nodes for cell in place.cells)):
        words += ["--numa", "1"]
        for number, cell in enumerate(proxmox_cells(place.cells)):
            words += [f"--numa{number}", ",".join(f"{key}={value}" for key, value in cell.items())]
    if step.kind is StepKind.START:
        words += ["--sockets", "1", "--cores", str(vm.spec.vcpus)]
        if vm.spec.page_kib in (2048, 1 << 20):
            words += ["--hugepages", str(vm.spec.page_kib // 1024)]
    return words or None


def _nodes(place: Place) -> tuple[int, ...] | None:
    """Return the one node of each cell's memory; None where a cell has several."""
    nodes = [next(iter(cell.nodes)) for cell in place.cells if len(cell.nodes) == 1]
    return tuple(nodes) if len(nodes) == len(place.cells) else None


def proxmox_cells(cells: Sequence[PlanCell]) -> list[dict[str, str]]:
    """Return ``numaN`` of each guest cell: in its lists ``;`` stands between ranges; memory is in MiB.

    A cell whose memory floats is bound to no host node.
    """
    made = []
    for cell in cells:
        one = {"cpus": format_cpuset(cell.vcpus).replace(",", ";")}
        if cell.nodes:
            one["hostnodes"] = format_cpuset(cell.nodes).replace(",", ";")
        one["memory"] = str(-(-cell.memory_kib // 1024))
        if cell.nodes:
            one["policy"] = "bind" if len(cell.nodes) == 1 else "interleave"
        made.append(one)
    return made


EXPORTER = Exporter(
    files=lambda plan, fleet: {"proxmox.sh": proxmox_script(plan, fleet)}, document=proxmox_script, mode=SCRIPT_MODE
)
