"""An empty fleet of three shapes and 27 flavors, from 30 hosts to 10,000: how small is the proven gap, how soon?"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.instances import greenfield_fleet
from benchmarks.registry import SMOKE, Job, Row, Spec
from placer.model.vm import DEFAULT_LOCALITY

GOALS = "placed,remote"
DEFAULT_GOALS = "placed,rules,remote,hosts,moves"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Size:
    hosts: int
    vms: int
    locality: float | None = None
    time_limit_s: float = 60.0
    peers: bool = False
    heuristics: bool = False


def _sizes() -> dict[str, _Size]:
    """Return each size with uniform access, as the name says nothing more, and with the default locality."""
    found: dict[str, _Size] = {}
    for hosts, vms, limit in (
        (30, 303, 60.0),
        (30, 405, 60.0),
        (100, 1000, 60.0),
        (1000, 10_000, 30.0),
        (10_000, 100_000, 60.0),
        (10_000, 135_000, 60.0),
    ):
        for ending, locality in (("", None), ("-local", DEFAULT_LOCALITY)):
            found[f"{hosts}x{vms}{ending}"] = _Size(
                hosts=hosts,
                vms=vms,
                locality=locality,
                time_limit_s=limit,
                peers=hosts == 30 and not ending,
                heuristics=hosts <= 100,
            )
    return found | {SMOKE: _Size(hosts=10, vms=60, time_limit_s=120.0, heuristics=True)}


_SIZES = _sizes()


def _measure(job: Job) -> Iterator[Row]:
    from benchmarks.contest import PLACER, certified, compiled, peak_mib, peer_row, result_row, run_placer
    from placer.check.check import check
    from placer.planning.decode.plan import plan_from_result

    size = _SIZES[job.size]
    fleet = greenfield_fleet(size.hosts, size.vms, locality=size.locality)
    for seed in job.seeds:
        instance: Row = {
            "instance": f"{len(fleet.hosts)} hosts, {len(fleet.vms)} VMs",
            "seed": seed,
            "time_limit_s": size.time_limit_s,
        }
        made, compile_s = compiled(fleet, DEFAULT_GOALS)
        run = run_placer(made.problem, time_limit_s=size.time_limit_s, seed=seed)
        began = time.perf_counter()
        plan = plan_from_result(made, run.result, seed=seed)
        plan_s = time.perf_counter() - began
        report = check(fleet, plan)
        check_s = time.perf_counter() - began - plan_s
        # The exact engine solves the smoke size: to prove its counts again takes HiGHS a minute.
        proof = certified(fleet, plan) if job.size != SMOKE else {}
        row = result_row(made.problem, run.result, "remote")
        yield {
            "method": PLACER,
            **instance,
            **row,
            "status": row["status"] if report.ok else f"refused: {report.faults[0].message}",
            "remote_proven": next(found.status for found in run.result.objectives if found.goal == "remote"),
            "compile_s": compile_s,
            "seconds": run.seconds,
            "plan_s": plan_s,
            "check_s": check_s,
            **proof,
            "peak_mib": peak_mib(),
        }
        if not size.heuristics or seed != job.seeds[0]:
            # The fleet is the same for every seed, and so is what they find in it.
            continue
        from benchmarks.peers.boolean_cpsat import solve_boolean
        from benchmarks.peers.heuristics import fit_each
        from benchmarks.peers.highs import solve_highs

        problem = compiled(fleet, GOALS)[0].problem
        order = sorted(made.flavors.of_vm, key=lambda flavor: -problem.flavors[flavor].vcpus)
        for method, answer in (
            ("first fit, largest first", fit_each(problem, order, "first")),
            ("best fit, largest first", fit_each(problem, order, "best")),
        ):
            yield {"method": method, **instance, **peer_row(problem, answer, "remote")}
        if size.peers:
            boolean = solve_boolean(problem, time_limit_s=size.time_limit_s, seed=seed)
            yield {"method": "a boolean per VM and place (CP-SAT)", **instance, **peer_row(problem, boolean, "remote")}
            counts = solve_highs(problem, time_limit_s=size.time_limit_s, seed=seed)
            yield {"method": "counts per host (HiGHS)", **instance, **peer_row(problem, counts, "remote")}


SPEC = Spec(
    name="greenfield",
    about="An empty fleet of hosts of 2, 4 and 8 nodes: remote access with its proven gap, and seconds a part.",
    sizes={
        name: f"{size.hosts} hosts, {size.vms} VMs, "
        + ("accesses uniform over the cells" if size.locality is None else "the default locality")
        for name, size in _SIZES.items()
    },
    measure=_measure,
    columns={
        "seconds": "{:.2f}",
        "gap_percent": "{:.4f}",
        "remote": "{:.3f}",
        "unplaced_vcpus": "{:.0f}",
        "hosts": "{:.0f}",
        "compile_s": "{:.2f}",
        "plan_s": "{:.2f}",
        "check_s": "{:.2f}",
        "certificate_s": "{:.2f}",
        "peak_mib": "{:.0f}",
    },
)
