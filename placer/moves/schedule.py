"""The order in which a plan is carried out: waves of steps that all fit when they are made.

First changes inside hosts, then moves as room appears. Where VMs wait for each other in a circle, CPUs that are still
taken are passed over other ones, and as few VMs as can be found are put aside for a while.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from placer.errors import InputError
from placer.measure.moved import is_present
from placer.measure.rule_excess import RuleIndex, rule_index
from placer.model.fleet import Fleet
from placer.model.plan import Plan, PlanVm
from placer.model.units import count
from placer.model.vm import Vm
from placer.moves.broken import broken_rules
from placer.moves.cores import apart_bound
from placer.moves.graph import SEARCHED_TASKS, Found, knots, put_all, search, stuck_for_good, waits_for
from placer.moves.kept_rules import KeptRules
from placer.moves.model import Blocked, Broken, Cycle, MoveLimits, Place, Schedule, StepKind
from placer.moves.park import Parking
from placer.moves.places import NOTHING, ClaimMaker, Claims, place_planned
from placer.moves.reserves import ReserveWatch
from placer.moves.state import Board, blockers
from placer.moves.stops import cut, marked
from placer.moves.untie import Untier
from placer.moves.waves import Task, Waves

TRIED_AGAIN = 4
"""Orders tried where the first one puts more VMs aside than proven necessary..."""
TRIED_AGAIN_TASKS = 400
"""... in schedules of at most so many steps."""
WATCHED_TASKS = 24
"""Of plans of at most so many steps other orders are tried where one does not keep room for failures."""
_LARGE_CYCLE = 40
_FEWER_STATES = 300


def schedule_moves(
    fleet: Fleet, plan: Plan, limits: MoveLimits | None = None, *, window_minutes: float | None = None
) -> Schedule:
    """Return the order in which to carry out a plan that `check` accepts.

    Parameters
    ----------
    limits
        What may be under way at once on a host; two moves where nothing is said.
    window_minutes
        Stop at the last point within so many minutes of copying where no VM is put aside; the rest is `remaining`.

    Raises
    ------
    InputError
        A limit is not above zero, a window without a bandwidth, or a plan that names what the fleet lacks.
    """
    limits = limits or MoveLimits()
    _check_limits(limits, window_minutes)
    start = _Start.of(fleet, plan)
    cycles = start.cycles()
    bound = sum(cycle.fewest_parkings for cycle in cycles)
    best = start.attempt(limits, None)
    if (_falls_short(best) or best.parking_moves > bound) and len(start.tasks) <= TRIED_AGAIN_TASKS:
        for seed in range(TRIED_AGAIN):
            other = start.attempt(limits, seed)
            if _rank(other) < _rank(best):
                best = other
            if not _falls_short(best) and best.parking_moves == bound:
                break
    if _falls_short(best) or best.parking_moves > bound:
        searched = start.searched(limits)
        if searched is not None and _rank(searched) < _rank(best):
            best = searched
    best = start.with_room_kept(best, limits)
    if any(not rule.by_any for rule in best.broken):
        bound = min(bound, best.parking_moves)
    best = replace(best, parking_bound=bound, cycles=cycles, notes=tuple(start.notes()))
    return best if window_minutes is None else cut(best, window_minutes)


def cyclic_moves(fleet: Fleet, plan: Plan) -> tuple[Cycle, ...]:
    """Return the moves of a plan that wait for each other in circles, whatever the order.

    Every VM of a cycle waits for room that another one of it holds, even where all other moving VMs are thought away.
    A plan without cycles may still need VMs put aside, where room is so scarce that no order works.
    """
    return _Start.of(fleet, plan).cycles()


def _falls_short(schedule: Schedule) -> bool:
    """Tell whether VMs have no order, or a rule is broken that another order might keep."""
    return bool(schedule.blocked) or any(not rule.by_any for rule in schedule.broken)


def _rank(schedule: Schedule) -> tuple[int, int, int, int]:
    broken = sum(not rule.by_any for rule in schedule.broken)
    return len(schedule.blocked), broken, schedule.parking_moves, len(schedule.waves)


@dataclass(frozen=True, slots=True)
class _Start:
    """What every attempt starts from."""

    fleet: Fleet
    index: RuleIndex
    maker: ClaimMaker
    residents: dict[str, list[tuple[str, Place]]]
    tasks: tuple[Task, ...]
    changing: Sequence[int]

    @classmethod
    def of(cls, fleet: Fleet, plan: Plan) -> _Start:
        index = rule_index(fleet)
        planned = plan.vm_by_name
        strangers = [name for name in planned if name not in fleet.vm_by_name]
        strangers += sorted({vm.host for vm in plan.vms if vm.host not in fleet.host_by_name})
        if strangers:
            raise InputError(
                f"the plan names {strangers[0]!r}, which the fleet lacks", cure="give the plan's own fleet"
            )
        kinds = {
            vm.name: kind
            for vm in fleet.vms
            if vm.name in planned and (kind := _kind(vm, planned[vm.name], is_present(fleet, vm))) is not None
        }
        changing = [number for number, vm in enumerate(fleet.vms) if vm.name in kinds]
        maker = ClaimMaker(fleet=fleet, domains=KeptRules.of(fleet, index, changing).needs_nodes)
        residents: dict[str, list[tuple[str, Place]]] = {}
        tasks = []
        for vm in fleet.vms:
            target = planned.get(vm.name)
            present = is_present(fleet, vm)
            kind = kinds.get(vm.name)
            now = None
            if present:
                # A VM that stays is taken as planned: the plan knows its devices.
                now = maker.now(vm) if kind is not None or target is None else _planned(fleet, vm, target)
                residents.setdefault(now.host, []).append((vm.name, now))
            if kind is not None and target is not None:
                place = _planned(fleet, vm, target)
                tasks.append(
                    Task(
                        vm=vm,
                        kind=kind,
                        source=None if now is None else (now, maker.claims(vm, now)),
                        target=(place, maker.claims(vm, place)),
                    )
                )
        return cls(fleet, index, maker, residents, tuple(tasks), changing)

    def board(self) -> Board:
        """Return the fleet as it is before anything is done."""
        return Board(fleet=self.fleet, maker=self.maker, residents=self.residents, rules=self.rules())

    def rules(self) -> KeptRules:
        """Return the rules that the steps are to keep, with every VM where it is at the start."""
        rules = KeptRules.of(self.fleet, self.index, self.changing)
        for host, there in self.residents.items():
            for name, place in there:
                if rules.ties(name):
                    nodes = rules.needs_nodes
                    rules.add(name, host, self.maker.claims(self.fleet.vm_by_name[name], place) if nodes else NOTHING)
        rules.begin()
        return rules

    def ends(self) -> dict[str, tuple[str, Claims]]:
        """Return where the VMs that change are in the end, and what they take there."""
        return {task.name: (task.host, task.target[1]) for task in self.tasks}

    def with_room_kept(self, best: Schedule, limits: MoveLimits) -> Schedule:
        """Return the schedule, or another one that keeps room for failures where this one does not; what is not kept on
        the way is named.
        """
        tasks = [(task.vm, task.kind, task.target[0]) for task in self.tasks]
        watch = ReserveWatch.of(self.fleet) if best.waves else None
        if watch is None or watch.always_kept(tasks) or (watch := watch.without_broken()) is None:
            return best
        broken = watch.broken_in(best.waves)
        # What the moves leave broken no order mends.
        mendable = any(rule.mended for rule in broken) and len(tasks) <= WATCHED_TASKS
        for seed in (None, *range(TRIED_AGAIN)) if mendable else ():
            other = self.attempt(limits, seed, watch.again())
            found = watch.broken_in(other.waves)
            if (*_rank(other)[:2], len(found)) < (*_rank(best)[:2], len(broken)):
                best, broken = other, found
            if not broken:
                break
        both = (*best.broken, *broken)
        return replace(best, broken=both, waves=marked(best.waves, both))

    def attempt(self, limits: MoveLimits, seed: int | None, watch: ReserveWatch | None = None) -> Schedule:
        """Return a schedule; with a seed steps that could go at the same time are tried in another order, and with a
        watch each begins only where room for failures is kept.
        """
        rng = None if seed is None else random.Random(seed)
        wanted: dict[str, int] = {}
        for task in self.tasks:
            wanted[task.host] = wanted.get(task.host, 0) + 1
        tasks = []
        for task in self.tasks:
            # Who leaves a host that others wait for goes first.
            order = -wanted.get(task.source_host or "", 0) if rng is None else rng.random()
            tasks.append(replace(task, order=order, _change=None))
        board = self.board()
        waves = Waves(board=board, limits=limits, watch=watch)
        large = [task for task in tasks if limits.per_host_gib is not None and task.memory_gib > limits.per_host_gib]
        left = [task for task in tasks if task not in large]
        untier = Untier(board=board, waves=waves, parking=Parking(board=board, index=self.index))
        left = waves.run([task for task in left if task.kind.in_host]) + [t for t in left if not t.kind.in_host]
        left = self._to_the_end(waves, untier, left)
        return self._schedule(untier, [_too_large(task, limits) for task in large], left)

    def _to_the_end(self, waves: Waves, untier: Untier, left: list[Task]) -> list[Task]:
        """Make waves until nothing is left that can be made; return what is left.

        Rules that every order breaks are given up when nothing else can go, and others when no VM put aside helps.
        """
        board = waves.board
        never = board.rules.never_kept(self.ends())
        while left:
            left = waves.run(left)
            if not left:
                break
            if (watch := waves.watch) is not None and any(
                board.fits(task.host, task.name, task.change(board).gain)
                and watch.refuses(task.vm, task.kind, task.target[0])
                for task in left
            ):
                watch.let_go = 1
                continue
            waiting = [rules for task in left if (rules := _rules_lacking(board, task))]
            given = never & set[int]().union(*waiting)
            more = None if given else untier.untie(left)
            if more is not None:
                left = more
                continue
            if not given and waiting:
                # That which most wait for, with nothing else in their way.
                votes = Counter(rule for rules in waiting for rule in rules if len(rules) == 1) or Counter(waiting[0])
                given = {min(votes, key=lambda rule: (-votes[rule], rule))}
            if not given:
                break
            board.rules.given_up |= given
        return left

    def _schedule(self, untier: Untier, blocked: Sequence[Blocked], left: Sequence[Task]) -> Schedule:
        """Return what waves were made, and what is wrong with them."""
        board, waves = untier.board, untier.waves.waves
        broken: tuple[Broken, ...] = ()
        if board.rules.given_up:
            rules = self.rules()
            never = rules.never_kept(self.ends())
            rules.given_up = set(board.rules.given_up)
            broken = broken_rules(rules, self.maker, waves, never)
        blocked = [*blocked, *(_blocked(board, task) for task in left)]
        return Schedule(
            waves=marked(waves, broken),
            parking_moves=untier.parked,
            blocked=tuple(sorted(blocked, key=lambda entry: entry.vm)),
            broken=broken,
        )

    def searched(self, limits: MoveLimits) -> Schedule | None:
        """Return the schedule of an order of all moves together with the fewest put aside; None where they are too many
        to search, or none is found. Who goes as soon as it can may take the room that others need to go at all.
        """
        moves = [task for task in self.tasks if task.kind is not StepKind.REPIN]
        large = limits.per_host_gib is not None and any(task.memory_gib > limits.per_host_gib for task in moves)
        if len(moves) > SEARCHED_TASKS or large:
            return None
        board = self.board()
        waves, parking = Waves(board=board, limits=limits), Parking(board=board, index=self.index)
        untier = Untier(board=board, waves=waves, parking=parking)
        found = search(board, moves, parking)
        if not found.hops:
            return None
        left = waves.run([task for task in self.tasks if task.kind is StepKind.REPIN])
        done: dict[str, Task | None] = {}
        for hop in found.hops:
            task = done.get(moves[hop.task].name, moves[hop.task])
            if task is None:
                return None
            if task.name in done or not untier.make(task, hop, done):
                # A VM is in a wave once, and what does not fit beside all others' old places does when they are gone.
                waves.close()
                if not untier.make(task, hop, done):
                    return None
        waves.close()
        left += [task for task in done.values() if task is not None]
        return self._schedule(untier, (), self._to_the_end(waves, untier, left))

    def cycles(self) -> tuple[Cycle, ...]:
        """Return the cycles, each with how many VMs must be put aside at least."""
        board = self.board()
        stuck = stuck_for_good(board, self.tasks)
        if not stuck:
            return ()
        found = []
        for part, _ in knots(waits_for(board, stuck)):
            tied = [stuck[number] for number in part]
            others = [task for number, task in enumerate(stuck) if number not in set(part) and task.source is not None]
            put_all(board, others, -1)
            result = self._bound(board, tied)
            put_all(board, others, 1)
            if result.bound:
                found.append(
                    Cycle(
                        vms=tuple(sorted(task.name for task in tied)),
                        hosts=tuple(sorted(set().union(*(task.hosts for task in tied)))),
                        fewest_parkings=result.bound,
                        exact=result.cost is not None,
                    )
                )
        return tuple(found)

    def _bound(self, board: Board, tied: Sequence[Task]) -> Found:
        if len(tied) <= SEARCHED_TASKS:
            return search(board, tied, None)
        if len(tied) <= _LARGE_CYCLE:
            found = search(board, tied, None, states=_FEWER_STATES)
            if found.cost is not None:
                return found
            return replace(found, bound=max(found.bound, apart_bound(board, tied)))
        return Found(bound=apart_bound(board, tied), cost=None, hops=())

    def notes(self) -> Iterable[str]:
        """Yield what a person should know of what the schedule stands on."""
        unknown = [task.name for task in self.tasks if task.source is not None and not task.source[0].cells]
        if unknown:
            some = f"({unknown[0]!r}{' …' if unknown[1:] else ''})"
            who = count(len(unknown), "VM is", "VMs are")
            yield f"{who} on unknown nodes {some}: what is taken there now is not counted"


def _planned(fleet: Fleet, vm: Vm, planned: PlanVm) -> Place:
    return place_planned(vm, planned, fleet.host_by_name[planned.host].topology)


def _kind(vm: Vm, planned: PlanVm, present: bool) -> StepKind | None:
    """Return what has to be done to a VM; None for nothing."""
    if not present:
        return StepKind.START if vm.current is None else StepKind.RESTART
    return None if planned.change.stays else StepKind(planned.change.value)


def _check_limits(limits: MoveLimits, window_minutes: float | None) -> None:
    for name, value in (
        ("--at-once", limits.per_host),
        ("--at-once-gib", limits.per_host_gib),
        ("--bandwidth", limits.bandwidth_gib_s),
        ("--window", window_minutes),
    ):
        if value is not None and not value > 0:
            raise InputError(f"{value:g} is not above 0", field=name)
    if window_minutes is not None and limits.bandwidth_gib_s is None:
        raise InputError(
            "how much fits into a window depends on the network", field="--window", cure="give --bandwidth"
        )


def _too_large(task: Task, limits: MoveLimits) -> Blocked:
    return Blocked(
        vm=task.name,
        target=task.host,
        reason=f"its {task.memory_gib:g} GiB are more than the {limits.per_host_gib:g} GiB that may move at once",
        by=(),
    )


def _blocked(board: Board, task: Task) -> Blocked:
    lacking = board.lacks(task.host, task.name, task.change(board).gain)
    reason, names = blockers(lacking) if lacking else ("there is room only while others are put aside", ())
    return Blocked(vm=task.name, target=task.host, reason=reason, by=names)


def _rules_lacking(board: Board, task: Task) -> set[int]:
    return board.rules_lacking(task.host, task.name, task.change(board).gain)
