"""A plan as a bash script of virsh commands that pins the domains that are there already.

The domains are addressed by UUID (virsh takes a name of digits for an id), each change goes to the stored definition
and, where the domain runs, to the running one. The memory nodes of guest cells can only be changed by defining the
domain again: ``virsh numatune --config`` leaves memnode as it was.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from placer.emit.domain.elements import floats_everywhere, loose_numatune, memory_modes, page_layout
from placer.emit.domain.files import source_xml
from placer.emit.domain.kept import cells_fit, is_as_planned, pins_that_differ, stays
from placer.emit.export import SCRIPT_MODE, Exporter
from placer.emit.script import label, quote, script, script_files
from placer.measure.memory_mode import memory_of_loose, replaced_modes
from placer.model.cpuset import format_cpuset
from placer.model.fleet import Fleet
from placer.model.host import Host
from placer.model.plan import Change, Plan, PlanVm
from placer.model.vm import Vm, VmSpec
from placer.read.domains.domain_xml import read_domain
from placer.read.domains.movable import manager
from placer.read.domains.reading import DomainReading
from placer.read.text.xml import parse_xml

_TAKEN_FOR_ID = re.compile(r"[0-9]+|[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}")

_HELPERS = r"""
host() {  # NAME URI: from here on virsh speaks to this host; without a URI to the libvirt of this machine
  selected "$1" || return 1
  virsh=(virsh) sure=0
  [ -z "$2" ] || { virsh=(virsh -c "$2"); sure=1; }
  [ ${#hosts[@]} -gt 1 ] || sure=1
  named "$1" && sure=1
  return 0
}
domain() {  # KEY LABEL: find the domain and what can be changed in it
  local state info
  dom=$1 label=$2 live=0 stored=1
  if ! state=$("${virsh[@]}" domstate --domain "$dom"); then
    if [ "$sure" -eq 0 ]; then skip "not on this host"; return 1; fi
    fail "not found; define its XML first (placer export --to libvirt)"
    return 1
  fi
  case $state in
    "shut off"* | crashed*) ;;
    running* | idle* | paused* | "in shutdown"* | pmsuspended* | blocked*) live=1 ;;
    *) fail "its state is unknown: $state"; return 1 ;;
  esac
  info=$("${virsh[@]}" dominfo --domain "$dom")
  [[ $info =~ Persistent:\ *no ]] && stored=0
  if [[ $info =~ Managed\ save:\ *yes ]]; then
    fail "a managed save image carries pins of its own; start the domain, or virsh managedsave-remove"
    return 1
  fi
  scope=()
  [ "$stored" -eq 0 ] || scope+=(--config)
  [ "$live" -eq 0 ] || scope+=(--live)
  pinned=$((pinned + 1))
}
by_name() {  # NAME: print the UUID of the domain of this name; for names that virsh takes for an id or a UUID
  NAME=$1 "${virsh[@]}" list --all --uuid --name |
    NAME=$1 awk '{ name = substr($0, 38); sub(/ +$/, "", name); if (name == ENVIRON["NAME"]) print $1 }'
}
arrived() {  # LABEL: a domain that comes from another host is pinned only where this is its new host beyond doubt
  label=$1
  [ "$sure" -eq 1 ] || skip "it moves to this host: name the host on the command line once it is there"
  [ "$sure" -eq 1 ]
}
unmanaged() {  # LABEL MANAGER
  label=$1
  [ "${PLACER_FORCE_MANAGED:-0}" = 1 ] && return 0
  fail "$2 manages it and would not know; set PLACER_FORCE_MANAGED=1 to pin it all the same"
  return 1
}
change() { "${virsh[@]}" "$1" --domain "$dom" "${@:2}" >/dev/null || fail "virsh $1 failed"; }
vcpu() { change vcpupin --vcpu "$1" --cpulist "$2" "${scope[@]}"; }
offline_vcpu() { [ "$stored" -eq 0 ] || change vcpupin --vcpu "$1" --cpulist "$2" --config; }
emulator() { change emulatorpin --cpulist "$1" "${scope[@]}"; }
iothread() { change iothreadpin --iothread "$1" --cpulist "$2" "${scope[@]}"; }
stored_memory() {  # MODE NODES: a guest without cells; the pages of a running one stay until it is started again
  [ "$stored" -eq 0 ] || change numatune --mode "$1" --nodeset "$2" --config
}
memory() {  # MODE NODES: restrictive memory, which libvirt moves at once
  stored_memory "$1" "$2"
  [ "$live" -eq 0 ] || change numatune --mode "$1" --nodeset "$2" --live
}
cells() {  # COUNT NUMATUNE: a guest with cells; its definition is fetched, secrets included, changed and defined again
  [ "$stored" -eq 1 ] || return 0
  folder=$(mktemp -d) || { fail "no temporary folder"; return; }
  if ! "${virsh[@]}" dumpxml --domain "$dom" --inactive --security-info >"$folder/old.xml"; then
    fail "virsh dumpxml failed"
  elif [ "$(grep -c '^      <cell ' "$folder/old.xml")" -ne "$1" ]; then
    fail "it has not the $1 guest cells of the plan; define its XML while it is shut off (placer export --to libvirt)"
  elif ! NUMATUNE=$2 awk '
      /^  <numatune\/?>$/ { if (!done) print ENVIRON["NUMATUNE"]; done = 1; inside = !/\/>$/; next }
      inside { if (/^  <\/numatune>$/) inside = 0; next }
      /^  <os[ >]/ && !done { print ENVIRON["NUMATUNE"]; done = 1 }
      { print }
      END { exit !done }' "$folder/old.xml" >"$folder/new.xml"; then
    fail "its XML does not look like libvirt's"
  elif ! cmp -s "$folder/old.xml" "$folder/new.xml"; then
    "${virsh[@]}" define --file "$folder/new.xml" >/dev/null || fail "virsh define failed"
  fi
  rm -rf "$folder"
}
redefine() { fail "its cells or its page size change; shut it off and define its XML (placer export --to libvirt)"; }
later() { [ "$live" -eq 0 ] || say "$label: its memory moves to the planned nodes at its next start"; }
umask 077
folder=
trap '[ -z "$folder" ] || rm -rf "$folder"' EXIT
"""


def virsh_script(plan: Plan, fleet: Fleet) -> bytes:
    """Return the script for all hosts that hold a VM."""

    def section(host: Host, vms: list[PlanVm]) -> Iterator[str]:
        for vm in vms:
            yield from _domain(vm, fleet.vm_by_name[vm.name], fleet)

    return script(plan, fleet, "Pin the domains of a placer plan with virsh.", _HELPERS, section)


def _domain(vm: PlanVm, known: Vm, fleet: Fleet) -> Iterator[str]:
    name = quote(label(vm))
    conditions = []
    if vm.from_host is not None and vm.from_host != vm.host:
        conditions.append(f"arrived {name}")
    xml = source_xml(known, fleet)
    changes = list(_changes(vm, known, xml, fleet))
    if not changes:
        return
    claimed = None if xml is None else manager(parse_xml(xml, known.name))
    if claimed is not None:
        conditions.append(f"unmanaged {name} {quote(claimed)}")
    conditions.append(f"domain {_key(vm)} {name}")
    yield f"  if {' && '.join(conditions)}; then"
    yield from (f"    {line}" for line in changes)
    yield "  fi"


def _key(vm: PlanVm) -> str:
    if vm.uuid is not None:
        return quote(vm.uuid)
    if _TAKEN_FOR_ID.fullmatch(vm.name):
        return f'"$(by_name {quote(vm.name)})"'
    return quote(vm.name)


def _changes(vm: PlanVm, known: Vm, xml: bytes | None, fleet: Fleet) -> Iterator[str]:
    """Yield the calls for a VM; none for one that stays as it is."""
    host = fleet.host_by_name[vm.host]
    reading = None if xml is None else read_domain(xml, vm.name)
    if stays(vm, known) and (reading is None or is_as_planned(vm, known, reading, host.topology.cpus)):
        said = known.current.pins if known.current is not None else {}
        differ = pins_that_differ(vm, said if reading is None else reading.pins, host.topology.cpus)
        yield from (_vcpu(known.spec, number, cpus) for number, cpus in sorted(differ.items()))
        if reading is not None and replaced_modes(vm.cells, known.spec.memory_mode, reading.memory_modes):
            yield from _memory(vm, known, xml, reading)
        return
    if reading is not None and (page_layout(reading.spec) != page_layout(known.spec) or not cells_fit(reading, vm)):
        yield "redefine"
        return
    if reading is not None and floats_everywhere(vm, host.topology.cpus) and not _pins_anything(reading):
        return
    spec = known.spec
    everywhere = format_cpuset(frozenset().union(*vm.pins.values()))
    yield from (_vcpu(spec, number, cpus) for number, cpus in sorted(vm.pins.items()))
    # Threads without a pin follow <vcpu cpuset>, which virsh cannot change: they are given the vCPUs' CPUs by name.
    yield f"emulator {everywhere if vm.emulator is None else format_cpuset(vm.emulator)}"
    for number in sorted({*spec.iothreads, *vm.iothreads}):
        yield f"iothread {number} {format_cpuset(vm.iothreads[number]) if number in vm.iothreads else everywhere}"
    if vm.bound:
        yield from _loose_memory(vm, known, fleet)
    else:
        yield from _memory(vm, known, xml, reading)


def _loose_memory(vm: PlanVm, known: Vm, fleet: Fleet) -> Iterator[str]:
    """Yield the call that binds the memory of a VM which has no node a cell on the host that it comes to."""
    old = None if vm.from_host is None else fleet.host_by_name.get(vm.from_host)
    here = fleet.host_by_name[vm.host].topology
    loose = None if old is None else memory_of_loose(known, vm.bound, old.topology, here)
    if loose is not None and vm.shown:
        yield f"cells {len(vm.cells)} {quote(loose_numatune(loose))}"
    elif loose is not None:
        mode, nodes = loose.whole
        yield f"stored_memory {mode} {format_cpuset(nodes)}"


def _memory(vm: PlanVm, known: Vm, xml: bytes | None, reading: DomainReading | None) -> Iterator[str]:
    """Yield the calls that bind a VM's memory; the mode of a running one is as it is until it starts again."""
    nodes = format_cpuset(frozenset().union(*(cell.nodes for cell in vm.cells)))
    if not nodes:
        return
    root = None if xml is None else parse_xml(xml, vm.name)
    mode, modes = memory_modes(root, vm.cells, asked=known.spec.memory_mode)
    now = None if reading is None or reading.numatune.memory is None else reading.numatune.memory.mode
    at_once = mode == "restrictive" and now in (None, "restrictive")
    if not vm.shown:
        yield f"{'memory' if at_once else 'stored_memory'} {mode} {nodes}"
    elif reading is None or not _keeps_memory(reading, vm, modes):
        yield f"cells {len(vm.cells)} {quote(_numatune(vm, nodes, mode, modes))}"
    if vm.change in (Change.RENODE, Change.RESTART) and (vm.shown or not at_once):
        yield "later"


