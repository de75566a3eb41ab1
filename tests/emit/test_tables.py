"""The CSV table: one row a vCPU, then what is none."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable

from placer.emit.tables import COLUMNS, csv_table
from placer.model.fleet import Fleet
from placer.model.plan import Plan, PlanVm
from placer.model.vm import Cell, CellMode, Vm, VmSpec


def table(
    place: Callable[..., PlanVm], planned: Callable[..., Plan], fleet_of: Callable[..., Fleet], name: str
) -> tuple[Plan, list[dict[str, str]]]:
    """Return a plan of one VM with a hard and a floating vCPU, and the rows of its table."""
    spec = VmSpec(vcpus=2, memory_kib=4096)
    vm = place(spec, (1, 0), name=name, pins={0: frozenset({3}), 1: frozenset({0, 1, 2})})
    plan = planned(vm)
    text = csv_table(plan, fleet_of(Vm(name=name, spec=spec))).decode()
    return plan, list(csv.DictReader(io.StringIO(text, newline="")))


def test_hard_and_floating(
    place: Callable[..., PlanVm], planned: Callable[..., Plan], fleet_of: Callable[..., Fleet]
) -> None:
    """A vCPU with a CPU of its own is hard, one with a set floats; nodes of CPUs and of memory stand apart."""
    _, rows = table(place, planned, fleet_of, "vm")
    assert tuple(rows[0]) == COLUMNS
    assert [(row["affinity"], row["cpuset"], row["cpu_nodes"], row["memory_nodes"]) for row in rows] == [
        ("hard", "3", "1", "1"),
        ("floating", "0-2", "0-1", "0"),
    ]


def test_names_with_commas_quotes_and_lines_come_back(
    place: Callable[..., PlanVm], planned: Callable[..., Plan], fleet_of: Callable[..., Fleet]
) -> None:
    """Any name survives the quoting of CSV."""
    name = 'a,b "c"\nd;e'
    _, rows = table(place, planned, fleet_of, name)
    assert [row["vm"] for row in rows] == [name, name]


def test_says_what_the_plans_frame_says(
    place: Callable[..., PlanVm], planned: Callable[..., Plan], fleet_of: Callable[..., Fleet]
) -> None:
    """The columns that the plan's data frame has too hold the same."""
    plan, rows = table(place, planned, fleet_of, "vm")
    frame = plan.to_frame()
    common = [column for column in frame.columns if column in COLUMNS and column != "uuid"]
    assert len(common) >= 8
    assert [[row[column] for column in common] for row in rows] == frame[common].astype(str).to_numpy().tolist()


def test_threads_beside_vcpus_have_rows(
    place: Callable[..., PlanVm], planned: Callable[..., Plan], fleet_of: Callable[..., Fleet]
) -> None:
    """Emulator threads and IOThreads stand behind the vCPUs, by name and without a cell; a cell of memory alone has its
    nodes.
    """
    cells = (
        Cell(vcpus=frozenset(range(2)), memory_kib=4096),
        Cell(vcpus=frozenset(), memory_kib=4096),
    )
    spec = VmSpec(vcpus=2, memory_kib=8192, cell_mode=CellMode.GIVEN, cells=cells, iothreads=(1,))
    vm = place(
        spec,
        (1, 0),
        name="vm",
        pins={0: frozenset({3}), 1: frozenset({5})},
        emulator=frozenset({1, 2}),
        iothreads={1: frozenset({7})},
        devices=(("gpu", 1), ("nic", None)),
        addresses=("0000:41:00.0", None),
    )
    text = csv_table(planned(vm), fleet_of(Vm(name="vm", spec=spec))).decode()
    rows = list(csv.DictReader(io.StringIO(text, newline="")))[2:]
    assert [(row["cell"], row["vcpu"], row["cpuset"], row["cpu_nodes"], row["memory_nodes"]) for row in rows] == [
        ("1", "", "", "", "0"),
        ("", "emulator", "1-2", "0-1", ""),
        ("", "iothread 1", "7", "1", ""),
        ("", "device gpu 0000:41:00.0", "", "1", ""),
        ("", "device nic", "", "", ""),
    ]
