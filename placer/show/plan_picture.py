"""A plan for the terminal: its summary, and each host's nodes with the cells on them and a map of their CPUs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from placer.errors import InputError
from placer.measure.cpu_use import cpu_use
from placer.measure.memory_use import memory_taken
from placer.model.cpuset import format_cpuset
from placer.model.fleet import Fleet
from placer.model.host import Host
from placer.model.memory_room import memory_room
from placer.model.plan import Change, Plan, PlanVm
from placer.model.units import count
from placer.show.plan_map import FREE, IDLE, RESERVED, SHARED, MappedCell, MappedNode, in_place, map_host
from placer.show.plan_summary import draw_summary
from placer.show.rows import MOST, draw_rows, say
from placer.show.words import CHANGE_WORDS, amount, page, visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_INKS = ("cyan", "magenta", "green", "yellow", "blue", "red", "bright_cyan", "bright_magenta", "bright_green")
HOSTS_DRAWN = 12
"""Plans of more hosts get a line a host; one host is drawn by its name."""


def draw_plan(plan: Plan, fleet: Fleet | None, host: str | None, console: Console, *, most: int | None = MOST) -> None:
    """Draw a plan, or one host of it; without the fleet the picture shows no free CPUs.

    Parameters
    ----------
    most : lines of hosts where a plan has many, and of VMs that float where a host has many, those with the most vCPUs
        first; None for all.

    Raises
    ------
    InputError
        The plan and the fleet have no host of this name.
    """
    vms_of = _by_host(plan, fleet)
    if host is not None:
        if host not in vms_of:
            raise InputError(f"the plan has no host {host!r}", cure=f"it has {_some(sorted(vms_of))}")
        _draw_host(host, vms_of[host], fleet, console, most)
        return
    known = fleet is not None and all(vm.name in fleet.vm_by_name for vm in plan.vms)
    draw_summary(plan, console, fleet if known else None)
    if len(vms_of) <= HOSTS_DRAWN:
        for name, vms in vms_of.items():
            console.print()
            _draw_host(name, vms, fleet, console, most)
        return
    console.print()
    rows = [(name, len(vms), sum(len(vm.pins) for vm in vms)) for name, vms in vms_of.items()]
    rows.sort(key=lambda row: -row[2])
    empty = sum(1 for row in rows if not row[1])
    say(console, f"{count(len(rows), 'host')}, {empty:,} of them empty; those with the most vCPUs first")
    shown = [(visible(name), f"{vms:,}", f"{vcpus:,}") for name, vms, vcpus in rows]
    draw_rows(("host", "VMs#", "vCPUs#"), shown, console, most=most, rest="--all; one of them: placer show PLAN HOST")


def plan_host_data(plan: Plan, fleet: Fleet | None, host: str) -> dict[str, Any]:
    """Return what the plan puts on one host as plain data, by node; memory in KiB.

    Raises
    ------
    InputError
        As `draw_plan`.
    """
    vms_of = _by_host(plan, fleet)
    if host not in vms_of:
        raise InputError(f"the plan has no host {host!r}", cure=f"it has {_some(sorted(vms_of))}")
    return {
        "kind": "plan-host",
        "host": host,
        "nodes": [_node_data(node) for node in _nodes(fleet, host, vms_of[host])],
    }


def _node_data(node: MappedNode) -> dict[str, Any]:
    return {
        "id": node.id,
        "memory_kib": node.memory_kib,
        "vm_memory_kib": node.taken_kib,
        "free_memory_kib": node.free_kib,
        "free_cpus": format_cpuset(node.free) if node.cores else None,
        "idle_cpus": format_cpuset(node.idle),
        "reserved_cpus": format_cpuset(node.reserved),
        "cells": [
            {
                "vm": cell.vm.name,
                "cell": cell.cell.id,
                "vcpus": format_cpuset(cell.vcpus),
                "cpus": format_cpuset(cell.cpus),
                "affinity": "floating" if cell.floats else "hard",
                "memory_kib": cell.memory_kib,
            }
            for cell in node.cells
        ],
    }


def _by_host(plan: Plan, fleet: Fleet | None) -> dict[str, list[PlanVm]]:
    """Return the VMs of each host in the fleet's order, empty hosts included."""
    found: dict[str, list[PlanVm]] = {host.name: [] for host in fleet.hosts} if fleet is not None else defaultdict(list)
    for vm in plan.vms:
        found.setdefault(vm.host, []).append(vm)
    return dict(found) if fleet is not None else dict(sorted(found.items()))


def _host(fleet: Fleet | None, name: str) -> Host | None:
    return None if fleet is None else fleet.host_by_name.get(name)


def _draw_host(name: str, vms: Sequence[PlanVm], fleet: Fleet | None, console: Console, most: int | None) -> None:
    from rich.text import Text

    console.print(Text(f"host {visible(name)}: {count(len(vms), 'VM')}", style="bold"))
    nodes = _nodes(fleet, name, vms)
    socket = None
    for node in nodes:
        if node.socket is not None and node.socket != socket:
            console.print(f"  socket {node.socket}")
            socket = node.socket
        _draw_node(node, console, most)
    across: dict[frozenset[int], list[MappedCell]] = defaultdict(list)
    for cell in (cell for node in nodes for cell in node.cells if cell.across):
        across[cell.across].append(cell)
    for over, cells in across.items():
        _draw_indented(f"over nodes {format_cpuset(over)}:", 2, console)
        _draw_cells(cells, console, most)
    if any(node.cores for node in nodes):
        console.print(
            f"  a letter: a VM's own CPU; {FREE} free  {RESERVED} reserved  {SHARED} shared by floating vCPUs"
        )
        more = [f"{IDLE} kept idle beside an isolated vCPU"] if any(node.idle for node in nodes) else []
        more += ["| between L3 domains"] if any(node.breaks for node in nodes) else []
        if more:
            console.print(f"  {'  '.join(more)}")


