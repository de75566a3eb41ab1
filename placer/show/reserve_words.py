"""What a plan keeps free for failures and for VMs to come, a sentence a rule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from placer.model.units import count
from placer.show.words import counted, listed, visible

_HOSTS = 5
"""Hosts of free slots that are named."""


def reserve_in_short(rows: Any) -> str:
    """Return whether all reserve rules are kept, or how many of them are; empty where there are none."""
    said = [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, (list, tuple)) else []
    kept = sum(bool(row.get("proven")) for row in said)
    if not said:
        return ""
    return "kept" if kept == len(said) else f"{kept} of {len(said)} kept"


def reserve_sentences(rows: Any) -> Iterator[str]:
    """Say of each reserve rule whether it is kept, and what lacks at least; a plan file may hold anything."""
    for row in rows if isinstance(rows, (list, tuple)) else ():
        if isinstance(row, Mapping):
            name = visible(str(row.get("rule", "reserve")))
            yield f"{name}: {_slots(row) if 'slots' in row else _failures(row)}"


def _slots(row: Mapping[str, Any]) -> str:
    hosts = row.get("hosts")
    where = ""
    if isinstance(hosts, Mapping) and hosts:
        where = f" on {listed([f'{visible(str(host))} ({many})' for host, many in hosts.items()], _HOSTS)}"
    said = f"{row.get('free')} of {count(int(row.get('slots') or 0), 'slot')} free{where}"
    return said if row.get("proven") else f"{said}; {_least(row, 'too few')}"


def _failures(row: Mapping[str, Any]) -> str:
    fail = row.get("fail")
    what = f"{'any' if fail == 1 else f'any {fail}'} {visible(str(row.get('scope')))}"
    if row.get("proven"):
        return f"{what} may fail and every VM that counts finds a NUMA-true place on the others, proven"
    worst, unknown = row.get("worst"), row.get("unknown")
    if not isinstance(worst, Mapping):
        return f"not proven, {unknown} of {row.get('failures')} failures are not known"
    domains = visible(" + ".join(map(str, worst.get("domains") or ())))
    lost = f"{counted(worst.get('vms_lost'), 'VM')} with {counted(worst.get('vcpus_lost'), 'vCPU')}"
    return f"not kept, the failure of {domains} leaves {lost} without a place; {_least(row, 'vCPUs')}"


def _least(row: Mapping[str, Any], what: str) -> str:
    bound = row.get("bound")
    if bound is not None and bound == row.get("value"):
        return "no plan does better, proven"
    return f"in any plan at least {bound or 0} {what}"
