"""Hosts that the VMs fill exactly: what is left out, and what crosses sockets, by each way to place them?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.instances import Kind, exact_fit_fleet
from benchmarks.registry import SMOKE, Job, Row, Spec

if TYPE_CHECKING:
    from placer.model.fleet import Fleet
    from placer.planning.compile.compile import Compiled

GOALS = "placed,remote"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Size:
    hosts: int
    kind: Kind
    loads: tuple[float, ...] = (0.9, 0.95, 1.0)
    two_cell_shares: tuple[float, ...] = (0.2,)
    time_limit_s: float = 30.0
    nova: bool = True


_SIZES: dict[str, _Size] = {
    "cpu": _Size(hosts=20, kind="cpu"),
    "memory": _Size(hosts=20, kind="memory"),
    "hugepages": _Size(hosts=20, kind="hugepages"),
    "threads": _Size(hosts=20, kind="threads"),
    "two-cell": _Size(hosts=20, kind="cpu", loads=(1.0,), two_cell_shares=(0.1, 0.3, 0.5)),
    SMOKE: _Size(hosts=2, kind="cpu", loads=(1.0,), time_limit_s=120.0, nova=False),
}


def _measure(job: Job) -> Iterator[Row]:
    from benchmarks.contest import PLACER, compiled, crossings, result_row, run_placer

    size = _SIZES[job.size]
    for seed in job.seeds:
        for share in size.two_cell_shares:
            for load in size.loads:
                fleet = exact_fit_fleet(seed=seed, hosts=size.hosts, kind=size.kind, load=load, two_cell_share=share)
                instance: Row = {
                    "instance": f"{size.kind}, load {load:g}, two-cell {share:g}",
                    "seed": seed,
                    "load": load,
                    "two_cell_vms": sum(len(vm.spec.cells) > 1 for vm in fleet.vms),
                    "vms": len(fleet.vms),
                    "vcpus": sum(vm.spec.vcpus for vm in fleet.vms),
                    "time_limit_s": size.time_limit_s,
                }
                made, _ = compiled(fleet, GOALS)
                run = run_placer(made.problem, time_limit_s=size.time_limit_s, seed=seed)
                yield {
                    "method": PLACER,
                    **instance,
                    **result_row(made.problem, run.result, "remote"),
                    "crossing_vms": crossings(made.problem, run.result.patterns, _packages(fleet)),
                    "seconds": run.seconds,
                }
                for row in _in_numbers(fleet, made, size, seed):
                    yield {**row, **instance}
                if size.nova:
                    for row in _nova(fleet):
                        yield {**row, **instance}


def _packages(fleet: Fleet) -> list[int]:
    topology = fleet.hosts[0].topology
    return [
        next(number for number, package in enumerate(topology.packages) if node.cpus <= package)
        for node in topology.nodes
    ]


def _in_numbers(fleet: Fleet, made: Compiled, size: _Size, seed: int) -> Iterator[Row]:
    """Yield the rows of peers that work on the same problem in numbers."""
    from benchmarks.contest import crossings, peer_row
    from benchmarks.peers.boolean_cpsat import solve_boolean
    from benchmarks.peers.heuristics import fit_each
    from benchmarks.peers.highs import solve_highs

    problem = made.problem
    arrival = made.flavors.of_vm
    largest = sorted(arrival, key=lambda flavor: -problem.flavors[flavor].vcpus)
    answers = [
        ("first fit", fit_each(problem, arrival, "first")),
        ("first fit, largest first", fit_each(problem, largest, "first")),
        ("best fit", fit_each(problem, arrival, "best")),
        ("best fit, largest first", fit_each(problem, largest, "best")),
        ("a boolean per VM and place (CP-SAT)", solve_boolean(problem, time_limit_s=size.time_limit_s, seed=seed)),
        ("counts per host (HiGHS)", solve_highs(problem, time_limit_s=size.time_limit_s, seed=seed)),
    ]
    for method, answer in answers:
        yield {
            "method": method,
            **peer_row(problem, answer, "remote"),
            "crossing_vms": crossings(problem, answer.patterns, _packages(fleet)),
        }


def _nova(fleet: Fleet) -> Iterator[Row]:
    """Yield Nova's rows; its plans are checked by placer's own checker, faults counted."""
    from benchmarks.peers.nova_env import VERSION, PeerMissingError, solve_nova
    from placer.check.check import check

    arrival = range(len(fleet.vms))
    largest = sorted(arrival, key=lambda number: -fleet.vms[number].spec.vcpus)
    ways: list[tuple[str, Sequence[int], bool]] = [
        ("default", arrival, False),
        ("packing", arrival, True),
        ("packing, largest first", largest, True),
    ]
    for way, order, pack in ways:
        method = f"Nova {VERSION}, {way}"
        try:
            answer = solve_nova(fleet, order, pack=pack)
        except PeerMissingError as error:
            yield {"method": method, "status": f"skipped: {error}", "seconds": None}
            continue
        report = check(fleet, answer.plan)
        left = {entry.name for entry in answer.plan.unplaced}
        home = {node.id: package for node, package in zip(fleet.hosts[0].topology.nodes, _packages(fleet), strict=True)}
        yield {
            "method": method,
            "status": "feasible" if report.ok else f"{len(report.faults)} faults",
            "unplaced_vcpus": sum(vm.spec.vcpus for vm in fleet.vms if vm.name in left),
            "unplaced_vms": len(left),
            "remote": report.measured.get("remote_access"),
            "hosts": len({vm.host for vm in answer.plan.vms}),
            "crossing_vms": sum(
                len({home[node] for cell in vm.cells for node in cell.nodes}) > 1 for vm in answer.plan.vms
            ),
            "refused_claims": answer.refused_claims,
            "seconds": answer.seconds,
        }


SPEC = Spec(
    name="exact-fit",
    about="20 hosts cut into VMs, so that all fit exactly: vCPUs left out, remote access, hosts and seconds a method.",
    sizes={
        "cpu": "CPUs alone, loads 0.9, 0.95 and 1.0",
        "memory": "CPUs and memory, skewed 1:3 between VMs",
        "hugepages": "the same in 1 GiB pages",
        "threads": "whole cores under prefer, isolate and require",
        "two-cell": "CPUs alone at load 1.0, more and more VMs of two cells",
        SMOKE: "2 hosts, CPUs alone, without Nova",
    },
    measure=_measure,
    columns={
        "seconds": "{:.2f}",
        "unplaced_vcpus": "{:.0f}",
        "remote": "{:.3f}",
        "gap_percent": "{:.3f}",
        "hosts": "{:.0f}",
        "crossing_vms": "{:.0f}",
    },
)
