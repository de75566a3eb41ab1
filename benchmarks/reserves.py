"""What is said of failures by every verb, against all places and all failures of small fleets, counted one by one.

Hosts of one or two nodes, VMs of one cell; nobody may move when hosts fail. The counting shares no code with placer.
"""

from __future__ import annotations

import dataclasses
import itertools
import random
import time
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from functools import cached_property
from pathlib import Path

from benchmarks.registry import SMOKE, Job, Row, Spec
from placer.check.check import check
from placer.errors import PlacerError
from placer.failures.sweep import settled, sweep_failures
from placer.model.fleet import Fleet
from placer.model.goals import parse_flavor
from placer.model.plan import Plan
from placer.options import SweepOptions
from placer.planner import solve_fleet
from placer.planning.wanted import wanted_flavor
from placer.read.inventory.inventory import parse_fleet
from placer.sweeps.tasks import Variant
from placer.whatif.headroom import headroom
from placer.whatif.headroom_ruled import ruled_headroom
from placer.whatif.minfleet import smallest_fleet
from placer.whatif.runway import grown_fleet, solve_month

OPTIONS = SweepOptions(time_limit_s=60, rounds=4)
FLAVOR = "2x1GiB"
GROWTH = Fraction(1, 4)
MOST_COPIES = 8
MOST_PLACES = 50_000
"""Ways to put VMs that are all tried."""

GIB = 1 << 20
Room = tuple[int, int]
"""CPUs and KiB."""
Place = tuple[int, int]
"""Host and node."""


@dataclasses.dataclass(frozen=True, slots=True)
class Guest:
    """A VM: what it takes, whether the reserve is for it, and where it is."""

    name: str
    size: Room
    member: bool
    now: Place | None

    @property
    def keep(self) -> str:
        """The label by which a reserve selects it."""
        return "always" if self.member else "never"


@dataclasses.dataclass(frozen=True)
class Case:
    """A small fleet and its reserve: nodes of each host, VMs, the domain of each host, and how many domains fail."""

    hosts: tuple[tuple[Room, ...], ...]
    vms: tuple[Guest, ...]
    domains: tuple[int, ...]
    fail: int
    only_members: bool
    max_moves: int

    @cached_property
    def places(self) -> list[Place]:
        """All nodes."""
        return [(host, node) for host, nodes in enumerate(self.hosts) for node in range(len(nodes))]

    def text(self, shape: bool = False) -> str:
        """Return the inventory; of a `shape` only its first host, with nobody on it."""
        lines = ["schema: placer.inventory/v1", "hosts:"]
        for number, nodes in enumerate(self.hosts[:1] if shape else self.hosts):
            first, said = 0, []
            for node, (cpus, kib) in enumerate(nodes):
                said.append(f'{{id: {node}, cpus: "{first}-{first + cpus - 1}", memory: {kib}KiB}}')
                first += cpus
            rack = f"labels: {{rack: r{self.domains[number]}}}"
            lines.append(f"  - {{name: h-{number}, nodes: [{', '.join(said)}], {rack}}}")
        lines.append("vms:")
        for vm in self.vms:
            at = "" if vm.now is None or shape else f", host: h-{vm.now[0]}, nodes: [{vm.now[1]}]"
            own = f"vcpus: {vm.size[0]}, memory: {vm.size[1]}KiB, cells: 1, overhead: 0"
            lines.append(f"  - {{name: {vm.name}, {own}, labels: {{keep: {vm.keep}}}{at}}}")
        scope = "host" if shape or len(set(self.domains)) == len(self.hosts) else "rack"
        members = ", members: {keep: always}" if self.only_members else ""
        lines.append(f"rules: [{{reserve: {{fail: {self.fail}, scope: {scope}{members}}}}}]")
        return "\n".join(lines) + "\n"

    def fleet(self, shape: bool = False) -> Fleet:
        """Return the fleet as placer reads it."""
        return parse_fleet(self.text(shape).encode(), "fleet.yaml", Path())

    def failures(self) -> Iterator[frozenset[int]]:
        """Yield the hosts of every failure."""
        for gone in itertools.combinations(sorted(set(self.domains)), self.fail):
            yield frozenset(number for number, domain in enumerate(self.domains) if domain in gone)

    def lost(self, vms: Sequence[Guest], at: Sequence[Place | None]) -> list[int]:
        """Return the vCPUs that each failure leaves without a place at least."""
        free = self.free(vms, at)
        out = []
        for gone in self.failures():
            left = {place: room for place, room in free.items() if place[0] not in gone}
            homeless = [
                vm.size
                for vm, where in zip(vms, at, strict=True)
                if where is not None and where[0] in gone and (vm.member or not self.only_members)
            ]
            out.append(_fewest_out(list(left.values()), sorted(homeless, reverse=True)))
        return out

    def free(self, vms: Sequence[Guest], at: Sequence[Place | None]) -> dict[Place, Room]:
        """Return what each node has left."""
        free = {place: self.hosts[place[0]][place[1]] for place in self.places}
        for vm, where in zip(vms, at, strict=True):
            if where is not None:
                free[where] = (free[where][0] - vm.size[0], free[where][1] - vm.size[1])
        return free

    def ways(self, vms: Sequence[Guest], most_moves: int) -> Iterator[tuple[Place, ...]]:
        """Yield all ways to place all VMs in which so many of those that are there move at most."""
        choices = [self.places if vm.now is None or most_moves else [vm.now] for vm in vms]
        for at in itertools.product(*choices):
            moves = sum(vm.now is not None and vm.now != where for vm, where in zip(vms, at, strict=True))
            if moves <= most_moves and min(min(room) for room in self.free(vms, at).values()) >= 0:
                yield at

    def least(self, vms: Sequence[Guest], most_moves: int) -> int | None:
        """Return what the worst failure loses in the best of all ways; None where not all VMs have a place."""
        best: int | None = None
        for at in self.ways(vms, most_moves):
            worst = max(self.lost(vms, at))
            best = worst if best is None else min(best, worst)
            if best == 0:
                break
        return best