def _pins_anything(reading: DomainReading) -> bool:
    bound = reading.numatune.memory is not None or bool(reading.numatune.memnodes)
    return bool(reading.pins or reading.iothread_pins) or reading.emulator is not None or bound


def _vcpu(spec: VmSpec, number: int, cpus: frozenset[int]) -> str:
    return f"{'vcpu' if spec.is_online(number) else 'offline_vcpu'} {number} {format_cpuset(cpus)}"


def _keeps_memory(reading: DomainReading, vm: PlanVm, modes: Mapping[int, str]) -> bool:
    """Tell whether the domain's memory policies are the planned ones already, so that nothing need be defined again."""
    old = {number: (policy.mode, policy.nodeset) for number, policy in reading.numatune.memnodes.items()}
    return old == {
        number: (modes[cell.id], frozenset(cell.nodes)) for number, cell in enumerate(vm.cells) if cell.nodes
    }


def _numatune(vm: PlanVm, nodes: str, mode: str, modes: Mapping[int, str]) -> str:
    memnodes = (
        f"    <memnode cellid='{cell.id}' mode='{modes[cell.id]}' nodeset='{format_cpuset(cell.nodes)}'/>"
        for cell in vm.cells
        if cell.nodes
    )
    return "\n".join(["  <numatune>", f"    <memory mode='{mode}' nodeset='{nodes}'/>", *memnodes, "  </numatune>"])


EXPORTER = Exporter(
    files=lambda plan, fleet: script_files(plan, lambda part: virsh_script(part, fleet)),
    document=virsh_script,
    mode=SCRIPT_MODE,
)
