"""A fleet that runs already and a limit on moves: how much better does it get, and how good could it get?"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.registry import SMOKE, Job, Row, Spec

if TYPE_CHECKING:
    from placer.model.fleet import Fleet

_SLOTS, _REMOTE = "headroom:16x0", "remote"
_BADLY_PLACED = 0.05
"""Share of the VMs that start badly placed, where that is the goal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Size:
    """`loads` are of fleets of many nodes; `peers` are run too, and the same without any move."""

    hosts: int
    many_nodes: bool = False
    planner: bool = False
    own_sizes: bool = False
    goal: str = _SLOTS
    moves: tuple[int, ...]
    loads: tuple[float, ...] = (0.84,)
    time_limit_s: float = 60.0
    peers: bool = False

    @property
    def about(self) -> str:
        nodes = "4 and 8 nodes" if self.many_nodes else "2 nodes"
        if self.planner:
            nodes = "2 and 8 nodes, each run in its own way" + (", VMs of their own sizes" if self.own_sizes else "")
        return f"{self.hosts} hosts of {nodes}, goal {self.goal}, {' or '.join(map(str, self.moves))} moves"


_SIZES = {
    "two-node": _Size(hosts=100, moves=(25, 50), peers=True),
    "two-node-1176": _Size(hosts=1176, moves=(50, 100)),
    "two-node-10000": _Size(hosts=10_000, moves=(500, 5_000), time_limit_s=300.0),
    "two-node-10000-remote": _Size(hosts=10_000, goal=_REMOTE, moves=(2_000,), time_limit_s=300.0),
    "many-node": _Size(hosts=50, many_nodes=True, goal=_REMOTE, moves=(25, 50), peers=True),
    "many-node-1000": _Size(
        hosts=1000, many_nodes=True, goal=_REMOTE, moves=(300,), loads=(0.84, 0.95), time_limit_s=180.0
    ),
    "planner": _Size(hosts=400, planner=True, goal=_REMOTE, moves=(50,)),
    "own-sizes-40": _Size(hosts=40, planner=True, own_sizes=True, goal=_REMOTE, moves=(30,)),
    "own-sizes-160": _Size(hosts=160, planner=True, own_sizes=True, goal=_REMOTE, moves=(30,)),
    "own-sizes-400": _Size(hosts=400, planner=True, own_sizes=True, goal=_REMOTE, moves=(50,), time_limit_s=120.0),
    "planner-smoke": _Size(hosts=4, planner=True, own_sizes=True, goal=_REMOTE, moves=(2,), time_limit_s=10.0),
    SMOKE: _Size(hosts=4, moves=(3,), time_limit_s=120.0, peers=True),
}


def _fleet(size: _Size, seed: int, load: float) -> Fleet:
    from benchmarks.live_fleets import many_node_fleet, two_node_fleet
    from benchmarks.planner_fleets import planner_fleet

    if size.planner:
        return planner_fleet(seed=seed, hosts=size.hosts, own_sizes=size.own_sizes)
    if size.many_nodes:
        return many_node_fleet(seed=seed, hosts=size.hosts, load=load, remote_share=_BADLY_PLACED)
    return two_node_fleet(seed=seed, hosts=size.hosts, remote_share=_BADLY_PLACED if size.goal == _REMOTE else 0.0)


def _measure(job: Job) -> Iterator[Row]:
    size = _SIZES[job.size]
    for seed in job.seeds:
        for load in size.loads if size.many_nodes else (None,):
            fleet = _fleet(size, seed, load or 0.0)
            for moves in size.moves:
                loaded = "" if load is None else f" at load {load:g}"
                instance: Row = {
                    "instance": f"{size.hosts} hosts{loaded}, {len(fleet.vms)} VMs, {moves} moves",
                    "seed": seed,
                    "moves": moves,
                    "time_limit_s": size.time_limit_s,
                }
                for row in _one(fleet, size, moves, seed):
                    yield {**instance, **_named(row, size)}


def _one(fleet: Fleet, size: _Size, moves: int, seed: int) -> Iterator[Row]:
    from benchmarks.contest import PLACER, compiled, peak_mib, peer_row, result_row, run_placer
    from benchmarks.peers.highs import solve_highs
    from benchmarks.peers.hill_climb import hill_climb
    from placer.check.check import check
    from placer.planning.decode.plan import plan_from_result
    from solvers.problem import MoveBudget
    from solvers.starts.best_fit import solve_greedy

    if size.peers:
        unmoved, _ = compiled(fleet, size.goal, MoveBudget(moves=0))
        now = run_placer(unmoved.problem, time_limit_s=size.time_limit_s, seed=seed)
        yield {"method": "no moves", **result_row(unmoved.problem, now.result, size.goal), "seconds": now.seconds}
    made, compile_s = compiled(fleet, size.goal, MoveBudget(moves=moves))
    run = run_placer(made.problem, time_limit_s=size.time_limit_s, seed=seed)
    began = time.perf_counter()
    plan = plan_from_result(made, run.result, seed=seed)
    plan_s = time.perf_counter() - began
    report = check(fleet, plan)
    row = result_row(made.problem, run.result, size.goal)
    yield {
        "method": PLACER,
        **row,
        "status": row["status"] if report.ok else f"refused: {report.faults[0].message}",
        "states": len(made.problem.classes),
        "compile_s": compile_s,
        "seconds": run.seconds,
        "plan_s": plan_s,
        "check_s": time.perf_counter() - began - plan_s,
        "peak_mib": peak_mib(),
    }
    if size.planner:
        # From where every VM stays as it is, as the first answer has it.
        still = solve_greedy(made.problem)
        goal = next(n for n, objective in enumerate(made.problem.objectives) if objective.goal == size.goal)
        answer = hill_climb(made.problem, still.patterns, still.unplaced, goal)
        yield {"method": "hill climb, single moves", **peer_row(made.problem, answer, size.goal)}
    if size.peers:
        answer = solve_highs(made.problem, time_limit_s=size.time_limit_s, seed=seed)
        yield {"method": "counts per host (HiGHS)", **peer_row(made.problem, answer, size.goal)}


def _named(row: Row, size: _Size) -> Row:
    """Name the goal's columns alike for all goals."""
    return {{size.goal: "value", f"{size.goal}_bound": "bound"}.get(key, key): told for key, told in row.items()}


SPEC = Spec(
    name="live",
    about="Rebalance a running fleet within a limit on moves: slots of 16 CPUs, or remote access, with the bound.",
    sizes={name: size.about for name, size in _SIZES.items()},
    measure=_measure,
    columns={
        "seconds": "{:.2f}",
        "value": "{:.2f}",
        "gap_percent": "{:.4f}",
        "compile_s": "{:.2f}",
        "plan_s": "{:.2f}",
        "check_s": "{:.2f}",
        "peak_mib": "{:.0f}",
    },
)