def _fewest_out(free: list[Room], sizes: list[Room]) -> int:
    """Return the fewest vCPUs of these VMs that have no place in this room."""
    if not sizes:
        return 0
    first, rest = sizes[0], sizes[1:]
    best = first[0] + _fewest_out(free, rest)
    for number, room in sorted({room: number for number, room in enumerate(free)}.items(), reverse=True):
        if best and number[0] >= first[0] and number[1] >= first[1]:
            left = (number[0] - first[0], number[1] - first[1])
            best = min(best, _fewest_out([*free[:room], left, *free[room + 1 :]], rest))
    return best


def drawn(seed: int) -> Case:
    """Return a fleet of two to five hosts: new or running, of hosts or racks of which one or two fail."""
    rng = random.Random(seed)
    while True:
        fail = rng.choice((1, 1, 1, 2))
        many = rng.randint(fail + 1, 4 + (fail > 1))
        two = rng.random() < 0.4 and many <= 3
        caps = [(rng.choice((4, 6, 8)), rng.choice((8, 16)) * GIB) for _ in range(2)]
        hosts = tuple(tuple(rng.choice(caps) for _ in range(1 + two)) for _ in range(many))
        racks = fail == 1 and many == 4 and rng.random() < 0.5
        domains = tuple(number % 2 if racks else number for number in range(many))
        live = rng.random() < 0.6
        case = Case(hosts, (), domains, fail, rng.random() < 0.3, rng.choice((0, 1)) if live else 0)
        vms: list[Guest] = []
        for number in range(rng.randint(2, 5)):
            size = (rng.choice((1, 2, 3, 4)), rng.choice((1, 2, 6)) * GIB)
            now = rng.choice(case.places) if live and rng.random() < 0.9 else None
            vms.append(Guest(f"v{number}", size, rng.random() < 0.6, now))
        at = [vm.now for vm in vms]
        fits = min(min(room) for room in case.free(vms, at).values()) >= 0
        members = any(vm.member for vm in vms) or not case.only_members
        if fits and members and len(case.places) ** len(vms) <= MOST_PLACES:
            return dataclasses.replace(case, vms=tuple(vms))


def state(case: Case, plan: Plan, vms: Sequence[Guest]) -> list[Place | None]:
    """Return where a plan puts each VM."""
    planned = plan.vm_by_name
    return [
        None if vm.name not in planned else _place(planned[vm.name].host, min(planned[vm.name].cells[0].nodes))
        for vm in vms
    ]


def _place(host: str, node: int) -> Place:
    return int(host.rpartition("-")[2]), node


