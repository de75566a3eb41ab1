"""The hosts and VMs of an inventory in a few lines: shapes of hosts, sizes of VMs, rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from placer.model.fleet import Fleet
from placer.model.host import Host, NodeKind, Topology
from placer.model.units import count
from placer.model.vm import CellMode, VmSpec
from placer.show.items import draw_items
from placer.show.rows import MOST, draw_rows
from placer.show.words import amount, listed, visible

if TYPE_CHECKING:
    from rich.console import Console

_NAMES_SHOWN = 3


def draw_fleet(fleet: Fleet, console: Console, *, most: int | None = MOST) -> None:
    """Draw an inventory: each shape of host and each size of VM once, with how many there are.

    Parameters
    ----------
    most : shapes and sizes drawn, the commonest first; None for all.
    """
    vms = sum(vm.spec.vcpus for vm in fleet.vms)
    console.print(
        f"inventory: {count(len(fleet.hosts), 'host')}, {count(len(fleet.vms), 'VM')} with {count(vms, 'vCPU')}"
    )
    placed = sum(1 for vm in fleet.vms if vm.current is not None)
    if placed:
        console.print(f"{count(placed, 'VM')} on a host now")
    rows = []
    for topology, members in sorted(_shapes(fleet), key=lambda shape: -len(shape[1])):
        memory = sum(node.memory_kib for node in topology.nodes if node.kind is not NodeKind.DEVICE)
        names = listed([visible(host.name) for host in members], _NAMES_SHOWN)
        figures = (len(members), len(topology.nodes), len(topology.cpus))
        rows.append((*(f"{number:,}" for number in figures), amount(memory), names))
    draw_rows(("hosts#", "nodes#", "CPUs#", "memory#", "named"), rows, console, most=most, rest="--all")
    if fleet.vms:
        sizes = _sizes(fleet) if most is None else sorted(_sizes(fleet), key=lambda item: -item[1])
        rows = [(f"{number:,}", f"{spec[0]:,}", amount(spec[1]), f"{spec[2]}, {spec[3]}") for spec, number in sizes]
        draw_rows(("VMs#", "vCPUs#", "memory#", "cells, CPU policy"), rows, console, most=most, rest="--all")
    draw_items("rules", _most([rule.label for rule in fleet.rules], most), console)


def _most(lines: Sequence[str], most: int | None) -> list[str]:
    """Return the first lines, and how many more there are."""
    if most is None or len(lines) <= most:
        return list(lines)
    return [*lines[:most], f"and {len(lines) - most:,} more: --all"]


def fleet_data(fleet: Fleet) -> dict[str, Any]:
    """Return an inventory's shapes and sizes as plain data; memory in KiB."""
    return {
        "kind": "inventory",
        "hosts": [
            {
                "names": [host.name for host in members],
                "nodes": len(topology.nodes),
                "cpus": len(topology.cpus),
                "memory_kib": sum(node.memory_kib for node in topology.nodes),
                "assumptions": list(topology.assumptions),
            }
            for topology, members in _shapes(fleet)
        ],
        "vms": [
            {"count": number, "vcpus": vcpus, "memory_kib": memory, "cells": cells, "cpu_policy": policy}
            for (vcpus, memory, cells, policy), number in _sizes(fleet)
        ],
        "rules": [rule.label for rule in fleet.rules],
        "placed": sum(1 for vm in fleet.vms if vm.current is not None),
        "assumptions": list(fleet.warnings),
    }


def _shapes(fleet: Fleet) -> list[tuple[Topology, list[Host]]]:
    """Return the hosts by what their topology looks like, whatever files they were read from."""
    found: list[tuple[Topology, list[Host]]] = []
    known: dict[int, int] = {}
    for host in fleet.hosts:
        topology = host.topology
        if id(topology) not in known:
            alike = (number for number, (other, _) in enumerate(found) if _look_alike(topology, other))
            known[id(topology)] = next(alike, len(found))
            if known[id(topology)] == len(found):
                found.append((topology, []))
        found[known[id(topology)]][1].append(host)
    return found


def _look_alike(one: Topology, other: Topology) -> bool:
    return (one.nodes, one.distances, one.cores) == (other.nodes, other.distances, other.cores)


def _sizes(fleet: Fleet) -> list[tuple[tuple[int, int, str, str], int]]:
    sizes = Counter((vm.spec.vcpus, vm.spec.memory_kib, _cells(vm.spec), str(vm.spec.cpu_policy)) for vm in fleet.vms)
    return sorted(sizes.items(), key=lambda item: (-item[0][0], -item[0][1], item[0][2:]))


def _cells(spec: VmSpec) -> str:
    if spec.cell_mode is CellMode.GIVEN:
        return count(len(spec.cells), "cell")
    return "cells auto" if spec.cell_mode is CellMode.AUTO else "flat"
