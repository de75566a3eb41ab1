"""What has to be done to a VM: one answer, from which tickets, tables, scripts and screens all print."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum

from placer.model.plan import Change, PlanCell


class Need(StrEnum):
    """What has to be done to a VM, in growing order of what it notices."""

    PIN = "new pins"
    """Other CPUs while it runs: nothing is copied."""
    DEFINE = "new definition"
    """It is shut off: what it is defined as is changed where it lies, or on another host."""
    LIVE = "live migration"
    REBIND = "restart or copy"
    """Memory goes to another node of its host: by a start, or by migratepages on the host, which copies it."""
    RESTART = "restart"
    START = "start"
    """It is nowhere yet."""

    @property
    def is_downtime(self) -> bool:
        """Tell whether the VM is shut off, unless somebody moves its pages by hand."""
        return self in (Need.REBIND, Need.RESTART)

    def counted(self, steps: int) -> str:
        """Return how many steps need it, in words: ``4 live migrations``."""
        plural = {Need.PIN: "new pins", Need.REBIND: "restarts or copies"}.get(self, f"{self.value}s")
        return f"{steps:,} {self.value if steps == 1 else plural}"


def need_of(change: Change, running: bool, before: Sequence[PlanCell], after: Sequence[PlanCell]) -> Need:
    """Return what a change of a VM that is there needs, its cells being `before` now (empty: not known) and `after`."""
    if not running:
        return Need.DEFINE
    if change is Change.RESTART:
        return Need.RESTART
    if change is Change.MIGRATE:
        return Need.LIVE
    if change is Change.RENODE and moved_kib(before, after) != 0:
        return Need.REBIND
    return Need.PIN


def moved_kib(before: Iterable[PlanCell], after: Iterable[PlanCell]) -> int | None:
    """Return how much memory lies on other nodes after than before; None where it is not known where it lies."""
    one, other = list(before), list(after)
    if len(one) != len(other) or not all(cell.nodes for cell in (*one, *other)):
        return None
    return sum(
        max(0, kib - old.nodes.get(node, 0))
        for old, new in zip(one, other, strict=True)
        for node, kib in new.nodes.items()
    )
