"""N+k: what every failure of a host, or of all hosts of a label, would do to a plan; of several at once too.

The VMs of the failed hosts are to find NUMA-true places on the others, where nothing moves unless the options allow it.
A failure is harmless when a plan for it places every VM, and proven to lose some when a solve bounds it so.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from placer.errors import InputError, NothingFoundError
from placer.failures.counts import is_proven, placed_counts
from placer.failures.refit import fitted_failures, fitted_outcome
from placer.failures.refuge import Refuge, refuge
from placer.failures.spares import fewest_spares
from placer.failures.together import MOST_TOGETHER, Apart, as_many_alike, distinct_failures
from placer.measure.moved import is_present
from placer.measure.spec_numbers import SpecNumbers
from placer.model.fleet import Fleet
from placer.model.goals import parse_goals
from placer.model.plan import Plan
from placer.model.rules import Selection, drain_of, matches
from placer.model.units import count
from placer.options import SweepOptions
from placer.planning.after import fleet_after, with_vms
from placer.planning.compile.budget import move_budget
from placer.planning.compile.compile import compile_fleet
from placer.planning.decode.names import assign_names
from placer.sweeps.executors import Outcome, Pool, Task
from placer.sweeps.tasks import OnDone, Variant, identity_of, swept

NOWHERE: dict[str, Any] = {"hosts": [], "spread": [], "together": []}

OVER = "not looked at: the total time is over"
Failure = tuple[str, ...]
"""Names of the domains that fail together."""
OTHERS: Failure = ("all others",)
"""Stands for the combinations that were not looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureSweep:
    """What the failures do.

    Attributes
    ----------
    scope, at_once : ``host`` or a label; how many domains fail together.
    domains, combinations : how many there are of each.
    alike, slack, solved : combinations answered by one just like it, by room enough (a greedy fit, or places of two
        failures apart from each other), and by a plan.
    harmful : those that leave VMs without a place: ``domains``, ``vms`` (on them), ``lost`` (names), ``vcpus_lost``,
        ``proven`` (no plan loses fewer vCPUs) and ``ways`` (how many combinations it stands for), the worst first.
    unknown : combinations that no plan was found for, with ``why`` and ``ways``.
    spares : how many more hosts the worst failure takes to be survived, in a new domain for each that fails where
        ``scope`` is a label: ``hosts``, ``like`` and ``proven``; None where all failures are harmless.
    """

    scope: str
    at_once: int
    domains: int
    combinations: int
    alike: int
    slack: int
    solved: int
    harmful: tuple[Mapping[str, Any], ...]
    unknown: tuple[Mapping[str, Any], ...] = ()
    spares: Mapping[str, Any] | None = None

    @property
    def harmful_in_all(self) -> int:
        """How many combinations leave VMs without a place."""
        return sum(one["ways"] for one in self.harmful)

    @property
    def unknown_in_all(self) -> int:
        """Of how many combinations nobody knows what they do."""
        return sum(one["ways"] for one in self.unknown)


def sweep_failures(
    variant: Variant,
    plan: Plan | None,
    scope: str,
    options: SweepOptions,
    *,
    at_once: int = 1,
    pool: Pool | None = None,
    results: Path | None = None,
    on_done: OnDone | None = None,
    members: Selection | None = None,
    most_solves: int | None = None,
) -> FailureSweep:
    """Let every domain of a scope fail, alone or several at once; all of them where there are no more.

    Parameters
    ----------
    plan : the failures are of the fleet as this plan of it leaves it; None: as it stands.
    members : the VMs that are to find a place; None for all. Others are gone with their hosts.
    most_solves : failures that are planned for at most; of the others left over it is not known what they do.

    Raises
    ------
    InputError
        No host has the label.
    """
    fleet = standing(variant.fleet) if plan is None else settled(variant.fleet, plan)
    domains = domains_of(fleet, scope)
    at_once = min(at_once, len(domains))
    identity = identity_of(f"failures {scope} {at_once}", [Variant(name=variant.name, fleet=fleet)], options)
    counted = None
    if members is not None:
        counted = frozenset(vm.name for vm in fleet.vms if matches(members, vm.name, vm.spec.labels))
    run = _Run(fleet, domains, options, identity, pool, results, on_done, counted, most_solves)
    singles, alike = run.singles(share=at_once == 1)
    slack = 0
    found = singles
    few = most_solves is None or math.comb(len(domains), 2) <= MOST_TOGETHER
    if at_once == 2 and few:
        found, slack, alike = run.pairs(singles)
    elif at_once > 1:
        found, slack, alike = run.together(singles, at_once)
    return _summary(run, scope, at_once, found, alike, slack + run.fitted, run.solved)


