"""The page of a fleet without a plan: how it stands now."""

from __future__ import annotations

from placer.emit.report.columns import fleet_columns
from placer.emit.report.page import Page, Since, counted, titled, warning_sheet
from placer.emit.report.sections import LISTED, Sheet, columns, headroom_sheet, usage_sheet
from placer.explain.placement import Placement, placement_now
from placer.model.fleet import Fleet
from placer.show.placement_words import far_row, placement_sentences
from placer.show.words import visible


def fleet_page(fleet: Fleet, *, since: Since | None = None) -> Page:
    """Return the page of what runs now."""
    found = placement_now(fleet)
    room = counted(fleet, None)
    parts = [
        titled("Far from memory", _far_sheet(found)),
        since.section if since else None,
        titled("Headroom", headroom_sheet(room)),
        titled("Little used", usage_sheet(fleet)),
    ]
    there = sum(vm.current is not None for vm in fleet.vms)
    return Page(
        title=f"Fleet of {visible(fleet.path or 'standard input')}",
        facts=[
            ("hosts", f"{len(fleet.hosts):,}"),
            ("VMs on hosts", f"{there:,}"),
            ("VMs to be placed", f"{len(fleet.vms) - there:,}"),
            ("rules", f"{len(fleet.rules):,}"),
        ],
        lead=list(placement_sentences(found)),
        bars=(),
        warnings=warning_sheet(fleet.warnings),
        parts=[part for part in parts if part is not None],
        map=fleet_columns(fleet, None, room=room, since=since.counts(fleet) if since else None),
    )


def _far_sheet(found: Placement) -> Sheet | None:
    far = [vm for vm in found.vms if vm.remote_access > 0]
    if not far:
        return None
    return Sheet(
        caption="VMs that are farthest from their memory",
        columns=columns("VM", "host", "CPUs on node", "memory on node", "vCPUs#", "remote access#", "leaves the node#"),
        rows=[far_row(vm) for vm in far[:LISTED]],
        more=f"and {len(far) - LISTED:,} more, which placer check --placement lists" if len(far) > LISTED else "",
    )