Found = tuple[list[str], bool | None]
"""What is wrong, and whether what is said is exact; None where nothing could be said."""


def solved(case: Case) -> Found:
    """Compare value and bound of a plan with its own failures and those of all plans; and have `check` look at it."""
    fleet = case.fleet()
    plan = solve_fleet(fleet, goals=("placed", "rules"), max_moves=case.max_moves, time_limit_s=60, rounds=4)
    best = case.least(case.vms, case.max_moves)
    wrong = [] if check(fleet, plan).ok else ["check refuses the plan"]
    if plan.unplaced:
        proven = plan.goal("placed").bound
        return ([*wrong, "VMs have a place"] if best is not None and proven else wrong), best is None
    lost = case.lost(case.vms, state(case, plan, case.vms))
    said = plan.summary["reserve"][0]
    value, bound, real, harmful = said["value"], said["bound"], max(lost), sum(one > 0 for one in lost)
    assert best is not None
    if said["proven"] and real:
        wrong.append(f"kept, and a failure loses {real}")
    if value is not None and value != real:
        wrong.append(f"value {value} of {real}")
    if bound > best:
        wrong.append(f"bound {bound} of {best}")
    if said["failures"] != len(lost) or (not said["unknown"] and said["harmful"] < harmful):
        wrong.append(f"{said['harmful']} of {said['failures']} failures, of {harmful} of {len(lost)}")
    # The goal counts VMs: so many at least have as many vCPUs as are lost in the best of all ways.
    rules, fewest = plan.goal("rules"), _fewest_vms(case, best)
    if rules.status == "optimal" and rules.value is not None and rules.value > fewest:
        wrong.append(f"rules are called optimal with {rules.value:g} VMs lost where {fewest} may be the fewest")
    false = {**said, "proven": True, "value": 0, "worst": None, "harmful": 0}
    claimed = dataclasses.replace(plan, summary={**plan.summary, "reserve": [false]})
    if _lacks(case, state(case, plan, case.vms)) and check(fleet, claimed).ok:
        wrong.append("check accepts a reserve for which there is too little in sum")
    return wrong, value == real == best and bound == best and said["harmful"] == harmful


def _fewest_vms(case: Case, vcpus: int) -> int:
    """Return how few VMs of those that need a place have so many vCPUs together."""
    sizes = sorted((vm.size[0] for vm in case.vms if vm.member or not case.only_members), reverse=True)
    return next(many for many in range(len(sizes) + 1) if sum(sizes[:many]) >= vcpus)


def _lacks(case: Case, at: Sequence[Place | None]) -> bool:
    """Tell whether the hosts left by some failure have in sum less free than it takes."""
    free = case.free(case.vms, at)
    for gone in case.failures():
        left = [room for place, room in free.items() if place[0] not in gone]
        homeless = [
            vm.size
            for vm, where in zip(case.vms, at, strict=True)
            if where is not None and where[0] in gone and (vm.member or not case.only_members)
        ]
        if any(sum(size[part] for size in homeless) > sum(room[part] for room in left) for part in (0, 1)):
            return True
    return False


def more(case: Case) -> Found:
    """Compare the headroom of a flavor with the most copies that some places survive with."""
    fleet = case.fleet()
    plan = solve_fleet(fleet, goals=("placed", "rules"), max_moves=case.max_moves, time_limit_s=60, rounds=4)
    at = state(case, plan, case.vms)
    if plan.unplaced or any(case.lost(case.vms, at)):
        return [], None
    there = [dataclasses.replace(vm, now=where) for vm, where in zip(case.vms, at, strict=True)]
    wanted = wanted_flavor(parse_flavor(FLAVOR))
    size = (wanted.spec.vcpus, wanted.spec.memory_kib + wanted.spec.overhead_taken_kib)
    most = 0
    for number in range(1, MOST_COPIES + 1):
        copies = [Guest(f"n{n}", size, not case.only_members, None) for n in range(number)]
        if len(case.places) ** number > MOST_PLACES or case.least([*there, *copies], 0) != 0:
            break
        most = number
    now = settled(fleet, plan)
    (plain,) = headroom(now, [parse_flavor(FLAVOR)])
    found = ruled_headroom(now, wanted, plain, OPTIONS)
    if len(case.places) ** (most + 1) > MOST_PLACES:
        return [], None
    wrong = [f"{found.total} more of {most}"] if found.total > most else []
    if found.at_most is not None and found.at_most < most:
        wrong.append(f"at most {found.at_most} of {most}")
    return wrong, found.total == most


