"""The hosts and VMs of an inventory in a few lines: shapes of hosts, sizes of VMs, rules."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from placer.model.fleet import Fleet
from placer.model.host import Host, NodeKind, Topology
from placer.model.vm import CellMode, VmSpec
from placer.show.words import amount, count, listed, visible

if TYPE_CHECKING:
    from rich.console import Console

_NAMES_SHOWN = 3


def draw_fleet(fleet: Fleet, console: Console) -> None:
    """Draw an inventory: each shape of host and each size of VM once, with how many there are."""
    from rich.table import Table

    vms = sum(vm.spec.vcpus for vm in fleet.vms)
    console.print(
        f"inventory: {count(len(fleet.hosts), 'host')}, {count(len(fleet.vms), 'VM')} with {count(vms, 'vCPU')}"
    )
    hosts = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for column in ("hosts", "nodes", "CPUs", "memory"):
        hosts.add_column(column, justify="right")
    hosts.add_column("named", overflow="fold")
    for topology, members in _shapes(fleet):
        memory = sum(node.memory_kib for node in topology.nodes if node.kind is not NodeKind.DEVICE)
        names = listed([visible(host.name) for host in members], _NAMES_SHOWN)
        figures = (len(members), len(topology.nodes), len(topology.cpus))
        hosts.add_row(*(f"{number:,}" for number in figures), amount(memory), names)
    console.print(hosts)
    if fleet.vms:
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
        for column in ("VMs", "vCPUs", "memory"):
            table.add_column(column, justify="right")
        table.add_column("cells, CPU policy")
        for spec, number in _sizes(fleet):
            table.add_row(f"{number:,}", f"{spec[0]:,}", amount(spec[1]), f"{spec[2]}, {spec[3]}")
        console.print(table)
    for rule in fleet.rules:
        console.print(f"rule: {visible(rule.label)}")
    placed = sum(1 for vm in fleet.vms if vm.current is not None)
    if placed:
        console.print(f"{count(placed, 'VM')} on a host now")


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
    """Return the hosts by the topology that they share; hosts read from files of their own stand alone."""
    found: dict[int, tuple[Topology, list[Host]]] = {}
    for host in fleet.hosts:
        found.setdefault(id(host.topology), (host.topology, []))[1].append(host)
    return list(found.values())


def _sizes(fleet: Fleet) -> list[tuple[tuple[int, int, str, str], int]]:
    sizes = Counter((vm.spec.vcpus, vm.spec.memory_kib, _cells(vm.spec), str(vm.spec.cpu_policy)) for vm in fleet.vms)
    return sorted(sizes.items(), key=lambda item: (-item[0][0], -item[0][1], item[0][2:]))


def _cells(spec: VmSpec) -> str:
    if spec.cell_mode is CellMode.GIVEN:
        return count(len(spec.cells), "cell")
    return "cells auto" if spec.cell_mode is CellMode.AUTO else "flat"
