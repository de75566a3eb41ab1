"""Check a fleet, or a plan against its fleet: every constraint and the whole measure once more, with code of its own.

Nothing here knows how plans are made: neither the solvers nor the compiler nor the decoder are imported.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from placer.check.addresses import check_addresses
from placer.check.capacity import check_devices, check_excess, check_taken, lacked_beside, lacks_pools
from placer.check.cells import CellChecker
from placer.check.findings import CheckReport, Findings
from placer.check.fleet import check_fleet, fleet_totals
from placer.check.goals import check_goals
from placer.check.moves import check_limits, check_moves, check_unplaced
from placer.check.names import check_names
from placer.check.pins import check_pins
from placer.check.reserve import check_reserve
from placer.check.rules import check_rules
from placer.check.start import start_warnings
from placer.check.summary import check_summary, check_worst_failure
from placer.check.today import warn_of_excess
from placer.errors import Fault
from placer.measure.cpu_use import cpu_use
from placer.measure.measure import ScoreCache
from placer.measure.moved import Move, is_present
from placer.measure.rule_excess import RuleIndex, rule_index
from placer.measure.score import PlanValues
from placer.model.fleet import Fleet
from placer.model.plan import Plan, PlanVm
from placer.model.vm import Vm

__all__ = ["CheckReport", "CheckedFleet", "check", "checked_fleet"]


@dataclass(frozen=True, slots=True)
class CheckedFleet:
    """What was found of a fleet alone, for several plans of it, and its `rule_index`."""

    fleet: Fleet
    rules: RuleIndex
    faults: tuple[Fault, ...]
    warnings: tuple[str, ...]


def checked_fleet(fleet: Fleet) -> CheckedFleet:
    """Check a fleet alone."""
    rules, found = rule_index(fleet), Findings()
    check_fleet(fleet, rules, found)
    return CheckedFleet(fleet, rules, tuple(found.faults), tuple(found.warnings))


def check(
    fleet: Fleet,
    plan: Plan | None = None,
    *,
    bound: bool = False,
    excess: bool = False,
    known: CheckedFleet | None = None,
) -> CheckReport:
    """Check a fleet alone, or a plan against it.

    Parameters
    ----------
    bound
        Also price the certificate that the plan carries once more, with a second solver (`certificate`).
    excess
        Also warn of what has no place in the fleet as it runs now.
    known
        What `checked_fleet` found of this very object; None: it is looked at now.

    Returns
    -------
    CheckReport
        All faults and warnings, and what was measured: of a fleet its totals; of a plan also ``goals`` (name -> value),
        ``remote_access``, ``remote_share``, ``locality_score``, ``mean_distance``, ``device_access``, ``placed_vms``,
        ``placed_vcpus``, ``unplaced_vms``, ``migrations``, ``node_changes``, and of VMs whose place is not known
        ``floating_vms``, ``floating_memory_kib``, ``floating_remote_expected``. A plan is looked at only where the
        fleet has no fault, and its goals are measured only where all that it names exists.
    """
    if known is None or known.fleet is not fleet:
        known = checked_fleet(fleet)
    rules, found = known.rules, Findings()
    found.faults.extend(known.faults)
    found.warnings.extend(known.warnings)
    if found.faults:  # a fleet that contradicts itself measures nothing
        return CheckReport(faults=tuple(found.faults), warnings=tuple(found.warnings), measured={})
    measured: dict[str, Any] = dict(fleet_totals(fleet))
    if plan is not None and plan.fleet_digest != fleet.digest:
        message = f"the plan is of another fleet: it names digest {plan.fleet_digest!r}, this one has {fleet.digest!r}"
        found.fault(message, where="fleet.digest", cure="solve this fleet again, or give the fleet of the plan")
    elif plan is not None:
        measured.update(_check_plan(fleet, plan, rules, found))
        if bound:
            _check_bound(fleet, plan, found)
    if excess:
        warn_of_excess(fleet, found)
    return CheckReport(faults=tuple(found.faults), warnings=tuple(found.warnings), measured=measured)


def _check_plan(fleet: Fleet, plan: Plan, rules: RuleIndex, found: Findings) -> dict[str, Any]:
    scores = ScoreCache()
    sound = check_names(fleet, plan, scores.places, found)
    # What the plan says of unknown things is noted; all else is checked without them.
    rest = plan if len(sound) == len(plan.vms) else replace(plan, vms=tuple(planned for _, planned in sound))
    values = PlanValues(fleet, rest, rules=rules, scores=scores)
    moves = values.moves
    _check_cells(values, sound, found)
    check_moves(fleet, sound, moves, found)
    check_limits(plan.options, sound, moves, found)
    check_unplaced(fleet, plan, found)
    _check_hosts(fleet, values, found)
    check_rules(fleet, rest, values.rules, values.excess, found)
    for warning in start_warnings(fleet, rest):
        found.warn(warning)
    measured = _measured(values)
    if rest is plan:
        check_summary(values, plan, found)
        check_reserve(fleet, plan, found)
        measured["goals"] = check_goals(values, plan, found)
    return measured


def _check_cells(values: PlanValues, placed: Sequence[tuple[Vm, PlanVm]], found: Findings) -> None:
    checker = CellChecker(scores=values.scores)
    fleet, moves = values.fleet, values.moves
    for vm, planned in placed:
        topology = fleet.host_by_name[planned.host].topology
        kept = moves[vm.name] is Move.STAYS and vm.current is not None and vm.current.nodes is not None
        for where, message in checker.messages(vm, topology, planned, kept=kept):
            found.vm(planned, message, where=where)


def _check_hosts(fleet: Fleet, values: PlanValues, found: Findings) -> None:
    residents: dict[str, list[Vm]] = {}
    for vm in fleet.vms:
        if vm.current is not None and is_present(fleet, vm):
            residents.setdefault(vm.current.host, []).append(vm)
    arrivals = {name for name, move in values.moves.items() if move is not Move.STAYS}
    for use, group in zip(values.uses, values.groups, strict=True):
        before = found.count
        check_pins(use, arrivals, found)
        check_devices(use.host, use.placed, arrivals, found)
        for host, placed in group.others if found.count > before else ():  # the same is wrong there, by other names
            check_pins(cpu_use(host, placed), arrivals, found)
            check_devices(host, placed, arrivals, found)
    for use, group in zip(values.uses, values.groups, strict=True):
        lacks = lacked_beside(use)
        for host, placed in ((group.host, group.placed), *group.others):
            here, shorts = residents.get(host.name, ()), values.short.get(host.name, ())
            check_addresses(host, placed, arrivals, found)
            check_taken(host, placed, lacks, here, shorts, arrivals, found)
            untold = lacks_pools(host, placed)
            if host.name in values.short or untold:
                check_excess(host, placed, here, shorts, found)


def _measured(values: PlanValues) -> dict[str, Any]:
    score, moves = values.score, list(values.moves.values())
    floating = [(values.fleet.vm_by_name[vm.name], vm) for vm in values.plan.vms if vm.bound]
    return {
        "remote_access": score.remote_access,
        "remote_share": score.remote_share,
        "locality_score": score.locality_score,
        "mean_distance": score.mean_distance,
        "device_access": score.device_access,
        "placed_vms": len(score.vms),
        "placed_vcpus": score.vcpus,
        "unplaced_vms": len(values.plan.unplaced),
        "migrations": moves.count(Move.CHANGES_HOST),
        "node_changes": moves.count(Move.CHANGES_NODE),
        "floating_vms": len(floating),
        "floating_memory_kib": sum(vm.spec.memory_kib for vm, _ in floating),
        "floating_remote_expected": math.fsum(values.expected(vm, planned) for vm, planned in floating),
    }


def _check_bound(fleet: Fleet, plan: Plan, found: Findings) -> None:
    # By name, so that this module does not import the solvers that price a certificate: `check` itself needs none.
    certificate = importlib.import_module("placer.planning.decode.certificate")
    faults, remarks = certificate.check_certificate(fleet, plan)
    found.faults.extend(faults)
    found.warnings.extend(remarks)
    if "worst_host_failure" in plan.summary and not found.faults:
        own = importlib.import_module("placer.failures.worst_host").worst_failure(fleet, plan)
        check_worst_failure(plan.summary["worst_host_failure"], own, found)
