"""One large host, full to the last CPU: how fast is the proof, beside the model with a boolean per VM?"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.full_host import full_fleet
from benchmarks.registry import SMOKE, Job, Row, Spec

GOALS = "placed,remote"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Size:
    nodes_per_package: int
    cpus_per_node: int
    vms: int
    time_limit_s: float


_SIZES = {
    "full": _Size(nodes_per_package=4, cpus_per_node=64, vms=60, time_limit_s=30.0),
    SMOKE: _Size(nodes_per_package=1, cpus_per_node=16, vms=6, time_limit_s=120.0),
}


def _measure(job: Job) -> Iterator[Row]:
    from benchmarks.peers.boolean_cpsat import solve_boolean
    from placer.model.goals import parse_goals
    from placer.planning.compile.compile import compile_fleet
    from solvers.exact.search import solve_exact
    from solvers.result import Limits

    size = _SIZES[job.size]
    for seed in job.seeds:
        fleet = full_fleet(
            seed=seed,
            packages=2,
            nodes_per_package=size.nodes_per_package,
            cpus_per_node=size.cpus_per_node,
            vms=size.vms,
        )
        problem = compile_fleet(fleet, parse_goals(GOALS, fleet)).problem
        instance = {"instance": f"{len(fleet.vms)} VMs", "seed": seed, "time_limit_s": size.time_limit_s}
        began = time.perf_counter()
        exact = solve_exact(problem, limits=Limits(time_limit_s=size.time_limit_s), seed=seed)
        seconds = time.perf_counter() - began
        parts = [(found.value, found.bound) for found in exact.objectives]
        yield {
            "method": "placer, counts (exact)",
            **instance,
            **_figures(problem.objectives[-1].unit, [v for v, _ in parts], [b for _, b in parts]),
            "status": exact.status,
            "seconds": seconds,
            "variables": sum(problem.shapes[cls.shape].placements * cls.count for cls in problem.classes),
        }
        peer = solve_boolean(problem, time_limit_s=size.time_limit_s, seed=seed)
        yield {
            "method": "a boolean per VM and place (CP-SAT)",
            **instance,
            **_figures(problem.objectives[-1].unit, list(peer.values), list(peer.bounds)),
            "status": peer.status,
            "seconds": peer.seconds,
            "variables": peer.integers,
        }


def _figures(unit: int, values: Sequence[int | None], bounds: Sequence[int | None]) -> Row:
    """Return vCPUs left out (the first objective) and remote access with its bound (the last)."""
    value, bound = values[-1], bounds[-1]
    return {
        "unplaced_vcpus": values[0],
        "remote": None if value is None else value / unit,
        "remote_bound": None if bound is None else bound / unit,
    }


SPEC = Spec(
    name="single-host",
    about="One host of 8 nodes x 64 CPUs, 60 VMs, 100 % CPU load by construction: seconds to the proof.",
    sizes={"full": "8 nodes x 64 CPUs, 60 VMs", SMOKE: "2 nodes x 16 CPUs, 6 VMs"},
    measure=_measure,
    seeds=10,
    columns={"seconds": "{:.3f}", "unplaced_vcpus": "{:.0f}", "remote": "{:.3f}", "variables": "{:.0f}"},
)
