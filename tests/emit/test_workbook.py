"""The workbook: sheets, figures, and texts that stay texts."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from dataclasses import replace

import pytest

from placer.emit.plan_tables import plan_tables
from placer.emit.workbook import workbook
from placer.model.fleet import Fleet
from placer.model.plan import GoalResult, Plan, PlanVm
from placer.model.vm import Cell, CellMode, Vm, VmSpec

pytest.importorskip("xlsxwriter", reason="needs the extra excel")
calamine = pytest.importorskip("python_calamine", reason="needs the extra excel")

FORMULAS = (
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    '=HYPERLINK("http://192.0.2.1")',
    "http://192.0.2.1/",
    "\t=1",
    "007",
    "{=1}",
)
SPEC = VmSpec(
    vcpus=1, memory_kib=1 << 20, cell_mode=CellMode.NONE, cells=(Cell(vcpus=frozenset({0}), memory_kib=1 << 20),)
)


@pytest.fixture
def book(
    place: Callable[..., PlanVm], planned: Callable[..., Plan], fleet_of: Callable[..., Fleet]
) -> tuple[Fleet, Plan, bytes]:
    """Return a fleet whose VMs are named like formulas, its plan and the workbook."""
    vms = [place(SPEC, pins={0: frozenset({2 * at})}, name=name) for at, name in enumerate(FORMULAS[:8])]
    fleet = fleet_of(*(Vm(name=name, spec=SPEC) for name in FORMULAS[:8]))
    plan = planned(*vms, warnings=FORMULAS)
    return fleet, plan, workbook(plan, fleet)


def test_no_cell_is_a_formula_or_a_link(book: tuple[Fleet, Plan, bytes]) -> None:
    """Names that begin with = + - @ are strings in the file, and no cell holds a formula or links anywhere."""
    _, _, data = book
    sheets = zipfile.ZipFile(io.BytesIO(data))
    for name in sheets.namelist():
        text = sheets.read(name).decode()
        assert "<f>" not in text and "<f " not in text
        assert "<hyperlink" not in text
        assert "relationships/hyperlink" not in text
    shown = calamine.CalamineWorkbook.from_filelike(io.BytesIO(data)).get_sheet_by_name("VMs").to_python()
    assert [row[0] for row in shown[1:]] == list(FORMULAS[:8])


def test_sheets_hold_the_tables(book: tuple[Fleet, Plan, bytes]) -> None:
    """Every table is a sheet with its columns and as many rows, in the order that the issue names."""
    fleet, plan, data = book
    read = calamine.CalamineWorkbook.from_filelike(io.BytesIO(data))
    assert read.sheet_names == ["Summary", "Hosts", "Nodes", "VMs", "Pins", "Moves", "Warnings"]
    for table in plan_tables(plan, fleet):
        rows = read.get_sheet_by_name(table.name).to_python()
        assert tuple(rows[0]) == table.columns
        assert len(rows) == len(table.rows) + 1


def test_free_cpus_are_what_nobody_has(book: tuple[Fleet, Plan, bytes]) -> None:
    """A node of eight CPUs with eight one-vCPU VMs has none free, the other one all."""
    fleet, plan, _ = book
    nodes = next(table for table in plan_tables(plan, fleet) if table.name == "Nodes")
    assert [(row[1], row[3]) for row in nodes.rows] == [(0, 0), (1, 8)]


def test_summary_says_what_is_not_known(book: tuple[Fleet, Plan, bytes]) -> None:
    """The outcome stands first in words; a bound that is not known is told so, and gaps are shares in per cent."""
    fleet, plan, _ = book
    goals = (
        GoalResult(name="remote", value=1.5, bound=None, gap=None, source="", status="feasible"),
        GoalResult(name="hosts", value=4, bound=3, gap=0.25, source="CP-SAT", status="feasible"),
    )
    data = workbook(replace(plan, goals=goals), fleet)
    rows = calamine.CalamineWorkbook.from_filelike(io.BytesIO(data)).get_sheet_by_name("Summary").to_python()
    assert rows[1][0] == "outcome" and "Every VM has a place" in rows[1][1]
    told = {row[0]: row[1:] for row in rows}
    assert told["goal remote"][:3] == [1.5, "unknown", "unknown"] and "extra distance" in told["goal remote"][4]
    assert told["goal hosts"][:3] == [4, 3, 0.25]
    assert b"0.00%" in zipfile.ZipFile(io.BytesIO(data)).read("xl/styles.xml")
