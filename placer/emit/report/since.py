"""What differs from an earlier state of the fleet, last week's plan beside this one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from placer.emit.report.sections import LISTED, Sheet, columns
from placer.explain.diff import Comparison
from placer.model.fleet import Fleet
from placer.show.differences import QUIET, difference_sentences, elsewhere_rows, repinned_rows
from placer.show.words import visible


def since_sheet(compared: Comparison, name: str) -> Sheet:
    """Return what differs, hosts and VMs known by name and UUID: what is elsewhere, and folded what is re-pinned.

    Parameters
    ----------
    name : what the earlier state is called.
    """
    moved, pinned = elsewhere_rows(compared), repinned_rows(compared)
    folded = None
    if pinned:
        more = f"and {len(pinned) - LISTED:,} more, which placer diff lists" if len(pinned) > LISTED else ""
        folded = Sheet(
            caption=f"{len(pinned):,} only re-pinned", columns=columns("VM", "host"), rows=pinned[:LISTED], more=more
        )
    answer, *others = difference_sentences(compared)
    return Sheet(
        caption=f"Since {visible(name)}: {answer.removesuffix('.')}",
        columns=columns("VM", "difference", "then", "here", "memory#"),
        rows=moved[:LISTED],
        more=f"and {len(moved) - LISTED:,} more, which placer diff lists" if len(moved) > LISTED else "",
        notes=tuple(others),
        folded=folded,
    )


def since_counts(compared: Comparison, fleet: Fleet) -> Sequence[int]:
    """Return how many VMs came to or went from each host of the fleet, or lie on other nodes of it, for its map."""
    found: Counter[str] = Counter()
    for vm in compared.vms:
        if vm.difference not in QUIET:
            found.update({host for host in (vm.old_host, vm.new_host) if host is not None})
    return [found[host.name] for host in fleet.hosts]
