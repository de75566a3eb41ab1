"""Parquet holds the same rows as the CSV."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest

from placer.emit.parquet import parquet
from placer.emit.tables import COLUMNS, plan_rows
from placer.model.fleet import Fleet
from placer.model.plan import Plan, PlanVm
from placer.model.vm import Vm, VmSpec

reader = pytest.importorskip("pyarrow.parquet", reason="needs the extra parquet")
SPEC = VmSpec(vcpus=4, memory_kib=4 << 20)


def test_rows_are_those_of_the_csv(
    place: Callable[..., PlanVm], planned: Callable[..., Plan], fleet_of: Callable[..., Fleet]
) -> None:
    """Columns, rows and types come back as they went in; an empty plan has the columns too."""
    plan, fleet = planned(place(SPEC, (0, 1), name="a\n=1")), fleet_of(Vm(name="a\n=1", spec=SPEC))
    table = reader.read_table(io.BytesIO(parquet(plan, fleet)))
    assert tuple(table.column_names) == COLUMNS
    assert [tuple(row.values()) for row in table.to_pylist()] == list(plan_rows(plan, fleet))
    assert len(table) == 4
    assert reader.read_table(io.BytesIO(parquet(planned(), fleet))).column_names == list(COLUMNS)
