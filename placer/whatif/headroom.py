"""How many more VMs fit, NUMA-true: by a formula where it is exact, by a small solve for each host state where not."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from placer.check.fits import impossible_vms
from placer.model.fleet import Fleet
from placer.model.goals import Goal, HeadroomFlavor, as_most, parse_flavor
from placer.model.plan import Plan
from placer.model.rules import Rule
from placer.model.units import format_kib
from placer.model.vm import Vm
from placer.planning.after import fleet_after, with_vms
from placer.planning.compile.compile import Compiled, compile_fleet
from placer.planning.compile.rows import Row, RowKind
from placer.planning.room import Room
from placer.planning.wanted import Wanted, wanted_flavor
from solvers.problem import IntArray, Problem
from solvers.slots import Filler

MOST_SOLVES = 2_000
"""So many different host states are solved a flavor, where the formula is not exact; the answer says it if not all."""

_WORDS = {
    "threads": "CPUs",
    "free threads": "CPUs",
    "threads of whole cores": "whole cores",
    "whole wide cores": "whole cores",
    "shared vCPUs beside cores": "CPUs beside shared vCPUs",
    "shared beside free threads": "CPUs beside shared vCPUs",
    "shared beside dedicated": "CPUs beside shared vCPUs",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Headroom:
    """The headroom of one flavor.

    Attributes
    ----------
    total : VMs that fit for certain, in all. `at_most`: no more do; equal to `total` where every host state is proven;
        None where not all placements were enumerated.
    hosts, counts : names of the hosts, and VMs that fit on each. `per_label` the same by a label where one was asked.
    limits : resource -> VMs that would fit at most if nothing else ran out on the hosts where they take of it.
    why : why no host could hold one even if it were empty; None where one could.
    policy : how its vCPUs have CPUs: ``dedicated``, ``shared``, ``mixed`` or ``floating``.
    tied : whether rules over several hosts hold it, which the count does not know (`headroom_ruled`).
    kept : what keeps more from fitting where hosts still have room: a rule that keeps room for failures.
    """

    flavor: str
    policy: str = "dedicated"
    total: int
    at_most: int | None
    hosts: Sequence[str]
    counts: Sequence[int]
    limits: Mapping[str, int]
    per_label: Mapping[str, int] = field(default_factory=dict)
    why: str | None = None
    tied: bool = False
    kept: str | None = None

    @property
    def per_host(self) -> dict[str, int]:
        """The total by host."""
        return dict(zip(self.hosts, self.counts, strict=True))

    @property
    def first(self) -> str | None:
        """The resource that runs out first, or what keeps more from fitting."""
        if self.kept is not None:
            return self.kept
        return min(self.limits, key=lambda name: (self.limits[name], name)) if self.limits else None


def headroom(
    fleet: Fleet,
    flavors: Sequence[str | HeadroomFlavor | Wanted],
    *,
    plan: Plan | None = None,
    label: str | None = None,
    most_solves: int = MOST_SOLVES,
) -> tuple[Headroom, ...]:
    """Return how many more VMs of each flavor, alone, fit beside what is there now, or beside a plan.

    Parameters
    ----------
    flavors : as text (``16x64GiB``, ``16x64GiB/2``), parsed, or VMs in all their needs. Of the policy of most VMs
        where they do not say it.
    plan : count beside what this plan places; None counts beside the VMs that are on hosts now.
    label : a host label, such as ``rack``, to sum up by.
    most_solves : host states that are solved a flavor at most; of others the formula's two bounds are told.

    Notes
    -----
    Nothing is moved: every VM stays on its nodes, and those on no known node of their host are given room on it first.
    VMs that are nowhere take nothing.
    """
    parsed = [parse_flavor(one) if isinstance(one, str) else one for one in flavors]
    wanted = [one if isinstance(one, Wanted) else wanted_flavor(as_most(fleet, one)) for one in parsed]
    settled = fleet if plan is None else fleet_after(fleet, plan)
    states = _States.of(settled, wanted)
    return tuple(states.headroom(number, label, most_solves) for number in range(len(wanted)))


class _States:
    """A fleet with its host states, and what each has left."""

    def __init__(self, fleet: Fleet, wanted: Sequence[Wanted], compiled: Compiled) -> None:
        self.fleet, self.wanted = fleet, wanted
        self.problem: Problem = compiled.problem
        self.rows = compiled.rows
        self.room = Room(self.problem)
        self.rules = compiled.fleet.rules
        self.names = tuple(host.name for host in fleet.hosts)
        self.flavor = compiled.flavors.of_vm[len(fleet.vms) :]
        self.floating = np.array([bool(one.floating) for one in self.problem.classes], dtype=bool)
        self.class_of = np.full(len(fleet.hosts), -1, dtype=np.int64)
        for number, one in enumerate(self.problem.classes):
            self.class_of[list(one.members)] = number

    @classmethod
    def of(cls, fleet: Fleet, wanted: Sequence[Wanted]) -> _States:
        """Return the states of a fleet beside which these VMs are wanted."""
        present = with_vms(fleet, (vm for vm in fleet.vms if vm.current is not None))
        names = set(present.vm_by_name)
        more: list[Vm] = []
        for number, one in enumerate(wanted):
            name = f"wanted {number}"
            while name in names:
                name += "'"
            more.append(one.vm(name))
        # Rules whose VMs are all nowhere hold those that are wanted all the same.
        asked = with_vms(fleet, (*present.vms, *more))
        return cls(present, wanted, compile_fleet(asked, [Goal(name="placed", kind="placed")]))

    @cached_property
    def settled(self) -> dict[int, tuple[IntArray, IntArray]]:
        """Return, a shape, what is left when VMs on no known node have been put somewhere, and whether all could be."""
        out = {}
        for shape, numbers in self.room.numbers.items():
            free, sure = self.room.free[shape].copy(), np.ones(len(numbers), dtype=np.int64)
            for at, number in enumerate(numbers.tolist()):
                for flavor, many in self.problem.classes[number].floating:
                    for placement in self.room.placements(shape, flavor).tolist():
                        use = self.problem.shapes[shape].use[placement]
                        taken = use > 0
                        fit = min(many, int((free[at, taken] // use[taken]).min())) if taken.any() else many
                        free[at] -= fit * use
                        many -= fit
                    sure[at] &= many == 0
            out[shape] = (free, sure)
        return out

    def headroom(self, number: int, label: str | None, most_solves: int) -> Headroom:
        """Return the headroom of one of the VMs that are wanted."""
        flavor = self.flavor[number]
        classes = self.problem.classes
        least = np.zeros(len(classes), dtype=np.int64)
        most = np.zeros(len(classes), dtype=np.int64)
        alone: list[tuple[dict[str, int], int]] = []
        complete = True
        for shape, all_numbers in self.room.numbers.items():
            where = self.room.allowed[shape][:, flavor]
            filler = self.room.filler(shape, flavor)
            if not where.any() or filler is None:
                continue
            form, numbers = self.problem.shapes[shape], all_numbers[where]
            complete &= form.complete
            room = free = self.room.free[shape][where]
            found = filler.bounds(free)
            low = found.least
            if self.floating[all_numbers][where].any():
                room, sure = (array[where] for array in self.settled[shape])
                low = filler.bounds(room).least * sure
            low, high = self._closed(filler, numbers, free, low, found.most, most_solves)
            least[numbers], most[numbers] = low, high
            many = self.room.count[numbers]
            if_only = {
                resource: int((np.maximum(filler.only(rows).bounds(room).most, high) * many).sum())
                for resource, rows in _resources(self.rows[shape], filler.rows, self.rules).items()
            }
            alone.append((if_only, int((high * many).sum())))
        return self._summed(number, least, most, complete, _limits(alone), label)

    def _closed(
        self, filler: Filler, numbers: IntArray, free: IntArray, low: IntArray, high: IntArray, most_solves: int
    ) -> tuple[IntArray, IntArray]:
        """Close what the formula leaves open by a solve for each host state; states alike are solved once."""
        known: dict[Hashable, tuple[int, int]] = {}
        low, high = low.copy(), high.copy()
        for at in np.flatnonzero(low < high).tolist():
            one = self.problem.classes[int(numbers[at])]
            # Beside VMs on no known node every row counts, else those that the flavor takes of.
            key = (free[at].tobytes() if one.floating else free[at, filler.rows].tobytes(), one.floating)
            if key not in known:
                if len(known) >= most_solves:
                    continue
                use = self.problem.shapes[one.shape].use
                required = [(use[self.room.placements(one.shape, flavor)], many) for flavor, many in one.floating]
                known[key] = filler.exact(free[at], required)
            low[at] = max(low[at], known[key][0])
            high[at] = min(high[at], known[key][1])
        return low, high

    def _summed(
        self, number: int, least: IntArray, most: IntArray, complete: bool, limits: Mapping[str, int], label: str | None
    ) -> Headroom:
        by_host = np.where(self.class_of >= 0, np.append(least, 0)[self.class_of], 0).tolist()
        per_label: dict[str, int] = defaultdict(int)
        if label is not None:
            for host, many in zip(self.fleet.hosts, by_host, strict=True):
                per_label[host.labels.get(label, "")] += many
        wanted = self.wanted[number]
        why = None
        if not limits:
            alone = dataclasses.replace(self.fleet, vms=(wanted.vm("v"),), rules=())
            why = impossible_vms(alone).get("v")
        return Headroom(
            flavor=wanted.text,
            policy=wanted.policy,
            tied=any(self.flavor[number] in rule.members and not rule.is_soft for rule in self.problem.rules),
            total=int((least * self.room.count).sum()),
            at_most=int((most * self.room.count).sum()) if complete else None,
            hosts=self.names,
            counts=by_host,
            limits=limits,
            per_label=dict(per_label),
            why=why,
        )


def _resources(rows: Sequence[Row], taken: IntArray, rules: Sequence[Rule]) -> dict[str, list[int]]:
    """Return resource, in a planner's words, or rule -> its rows among those `taken`."""
    out: dict[str, list[int]] = defaultdict(list)
    for k in taken.tolist():
        row = rows[k]
        word = _WORDS.get(row.cpus, row.resource)
        if row.kind is RowKind.PAGES:
            word = f"{format_kib(row.number)} pages"
        elif row.kind is RowKind.RULE:
            word = f"rule {rules[row.number].label}"
        out[word].append(k)
    return out


def _limits(alone: Sequence[tuple[Mapping[str, int], int]]) -> dict[str, int]:
    """Add up over shapes; hosts of a shape where a flavor takes nothing of a resource hold what fits there."""
    resources = sorted({resource for found, _ in alone for resource in found})
    return {resource: sum(found.get(resource, fit) for found, fit in alone) for resource in resources}
