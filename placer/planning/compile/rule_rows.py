"""How much the rows of rules within a host have: what the rules allow, and what they are broken by at the start."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from placer.planning.compile.capacity import HostCapacity
from placer.planning.compile.structures import ONE_L3, PLENTY, RowTable


def rule_room(
    table: RowTable, capacity: HostCapacity, max_per: Mapping[int, int], spread_rules: Mapping[int, str]
) -> dict[tuple[int | None, str], int]:
    """Return (node, row name) -> what the rules allow there."""
    out: dict[tuple[int | None, str], int] = {}
    for node, name in table.names:
        kind, _, what = name.partition(" ")
        if kind == "rule":
            domains = 1
            if node is not None and spread_rules[int(what)] == "l3":
                domains = capacity.nodes[node].l3_domains
            out[node, name] = max_per[int(what)] * domains
        elif kind == ONE_L3 and node is not None:
            own = capacity.nodes[node]
            out[node, name] = PLENTY if own.floats_in_one_l3 else own.largest_l3
    return out


def rows_of_floating(table: RowTable, rules: Iterable[int], spread_rules: Mapping[int, str]) -> Iterator[int]:
    """Yield the rows in which a VM on no known node counts: it may be on each node, and what may be may stay."""
    for rule in rules:
        if spread_rules.get(rule) in ("host", "node"):
            for node in (None, *range(len(table.structure.cpu_rows))):
                row = table.index.get((node, f"rule {rule}"))
                if row is not None:
                    yield row
