"""Many hosts priced at once get the same value as each by itself, and as an exhaustive search of the host."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.live_fleets import many_node_fleet, two_node_fleet
from placer.model.fleet import Fleet
from placer.model.goals import parse_goals
from placer.planning.compile.compile import compile_fleet
from solvers.backends.cpsat import run_model
from solvers.clock import Clock
from solvers.columns.columns import Evaluator
from solvers.columns.duals import Duals, prices_of
from solvers.columns.model import StateModel
from solvers.columns.pool import reduced_costs
from solvers.columns.pricing.by_tables import TablePricing
from solvers.columns.pricing.exact import ExactPricer, pricing_model
from solvers.columns.pricing.layouts import Layouts
from solvers.columns.pricing.live_layout import node_tables
from solvers.columns.pricing.many_hosts import LiveBatches, LivePricing
from solvers.problem import MoveBudget, Problem
from solvers.result import Interrupt, Limits


def problem_of(fleet: Fleet, goals: str, migrations: int | None = None) -> Problem:
    """Return a fleet in numbers, with a limit on moves."""
    return compile_fleet(fleet, parse_goals(goals, fleet), MoveBudget(moves=10, migrations=migrations)).problem


def random_duals(model: StateModel, seed: int, *, migrations: bool = False) -> Duals:
    """Return prices a vCPU, varied a flavor, and one of a move, of a change of host too if asked."""
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
        migrations=int(rng.integers(0, 4 * unit)) if migrations else 0,
    )


@pytest.mark.parametrize(
    ("goals", "remote_share"), [("remote", 0.0), ("remote", 0.3), ("headroom:16x0", 0.0), ("headroom:16x0", 0.2)]
)
def test_all_at_once_is_each_by_itself(goals: str, remote_share: float) -> None:
    """The value of the best pattern of every live two-node host is that of its own tables, uneven VMs included."""
    model = StateModel(problem=problem_of(two_node_fleet(seed=3, hosts=40, remote_share=remote_share), goals))
    layouts = Layouts(model)
    batches = LiveBatches(layouts)
    assert batches.pairs
    compared = 0
    for seed in range(6):
        prices = prices_of(model, random_duals(model, seed))
        tables = TablePricing(layouts, prices)
        for index, value in LivePricing(batches, tables).most.items():
            assert value == tables.offer(model.states[index]).most
            compared += 1
    assert compared > 150


def test_all_at_once_is_what_cp_sat_finds() -> None:
    """The value is that of the best pattern, as an exact model of the host finds it."""
    model = StateModel(problem=problem_of(two_node_fleet(seed=5, hosts=12, remote_share=0.3), "remote"))
    layouts = Layouts(model)
    batches = LiveBatches(layouts)
    for seed in range(2):
        duals = random_duals(model, seed)
        most = LivePricing(batches, TablePricing(layouts, prices_of(model, duals))).most
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
    layouts = Layouts(model)
    batches = LiveBatches(layouts)
    pricing = TablePricing(layouts, prices_of(model, random_duals(model, 1)))
    assert batches.many and any(len(each.position) < each.kind.size for each in batches.many)
    for each in batches.many:
        stock = pricing.stock(each.states[0], up=True)
        tables = node_tables(pricing, each, stock, parts=False)
        for s, state in enumerate(each.states):
            layout = layouts.layout(state)
            for node, levels in enumerate(layout.levels):
                own = pricing._table(state, layout, stock, node, parts=False).values
                assert (tables[s, node][tuple(slice(0, level + 1) for level in levels)] == own).all()


def test_hosts_of_two_nodes_with_a_price_on_migrations_are_bounded_too() -> None:
    """No bound of all at once is below the best pattern, as an exact model finds it; where migrations cost little it is
    nearly that.
    """
    model = StateModel(problem=problem_of(two_node_fleet(seed=5, hosts=12, remote_share=0.3), "remote", migrations=3))
    layouts = Layouts(model)
    batches = LiveBatches(layouts)
    for seed in range(2):
        dear = random_duals(model, seed, migrations=True)
        for duals, loss in ((dear, 1 << 40), (replace(dear, migrations=100), 1_000)):
            most = LivePricing(batches, TablePricing(layouts, prices_of(model, duals))).most
            assert most
            for index, value in most.items():
                leaving = int(model.present[index][~model.phantom].sum()) * (duals.moves + duals.migrations)
                least = _least(model, index, duals)
                assert least - loss <= leaving - value <= least


def test_a_pricing_keeps_its_own_prices() -> None:
    """Two pricings in turn, then what is left of each host: no least reduced cost is above what CP-SAT finds of it."""
    fleet = many_node_fleet(seed=2, hosts=16)
    model = StateModel(problem=problem_of(fleet, "remote", migrations=3))
    layouts = Layouts(model)
    batches = LiveBatches(layouts)
    evaluator = Evaluator(model)
    clock = Clock(limits=Limits(time_limit_s=600), interrupt=Interrupt())
    exact = ExactPricer(model, None, clock)
    skipped = 0
    for seed in range(3):
        several = [random_duals(model, 10 * seed + n, migrations=bool(n)) for n in range(2)]
        pricings = [LivePricing(batches, TablePricing(layouts, prices_of(model, duals))) for duals in several]
        for duals, pricing in zip(several, pricings, strict=True):
            assert pricing.most
            for index in sorted(pricing.most)[seed::4]:
                state = model.states[index]
                best = pricing.best(state)
                assert best is not None
                known = int(reduced_costs(evaluator.evaluate([index], [best]), duals)[0])
                leaving = int(model.present[index].sum()) * (duals.moves + duals.migrations)
                narrow = pricing.narrow(state, leaving - known)
                least = known
                if narrow is not None:
                    priced = exact.price([state], duals, [None], [narrow], budget=10.0, seed=0)
                    assert priced is not None and (priced[0].least is not None or priced[0].none)
                    least = known if priced[0].least is None else min(known, priced[0].least)
                skipped += narrow is None
                assert least == _least(model, index, duals)
    assert skipped


def _least(model: StateModel, index: int, duals: Duals) -> int:
    """Return the least reduced cost of a host, as an exact model of it finds it."""
    priced = pricing_model(model, model.states[index], duals, None)
    answer = run_model(priced.cp, budget=20.0, seed=0)
    assert answer.optimal and answer.bound is not None
    return priced.least(answer.bound)
