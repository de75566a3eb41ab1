"""The measure against cases worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from placer.measure.measure import ScoreCache, score_fleet, transfer_shares
from placer.model.vm import CpuPolicy, DeviceRequest


def score_one(build: Any, host: Any, vm: Any, planned: Any) -> Any:
    """Return the score of a fleet of one VM."""
    return score_fleet(build.fleet([host], [vm]), build.plan(planned))


def test_local_vm_is_exactly_local(build: Any) -> None:
    """CPUs and memory on one node: distance 1, nothing remote, score 100, with no rounding left over."""
    vm = build.vm()
    score = score_one(build, build.host(), vm, build.placed(vm, [0, 1], [0]))
    assert (score.remote_access, score.remote_share, score.locality_score, score.mean_distance) == (
        0.0,
        0.0,
        100.0,
        1.0,
    )


def test_memory_on_the_other_node(build: Any) -> None:
    """Two vCPUs with all memory at distance 2.1: remote access 2 × 1.1, everything leaves the node."""
    vm = build.vm()
    score = score_one(build, build.host(), vm, build.placed(vm, [0, 1], [1]))
    assert score.remote_access == pytest.approx(2.2)
    assert score.remote_share == 1.0
    assert score.locality_score == 0.0
    assert score.mean_distance == pytest.approx(2.1)


def test_weight_counts_in_remote_access_only(build: Any) -> None:
    """A weight of 3 triples remote access and leaves shares and means alone."""
    vm = build.vm(spec=build.spec(weight=3.0))
    score = score_one(build, build.host(), vm, build.placed(vm, [0, 1], [1]))
    assert score.remote_access == pytest.approx(6.6)
    assert score.mean_distance == pytest.approx(2.1)


def test_cells_shown_to_the_guest(build: Any) -> None:
    """Two cells on two nodes at locality 0.8: each vCPU is at 0.8 × 1 + 0.2 × 2.1 = 1.22."""
    vm = build.vm(spec=build.spec(4, 4, cells=2))
    score = score_one(build, build.host(), vm, build.placed(vm, [0, 1, 4, 5], [0, 1]))
    assert score.remote_access == pytest.approx(4 * 0.22)
    assert score.remote_share == pytest.approx(0.2)
    assert score.locality_score == pytest.approx(80)


def test_uniform_locality_follows_the_memory(build: Any) -> None:
    """Uniform accesses with 1 and 3 GiB: vCPUs beside the small cell see 1/4 × 1 + 3/4 × 2.1."""
    from placer.model.vm import Cell, CellMode, VmSpec

    cells = (
        Cell(vcpus=frozenset({0}), memory_kib=build.GIB),
        Cell(vcpus=frozenset({1, 2}), memory_kib=3 * build.GIB),
    )
    spec = VmSpec(vcpus=3, memory_kib=4 * build.GIB, cell_mode=CellMode.GIVEN, cells=cells, locality=None)
    vm = build.vm(spec=spec)
    score = score_one(build, build.host(), vm, build.placed(vm, [0, 4, 5], [0, 1]))
    assert score.remote_access == pytest.approx(1 * 0.75 * 1.1 + 2 * 0.25 * 1.1)
    assert score.remote_share == pytest.approx((0.75 + 2 * 0.25) / 3)


def test_three_unequal_cells_share_the_rest_by_size() -> None:
    """What leaves a cell goes to the others in proportion to their memory, as worked out by hand."""
    rows = transfer_shares([100, 300, 600], 0.7)
    assert rows[0] == pytest.approx([0.7, 0.3 * 300 / 900, 0.3 * 600 / 900])
    assert rows[1] == pytest.approx([0.3 * 100 / 700, 0.7, 0.3 * 600 / 700])
    assert rows[2] == pytest.approx([0.3 * 100 / 400, 0.3 * 300 / 400, 0.7])


def test_cells_without_memory() -> None:
    """No memory at all counts as equal; a cell whose fellows have none keeps its accesses to itself."""
    assert transfer_shares([0, 0], None) == [[0.5, 0.5], [0.5, 0.5]]
    assert transfer_shares([8, 0], 0.8) == [[1.0, 0.0], pytest.approx([0.2, 0.8])]
    assert transfer_shares([5], 0.3) == [[1.0]]


def test_flat_guest_interleaved_over_nodes(build: Any) -> None:
    """A flat guest with vCPUs and memory in halves on two nodes: each vCPU is at (1 + 2.1) / 2."""
    vm = build.vm(spec=build.spec(4, 4, interleave=2))
    half = 2 * build.GIB
    score = score_one(build, build.host(), vm, build.placed(vm, [0, 1, 4, 5], [{0: half, 1: half}]))
    assert score.mean_distance == pytest.approx(1.55)
    assert score.remote_share == pytest.approx(0.5)


def test_a_cpuset_over_nodes_counts_by_its_cpus(build: Any) -> None:
    """A vCPU that floats over three CPUs here and one there is a quarter away."""
    vm = build.vm(spec=build.spec(1, 2, cpu_policy=CpuPolicy.SHARED))
    score = score_one(build, build.host(), vm, build.placed(vm, [(0, 1, 2, 4)], [0]))
    assert score.remote_access == pytest.approx(0.25 * 1.1)
    assert score.remote_share == pytest.approx(0.25)


def test_asymmetric_distances_are_seen_from_the_cpu(build: Any) -> None:
    """d[i][j] is memory on j seen from i: row 0 holds for a vCPU on node 0."""
    host = build.host(topology=build.topology(distances=[[10, 30], [17, 10]]))
    vm = build.vm()
    assert score_one(build, host, vm, build.placed(vm, [0, 1], [1])).mean_distance == pytest.approx(3.0)
    assert score_one(build, host, vm, build.placed(vm, [4, 5], [0])).mean_distance == pytest.approx(1.7)


def test_unreachable_counts_as_25_5(build: Any) -> None:
    """A figure of 255 or more is 25.5 times local, whatever was measured."""
    host = build.host(topology=build.topology(distances=[[10, 400], [255, 10]]))
    vm = build.vm()
    assert score_one(build, host, vm, build.placed(vm, [0, 1], [1])).mean_distance == pytest.approx(25.5)
    assert score_one(build, host, vm, build.placed(vm, [4, 5], [0])).mean_distance == pytest.approx(25.5)


def test_preferred_devices_add_their_distance_for_each(build: Any) -> None:
    """Each of two preferred devices on the far node adds 1.1 a vCPU, weighted; a required one adds nothing."""
    spec = build.spec(
        2, 2, weight=2.0,
        devices=(DeviceRequest(kind="nic", count=2), DeviceRequest(kind="gpu", policy="required")),
    )  # fmt: skip
    vm = build.vm(spec=spec)
    planned = build.placed(vm, [0, 1], [0], devices=(("gpu", 0), ("nic", 1), ("nic", 1)))
    score = score_one(build, build.host(), vm, planned)
    assert score.device_access == pytest.approx(2 * 2 * 2 * 1.1)
    assert score.remote_access == pytest.approx(score.device_access)
    assert score.remote_share == 0.0


def test_a_device_on_no_known_node_adds_nothing(build: Any) -> None:
    """Unknown nearness is not counted."""
    vm = build.vm(spec=build.spec(devices=(DeviceRequest(kind="nic"),)))
    planned = build.placed(vm, [0, 1], [0], devices=(("nic", None),))
    assert score_one(build, build.host(), vm, planned).remote_access == 0.0


def test_the_whole_is_weighted_by_vcpus(build: Any) -> None:
    """One local VM of 3 vCPUs and one remote of 1: a quarter of the accesses is remote."""
    big, small = build.vm("big", build.spec(3)), build.vm("small", build.spec(1))
    fleet = build.fleet([build.host()], [big, small])
    score = score_fleet(fleet, build.plan(build.placed(big, [0, 1, 2], [0]), build.placed(small, [4], [0])))
    assert score.remote_share == pytest.approx(0.25)
    assert score.mean_distance == pytest.approx((3 + 2.1) / 4)
    assert score.vms["small"].remote_access == pytest.approx(1.1)


def test_nothing_placed_is_unknown_not_zero(build: Any) -> None:
    """Without a placed VM shares and means are None."""
    score = score_fleet(build.fleet([build.host()], []), build.plan())
    assert score.remote_share is score.locality_score is score.mean_distance is None
    assert score.remote_access == 0.0


def test_alike_vms_are_computed_once(build: Any) -> None:
    """VMs of one spec on the same nodes share one score object; on another node they do not."""
    cache, spec, topology = ScoreCache(), build.spec(), build.topology()
    vms = [build.vm(f"v{n}", spec) for n in range(3)]
    scores = [
        cache.score(spec, topology, build.placed(vm, pins, [0]))
        for vm, pins in zip(vms, [(0, 1), (2, 3), (4, 5)], strict=True)
    ]
    assert scores[0] is scores[1]
    assert scores[0] is not scores[2]


@pytest.mark.slow
def test_a_large_fleet(build: Any) -> None:
    """A hundred thousand VMs are scored: of sixty vCPUs on a host twenty are away from their memory."""
    topology, spec = build.topology(cpus=40), build.spec(6)
    hosts = [build.host(f"h{n}", topology) for n in range(10_000)]
    vms = [build.vm(f"v{n}", spec) for n in range(100_000)]
    planned = [build.placed(vm, range(n % 10 * 6, n % 10 * 6 + 6), [0], host=f"h{n // 10}") for n, vm in enumerate(vms)]
    fleet, plan = build.fleet(hosts, vms), build.plan(*planned)
    assert score_fleet(fleet, plan).remote_access == pytest.approx(10_000 * 20 * 1.1)


def test_specs_alike_in_value_share_scores_too(build: Any) -> None:
    """Two spec objects that differ only in labels count as one; another weight or locality makes them two."""
    numbers = ScoreCache().specs
    one = build.spec(2, 2, labels={"app": "x"})
    first = numbers.of(one)
    kept = [build.spec(2, 2, labels={"app": "y"}), build.spec(2, 2, weight=2.0), build.spec(2, 2, locality=None)]
    others = [numbers.of(spec) for spec in kept]
    assert others[0] == first
    assert len({first, *others}) == 3
