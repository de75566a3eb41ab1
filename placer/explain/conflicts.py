"""Why VMs cannot all be placed: a smallest set of VMs and rules that conflict, and changes verified by a solve."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from placer.explain.cures import Cure, find_cures
from placer.explain.trials import TRIAL_S, Parts, Trials, fewest
from placer.measure.moved import is_present
from placer.measure.spec_numbers import SpecNumbers
from placer.model.fleet import Fleet
from placer.model.rules import RuleKind, matches

SEARCH_S = 30.0
LIMIT_ON_MOVES = "the limit on moves"
NAMED = 5
"""VMs or hosts named in a sentence; of more VMs those that are alike are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """A core: without any one of its VMs or rules, or without the limit on moves, the rest of it can be placed.

    `rules` are labels, `hosts` those that may hold a VM of the core. `minimal` is False where the search ran out of
    trials or a trial was not decided in time: then the core may name more than the cause.
    """

    vms: tuple[str, ...]
    rules: tuple[str, ...]
    limit: bool
    hosts: tuple[str, ...]
    minimal: bool
    cures: tuple[Cure, ...] = ()
    alike: tuple[tuple[int, str], ...] = ()
    """How many VMs of the core are alike in all that they need, each time with one of them."""

    @property
    def text(self) -> str:
        """The conflict in one sentence."""
        grouped = len(self.vms) > NAMED and self.alike
        names = _few([f"{count} like {name}" for count, name in self.alike]) if grouped else _few(self.vms)
        what = f"VM {names} has no" if len(self.vms) == 1 else f"{len(self.vms)} VMs ({names}) have not all a"
        where = f"on {_hosts_named(self.hosts)}" if self.hosts else "on any host"
        because = [f"the rule {label}" for label in self.rules] + ([LIMIT_ON_MOVES] if self.limit else [])
        under = f", under {' and '.join(because)}" if because else ""
        return f"{what} place {where}{under}"


def explain_conflict(
    fleet: Fleet,
    *,
    max_moves: int | None = None,
    max_migrations: int | None = None,
    trial_s: float = TRIAL_S,
    search_s: float = SEARCH_S,
) -> Conflict | None:
    """Return a smallest conflict of a fleet with verified cures; None where none is proven.

    Parameters
    ----------
    max_moves, max_migrations : the limits of the solve that is explained, with the same defaults.
    trial_s : seconds of one trial; there are at most `trials.MOST_TRIALS`.
    search_s : seconds after which the core is not made smaller; after as many more no further cure is tried.
    """
    trials = Trials(fleet, max_moves, max_migrations, trial_s, search_s)
    limited = trials.budget.moves is not None or trials.budget.migrations is not None
    whole = Parts(vms=tuple(range(len(fleet.vms))), rules=tuple(range(len(fleet.rules))), limit=limited)
    if not trials.impossible(whole):
        return None
    parts = _minimised(trials, whole)
    conflict = Conflict(
        vms=tuple(fleet.vms[n].name for n in parts.vms),
        rules=tuple(fleet.rules[n].label for n in parts.rules),
        limit=parts.limit,
        hosts=_hosts(trials.part(parts)),
        minimal=not trials.undecided,
        alike=_alike(fleet, parts.vms),
    )
    return dataclasses.replace(conflict, cures=find_cures(trials, whole, parts))


def _alike(fleet: Fleet, vms: Sequence[int]) -> tuple[tuple[int, str], ...]:
    """Return how many of some VMs are alike, with the first of them, those of which there are most first."""
    specs = SpecNumbers()
    found: dict[object, list[str]] = {}
    for number in vms:
        vm = fleet.vms[number]
        key = (specs.of(vm.spec), tuple(sorted(vm.spec.labels.items())))
        found.setdefault(key, []).append(vm.name)
    return tuple((len(names), names[0]) for names in sorted(found.values(), key=lambda names: -len(names)))


def _minimised(trials: Trials, parts: Parts) -> Parts:
    """Drop what is not needed for the conflict. Fewer VMs, rules or limits never make placing harder, but for VMs that
    a rule spreads evenly: as long as it is part of the conflict they are.
    """
    if parts.limit and trials.impossible(dataclasses.replace(parts, limit=False)):
        parts = dataclasses.replace(parts, limit=False)
    for _ in range(2):  # VMs in bulk first, so that the trials for the rules are small
        evened = _evened(trials.fleet, parts)
        others = tuple(vm for vm in parts.vms if vm not in evened)
        left = fewest(others, _still(trials, parts, "vms", evened))
        parts = _with(parts, "vms", tuple(sorted({*left, *evened})))
        parts = _with(parts, "rules", fewest(parts.rules, _still(trials, parts, "rules")))
    return parts


def _evened(fleet: Fleet, parts: Parts) -> frozenset[int]:
    """Return the VMs of a conflict that one of its rules spreads evenly."""
    rules = [fleet.rules[n] for n in parts.rules]
    even = [rule.members for rule in rules if rule.kind is RuleKind.EVEN and not rule.is_soft]
    named = ((number, fleet.vms[number]) for number in (parts.vms if even else ()))
    return frozenset(n for n, vm in named if any(matches(one, vm.name, vm.spec.labels) for one in even))


def _still(trials: Trials, parts: Parts, name: str, beside: Collection[int] = ()) -> Callable[[tuple[int, ...]], bool]:
    return lambda kept: trials.impossible(_with(parts, name, tuple(sorted({*kept, *beside}))))


def _with(parts: Parts, name: str, kept: tuple[int, ...]) -> Parts:
    return Parts(
        vms=kept if name == "vms" else parts.vms, rules=kept if name == "rules" else parts.rules, limit=parts.limit
    )


def _hosts(core: Fleet) -> tuple[str, ...]:
    """Return the hosts that may hold a VM of the core under its rules."""
    out = []
    for host in core.hosts:
        if host.failed or host.name in core.drained:
            continue
        for vm in core.vms:
            barred = (vm.spec.kvm and not host.kvm) or (vm.spec.needs_smt and not host.smt)
            barred |= vm.spec.width > host.widest_vm
            barred |= any(
                not rule.is_soft and rule.keeps_off(vm.name, vm.spec.labels, host.name, host.labels)
                for rule in core.rules
            )
            if not barred or (is_present(core, vm) and vm.current is not None and vm.current.host == host.name):
                out.append(host.name)
                break
    return tuple(out)


def _hosts_named(names: Sequence[str]) -> str:
    return f"host {names[0]}" if len(names) == 1 else f"{len(names)} hosts ({_few(names)})"


def _few(names: Sequence[str], most: int = NAMED) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
