"""A plan for an Incus cluster: ``limits.cpu``, ``limits.cpu.nodes`` and ``incus move --target``.

Source: Incus documentation, instance options. A set in ``limits.cpu`` gives a virtual machine one vCPU a CPU of it.
"""

from __future__ import annotations

import re

from placer.emit.export import SCRIPT_MODE, Exporter
from placer.emit.platforms.waves import Form, affinity, still_floats, wave_script
from placer.model.cpuset import format_cpuset
from placer.model.fleet import Fleet
from placer.model.plan import Plan, PlanVm
from placer.model.vm import Vm
from placer.moves.model import Place, Step

_NAME = re.compile(r"(?:[A-Za-z0-9][-A-Za-z0-9_. ]*/)?[A-Za-z0-9][-A-Za-z0-9.]*")

_HELPERS = r"""
[ $mode = show ] || need jq
incus() { command incus --project "${project:-default}" "$@"; }
of() { case $1 in */*) project=${1%/*} name=${1##*/} ;; *) project=default name=$1 ;; esac; }
where() { of "$1"; command incus query "/1.0/instances/$name?project=$project" | jq -r '.location // empty'; }
state() { command incus query "/1.0/instances/$name?project=$project" | jq -r .status; }
migrate() {  # NAME FROM TO HOW; a running one without migration.stateful has to be stopped
  of "$1"
  if [ "$4" = cold ] && { [ $mode = show ] || [ "$(state)" != Stopped ]; }; then run incus stop "$name" || return 1; fi
  run incus move "$name" --target "$3"
}
up() {
  of "$1"
  if [ $mode = show ] || [ "$(state)" != Running ]; then run incus start "$name"; fi
}
set_to() {  # NAME HOST KEY=VALUE...: pins of a VM are changed while it is stopped, Incus refuses it while it runs
  of "$1"
  words incus config set "$name" "${@:3}"; printf '\n'
  if [ $mode = show ] || incus config set "$name" "${@:3}"; then return 0; fi
  [ "$(state)" = Running ] || { fail "incus config set failed"; return 1; }
  say "$label: it runs, and Incus refused its new limits: stop it, run this again, and start it"
}
settings() {
  of "$1"
  local key
  for key in limits.cpu limits.cpu.nodes; do printf '%s=%s\n' $key "$(incus config get "$name" $key)"; done
}
restore() {
  local words
  mapfile -t words <"$3"
  set_to "$1" "$2" "${words[@]}"
}
"""


def incus_script(plan: Plan, fleet: Fleet) -> bytes:
    """Return the script for a member of the cluster, or a client of it."""
    form = Form(
        title="Carry out a placer plan in an Incus cluster.",
        helpers=_HELPERS,
        key=lambda vm: vm.manager_id or vm.name,
        settings=_words,
        refuses=lambda name: None if _NAME.fullmatch(name) else "Incus has no such names",
        on_arrival=True,
    )
    return wave_script(plan, fleet, form)


def _words(step: Step, planned: PlanVm, vm: Vm, place: Place) -> list[str] | None:
    """Return ``key=value`` of the limits that differ."""
    if still_floats(vm, place.cells):
        return None
    cpus = affinity(place)
    nodes = frozenset(place.memory_nodes)
    now = vm.current
    words = []
    pinned = all(vm.spec.is_dedicated(vcpu) for vcpu in range(vm.spec.vcpus)) and len(cpus) == vm.spec.vcpus
    if pinned and (now is None or frozenset().union(*now.pins.values()) != cpus):
        words.append(f"limits.cpu={_set(cpus)}")
    if now is None or now.memory_nodes is None or frozenset(now.memory_nodes) != nodes:
        words.append(f"limits.cpu.nodes={_set(nodes)}")
    return words or None


def _set(numbers: frozenset[int]) -> str:
    """Return a set that is not taken for a number: one CPU is written ``3-3``."""
    return f"{min(numbers)}-{min(numbers)}" if len(numbers) == 1 else format_cpuset(numbers)


EXPORTER = Exporter(
    files=lambda plan, fleet: {"incus.sh": incus_script(plan, fleet)}, document=incus_script, mode=SCRIPT_MODE
)
