"""Changes that cure a conflict, the smallest of each kind, each verified by a solve before it is named."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Iterator

from placer.model.fleet import Fleet
from placer.model.host import Host
from placer.model.rules import RuleKind
from placer.model.vm import CellMode, Vm
from placer.planning.conflicts import Cure, Parts, Trials
from placer.planning.moved import is_present
from solvers.problem import MoveBudget

MOST_HOSTS = 16
MOST_SHAPES = 5


def find_cures(trials: Trials, whole: Parts, core: Parts) -> tuple[Cure, ...]:
    """Return cures of a core, each tried on the core and then on the whole fleet."""
    out: list[Cure] = []
    for make in (_lifted, _reshaped, _dropped, _moved, _grown):
        out.extend(make(trials, whole, core))
    return tuple(out)


def _cure(trials: Trials, kind: str, text: str, fleet: Fleet, budget: MoveBudget) -> Cure:
    return Cure(
        kind=kind, text=text, fleet=fleet, max_moves=budget.moves, cures_all=bool(trials.all_placed(fleet, budget))
    )


def _budget(trials: Trials, core: Parts) -> MoveBudget:
    return trials.budget if core.limit else MoveBudget()


def _lifted(trials: Trials, whole: Parts, core: Parts) -> Iterator[Cure]:
    for number in core.rules:
        rest = dataclasses.replace(core, rules=tuple(n for n in core.rules if n != number))
        if trials.all_placed(trials.part(rest), _budget(trials, core)):
            kept = dataclasses.replace(whole, rules=tuple(n for n in whole.rules if n != number))
            text = f"lift the rule {trials.fleet.rules[number].label}"
            yield _cure(trials, "lift-rule", text, trials.part(kept), trials.budget)


def _reshaped(trials: Trials, whole: Parts, core: Parts) -> Iterator[Cure]:
    """Let the flat and one-cell arrivals of the core take several nodes."""
    chosen = {n for n in core.vms if _is_narrow(trials.fleet, trials.fleet.vms[n])}
    if not chosen:
        return

    def widened(parts: Parts) -> Fleet:
        vms = tuple(_auto(vm) if n in chosen else vm for n, vm in enumerate(trials.fleet.vms))
        return dataclasses.replace(
            trials.fleet,
            vms=tuple(vms[n] for n in parts.vms),
            rules=tuple(trials.fleet.rules[n] for n in parts.rules),
        )

    if trials.all_placed(widened(core), _budget(trials, core)):
        names = ", ".join(sorted(trials.fleet.vms[n].name for n in chosen)[:5])
        what = "VM" if len(chosen) == 1 else "VMs"
        text = f"let {len(chosen)} {what} ({names}) use several nodes: cells: auto"
        yield _cure(trials, "more-nodes", text, widened(whole), trials.budget)


def _is_narrow(fleet: Fleet, vm: Vm) -> bool:
    return not is_present(fleet, vm) and vm.spec.cell_mode is not CellMode.AUTO and len(vm.spec.cells) == 1


def _auto(vm: Vm) -> Vm:
    return dataclasses.replace(vm, spec=dataclasses.replace(vm.spec, cell_mode=CellMode.AUTO, cells=(), interleave=1))


def _dropped(trials: Trials, whole: Parts, core: Parts) -> Iterator[Cure]:
    """Leave out arrivals of the lowest priority: one of a core that is minimal, more where other VMs conflict too."""
    fleet = trials.fleet
    arriving = [n for n in core.vms if not is_present(fleet, fleet.vms[n])]
    if not arriving:
        return
    lowest = min(fleet.vms[n].spec.priority for n in arriving)
    for_first = [n for n in arriving if fleet.vms[n].spec.priority == lowest]
    for count in range(1, len(for_first) + 1):
        gone = set(for_first[-count:])
        rest = dataclasses.replace(core, vms=tuple(n for n in core.vms if n not in gone))
        kept = dataclasses.replace(whole, vms=tuple(n for n in whole.vms if n not in gone))
        last = count == len(for_first)
        if trials.all_placed(trials.part(rest), _budget(trials, core)) and (
            last or trials.all_placed(trials.part(kept), trials.budget)
        ):
            names = ", ".join(fleet.vms[n].name for n in sorted(gone)[:5])
            what = "VM" if count == 1 else "VMs"
            text = f"drop {count} {what} of priority {lowest} ({names})"
            yield _cure(trials, "drop-vms", text, trials.part(kept), trials.budget)
            return


def _moved(trials: Trials, whole: Parts, core: Parts) -> Iterator[Cure]:
    """Allow the fewest moves that suffice, found by doubling and halving."""
    if not core.limit:
        return
    fleet = trials.part(whole)
    most = sum(is_present(fleet, vm) for vm in fleet.vms)
    needed = _smallest(most, lambda count: bool(trials.all_placed(fleet, MoveBudget(moves=count))))
    if needed is not None:
        what = "move" if needed == 1 else "moves"
        text = f"allow {needed} {what}: --max-moves {needed}"
        yield _cure(trials, "allow-moves", text, fleet, MoveBudget(moves=needed))


def _grown(trials: Trials, whole: Parts, core: Parts) -> Iterator[Cure]:
    """Add the fewest hosts of one shape, alike in all, or in racks of their own where a rule spreads over racks."""
    scopes = {trials.fleet.rules[n].scope for n in core.rules if trials.fleet.rules[n].kind is RuleKind.ANTI_AFFINITY}
    labels = frozenset(scopes - {"host", "node", "l3"})
    shapes: dict[Hashable, Host] = {}
    for host in trials.fleet.hosts:
        shapes.setdefault((id(host.topology), host.labels.get("rack") if not labels else None), host)
    for host in list(shapes.values())[:MOST_SHAPES]:
        needed = _smallest(MOST_HOSTS, _suffices(trials, core, host, labels))
        if needed:
            fleet = _with_hosts(trials.part(whole), host, needed, labels)
            where = f", each in a {' and '.join(sorted(labels))} of its own" if labels else ""
            text = f"add {needed} {'host' if needed == 1 else 'hosts'} like {host.name}{where}"
            yield _cure(trials, "add-hosts", text, fleet, trials.budget)


def _suffices(trials: Trials, core: Parts, host: Host, labels: frozenset[str]) -> Callable[[int], bool]:
    return lambda count: bool(
        trials.all_placed(_with_hosts(trials.part(core), host, count, labels), _budget(trials, core))
    )


def _with_hosts(fleet: Fleet, like: Host, count: int, own_labels: frozenset[str]) -> Fleet:
    taken = {host.name for host in fleet.hosts}
    added: list[Host] = []
    number = 0
    while len(added) < count:
        number += 1
        name = f"{like.name}-new-{number}"
        if name not in taken:
            labels = {**like.labels, **dict.fromkeys(own_labels, name)}
            added.append(dataclasses.replace(like, name=name, uuid=None, failed=False, labels=labels))
    return dataclasses.replace(fleet, hosts=(*fleet.hosts, *added))


def _smallest(most: int, holds: Callable[[int], bool]) -> int | None:
    """Return the smallest count up to `most` that holds, for a property that larger counts keep; None: none does."""
    high = 1
    while not holds(high):
        if high >= most:
            return None
        high = min(2 * high, most)
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle
    return high
