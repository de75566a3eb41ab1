"""Headroom by formula and by solves a host state, against solving the whole, and what is said of it."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path
from typing import Any

import pytest

import placer
from placer.errors import InputError
from placer.model.fleet import Fleet
from placer.model.goals import parse_flavor, parse_goals
from placer.model.host import Host, Node, Reserve, Topology
from placer.model.vm import Cell, CellMode, CpuPolicy, Current, EmulatorPolicy, PinPolicy, ThreadPolicy, Vm, VmSpec
from placer.options import SweepOptions
from placer.planning.compile.budget import move_budget
from placer.planning.compile.compile import compile_fleet
from placer.planning.decode.names import assign_names
from placer.planning.wanted import Wanted, wanted_flavors, wanted_like
from placer.whatif.headroom import headroom
from placer.whatif.headroom_ruled import ruled_headroom
from solvers.result import Limits
from solvers.solve import solve
from tests.effort import no_more_than

GIB = 1024 * 1024
MIB = 1024


def random_hosts(rng: random.Random) -> list[Host]:
    """Return one to three hosts of uneven nodes, some with SMT, pools of large pages, reserves."""
    hosts = []
    for number in range(rng.randint(1, 3)):
        threads = rng.choice((1, 2))
        nodes, first = [], 0
        for node in range(rng.choice((1, 2, 2, 3, 4))):
            count = threads * rng.randint(2, 24 // threads)
            memory = rng.randint(4, 48)
            pages = {2 * MIB: rng.randint(0, 256 * memory)} if rng.random() < 0.5 else {}
            nodes.append(
                Node(id=node, cpus=frozenset(range(first, first + count)), memory_kib=memory * GIB, pages=pages)
            )
            first += count
        rows = tuple(tuple(10.0 if i == j else 21.0 for j in range(len(nodes))) for i in range(len(nodes)))
        cores = tuple(frozenset(range(cpu, cpu + threads)) for cpu in range(0, first, threads))
        topology = Topology(nodes=tuple(nodes), distances=rows, cores=cores)
        reserve = Reserve(cpus=frozenset({0})) if rng.random() < 0.3 else Reserve()
        hosts.append(
            Host(
                name=f"h{number}",
                topology=topology,
                reserve=reserve,
                cpu_ratio=rng.choice((1.0, 2.0)),
                labels={"rack": f"r{number % 2}"},
            )
        )
    return hosts


def random_spec(rng: random.Random) -> VmSpec:
    """Return a VM with fixed or auto cells, any policies, ordinary or large pages."""
    cells = rng.choice((1, 1, 2, 2, 3, "auto", "auto", "auto", "uneven"))
    each = rng.choice((1, 2, 3, 4))
    vcpus = each * (cells if isinstance(cells, int) else rng.choice((2, 4)))
    memory = vcpus * rng.choice((64 * MIB, 256 * MIB, GIB))
    more: dict[str, Any] = {
        "emulator_threads": rng.choice((None, EmulatorPolicy.ISOLATE, EmulatorPolicy.SHARE)),
        "page_kib": rng.choice((None, None, 2 * MIB)),
        "overhead_kib": rng.choice((None, 0, 0)),
        "thread_policy": rng.choice((ThreadPolicy.PREFER, ThreadPolicy.PREFER, *ThreadPolicy)),
        "cpu_policy": rng.choice((CpuPolicy.DEDICATED,) * 4 + (CpuPolicy.SHARED,)),
        "share_node": rng.random() < 0.1,
    }
    if more["cpu_policy"] is CpuPolicy.SHARED:
        more["thread_policy"], more["emulator_threads"] = ThreadPolicy.PREFER, None
    if cells == "auto":
        return VmSpec(vcpus=vcpus, memory_kib=memory, **more)
    sizes = [each, vcpus - each] if cells == "uneven" else [each] * int(cells)
    made, first = [], 0
    for size in sizes:
        made.append(Cell(vcpus=frozenset(range(first, first + size)), memory_kib=memory * size // vcpus))
        first += size
    memory = sum(cell.memory_kib for cell in made)
    return VmSpec(vcpus=vcpus, memory_kib=memory, cell_mode=CellMode.GIVEN, cells=tuple(made), **more)


def random_fleet(rng: random.Random) -> Fleet:
    """Return hosts that hold some VMs: those that a solve places, now and then on nodes that nobody knows."""
    hosts = random_hosts(rng)
    fleet = Fleet(
        hosts=tuple(hosts), vms=tuple(Vm(name=f"v{n}", spec=random_spec(rng)) for n in range(rng.randint(0, 6)))
    )
    if not fleet.vms:
        return fleet
    compiled = compile_fleet(fleet, parse_goals("placed", fleet))
    result = solve(compiled.problem, engine="greedy", limits=Limits(time_limit_s=5))
    placed = []
    for entry in assign_names(compiled, result).hosts:
        host = hosts[entry.host]
        shape = next(one.shape for one in compiled.problem.classes if entry.host in one.members)
        for number, vm in entry.vms:
            where = compiled.placements[shape][number]
            current = Current(host=host.name, nodes=where.cpu_nodes, memory_nodes=where.memory_nodes)
            pin = PinPolicy.ALLOWED
            if rng.random() < 0.2:
                current, pin = Current(host=host.name), PinPolicy.MUST
            placed.append(dataclasses.replace(fleet.vms[vm], current=current, pin=pin))
    return dataclasses.replace(fleet, vms=tuple(placed))


def fits(fleet: Fleet, spec: VmSpec, many: int) -> bool | None:
    """Tell by a solve of the whole fleet whether so many more VMs fit, nothing moved; None where it is not proven."""
    more = tuple(Vm(name=f"more {n}", spec=spec) for n in range(many))
    grown = dataclasses.replace(fleet, vms=(*fleet.vms, *more))
    compiled = compile_fleet(grown, parse_goals("placed", grown), move_budget(grown, None, None))
    result = solve(compiled.problem, limits=Limits(time_limit_s=20))
    assert result.status != "infeasible"
    if result.patterns and not any(result.unplaced):
        return True
    return None if result.objectives[0].bound in (0, None) else False


@pytest.mark.parametrize("block", range(20))
def test_headroom_is_what_repeated_solving_finds(block: int) -> None:
    """Fixed, uneven and auto cells, emulator CPUs, pools, policies, live VMs: n fit, and n + 1 are proven not to."""
    for seed in range(10 * block, 10 * block + 10):
        rng = random.Random(seed)
        fleet, spec = random_fleet(rng), random_spec(rng)
        (found,) = headroom(fleet, [Wanted("w", spec)])
        assert found.total == found.at_most == sum(found.per_host.values()), seed
        assert all(most >= found.total for most in found.limits.values()), seed
        assert fits(fleet, spec, found.total) is True, seed
        assert fits(fleet, spec, found.total + 1) is False, seed


def one_host(*cpus: int, memory_gib: int = 8, **more: Any) -> Host:
    """Return a host with so many CPUs on its nodes."""
    nodes, first = [], 0
    for number, count in enumerate(cpus):
        nodes.append(Node(id=number, cpus=frozenset(range(first, first + count)), memory_kib=memory_gib * GIB))
        first += count
    rows = tuple(tuple(10.0 if i == j else 21.0 for j in range(len(cpus))) for i in range(len(cpus)))
    topology = Topology(nodes=tuple(nodes), distances=rows, cores=tuple(frozenset({cpu}) for cpu in range(first)))
    return Host(topology=topology, **{"name": "h", "labels": {"rack": "a"}, **more})


def test_cells_as_they_fit_best() -> None:
    """Nodes of 32, 8 and 8 CPUs hold three VMs of 16 with auto cells, two of one cell, none of three."""
    fleet = Fleet(hosts=(one_host(32, 8, 8, memory_gib=64),), vms=())
    flavors = wanted_flavors([parse_flavor("16x4GiB")], [1, 2, "auto"], [None])
    found = headroom(fleet, flavors)
    assert [(one.flavor, one.total) for one in found] == [("16x4GiB", 2), ("16x4GiB/2", 2), ("16x4GiB/auto", 3)]
    with pytest.raises(InputError, match="3 cells do not divide 16 vCPUs"):
        wanted_flavors([parse_flavor("16x4GiB")], [3], [])


def test_the_resource_that_runs_out_first_is_named() -> None:
    """One node of 16 CPUs and 8 GiB holds 4 VMs by CPU and fewer by memory."""
    fleet = Fleet(hosts=(one_host(16),), vms=())
    (found,) = headroom(fleet, [parse_flavor("4x3GiB")], label="rack")
    assert (found.total, found.first, found.limits["CPUs"]) == (2, "memory", 4)
    assert found.per_label == {"a": 2}


def test_limits_of_hosts_with_other_rows() -> None:
    """A resource that half of the hosts count never seems scarcer than the VMs that fit on all."""
    smt = one_host(16, memory_gib=64, name="smt")
    cores = tuple(frozenset({2 * n, 2 * n + 1}) for n in range(8))
    smt = dataclasses.replace(smt, topology=dataclasses.replace(smt.topology, cores=cores))
    fleet = Fleet(hosts=(one_host(16, memory_gib=64, name="plain"), smt), vms=())
    spec = VmSpec(vcpus=4, memory_kib=GIB, overhead_kib=0, thread_policy=ThreadPolicy.ISOLATE)
    (found,) = headroom(fleet, [Wanted("isolated", spec)])
    # 4 on the plain host; 2 on 8 whole cores.
    assert (found.total, found.first) == (6, "CPUs")
    assert found.limits == {"CPUs": 6, "memory": 128, "whole cores": 6}


def test_vms_on_no_known_node_take_their_room() -> None:
    """Two of 4 vCPUs in auto cells on nodes of 6: one whole and one in halves leave one node with room for another."""
    vms = [
        Vm(
            name=f"v{n}",
            spec=VmSpec(vcpus=4, memory_kib=GIB, overhead_kib=0),
            current=Current(host="h"),
            pin=PinPolicy.MUST,
        )
        for n in range(2)
    ]
    fleet = Fleet(hosts=(one_host(6, 6, memory_gib=64),), vms=tuple(vms))
    found = headroom(fleet, [parse_flavor("4x1GiB"), parse_flavor("2x1GiB")])
    assert [(one.total, one.at_most) for one in found] == [(1, 1), (2, 2)]
    # They float, which rows over both nodes say: no solve is needed.
    (few,) = headroom(fleet, [parse_flavor("4x1GiB")], most_solves=0)
    assert (few.total, few.at_most) == (1, 1)


def test_like_a_vm_of_the_fleet() -> None:
    """A VM like another needs all that it needs; what fits nowhere says why."""
    spec = VmSpec(vcpus=4, memory_kib=GIB, overhead_kib=0, emulator_threads=EmulatorPolicy.ISOLATE, labels={"app": "x"})
    fleet = Fleet(
        hosts=(one_host(16, memory_gib=64),),
        vms=(Vm(name="v", spec=spec), Vm(name="wide", spec=dataclasses.replace(spec, vcpus=17))),
    )
    like, wide = headroom(fleet, [wanted_like(fleet, "v"), wanted_like(fleet, "wide")])
    assert (like.flavor, like.total) == ("like v", 3)
    assert (wide.total, wide.first, wide.limits) == (0, None, {})
    assert wide.why is not None and wide.why.startswith("needs ")
    with pytest.raises(InputError, match="no VM is named 'w'"):
        wanted_like(fleet, "w")


@pytest.mark.parametrize(
    ("rule", "fits"),
    [
        ("{anti_affinity: {app: a}, scope: host}", 3),
        ("{anti_affinity: [v-1, v-2], scope: host, max_per: 2}", 6),
        ("{anti_affinity: {app: a}, scope: rack}", 1),
        ("{affinity: {app: a}, scope: rack}", 14),
        ("{within: {app: a}, hosts: {rack: r0}}", 14),
        ("{outside: [v-1], hosts: [h-4]}", 22),
    ],
)
def test_like_a_vm_is_of_its_group(tmp_path: Path, rule: str, fits: int) -> None:
    """Four hosts of 8 CPUs in two racks: what is like a VM is counted with the rules that hold it, by label or name."""
    hosts = "\n".join(
        f"  - {{name: h-{n}, labels: {{rack: r{n // 3}}}, nodes: [{{id: 0, cpus: 0-7, memory: 64GiB}}]}}"
        for n in (1, 2, 3, 4)
    )
    path = tmp_path / "fleet.yaml"
    path.write_text(
        f"schema: placer.inventory/v1\nhosts:\n{hosts}\nvms:\n"
        "  - {name: v-1, vcpus: 1, memory: 1GiB, labels: {app: a}, host: h-1, nodes: [0]}\n"
        "  - {name: v-2, vcpus: 1, memory: 1GiB, labels: {app: b}, host: h-1, nodes: [0]}\n"
        f"rules:\n  - {rule}\n"
    )
    fleet = placer.read_fleet(path)
    wanted = wanted_like(fleet, "v-1")
    (plain,) = headroom(fleet, [wanted])
    found = ruled_headroom(fleet, wanted, plain, SweepOptions(time_limit_s=10))
    assert (found.total, found.at_most) == (fits, fits)


def test_ten_thousand_hosts_and_a_hundred_flavors() -> None:
    """Hosts of three shapes, a fifth of them with VMs, are counted for 100 flavors in seconds."""
    shapes = [one_host(*cpus, memory_gib=256) for cpus in ((62, 62), (31,) * 4, (15,) * 8)]
    hosts = [dataclasses.replace(shapes[n % 3], name=f"h{n}") for n in range(10_000)]
    specs = [VmSpec(vcpus=vcpus, memory_kib=vcpus * GIB) for vcpus in (1, 2, 4, 8)]
    vms = [
        Vm(name=f"v{n}", spec=specs[n % 4], current=Current(host=f"h{5 * n}", nodes=(n % 2,), memory_nodes=(n % 2,)))
        for n in range(2_000)
    ]
    fleet = Fleet(hosts=tuple(hosts), vms=tuple(vms))
    flavors = wanted_flavors(
        [parse_flavor(f"{vcpus}x{2 * gib}GiB") for vcpus in (2, 4, 8, 12, 16) for gib in range(1, 11)], [1, 2], []
    )
    assert len(flavors) == 100

    with no_more_than(1000):
        found = headroom(fleet, flavors)
    assert all(one.total == one.at_most for one in found)
    # An eighth-cut host of 15 CPUs a node holds 7 of 2 vCPUs on each, 56 in all; in cells of one CPU 15 × 8 / 2 = 60.
    by_name = {one.flavor: one.per_host["h2"] for one in found}
    assert (by_name["2x2GiB"], by_name["2x2GiB/2"]) == (56, 60)
