"""Untie steps that wait for each other: other CPUs for a while, or VMs put aside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from placer.moves.graph import SEARCHED_TASKS, Hop, knots, search, waits_for
from placer.moves.model import Place, StepKind
from placer.moves.park import Parking, hop_to
from placer.moves.places import Claims
from placer.moves.state import Board
from placer.moves.waves import Task, Waves


@dataclass(slots=True)
class Untier:
    """Makes the steps that let the others go on, and counts the VMs it puts aside."""

    board: Board
    waves: Waves
    parking: Parking
    parked: int = 0

    def untie(self, left: list[Task]) -> list[Task] | None:
        """Return the tasks still to be done after some steps that untie others; None where nothing helps.

        In this order: moves that lack only CPUs by number take passing ones; re-pins that wait for each other; VMs
        put aside; last any re-pin. A VM is helped so once at most, so this ends.
        """
        for chosen in (
            [task for task in left if task.kind is not StepKind.REPIN],
            self._circular_repins(left),
        ):
            eased = self._ease(left, chosen)
            if eased is not None:
                return eased
        aside = self._put_aside(left)
        if aside is not None:
            return aside
        return self._ease(left, [task for task in left if task.kind is StepKind.REPIN])

    def _circular_repins(self, left: Sequence[Task]) -> list[Task]:
        """Return the re-pins whose CPUs are held only by VMs that are to be re-pinned themselves."""
        repins = {task.name for task in left if task.kind is StepKind.REPIN}
        found = []
        for task in left:
            if task.name in repins:
                lacking = self.board.lacks(task.host, task.name, task.change(self.board).gain)
                if all(names <= repins for _, names in lacking):
                    found.append(task)
        return found

    def _ease(self, left: list[Task], chosen: Sequence[Task]) -> list[Task] | None:
        """Give passing CPUs to one task of each host that lacks nothing but CPUs by number.

        A re-pin shares CPUs instead where there are none, with VMs that are to be re-pinned themselves.
        """
        board, waves = self.board, self.waves
        done: dict[str, Task | None] = {}
        hosts: set[str] = set()
        repins = {task.name for task in left if task.kind is StepKind.REPIN}
        for task in sorted(chosen, key=lambda t: (t.vm.spec.vcpus, t.name)):
            gain = task.change(board).gain
            if task.host in hosts or not board.fits(task.host, task.name, gain, exact=False):
                continue
            if not waves.within_limits(task):
                continue
            place = None if task.eased else self.parking.passing_place(task)
            hop = None if place is None else replace(task, target=place, _change=None)
            if place is not None and hop is not None and board.fits(task.host, task.name, hop.change(board).gain):
                waves.begin(hop, passing=True)
                after = _from_there(task, place, StepKind.REPIN)
                done[task.name] = replace(after, eased=task.kind is StepKind.REPIN)
                hosts.add(task.host)
            elif task.kind is StepKind.REPIN:
                holders = set[str]().union(*(who for _, who in board.lacks(task.host, task.name, gain)))
                if holders <= repins:
                    waves.begin(task, shares=sorted(holders))
                    done[task.name] = None
                    hosts.add(task.host)
        if not done:
            return None
        waves.close()
        return _replaced(left, done)

    def _put_aside(self, left: list[Task]) -> list[Task] | None:
        """Put VMs aside: in small knots by search, so that the fewest are; in large ones one VM a knot."""
        parts = knots(waits_for(self.board, left))
        busy: set[str] = set()
        routes: list[tuple[list[Task], tuple[Hop, ...]]] = []
        for part, alone in sorted(parts, key=lambda item: not item[1]):
            tied = [left[number] for number in part]
            hosts = set().union(*(task.hosts for task in tied))
            if hosts & busy or not (alone or not routes):
                continue
            barred = frozenset(busy)
            hops = self._route(tied, barred)
            if hops:
                routes.append((tied, hops))
                busy |= hosts | {hop.where[0].host for hop in hops}
        return self._carry_out(left, routes) if routes else None

    def _route(self, tied: Sequence[Task], barred: frozenset[str]) -> tuple[Hop, ...]:
        if len(tied) <= SEARCHED_TASKS:
            found = search(self.board, tied, self.parking, barred=barred)
            if found.hops:
                return found.hops
        waiting: dict[str, list[Task]] = {}
        for task in tied:
            waiting.setdefault(task.host, []).append(task)
        crowd = {host: len(tasks) for host, tasks in waiting.items()}
        lets_in = [self._lets_in(task, waiting) for task in tied]
        order = sorted(
            range(len(tied)),
            key=lambda n: (-lets_in[n], -crowd.get(tied[n].source_host or "", 0), tied[n].memory_gib, tied[n].name),
        )
        for number in order:
            task = tied[number]
            if self.parking.may_park(task):
                place = next(self.parking.places(task, barred=barred, wanted=crowd), None)
                if place is not None:
                    return (Hop(task=number, where=place, last=False),)
        return ()

    def _lets_in(self, task: Task, waiting: Mapping[str, Sequence[Task]]) -> int:
        """Return how many of the waiting VMs fit on a VM's host, each for itself, once it is gone."""
        if task.source is None:
            return 0
        host, claims = task.source[0].host, task.source[1]
        board = self.board
        board.add(host, task.name, claims, -1)
        found = sum(
            board.fits(host, other.name, other.change(board).gain, exact=False)
            for other in waiting.get(host, ())
            if other is not task
        )
        board.add(host, task.name, claims, 1)
        return found

    def _carry_out(self, left: list[Task], routes: Sequence[tuple[list[Task], tuple[Hop, ...]]]) -> list[Task] | None:
        """Make the hops of all routes side by side, as far as they can be made with real CPUs."""
        done: dict[str, Task | None] = {}
        broken: set[int] = set()
        for turn in range(max(len(hops) for _, hops in routes)):
            for number, (tied, hops) in enumerate(routes):
                if turn >= len(hops) or number in broken:
                    continue
                hop = hops[turn]
                task = done.get(tied[hop.task].name, tied[hop.task])
                if task is None or not self.make(task, hop, done):
                    broken.add(number)
            self.waves.close()
        return _replaced(left, done) if done else None

    def make(self, task: Task, hop: Hop, done: dict[str, Task | None]) -> bool:
        """Begin a hop of a task if it fits in the open wave; `done` then holds what is left of the task."""
        if hop.last:
            if self._fits(task):
                self.waves.begin(task)
                done[task.name] = None
                return True
            place = None if task.eased else self.parking.passing_place(task)
            passing = None if place is None else replace(task, target=place, _change=None)
            if place is None or passing is None or not self._fits(passing):
                return False
            self.waves.begin(passing, passing=True)
            done[task.name] = _from_there(task, place, StepKind.REPIN)
            return True
        away = hop_to(task, hop.where)
        if not self._fits(away):
            return False
        self.waves.begin(away, parking=True)
        self.parked += 1
        done[task.name] = _from_there(task, hop.where, _kind_from(task, hop.where[0]))
        return True

    def _fits(self, task: Task) -> bool:
        return self.waves.within_limits(task) and self.board.fits(task.host, task.name, task.change(self.board).gain)


def _kind_from(task: Task, place: Place) -> StepKind:
    if task.kind is StepKind.RESTART:
        return StepKind.RESTART
    return StepKind.RENODE if place.host == task.host else StepKind.MIGRATE


def _from_there(task: Task, place: tuple[Place, Claims], kind: StepKind) -> Task:
    return replace(task, kind=kind, source=place, parked=True, _change=None)


def _replaced(left: Sequence[Task], done: dict[str, Task | None]) -> list[Task]:
    return [task for task in (done.get(task.name, task) for task in left) if task is not None]
