"""Why a plan is as it is: one VM with its other places, or the fleet with the price of its rules."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from placer.explain.alternatives import Alternative, Alternatives, Verdict, alternatives
from placer.explain.conflicts import Conflict, explain_conflict
from placer.explain.prices import RULES_IN_ALL, RulePrice, rule_prices
from placer.measure.expected import binding_gain
from placer.measure.measure import FleetScore, ScoreCache, VmScore, score_fleet, total_score
from placer.measure.memory_use import cells_now
from placer.measure.moved import is_present
from placer.model.fleet import Fleet
from placer.model.host import LOCAL
from placer.model.plan import Change, Plan, PlanVm
from placer.model.sets import known_nodes
from placer.model.vm import Vm
from placer.planning.after import part_nodes
from placer.planning.compile.needs import part_vcpus

MOST_COSTLY = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class VmExplanation:
    """One VM: where the plan has it (`host` None: nowhere, `reason` says why), its other places, and what moved it.

    `remote_share` is of its accesses, `remote_access` in vCPU equivalents; both None where it has no place. `binding`
    is what a VM that floats can be expected to save bound to a node: once its memory is there, and at once. `devices`
    are those of its host that it gets, by kind and address.
    """

    name: str
    host: str | None
    cpu_nodes: tuple[int, ...]
    memory_nodes: tuple[int, ...]
    reason: str | None
    change: str
    moved_by: str | None
    remote_access: float | None
    remote_share: float | None
    alternatives: Alternatives
    devices: tuple[str, ...] = ()
    binding: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CostlyVm:
    """A VM that adds to the remote access: `remote_access` in vCPU equivalents, `remote_share` of its accesses."""

    name: str
    host: str
    remote_access: float
    remote_share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Locality:
    """The measure of VMs: of those on known nodes now, of the same as planned, and of all planned.

    The bound is of all planned.
    """

    vms_now: int
    remote_access_now: float | None
    locality_now: float | None
    remote_access_same: float | None
    locality_same: float | None
    vms_planned: int
    remote_access_planned: float
    locality_planned: float | None
    remote_access_bound: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetExplanation:
    """The fleet: its locality, what its rules cost, which VMs cost most, and which rules were not priced.

    `conflict` is why VMs have no place, where the plan leaves some out and it is proven that it must.
    """

    locality: Locality
    prices: tuple[RulePrice, ...]
    not_priced: tuple[str, ...]
    costly: tuple[CostlyVm, ...]
    conflict: Conflict | None


def explain_vm(fleet: Fleet, plan: Plan, name: str) -> VmExplanation:
    """Explain one VM of a plan.

    Raises
    ------
    InputError
        The fleet has no such VM.
    """
    places = alternatives(fleet, plan, name)
    vm = fleet.vm_by_name[name]
    planned = plan.vm_by_name.get(name)
    if planned is None:
        reason = next((left.reason for left in plan.unplaced if left.name == name), None)
        return VmExplanation(
            name=name,
            host=None,
            cpu_nodes=(),
            memory_nodes=(),
            reason=reason,
            change=Change.NONE.value,
            moved_by=None,
            remote_access=None,
            remote_share=None,
            alternatives=places,
        )
    topology = fleet.host_by_name[planned.host].topology
    nodes, memory = part_nodes(vm, planned, topology)
    score = ScoreCache().score(vm.spec, topology, planned)
    return VmExplanation(
        name=name,
        host=planned.host,
        cpu_nodes=nodes,
        memory_nodes=memory,
        reason=None,
        change=planned.change.value,
        moved_by=_moved_by(fleet, vm, planned, places.places),
        remote_access=score.remote_access,
        remote_share=score.remote_share,
        alternatives=places,
        devices=planned.named_devices,
        binding=binding_gain(vm, topology, planned),
    )


def _moved_by(fleet: Fleet, vm: Vm, planned: PlanVm, places: Sequence[Alternative]) -> str | None:
    """Return why the VM does not stay where it is now, judged with all others as planned; None where it stays."""
    if planned.change.stays or planned.change is Change.REPIN or vm.current is None:
        return None
    if not is_present(fleet, vm):
        return f"its host {vm.current.host} has failed"
    stay = next((place for place in places if place.now), None)
    if stay is None:
        return "where it is on its host is not known"
    if stay.verdict is Verdict.BLOCKED:
        holders = f", held by {', '.join(stay.whom)}" if stay.whom else ""
        return f"staying is blocked: {stay.constraint}{holders}"
    if stay.verdict is Verdict.WORSE:
        return f"staying makes {stay.goal} worse by {stay.by:g}"
    return "nothing any more, with all others as planned: the plan is not proven, or others profit from it"


def explain_fleet(fleet: Fleet, plan: Plan, *, time_limit_s: float = 10.0) -> FleetExplanation:
    """Explain a plan as a whole.

    Parameters
    ----------
    time_limit_s : seconds for the solve without each rule; `RULES_IN_ALL` times as much for all of them, and as much
        again for a conflict.
    """
    score = score_fleet(fleet, plan)
    hosts = {vm.name: vm.host for vm in plan.vms}
    costly = sorted(
        ((name, one) for name, one in score.vms.items() if one.remote_access > 0),
        key=lambda item: (-item[1].remote_access, item[0]),
    )
    prices, not_priced = rule_prices(fleet, plan, time_limit_s=time_limit_s)
    return FleetExplanation(
        locality=_locality(fleet, plan, score),
        prices=prices,
        not_priced=not_priced,
        costly=tuple(
            CostlyVm(name=name, host=hosts[name], remote_access=one.remote_access, remote_share=one.remote_share)
            for name, one in costly[:MOST_COSTLY]
        ),
        conflict=_conflict(fleet, plan, time_limit_s) if plan.unplaced else None,
    )


def _conflict(fleet: Fleet, plan: Plan, time_limit_s: float) -> Conflict | None:
    moves, migrations = plan.options.get("max_moves"), plan.options.get("max_migrations")
    return explain_conflict(fleet, max_moves=moves, max_migrations=migrations, search_s=RULES_IN_ALL * time_limit_s)


def _locality(fleet: Fleet, plan: Plan, planned: FleetScore) -> Locality:
    known = {name: score for name, score in _scores_now(fleet) if name in planned.vms}
    now = total_score(known)
    same = total_score({name: planned.vms[name] for name in known})
    bound = next((goal.bound for goal in plan.goals if goal.name.partition("~")[0] == "remote"), None)
    if bound is None and not planned.remote_access:
        # Where no node is nearer than a VM's own, there is no less than none, whatever the goals.
        distances = (distance for host in fleet.hosts for row in host.topology.distances for distance in row)
        bound = 0.0 if all(distance >= LOCAL for distance in distances) else None
    return Locality(
        vms_now=len(now.vms),
        remote_access_now=now.remote_access if now.vms else None,
        locality_now=now.locality_score,
        remote_access_same=same.remote_access if known else None,
        locality_same=same.locality_score,
        vms_planned=len(planned.vms),
        remote_access_planned=planned.remote_access,
        locality_planned=planned.locality_score,
        remote_access_bound=bound,
    )


def _scores_now(fleet: Fleet) -> Iterator[tuple[str, VmScore]]:
    """Yield the measure of every VM that is on known nodes; a vCPU without a known pin counts by its node's CPUs."""
    cache = ScoreCache()
    for vm in fleet.vms:
        parts, cells = known_nodes(vm), cells_now(vm)
        if vm.current is None or not is_present(fleet, vm) or parts is None or not cells:
            continue
        topology = fleet.host_by_name[vm.current.host].topology
        runs = part_vcpus(vm.spec, len(parts[0]))
        pins: dict[int, frozenset[int]] = {}
        for run, node in zip(runs, parts[0], strict=True):
            pins.update(dict.fromkeys(run, topology.node(node).cpus))
        if not all(pins.values()):
            continue
        if len(cells) == len(runs):
            cells = tuple(
                dataclasses.replace(cell, vcpus=frozenset(run)) for cell, run in zip(cells, runs, strict=True)
            )
        at = PlanVm(name=vm.name, host=vm.current.host, cells=cells, pins=pins, shown=len(cells) > 1)
        yield vm.name, cache.score(vm.spec, topology, at)
