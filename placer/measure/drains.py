"""What a plan leaves on hosts that are to be emptied, by name, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from placer.measure.closed_hosts import ClosedHosts
from placer.model.fleet import Fleet
from placer.model.host import Host
from placer.model.plan import Change, Plan
from placer.model.units import mib_number
from placer.model.vm import Vm

_UNASKED = "no goal asks for it: rules is not among the goals"


def drain_rows(fleet: Fleet, plan: Plan) -> list[dict[str, Any]]:
    """Return each host that is to be emptied: the VMs that leave it, how many of them by a restart, their memory, and
    those left there, each with why.

    Where no goal asks for rules, that is why a VM stays. Else it is told by what it says itself, by rules and migration
    domains that close every other host, by a limit on moves that is reached; else by rules that close some of them and
    by room that was not found on the rest, which `proven` says to be so where the goal ``rules`` is optimal. What rules
    that tie VMs close is told of the hosts as the plan leaves them.
    """
    if not fleet.drained:
        return []
    planned = plan.vm_by_name
    there: dict[str, list[Vm]] = {name: [] for name in fleet.drained}
    for vm in fleet.vms:
        if vm.current is not None and vm.current.host in there:
            there[vm.current.host].append(vm)
    limit = _limit_reached(plan)
    asked = any(goal.name == "rules" for goal in plan.goals)
    closed = ClosedHosts(fleet, plan)
    proven = any(goal.name == "rules" and goal.status == "optimal" for goal in plan.goals)
    rows = []
    for host in fleet.hosts:
        if host.name not in there or host.failed:
            continue
        left = [vm for vm in there[host.name] if vm.name in planned and planned[vm.name].host == host.name]
        gone = [vm for vm in there[host.name] if vm.name in planned and planned[vm.name].host != host.name]
        rows.append(
            {
                "host": host.name,
                "moved": len(gone),
                "restarts": sum(planned[vm.name].change is Change.RESTART for vm in gone),
                "moved_mib": mib_number(sum(vm.spec.memory_kib for vm in gone)),
                "left": [
                    {"vm": vm.name, "why": _why(fleet, host, vm, limit, closed) if asked else _UNASKED} for vm in left
                ],
                "proven": proven,
            }
        )
    return rows


def _limit_reached(plan: Plan) -> str | None:
    """Return the limit on moves that a plan uses up; None where it could move more."""
    moved = sum(vm.from_host is not None and vm.from_host != vm.host for vm in plan.vms)
    options: Mapping[str, Any] = plan.options
    for key, words in (("max_moves", "--max-moves"), ("max_migrations", "--max-migrations")):
        limit = options.get(key)
        if isinstance(limit, int) and moved >= limit:
            return "no move is allowed" if limit == 0 else f"{words} {limit} is used up"
    return None


def _why(fleet: Fleet, here: Host, vm: Vm, limit: str | None, closed: ClosedHosts) -> str:
    if fleet.is_held(vm):
        return f"it does not move ({', '.join(vm.movable_why) or f'movable: {vm.movable.value}'})"
    if vm.pins_fixed:
        return "its pins are fixed"
    open_ = [host for host in fleet.hosts if not host.failed and host.name not in fleet.drained]
    if not open_:
        return "there is no other host that takes VMs"
    where = ""
    if vm.movable.is_live and vm.running:
        live = [host for host in open_ if host.takes_live_from(here)]
        if not live:
            return f"no other host{_reach(here)} takes VMs: it moves only when shut down"
        where = _reach(here) if len(live) < len(open_) else ""
        open_ = live
    for rule in fleet.rules:
        if rule.is_soft:
            continue
        kept = [host for host in open_ if not rule.keeps_off(vm.name, vm.spec.labels, host.name, host.labels)]
        if not kept:
            return f"the rule {rule.label} keeps it off every other host"
        open_ = kept
    open_ = [host for host in open_ if vm.spec.width <= host.widest_vm]
    if not open_:
        return "no other host has as many CPUs as it has vCPUs"
    return _tied(open_, vm, limit, closed, where)


def _reach(here: Host) -> str:
    """Return in words which hosts VMs of a host reach live."""
    domain = (
        "without migration domain" if here.migration_domain is None else f"of migration domain {here.migration_domain}"
    )
    older = f"of generation {here.gen} or higher" if here.gen else ""
    known = here.migration_domain is not None or not older
    return "".join(f" {part}" for part in (domain if known else "", older and "and " * known + older) if part)


def _tied(open_: Sequence[Host], vm: Vm, limit: str | None, closed: ClosedHosts, where: str) -> str:
    """Return why none of these hosts takes a VM that all of them may hold by itself; `where` says which hosts of all
    they are, where a live move reaches no others.
    """
    by_rules = Counter(rule.label for host in open_ if (rule := closed.closed_by(vm.name, host)))
    left = len(open_) - by_rules.total()
    named = " and ".join(by_rules)
    keeps = f"the rules {named} keep" if len(by_rules) > 1 else f"the rule {named} keeps"
    if not left:
        return f"{keeps} it off every other host"
    if limit is not None:
        return limit
    if not by_rules:
        return f"no room, or none under the rules that tie it, was found on the other hosts{where}" + (
            ": to no more it moves live" if where else ""
        )
    rest = "the other" if left == 1 else f"the other {left}"
    return f"{keeps} it off {by_rules.total()} of {len(open_)} other hosts, and no room was found on {rest}"
