"""Many hosts priced at once get the same value as each by itself, and as an exhaustive search of the host."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.live_fleets import many_node_fleet, two_node_fleet
from placer.model.fleet import Fleet
from placer.model.goals import parse_goals
from placer.planning.compile.compile import compile_fleet
from solvers.backends.cpsat_model_run import run_model
from solvers.columns.duals import Duals, prices_of
from solvers.columns.model import StateModel
from solvers.columns.pricing.by_tables import CheapPricer
from solvers.columns.pricing.exact import pricing_model
from solvers.columns.pricing.live_layout import node_tables
from solvers.columns.pricing.many_hosts import BatchPricer
from solvers.problem import MoveBudget, Problem


def problem_of(fleet: Fleet, goals: str) -> Problem:
    """Return a fleet in numbers, with a limit on moves."""
    return compile_fleet(fleet, parse_goals(goals, fleet), MoveBudget(moves=10)).problem


def random_duals(model: StateModel, seed: int) -> Duals:
    """Return prices a vCPU, varied a flavor, and one of a move."""
    rng = np.random.default_rng(seed)
    unit = model.problem.objectives[0].unit
    vcpus = np.array([flavor.vcpus for flavor in model.problem.flavors])
    worth = vcpus * unit * rng.integers(0, 100, len(vcpus)) // 200
    return Duals(
        objective=0,
        scale=1,
        flavor=np.where(model.phantom, 0, worth),
        hold=np.zeros(model.objectives, dtype=np.int64),
        moves=int(rng.integers(0, 4 * unit)),
    )


@pytest.mark.parametrize(
    ("goals", "remote_share"), [("remote", 0.0), ("remote", 0.3), ("headroom:16x0", 0.0), ("headroom:16x0", 0.2)]
)
def test_all_at_once_is_each_by_itself(goals: str, remote_share: float) -> None:
    """The value of the best pattern of every live two-node host is that of its own tables, uneven VMs included."""
    model = StateModel(problem=problem_of(two_node_fleet(seed=3, hosts=40, remote_share=remote_share), goals))
    cheap = CheapPricer(model)
    batch = BatchPricer(cheap)
    assert batch.pairs
    compared = 0
    for seed in range(6):
        prices = prices_of(model, random_duals(model, seed))
        most = batch.most(prices)
        for index, value in most.items():
            assert value == cheap.offer(model.states[index]).most
            compared += 1
    assert compared > 150


def test_all_at_once_is_what_cp_sat_finds() -> None:
    """The value is that of the best pattern, as an exact model of the host finds it."""
    model = StateModel(problem=problem_of(two_node_fleet(seed=5, hosts=12, remote_share=0.3), "remote"))
    batch = BatchPricer(CheapPricer(model))
    for seed in range(2):
        duals = random_duals(model, seed)
        most = batch.most(prices_of(model, duals))
        assert most
        for index, value in most.items():
            state = model.states[index]
            priced = pricing_model(model, state, duals, None)
            answer = run_model(priced.cp, budget=10.0, seed=0)
            assert answer.optimal and answer.bound is not None
            leaving = int(model.present[index][~model.phantom].sum()) * duals.moves
            assert leaving - value == priced.least(answer.bound)


def test_alike_nodes_share_their_tables() -> None:
    """Every node's table is that of the node alone, whatever other nodes have the same VMs."""
    model = StateModel(problem=problem_of(many_node_fleet(seed=1, hosts=24), "remote"))
    cheap = CheapPricer(model)
    batch = BatchPricer(cheap)
    prices = prices_of(model, random_duals(model, 1))
    batch.most(prices)
    assert batch.batches and any(len(each.position) < each.kind.size for each in batch.batches)
    for each in batch.batches:
        stock = cheap.stock(each.states[0], up=True)
        tables = node_tables(cheap, each, stock, parts=False)
        for s, state in enumerate(each.states):
            layout = cheap.layout(state)
            for node, levels in enumerate(layout.levels):
                own = cheap._table(state, layout, stock, node, parts=False).values
                assert (tables[s, node][tuple(slice(0, level + 1) for level in levels)] == own).all()
