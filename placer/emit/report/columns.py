"""The map of a fleet as columns of figures, a host a place: what the page draws, before and after a plan."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from placer.emit.report.hosts import shape_key
from placer.measure.alike import PlaceNumbers, alike_hosts
from placer.measure.as_now import places_now
from placer.measure.cpu_use import cpu_use
from placer.measure.measure import ScoreCache, total_score
from placer.measure.node_load import node_loads
from placer.measure.spec_numbers import SpecNumbers
from placer.model.fleet import Fleet
from placer.model.plan import Change, Plan, PlanVm
from placer.model.rules import matches
from placer.model.units import count
from placer.model.usage_levels import THOUSAND
from placer.model.vm import Vm
from placer.show.words import visible
from placer.whatif.headroom import Headroom

MOST_RULES = 20
"""Rules by which the map can be coloured."""
_NO_LABEL = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """The hosts at one end of a plan, in the fleet's order.

    `cpu` and `memory` are what is taken of what VMs may have, per mille, a node each; None where there is nothing.
    `locality` is 100 where all accesses stay on their node, None where no VM is on known nodes. `unknown` counts VMs
    that are on a host and whose nodes are not known: they are in none of these figures but `vms`.
    """

    cpu: list[list[int | None]]
    memory: list[list[int | None]]
    locality: list[float | None]
    vms: list[int]
    unknown: list[int]


def fleet_columns(
    fleet: Fleet,
    plan: Plan | None,
    *,
    room: Sequence[Headroom] = (),
    patterns: Sequence[int] | None = None,
    since: Sequence[int] | None = None,
) -> dict[str, Any]:
    """Return the columns of a fleet as it is, and as a plan leaves it.

    Parameters
    ----------
    plan : None where there is none: `after` is None then.
    room : the headroom of some sizes, a host.
    patterns : a host the number of its part in a report.
    since : a host how many VMs differ from an earlier state.

    Returns
    -------
    dict
        Plain data for JSON: ``names``, ``failed``, ``drained`` and ``shape`` a host; ``shapes`` in words;
        ``labels``: label -> its values, and a host the place of its value (-1: it has none); ``before`` and ``after``
        as `Side`; ``change``: the strongest change a host as its place in ``changes``; ``changed``: VMs that change;
        ``rules``: how many VMs that a rule names are on each host, as planned, else now; ``headroom``: how many more
        VMs of a size fit on each host; ``patterns`` and ``since`` as given.
    """
    names = {host.name: number for number, host in enumerate(fleet.hosts)}
    shapes: dict[object, int] = {}
    known: dict[tuple[object, ...], int] = {}
    shape: list[int] = []
    words: list[str] = []
    for host in fleet.hosts:
        same = (id(host.topology), id(host.reserve), host.memory_ratio, host.failed)
        if same not in known:
            known[same] = shapes.setdefault(shape_key(host), len(shapes))
            if known[same] == len(words):
                nodes = host.topology.nodes
                words.append(f"{count(len(nodes), 'node')}, {count(len(host.topology.cpus), 'CPU')}")
        shape.append(known[same])
    before = [at for _, at in places_now(fleet) if at is not None]
    present = [vm.current.host for vm in fleet.vms if vm.current is not None and vm.current.host in names]
    change, changed = _changes(fleet, plan, names)
    return {
        "names": [visible(host.name) for host in fleet.hosts],
        "failed": [int(host.failed) for host in fleet.hosts],
        "drained": [int(host.name in fleet.drained) for host in fleet.hosts],
        "shape": shape,
        "shapes": words,
        "labels": _labels(fleet),
        "before": _plain(_side(fleet, before, present)) if fleet.is_live or plan is None else None,
        "after": None if plan is None else _plain(_side(fleet, plan.vms, [vm.host for vm in plan.vms])),
        "changes": [one.value for one in Change],
        "change": change,
        "changed": changed,
        "rules": _rules(fleet, plan, names),
        "headroom": {"flavors": [visible(one.flavor) for one in room], "fits": [list(one.counts) for one in room]},
        "patterns": patterns,
        "since": since,
    }


def columns_text(columns: Mapping[str, Any]) -> str:
    """Return columns as JSON that can stand in a page: nothing in it ends a script or begins a tag."""
    text = json.dumps(columns, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _plain(side: Side) -> dict[str, Any]:
    return {name: getattr(side, name) for name in ("cpu", "memory", "locality", "vms", "unknown")}


def _side(fleet: Fleet, places: Iterable[PlanVm], present: Iterable[str]) -> Side:
    by_host: dict[str, list[tuple[Vm, PlanVm]]] = defaultdict(list)
    for at in places:
        by_host[at.host].append((fleet.vm_by_name[at.name], at))
    names = {host.name: number for number, host in enumerate(fleet.hosts)}
    vms = [0] * len(names)
    for name in present:
        vms[names[name]] += 1
    side = Side(
        cpu=[[]] * len(names),
        memory=[[]] * len(names),
        locality=[None] * len(names),
        vms=vms,
        unknown=[many - len(by_host[host.name]) for host, many in zip(fleet.hosts, vms, strict=True)],
    )
    cache = ScoreCache()
    contents = ((host, by_host[host.name]) for host in fleet.hosts)
    for group in alike_hosts(contents, SpecNumbers(), PlaceNumbers(), lambda _: False):
        host, placed = group.host, group.placed
        loads = node_loads(host, placed, cpu_use(host, placed))
        cpu = [_per_mille(load.cpu_share) for load in loads]
        memory = [_per_mille(load.memory_share) for load in loads]
        scores = {vm.name: cache.score(vm.spec, host.topology, at) for vm, at in placed if not at.bound}
        score = total_score(scores).locality_score
        for one, _ in ((host, placed), *group.others):
            number = names[one.name]
            side.cpu[number], side.memory[number] = cpu, memory
            side.locality[number] = None if score is None else round(score, 2)
    return side


def _per_mille(share: float | None) -> int | None:
    return None if share is None else round(THOUSAND * share)


def _labels(fleet: Fleet) -> dict[str, dict[str, Any]]:
    """Return label -> its values in the order in which they come, and the place of each host's."""
    found: dict[str, dict[str, int]] = {key: {} for host in fleet.hosts for key in host.labels}
    at: dict[str, list[int]] = {key: [] for key in found}
    for host in fleet.hosts:
        for key, values in found.items():
            value = host.labels.get(key)
            at[key].append(_NO_LABEL if value is None else values.setdefault(value, len(values)))
    return {visible(key): {"values": [visible(one) for one in found[key]], "at": at[key]} for key in found}


