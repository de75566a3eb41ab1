"""What a domain's XML tells its guest of the distances between its cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lxml.etree import _Element


def told_distances(root: _Element) -> list[list[int]] | None:
    """Return the distances between the guest cells of a domain, in the order of their ids; None where it tells none.

    What it leaves out is libvirt's default, 10 within a cell and 20 beside it.
    """
    found = root.findall("cpu/numa/cell")
    if not any(cell.find("distances") is not None for cell in found):
        return None
    ids = [_number(cell.get("id") or "", position) for position, cell in enumerate(found)]
    rows = []
    for own, cell in sorted(zip(ids, found, strict=True), key=lambda pair: pair[0]):
        row = {other: 10 if other == own else 20 for other in sorted(ids)}
        for sibling in cell.findall("distances/sibling"):
            to, value = (_number(sibling.get(name) or "", -1) for name in ("id", "value"))
            if to in row and value >= 0:
                row[to] = value
        rows.append([row[other] for other in sorted(ids)])
    return rows


def _number(text: str, other: int) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 7 else other
