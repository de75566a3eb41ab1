"""The CPU rows against a search over core states."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

from solvers.pins.cpu_rows import CoreRoom, WholeDemand, fits
from solvers.pins.node_rows import node_cpu_rows

sys.path.insert(0, str(Path(__file__).parent))

from nodes import KINDS, Node, can_be_pinned, random_node


def free(width: int, threads: int) -> CoreRoom:
    """Return a core with so many of its threads free for everybody."""
    return CoreRoom(width=width, both=threads, whole=threads == width)


def rows_allow(node: Node) -> tuple[bool, bool]:
    """Tell whether the rows allow what is asked of a node, and whether they are said to be exact."""
    found = node_cpu_rows(node.cores, WholeDemand.of(node.asked), floating=node.elsewhere, shared=node.any_shared)
    allowed = True
    for row in found.rows:
        taken = sum(row.demand(*asked) for asked in node.asked)
        times = node.ratio if row.shared else 1
        allowed &= times * taken + node.shared * row.shared <= times * row.capacity
    return allowed, found.exact


@pytest.mark.parametrize("kind", KINDS)
def test_rows_say_what_a_search_says(kind: str) -> None:
    """Exact rows allow just what a search can seat, with what is left to float over; others never more than that."""
    draw = random.Random(kind)
    seen = {True: 0, False: 0}
    for _ in range(900):
        node = random_node(draw, kind)
        can = can_be_pinned(node)
        allowed, exact = rows_allow(node)
        assert allowed == can if exact else allowed <= can, node
        seen[can] += exact
    assert min(seen.values()) > 100


def test_hosts_alike_have_rows_alike_whatever_they_hold() -> None:
    """Hosts of one shape have rows of the same names and coefficients, whatever is taken of them."""
    asked = WholeDemand(isolate=True, filling=frozenset({3}))
    full = node_cpu_rows([free(2, 2), free(2, 2)], asked, shared=True).rows
    busy = node_cpu_rows([free(2, 0), free(2, 1)], asked, shared=True).rows
    assert [(r.name, r.isolate, r.core, r.filled, r.loose, r.width) for r in full] == [
        (r.name, r.isolate, r.core, r.filled, r.loose, r.width) for r in busy
    ]
    assert [row.capacity for row in busy] == [0, 1, 1, 1]


def test_without_siblings_there_is_one_row() -> None:
    """A node whose cores have one thread each counts threads and nothing else."""
    (row,) = node_cpu_rows([free(1, 1)] * 3, WholeDemand(isolate=True)).rows
    assert (row.name, row.capacity) == ("threads", 3)


def test_require_rounds_up_per_item() -> None:
    """Two require items of three vCPUs take four cores of two threads, not three."""
    whole, threads = node_cpu_rows([free(2, 2)] * 4, WholeDemand(filling=frozenset({3}))).rows
    assert (whole.demand("require", 3), threads.demand("require", 3)) == (2, 4)


def test_a_core_of_one_thread_wastes_nothing() -> None:
    """Beside a wide core and a narrow one an isolated vCPU takes the narrow one: two shared vCPUs still float."""
    rows = node_cpu_rows([free(2, 2), free(1, 1)], WholeDemand(isolate=True), shared=True).rows
    assert all(row.demand("isolate", 1) + 2 * row.shared <= row.capacity for row in rows)
    assert not all(row.demand("isolate", 1) + 3 * row.shared <= row.capacity for row in rows)


def test_what_no_rows_say_exactly_claims_nothing() -> None:
    """Items of three vCPUs on cores of two and of four threads: the rows are sufficient, and say so."""
    cores = [free(2, 2), free(4, 4)]
    assert not node_cpu_rows(cores, WholeDemand(filling=frozenset({3}))).exact
    assert node_cpu_rows(cores, WholeDemand(filling=frozenset({2}))).exact
    assert node_cpu_rows(cores, WholeDemand()).exact


def test_an_item_on_wide_cores_gains_nothing_by_isolated_narrow_ones() -> None:
    """It takes the core of four threads, three of which could be floated over: the isolated core saves none of them."""
    cores = [CoreRoom(width=4, dedicated=1, both=3, whole=True), CoreRoom(width=1, dedicated=1, whole=True)]
    rows = node_cpu_rows(cores, WholeDemand(filling=frozenset({3})), shared=True).rows
    assert all(row.demand("pairs", 3) <= row.capacity for row in rows)
    assert not all(row.demand("pairs", 3) + row.shared <= row.capacity for row in rows)


def test_items_fit_rows_together() -> None:
    """Rows are kept by the sum of what items take."""
    rows = node_cpu_rows([free(2, 2)] * 2, WholeDemand(isolate=True)).rows
    assert fits(rows, [("isolate", 1, "any"), ("prefer", 2, "any")])
    assert not fits(rows, [("isolate", 1, "any"), ("prefer", 3, "any")])


def test_impossible_core_is_refused() -> None:
    """More free threads than threads is a fault of the caller."""
    with pytest.raises(ValueError, match="2 threads cannot have 3 free"):
        node_cpu_rows([free(2, 3)], WholeDemand())
