"""Nova's real fitting code on a fleet, asked in an environment of its own; its answer becomes a plan to be checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.peers.environment import PeerMissingError, ask, python_of
from placer.model.fleet import Fleet
from placer.model.host import Host
from placer.model.plan import Plan, PlanCell, PlanVm, Unplaced
from placer.model.vm import CellMode, CpuPolicy, Vm

VERSION = "34.0.0"
KIB_PER_MIB = 1024
SMALL_PAGE_KIB = 4

__all__ = ["VERSION", "NovaAnswer", "PeerMissingError", "solve_nova"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NovaAnswer:
    """Where Nova put the VMs, as a plan; seconds of its fitting alone; claims that its own fit did not survive."""

    plan: Plan
    seconds: float
    refused_claims: int


def solve_nova(
    fleet: Fleet, order: Sequence[int], *, pack: bool, time_limit_s: float = 600.0, install: bool = True
) -> NovaAnswer:
    """Place the VMs of an empty fleet one by one, in `order` (indices of VMs), by Nova's code.

    Ordinary memory is asked for as 4 KiB pages, as Nova's manual advises for pinned instances: without a page size
    Nova does not count a node's memory.

    Raises
    ------
    PeerMissingError
        Nova cannot be had here, or failed.
    ValueError
        The fleet has what Nova is not told of: VMs on hosts, rules, VMs not dedicated or with cells left open.
    """
    _refuse_others(fleet)
    python = python_of("nova", VERSION, install=install)
    question = {
        "hosts": [_host(host) for host in fleet.hosts],
        "vms": [_vm(fleet.vms[number]) for number in order],
        "pack": pack,
    }
    told = ask(python, Path(__file__).with_name("nova_child.py"), question, time_limit_s=time_limit_s)
    vms, left = [], []
    for number, found in zip(order, told["placed"], strict=True):
        vm = fleet.vms[number]
        if found is None:
            left.append(Unplaced(name=vm.name, reason="Nova finds no host"))
        else:
            vms.append(_planned(vm, fleet.hosts[found["host"]], found))
    plan = Plan(
        fleet_path=fleet.path,
        fleet_digest=fleet.digest,
        seed=0,
        rounds=0,
        status="feasible",
        goals=(),
        vms=tuple(vms),
        unplaced=tuple(left),
        versions={"nova": VERSION},
    )
    return NovaAnswer(plan=plan, seconds=told["seconds"], refused_claims=told["refused_claims"])


def _host(host: Host) -> dict[str, Any]:
    topology = host.topology
    packages = topology.packages or (topology.cpus,)
    return {
        "cells": [
            {
                "id": node.id,
                "cpus": sorted(node.cpus & host.usable_cpus),
                "siblings": [sorted(core) for core in topology.cores if core <= node.cpus],
                "memory_mib": node.memory_kib // KIB_PER_MIB,
                "pages": {
                    str(SMALL_PAGE_KIB): (node.memory_kib - node.pool_kib) // SMALL_PAGE_KIB,
                    **{str(size): count for size, count in node.pages.items()},
                },
                "socket": next(number for number, package in enumerate(packages) if node.cpus <= package),
            }
            for node in topology.nodes
        ]
    }


def _vm(vm: Vm) -> dict[str, Any]:
    return {
        "thread_policy": vm.spec.thread_policy.value,
        "cells": [
            {
                "vcpus": sorted(cell.vcpus),
                "memory_mib": cell.memory_kib // KIB_PER_MIB,
                "page_kib": vm.spec.page_kib or SMALL_PAGE_KIB,
            }
            for cell in vm.spec.cells
        ],
    }


def _planned(vm: Vm, host: Host, found: dict[str, Any]) -> PlanVm:
    pins = {int(vcpu): frozenset((cpu,)) for vcpu, cpu in found["pins"].items()}
    return PlanVm(
        name=vm.name,
        host=host.name,
        cells=tuple(
            PlanCell(
                id=number, vcpus=cell.vcpus, memory_kib=cell.memory_kib, mode="strict", nodes={node: cell.memory_kib}
            )
            for number, (cell, node) in enumerate(zip(vm.spec.cells, found["nodes"], strict=True))
        ),
        pins=dict(sorted(pins.items())),
        shown=vm.spec.cell_mode is CellMode.GIVEN,
        emulator=host.housekeeping_cpus or frozenset().union(*pins.values()),
    )


def _refuse_others(fleet: Fleet) -> None:
    plain = all(
        vm.spec.cpu_policy is CpuPolicy.DEDICATED and vm.spec.cells and vm.spec.interleave == 1 and not vm.spec.devices
        for vm in fleet.vms
    )
    if fleet.is_live or fleet.rules or not plain:
        raise ValueError("Nova is asked only about empty fleets without rules and VMs with dedicated CPUs, given cells")
