"""What few moves save at most, and how few save so much: the moves that save most are made first."""

from __future__ import annotations

from collections.abc import Iterable

Savings = list[tuple[int, int]]
"""(what a move saves at most, how many moves do)."""


def saved(savings: Iterable[tuple[int, int]], moves: int | None) -> int:
    """Return what so many moves save at most; None for all of them."""
    total = 0
    for saving, many in sorted(savings, reverse=True):
        taken = many if moves is None else min(many, moves)
        total += saving * taken
        moves = None if moves is None else moves - taken
    return total


def moves_to_save(savings: Iterable[tuple[int, int]], amount: int) -> int:
    """Return how many moves it takes at least to save an amount; all of those that save anything where none do."""
    moves = 0
    for saving, many in sorted(savings, reverse=True):
        if amount <= 0 or saving <= 0:
            break
        taken = min(many, -(-amount // saving))
        amount, moves = amount - saving * taken, moves + taken
    return moves


def last_savings(savings: Iterable[tuple[int, int]], moves: int) -> list[int]:
    """Return what the last of so many moves saves at most, then all larger savings, each once; none where not so many
    save anything.
    """
    found = [0]
    for saving, many in sorted(savings, reverse=True):
        if moves <= 0:
            break
        moves -= many
        if saving != found[-1]:
            found.append(saving)
    return found[:0:-1] if moves <= 0 else []
