"""How much the rows of rules within a host have: what the rules allow, and what they are broken by at the start."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from placer.planning.compile.capacity import HostCapacity
from placer.planning.compile.row_table import A_CPU, RowTable
from placer.planning.compile.rows import PLENTY, Row, RowKind


def rule_room(
    table: RowTable,
    capacity: HostCapacity,
    max_per: Mapping[int, int],
    spread_rules: Mapping[int, str],
    soft: Collection[int],
) -> dict[Row, int]:
    """Return what the rules allow in each row of theirs; those of `soft` ones only measure."""
    out: dict[Row, int] = {}
    for row in table.rows:
        if row.kind is RowKind.RULE:
            domains = 1
            if row.node is not None and spread_rules[row.number] == "l3":
                domains = capacity.nodes[row.node].l3_domains
            out[row] = PLENTY if row.number in soft else max_per[row.number] * domains
        elif row.kind is RowKind.ONE_L3 and row.node is not None:
            own = capacity.nodes[row.node]
            if row.number < 0:
                # Without a member that floats all of a domain is theirs.
                rest = A_CPU - 1 if own.beside_floats >= own.largest_l3 else 0
                out[row] = A_CPU * own.largest_l3 + rest if own.floats_in_one_l3 else PLENTY
            else:
                out[row] = PLENTY if own.floats_in_one_l3 else own.largest_l3
    return out


def rows_of_floating(table: RowTable, rules: Iterable[int], spread_rules: Mapping[int, str]) -> Iterator[int]:
    """Yield the rows in which a VM on no known node counts: it may be on each node, and what may be may stay."""
    for rule in rules:
        if spread_rules.get(rule) in ("host", "node"):
            for nodes in ((), *((node,) for node in range(len(table.structure.cpu_rows)))):
                row = table.index.get(Row(RowKind.RULE, nodes, rule))
                if row is not None:
                    yield row
