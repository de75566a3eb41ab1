"""A schedule of moves as a bash script of virsh commands: wave after wave, stopping where one fails.

Both XMLs of a migrating domain are fetched when its step runs and only what refers to the host is changed in them:
pins, the memory's nodes, the vCPUs' default CPU set. What names caches or devices of the host is refused by name.
A script that stopped can be run again: steps that are done are skipped.
"""

from __future__ import annotations

from collections.abc import Iterator

from placer.emit.domain.elements import loose_numatune, memory_modes
from placer.emit.domain.files import source_xml
from placer.emit.script import comment, quote
from placer.measure.memory_mode import memory_of_loose
from placer.model.cpuset import format_cpuset
from placer.model.fleet import Fleet
from placer.model.units import count
from placer.model.vm import CellMode, Vm
from placer.moves.model import FloatingSet, Place, Schedule, Step, StepKind
from placer.moves.need import Need
from placer.moves.pages import page_command
from placer.read.text.xml import parse_xml

_HELPERS = r"""
set -u
export LC_ALL=C
umask 077
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
failed=0
say() { printf '%s\n' "$*" >&2; }
fail() { failed=$((failed + 1)); say "$label: $*"; return 1; }
on() { local uri=$1; shift; if [ -n "$uri" ]; then virsh -c "$uri" "$@"; else virsh "$@"; fi; }
is_on() { on "$1" domstate --domain "$2" >/dev/null 2>&1; }
running() { case $(on "$1" domstate --domain "$2") in "shut off"* | crashed*) return 1 ;; esac; }
scope_of() { scope=(--config); ! running "$1" "$2" || scope+=(--live); }
fetch() {  # URI DOMAIN: both definitions, secrets included; refuse what only its manager or its host may change
  on "$1" dumpxml --domain "$2" --security-info --migratable >"$folder/live.xml" &&
    on "$1" dumpxml --domain "$2" --security-info --inactive >"$folder/config.xml" ||
    fail "virsh dumpxml failed" || return 1
  if [ "${PLACER_FORCE_MANAGED:-0}" != 1 ] &&
    grep -Eq 'openstack.org/xmlns/libvirt/nova|ovirt.org/vm/|kubevirt.io' "$folder/config.xml"; then
    fail "it is managed; move it by its manager, or set PLACER_FORCE_MANAGED=1"
  elif grep -Eq '<(cachetune|memorytune|hostdev|nodemask)[ />]|<interface type=.(hostdev|vdpa)|<disk type=.nvme' \
    "$folder/config.xml"; then
    fail "its XML names caches, memory nodes or devices of its host; move it by hand"
  fi
}
patch() {  # FILE PINS NUMATUNE: libvirt's own layout, two blanks a level
  PINS=$2 NUMATUNE=$3 awk '
    function tunes() { if (!numa && ENVIRON["NUMATUNE"] != "") print ENVIRON["NUMATUNE"]; numa = 1 }
    /^  <vcpu[ >]/ { sub(/ cpuset=\047[^\047]*\047/, "") }
    /^  <cputune\/>/ { next }
    /^  <cputune>/ { print; print ENVIRON["PINS"]; pins = 1; inside = 1; next }
    inside && /^    <(vcpupin|emulatorpin|iothreadpin) / { next }
    /^  <\/cputune>/ { inside = 0 }
    /^  <numatune\/?>/ && ENVIRON["NUMATUNE"] != "" { tunes(); skip = !/\/>/; next }
    skip { if (/^  <\/numatune>/) skip = 0; next }
    /^  <os[ >]/ { if (!pins) printf "  <cputune>\n%s\n  </cputune>\n", ENVIRON["PINS"]; tunes(); found = 1 }
    { print }
    END { exit !found }' "$1" >"$1.new" && mv "$1.new" "$1" || fail "its XML does not look like libvirt's"
}
migrate() {  # LABEL DOMAIN FROM TO PINS NUMATUNE
  local how=(--live)
  label=$1
  if ! is_on "$3" "$2" && is_on "$4" "$2"; then say "$label: is there already"; return 0; fi
  running "$3" "$2" || how=(--offline)
  fetch "$3" "$2" && patch "$folder/live.xml" "$5" "$6" && patch "$folder/config.xml" "$5" "$6" || return 1
  [ "${how[0]}" = --offline ] || how+=(--abort-on-error --xml "$folder/live.xml")
  on "$3" migrate "${how[@]}" --persistent --undefinesource --persistent-xml "$folder/config.xml" \
    --domain "$2" --desturi "$4" || fail "virsh migrate failed"
}
define() {  # URI DOMAIN PINS NUMATUNE: the stored definition
  fetch "$1" "$2" && patch "$folder/config.xml" "$3" "$4" || return 1
  on "$1" define --file "$folder/config.xml" >/dev/null || fail "virsh define failed"
}
pin() { on "$1" "$2" --domain "$3" "${@:4}" "${scope[@]}" >/dev/null || fail "virsh $2 failed"; }
stop() {  # URI DOMAIN: only where the person who runs this says so
  running "$1" "$2" || return 0
  [ "${PLACER_RESTART:-0}" = 1 ] || { fail "shut it down, or set PLACER_RESTART=1, and run this again"; return 1; }
  on "$1" shutdown --domain "$2" >/dev/null || { fail "virsh shutdown failed"; return 1; }
  for _ in $(seq "${PLACER_SHUTDOWN_S:-300}"); do running "$1" "$2" || return 0; sleep 1; done
  fail "did not shut down"
}
restart() {  # LABEL DOMAIN FROM TO PINS NUMATUNE: off, moved, defined, on again if it was on
  local was=0
  label=$1
  if [ "$3" != "$4" ] && ! is_on "$3" "$2" && is_on "$4" "$2"; then say "$label: is there already"; return 0; fi
  ! running "$3" "$2" || was=1
  stop "$3" "$2" || return 1
  if [ "$3" = "$4" ]; then define "$3" "$2" "$5" "$6" || return 1; else migrate "$@" || return 1; fi
  [ $was -eq 0 ] || on "$4" start --domain "$2" >/dev/null || fail "virsh start failed"
}
wants() {  # LABEL URI NODE KIB: what libvirt calls free, in which page cache is not counted
  local free
  label=$1
  [ "${PLACER_FREE:-check}" != skip ] || return 0
  free=$(on "$2" freecell --cellno "$3" | sed -n 's/^[0-9]*: *\([0-9]*\) KiB$/\1/p')
  [ "${free:-0}" -ge "$4" ] ||
    fail "node $3 has ${free:-unknown} KiB free, $4 are wanted: free them, or set PLACER_FREE=skip if it is page cache"
}
wave_done() { [ $failed -eq 0 ] || { say "stopped after wave $1: $failed failed"; exit 8; }; say "wave $1 is done"; }
"""


