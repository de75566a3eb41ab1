"""Rows: what a placement takes some of and a host has so much of, a resource of one node, of several or of the host."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

PLENTY = 1 << 40
"""The capacity of a row that only measures."""
SHARED, BESIDE = "shared vCPUs", "shared beside dedicated"
"""Names of the CPU rows of shared vCPUs: the CPUs that they may float over, and these together with dedicated vCPUs."""


class RowKind(StrEnum):
    """What a row is of."""

    CPUS = "cpus"
    MEMORY = "memory"
    PAGES = "pages"
    DEVICE = "device"
    RESOURCE = "resource"
    RULE = "rule"
    ONE_L3 = "one-l3"
    LOAD = "load"
    CORES = "cores"


MEASURING = frozenset({RowKind.LOAD, RowKind.CORES})
"""Kinds whose rows limit nothing: they only measure, for goals that grow with a node's load."""


@dataclass(frozen=True, slots=True)
class Row:
    """One capacity row.

    Attributes
    ----------
    nodes : positions of the nodes that it is over; none for the whole host.
    what : name of the CPU row (`solvers.pins.cpu_rows`), page size (KiB), kind of device, name of the resource, number
        of the rule, what a load is of (`placer.model.balance`); empty for the other kinds.
    """

    kind: RowKind
    nodes: tuple[int, ...] = ()
    what: str | int = ""

    @property
    def node(self) -> int | None:
        """The node of a row over one; None for one over several, or over the host."""
        return self.nodes[0] if len(self.nodes) == 1 else None

    @property
    def number(self) -> int:
        """`what` of a kind that is told by a number: page size (KiB), or rule."""
        return int(self.what)

    @property
    def rule(self) -> int:
        """The rule of a row of one: those of one L3 domain have two, the other by -1 - its number."""
        return self.number if self.number >= 0 else -1 - self.number

    @property
    def cpus(self) -> str:
        """The CPU row's name without the slope of a row that stands for a bend (`whole cores by 2`)."""
        return str(self.what).partition(" by ")[0] if self.kind is RowKind.CPUS else ""

    @property
    def shared(self) -> bool:
        """Tell whether it is a CPU row that only shared vCPUs make a limit."""
        return self.cpus.startswith("shared")

    @property
    def resource(self) -> str:
        """What the row is of, wherever it is; rows of one resource have the same."""
        match self.kind:
            case RowKind.CPUS:
                return str(self.what)
            case RowKind.PAGES:
                return f"pages of {self.what} KiB"
            case RowKind.DEVICE | RowKind.RESOURCE | RowKind.RULE | RowKind.ONE_L3 | RowKind.LOAD:
                return f"{self.kind.value} {self.what}"
            case _:
                return self.kind.value

    @property
    def name(self) -> str:
        """What engines call the row in messages, beside its `node`."""
        if len(self.nodes) < 2:
            return self.resource
        return f"{self.resource} of nodes {', '.join(map(str, self.nodes))}"
