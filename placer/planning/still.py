"""What is planned instead where our own checker refuses a plan: the hosts at fault stay as they are, in the end all.

That is a fault of ours, and no reason to leave the user without a plan: on fleets that run all that stays is always a
plan, and on others a host that takes nothing. Nothing is proven of the fleet by what is proven with hosts left alone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from placer.errors import NothingFoundError, PlacerError
from placer.model.fleet import Fleet
from placer.model.plan import Plan
from placer.model.vm import Vm
from placer.planning.accepted import OWN_FAULT, reported, without_claims
from placer.planning.decode.certificate import UNCOVERED

STEPS: Final = 3
"""How often hosts at fault are left alone before all are: a plan without one may be refused for another."""


def with_still(fleet: Fleet, hosts: frozenset[str]) -> Fleet:
    """Return the fleet of which these hosts stay as they are, with the CPUs that their VMs have."""
    still = fleet.still | hosts
    return replace(fleet, still=still, vms=tuple(_kept(vm, still) for vm in fleet.vms))


def _kept(vm: Vm, still: frozenset[str]) -> Vm:
    now = vm.current
    if now is None or now.host not in still or not now.pins:
        return vm
    return replace(vm, pins_fixed=True)


def narrower(fleet: Fleet, error: PlacerError) -> Fleet | None:
    """Return the fleet with the hosts at fault left alone too, or with all; None where that is no plan either."""
    every = frozenset(host.name for host in fleet.hosts)
    hosts = (fleet.still | {fault.host for fault in error.faults if fault.host is not None}) & every
    if hosts != fleet.still and hosts != every:
        return with_still(fleet, hosts)
    return with_still(fleet, every) if fleet.is_live and fleet.still != every else None


def left_alone(fleet: Fleet, plan: Plan, error: PlacerError) -> Plan:
    """Return a plan of a fleet with hosts left alone: nothing is claimed by it, and a warning says why."""
    many = f"{len(fleet.still)} of {len(fleet.hosts)} hosts"
    left = f"{many} stay as they are" if fleet.is_live else f"{many} take nothing"
    why = "" if isinstance(error, NothingFoundError) else OWN_FAULT
    outcome = f"In this plan {left}, it keeps every limit, and nothing is proven of it"
    text = why + reported(plan, error.faults, outcome)
    modest = without_claims(plan, {goal.name for goal in plan.goals})
    others = tuple(said for said in plan.warnings if not said.startswith(UNCOVERED))
    return replace(modest, certificate=None, warnings=(*others, text))
