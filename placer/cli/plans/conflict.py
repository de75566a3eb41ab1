"""A conflict as the envelope and the terminal carry it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from placer.show.words import visible

if TYPE_CHECKING:
    from placer.explain.conflicts import Conflict


def conflict_data(conflict: Conflict) -> dict[str, Any]:
    """Return a conflict without the fleets of its cures."""
    return {
        "text": conflict.text,
        "vms": list(conflict.vms),
        "rules": list(conflict.rules),
        "limit_on_moves": conflict.limit,
        "hosts": list(conflict.hosts),
        "minimal": conflict.minimal,
        "cures": [{"kind": cure.kind, "text": cure.text, "cures_all": cure.cures_all} for cure in conflict.cures],
    }


def conflict_lines(conflict: Conflict) -> Iterator[str]:
    """Yield the lines for a person."""
    yield f"conflict: {visible(conflict.text)}"
    if not conflict.minimal:
        yield "  not all of it may be needed: the search for less was cut short"
    if not conflict.cures:
        yield "  no single change of rules, VMs, moves or hosts that was tried cures it"
    for cure in conflict.cures:
        scope = "" if cure.cures_all else " (cures this conflict; another remains)"
        yield f"  cure: {visible(cure.text)}{scope}"