def schedule_script(schedule: Schedule, fleet: Fleet) -> str:
    """Return the schedule as a script; addresses of hosts are their ``uri``."""
    lines = [
        "#!/usr/bin/env bash",
        "# Carry out the moves of a placer plan with virsh. Exit code 8: a step failed; nothing came after its wave.",
        _HELPERS,
    ]
    for number, wave in enumerate(schedule.waves, start=1):
        lines.append(f"say 'wave {number}: {count(len(wave.steps), 'step')}'")
        lines += [line for entry in wave.before for line in _floating(entry, fleet)]
        for step in wave.steps:
            lines += _step(step, fleet)
        lines += [line for entry in wave.after for line in _floating(entry, fleet)]
        lines.append(f"wave_done {number}")
    lines += [comment(str(rule)) for rule in schedule.broken]
    lines += [comment(f"no order was found for {entry.vm}: {entry.reason}") for entry in schedule.blocked]
    lines += [comment(f"remains: {step.vm} to {step.target.host}") for step in schedule.remaining]
    return "\n".join(lines) + "\n"


def _step(step: Step, fleet: Fleet) -> Iterator[str]:
    vm, place = fleet.vm_by_name[step.vm], step.target
    to = quote(fleet.host_by_name[place.host].uri or "")
    label, domain = quote(_label(vm)), quote(vm.uuid or vm.name)
    here = "" if step.source is None else quote(fleet.host_by_name[step.source.host].uri or "")
    tunes = f"{quote(_pins(place))} {quote(_numatune(vm, place, fleet))}"
    for move in step.pages_first:
        yield comment(f"first, as root on {move.host}, pages of {move.vm}: {page_command(move)}")
    # A VM that is bound where it floats wants its memory by its next start, which is not this script's.
    wants = (
        ""
        if step.kind is StepKind.REPIN
        else "".join(f"wants {label} {to} {node} {kib} && " for node, kib in step.wants_free.items())
    )
    if step.source is None:
        yield comment(f"{step.vm}: define and start it on {place.host} (placer export --to libvirt)")
    elif step.kind is StepKind.MIGRATE:
        yield f"{wants}migrate {label} {domain} {here} {to} {tunes}"
    elif step.kind is StepKind.RESTART or (step.kind is StepKind.RENODE and step.need is not Need.PIN):
        # The memory of a running guest stays on its nodes whatever its definition says.
        yield f"{wants}restart {label} {domain} {here} {to} {tunes}"
    else:
        yield f"label={label}; scope_of {to} {domain}"
        for vcpu, cpus in sorted(place.pins.items()):
            yield f"pin {to} vcpupin {domain} --vcpu {vcpu} --cpulist {format_cpuset(cpus)}"
        if place.emulator:
            yield f"pin {to} emulatorpin {domain} --cpulist {format_cpuset(place.emulator)}"
        for thread, cpus in sorted(place.iothreads.items()):
            yield f"pin {to} iothreadpin {domain} --iothread {thread} --cpulist {format_cpuset(cpus)}"


