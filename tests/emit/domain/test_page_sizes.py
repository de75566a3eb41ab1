"""Page sizes that differ by guest cell: read, planned each from its own pools, written where they are new."""

from __future__ import annotations

from pathlib import Path

import pytest

from placer import read_fleet, solve
from placer.check.check import check
from placer.emit.domain.files import domain_files
from placer.emit.qemu import qemu_files
from placer.errors import InputError
from placer.read.domains.domain_xml import read_domain
from placer.read.inventory.write import inventory_text

INVENTORY = """schema: placer.inventory/v1
hosts:
  - name: h
    nodes:
      - {id: 0, cpus: "0-7", memory: 16GiB, pages: {1GiB: 4}}
      - {id: 1, cpus: "8-15", memory: 16GiB, pages: {2MiB: %d}}
vms: [%s]
"""
CELLS = "{name: a, cells: [{vcpus: 2, memory: 4GiB, page_size: 1GiB}, {vcpus: 2, memory: 4GiB, page_size: 2MiB}]}"


def written(folder: Path, pages: int, vm: str):  # type: ignore[no-untyped-def]
    """Return the fleet of one VM and a host whose second node pools so many pages of 2 MiB."""
    path = folder / "f.yaml"
    path.write_text(INVENTORY % (pages, vm))
    return read_fleet(path)


def test_each_cell_takes_pages_of_its_own_size(tmp_path: Path) -> None:
    """Cells go where their pages are; XML and QEMU line name the size of each, and what is written is read the same."""
    fleet = written(tmp_path, 2048, CELLS)
    plan = solve(fleet)
    assert [list(cell.nodes) for cell in plan.vms[0].cells] == [[0], [1]]
    assert check(fleet, plan).ok
    (xml,) = domain_files(plan, fleet).values()
    spec = read_domain(xml, "a.xml").spec
    assert [spec.page_of(cell) for cell in range(2)] == [1 << 20, 2048]
    (line,) = qemu_files(plan, fleet).values()
    assert line.index(b"hugetlbsize=1024M") < line.index(b"ram-node1") < line.index(b"hugetlbsize=2M")
    (tmp_path / "f.yaml").write_text(inventory_text(fleet))
    assert read_fleet(tmp_path / "f.yaml").vms[0].spec == fleet.vms[0].spec


def test_pages_of_another_size_are_no_help(tmp_path: Path) -> None:
    """Where the pool of one cell's size is too small the VM has no place, and the reason names that size."""
    plan = solve(written(tmp_path, 1024, CELLS))
    (left,) = plan.unplaced
    assert "pages of 2MiB" in left.reason


def test_a_domain_says_it_by_nodeset(tmp_path: Path) -> None:
    """Cells that no page names have ordinary pages; a domain that stays so keeps its XML."""
    body = b"""<domain><name>a</name><memory unit='GiB'>8</memory><memoryBacking><hugepages>
    <page size='2' unit='MiB' nodeset='1'/></hugepages></memoryBacking><vcpu>4</vcpu><cpu><numa>
    <cell id='0' cpus='0-1' memory='4' unit='GiB'/><cell id='1' cpus='2-3' memory='4' unit='GiB'/>
    </numa></cpu></domain>"""
    spec = read_domain(body, "a.xml").spec
    assert [spec.page_of(cell) for cell in range(2)] == [None, 2048]
    (tmp_path / "a.xml").write_bytes(body)
    fleet = written(tmp_path, 2048, "{domain: a.xml}")
    plan = solve(fleet)
    assert check(fleet, plan).ok
    (xml,) = domain_files(plan, fleet).values()
    assert b"<page size='2' unit='MiB' nodeset='1'/>" in xml


def test_a_cell_is_whole_pages(tmp_path: Path) -> None:
    """QEMU starts no cell that ends inside a page."""
    with pytest.raises(InputError, match="no whole number of pages of 1GiB"):
        written(
            tmp_path, 0, "{name: a, cells: [{vcpus: 1, memory: 1536MiB, page_size: 1GiB}, {vcpus: 1, memory: 1GiB}]}"
        )