def ask_for_fewer(fleet: Fleet, scope: str, at_once: int) -> None:
    """Refuse to let so many domains fail at once that no host is left.

    Raises
    ------
    InputError
        No host would be left, or there are not so many domains.
    """
    domains = domains_of(fleet, scope)
    inside = {host for hosts in domains.values() for host in hosts}
    beside = any(not host.failed and host.name not in inside for host in fleet.hosts)
    if len(domains) < at_once + (not beside):
        are = "is" if len(domains) == 1 else "are"
        raise InputError(f"there {are} only {count(len(domains), 'domain')} of {scope!r}", field="--fail-each")


def standing(fleet: Fleet) -> Fleet:
    """Return the fleet with the VMs that are on hosts of it that work."""
    return with_vms(fleet, (vm for vm in fleet.vms if is_present(fleet, vm)))


def settled(fleet: Fleet, plan: Plan) -> Fleet:
    """Return the fleet as its plan leaves it, with the VMs that have a place."""
    after = fleet_after(fleet, plan)
    return with_vms(after, (vm for vm in after.vms if vm.current is not None))


def domains_of(fleet: Fleet, scope: str, asked_by: str = "--fail-each") -> dict[str, tuple[str, ...]]:
    """Return domain -> its hosts that work: each host by itself, or the hosts of one value of a label; none where all
    have failed.

    `asked_by` is the option that a fault is about.
    """
    out: dict[str, list[str]] = defaultdict(list)
    named = False
    for host in fleet.hosts:
        value = host.name if scope == "host" else host.labels.get(scope)
        named |= value is not None
        if value is not None and not host.failed:
            out[value].append(host.name)
    if not named:
        raise InputError(f"no host has a label {scope!r}", field=asked_by, cure="say host, or a label of hosts")
    return {name: tuple(hosts) for name, hosts in out.items()}


def fail_hosts(
    context: tuple[Fleet, SweepOptions, frozenset[str] | None, float | None], failed: tuple[Sequence[str], bool]
) -> dict[str, Any]:
    """Let hosts fail and plan for it; what a worker runs. Plain data: see `FailureSweep`.

    The third part of `context` are the VMs that need a place (None: all), the fourth when the sweep's time is over, in
    seconds of the epoch; the second part of `failed` asks where the VMs go too, and where they would go with every
    second host closed.

    Raises
    ------
    NothingFoundError
        The time is over.
    """
    fleet, options, counted, ends_at = context
    if ends_at is not None:
        left_s = ends_at - time.time()
        if left_s <= 0:
            raise NothingFoundError(OVER)
        options = dataclasses.replace(options, time_limit_s=min(options.time_limit_s, left_s))
    names, roomy = set(failed[0]), failed[1]
    if counted is not None:
        fleet = with_vms(
            fleet,
            (vm for vm in fleet.vms if vm.current is None or vm.current.host not in names or vm.name in counted),
        )
    hit = dataclasses.replace(
        fleet, hosts=tuple(dataclasses.replace(h, failed=True) if h.name in names else h for h in fleet.hosts)
    )
    homeless = sum(vm.current is not None and vm.current.host in names for vm in fleet.vms)
    if not homeless:
        return {"vms": 0, "lost": [], "vcpus_lost": 0, "proven": True, "into": [NOWHERE]}
    compiled, result, sure = placed_counts(hit, options)
    if not result.is_answer:
        return {"vms": homeless, "unknown": f"no plan was found: {result.status}"}
    left = assign_names(compiled, result).unplaced
    out: dict[str, Any] = {
        "vms": homeless,
        "lost": sorted(fleet.vms[number].name for number in left),
        "vcpus_lost": sum(fleet.vms[number].spec.vcpus for number in left),
        "proven": is_proven(result, sure),
    }
    if roomy and not left:
        found = [refuge(compiled, result, names)]
        for parity in (0, 1):
            closed = [host for number, host in enumerate(fleet.hosts) if number % 2 == parity]
            rules = [drain_of(host.name, host.labels) for host in closed if host.name not in names]
            half = dataclasses.replace(hit, rules=(*hit.rules, *rules))
            compiled, result, _ = placed_counts(half, options, engine="greedy")
            if result.is_answer and not assign_names(compiled, result).unplaced:
                found.append(refuge(compiled, result, names))
        out["into"] = [one for one in found if one is not None]
    return out


