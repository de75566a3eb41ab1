"""A plan for the terminal: its summary, and each host's nodes with the cells on them and a map of their CPUs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from placer.errors import InputError
from placer.model.cpuset import format_cpuset
from placer.model.fleet import Fleet
from placer.model.host import Host
from placer.model.plan import Change, Plan, PlanVm
from placer.show.plan_map import FREE, RESERVED, SHARED, MappedCell, MappedNode, map_host
from placer.show.plan_summary import draw_summary
from placer.show.words import amount, count, visible

if TYPE_CHECKING:
    from rich.console import Console

HOSTS_DRAWN = 12
"""Plans of more hosts get a line a host; one host is drawn by its name."""


def draw_plan(plan: Plan, fleet: Fleet | None, host: str | None, console: Console) -> None:
    """Draw a plan, or one host of it; without the fleet the picture shows no free CPUs.

    Raises
    ------
    InputError
        The plan and the fleet have no host of this name.
    """
    vms_of = _by_host(plan, fleet)
    if host is not None:
        if host not in vms_of:
            raise InputError(f"the plan has no host {host!r}", cure=f"it has {_some(sorted(vms_of))}")
        _draw_host(host, vms_of[host], fleet, console)
        return
    draw_summary(plan, console)
    if len(vms_of) <= HOSTS_DRAWN:
        for name, vms in vms_of.items():
            console.print()
            _draw_host(name, vms, fleet, console)
        return
    console.print()
    for name, vms in vms_of.items():
        vcpus = sum(len(vm.pins) for vm in vms)
        console.print(f"{visible(name)}: {count(len(vms), 'VM')}, {count(vcpus, 'vCPU')}", soft_wrap=True)


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
        "nodes": [_node_data(node) for node in map_host(vms_of[host], _host(fleet, host))],
    }


def _node_data(node: MappedNode) -> dict[str, Any]:
    free = frozenset(cpu for core in node.cores for cpu in core) - node.dedicated - node.floating - node.reserved
    return {
        "id": node.id,
        "memory_kib": node.memory_kib,
        "vm_memory_kib": node.taken_kib,
        "free_cpus": format_cpuset(free) if node.cores else None,
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


def _draw_host(name: str, vms: Sequence[PlanVm], fleet: Fleet | None, console: Console) -> None:
    from rich.text import Text

    console.print(Text(f"host {visible(name)}: {count(len(vms), 'VM')}", style="bold"))
    nodes = map_host(vms, _host(fleet, name))
    for node in nodes:
        _draw_node(node, console)
    if any(node.cores for node in nodes):
        console.print(
            f"  a letter: a VM's own CPU; {FREE} free  {RESERVED} reserved  {SHARED} shared by floating vCPUs"
        )


def _draw_node(node: MappedNode, console: Console) -> None:
    from rich.table import Table

    cpus = sum(map(len, node.cores))
    words = []
    if node.cores:
        words.append(f"{len(node.dedicated)} of {cpus} CPUs pinned")
        words += [f"{len(node.floating)} shared"] if node.floating else []
        words += [f"{len(node.reserved)} reserved"] if node.reserved else []
        words.append(f"{cpus - len(node.dedicated | node.floating | node.reserved)} free")
    total = "" if node.memory_kib is None else f" of {amount(node.memory_kib)}"
    words.append(f"{amount(node.taken_kib)}{total}")
    _draw_indented(f"node {node.id}: {', '.join(words)}", 2, console)
    if node.cores:
        _draw_indented(node.row(), 4, console)
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold", ratio=2)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold", ratio=3)
    for cell in node.cells:
        table.add_row(f"    {cell.mark}", *_cell_words(cell))
    if node.cells:
        console.print(table)


def _draw_indented(text: str, indent: int, console: Console) -> None:
    """Draw a text whose further lines begin where the first does."""
    from rich.table import Table

    grid = Table.grid(padding=0)
    grid.add_column(width=indent)
    grid.add_column(overflow="fold")
    grid.add_row("", text)
    console.print(grid)


def _cell_words(cell: MappedCell) -> tuple[str, str, str, str]:
    many = f" cell {cell.cell.id}" if len(cell.vm.cells) > 1 else ""
    change = "" if cell.vm.change is Change.NONE else f", {cell.vm.change}"
    vcpus = f"vCPUs {format_cpuset(cell.vcpus)}" if cell.vcpus else "memory only"
    way = "floats over" if cell.floats else "on"
    cpus = f"{way} {format_cpuset(cell.cpus)}" if cell.cpus else ""
    # The memory of a cell with both kinds of vCPU stands in its first line.
    memory = amount(cell.memory_kib) if cell.memory_kib or not cell.floats else ""
    return visible(cell.vm.name) + many, vcpus, memory, cpus + change


def _some(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
