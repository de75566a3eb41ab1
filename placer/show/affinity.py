"""Where each vCPU may run, a row of ``y`` and ``-`` a vCPU as ``virsh vcpuinfo`` prints it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from placer.model.cpuset import format_cpuset
from placer.model.units import count
from placer.read.domains.virsh_text import VcpuState, affinity_row
from placer.show.words import figure, visible

if TYPE_CHECKING:
    from rich.console import Console

_LABEL = 14
_GROUP = 10


def draw_rows(rows: Sequence[tuple[str, frozenset[int]]], host_cpus: int, console: Console) -> None:
    """Draw labelled affinity rows; rows wider than the console go on in lines that name their first CPU."""
    chunk = max(_GROUP, (console.width - _LABEL - 6) // _GROUP * _GROUP)
    for label, cpus in rows:
        row = affinity_row(cpus, host_cpus)
        for first in range(0, host_cpus, chunk):
            start = f"  {label}".ljust(_LABEL) if first == 0 else " " * _LABEL
            at = f"{first:>5} " if host_cpus > chunk else ""
            console.print(f"{start}{at}{row[first : first + chunk]}", soft_wrap=True)


def draw_vcpuinfo(states: Sequence[VcpuState], name: str, console: Console) -> None:
    """Draw what ``virsh vcpuinfo`` told of a domain."""
    from rich.table import Table

    console.print(f"{count(len(states), 'vCPU')} of {visible(name)}")
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for column in ("  vCPU", "on CPU", "CPU time"):
        table.add_column(column, justify="right")
    table.add_column("state")
    table.add_column("may run on")
    for state in states:
        on = "unknown" if state.cpu is None else str(state.cpu)
        time = "unknown" if state.cpu_time_s is None else f"{figure(state.cpu_time_s, 1)} s"
        table.add_row(str(state.vcpu), on, time, state.state or "unknown", format_cpuset(state.affinity) or "unknown")
    console.print(table)
    told = [state for state in states if state.affinity]
    if told:
        _draw_affinity([(f"vCPU {state.vcpu}", state.affinity) for state in told], _host_cpus(told), console)


def draw_vcpupin(pins: Mapping[int, frozenset[int]], name: str, console: Console) -> None:
    """Draw what ``virsh vcpupin`` told of a domain; the text does not say how many CPUs the host has."""
    console.print(f"{count(len(pins), 'vCPU')} of {visible(name)}")
    for vcpu, cpus in pins.items():
        console.print(f"  vCPU {vcpu}: CPUs {format_cpuset(cpus)}")
    last = max(cpu for cpus in pins.values() for cpu in cpus)
    _draw_affinity([(f"vCPU {vcpu}", cpus) for vcpu, cpus in pins.items()], last + 1, console)


def draw_threadpin(pins: Mapping[str, frozenset[int]], name: str, console: Console) -> None:
    """Draw what ``virsh emulatorpin`` or ``virsh iothreadinfo`` told of a domain."""
    console.print(f"{count(len(pins), 'pinned thread')} of {visible(name)}")
    for thread, cpus in pins.items():
        console.print(f"  {thread}: CPUs {format_cpuset(cpus)}")
    _draw_affinity(list(pins.items()), _last(pins) + 1, console)


def draw_numatune(mode: str | None, nodes: frozenset[int], name: str, console: Console) -> None:
    """Draw what ``virsh numatune`` told of a domain."""
    where = f"on host nodes {format_cpuset(nodes)}" if nodes else "on any host node"
    console.print(f"memory of {visible(name)}: mode {visible(mode or 'unknown')}, {where}")


def threadpin_data(pins: Mapping[str, frozenset[int]], name: str) -> dict[str, Any]:
    """Return ``virsh emulatorpin`` or ``virsh iothreadinfo`` as plain data."""
    return {
        "kind": "threadpin",
        "name": name,
        "threads": [
            {"thread": thread, "cpuset": format_cpuset(cpus), "affinity": affinity_row(cpus, _last(pins) + 1)}
            for thread, cpus in pins.items()
        ],
    }


def numatune_data(mode: str | None, nodes: frozenset[int], name: str) -> dict[str, Any]:
    """Return ``virsh numatune`` as plain data; a memory that is bound to no node has null."""
    return {"kind": "numatune", "name": name, "mode": mode, "nodeset": format_cpuset(nodes) or None}


def vcpuinfo_data(states: Sequence[VcpuState], name: str) -> dict[str, Any]:
    """Return ``virsh vcpuinfo`` as plain data; what it did not tell is null."""
    return {
        "kind": "vcpuinfo",
        "name": name,
        "vcpus": [
            {
                "vcpu": state.vcpu,
                "cpu": state.cpu,
                "state": state.state,
                "cpu_time_s": state.cpu_time_s,
                "cpuset": format_cpuset(state.affinity) or None,
                "affinity": affinity_row(state.affinity, _host_cpus([state])) if state.affinity else None,
            }
            for state in states
        ],
    }


def vcpupin_data(pins: Mapping[int, frozenset[int]], name: str) -> dict[str, Any]:
    """Return ``virsh vcpupin`` as plain data."""
    last = max(cpu for cpus in pins.values() for cpu in cpus)
    return {
        "kind": "vcpupin",
        "name": name,
        "vcpus": [
            {"vcpu": vcpu, "cpuset": format_cpuset(cpus), "affinity": affinity_row(cpus, last + 1)}
            for vcpu, cpus in pins.items()
        ],
    }


def _draw_affinity(rows: Sequence[tuple[str, frozenset[int]]], host_cpus: int, console: Console) -> None:
    console.print(f"affinity to CPUs 0-{host_cpus - 1}: y may run there, - may not")
    draw_rows(rows, host_cpus, console)


def _last(pins: Mapping[str, frozenset[int]]) -> int:
    return max(cpu for cpus in pins.values() for cpu in cpus)


def _host_cpus(states: Iterable[VcpuState]) -> int:
    """Return how many CPUs the rows are about, or as many as they name."""
    return max(max(state.host_cpus or 0, max(state.affinity, default=-1) + 1) for state in states)
