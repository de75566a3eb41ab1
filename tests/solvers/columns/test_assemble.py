"""Blocks of nodes put on hosts: of many sets of nodes those that cost least are looked at."""

from __future__ import annotations

from typing import Any

import pytest

from placer.model.goals import parse_goals
from placer.planning.compile.compile import compile_fleet
from solvers.columns.integer import assemble as door
from solvers.columns.integer.assemble import Block, assemble
from solvers.columns.integer.node_configs import NodeBook
from solvers.columns.model import StateModel
from solvers.columns.pricing.layouts import Layouts

WIDE, FLAT = 3, 2
"""Cells of the VMs."""


def _blocks(book: NodeBook) -> list[Block]:
    """Return a block of every signature over several nodes that the book knows."""
    out = []
    for config in book.configs[0]:
        if signature := book.parts(0, config):
            out.append(Block(0, signature, (config,) * book.block(0, signature)))
    return out


@pytest.mark.parametrize("most", [1, 2, 1_000])
def test_blocks_are_whole_vms_on_the_nodes_that_cost_least(
    build: Any, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """However few sets of nodes are looked at, every VM of a block has a place, and on an empty host none is dearer."""
    monkeypatch.setattr(door, "MOST_POSITIONS", most)
    vms = [build.vm(f"v{cells}", build.spec(cells, cells, cells=cells)) for cells in (WIDE, FLAT)]
    fleet = build.fleet([build.host("a", build.topology(nodes=6, cpus=4))], vms)
    problem = compile_fleet(fleet, parse_goals("placed,remote", fleet)).problem
    model = StateModel(problem=problem)
    book = NodeBook(model=model, layouts=Layouts(model))
    shape = problem.shapes[0]
    for placement in range(shape.placements):
        book.learn(0, ((placement, 1),))
    blocks = _blocks(book)
    assert {len(block.configs) for block in blocks} == {WIDE, FLAT}
    for block in blocks:
        (pattern,) = assemble(book, 0, 1, [block])
        ((placement, count),) = pattern
        assert count == 1
        cost = model.cost.sum(axis=1)
        own = shape.flavor == shape.flavor[placement]
        assert cost[placement] == cost[own].min()