class _Run:
    """One sweep over the failures of a settled fleet."""

    def __init__(
        self,
        fleet: Fleet,
        domains: Mapping[str, tuple[str, ...]],
        options: SweepOptions,
        identity: str,
        pool: Pool | None,
        results: Path | None,
        on_done: OnDone | None,
        counted: frozenset[str] | None,
        most_solves: int | None,
    ) -> None:
        self.fleet, self.domains, self.options, self.counted = fleet, domains, options, counted
        self.most_solves, self.solved, self.fitted = most_solves, 0, 0
        self.ends_at = None if options.total_time_s is None else time.time() + options.total_time_s
        self.identity, self.pool, self.results, self.on_done = identity, pool, results, on_done
        self.kind = self._kinds()
        self.ways: dict[Failure, int] = {}

    def _kinds(self) -> dict[str, Any]:
        """Return domain -> what tells it apart: the classes of its hosts, what is fixed on them and who counts."""
        compiled = compile_fleet(self.fleet, parse_goals("placed", self.fleet))
        of_host: dict[str, Any] = {}
        specs = SpecNumbers()
        on: dict[str, list[int]] = defaultdict(list)
        for vm in self.fleet.vms:
            if vm.current is not None and vm.name in (self.counted or ()):
                on[vm.current.host].append(specs.of(vm.spec))
        for number, host_class in enumerate(compiled.problem.classes):
            for member in host_class.members:
                fixed = sorted(
                    (
                        specs.of(self.fleet.vms[vm].spec),
                        tuple(sorted(self.fleet.vms[vm].spec.labels.items())),
                        self.counted is None or self.fleet.vms[vm].name in self.counted,
                    )
                    for vm in compiled.fixed.get(member, ())
                )
                name = self.fleet.hosts[member].name
                of_host[name] = (number, tuple(fixed), tuple(sorted(on[name])))
        return {name: tuple(sorted(of_host[host] for host in hosts)) for name, hosts in self.domains.items()}

    def singles(self, *, share: bool) -> tuple[dict[Failure, Outcome], int]:
        """Return the outcome of each domain's failure, and how many were answered by one just like it."""
        failures = [(name,) for name in self.domains]
        return self._swept(failures, share=share, roomy=not share)

    def pairs(self, singles: Mapping[Failure, Outcome]) -> tuple[dict[Failure, Outcome], int, int]:
        """Return the outcome of every pair that slack does not make harmless, how many it does, and how many are alike.

        Two failures that find room apart from each other, neither on the other's hosts, find it at once too.
        """
        apart = self._apart(singles)
        open_pairs = [pair for pair in combinations(self.domains, 2) if not apart.survives(pair)]
        found, alike = self._swept(open_pairs, share=True, roomy=False)
        return found, math.comb(len(self.domains), 2) - len(open_pairs), alike

    def together(self, singles: Mapping[Failure, Outcome], at_once: int) -> tuple[dict[Failure, Outcome], int, int]:
        """Return the same of more domains at once: of combinations alike one speaks for all."""
        held: Counter[str] = Counter()
        for vm in self.fleet.vms:
            if vm.current is not None:
                held[vm.current.host] += vm.spec.vcpus
        weight = {name: sum(held[host] for host in own) for name, own in self.domains.items()}
        distinct, complete = distinct_failures(self.kind, weight, at_once)
        apart = self._apart(singles)
        open_ones = [failure for failure in distinct if not apart.survives(failure)]
        found, _ = self._swept(open_ones, share=True, roomy=False)
        every = math.comb(len(self.domains), at_once)
        sizes = Counter(self.kind.values())
        self.ways = {failure: as_many_alike(self.kind, sizes, failure) for failure in distinct}
        looked_at = sum(self.ways.values())
        if not complete:
            self.ways[OTHERS] = every - looked_at
            why = f"the {len(distinct):,} combinations that hold the most were looked at"
            found[OTHERS] = Outcome(key=OTHERS[0], value={"unknown": why})
        return found, len(distinct) - len(open_ones), looked_at - len(distinct)

    def _apart(self, singles: Mapping[Failure, Outcome]) -> Apart:
        into = {
            name: [] if outcome.value is None else [Refuge.of(one) for one in outcome.value.get("into", ())]
            for (name,), outcome in singles.items()
        }
        return Apart(into, self.domains)

    def _swept(self, failures: Sequence[Failure], *, share: bool, roomy: bool) -> tuple[dict[Failure, Outcome], int]:
        first: dict[Any, Failure] = {}
        for failure in failures:
            first.setdefault(self._key(failure) if share else failure, failure)
        hosts = {key: [host for name in failure for host in self.domains[name]] for key, failure in first.items()}
        # Where a greedy fit into what is free takes all that has room, no plan need be solved; where the VMs go is not
        # known then. What has none is known where nothing moves.
        fitted = {} if roomy else fitted_failures(self.fleet, hosts, self.counted)
        if move_budget(self.fleet, self.options.max_moves, self.options.max_migrations).moves != 0:
            fitted = {key: lost for key, lost in fitted.items() if not lost}
        open_keys = [key for key in first if key not in fitted]
        asked = open_keys[: self.most_solves]
        self.solved, self.fitted = len(asked), sum(not lost for lost in fitted.values())
        tasks = [Task(key=" + ".join(first[key]), payload=(hosts[key], roomy)) for key in asked]
        # Results of single failures and of pairs are kept apart: their tasks are others.
        path = self.results
        if path is not None and roomy:
            path = path.with_name(path.name + ".singles")
        context = (self.fleet, self.options, self.counted, self.ends_at)
        outcomes = swept(fail_hosts, context, tasks, self.identity, self.pool, path, self.on_done, answers="failure")
        by_key: dict[Any, Outcome] = dict(zip(asked, outcomes, strict=True))
        for key, lost in fitted.items():
            told = fitted_outcome(self.fleet, hosts[key], self.counted, lost)
            by_key[key] = Outcome(key=" + ".join(first[key]), value=told)
        for key in open_keys[len(asked) :]:
            by_key[key] = Outcome(key=" + ".join(first[key]), value={"unknown": "not looked at: too many failures"})
        found = {failure: by_key[self._key(failure) if share else failure] for failure in failures}
        return found, len(failures) - len(first)

    def _key(self, failure: Failure) -> Any:
        return tuple(sorted(self.kind[name] for name in failure))


