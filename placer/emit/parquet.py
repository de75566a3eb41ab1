"""A plan as Parquet: one row a vCPU, as the CSV has them."""

from __future__ import annotations

import io

from placer.emit.export import Exporter
from placer.emit.tables import COLUMNS, plan_rows
from placer.errors import MissingToolError
from placer.model.fleet import Fleet
from placer.model.plan import Plan

_NUMBERS = ("cell", "vcpu")


def parquet(plan: Plan, fleet: Fleet) -> bytes:
    """Return the table of `placer.emit.tables` as Parquet; the file's metadata names status, seed and fleet digest.

    Raises
    ------
    MissingToolError
        pyarrow is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingToolError("Parquet needs pyarrow", cure="pip install 'numa-placer[parquet]'") from None
    rows = list(plan_rows(plan, fleet))
    told = {"placer.status": plan.status, "placer.seed": str(plan.seed), "placer.fleet_digest": plan.fleet_digest}
    types = [(name, pyarrow.int32() if name in _NUMBERS else pyarrow.string()) for name in COLUMNS]
    columns = zip(*rows, strict=True) if rows else ((),) * len(COLUMNS)
    arrays = [
        pyarrow.array([_whole(value) for value in column], kind)
        for column, (_, kind) in zip(columns, types, strict=True)
    ]
    table = pyarrow.Table.from_arrays(arrays, schema=pyarrow.schema(types, metadata=told))
    data = io.BytesIO()
    pyarrow.parquet.write_table(table, data)
    return data.getvalue()


def _whole(value: str | int) -> str | int:
    """Return text without lone surrogates, which UTF-8 lacks."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


EXPORTER = Exporter(files=lambda plan, fleet: {"plan.parquet": parquet(plan, fleet)}, document=parquet, binary=True)