def _floating(entry: FloatingSet, fleet: Fleet) -> Iterator[str]:
    uri = quote(fleet.host_by_name[entry.host].uri or "")
    for name, vcpus in entry.vcpus.items() if entry.cpus else ():
        vm = fleet.vm_by_name[name]
        domain = quote(vm.uuid or vm.name)
        yield f"label={quote(_label(vm))}; scope_of {uri} {domain}"
        for vcpu in sorted(vcpus):
            yield f"pin {uri} vcpupin {domain} --vcpu {vcpu} --cpulist {format_cpuset(entry.cpus)}"


def _pins(place: Place) -> str:
    lines = [
        f"    <vcpupin vcpu='{vcpu}' cpuset='{format_cpuset(cpus)}'/>" for vcpu, cpus in sorted(place.pins.items())
    ]
    if place.emulator:
        lines.append(f"    <emulatorpin cpuset='{format_cpuset(place.emulator)}'/>")
    lines += [
        f"    <iothreadpin iothread='{thread}' cpuset='{format_cpuset(cpus)}'/>"
        for thread, cpus in sorted(place.iothreads.items())
    ]
    return "\n".join(lines)


def _numatune(vm: Vm, place: Place, fleet: Fleet) -> str:
    """Return the memory policy of a VM where it comes: bound as softly as its domain has it, none where it is not."""
    if not place.memory_nodes:
        old = None if vm.current is None else fleet.host_by_name.get(vm.current.host)
        here = fleet.host_by_name[place.host].topology
        loose = None if old is None else memory_of_loose(vm, place.bound, old.topology, here)
        if loose is None:
            return "  <numatune/>"
        return loose_numatune(loose)
    nodes = format_cpuset(place.memory_nodes)
    xml = source_xml(vm, fleet)
    root = None if xml is None else parse_xml(xml, vm.name)
    mode, modes = memory_modes(root, place.cells, asked=vm.spec.memory_mode)
    shown = vm.spec.cell_mode is not CellMode.NONE and (len(place.cells) > 1 or vm.spec.cell_mode is CellMode.GIVEN)
    cells = (
        f"    <memnode cellid='{cell.id}' mode='{modes[cell.id]}' nodeset='{format_cpuset(cell.nodes)}'/>"
        for cell in (place.cells if shown else ())
        if cell.nodes
    )
    return "\n".join(["  <numatune>", f"    <memory mode='{mode}' nodeset='{nodes}'/>", *cells, "  </numatune>"])


def _label(vm: Vm) -> str:
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in vm.name)