def _nodes(fleet: Fleet | None, name: str, vms: Sequence[PlanVm]) -> tuple[MappedNode, ...]:
    """Return the nodes of a host; what is idle and what is free is known where the fleet knows every VM on it."""
    host, ordered = _host(fleet, name), in_place(vms)
    nodes = map_host(ordered, host)
    if host is None or fleet is None or not all(vm.name in fleet.vm_by_name for vm in vms):
        return nodes
    use = cpu_use(host, [(fleet.vm_by_name[vm.name], vm) for vm in ordered])
    idle = frozenset(use.idle.keys() - use.holders.keys())
    told = any(node.memory_kib for node in host.topology.nodes)
    room = memory_room(host) if told else {}
    free = dict(room)
    for vm, planned in use.placed:
        for pool, kib in memory_taken(vm.spec, host.topology, planned):
            if told:
                free[pool] = free.get(pool, 0) - kib
    return tuple(
        replace(
            node,
            idle=idle & host.topology.node(node.id).cpus,
            memory_kib=node.memory_kib if told else None,
            room_kib=room.get((node.id, None)),
            free_kib=free.get((node.id, None)),
            pools=tuple(
                (size, left // size, room.get((node.id, size), 0) // size)
                for (at, size), left in sorted(free.items(), key=str)
                if at == node.id and size is not None and (left or room.get((at, size)))
            ),
        )
        for node in nodes
    )


def _draw_node(node: MappedNode, console: Console, most: int | None) -> None:
    cpus = sum(map(len, node.cores))
    words = []
    if node.cores:
        words.append(f"{len(node.free)} of {cpus} CPUs free")
        words += [f"{len(node.dedicated)} pinned"] if node.dedicated else []
        words += [f"{len(node.floating)} shared"] if node.floating else []
        words += [f"{len(node.reserved)} reserved"] if node.reserved else []
        words += [f"{len(node.idle)} kept idle"] if node.idle else []
    if node.free_kib is not None and node.room_kib is not None:
        memory = f"{amount(max(0, node.free_kib))} of {amount(node.room_kib)} free"
        if node.free_kib < 0:
            memory = f"{amount(-node.free_kib)} more than its {amount(node.room_kib)}"
        memory = "; ".join([memory, *(_pool_words(*pool) for pool in node.pools)])
    else:
        total = "" if node.memory_kib is None else f" of {amount(node.memory_kib)}"
        memory = f"{amount(node.taken_kib)}{total} taken"
    _draw_indented(f"node {node.id}: {'; '.join([', '.join(words), memory] if words else [memory])}", 2, console)
    if node.cores:
        _draw_indented(_coloured(node), 4, console)
    _draw_cells([cell for cell in node.cells if not cell.across], console, most)


def _pool_words(size: int, free: int, room: int) -> str:
    if free < 0:
        return f"{-free:,} more than its {room:,} pages of {page(size)}"
    return f"{free:,} of {room:,} pages of {page(size)} free"


def _draw_cells(cells: Sequence[MappedCell], console: Console, most: int | None) -> None:
    """Draw a line a cell: all with CPUs of their own, whose letters the map has, and `most` of those that float."""
    from rich.table import Table

    own, floating = ([cell for cell in cells if cell.floats is floats] for floats in (False, True))
    if most is not None and len(floating) > most:
        floating.sort(key=lambda cell: -len(cell.vcpus))
        left, floating = floating[most:], floating[:most]
    else:
        left = []
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold", ratio=2)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold", ratio=3)
    for cell in (*own, *floating):
        table.add_row(f"    {SHARED if cell.floats else cell.mark}", *_cell_words(cell))
    if own or floating:
        console.print(table)
    if left:
        vcpus = sum(len(cell.vcpus) for cell in left)
        say(console, f"    and {len(left):,} more that float, with {count(vcpus, 'vCPU')}: --all")


def _coloured(node: MappedNode) -> Text:
    """Return the row of marks; a VM's letter has its colour where the terminal has colours."""
    from rich.text import Text

    text = Text()
    for mark in node.row():
        text.append(mark, style=_INKS[ord(mark) % len(_INKS)] if mark.isalnum() and mark != RESERVED else "")
    return text


def _draw_indented(text: str | Text, indent: int, console: Console) -> None:
    """Draw a text whose further lines begin where the first does."""
    from rich.table import Table

    grid = Table.grid(padding=0)
    grid.add_column(width=indent)
    grid.add_column(overflow="fold")
    grid.add_row("", text)
    console.print(grid)


def _cell_words(cell: MappedCell) -> tuple[str, str, str, str]:
    many = f" cell {cell.cell.id}" if len(cell.vm.cells) > 1 else ""
    change = "" if cell.vm.change is Change.NONE else f", {CHANGE_WORDS[cell.vm.change]}"
    vcpus = f"vCPUs {format_cpuset(cell.vcpus)}" if cell.vcpus else "memory only"
    way = "floats over" if cell.floats else "on"
    cpus = f"{way} {format_cpuset(cell.cpus)}" if cell.cpus else ""
    # The memory of a cell with both kinds of vCPU stands in its first line.
    if cell.across and not cell.cell.nodes:
        memory = amount(cell.cell.memory_kib)
    else:
        memory = amount(cell.memory_kib) if cell.memory_kib else "" if cell.floats else "elsewhere"
        memory += f" on node {cell.node}" if cell.across and memory else ""
    return visible(cell.vm.name) + many, vcpus, memory, cpus + change


def _some(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