def _rules(fleet: Fleet, plan: Plan | None, names: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return the first rules that name VMs, each with how many of them are on each host."""
    if plan is None:
        at = {vm.name: vm.current.host for vm in fleet.vms if vm.current is not None}
    else:
        at = {vm.name: vm.host for vm in plan.vms}
    found = []
    for rule in [rule for rule in fleet.rules if rule.selections][:MOST_RULES]:
        counts = [0] * len(names)
        for vm in fleet.vms:
            number = names.get(at.get(vm.name, ""))
            if number is not None and any(matches(one, vm.name, vm.spec.labels) for one in rule.selections):
                counts[number] += 1
        found.append({"name": visible(rule.label), "counts": counts})
    return found


def _changes(fleet: Fleet, plan: Plan | None, names: Mapping[str, int]) -> tuple[list[int], list[int]]:
    """Return the strongest change of a VM on each host, and how many VMs on it, or that leave it, change."""
    order = {change: number for number, change in enumerate(Change)}
    strongest, many = [0] * len(names), [0] * len(names)
    for planned in () if plan is None else plan.vms:
        # A VM that is nowhere yet arrives: the plan changes its host, though nothing of the VM.
        arrives = fleet.is_live and fleet.vm_by_name[planned.name].current is None
        if planned.change.stays and not arrives:
            continue
        for host in {planned.host, planned.from_host or planned.host} & names.keys():
            strongest[names[host]] = max(strongest[names[host]], order[planned.change])
            many[names[host]] += 1
    return strongest, many