def _summary(
    run: _Run, scope: str, at_once: int, found: Mapping[Failure, Outcome], alike: int, slack: int, solved: int
) -> FailureSweep:
    harmful, unknown = [], []
    for failure, outcome in found.items():
        value = outcome.value or {"unknown": OVER if OVER in (outcome.error or "") else outcome.error}
        if "unknown" in value:
            unknown.append({"domains": list(failure), "why": value["unknown"], "ways": run.ways.get(failure, 1)})
        elif value["lost"]:
            kept = {key: value[key] for key in ("vms", "vcpus_lost", "proven")}
            own = _own_names(failure, value["lost"], outcome.key)
            harmful.append({"domains": list(failure), **kept, "lost": own, "vms_lost": len(value["lost"])})
            harmful[-1]["ways"] = run.ways.get(failure, 1)
    harmful.sort(key=lambda one: (-one["vcpus_lost"], -one["vms_lost"], one["domains"]))
    return FailureSweep(
        scope=scope,
        at_once=at_once,
        domains=len(run.domains),
        combinations=math.comb(len(run.domains), at_once) if at_once else 0,
        alike=alike,
        slack=slack,
        solved=solved,
        harmful=tuple(harmful),
        unknown=tuple(unknown),
        spares=_spares(run, scope, harmful[0]) if harmful else None,
    )


def _own_names(failure: Failure, lost: Sequence[str], key: str) -> list[str] | None:
    """Return the names of the VMs lost; of a failure just like another one only their number is known."""
    return list(lost) if " + ".join(failure) == key else None


def _spares(run: _Run, scope: str, worst: Mapping[str, Any]) -> dict[str, Any]:
    """Return how many more hosts the worst failure takes to be survived; see `fewest_spares`."""
    failed = [host for name in worst["domains"] for host in run.domains[name]]

    def lost(fleet: Fleet) -> tuple[bool, bool] | None:
        try:
            value = fail_hosts((fleet, run.options, run.counted, run.ends_at), (failed, False))
        except NothingFoundError:
            return None
        return None if "unknown" in value else (bool(value["lost"]), bool(value["proven"]))

    stays = not (run.options.max_moves or run.options.max_migrations)
    return fewest_spares(run.fleet, failed, worst, lost, stays=stays, scope=scope)
