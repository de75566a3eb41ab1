"""Edits of hosts: new ones, and what is changed on those that are there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from placer.errors import InputError
from placer.model.host import Host, Node
from placer.model.rules import Rule
from placer.model.same_host import said_of
from placer.model.units import count, format_kib
from placer.read.documents.scenario_file import Edit
from placer.read.documents.scenario_schema import EditEntry, LikeEntry, MemoryEntry
from placer.read.inventory.files import Files
from placer.read.inventory.hosts import HostSection, build_host
from placer.read.inventory.schema import HostEntry, OvercommitEntry, ReserveEntry
from placer.read.inventory.validation import Problem
from placer.read.text.located import FaultLog, LineList, field_path
from placer.whatif.firmware import (
    WITHIN_PACKAGE,
    WITHIN_SNC,
    with_memory,
    with_nodes_per_package,
    with_pages,
    without_smt,
)

RESHAPING = frozenset({"nps", "snc", "smt", "replace_hosts", "pages", "memory"})
"""Edits that take a restart of the host: its VMs are on it still, but on no known node, and may be pinned anew."""


class Shared:
    """Makes a change once for all hosts of one topology object, so that they go on sharing it."""

    def __init__(self, change: Callable[[Host], Host]) -> None:
        self.change = change
        self._done: list[tuple[Host, Host]] = []

    def __call__(self, host: Host) -> Host:
        """Return the host changed."""
        for before, after in self._done[-8:]:
            if before.topology is host.topology and said_of(before) == said_of(host):
                return replace(
                    after, name=host.name, uuid=host.uuid, uri=host.uri, failed=host.failed, labels=host.labels
                )
        try:
            changed = self.change(host)
        except InputError as error:
            fault = error.faults[0]
            text = fault.message if host.name in fault.message else f"host {host.name}: {fault.message}"
            raise InputError(text, cure=fault.cure) from None
        self._done.append((host, changed))
        return changed


def copies(pattern: Host, said: LikeEntry, taken: set[str]) -> tuple[Host, ...]:
    """Return new hosts like one of the fleet, numbered on from the first free name."""
    stem = said.name or f"{pattern.name}-new"
    out: list[Host] = []
    number = 0
    while len(out) < said.count:
        number += 1
        name = stem if said.count == 1 and said.name is not None else f"{stem}-{number}"
        if name in taken:
            if name == stem:
                raise InputError(f"there is a host {name!r} already", cure="give the new one another name")
            continue
        labels = {**pattern.labels, **(said.labels or {})}
        out.append(replace(pattern, name=name, uuid=None, uri=None, failed=False, labels=labels))
    return tuple(out)


def listed(section: LineList, base_dir: Path, file: str | None) -> tuple[tuple[Host, ...], tuple[Rule, ...]]:
    """Return the hosts of entries as an inventory has them, and the drains that they say."""
    log = FaultLog(file)
    reader = HostSection(Files(base_dir), log)
    reader.read(section)
    log.raise_if_any()
    return tuple(reader.made.values()), tuple(reader.drains)


def change_of(edit: Edit, pattern: Host | None) -> tuple[Sequence[str], str, Callable[[Host], Host]]:
    """Return what an edit sets (for contradictions), what it does in words, and the change of one host."""
    entry = edit.entry
    if edit.kind == "replace_hosts":
        assert pattern is not None
        shape = pattern
        return ["the shape", "the nodes", "SMT"], f"hardware of {shape.name}", lambda host: refreshed(host, shape)
    if edit.kind == "smt":
        return ["SMT"], "SMT off", without_smt
    if edit.kind in ("nps", "snc"):
        return ["the nodes"], *_nodes(entry)
    if edit.kind == "memory":
        assert entry.memory is not None
        return ["the memory"], *_memory(entry.memory)
    if edit.kind == "pages":
        return ["the page pools"], *_pages(entry.pages or {})
    if edit.kind == "reserve":
        assert entry.reserve is not None
        return ["the reserve"], "reserve", _reserve(entry.reserve)
    ratio = entry.overcommit
    assert ratio is not None
    cpu, memory = (ratio.cpu, ratio.memory) if isinstance(ratio, OvercommitEntry) else (ratio, None)
    said = ", ".join(f"{what} {value:g}" for what, value in (("CPU", cpu), ("memory", memory)) if value is not None)
    return (
        ["the overcommit"],
        f"overcommit {said}",
        lambda host: replace(host, cpu_ratio=cpu or host.cpu_ratio, memory_ratio=memory or host.memory_ratio),
    )


def refreshed(host: Host, shape: Host) -> Host:
    """Return the host with the hardware and settings of another one; name, labels and address stay its own."""
    return replace(shape, name=host.name, labels=host.labels, uri=host.uri, uuid=None, failed=host.failed)


def _nodes(entry: EditEntry) -> tuple[str, Callable[[Host], Host]]:
    count, name, usual = (entry.nps, "NPS", WITHIN_PACKAGE) if entry.nps is not None else (entry.snc, "SNC", WITHIN_SNC)
    assert count is not None
    inside = usual if entry.distance is None else entry.distance
    text = f"SNC {'off' if count == 1 else count}" if name == "SNC" else f"NPS{count}"
    return text, lambda host: with_nodes_per_package(host, count, inside=inside)


def _memory(said: MemoryEntry) -> tuple[str, Callable[[Host], Host]]:
    def memory_of(node: Node) -> int:
        if said.per_node is not None:
            return said.per_node
        if said.add_per_node is not None:
            return node.memory_kib + said.add_per_node
        return int(node.memory_kib * Fraction(str(said.factor)))

    if said.per_node is not None:
        text = f"{format_kib(said.per_node)} a node"
    elif said.add_per_node is not None:
        text = f"{format_kib(said.add_per_node)} more a node"
    else:
        text = f"{said.factor:g} times the memory"
    return text, lambda host: with_memory(host, memory_of)


def _pages(pools: dict[int, int | Fraction]) -> tuple[str, Callable[[Host], Host]]:
    parts = [
        f"{float(100 * many):g} % in {format_kib(size)} pages"
        if isinstance(many, Fraction)
        else f"{count(many, 'page')} of {format_kib(size)} a node"
        for size, many in pools.items()
    ]
    return ", ".join(parts) or "no page pools", lambda host: with_pages(host, pools)


def _reserve(said: ReserveEntry) -> Callable[[Host], Host]:
    def change(host: Host) -> Host:
        problems: list[Problem] = []
        made = build_host(HostEntry(reserve=said), host.topology, problems, [])
        if problems:
            path, message, cure = problems[0]
            raise InputError(f"host {host.name}: {field_path('', path)}: {message}", cure=cure)
        return replace(host, reserve=made.reserve)

    return change
