"""Rows by prices against a search over core states: whatever can be pinned keeps them, and little else does."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

from solvers.pins.cpu_rows import CoreRoom, CpuPolicy, WholeDemand, fits
from solvers.pins.node_rows import node_cpu_rows
from solvers.pins.price_rows import rows_by_prices

sys.path.insert(0, str(Path(__file__).parent))

from nodes import KINDS, Ask, Node, can_be_pinned, random_node

FAST = CoreRoom(width=2, both=2, whole=True)
SLOW = CoreRoom(width=1, both=1, whole=True, slow=True)


def allowed(node: Node) -> bool:
    """Tell whether the rows allow what is asked of a node."""
    rows = rows_by_prices(node.cores, WholeDemand.of(node.asked), floating=node.elsewhere, shared=node.any_shared).rows
    return all(
        node.ratio**row.shared * (sum(row.demand(*asked) for asked in node.asked) - row.capacity)
        + node.shared * row.shared
        <= 0
        for row in rows
    )


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_can_be_pinned_keeps_the_rows(kind: str) -> None:
    """Nothing that a search can seat breaks a row, and of what it cannot seat nearly all does."""
    draw = random.Random(f"prices {kind}")
    refused = passed = 0
    for _ in range(150):
        node = random_node(draw, kind)
        if can_be_pinned(node):
            assert allowed(node), node
        elif allowed(node):
            passed += 1
        else:
            refused += 1
    assert refused > 20 * passed


@pytest.mark.parametrize(("policy", "most"), [("pairs", 4), ("isolate", 3)])
def test_items_of_any_kind_have_cores_of_both(policy: CpuPolicy, most: int) -> None:
    """An item of two vCPUs takes a core of two threads or two of one, an isolated one a core each: on two of the one
    and four of the other there is room for four, and for three; other rows give only some of it.
    """
    cores, item = [FAST] * 2 + [SLOW] * 4, (policy, 2, "any")
    asked = WholeDemand.of([item])
    rows = rows_by_prices(cores, asked).rows
    assert fits(rows, [item] * most)
    assert not fits(rows, [item] * (most + 1))


def test_an_item_that_fits_nowhere_breaks_a_row() -> None:
    """Three threads lie on no node of one core of two, whatever the others cost."""
    asked: list[Ask] = [("pairs", 3, "any")]
    assert not fits(rows_by_prices([FAST], WholeDemand.of(asked)).rows, asked)


def test_a_kind_that_the_node_lacks_takes_nothing() -> None:
    """Without efficiency cores nothing that asks for them is there."""
    asked: list[Ask] = [("prefer", 1, "efficiency"), ("pairs", 2, "any")]
    rows = rows_by_prices([FAST], WholeDemand.of(asked)).rows
    assert fits(rows, asked[1:])
    assert not fits(rows, asked[:1])


def test_they_close_where_exact_rows_do() -> None:
    """On cores alike they are as tight as the exact rows."""
    asked: list[Ask] = [("pairs", 3, "any"), ("isolate", 1, "any"), ("prefer", 1, "any")]
    whole = WholeDemand.of(asked)
    for many in range(5):
        one, other = (rows([FAST] * many, whole).rows for rows in (rows_by_prices, node_cpu_rows))
        assert fits(one, asked) is fits(other, asked)
