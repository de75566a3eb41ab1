"""What the other verbs say of a plan, against solves of the reference that are forced into the same situation."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from benchmarks.truth.cases import Case
from benchmarks.truth.goals import parse
from benchmarks.truth.race import NEAR, TIME_LIMIT_S, fleet_of, planned, reference
from benchmarks.truth.reads.reading import read
from benchmarks.truth.reference import Placed, solve
from benchmarks.truth.replay.steps import steps
from benchmarks.truth.reserves import reserves
from benchmarks.truth.settle import settled, with_failed
from benchmarks.truth.witness import placed_of
from placer.explain.alternatives import Alternatives, Verdict, alternatives
from placer.model.fleet import Fleet
from placer.model.goals import parse_flavor
from placer.model.plan import Plan
from placer.options import SweepOptions
from placer.sweeps.tasks import Variant

FLAVORS = ("2x512MiB:dedicated", "1x0:dedicated", "2x512MiB/2:dedicated")


def all_verbs(case: Case) -> tuple[list[str], Counter[str]]:
    """Return what is wrong with what the verbs say of a plan of the case, and how many statements were compared."""
    fleet = fleet_of(case.inventory)
    plan = planned(case, fleet)
    wrong: list[str] = []
    done: Counter[str] = Counter()
    for verb in (failures, headroom, explained, smallest, reserves, steps):
        found, compared = verb(case, fleet, plan)
        wrong += found
        done[verb.__name__] += compared
    return wrong, done


def failures(case: Case, fleet: Fleet, plan: Plan) -> tuple[list[str], int]:
    """Compare the worst failure of the plan's summary, and every failure of `whatif --fail-each host`."""
    from placer.failures.sweep import sweep_failures

    inventory = read(case.inventory)
    working = [host.name for host in inventory.hosts if not host.failed]
    if len(working) < 2:
        return [], 0
    after = settled(case, placed_of(inventory, plan))
    lost: dict[str, int] = {}
    for host in working:
        truth = solve(with_failed(after, host), "placed")
        if truth.status != "optimal":
            return [], 0
        lost[host] = int(truth.value("placed"))
    wrong = []
    worst = plan.summary.get("worst_host_failure") or {}
    said = worst.get("vcpus_without_place", 0)
    if worst.get("proven") and worst.get("states") == worst.get("states_in_all") and said != max(lost.values()):
        wrong.append(f"WORST FAILURE {said} vCPUs of {worst.get('host')} proven, the reference loses {lost}")
    sweep = sweep_failures(Variant(name="", fleet=fleet), plan, "host", SweepOptions(time_limit_s=TIME_LIMIT_S))
    harmful = {one["domains"][0]: one for one in sweep.harmful}
    for host in working:
        one = harmful.get(host, {"vcpus_lost": 0, "proven": True})
        if one["vcpus_lost"] < lost[host] or (one["proven"] and one["vcpus_lost"] != lost[host]):
            unknown = any(host in other["domains"] for other in sweep.unknown)
            if not unknown:
                text = f"loses {one['vcpus_lost']} vCPUs, proven {one['proven']}; the reference {lost[host]}"
                wrong.append(f"FAILURE of {host} {text}")
    return wrong, len(working) + 1


def headroom(case: Case, fleet: Fleet, plan: Plan) -> tuple[list[str], int]:
    """Compare how many more VMs of some flavors fit beside the plan."""
    from placer.whatif.headroom import headroom as count

    after = settled(case, placed_of(read(case.inventory), plan))
    wrong, compared = [], 0
    for text, found in zip(FLAVORS, count(fleet, [parse_flavor(one) for one in FLAVORS], plan=plan), strict=True):
        truth = solve(after, f"headroom:{text}")
        if truth.status != "optimal":
            continue
        fits = truth.value(f"headroom:{text}")
        compared += 1
        if found.total > fits or (found.at_most is not None and found.at_most < fits):
            wrong.append(f"HEADROOM {text} {found.total} to {found.at_most}, the reference fits {fits:g}")
    return wrong, compared


def smallest(case: Case, fleet: Fleet, plan: Plan) -> tuple[list[str], int]:
    """Compare `minfleet` of the first host's shape with the same demand on as many copies of the host."""
    from placer.errors import PlacerError
    from placer.whatif.minfleet import smallest_fleet

    shape = case.inventory["hosts"][0]
    if any("reserve" in rule for rule in case.inventory.get("rules", ())):
        # Fewer hosts may hold all VMs, and not survive a failure.
        return [], 0
    try:
        found = smallest_fleet(fleet, [shape["name"]], time_limit_s=TIME_LIMIT_S)
    except PlacerError:
        return [], 0
    used = found.hosts[shape["name"]]
    if not 0 < used <= 4:
        return [], 0
    vms = [{key: value for key, value in vm.items() if key not in _NOW} for vm in copy.deepcopy(case.inventory["vms"])]
    hosts = [{**shape, "name": f"{shape['name']}-{n + 1}"} for n in range(used)]
    for host in hosts:
        if host.get("state") == "failed":
            host.pop("state")
    truth = solve({**case.inventory, "hosts": hosts, "vms": vms}, "placed,rules,hosts")
    if truth.status != "optimal" or truth.value("placed"):
        return ([f"MINFLEET {used} hosts hold all, the reference cannot"] if truth.status == "optimal" else []), 1
    best = truth.value("hosts")
    wrong = []
    if found.status == "optimal" and found.cost > best + NEAR:
        wrong.append(f"MINFLEET {found.cost:g} optimal, the reference needs {best:g}")
    if found.bound is not None and found.bound > best + NEAR:
        wrong.append(f"MINFLEET bound {found.bound:g} beyond the optimum {best:g}")
    return wrong, 1


