"""Cycles of moves: who waits for whom, how few VMs must be put aside, and a search that finds or proves it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from placer.moves.model import Place, StepKind
from placer.moves.park import Parking
from placer.moves.places import Claims, transition
from placer.moves.state import Board
from placer.moves.waves import Task

SEARCHED_TASKS = 7
"""Cycles of at most so many VMs are searched exhaustively: 3^7 states."""
SEARCHED_STATES = 2500
PLACES_TRIED = 3

Where = tuple[Place, Claims] | None


def waits_for(board: Board, tasks: Sequence[Task]) -> list[set[int] | None]:
    """Return, a task, the tasks whose VMs hold what it lacks; None where it lacks nothing. CPUs are only counted."""
    number = {task.name: n for n, task in enumerate(tasks)}
    found: list[set[int] | None] = []
    for task in tasks:
        lacking = board.lacks(task.host, task.name, task.change(board).gain, exact=False)
        found.append({number[name] for _, names in lacking for name in names if name in number} if lacking else None)
    return found


def knots(edges: Sequence[set[int] | None]) -> list[tuple[list[int], bool]]:
    """Return the strongly connected parts of a waits-for graph that hold themselves up, smallest first.

    Each with whether it waits for itself alone. Single tasks count only where they wait and for nobody else.
    """
    import networkx as nx

    graph: nx.DiGraph[int] = nx.DiGraph()
    graph.add_nodes_from(one for one, others in enumerate(edges) if others is not None)
    graph.add_edges_from(
        (one, other) for one, others in enumerate(edges) for other in others or () if edges[other] is not None
    )
    found = []
    for part in nx.strongly_connected_components(graph):
        alone = all(other in part for one in part for other in graph[one])
        if len(part) > 1 or alone:
            found.append((sorted(part), alone))
    return sorted(found, key=lambda item: (len(item[0]), item[0]))


def stuck_for_good(board: Board, tasks: Sequence[Task]) -> list[Task]:
    """Return the tasks that no order can make without putting VMs aside: they wait even if whoever can leave vanishes.

    On return the VMs of the other tasks are off the board. That these can go in this easier world does not promise that
    they can in the real one.
    """
    queues: dict[str, list[Task]] = {}
    for task in tasks:
        queues.setdefault(task.host, []).append(task)
    awake = list(queues)
    left: list[Task] = []
    while awake:
        again: dict[str, None] = {}
        for host in awake:
            rest = []
            for task in queues.get(host, ()):
                if board.fits(host, task.name, task.change(board).gain, exact=False, monotone=True):
                    if task.source is not None:
                        board.add(task.source[0].host, task.name, task.source[1], -1)
                        again[task.source[0].host] = None
                        if board.rules.ties(task.name):
                            again.update(dict.fromkeys(queues))
                else:
                    rest.append(task)
            queues[host] = rest
        awake = list(again)
    for queue in queues.values():
        left.extend(queue)
    return left


def put_all(board: Board, tasks: Iterable[Task], sign: int) -> None:
    """Put the VMs of tasks on the board where they come from, or take them off (`sign` −1)."""
    for task in tasks:
        if task.source is not None:
            board.add(task.source[0].host, task.name, task.source[1], sign)


@dataclass(frozen=True, slots=True)
class Hop:
    """One move of a search: a task (by its number), and where it goes; `last` says that this is its planned place."""

    task: int
    where: tuple[Place, Claims]
    last: bool


@dataclass(frozen=True, slots=True)
class Found:
    """What a search gave: no order has fewer VMs put aside than `bound`; `hops` is an order with `cost`, if any."""

    bound: int
    cost: int | None
    hops: tuple[Hop, ...]


def search(
    board: Board,
    tasks: Sequence[Task],
    parking: Parking | None,
    *,
    barred: frozenset[str] = frozenset(),
    states: int = SEARCHED_STATES,
) -> Found:
    """Search for an order of these tasks with the fewest VMs put aside; all others stay where they are.

    Parameters
    ----------
    parking
        Finds places to put VMs aside. None: a VM put aside takes nothing anywhere, so that the cost is a lower bound.
    barred
        Hosts on which nothing may be put aside.
    states
        So many states are looked at; then the bound is the cost of the cheapest one not yet looked at.

    The board is as it was afterwards. CPUs are only counted.
    """
    places: list[list[Where]] = [[task.source, task.target] for task in tasks]
    start, goal = tuple(0 for _ in tasks), tuple(1 for _ in tasks)
    came: dict[tuple[int, ...], tuple[tuple[int, ...], int] | None] = {start: None}
    cost = {start: 0}
    queue: deque[tuple[int, ...]] = deque([start])
    at, bound, looked, done = start, 0, 0, set[tuple[int, ...]]()

    def go(there: tuple[int, ...]) -> None:
        nonlocal at
        for number, (old, new) in enumerate(zip(at, there, strict=True)):
            if old != new:
                _put(board, tasks[number], places[number][old], -1)
                _put(board, tasks[number], places[number][new], 1)
        at = there

    def offer(here: tuple[int, ...], number: int, position: int, price: int) -> None:
        there = (*here[:number], position, *here[number + 1 :])
        if cost.get(there, len(tasks) + 1) > cost[here] + price:
            cost[there] = cost[here] + price
            came[there] = (here, number)
            if price:
                queue.append(there)
            else:
                queue.appendleft(there)

    while queue and goal not in done and looked < states:
        here = queue.popleft()
        if here in done:
            continue
        done.add(here)
        looked += 1
        bound = cost[here]
        if here == goal:
            break
        go(here)
        for number, task in enumerate(tasks):
            position = here[number]
            if position == 1:
                continue
            now = places[number][position]
            if _fits(board, task, now, monotone=parking is None):
                offer(here, number, 1, 0)
            elif position == 0 and task.source is not None and not task.parked:
                if parking is None:
                    if len(places[number]) == 2:
                        places[number].append(None)
                    offer(here, number, 2, 1)
                elif parking.may_park(task):
                    for place in islice(parking.places(task, barred=barred), PLACES_TRIED):
                        places[number].append(place)
                        offer(here, number, len(places[number]) - 1, 1)
    go(start)
    if goal not in done:
        exhausted = not queue
        return Found(bound=len(tasks) if exhausted and parking is None else bound, cost=None, hops=())
    return Found(bound=cost[goal], cost=cost[goal], hops=tuple(_path(came, goal, places)))


def _path(
    came: dict[tuple[int, ...], tuple[tuple[int, ...], int] | None], goal: tuple[int, ...], places: list[list[Where]]
) -> list[Hop]:
    hops: list[Hop] = []
    there = goal
    step = came[there]
    while step is not None:
        here, number = step
        where = places[number][there[number]]
        if where is not None:
            hops.append(Hop(task=number, where=where, last=there[number] == 1))
        there, step = here, came[here]
    return hops[::-1]


def _put(board: Board, task: Task, where: Where, sign: int) -> None:
    if where is not None:
        board.add(where[0].host, task.name, where[1], sign)


def _fits(board: Board, task: Task, now: Where, *, monotone: bool) -> bool:
    topology = board.fleet.host_by_name[task.host].topology
    kind = task.kind
    if now is not None and task.source is not None and now[0].host != task.source[0].host and kind.in_host:
        kind = StepKind.MIGRATE
    gain = transition(kind, task.vm.spec, topology, now, task.target).gain
    return board.fits(task.host, task.name, gain, exact=False, monotone=monotone)
