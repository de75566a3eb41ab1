"""Bounds for large knots of moves: small knots in them that have no VM in common.

Where some VMs wait for each other even if all other moving VMs vanish, at least one of them has to be put aside,
whatever is done with the others. So each of several such groups that share no VM adds one VM at least.
"""

from __future__ import annotations

from collections.abc import Sequence

from placer.moves.graph import SEARCHED_TASKS, put_all, search, stuck_for_good
from placer.moves.state import Board
from placer.moves.waves import Task

TESTS = 3_000
"""So many groups are looked at; the bound then counts the small knots found until then."""


def apart_bound(board: Board, tied: Sequence[Task]) -> int:
    """Return how many VMs of a knot have to be put aside at least; all other moving VMs are off the board.

    The board is as it was afterwards.
    """
    tests = [TESTS]
    bound, rest = 0, list(tied)
    gone: list[Task] = []
    while rest:
        left = _stuck(board, rest, tests)
        if not left:
            break
        names = {task.name for task in left}
        free = [task for task in rest if task.name not in names]
        put_all(board, free, -1)
        gone += free
        core = _core(board, left, tests)
        bound += search(board, core, None).bound if len(core) <= SEARCHED_TASKS else 1
        put_all(board, core, -1)
        gone += core
        taken = {task.name for task in core}
        rest = [task for task in left if task.name not in taken]
        put_all(board, rest, 1)
    put_all(board, gone, 1)
    return bound


def _stuck(board: Board, tasks: Sequence[Task], tests: list[int]) -> list[Task]:
    """Return those of the tasks on the board that never can go, and leave the board as it was."""
    tests[0] -= 1
    left = stuck_for_good(board, tasks)
    names = {task.name for task in left}
    put_all(board, [task for task in tasks if task.name not in names], 1)
    return left


def _core(board: Board, stuck: Sequence[Task], tests: list[int]) -> list[Task]:
    """Return a part of stuck tasks that is stuck by itself and, if tests last, no smaller part of it is.

    On return only the part is on the board, of these tasks.
    """
    core = list(stuck)
    size = max(1, len(core) // 2)
    while tests[0] > 0:
        start, shrunk = 0, False
        while start < len(core) and len(core) > 1 and tests[0] > 0:
            chunk, others = core[start : start + size], [*core[:start], *core[start + size :]]
            if not others:
                break
            put_all(board, chunk, -1)
            left = _stuck(board, others, tests)
            if left:
                names = {task.name for task in left}
                put_all(board, [task for task in others if task.name not in names], -1)
                core, shrunk = left, True
                start = 0 if len(left) < len(others) else start
            else:
                put_all(board, chunk, 1)
                start += size
        if size == 1 and not shrunk:
            break
        size = max(1, min(size // 2 if not shrunk else size, len(core) // 2))
    return core
