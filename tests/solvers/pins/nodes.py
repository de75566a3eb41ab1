"""Random nodes of every kind, and a search over their cores that knows nothing of rows."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from solvers.pins.cores import Core
from solvers.pins.cpu_rows import CoreKind, CoreRoom, CpuPolicy

Ask = tuple[CpuPolicy, int, CoreKind]
State = tuple[tuple[int, int, int, int, bool, bool], ...]

KINDS = ("even", "isolated", "one and t", "apart", "any", "hybrid", "hybrid isolated")
POLICIES: tuple[tuple[CpuPolicy, ...], ...] = (
    ("prefer", "extra"),
    ("isolate", "prefer"),
    ("isolate", "require", "prefer"),
    ("pairs", "prefer", "extra"),
)


@dataclass(frozen=True, kw_only=True)
class Node:
    """A random node: its cores, CPUs to float over in others, what is asked of it, and shared vCPUs at an overcommit;
    `any_shared` says whether the fleet has any.
    """

    cores: tuple[CoreRoom, ...]
    elsewhere: int
    asked: tuple[Ask, ...]
    shared: int
    ratio: int
    any_shared: bool


def random_node(draw: random.Random, kind: str) -> Node:
    """Return a node whose cores are alike, partly isolated, of one thread and t, in Nova's two sets, anything, or of
    two kinds, partly isolated too.
    """
    narrow = draw.choice((1, 1, 2))
    wide = draw.choice((1, 2, 2, 4))
    cores: list[CoreRoom] = []
    while not cores:
        for _ in range(draw.randint(1, 4)):
            slow = kind.startswith("hybrid") and draw.random() < 0.5
            width = (
                narrow
                if slow
                else {"one and t": draw.choice((1, wide)), "any": draw.choice((1, 2, 3, 4))}.get(kind, wide)
            )
            free = width if draw.random() < 0.8 else draw.randint(0, width)
            isolated = draw.randint(0, free)
            apart = draw.choice((0, free, draw.randint(0, free)))
            dedicated = {"isolated": isolated, "hybrid isolated": isolated, "apart": apart}.get(kind, 0)
            both = 0 if kind == "apart" else free - dedicated
            if kind == "any":
                dedicated = draw.randint(0, free)
                both = draw.randint(0, free - dedicated)
            if dedicated + both:
                floating = free - dedicated - both
                cores.append(
                    CoreRoom(
                        width=width, dedicated=dedicated, both=both, floating=floating, whole=free == width, slow=slow
                    )
                )
    policies = draw.choice(POLICIES)
    asked: list[Ask] = []
    for _ in range(draw.randint(1, 3)):
        policy = draw.choice(policies)
        kinds: tuple[CoreKind, ...] = ("any", "performance", "efficiency")
        of = draw.choice(kinds) if kind.startswith("hybrid") and policy != "extra" else "any"
        asked.append((policy, draw.randint(1, 4), of))
    any_shared = draw.random() < 0.6
    return Node(
        cores=tuple(cores),
        elsewhere=draw.choice((0, 0, 1, 2)) if kind in ("apart", "any") else 0,
        asked=tuple(asked),
        shared=draw.randint(0, 5) if any_shared else 0,
        ratio=draw.choice((1, 2)),
        any_shared=any_shared,
    )


def can_be_pinned(node: Node) -> bool:
    """Search over the states of all cores: every way to seat each item, and what that leaves to float over."""
    start = tuple(sorted((c.width, c.dedicated, c.both, c.floating, c.whole, c.slow) for c in node.cores))
    left = _most_left(start, tuple(sorted(node.asked)))
    return left >= 0 and (not node.shared or (left + node.elsewhere) * node.ratio >= node.shared)


@cache
def _most_left(state: State, todo: tuple[Ask, ...]) -> int:
    """Return the most CPUs to float over that can be left, -1 where the items do not fit."""
    if not todo:
        return sum(both + floating for _, _, both, floating, _, _ in state)
    (policy, count, kind), rest = todo[0], todo[1:]
    if not count:
        return _most_left(state, rest)
    if policy in ("require", "pairs"):
        return max((_most_left(after, rest) for after in set(_filled(state, count, kind, True))), default=-1)
    found = -1
    for number, (width, dedicated, both, floating, whole, slow) in enumerate(state):
        if kind != "any" and slow is not (kind == "efficiency"):
            continue
        others = (*state[:number], *state[number + 1 :])
        after = []
        if policy == "isolate" and whole:
            after = [others]
        elif policy in ("prefer", "extra"):
            taken = [(dedicated - 1, both)] * (dedicated > 0) + [(dedicated, both - 1)] * (both > 0)
            after = [(*others, (width, d, b, floating, False, slow)) for d, b in taken]
        for one in after:
            found = max(found, _most_left(tuple(sorted(one)), ((policy, count - 1, kind), *rest)))
    return found


def _filled(state: State, count: int, kind: CoreKind, may_be_partly: bool) -> Iterator[State]:
    """Yield what is left when an item has filled whole cores, one of them perhaps in part."""
    if not count:
        yield state
        return
    for number, (width, dedicated, both, _, whole, slow) in enumerate(state):
        if kind != "any" and slow is not (kind == "efficiency"):
            continue
        others = (*state[:number], *state[number + 1 :])
        room = dedicated + both
        if whole and room == width <= count:
            yield from _filled(others, count - width, kind, may_be_partly)
        if whole and may_be_partly:
            for part in range(1, min(room, count, width - 1) + 1):
                yield from _filled(others, count - part, kind, False)


def cores_of(node: Node, draw: random.Random) -> list[Core]:
    """Return the cores of a node with numbers, in any order."""
    out, first = [], 0
    for room in node.cores:
        ids = list(range(first, first + room.width))
        first += room.width
        draw.shuffle(ids)
        pinned = room.dedicated + room.both
        used = pinned + room.floating
        beside = ids[pinned:] if room.whole else ids[pinned:used]
        floats = frozenset(ids[room.dedicated : used])
        out.append(
            Core(
                cpus=tuple(sorted(ids[:pinned])),
                width=room.width,
                floats=floats,
                beside=tuple(sorted(beside)),
                slow=room.slow,
            )
        )
    return out
