"""Tables in HTML for notebooks: what the parts of the model show of themselves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

MOST = 10
"""Rows of a table; the last line says how many more there are."""


def html_table(caption: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table with its caption; every text is escaped, None is shown as unknown."""
    cells = [["unknown" if cell is None else escape(str(cell)) for cell in row] for row in rows]
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in cells[:MOST])
    more = f"<p>and {len(cells) - MOST:,} more</p>" if len(cells) > MOST else ""
    return f"<table><caption>{escape(caption)}</caption><tr>{head}</tr>{body}</table>{more}"