_NOW = (
    *("host", "nodes", "memory_nodes", "bound", "memory_on"),
    *("pins", "pins_fixed", "emulator", "iothread_pins", "movable", "running"),
)


def explained(case: Case, fleet: Fleet, plan: Plan) -> tuple[list[str], int]:
    """Compare what `explain` says of the other places of a VM: blocked, or worse by how much; all others stay where the
    plan puts them. Limits on moves are left out, and so is the goal that counts them part by part.
    """
    goals = [name for name, _ in parse(case.goals) if name != "moves"]
    if not plan.vms or not {*goals} <= {"placed", "rules", "remote", "hosts", "balance"} or case.pin != "none":
        return [], 0
    runs = any(vm.current is not None for vm in fleet.vms)
    case = replace(case, goals=",".join(goals), max_repins=None)
    if runs:
        plan = planned(case, fleet)
        if plan.unplaced and "balance" in goals:
            # Its steps are of the fleet's mean share, and the inventory to compare with lacks who is left out.
            return [], 0
    plan = replace(plan, options={**plan.options, "max_moves": None, "max_migrations": None, "max_repins": None})
    placed = {
        name: replace(where, cpus=tuple(() for _ in where.cpus), emulator=None)
        for name, where in placed_of(read(case.inventory), plan).items()
    }
    wrong, compared = [], 0
    for vm in plan.vms[:2]:
        if placed[vm.name].devices or placed[vm.name].floats:
            continue
        there = replace(case, inventory=_others_settled(case, placed, vm.name), max_moves=99, max_migrations=99)
        faults, many = _explained_vm(there if runs else case, alternatives(fleet, plan, vm.name), placed, vm.name)
        wrong += faults
        compared += many
    return wrong, compared


def _others_settled(case: Case, placed: Mapping[str, Placed], name: str) -> dict[str, Any]:
    """Return the inventory with all VMs but one where a plan puts them, and without those that it leaves out."""
    own = next(vm for vm in case.inventory["vms"] if vm["name"] == name)
    after = settled(case, placed)
    return {**after, "vms": [own if vm["name"] == name else vm for vm in after["vms"]]}


def _explained_vm(case: Case, said: Alternatives, placed: Mapping[str, Placed], name: str) -> tuple[list[str], int]:
    """Compare all other places of one VM of a plan with forced solves."""
    judged = [goal for goal, _ in parse(case.goals)]
    base = reference(case, fixed=placed)
    if base.status != "optimal":
        return [], 0
    values = {goal: base.value(goal) for goal in judged}
    wrong, compared = [], 0
    for other in said.places:
        if other.planned or len(other.cpu_nodes) != len(placed[name].cpu_nodes):
            continue
        for host in other.hosts[:1]:
            there = replace(placed[name], host=host, cpu_nodes=other.cpu_nodes, memory_nodes=other.memory_nodes)
            truth = reference(case, fixed={**placed, name: there})
            if truth.status == "gave up":
                continue
            compared += 1
            what = f"EXPLAIN {name} on {host} {other.cpu_nodes}: {other.verdict.value}"
            if other.verdict is Verdict.BLOCKED:
                if truth.status == "optimal":
                    wrong.append(f"{what} by {other.constraint}, the reference keeps that place")
                continue
            if truth.status == "impossible":
                wrong.append(f"{what}, and the reference keeps it not")
                continue
            first = _first_difference(judged, values, {goal: truth.value(goal) for goal in judged})
            if first is None and other.verdict is Verdict.WORSE:
                wrong.append(f"{what} by {other.by} {other.goal}, the reference sees no difference")
            if first is not None and (other.goal != first[0] or abs((other.by or 0) - first[1]) > NEAR):
                wrong.append(f"{what} by {other.by} {other.goal}, the reference by {first[1]:g} {first[0]}")
    return wrong, compared


def _first_difference(
    names: Sequence[str], planned: Mapping[str, float], there: Mapping[str, float]
) -> tuple[str, float] | None:
    for name in names:
        if abs(there[name] - planned[name]) > NEAR:
            return name, there[name] - planned[name]
    return None
