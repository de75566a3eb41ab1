"""Rolling maintenance: waves of hosts that are emptied together, until every one has been empty once.

Each wave is planned from the state that the one before leaves: its hosts are drained with few moves, all rules and
reserves are kept, and its moves are ordered. Arrivals go to hosts that are done already where that is possible, so that
few VMs move twice.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from placer.errors import ImpossibleError, InputError, NothingFoundError
from placer.measure.as_now import as_now
from placer.model.fleet import Fleet
from placer.model.plan import Change, Plan
from placer.model.rules import Rule, RuleKind, drain_of
from placer.model.sets import known_nodes
from placer.model.vm import Movable
from placer.moves.model import MoveLimits, Schedule
from placer.moves.schedule import schedule_moves
from placer.options import SolveOptions
from placer.planner import solve_with
from placer.planning.after import fleet_after
from placer.whatif.takers import parts

GOALS = ("placed", "rules", "moves")
TOLERANCE = 1e-6
SLACK_MOVES = 8
"""Moves of other VMs that a wave may take to make room."""
_LEAVES = "placer.leaves"
_WAITS = "placer.waits"

OnWave = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class MaintenanceWave:
    """One wave: hosts that are empty together, the moves that empty them, and the fleet afterwards.

    `reserve` tells whether the reserve rules are kept while these hosts are out; None where there are none. `moves` are
    VMs that change host, each time they do; `plan` is of the hosts among which VMs move, the only ones that change;
    `before` is the fleet that the schedule starts from, `away` the one while the hosts are empty. `home` brings the VMs
    back from there, where they go home; `after` then is as it was before.
    """

    hosts: tuple[str, ...]
    schedule: Schedule
    plan: Plan
    before: Fleet
    away: Fleet
    after: Fleet
    moves: int
    reserve: bool | None
    home: Schedule | None = None

    @property
    def minutes(self) -> float | None:
        """Copying time, that of the way home too; None where no bandwidth was given."""
        if self.home is None or self.schedule.minutes is None or self.home.minutes is None:
            return self.schedule.minutes
        return self.schedule.minutes + self.home.minutes


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintenance:
    """All waves, and what is proven of them.

    Attributes
    ----------
    waves_bound, moves_bound : no maintenance of the hosts that can be emptied takes fewer waves (of at most `parallel`
        hosts), or moves.
    moved_twice : VMs that leave a host more than once.
    stuck : host -> why it cannot be emptied.
    """

    waves: tuple[MaintenanceWave, ...]
    waves_bound: int
    moves_bound: int
    moved_twice: int
    stuck: dict[str, str]

    @property
    def moves(self) -> int:
        """Moves of all waves."""
        return sum(wave.moves for wave in self.waves)


def maintain(
    fleet: Fleet,
    hosts: Sequence[str],
    *,
    parallel: int = 1,
    return_home: bool = False,
    limits: MoveLimits | None = None,
    time_limit_s: float = 10.0,
    seed: int = 0,
    on_wave: OnWave | None = None,
) -> Maintenance:
    """Return waves in which each of these hosts is empty once.

    Parameters
    ----------
    parallel : most hosts that are empty together.
    return_home : VMs go back to where they were once their host is done, in the same wave; else they stay where a wave
        takes them.
    time_limit_s : for each plan that is tried.
    on_wave : told how many hosts are done, of how many.

    Raises
    ------
    InputError
        A host that the fleet lacks, or none at all.
    """
    unknown = [name for name in hosts if name not in fleet.host_by_name]
    if unknown or not hosts:
        raise InputError(
            f"there is no host {unknown[0]!r}" if unknown else "no host is to be maintained", field="--hosts"
        )
    stuck = _stuck(fleet, hosts)
    pending = [name for name in hosts if name not in stuck and not fleet.host_by_name[name].failed]
    wanted = len(pending)
    out = _Out(fleet)
    most = min(parallel, out.most(pending))
    state, waves = fleet, []
    moved: Counter[str] = Counter()
    if on_wave is not None:
        on_wave(0, wanted)
    while pending:
        pending, size = out.first_together(sorted(pending, key=_load_key(state)), most)
        wave, does, fails = None, 0, size + 1
        # As many as can be: where all cannot, half as many, and then between what does and what does not.
        while fails - does > 1:
            chosen, waiting = pending[:size], pending[size:]
            found = _wave(state, chosen, [] if return_home else waiting, limits, time_limit_s, seed)
            if found is not None and return_home:
                found = _and_home(found, limits)
            if found is not None:
                wave, does = _in_fleet(found, state), size
            else:
                fails = size
            size = (does + fails) // 2
        if wave is None:
            back = " and brings its VMs back" if return_home else ""
            stuck[pending[0]] = f"no plan was found that empties it{back} and keeps every rule and reserve"
            del pending[0]
            continue
        waves.append(wave)
        pending = [name for name in pending if name not in wave.hosts]
        moved.update(_moving(wave.plan))
        state = wave.after
        if on_wave is not None:
            on_wave(wanted - len(pending), wanted)
    done = [name for wave in waves for name in wave.hosts]
    moves_bound = sum(vm.current is not None and vm.current.host in set(done) for vm in fleet.vms)
    return Maintenance(
        waves=tuple(waves),
        waves_bound=out.fewest_waves(done, parallel),
        moves_bound=2 * moves_bound if return_home else moves_bound,
        moved_twice=sum(times > 1 for times in moved.values()),
        stuck=stuck,
    )


def _moving(plan: Plan) -> list[str]:
    """Return the VMs that change host."""
    return [vm.name for vm in plan.vms if vm.from_host is not None and vm.from_host != vm.host]


def _stuck(fleet: Fleet, hosts: Sequence[str]) -> dict[str, str]:
    """Return the hosts with VMs that never leave, and who they are."""
    wanted = set(hosts)
    held: dict[str, list[str]] = {}
    for vm in fleet.vms:
        if vm.current is not None and vm.current.host in wanted and vm.movable is Movable.NO:
            held.setdefault(vm.current.host, []).append(vm.name)
    return {
        host: f"{', '.join(names[:3])}{f' and {len(names) - 3} more' if len(names) > 3 else ''} cannot move"
        for host, names in held.items()
    }


def _load_key(fleet: Fleet) -> Callable[[str], tuple[int, str]]:
    """Return a key by which the emptiest hosts come first."""
    load: Counter[str] = Counter()
    for vm in fleet.vms:
        if vm.current is not None:
            load[vm.current.host] += vm.spec.memory_kib
    return lambda name: (load[name], name)


class _Out:
    """How many hosts can be out together while the others have the CPUs and memory for all VMs, and for a failure.

    Of each resource the hosts that are out have no more than all have beyond what VMs ask for, and beyond what the
    largest of the others have that a reserve over hosts lets fail besides.
    """

    def __init__(self, fleet: Fleet) -> None:
        there = [vm for vm in fleet.vms if vm.current is not None]
        working = [host for host in fleet.hosts if not host.failed]
        ratio = max((host.cpu_ratio for host in working), default=1.0)
        asked: dict[str, float] = defaultdict(float)
        for vm in there:
            pins, bound = vm.current.pins if vm.current is not None else {}, known_nodes(vm) is not None
            for vcpu in range(vm.spec.vcpus):
                # Shared vCPUs count as if all ran where most of them share a CPU, and only those that are online.
                own = vm.spec.is_dedicated(vcpu) and (bound or len(pins.get(vcpu, ())) == 1)
                if vm.current is not None and (own or vm.spec.is_online(vcpu)):
                    asked[vm.current.host] += 1 if own else 1 / ratio
        # A host that carries more than it has may go on doing so.
        cpus = {host.name: max(float(len(host.usable_cpus)), asked[host.name]) for host in working}
        memory = {
            host.name: host.memory_ratio * sum(node.memory_kib for node in host.topology.nodes) for host in working
        }
        spare = (
            sum(cpus.values()) - sum(asked.values()),
            sum(memory.values()) - sum(vm.spec.memory_kib for vm in there),
        )
        self.resources = tuple(zip((cpus, memory), spare, strict=True))
        reserves = [rule for rule in fleet.rules if rule.kind is RuleKind.RESERVE and not rule.holds]
        self.fail = max((one.fail for one in reserves if one.scope == "host" and one.members is None), default=0)

    def _allowed(self, room: dict[str, float], spare: float, out: int) -> float:
        """Return what so many hosts that are out have together at most, whichever they are."""
        others = sorted(room.values(), reverse=True)[out : out + self.fail]
        return spare - sum(others) + TOLERANCE

    def most(self, hosts: Sequence[str]) -> int:
        """Return how many of these hosts can be out at once at most: the smallest are the most that can."""
        best = len(hosts)
        for room, spare in self.resources:
            sizes = sorted(room[name] for name in hosts)
            # What fails besides is taken for small, as if the largest were out: of so many hosts no fewer can be.
            while best and sum(sizes[:best]) > self._allowed(room, spare, best):
                best -= 1
        return best

    def first_together(self, hosts: Sequence[str], most: int) -> tuple[list[str], int]:
        """Return the hosts so that the first of them can be out together, and how many these are: large ones with what
        fits beside them; of hosts alike the first.
        """
        if most < 2:
            return list(hosts), 1
        left = [self._allowed(room, spare, 0) for room, spare in self.resources]
        first: list[str] = []
        largest = max((room for room, _ in self.resources), key=lambda room: len(set(room.values())))
        for name in sorted(hosts, key=lambda name: -largest[name]):
            takes = [room[name] for room, _ in self.resources]
            if len(first) < most and all(size <= rest for size, rest in zip(takes, left, strict=True)):
                first.append(name)
                left = [rest - size for size, rest in zip(takes, left, strict=True)]
        return [*first, *(name for name in hosts if name not in first)], max(1, len(first))

    def fewest_waves(self, hosts: Sequence[str], parallel: int) -> int:
        """Return how many waves of at most so many hosts these take at least."""
        most = min(parallel, self.most(hosts))
        if not hosts or not most:
            return len(hosts)
        packed = [
            fewest_bins([room[name] for name in hosts], self._allowed(room, spare, most))
            for room, spare in self.resources
        ]
        return max(math.ceil(len(hosts) / most), *packed)


def fewest_bins(sizes: Sequence[float], capacity: float) -> int:
    """Return how many bins items take at least: those above half of a bin each take their own (Martello and Toth's L2).

    Items larger than a bin count as one that fills it.
    """
    items = [min(size, capacity) for size in sizes]
    if capacity <= 0:
        return len(items)
    best = 0
    for least in {0.0, *(size for size in items if size <= capacity / 2)}:
        alone = sum(size > capacity - least for size in items)
        large = [size for size in items if capacity / 2 < size <= capacity - least]
        small = sum(size for size in items if least <= size <= capacity / 2)
        over = small - (len(large) * capacity - sum(large))
        best = max(best, alone + len(large) + max(0, math.ceil(over / capacity - TOLERANCE)))
    return best


def _wave(
    fleet: Fleet,
    chosen: Sequence[str],
    waiting: Sequence[str],
    limits: MoveLimits | None,
    time_limit_s: float,
    seed: int,
) -> MaintenanceWave | None:
    """Return a wave that empties these hosts; None where no plan was found that does and keeps what is to be kept."""
    leaving = {vm.name for vm in fleet.vms if vm.current is not None and vm.current.host in set(chosen)}
    drains = tuple(drain_of(name, fleet.host_by_name[name].labels) for name in chosen)
    # Who moves now had better not move again: first without the hosts that are still to come.
    for spared in [waiting, []] if waiting and leaving else [[]]:
        for part in parts(fleet, chosen, spared):
            among = part.host_by_name
            asked = _marked(part, leaving, [name for name in spared if name in among])
            asked = dataclasses.replace(asked, rules=(*asked.rules, *drains), digest="")
            try:
                most = len(leaving) + SLACK_MOVES
                plan = solve_with(
                    asked, SolveOptions(goals=GOALS, max_moves=most, time_limit_s=time_limit_s, seed=seed)
                )
            except (ImpossibleError, NothingFoundError):
                continue
            if plan.unplaced or any(vm.host in set(chosen) for vm in plan.vms):
                continue
            said = plan.summary.get("reserve")
            kept = None if said is None else all(one["proven"] for one in said)
            rules = plan.goal("rules")
            if kept is False or (spared and rules.value):
                continue
            schedule = schedule_moves(part, plan, limits)
            if schedule.blocked or (len(chosen) > 1 and any(not rule.by_any for rule in schedule.broken)):
                continue
            return MaintenanceWave(
                hosts=tuple(chosen),
                schedule=schedule,
                plan=plan,
                before=part,
                away=(after := fleet_after(part, plan)),
                after=after,
                moves=len(_moving(plan)),
                reserve=kept,
            )
    return None


def _in_fleet(wave: MaintenanceWave, fleet: Fleet) -> MaintenanceWave:
    """Return the wave with the whole fleet around the part that was planned."""
    if len(wave.before.hosts) == len(fleet.hosts):
        return wave

    def around(part: Fleet) -> Fleet:
        planned = part.vm_by_name
        return dataclasses.replace(fleet, vms=tuple(planned.get(vm.name, vm) for vm in fleet.vms), digest="")

    return dataclasses.replace(wave, before=fleet, away=around(wave.away), after=around(wave.after))


def _and_home(wave: MaintenanceWave, limits: MoveLimits | None) -> MaintenanceWave | None:
    """Return the wave with the way back of all that it changes; None where that has no order, or where a VM was is not
    known well enough to bring it there again.
    """
    known, hosts = wave.before.vm_by_name, wave.before.host_by_name
    homes, came = [], set()
    for vm in wave.plan.vms:
        was = known[vm.name]
        if was.current is None or hosts[was.current.host].failed:
            # It had no home to go back to: where the wave put it, it stays.
            homes.append(dataclasses.replace(vm, change=Change.NONE, from_host=None))
            came.add(vm.name)
            continue
        home = as_now(was, hosts[was.current.host])
        if home is None and not vm.change.stays:
            return None
        left = None if vm.from_host is None else vm.host
        homes.append(vm if home is None else dataclasses.replace(home, change=vm.change, from_host=left))
    plan = dataclasses.replace(wave.plan, vms=tuple(homes), goals=(), summary={}, certificate=None)
    schedule = schedule_moves(wave.away, plan, limits)
    if schedule.blocked:
        return None
    away = wave.away.vm_by_name
    vms = tuple(away[vm.name] if vm.name in came else vm for vm in wave.before.vms)
    after = dataclasses.replace(wave.before, vms=vms, digest="") if came else wave.before
    back = sum(name not in came for name in _moving(wave.plan))
    return dataclasses.replace(wave, home=schedule, after=after, moves=wave.moves + back)


def _marked(fleet: Fleet, leaving: set[str], spared: Sequence[str]) -> Fleet:
    """Return the fleet with a rule that keeps VMs that leave a host off hosts that are still to be emptied."""
    if not spared:
        return fleet
    off = set(spared)
    vms = tuple(
        dataclasses.replace(vm, spec=dataclasses.replace(vm.spec, labels={**vm.spec.labels, _LEAVES: "true"}))
        if vm.name in leaving
        else vm
        for vm in fleet.vms
    )
    hosts = tuple(
        dataclasses.replace(host, labels={**host.labels, _WAITS: "true"}) if host.name in off else host
        for host in fleet.hosts
    )
    rule = Rule(kind=RuleKind.OUTSIDE, members={_LEAVES: "true"}, hosts={_WAITS: "true"})
    return dataclasses.replace(fleet, vms=vms, hosts=hosts, rules=(*fleet.rules, rule), digest="")
