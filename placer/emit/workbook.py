"""A plan as an Excel workbook: Summary, Hosts, Nodes, VMs, Pins, Moves, Warnings; every text stays text."""

from __future__ import annotations

import io
from typing import Any

from placer.emit.export import Exporter
from placer.emit.plan_tables import Table, Value, plan_tables
from placer.errors import InputError, MissingToolError
from placer.model.fleet import Fleet
from placer.model.plan import Plan

MAX_ROWS = 1_048_575
"""Rows of a sheet below its head: a limit of the format."""
MAX_CHARACTERS = 32_767
"""Characters of a cell: another one."""
_WIDEST = 40


def workbook(plan: Plan, fleet: Fleet) -> bytes:
    """Return the workbook.

    Texts are written as shared strings, never as formulas or links: a name such as ``=1+1`` is shown as it is.

    Raises
    ------
    MissingToolError
        XlsxWriter is not installed.
    InputError
        A table has more rows than a sheet can have.
    """
    try:
        import xlsxwriter
    except ImportError:
        raise MissingToolError("a workbook needs XlsxWriter", cure="pip install 'numa-placer[excel]'") from None
    tables = plan_tables(plan, fleet)
    for table in tables:
        if len(table.rows) > MAX_ROWS:
            raise InputError(
                f"sheet {table.name} would have {len(table.rows):,} rows, more than the {MAX_ROWS:,} of a workbook",
                cure="export --to csv or parquet",
            )
    data = io.BytesIO()
    book = xlsxwriter.Workbook(data, {"in_memory": True})
    try:
        head = book.add_format({"bold": True, "bottom": 1})
        share = book.add_format({"num_format": "0.00%"})
        for table in tables:
            _write(book.add_worksheet(table.name), table, head, share)
    finally:
        book.close()
    return data.getvalue()


def _write(sheet: Any, table: Table, head: Any, share: Any) -> None:
    for place, title in enumerate(table.columns):
        sheet.write_string(0, place, title, head)
    for number, row in enumerate(table.rows, start=1):
        for place, value in enumerate(row):
            _write_cell(sheet, number, place, value, share if table.columns[place] == "gap" else None)
    for place, title in enumerate(table.columns):
        widest = max([len(title), *(len(str(row[place])) for row in table.rows[:1000])])
        sheet.set_column(place, place, min(_WIDEST, widest + 2))
    sheet.freeze_panes(1, 0)
    if table.rows:
        sheet.autofilter(0, 0, len(table.rows), len(table.columns) - 1)


def _write_cell(sheet: Any, row: int, column: int, value: Value, format: Any) -> None:
    if value is None:
        return
    if isinstance(value, str):
        sheet.write_string(row, column, _text(value))
    else:
        sheet.write_number(row, column, value, format)


def _text(value: str) -> str:
    """Return text that a cell can hold: no lone surrogates, and no more characters than the format takes."""
    whole = value.encode("utf-8", "backslashreplace").decode()
    return whole if len(whole) <= MAX_CHARACTERS else whole[: MAX_CHARACTERS - 1] + "…"


EXPORTER = Exporter(files=lambda plan, fleet: {"plan.xlsx": workbook(plan, fleet)}, document=workbook, binary=True)
