"""A fleet that runs already and a limit on moves: how much better does it get, and how good could it get?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.registry import SMOKE, Job, Row, Spec


@dataclass(frozen=True, slots=True, kw_only=True)
class _Size:
    hosts: int
    nodes: str
    goal: str
    moves: tuple[int, ...]
    time_limit_s: float = 60.0
    highs: bool = True


_SIZES = {
    "two-node": _Size(hosts=100, nodes="two", goal="headroom:16x0", moves=(25, 50)),
    "two-node-1000": _Size(hosts=1000, nodes="two", goal="headroom:16x0", moves=(100,), highs=False),
    "many-node": _Size(hosts=50, nodes="many", goal="remote", moves=(25, 50)),
    "many-node-300": _Size(hosts=300, nodes="many", goal="remote", moves=(100,), highs=False),
    SMOKE: _Size(hosts=4, nodes="two", goal="headroom:16x0", moves=(3,), time_limit_s=10.0),
}


def _measure(job: Job) -> Iterator[Row]:
    from benchmarks.contest import PLACER, compiled, hosts_used, peer_row, result_row, run_placer
    from benchmarks.live_fleets import many_node_fleet, two_node_fleet
    from benchmarks.peers.highs import solve_highs
    from solvers.problem import MoveBudget

    size = _SIZES[job.size]
    for seed in job.seeds:
        fleet = (two_node_fleet if size.nodes == "two" else many_node_fleet)(seed=seed, hosts=size.hosts)
        for moves in size.moves:
            instance: Row = {
                "instance": f"{size.hosts} hosts, {len(fleet.vms)} VMs, {moves} moves",
                "seed": seed,
                "moves": moves,
                "time_limit_s": size.time_limit_s,
            }
            still, _ = compiled(fleet, size.goal, MoveBudget(moves=0))
            now = run_placer(still.problem, time_limit_s=size.time_limit_s, seed=seed)
            yield {
                "method": "no moves",
                **instance,
                **_named(result_row(still.problem, now.result, size.goal), size),
                "seconds": now.seconds,
            }
            made, compile_s = compiled(fleet, size.goal, MoveBudget(moves=moves))
            run = run_placer(made.problem, time_limit_s=size.time_limit_s, seed=seed)
            yield {
                "method": PLACER,
                **instance,
                **_named(result_row(made.problem, run.result, size.goal), size),
                "states": len(made.problem.classes),
                "compile_s": compile_s,
                "seconds": run.seconds,
                "hosts": hosts_used(run.result.patterns),
            }
            if size.highs:
                answer = solve_highs(made.problem, time_limit_s=size.time_limit_s, seed=seed)
                yield {
                    "method": "counts per host (HiGHS)",
                    **instance,
                    **_named(peer_row(made.problem, answer, size.goal), size),
                }


def _named(row: Row, size: _Size) -> Row:
    """Name the goal's columns alike for all goals."""
    return {{size.goal: "value", f"{size.goal}_bound": "bound"}.get(key, key): told for key, told in row.items()}


SPEC = Spec(
    name="live",
    about="Rebalance a running fleet within a limit on moves: slots of 16 CPUs, or remote access, with the bound.",
    sizes={
        name: f"{size.hosts} hosts of {'2' if size.nodes == 'two' else '4 and 8'} nodes, goal {size.goal}"
        for name, size in _SIZES.items()
    },
    measure=_measure,
    columns={"seconds": "{:.2f}", "value": "{:.2f}", "gap_percent": "{:.3f}"},
)
