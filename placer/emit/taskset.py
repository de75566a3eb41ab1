"""A plan as a bash script that sets hard affinity masks on the threads of QEMU processes that libvirt does not run."""

from __future__ import annotations

from collections.abc import Iterator

from placer.emit.domain.kept import pins_that_differ, stays
from placer.emit.export import SCRIPT_MODE, Exporter
from placer.emit.script import label, quote, script, script_files
from placer.model.cpuset import format_cpu_mask, format_cpuset
from placer.model.fleet import Fleet
from placer.model.host import Host
from placer.model.plan import Plan, PlanVm

_HELPERS = r"""
host() {  # NAME URI: whether to look on this machine for the VMs of a host
  selected "$1" || return 1
  sure=0
  [ ${#hosts[@]} -gt 1 ] || sure=1
  named "$1" && sure=1
  return 0
}
pids=() uuids=() names=()
scan() {  # remember the -uuid and the -name of every QEMU that runs here
  local folder argument before uuid name
  for folder in /proc/[0-9]*; do
    before='' uuid='' name=''
    while IFS= read -r -d '' argument; do
      if [ -z "$before" ]; then
        case ${argument##*/} in qemu* | kvm*) ;; *) break ;; esac
      fi
      case $before in
        -uuid) uuid=${argument,,} ;;
        -name) name=${argument#debug-threads=on,} name=${name#guest=} ;;
      esac
      before=${argument:-none}
    done <"$folder/cmdline"
    [ -z "$uuid$name" ] || { pids+=("${folder#/proc/}") uuids+=("$uuid") names+=("$name"); }
  done 2>/dev/null
}
process() {  # KIND VALUE LABEL: find the QEMU that has this UUID or this name
  local number
  label=$3 pid=''
  for number in "${!pids[@]}"; do
    "is_$1" "$number" "$2" || continue
    [ -z "$pid" ] || { fail "processes $pid and ${pids[number]} both claim to be it"; return 1; }
    pid=${pids[number]}
  done
  if [ -z "$pid" ]; then
    if [ "$sure" -eq 1 ]; then fail "no QEMU process with this $1 runs here"; else skip "not on this host"; fi
    return 1
  fi
  pinned=$((pinned + 1))
}
is_uuid() { [ "${uuids[$1]}" = "$2" ]; }
is_name() {  # QEMU doubles a comma that belongs to the name
  case ${names[$1]} in "$2",,*) return 1 ;; "$2" | "$2",*) return 0 ;; *) return 1 ;; esac
}
mask() { taskset -p "$1" "$2" >/dev/null || fail "taskset failed for thread $2"; }
threads() {  # PATTERN: print the ids of the process's threads whose name matches
  local task comm
  for task in "/proc/$pid/task/"*; do
    IFS= read -r comm 2>/dev/null <"$task/comm" || continue
    [[ $comm =~ $1 ]] && printf '%s\n' "${task##*/}"
  done
}
thread() {  # PATTERN WHAT MASK LIST
  local found
  found=$(threads "$1")
  case $found in
    '') fail "no thread $2; start QEMU with -name ...,debug-threads=on" ;;
    *$'\n'*) fail "several threads $2" ;;
    *) mask "$3" "$found"; say "$label: $2 thread $found on $4 ($3)" ;;
  esac
}
vcpu() { thread "^CPU $1/(KVM|TCG)\$" "vCPU $1" "$2" "$3"; }
iothread() { thread "^IO iothread$1\$" "IOThread $1" "$2" "$3"; }
emulator() {  # MASK LIST: every thread that is neither a vCPU nor an IOThread
  local all special task
  all=$(threads '') special=$(threads '^(CPU [0-9]+/(KVM|TCG)|IO iothread[0-9]+)$')
  for task in $all; do
    [[ $'\n'$special$'\n' == *$'\n'$task$'\n'* ]] || mask "$1" "$task"
  done
  say "$label: emulator threads on $2 ($1)"
}
command -v taskset >/dev/null || { say "taskset is missing: it is part of util-linux"; exit 7; }
scan
"""


def taskset_script(plan: Plan, fleet: Fleet) -> bytes:
    """Return the script for all hosts that hold a VM."""

    def section(host: Host, vms: list[PlanVm]) -> Iterator[str]:
        for vm in vms:
            key = (
                f"uuid {quote(vm.uuid.lower())}" if vm.uuid is not None else f"name {quote(vm.name.replace(',', ',,'))}"
            )
            known = fleet.vm_by_name[vm.name]
            if known.current is not None and stays(vm, known):
                follow = pins_that_differ(vm, known.current.pins, host.topology.cpus)
                if follow:
                    yield f"  if process {key} {quote(label(vm))}; then"
                    yield from (f"    vcpu {number} {_sets(cpus)}" for number, cpus in sorted(follow.items()))
                    yield "  fi"
                continue
            yield f"  if process {key} {quote(label(vm))}; then"
            # The rest first: a thread that QEMU starts while this runs inherits the mask of the thread that starts it.
            everywhere = frozenset().union(*vm.pins.values())
            yield f"    emulator {_sets(everywhere if vm.emulator is None else vm.emulator)}"
            for number in sorted({*known.spec.iothreads, *vm.iothreads}):
                yield f"    iothread {number} {_sets(vm.iothreads.get(number, everywhere))}"
            for number, cpus in sorted(vm.pins.items()):
                yield f"    vcpu {number} {_sets(cpus)}"
            yield "  fi"

    return script(plan, fleet, "Pin the QEMU threads of a placer plan with taskset.", _HELPERS, section)


def _sets(cpus: frozenset[int]) -> str:
    return f"{format_cpu_mask(cpus)} {format_cpuset(cpus)}"


EXPORTER = Exporter(
    files=lambda plan, fleet: script_files(plan, lambda part: taskset_script(part, fleet)),
    document=taskset_script,
    mode=SCRIPT_MODE,
)
