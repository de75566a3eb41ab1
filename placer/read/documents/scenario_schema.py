"""The shape of ``placer.scenario/v1``: one kind of edit a mapping, and what that kind takes."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Tag

from placer.read.inventory.schema import Entry, Labels, Overcommit, ReserveEntry, Selection, VmEntry, either
from placer.read.inventory.types import Kib, Number, PageKib, Positive, Ratio, Refused, Text, integer, shown

SCHEMA = "placer.scenario/v1"

_PERCENT = re.compile(r"(0|[1-9][0-9]{0,5})(\.[0-9]{1,6})?%")


def percent(value: Any) -> Fraction:
    """Take ``12.5%`` as a share."""
    match = _PERCENT.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise Refused(f"{shown(value)} is not a percentage", "write it like 20%")
    return Fraction(value[:-1]) / 100


def _pool(value: Any) -> int | Fraction:
    """Take pages a node, or the share of a node's memory."""
    if isinstance(value, str) and value.endswith("%"):
        share = percent(value)
        if share > 1:
            raise Refused(f"{value} of a node's memory is more than it has")
        return share
    count = integer(value)
    if count < 0:
        raise Refused(f"{value} is below 0")
    return count


def _per_package(value: Any) -> int:
    if value not in ("1", "2", "4"):
        raise Refused(f"{shown(value)} is not 1, 2 or 4")
    return int(value)


def _clusters(value: Any) -> int:
    """Take ``off`` (1), ``on`` (2) or a number of clusters."""
    known = {"off": 1, "on": 2, "2": 2, "3": 3, "4": 4}
    if value not in known:
        raise Refused(f"{shown(value)} is neither on, off nor 2, 3 or 4 clusters")
    return known[value]


Percent = Annotated[Fraction, BeforeValidator(percent)]
Pool = Annotated[int | Fraction, BeforeValidator(_pool)]


class LikeEntry(Entry):
    """``add_hosts`` as copies of a host of the fleet."""

    like: Text
    count: Positive = 1
    name: Text | None = None
    labels: Labels | None = None


class MemoryEntry(Entry):
    """``memory``: how much the nodes of CPUs and memory have then; exactly one key."""

    per_node: Kib | None = None
    add_per_node: Kib | None = None
    factor: Ratio | None = None


class EditEntry(Entry):
    """``edits[]``: exactly one of the kinds, and what that kind takes.

    The entries of ``add_vms``, and of ``add_hosts`` where it is a list, are those of an inventory: its reader reads
    them.
    """

    add_hosts: (
        Annotated[
            Annotated[LikeEntry, Tag("mapping")] | Annotated[list[Any], Tag("list")],
            either("is neither {like: HOST, count: N} nor a list of hosts"),
        ]
        | None
    ) = None
    remove_hosts: Selection | None = None
    fail: Selection | None = None
    drain: Selection | None = None
    replace_hosts: Selection | None = None
    overcommit: Overcommit | None = None
    reserve: ReserveEntry | None = None
    pages: dict[PageKib, Pool] | None = None
    memory: MemoryEntry | None = None
    nps: Annotated[int, BeforeValidator(_per_package)] | None = None
    snc: Annotated[int, BeforeValidator(_clusters)] | None = None
    smt: Literal["off"] | None = None
    add_vms: list[Any] | None = None
    remove_vms: Selection | None = None
    grow: (
        Annotated[
            Annotated[Percent, Tag("text")] | Annotated[dict[Text, Positive], Tag("mapping")],
            either("is neither a percentage nor {FLAVOR: VMs}"),
        ]
        | None
    ) = None
    change_vms: VmEntry | None = None
    hosts: Selection | None = None
    vms: Selection | None = None
    like: Text | None = None
    distance: Number | None = None


TAKES: dict[str, tuple[str, ...]] = {
    "add_hosts": (),
    "remove_hosts": (),
    "fail": (),
    "drain": (),
    "replace_hosts": ("like",),
    "overcommit": ("hosts",),
    "reserve": ("hosts",),
    "pages": ("hosts",),
    "memory": ("hosts",),
    "nps": ("hosts", "distance"),
    "snc": ("hosts", "distance"),
    "smt": ("hosts",),
    "add_vms": (),
    "remove_vms": (),
    "grow": ("vms",),
    "change_vms": ("vms",),
}
"""Each kind of edit and the other keys that it takes."""