def bought(case: Case) -> Found:
    """Compare the fewest hosts of one shape with those that some places survive on, and let what is bought fail."""
    fleet = case.fleet(shape=True)
    vms = [dataclasses.replace(vm, now=None) for vm in case.vms]
    try:
        found = smallest_fleet(fleet, ["h-0"], time_limit_s=60)
    except PlacerError:
        return [], None
    many = round(found.cost)
    wrong = []
    sweep = sweep_failures(
        Variant(name="bought", fleet=found.fleet),
        found.plan,
        "host",
        OPTIONS,
        at_once=case.fail,
        members={"keep": "always"} if case.only_members else None,
    )
    if sweep.harmful or sweep.unknown:
        wrong.append("what is bought does not survive by whatif")
    whole = _bought(case, many)
    names = {host.name: number for number, host in enumerate(found.fleet.hosts)}
    planned = found.plan.vm_by_name
    at = [(names[planned[vm.name].host], min(planned[vm.name].cells[0].nodes)) for vm in vms]
    if max(whole.lost(vms, at)):
        wrong.append("what is bought does not survive")
    fewest = next(few for few in range(case.fail + 1, many + 1) if few == many or _holds(_bought(case, few), vms))
    if found.bound is not None and found.bound > fewest + 1e-6:
        wrong.append(f"bound {found.bound:g} of {fewest}")
    return wrong, many == fewest


def _bought(case: Case, many: int) -> Case:
    return dataclasses.replace(case, hosts=(case.hosts[0],) * many, domains=tuple(range(many)))


def _holds(case: Case, vms: Sequence[Guest]) -> bool:
    """Tell whether some places survive every failure; of too many to be tried it is taken that none do."""
    return len(case.places) ** len(vms) <= MOST_PLACES and case.least(vms, 0) == 0


def months(case: Case) -> Found:
    """Compare for three months of growth whether all VMs fit and every failure is survived."""
    fleet = case.fleet()
    wrong, exact = [], True
    for month in range(3):
        later = grown_fleet(fleet, GROWTH, month).vms[len(case.vms) :]
        known = {vm.name: vm for vm in case.vms}
        new = [
            Guest(
                vm.name,
                (vm.spec.vcpus, vm.spec.memory_kib),
                vm.spec.labels["keep"] == "always",
                None,
            )
            for vm in later
            if vm.name not in known
        ]
        everyone = [*case.vms, *new]
        if len(case.places) ** sum(vm.now is None for vm in everyone) > MOST_PLACES:
            break
        said = solve_month((fleet, GROWTH, OPTIONS), month)
        well = case.least(everyone, 0) == 0
        claimed = said["reserve"] is True and not said["unplaced"]
        if claimed and not well:
            wrong.append(f"month {month} survives")
        if said["proven"] and not claimed and well:
            wrong.append(f"month {month} is proven not to survive")
        exact = exact and claimed is well
        if not claimed:
            break
    return wrong, exact


VERBS: dict[str, Callable[[Case], Found]] = {
    "solve and check": solved,
    "headroom": more,
    "minfleet": bought,
    "runway": months,
}


def rows_of(seed: int) -> Iterator[Row]:
    """Yield a row a verb for one fleet."""
    case = drawn(seed)
    for name, verb in VERBS.items():
        began = time.monotonic()
        wrong, exact = verb(case)
        yield {
            "method": name,
            "instance": "small fleet",
            "seed": seed,
            "seconds": time.monotonic() - began,
            "status": "wrong" if wrong else "unknown" if exact is None else "exact" if exact else "not exact",
            "wrong": "; ".join(wrong) or None,
            "case": case.text() if wrong else None,
        }


def _measure(job: Job) -> Iterator[Row]:
    each = 1 if job.size == SMOKE else 20
    for seed in job.seeds:
        for number in range(each):
            yield from rows_of(each * seed + number)


SPEC = Spec(
    name="reserves",
    about="Is what every verb says of failures what counting all places and all failures says?",
    sizes={"small": "20 fleets a seed of up to five hosts and five VMs", SMOKE: "one fleet a seed"},
    measure=_measure,
)
