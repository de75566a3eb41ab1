"""What differs between two states of a fleet, in sentences, rows and CSV."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from placer.explain.diff import Comparison, Difference, VmDifference
from placer.model.cpuset import format_cpuset
from placer.model.units import count
from placer.show.change_words import cpuset_sentences
from placer.show.rows import draw_rows, say
from placer.show.words import amount, listed, no_formula, visible

if TYPE_CHECKING:
    from rich.console import Console

_HOSTS_NAMED = 5
_REST = "--all, or --format csv"
QUIET = (Difference.STAYS, Difference.FOLLOWS, Difference.MEMORY_MODE, Difference.REPINNED)
"""What leaves a VM on its nodes."""


def draw_differences(compared: Comparison, console: Console, most: int | None) -> None:
    """Draw how much differs, then what is elsewhere, then what only gets other CPUs, host by host.

    Parameters
    ----------
    most : rows drawn of each, None for all.
    """
    for sentence in difference_sentences(compared):
        say(console, sentence)
    if moved := elsewhere_rows(compared):
        draw_rows(("VM", "difference", "old", "new", "memory#"), moved, console, most=most, rest=_REST)
    pinned = [vm for vm in compared.vms if vm.difference is Difference.REPINNED]
    if pinned and most is None:
        rows = [(_name(vm), vm.difference.value, _where(vm.new_host, vm.new_nodes), "") for vm in pinned]
        draw_rows(("VM", "difference", "host", ""), rows, console, most=None)
    elif pinned:
        counts = Counter(vm.new_host or "" for vm in pinned)
        names = ", ".join(f"{visible(host)} {many:,}" for host, many in counts.most_common(_HOSTS_NAMED))
        left = len(counts) - _HOSTS_NAMED
        more = f" and {count(left, 'more host')}" if left > 0 else ""
        say(console, f"re-pinned only, by host: {names}{more}; {_REST}")


def elsewhere_rows(compared: Comparison) -> list[tuple[str, str, str, str, str]]:
    """Return a row a VM that is elsewhere: its name, how far it went, from where and to where, and the memory that goes
    with it; the farthest first, then those with the most memory to move.
    """
    order = list(Difference)
    moved = sorted(
        _elsewhere(compared), key=lambda vm: (-order.index(vm.difference), not vm.moves_memory, -vm.memory_kib)
    )
    return [(_name(vm), vm.difference.value, *_both(vm), _memory(vm)) for vm in moved]


def repinned_rows(compared: Comparison) -> list[tuple[str, str]]:
    """Return the name and the place of each VM that only gets other CPUs."""
    return [
        (_name(vm), _where(vm.new_host, vm.new_nodes)) for vm in compared.vms if vm.difference is Difference.REPINNED
    ]


def difference_sentences(compared: Comparison) -> Iterator[str]:
    """Yield what differs; what is elsewhere apart from what only gets other CPUs."""
    for what, names in (("came", compared.hosts_came), ("went", compared.hosts_gone)):
        if names:
            yield f"{count(len(names), 'host')} {what}: {listed([visible(name) for name in names], _HOSTS_NAMED)}."
    totals = compared.totals
    stays, pinned = totals[Difference.STAYS.value], totals[Difference.REPINNED.value]
    if compared.same:
        yield f"Nothing differs: {stays:,} as they are."
        return
    told = [f"{totals[kind.value]:,} {kind.value}" for kind in Difference if kind not in QUIET and totals[kind.value]]
    elsewhere = len(list(_elsewhere(compared)))
    if elsewhere:
        moving = sum(bool(vm.moves_memory) for vm in _elsewhere(compared))
        only = sum(vm.difference is Difference.OTHER_NODE and vm.moves_memory is False for vm in compared.vms)
        memory = f"; {moving:,} move memory, of {only:,} only the CPUs change node" if only else ""
        yield f"{count(elsewhere, 'VM')} elsewhere: {', '.join(told)}{memory}."
    follow = totals[Difference.FOLLOWS.value]
    following = f", {follow:,} whose cpuset follows" if follow else ""
    mode = totals[Difference.MEMORY_MODE.value]
    otherwise = f", {mode:,} with another memory mode" if mode else ""
    yield f"{pinned:,} only re-pinned{following}{otherwise}, {stays:,} as they are."
    named = [
        f"{_name(vm)} {old} → {new}"
        for vm in compared.vms
        if vm.memory_modes is not None and None not in (vm.old_host, vm.new_host)
        for old, new in [vm.memory_modes]
    ]
    if named:
        yield f"Memory mode from the next start on, or where they come: {listed(named, _HOSTS_NAMED)}."
    yield from cpuset_sentences({vm.vm: vm.lost_cpuset for vm in compared.vms if vm.lost_cpuset is not None})


def difference_csv(compared: Comparison) -> str:
    """Return a row a VM that differs."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    columns = ("vm", "uuid", "was", "difference", "old_host", "old_nodes", "new_host", "new_nodes")
    writer.writerow((*columns, "old_devices", "new_devices", "old_memory_mode", "new_memory_mode", "lost_cpuset"))
    for vm in compared.vms:
        if vm.difference is not Difference.STAYS:
            old, new = (None if nodes is None else format_cpuset(nodes) for nodes in (vm.old_nodes, vm.new_nodes))
            has = [None if names is None else " ".join(sorted(names)) for names in (vm.old_devices, vm.new_devices)]
            row = (vm.vm, vm.uuid, vm.was, vm.difference.value, vm.old_host, old, vm.new_host, new, *has)
            row += vm.memory_modes or (None, None)
            row += (None if vm.lost_cpuset is None else format_cpuset(vm.lost_cpuset),)
            writer.writerow([no_formula(cell) for cell in row])
    return out.getvalue()


def _elsewhere(compared: Comparison) -> Iterator[VmDifference]:
    return (vm for vm in compared.vms if vm.difference not in QUIET)


def _name(vm: VmDifference) -> str:
    return visible(vm.vm) if vm.was is None else f"{visible(vm.vm)} (was {visible(vm.was)})"


def _both(vm: VmDifference) -> tuple[str, str]:
    """Return where a VM was and is, with its devices where these differ."""
    old, new = sorted(vm.old_devices or ()), sorted(vm.new_devices or ())
    told = [", ".join(map(visible, names)) if old != new else "" for names in (old, new)]
    places = (_where(vm.old_host, vm.old_nodes), _where(vm.new_host, vm.new_nodes))
    named = [f"{place} {names}" if place and names else place for place, names in zip(places, told, strict=True)]
    return named[0], named[1]


def _memory(vm: VmDifference) -> str:
    """Return how much memory a VM takes along, comes or goes with; a dash where only its CPUs are elsewhere."""
    if vm.moves_memory is False:
        return "-"
    return "unknown" if vm.moves_memory is None and None not in (vm.old_host, vm.new_host) else amount(vm.memory_kib)


def _where(host: str | None, nodes: tuple[int, ...] | None) -> str:
    if host is None:
        return ""
    return visible(host) if not nodes else f"{visible(host)} node {','.join(map(str, nodes))}"
