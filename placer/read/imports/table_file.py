"""Tables as people have them: CSV with any delimiter, and sheets of a workbook; every cell is text."""

from __future__ import annotations

import csv
import datetime
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from placer.errors import InputError, MissingToolError
from placer.read.hosts.host import read_file

MAX_COLUMNS = 2000
MAX_CELL_CHARACTERS = 100_000
_DELIMITERS = ",;\t|"
_WORKBOOK = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One table: its column names, its rows padded to them, and the line (or sheet row) each row stands on."""

    file: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]


def read_table(
    path: Path, *, sheet: str | None = None, delimiter: str | None = None, encoding: str = "utf-8-sig"
) -> Table:
    """Read a CSV file or a sheet of a workbook (xlsx, xls, ods), told apart by content.

    Parameters
    ----------
    path
        The file.
    sheet
        The sheet of a workbook; by default its first.
    delimiter
        What stands between the cells of a CSV; by default what the first line has most of: comma, semicolon, tab, bar.
    encoding
        The encoding of a CSV.

    Raises
    ------
    InputError
        It cannot be read, has no rows or columns without or with equal names, or is cut off inside quotes.
    MissingToolError
        A workbook, and python-calamine is not installed.
    """
    file = str(path)
    data = read_file(path, file)
    if data.startswith(_WORKBOOK):
        return _table(file, _sheet_rows(path, sheet))
    if sheet is not None:
        raise InputError(f"this is no workbook, so it has no sheet {sheet!r}", file=file)
    if b"\0" in data:
        raise InputError("this is neither a table in text nor a workbook: it holds NUL bytes", file=file)
    try:
        text = data.decode(encoding)
    except (UnicodeDecodeError, LookupError) as error:
        cure = "say encoding: cp1252, or what it is"
        raise InputError(f"cannot be read as {encoding}: {error}", file=file, cure=cure) from None
    return _table(file, _csv_rows(text, delimiter, file))


def _csv_rows(text: str, delimiter: str | None, file: str) -> Iterator[tuple[int, list[str]]]:
    head = text.split("\n", 1)[0]
    mark = delimiter or max(_DELIMITERS, key=head.count)
    reader = csv.reader(StringIO(text, newline=""), delimiter=mark, strict=True)
    line = 1
    try:
        for row in reader:
            yield line, row
            line = reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"not CSV: {error}", file=file, line=line) from None


def _sheet_rows(path: Path, sheet: str | None) -> Iterator[tuple[int, list[str]]]:
    try:
        import python_calamine
    except ImportError:
        raise MissingToolError(
            "a workbook needs python-calamine",
            file=str(path),
            cure="pip install 'numa-placer[excel]', or save it as CSV",
        ) from None
    try:
        book = python_calamine.CalamineWorkbook.from_path(str(path))
        names = book.sheet_names
        if sheet is not None and sheet not in names:
            raise InputError(f"there is no sheet {sheet!r}", file=str(path), cure=f"it has {', '.join(names)}")
        rows = book.get_sheet_by_name(sheet or names[0]).to_python(skip_empty_area=False)
    except InputError:
        raise
    except Exception as error:  # calamine raises several kinds, some of them without a common base
        raise InputError(f"the workbook cannot be read: {error}", file=str(path)) from None
    for number, row in enumerate(rows, start=1):
        yield number, [_cell(value) for value in row]


def _cell(value: object) -> str:
    """Return what a person sees in a cell: a whole number without its ``.0``, true and false in small letters."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return "" if value is None else str(value)


def _table(file: str, rows: Iterable[tuple[int, list[str]]]) -> Table:
    numbered = iter(rows)
    line, head = next(((line, row) for line, row in numbered if any(cell.strip() for cell in row)), (1, []))
    columns = tuple(cell.strip() for cell in head)
    while columns and not columns[-1]:
        columns = columns[:-1]
    if not columns:
        raise InputError("the table is empty", file=file)
    if len(columns) > MAX_COLUMNS:
        raise InputError(f"the table has {len(columns)} columns, more than {MAX_COLUMNS}", file=file, line=line)
    twice = sorted({name for name in columns if name and columns.count(name) > 1})
    if twice:
        raise InputError(f"two columns are called {twice[0]!r}", file=file, line=line)
    kept: list[tuple[str, ...]] = []
    lines: list[int] = []
    for number, row in numbered:
        cells = [cell.strip() for cell in row]
        if not any(cells):
            continue
        if any(cells[len(columns) :]):
            raise InputError(f"the row has {len(cells)} cells for {len(columns)} columns", file=file, line=number)
        if any(len(cell) > MAX_CELL_CHARACTERS for cell in cells):
            raise InputError(f"a cell has more than {MAX_CELL_CHARACTERS} characters", file=file, line=number)
        kept.append((*cells, *([""] * (len(columns) - len(cells))))[: len(columns)])
        lines.append(number)
    return Table(file=file, columns=columns, rows=tuple(kept), lines=tuple(lines))
