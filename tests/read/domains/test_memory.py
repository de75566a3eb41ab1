"""Memory of a domain: cells, devices, pages and policies."""

from __future__ import annotations

import pytest

from placer.errors import InputError
from placer.model.vm import CellMode
from placer.read.domains.domain_xml import read_domain
from placer.read.domains.memory import MemoryPolicy
from placer.read.domains.reading import DomainReading

TWO_CELLS = "<cpu><numa><cell id='0' cpus='0-1' memory='4096'/><cell id='1' cpus='2-3' memory='2048'/></numa></cpu>"


def read(*parts: str, memory: str = "<memory>8192</memory>") -> DomainReading:
    """Read a domain of four vCPUs made of these parts."""
    body = "".join(parts)
    xml = f"<domain type='kvm'><name>a</name>{memory}<vcpu>4</vcpu>{body}</domain>"
    return read_domain(xml.encode(), "a.xml")


def device(model: str, size_kib: int, node: int | None = 0, source: str = "") -> str:
    """Return a memory device."""
    where = "" if node is None else f"<node>{node}</node>"
    target = f"<target><size unit='KiB'>{size_kib}</size>{where}</target>"
    return f"<devices><memory model='{model}'>{source}{target}</memory></devices>"


def test_cells_count_and_not_the_memory_element() -> None:
    """With guest cells the size is their sum, as libvirt has it, and ``<memory>`` need not be there."""
    assert read(TWO_CELLS).spec.memory_kib == 6144
    assert read(TWO_CELLS, memory="").spec.memory_kib == 6144


def test_cells_are_ordered_by_id_and_may_have_none() -> None:
    """Cells come by id; without ids by position; a cell may have no vCPUs."""
    swapped = "<cpu><numa><cell id='1' cpus='0-3' memory='1'/><cell id='0' memory='2'/></numa></cpu>"
    cells = read(swapped).spec.cells
    assert [(sorted(cell.vcpus), cell.memory_kib) for cell in cells] == [([], 2), ([0, 1, 2, 3], 1)]
    plain = "<cpu><numa><cell cpus='0-1' memory='1'/><cell cpus='2-3' memory='2'/></numa></cpu>"
    assert [cell.memory_kib for cell in read(plain).spec.cells] == [1, 2]


def test_vcpus_in_no_cell_go_to_the_first() -> None:
    """libvirt puts vCPUs in no cell into the first one; so does the reader, and says it."""
    reading = read("<cpu><numa><cell id='0' cpus='0' memory='1'/><cell id='1' cpus='3' memory='1'/></numa></cpu>")
    assert sorted(reading.spec.cells[0].vcpus) == [0, 1, 2]
    assert any("2 vCPUs are in no guest cell" in note for note in reading.notes)


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ("<cell id='0' cpus='0-3' memory='1'/><cell id='0' memory='1'/>", "twice"),
        ("<cell id='0' cpus='0-3' memory='1'/><cell id='1' cpus='3' memory='1'/>", "vCPU 3 is in two guest cells"),
        ("<cell id='x' cpus='0-3' memory='1'/>", "no whole number"),
        ("<cell id='0' cpus='0-3' memory='-1'/>", "no number"),
    ],
)
def test_refuses_cells_that_contradict_each_other(cells: str, message: str) -> None:
    """Cells that cannot be are refused."""
    with pytest.raises(InputError, match=message):
        read(f"<cpu><numa>{cells}</numa></cpu>")


def test_notes_cells_that_libvirt_will_not_take() -> None:
    """Ids with a hole, and vCPUs beyond the maximum, are read and noted."""
    reading = read("<cpu><numa><cell id='1' cpus='0-3' memory='1'/><cell id='2' cpus='4-7' memory='1'/></numa></cpu>")
    assert any("numbered 1, 2" in note for note in reading.notes)
    assert any("vCPU 4 and more" in note for note in reading.notes)


@pytest.mark.parametrize(("model", "counted"), [("dimm", 1024), ("virtio-mem", 1024), ("nvdimm", 0), ("sgx-epc", 0)])
def test_memory_devices_follow_their_cell(model: str, counted: int) -> None:
    """A device of ordinary memory adds to its cell; one of other memory is noted and not counted."""
    reading = read(TWO_CELLS, device(model, 1024, 1))
    assert [cell.memory_kib for cell in reading.spec.cells] == [4096, 2048 + counted]
    assert any("not counted" in note for note in reading.notes) is (counted == 0)


def test_uncounted_devices_come_out_of_a_flat_guests_memory() -> None:
    """``<memory>`` of a flat guest includes its devices; those in files take no memory of a node."""
    assert read(device("virtio-pmem", 1024, None)).spec.memory_kib == 8192 - 1024


