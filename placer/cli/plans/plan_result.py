"""A plan as the JSON envelopes carry it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from placer.model.plan import Plan


def plan_document(plan: Plan) -> dict[str, Any]:
    """Return the whole plan as its file holds it."""
    from placer.emit.plan_file import plan_text

    document: dict[str, Any] = json.loads("".join(plan_text(plan)))
    return document


def plan_outline(plan: Plan, file: str) -> dict[str, Any]:
    """Return what a plan says without its VMs, and the file it was written to."""
    document = plan_document(plan)
    placed = len(document.pop("vms"))
    return {**document, "file": file, "vms_placed": placed}
