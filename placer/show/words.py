"""Names and amounts as the pictures write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from placer.errors import printable
from placer.model.plan import Change
from placer.model.units import format_kib

CHANGE_WORDS = {
    Change.NONE: "stays",
    Change.FOLLOW: "cpuset follows",
    Change.REPIN: "new pins",
    Change.RENODE: "other node",
    Change.MIGRATE: "other host",
    Change.RESTART: "restart",
}
"""What a plan does to a VM that is there now."""


def visible(text: str) -> str:
    """Return the text with control characters spelled out: a name must not move the cursor."""
    return printable(text)


def amount(kib: int) -> str:
    """Return a memory size for a person: exact where it is whole in its unit (``64 GiB``), else to a tenth."""
    value, unit = float(kib), "KiB"
    for larger in ("MiB", "GiB", "TiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{int(value):,} {unit}" if value == int(value) else f"{value:.1f} {unit}"


def page(kib: int) -> str:
    """Return a page size: ``2 MiB``."""
    text = format_kib(kib)
    digits = text.rstrip("KMGTiB")
    return f"{digits} {text[len(digits) :]}"


def counted(value: Any, one: str) -> str:
    """Return what a file says of how many, with its noun: ``1 VM``, ``unknown VMs`` where it is no number."""
    text = figure(value) if isinstance(value, (int, float)) else "unknown"
    return f"{text} {one if value == 1 else one + 's'}"


def listed(items: Sequence[str], most: int) -> str:
    """Return the items with commas; where there are more than `most`, how many more."""
    if len(items) <= most:
        return ", ".join(items)
    return ", ".join(items[:most]) + f" and {len(items) - most:,} more"


def lacking(parts: Mapping[str, float]) -> str:
    """Return how much is lacked of what, as the goal `excess` tells it: ``2.3 GiB of memory, 4 shared vCPUs``."""
    told = [
        f"{amount(round(many))} of memory" if part == "KiB of memory" else f"{figure(many)} {visible(part)}"
        for part, many in parts.items()
    ]
    return listed(told, 3)


def figure(value: float | int | None, digits: int = 3) -> str:
    """Return a number to so many decimals without needless zeros; ``unknown`` for None."""
    if value is None:
        return "unknown"
    if isinstance(value, int) or value == int(value):
        return f"{int(value):,}"
    return f"{value:,.{digits}f}".rstrip("0").rstrip(".")


def goal_before(before: Mapping[str, float | None], goal: str) -> str:
    """Return the value of a goal as the fleet runs now; empty for one that `before` leaves out: it counts changes."""
    return figure(before[goal]) if goal in before else ""


def percent(share: float | None) -> str:
    """Return a share as per cent: ``0.35 %``; ``unknown`` for None."""
    return "unknown" if share is None else f"{figure(100 * share, 2)} %"


def no_formula(value: Any) -> Any:
    """Keep a spreadsheet from taking a text for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