def test_a_device_in_a_cell_that_is_not_there_is_noted() -> None:
    """Such a device counts to the first cell, and is named."""
    reading = read(TWO_CELLS, device("dimm", 1024, 5))
    assert reading.spec.cells[0].memory_kib == 5120
    assert any("guest cell 5" in note for note in reading.notes)


@pytest.mark.parametrize(
    ("pages", "page_kib"),
    [
        ("", None),
        ("<hugepages/>", 2048),
        ("<hugepages><page size='1' unit='GiB'/></hugepages>", 1 << 20),
        ("<hugepages><page size='2048'/></hugepages>", 2048),
        ("<hugepages><page size='2' unit='M' nodeset='0'/></hugepages>", 2048),
        ("<hugepages><page size='2' unit='M' nodeset='1'/></hugepages>", None),
        ("<hugepages><page size='4' unit='KiB'/></hugepages>", None),
    ],
)
def test_page_size_of_a_flat_guest(pages: str, page_kib: int | None) -> None:
    """The page size is read in KiB; ordinary pages are None."""
    assert read(f"<memoryBacking>{pages}</memoryBacking>").spec.page_kib == page_kib


def test_page_sizes_by_cell() -> None:
    """Page nodesets name guest cells: one size for all is the VM's, others are the cell's."""
    same = "<hugepages><page size='2048' nodeset='0-1'/></hugepages>"
    mixed = "<hugepages><page size='2048' nodeset='1'/><page size='1' unit='G'/></hugepages>"
    assert read(TWO_CELLS, f"<memoryBacking>{same}</memoryBacking>").spec.page_kib == 2048
    reading = read(TWO_CELLS, f"<memoryBacking>{mixed}</memoryBacking>")
    assert reading.spec.page_kib == 1 << 20
    assert [reading.spec.page_of(cell) for cell in range(2)] == [1 << 20, 2048]


def test_interleave_over_the_nodes_of_a_flat_guest() -> None:
    """Memory interleaved over k nodes makes a flat guest of k parts, unless there are fewer vCPUs than that."""
    assert read("<numatune><memory mode='interleave' nodeset='0,2'/></numatune>").spec.interleave == 2
    wide = read("<numatune><memory mode='interleave' nodeset='0-7'/></numatune>")
    assert wide.spec.interleave == 1
    assert any("8 nodes" in note for note in wide.notes)
    automatic = read("<numatune><memory mode='interleave' placement='auto'/></numatune>")
    assert automatic.spec.interleave == 1


def test_memnodes_are_kept_by_the_cells_position() -> None:
    """A memnode is found by cell id and kept by position; the domain's own policy stands in where there is none."""
    cells = "<cpu><numa><cell id='0' cpus='0-1' memory='1'/><cell id='1' cpus='2-3' memory='1'/></numa></cpu>"
    tune = "<numatune><memory mode='strict' nodeset='3'/><memnode cellid='1' mode='strict' nodeset='2'/></numatune>"
    numatune = read(cells, tune).numatune
    assert numatune.of_cell(0) == MemoryPolicy(mode="strict", nodeset=frozenset({3}))
    assert numatune.of_cell(1) == MemoryPolicy(mode="strict", nodeset=frozenset({2}))


def test_memnodes_of_a_flat_guest_are_noted() -> None:
    """libvirt ignores no memnode: one without guest cells is left out, and named."""
    reading = read("<numatune><memnode cellid='0' mode='strict' nodeset='1'/></numatune>")
    assert reading.numatune.memnodes == {}
    assert any("<memnode> names guest cell 0" in note for note in reading.notes)


def test_automatic_memory_is_named() -> None:
    """Memory whose nodes numad chooses is nowhere in particular, and that is said."""
    assert any("numad" in note for note in read("<numatune><memory mode='strict' placement='auto'/></numatune>").notes)


@pytest.mark.parametrize("mode", ["preferred", "restrictive", "strict"])
def test_soft_and_wide_policies_are_understood(mode: str) -> None:
    """They bind to sets or are a wish, and nothing is left to be told of."""
    reading = read(f"<numatune><memory mode='{mode}' nodeset='0-1'/></numatune>")
    assert reading.numatune.memory == MemoryPolicy(mode=mode, nodeset=frozenset({0, 1}))
    assert reading.notes == ("no vCPU is pinned",)


def test_the_policy_of_the_whole_is_silent_where_every_cell_has_its_own() -> None:
    """A strict memory over the nodes of all memnodes, as libvirt wants it, is nothing to be told of."""
    tune = (
        "<numatune><memory mode='strict' nodeset='0-1'/><memnode cellid='0' mode='strict' nodeset='0'/>"
        "<memnode cellid='1' mode='strict' nodeset='1'/></numatune>"
    )
    assert read(TWO_CELLS, tune).notes == ("no vCPU is pinned",)
    assert read(TWO_CELLS, tune).spec.cell_mode is CellMode.GIVEN
