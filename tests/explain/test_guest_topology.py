"""What a topology tells a guest: cores, L3 domains and cells held against the CPUs that its vCPUs are on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from placer.cli.app import main
from placer.explain.guest_topology import TopologyChoice, guest_topologies
from placer.model.cpu_topology import CpuTopology
from placer.show.topology_words import topology_sentences


def choices(build: Any, spec: Any, pins: list[int], shown: CpuTopology, memory: tuple[int, ...] = (0,)) -> Any:
    """Return the choices of a VM so pinned on nodes of 8 CPUs in cores of 2 and L3 domains of 4."""
    planned = build.placed(build.vm("v", spec), pins, list(memory))
    return guest_topologies(planned, build.topology(cpus=8, l3_cpus=4), shown)


def named(found: Any, **levels: int) -> TopologyChoice:
    """Return the choice of this topology."""
    return next(one for one in found.choices if one.topology == CpuTopology(**levels))


def test_pairs_are_counted_by_hand(build: Any) -> None:
    """Eight vCPUs on four whole cores in two L3 domains: what one socket, two, and a socket a vCPU tell of it."""
    found = choices(build, build.spec(8, 8), list(range(8)), CpuTopology(sockets=8))
    each = named(found, sockets=8)
    # 4 pairs share a core, 2 x 6 an L3, and the guest is told of none.
    assert (each.core_false, each.core_missed, each.l3_false, each.l3_missed) == (0, 4, 0, 12)
    flat = named(found, cores=8)
    assert (flat.core_missed, flat.l3_false, flat.l3_missed) == (4, 16, 0)
    best = named(found, sockets=2, cores=2, threads=2)
    assert best.advised and best.wrong == (0, 0, 0) and each.shown and not each.advised
    said = " ".join(topology_sentences(found))
    assert "cpu_topology: {sockets: 2, cores: 2, threads: 2}" in said and "leaves 6 vCPUs idle" in said


def test_threads_that_are_none_are_wrong(build: Any) -> None:
    """A guest core of two vCPUs on two host cores is taken for what it is not."""
    found = choices(build, build.spec(2, 2), [0, 2], CpuTopology(threads=2))
    assert (named(found, threads=2).core_false, named(found, cores=2).wrong) == (1, (0, 0, 0))
    assert named(found, cores=2).advised


def test_a_socket_over_cells_is_cut(build: Any) -> None:
    """Two cells of three vCPUs: three sockets of two are cut once, two sockets are the cells."""
    pins = [0, 2, 4, 8, 10, 12]
    found = choices(build, build.spec(6, 6, cells=2), pins, CpuTopology(sockets=3, cores=2), (0, 1))
    assert (found.cells, found.nodes) == (2, 2)
    assert named(found, sockets=3, cores=2).cut == 1 and named(found, sockets=2, cores=3).cut == 0


def test_distances_are_held_against_those_of_the_nodes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the XML tells the guest stands beside what its nodes have; what a new guest is told is that."""
    sibling = "<sibling id='{}' value='{}'/>"
    cells = "".join(
        f"<cell id='{n}' cpus='{n}' memory='1' unit='GiB'><distances>{sibling.format(1 - n, 40)}</distances></cell>"
        for n in (0, 1)
    )
    (tmp_path / "v.xml").write_text(
        f"<domain type='kvm'><name>v</name><memory unit='GiB'>2</memory><vcpu>2</vcpu><os><type>hvm</type></os>"
        f"<cpu><numa>{cells}</numa></cpu></domain>"
    )
    (tmp_path / "f.yaml").write_text(
        "schema: placer.inventory/v1\n"
        "hosts: [{name: h, nodes: [{id: 0, cpus: 0-3, memory: 8GiB}, {id: 1, cpus: 4-7, memory: 8GiB}], "
        "distances: [[10, 21], [21, 10]]}]\n"
        "vms: [{domain: v.xml}, {name: new, vcpus: 2, memory: 2GiB, cells: 2}]\n"
    )
    plan = str(tmp_path / "p.json")
    assert main(["solve", str(tmp_path / "f.yaml"), "-o", plan, "--rounds", "1"]) == 0
    for name, told in (
        ("v", "10 40 / 40 10: on the host it is 10 21 / 21 10."),
        ("new", "10 21 / 21 10: as on the ho"),
    ):
        capsys.readouterr()
        assert main(["explain", plan, name, "--topology"]) == 0
        assert told in " ".join(capsys.readouterr().out.split())


def test_what_floats_is_not_judged(build: Any) -> None:
    """vCPUs that float over cores and L3 domains make no pairs, and that is said: what is shown is as true as any."""
    planned = build.placed(build.vm("v", build.spec(2, 2)), [range(8), range(8)], [0])
    found = guest_topologies(planned, build.topology(cpus=8, l3_cpus=4), CpuTopology(cores=2))
    assert (found.known_cores, found.known_l3) == (0, 0) and all(one.wrong == (0, 0, 0) for one in found.choices)
    said = " ".join(topology_sentences(found))
    assert "2 of 2 vCPUs have no core of their own, 2 of 2 no L3 domain" in said and "as true as any" in said


def test_of_choices_that_are_as_true_the_shown_one_stays(build: Any) -> None:
    """A socket a cell is what auto gives: that fewer are licensed is told, and it is no fault to be mended."""
    planned = build.placed(build.vm("v", build.spec(4, 4, cells=2)), [0, 1, 8, 9], [0, 1])
    bare = replace(build.topology(cpus=8), l3=())
    found = guest_topologies(planned, bare, CpuTopology(sockets=2, cores=1, threads=2))
    assert named(found, sockets=2, cores=1, threads=2).advised
    last = list(topology_sentences(found))[-1]
    assert last == "What it is shown is as true as any; with 1 × 2 × 2 it counts 1 socket where those are licensed."
