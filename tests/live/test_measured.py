"""From threads and mappings to what a VM's memory really is: each cell found, or left out rather than guessed."""

from __future__ import annotations

import pytest

from placer.live.host_files import MemoryArea, Process, Thread
from placer.live.measured import cell_memory, measure
from tests.live.scene import MIB, domain_xml, placed, spec, topology

HALF = 256 * MIB
TWO_CELLS = (("0-1", HALF), ("2-3", HALF))
BOUND = (
    "<numatune><memory mode='strict' nodeset='0-1'/><memnode cellid='0' mode='strict' nodeset='0'/>"
    "<memnode cellid='1' mode='strict' nodeset='1'/></numatune>"
)


def area(size_kib: int, nodes: dict[int, int], policy: str = "default", file: str = "") -> MemoryArea:
    """Return one area."""
    return MemoryArea(size_kib=size_kib, policy=policy, nodes_kib=nodes, file=file)


def test_cells_of_one_size_are_told_apart_by_their_policy() -> None:
    """The area bound to node 0 is cell 0's, wherever its pages are by now and in whatever order areas come."""
    live = domain_xml(vcpus=4, cells=TWO_CELLS, inside=BOUND)
    areas = [area(HALF, {1: HALF}, "bind:1"), area(7, {0: 7}), area(HALF, {1: HALF}, "bind:0")]
    assert cell_memory(live, 2, areas) == {0: {1: HALF}, 1: {1: HALF}}


def test_files_name_their_cell() -> None:
    """Memory in files says which cell it is; ram-node1 is not ram-node10."""
    live = domain_xml(vcpus=4, cells=TWO_CELLS, inside=BOUND)
    areas = [area(HALF, {1: 5}, file="/memfd:ram-node1"), area(HALF, {0: 3}, file="/huge/_objects_ram-node0.X")]
    assert cell_memory(live, 2, areas) == {0: {0: 3}, 1: {1: 5}}
    areas[0] = area(HALF, {1: 5}, file="/memfd:ram-node10")
    assert cell_memory(live, 2, areas) == {0: {0: 3}}


def test_a_cell_that_is_not_found_is_not_made_up() -> None:
    """One area for two cells leaves one cell unknown."""
    live = domain_xml(vcpus=4, cells=TWO_CELLS, inside=BOUND)
    assert cell_memory(live, 2, [area(HALF, {0: HALF}, "bind:0")]) == {0: {0: HALF}}


def test_memory_devices_count_to_their_cell() -> None:
    """A DIMM is an area of its own, in the cell that its target names."""
    live = domain_xml(vcpus=4, cells=TWO_CELLS, inside=BOUND).replace(
        b"</domain>",
        b"<devices><memory model='dimm'><target><size unit='MiB'>64</size><node>1</node></target></memory></devices>"
        b"</domain>",
    )
    areas = [area(HALF, {0: 1}, "bind:0"), area(HALF, {1: 2}, "bind:1"), area(64 * MIB, {0: 4}, "bind:1")]
    assert cell_memory(live, 2, areas) == {0: {0: 1}, 1: {1: 2, 0: 4}}


def test_a_flat_guest_is_the_area_of_its_size_with_the_pages() -> None:
    """Among areas of one size and policy the guest's is the one that holds something."""
    live = domain_xml(inside="<numatune><memory mode='restrictive' nodeset='1'/></numatune>")
    areas = [area(512 * MIB, {}), area(512 * MIB, {0: 40, 1: 60})]
    assert cell_memory(live, 1, areas) == {0: {0: 40, 1: 60}}


def process(pins: dict[int, set[int]], areas: list[MemoryArea]) -> Process:
    """Return QEMU with these vCPU threads."""
    threads = [Thread(id=9, name="qemu-system-x86", cpus=frozenset({0}))]
    threads += [Thread(id=10 + vcpu, name=f"CPU {vcpu}/KVM", cpus=frozenset(cpus)) for vcpu, cpus in pins.items()]
    threads += [
        Thread(id=20, name="IO iothread3", cpus=frozenset({6})),
        Thread(id=21, name="IO mon_iothread", cpus=frozenset({7})),
        Thread(id=22, name="vhost-9", cpus=frozenset({5})),
    ]
    return Process(pid=9, threads=tuple(threads), areas=tuple(areas))


def test_threads_are_known_by_their_names() -> None:
    """vCPUs, IOThreads and the emulator set: QEMU's first thread and vhost; its helpers are none of them."""
    need = spec()
    vm = placed(need, (0,), {0: frozenset({0}), 1: frozenset({1})})
    found = measure(vm, need, topology(), domain_xml(), process({0: {0}, 1: {1}}, []))
    assert found.vcpus == {0: {0}, 1: {1}}
    assert found.iothreads == {3: {6}}
    assert found.emulator == {"main thread": {0}, "vhost-9 (22)": {5}}


@pytest.mark.parametrize(
    ("pins", "pages", "share"),
    [
        ({0: {0}, 1: {1}}, {0: 512 * MIB}, 0.0),
        ({0: {0}, 1: {1}}, {1: 512 * MIB}, 1.0),
        ({0: {0}, 1: {4}}, {0: 512 * MIB}, 0.5),
        ({0: set(range(8)), 1: set(range(8))}, {0: 100, 1: 300}, 0.5),
        ({0: {0}, 1: {1}}, {0: 300, 1: 100}, 0.25),
    ],
)
def test_the_remote_share_follows_pages_and_threads(
    pins: dict[int, set[int]], pages: dict[int, int], share: float
) -> None:
    """It is what the plan's measure says of where things are, worked out here by hand."""
    need = spec()
    vm = placed(need, (0,), {0: frozenset({0}), 1: frozenset({1})})
    found = measure(vm, need, topology(), domain_xml(), process(pins, [area(512 * MIB, pages)]))
    assert found.remote_share == pytest.approx(share)


@pytest.mark.parametrize(
    ("pins", "areas"),
    [
        ({0: {0}}, [area(512 * MIB, {0: 5})]),
        ({0: {0}, 1: {1}}, []),
        ({0: {0}, 1: {1}}, [area(512 * MIB, {})]),
        ({0: {0}, 1: {90}}, [area(512 * MIB, {0: 5})]),
    ],
)
def test_what_was_not_seen_is_unknown(pins: dict[int, set[int]], areas: list[MemoryArea]) -> None:
    """Without all vCPU threads and some page of each cell there is no share: not 0."""
    need = spec()
    vm = placed(need, (0,), {0: frozenset({0}), 1: frozenset({1})})
    assert measure(vm, need, topology(), domain_xml(), process(pins, areas)).remote_share is None
