"""A plan for an OpenStack cloud: ``openstack server migrate`` in waves. CPUs and nodes on a host are Nova's own choice.

Source: python-openstackclient, ``server migrate``; Nova API 2.56 takes a host for cold migrations too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from placer.emit.export import SCRIPT_MODE, Exporter
from placer.emit.platforms.rules import host_rules
from placer.emit.platforms.waves import Form, changes_of, wave_script
from placer.emit.script import quote
from placer.model.cpuset import format_cpuset
from placer.model.fleet import Fleet
from placer.model.plan import Plan, PlanVm
from placer.model.rules import RuleKind
from placer.model.units import count
from placer.model.vm import CpuPolicy, ThreadPolicy, Vm

_SERVER = re.compile(r"[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}")
_LISTED = 20

_HELPERS = r"""
nova() { run openstack --os-compute-api-version 2.56 "$@"; }
same() {  # A B: equal, or one is the short form of the other
  case $2 in "$1" | "$1".*) return 0 ;; esac
  case $1 in "$2".*) return 0 ;; esac
  return 1
}
where() { openstack server show --format value --column OS-EXT-SRV-ATTR:host "$1"; }
service() {  # HOST: what Nova calls it, which may be its short name
  [ $mode = apply ] || { printf '%s\n' "$1"; return 0; }
  local name
  [ -n "${services+x}" ] ||
    services=$(openstack compute service list --service nova-compute --format value --column Host)
  while IFS= read -r name; do same "$name" "$1" && { printf '%s\n' "$name"; return 0; }; done <<<"$services"
  fail "Nova has no compute service on $1"
}
migrate() {  # SERVER FROM TO HOW
  local to
  to=$(service "$3") || { failed=$((failed + 1)); return 1; }
  case $4 in
    live) nova server migrate --live-migration "--host=$to" --wait "$1" ;;
    *) nova server migrate "--host=$to" --wait "$1" && nova server migration confirm "$1" ;;
  esac || return 1
  [ $mode = show ] || same "$(where "$1")" "$3" || fail "is on $(where "$1") after its migration to $3"
}
"""


def openstack_script(plan: Plan, fleet: Fleet) -> bytes:
    """Return the script for any machine with the client and an administrator's credentials."""
    form = Form(
        title="Carry out the moves of a placer plan in an OpenStack cloud.",
        helpers=_HELPERS,
        key=lambda vm: vm.uuid,
        settings=lambda step, planned, vm, place: None,
        refuses=_refuses,
        notes=_notes,
        missing="its uuid is the server's id: placer import openstack --update writes it",
    )
    return wave_script(plan, fleet, form)


def _refuses(name: str) -> str | None:
    return None if name.isprintable() and not re.search(r"\s", name) else "Nova has no such name"


def _notes(plan: Plan, fleet: Fleet) -> Iterator[str]:
    """Say how far Nova keeps the plan: which flavors ask for its cells, and where only Nova's choice decides."""
    vms = list(changes_of(plan))
    hosts = sum(vm.from_host is not None and vm.from_host != vm.host for vm in vms)
    changed = "1 changes it" if hosts == 1 else f"{hosts} change it"
    yield f"Kept: the host of {count(len(plan.vms), 'VM')} ({changed}). CPUs and host nodes are chosen by Nova:"
    yield "it packs the cells that a flavor asks for on the first nodes that fit, which need not be those of the plan."
    wanted: dict[str, set[str]] = {}
    for vm in vms:
        known = fleet.vm_by_name[vm.name]
        flavor = known.spec.labels.get("flavor")
        if flavor is not None and vm.new_cells:
            wanted.setdefault(flavor, set()).add(" ".join(f"--property {word}" for word in extra_specs(vm, known)))
    for flavor, choices in sorted(wanted.items()):
        for words in sorted(choices):
            yield f"flavor {flavor} for new cells, read when a server is built or resized: {words}"
    yield from _rule_notes(fleet)
    for vm in vms[:_LISTED]:
        nodes = format_cpuset(frozenset().union(*(cell.nodes for cell in vm.cells)))
        where = f"nodes {nodes}, CPUs {format_cpuset(_cpus(vm))}" if nodes else "over which it floats"
        yield f"planned for {vm.name}: host {vm.host}, {where}"
    if len(vms) > _LISTED:
        yield f"... and {len(vms) - _LISTED} more: placer show PLAN"


def _rule_notes(fleet: Fleet) -> Iterator[str]:
    """Say which server groups and aggregates hold the inventory's rules; those that came from Nova are there already.

    A server joins a group when it is built, and looks for an aggregate when it is built, resized or moved.
    """
    for one in host_rules(fleet):
        members = one.rule.members or {}
        if "server_group" in members:
            continue
        if one.rule.kind is RuleKind.WITHIN:
            hosts = "; ".join(f"openstack aggregate add host {one.name} {quote(host)}" for host in one.hosts)
            create = f"openstack aggregate create --property {one.name}=true {one.name}; {hosts}"
            yield f"Nova keeps {one.rule.label} with an aggregate: {create}"
            yield f"and a flavor of these VMs with --property aggregate_instanceextra_specs:{one.name}=true"
            continue
        policy = "affinity" if one.rule.kind is RuleKind.AFFINITY else "anti-affinity"
        most = f" --rule max_server_per_host={one.rule.max_per}" if one.rule.max_per > 1 else ""
        create = f"openstack --os-compute-api-version 2.64 server group create --policy {policy}{most} {one.name}"
        yield f"Nova keeps {one.rule.label} of servers that are built with --hint group=ID of: {create}"


def _cpus(vm: PlanVm) -> frozenset[int]:
    return frozenset().union(*vm.pins.values())


def extra_specs(vm: PlanVm, known: Vm) -> Iterator[str]:
    """Yield the extra specs of a flavor that gives these cells."""
    spec = known.spec
    yield f"hw:numa_nodes={len(vm.cells)}"
    sizes = {(len(cell.vcpus), cell.memory_kib) for cell in vm.cells}
    for cell in vm.cells if len(sizes) > 1 else ():
        yield f"hw:numa_cpus.{cell.id}={','.join(str(vcpu) for vcpu in sorted(cell.vcpus))}"
        yield f"hw:numa_mem.{cell.id}={cell.memory_kib // 1024}"
    yield f"hw:cpu_policy={spec.cpu_policy.value}"
    if spec.cpu_policy is CpuPolicy.MIXED:
        yield f"hw:cpu_dedicated_mask={format_cpuset(spec.dedicated_vcpus)}"
    if spec.cpu_policy is not CpuPolicy.SHARED:
        # Nova knows no pairs: of its policies prefer is the one that takes siblings and needs no SMT.
        policy = spec.thread_policy if spec.thread_policy is not ThreadPolicy.PAIRS else ThreadPolicy.PREFER
        yield f"hw:cpu_thread_policy={policy.value}"
    if spec.page_kib is not None:
        yield f"hw:mem_page_size={spec.page_kib}"


EXPORTER = Exporter(
    files=lambda plan, fleet: {"openstack.sh": openstack_script(plan, fleet)},
    document=openstack_script,
    mode=SCRIPT_MODE,
)
