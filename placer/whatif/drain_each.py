"""Which hosts can be emptied today, each host or all of a label's value by itself, and with how many moves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from placer.failures.sweep import domains_of
from placer.model.rules import drain_of
from placer.options import SweepOptions
from placer.sweeps.executors import Pool
from placer.sweeps.tasks import OnDone, Variant
from placer.whatif.compare import Row, compare


def drain_each(
    variant: Variant,
    scope: str,
    options: SweepOptions,
    *,
    pool: Pool | None = None,
    results: Path | None = None,
    on_done: OnDone | None = None,
) -> list[dict[str, Any]]:
    """Return one row for each host, or each value of a label, that holds VMs and is not to be emptied already.

    A row has ``domain``, ``hosts``, ``vms`` there, ``emptied`` (whether all leave), ``live_moves`` and ``restarts`` it
    takes (those off hosts that are to be emptied anyway are not its own), ``moved_mib`` that leave it, ``left`` (who
    stays and why), ``proven`` (that no more can leave) and ``status``
    as `compare` has it.

    Raises
    ------
    InputError
        No host has the label.
    """
    fleet = variant.fleet
    held: dict[str, int] = {}
    for vm in fleet.vms:
        if vm.current is not None:
            held[vm.current.host] = held.get(vm.current.host, 0) + 1
    domains = {
        name: hosts
        for name, hosts in domains_of(fleet, scope, asked_by="--drain-each").items()
        if any(host in held for host in hosts) and not fleet.drained.issuperset(hosts)
    }
    if not domains:
        return []
    named = fleet.host_by_name
    variants = [
        Variant(
            name=f"drain {name}",
            fleet=replace(
                fleet,
                rules=(*fleet.rules, *(drain_of(host, named[host].labels) for host in hosts)),
                digest="",
            ),
        )
        for name, hosts in domains.items()
    ]
    rows = compare(variants, options, pool=pool, results=results, on_done=on_done)
    return [
        _answer(name, hosts, sum(held.get(host, 0) for host in hosts), row)
        for (name, hosts), row in zip(domains.items(), rows, strict=True)
    ]


def _answer(name: str, hosts: tuple[str, ...], vms: int, row: Row) -> dict[str, Any]:
    drains = [one for one in row.get("drains", ()) if one["host"] in hosts]
    left = [who for one in drains for who in one["left"]]
    known = "placed" in row
    anyway = [one for one in row.get("drains", ()) if one["host"] not in hosts]
    restarts = sum(one["restarts"] for one in anyway)
    moves = sum(one["moved"] for one in anyway) - restarts
    return {
        "domain": name,
        "hosts": list(hosts),
        "vms": vms,
        "status": row["status"],
        "emptied": known and not left,
        "live_moves": row["migrations"] - moves if known else None,
        "restarts": row["restarts"] - restarts if known else None,
        "moved_mib": sum(one["moved_mib"] for one in drains) if known else None,
        "left": left,
        "proven": known and all(one["proven"] for one in drains),
    }
