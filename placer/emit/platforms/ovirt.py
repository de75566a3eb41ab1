"""A plan for oVirt: its REST API, asked by curl with JSON; CPU pins and NUMA pins hold from the next start on.

Source: oVirt REST API guide 4.4, services vm, vm_numa_node and types cpu_tune, virtual_numa_node.
"""

from __future__ import annotations

import json

from placer.emit.export import SCRIPT_MODE, Exporter
from placer.emit.platforms.waves import Form, still_floats, wave_script
from placer.model.cpuset import format_cpuset
from placer.model.fleet import Fleet
from placer.model.plan import Plan, PlanVm
from placer.model.vm import Vm
from placer.moves.model import Place, Step

_HELPERS = r"""
[ $mode = show ] || { need curl; need jq; }
# OVIRT_URL is like https://engine.example.org/ovirt-engine/api; user and password stand in ~/.netrc.
curl=(curl --fail --silent --show-error --netrc --header 'Accept: application/json'
  --header 'Content-Type: application/json')
[ -z "${OVIRT_CA-}" ] || curl+=(--cacert "$OVIRT_CA")
url=${OVIRT_URL-}
[ $mode = show ] || [ -n "$url" ] || { say "OVIRT_URL is not set"; exit 2; }
get() { "${curl[@]}" "$url/$1"; }
send() {  # METHOD PATH JSON
  printf '%s %s %s\n' "$1" "$2" "$3"
  [ $mode = show ] || "${curl[@]}" --request "$1" --data "$3" --output /dev/null "$url/$2" || fail "$1 $2 failed"
}
where() { get "vms/$1?follow=host" | jq -r '.host.name // empty'; }
wait_for() {  # VM STATUS
  local left=${PLACER_MIGRATION_S:-1800}
  [ $mode = apply ] || return 0
  while [ "$(get "vms/$1" | jq -r .status)" != "$2" ]; do
    left=$((left - 5)); [ $left -gt 0 ] || { fail "is not $2"; return 1; }
    sleep 5
  done
}
migrate() {  # VM FROM TO HOW; a shut-off VM has no host: oVirt chooses one when it starts
  local to
  printf -v to '{"name": "%s"}' "$3"
  case $4 in
    live) send POST "vms/$1/migrate" "{\"host\": $to}" && wait_for "$1" up || return 1
      [ $mode = show ] || same "$(where "$1")" "$3" || fail "is on $(where "$1"), not on $3" ;;
    cold) send POST "vms/$1/shutdown" '{}' && wait_for "$1" down &&
      send POST "vms/$1/start" "{\"vm\": {\"placement_policy\": {\"hosts\": {\"host\": [$to]}}}}" ;;
  esac
}
settings() { get "vms/$1?follow=numa_nodes"; }
set_to() {  # VM HOST PINS NODES: what its threads and each of its guest nodes are pinned to
  local index=0 node
  send PUT "vms/$1" "$3" || return 1
  while IFS= read -r node; do
    send PUT "vms/$1/numanodes/$(numa_id "$1" $index)" "$node" || return 1
    index=$((index + 1))
  done < <([ -z "$4" ] || printf '%s\n' "$4")
  say "$label: holds from its next start on"
}
numa_id() {
  if [ $mode = show ]; then printf '<id of node %s>' "$2"; return; fi
  get "vms/$1/numanodes" | jq -r --argjson index "$2" '.vm_numa_node[]? | select((.index | tonumber) == $index) | .id'
}
restore() {  # VM HOST FILE
  [ $mode = apply ] || { printf 'PUT vms/%s with the pins in %q\n' "$1" "$3"; return 0; }
  send PUT "vms/$1" "$(jq -c '{cpu: {cpu_tune: (.cpu.cpu_tune // {vcpu_pins: {}})}}' "$3")" || return 1
  local node
  while IFS= read -r node; do
    send PUT "vms/$1/numanodes/$(jq -r .id <<<"$node")" \
      "$(jq -c '{numa_node_pins: (.numa_node_pins // {})}' <<<"$node")"
  done < <(jq -c '.numa_nodes.numa_node[]? // .numa_nodes.vm_numa_node[]?' "$3")
}
"""


def ovirt_script(plan: Plan, fleet: Fleet) -> bytes:
    """Return the script for any machine that reaches the engine."""
    form = Form(
        title="Carry out a placer plan through the REST API of an oVirt engine.",
        helpers=_HELPERS,
        key=lambda vm: vm.uuid,
        settings=_words,
        refuses=lambda name: None if name.isprintable() and not set(name) & set('"\\/ ') else "oVirt has no such name",
        missing="its uuid is its id in oVirt: placer import ovirt --update writes it",
    )
    return wave_script(plan, fleet, form)


def _words(step: Step, planned: PlanVm, vm: Vm, place: Place) -> list[str] | None:
    if still_floats(vm, place.cells):
        return None
    now = vm.current
    nodes = tuple(next(iter(cell.nodes)) for cell in place.cells if len(cell.nodes) == 1)
    if now is not None and dict(now.pins) == dict(place.pins) and now.memory_nodes == nodes:
        return None
    pins = [{"vcpu": str(vcpu), "cpu_set": format_cpuset(cpus)} for vcpu, cpus in sorted(place.pins.items())]
    cells = [
        json.dumps({"numa_node_pins": {"numa_node_pin": [{"index": str(node)} for node in sorted(cell.nodes)]}})
        for cell in (place.cells if planned.shown else ())
    ]
    return [json.dumps({"cpu": {"cpu_tune": {"vcpu_pins": {"vcpu_pin": pins}}}}), "\n".join(cells)]


EXPORTER = Exporter(
    files=lambda plan, fleet: {"ovirt.sh": ovirt_script(plan, fleet)}, document=ovirt_script, mode=SCRIPT_MODE
)
