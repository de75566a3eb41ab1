"""Rolling maintenance: waves of hosts that are emptied together, until every one has been empty once.

Each wave is planned from the state that the one before leaves: its hosts are drained with few moves, all rules and
reserves are kept, and its moves are ordered. Arrivals go to hosts that are done already where that is possible, so that
few VMs move twice.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from placer.errors import ImpossibleError, InputError, NothingFoundError
from placer.measure.as_now import as_now
from placer.model.fleet import Fleet
from placer.model.plan import Change, Plan
from placer.model.rules import Rule, RuleKind, drain_of
from placer.model.vm import Movable
from placer.moves.model import MoveLimits, Schedule
from placer.moves.schedule import schedule_moves
from placer.options import SolveOptions
from placer.planner import solve_with
from placer.planning.after import fleet_after
from placer.whatif.out_together import OutTogether
from placer.whatif.takers import parts

GOALS = ("placed", "rules", "moves")
TOLERANCE = 1e-6
SLACK_MOVES = 8
"""Moves of other VMs that a wave may take to make room."""
_LEAVES = "placer.leaves"
_WAITS = "placer.waits"
_SOON = "placer.soon"

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


_Wave = MaintenanceWave | None
_Course = tuple[list[MaintenanceWave], list[str]]


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
    out = OutTogether(fleet)
    most = min(parallel, out.most(pending))

    def course(*, many_first: bool) -> _Course:
        def wave_of(state: Fleet, chosen: Sequence[str], waiting: Sequence[str], soon: Sequence[str]) -> _Wave:
            off = _Off((), ()) if return_home else _Off(tuple(waiting), tuple(soon))
            found = _wave(state, chosen, off, limits, time_limit_s, seed)
            return _and_home(found, limits) if found is not None and return_home else found

        return _course(fleet, pending, out, most, wave_of, on_wave, many_first=many_first)

    # Few moves come from first waves that are small; where they cost a wave, as many go first as can.
    waves, left = course(many_first=return_home)
    done = [name for wave in waves for name in wave.hosts]
    if not return_home and most > 1 and len(waves) > out.fewest_waves(done, parallel):
        other = course(many_first=True)
        waves, left = min((waves, left), other, key=lambda one: (len(one[1]), len(one[0]), _moves(one[0])))
        done = [name for wave in waves for name in wave.hosts]
    back = " and brings its VMs back" if return_home else ""
    stuck |= dict.fromkeys(left, f"no plan was found that empties it{back} and keeps every rule and reserve")
    moved = Counter(name for wave in waves for name in _moving(wave.plan))
    moves_bound = sum(vm.current is not None and vm.current.host in set(done) for vm in fleet.vms)
    return Maintenance(
        waves=tuple(waves),
        waves_bound=out.fewest_waves(done, parallel),
        moves_bound=2 * moves_bound if return_home else moves_bound,
        moved_twice=sum(times > 1 for times in moved.values()),
        stuck=stuck,
    )


def _moves(waves: Sequence[MaintenanceWave]) -> int:
    return sum(wave.moves for wave in waves)


def _course(
    fleet: Fleet,
    hosts: Sequence[str],
    out: OutTogether,
    most: int,
    wave_of: Callable[[Fleet, Sequence[str], Sequence[str], Sequence[str]], _Wave],
    on_wave: OnWave | None,
    *,
    many_first: bool,
) -> _Course:
    """Return waves of these hosts, at most so many in each, and the hosts that no plan was found to empty."""
    state, pending = fleet, list(hosts)
    waves: list[MaintenanceWave] = []
    stuck: list[str] = []
    if on_wave is not None:
        on_wave(0, len(hosts))
    while pending:
        group = out.next_group(state, pending, most, many_first=many_first)
        pending = [*group.hosts, *(name for name in pending if name not in group.hosts)]
        size = len(group.hosts)
        wave, does, fails = None, 0, size + 1
        # As many as can be: where all cannot, half as many, and then between what does and what does not.
        while fails - does > 1:
            found = wave_of(state, pending[:size], pending[size:], group.soon)
            if found is not None:
                wave, does = _in_fleet(found, state), size
            else:
                fails = size
            size = (does + fails) // 2
        if wave is None:
            stuck.append(pending.pop(0))
            continue
        waves.append(wave)
        pending = [name for name in pending if name not in wave.hosts]
        state = wave.after
        if on_wave is not None:
            on_wave(len(hosts) - len(pending), len(hosts))
    return waves, stuck


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


@dataclass(frozen=True, slots=True)
class _Off:
    """Hosts to which who leaves had better not come: all that are still to be emptied, and those that are soon."""

    waiting: tuple[str, ...]
    soon: tuple[str, ...]


def _wave(
    fleet: Fleet,
    chosen: Sequence[str],
    off: _Off,
    limits: MoveLimits | None,
    time_limit_s: float,
    seed: int,
) -> MaintenanceWave | None:
    """Return a wave that empties these hosts; None where no plan was found that does and keeps what is to be kept."""
    leaving = {vm.name for vm in fleet.vms if vm.current is not None and vm.current.host in set(chosen)}
    drains = tuple(drain_of(name, fleet.host_by_name[name].labels) for name in chosen)
    # Who moves now had better not move again: nobody to the hosts that are still to come, then as few there as can
    # be; others move on the way only where it must be.
    tries = [(off.waiting, 0), ((), 0), ((), SLACK_MOVES)]
    for spared, slack in tries if off.waiting and leaving else tries[2:]:
        for part in parts(fleet, chosen, spared):
            asked = _marked(part, leaving, off, hard=bool(spared))
            asked = dataclasses.replace(asked, rules=(*asked.rules, *drains), digest="")
            try:
                most = len(leaving) + slack
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


def _marked(fleet: Fleet, leaving: set[str], off: _Off, *, hard: bool) -> Fleet:
    """Return the fleet with a rule that keeps VMs that leave a host off hosts that are still to be emptied; where it is
    not `hard` as many as can be, and most of all off those that are emptied soon.
    """
    waiting, soon = (set(names) & set(fleet.host_by_name) for names in (off.waiting, off.soon))
    if not waiting or not leaving:
        return fleet
    vms = tuple(
        dataclasses.replace(vm, spec=dataclasses.replace(vm.spec, labels={**vm.spec.labels, _LEAVES: "true"}))
        if vm.name in leaving
        else vm
        for vm in fleet.vms
    )
    hosts = tuple(
        dataclasses.replace(
            host, labels={**host.labels, _WAITS: "true", **({_SOON: "true"} if host.name in soon else {})}
        )
        if host.name in waiting
        else host
        for host in fleet.hosts
    )
    rule = Rule(kind=RuleKind.OUTSIDE, members={_LEAVES: "true"}, hosts={_WAITS: "true"})
    if hard:
        rules = [rule]
    else:
        # Below what the fleet itself would rather have.
        lowest = min((one.priority for one in fleet.rules if one.is_soft), default=0) - 1
        rules = [dataclasses.replace(rule, weight=1, priority=lowest)]
        if soon:
            rules.append(dataclasses.replace(rules[0], hosts={_SOON: "true"}))
    return dataclasses.replace(fleet, vms=vms, hosts=hosts, rules=(*fleet.rules, *rules), digest="")
