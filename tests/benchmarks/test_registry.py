"""The benchmarks: every spec runs at smoke size, instances are what they claim, peers agree with the engine."""

from __future__ import annotations

import pytest

from benchmarks import registry, runner
from benchmarks.full_host import full_fleet
from benchmarks.peers.boolean_cpsat import solve_boolean
from benchmarks.registry import SMOKE
from placer.model.goals import parse_goals
from placer.planning.compile.compile import compile_fleet


@pytest.mark.parametrize("name", registry.names())
def test_every_spec_has_a_smoke_size(name: str) -> None:
    """Every spec carries its own name, a sentence and a smoke size."""
    spec = registry.spec(name)
    assert spec.name == name and spec.about and SMOKE in spec.sizes


@pytest.mark.parametrize("seed", range(5))
def test_full_fleet_is_full(seed: int) -> None:
    """The VMs of a full host need every CPU of it, none more, and are as many as asked for."""
    fleet = full_fleet(seed=seed, packages=2, nodes_per_package=4, cpus_per_node=64, vms=60)
    assert len(fleet.vms) == 60
    assert sum(vm.spec.vcpus for vm in fleet.vms) == 512 == len(fleet.hosts[0].topology.cpus)
    assert any(len(vm.spec.cells) > 1 for vm in fleet.vms)
    assert fleet == full_fleet(seed=seed, packages=2, nodes_per_package=4, cpus_per_node=64, vms=60)


def test_methods_agree_on_the_optimum() -> None:
    """At smoke size both methods prove the same optimum with everything placed."""
    rows = registry.spec("single-host").run(SMOKE, [0, 1], lambda row: None)
    by_seed: dict[int, set[tuple[object, ...]]] = {}
    for row in rows:
        assert row["status"] == "optimal"
        by_seed.setdefault(row["seed"], set()).add((row["unplaced_vcpus"], row["remote"], row["remote_bound"]))
    assert all(len(found) == 1 and next(iter(found))[0] == 0 for found in by_seed.values())


def test_summary_counts_what_is_unknown() -> None:
    """A run without a figure is not part of the median, and is counted as unknown."""
    spec = registry.spec("single-host")
    rows = [
        {"method": "m", "status": "optimal", "seconds": 1.0},
        {"method": "m", "status": "optimal", "seconds": 3.0},
        {"method": "m", "status": "unknown", "seconds": None},
    ]
    (entry,) = runner.summary(spec, rows)
    assert entry["runs"] == 3
    assert entry["seconds"] == {"median": 2.0, "worst": 3.0, "unknown": 1}
    assert entry["statuses"] == {"optimal": 2, "unknown": 1}


def test_boolean_model_refuses_what_it_does_not_know() -> None:
    """The peer has no host costs: rather than leave them out it refuses the problem."""
    fleet = full_fleet(seed=0, packages=2, nodes_per_package=1, cpus_per_node=16, vms=6)
    problem = compile_fleet(fleet, parse_goals("placed,hosts", fleet)).problem
    with pytest.raises(ValueError, match="hosts"):
        solve_boolean(problem, time_limit_s=1)
