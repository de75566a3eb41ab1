"""A domain for the terminal: what it is, its guest cells with their memory, and the affinity row of each vCPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from placer.model.cpuset import format_cpuset
from placer.model.vm import CellMode, CpuPolicy, Movable
from placer.read.domains.reading import DomainReading
from placer.read.domains.virsh_text import affinity_row
from placer.show.affinity import draw_rows
from placer.show.items import draw_items
from placer.show.words import amount, page, visible

if TYPE_CHECKING:
    from rich.console import Console

_MOVABLE = {
    Movable.LIVE: "live",
    Movable.DRAIN: "only when its host is emptied",
    Movable.COLD: "only when shut down",
    Movable.NO: "not at all",
}


def draw_domain(reading: DomainReading, console: Console) -> None:
    """Draw a domain as placer understood it, and what it did not."""
    from rich.text import Text

    console.print(Text(f"domain {visible(reading.name)}", style="bold"))
    for label, value in _facts(reading):
        console.print(Text(f"  {label:<11}{visible(value)}"))
    _draw_cells(reading, console)
    host_cpus = _host_cpus(reading)
    rows = [(f"vCPU {vcpu}", cpus) for vcpu, cpus in sorted(reading.pins.items())]
    if reading.emulator is not None:
        rows.append(("emulator", reading.emulator))
    rows += [(f"IOThread {number}", cpus) for number, cpus in sorted(reading.iothread_pins.items())]
    if rows:
        console.print(f"affinity to CPUs 0-{host_cpus - 1}: y may run there, - may not")
        draw_rows(rows, host_cpus, console)
    draw_items("noted:", reading.notes, console)


def _facts(reading: DomainReading) -> list[tuple[str, str]]:
    spec = reading.spec
    policy = str(spec.cpu_policy)
    if spec.cpu_policy is CpuPolicy.MIXED:
        policy += f" (dedicated: {format_cpuset(spec.dedicated_vcpus)})"
    online = f", {spec.vcpus_current} online" if spec.vcpus_current not in (None, spec.vcpus) else ""
    pages = f" in pages of {page(spec.page_kib)}" if spec.page_kib else ""
    moves = _MOVABLE[reading.movable] + (f": {', '.join(reading.movable_why)}" if reading.movable_why else "")
    facts = [
        ("UUID", reading.uuid or "none"),
        ("state", "running" if reading.running else "shut off, or its stored definition"),
        ("vCPUs", f"{spec.vcpus}{online}, {policy}"),
        ("memory", f"{amount(spec.memory_kib)}{pages}"),
        ("KVM", "needed" if spec.kvm else "not needed"),
        ("may move", moves),
    ]
    if spec.iothreads:
        facts.insert(4, ("IOThreads", format_cpuset(spec.iothreads)))
    if reading.manager is not None:
        facts.append(("managed by", reading.manager))
    return facts


def _draw_cells(reading: DomainReading, console: Console) -> None:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for column in ("  cell", "vCPUs", "memory"):
        table.add_column(column, justify="right")
    table.add_column("on host nodes")
    for cell in _cells(reading):
        nodes = cell["host_nodes"] or "wherever the kernel puts it"
        name = "flat" if cell["id"] is None else str(cell["id"])
        shared = f", {cell['mem_access']}" if cell["mem_access"] else ""
        table.add_row(
            name, cell["vcpus"], amount(cell["memory_kib"]) + shared, visible(f"{nodes} {cell['mode'] or ''}")
        )
    told = "guest cells" if reading.spec.cell_mode is CellMode.GIVEN else "no guest cells: one flat guest"
    console.print(told)
    console.print(table)


def _cells(reading: DomainReading) -> list[dict[str, Any]]:
    flat = reading.spec.cell_mode is not CellMode.GIVEN
    found = []
    for position, cell in enumerate(reading.spec.cells):
        policy = reading.numatune.memory if flat else reading.numatune.of_cell(position)
        found.append(
            {
                "id": None if flat else position,
                "vcpus": format_cpuset(cell.vcpus),
                "memory_kib": cell.memory_kib,
                "mem_access": cell.mem_access,
                "host_nodes": None if policy is None or policy.nodeset is None else format_cpuset(policy.nodeset),
                "mode": None if policy is None else policy.mode,
            }
        )
    return found


def domain_data(reading: DomainReading) -> dict[str, Any]:
    """Return a domain as plain data; memory in KiB, CPU sets as text; what is not pinned is absent from `pins`."""
    spec = reading.spec
    host_cpus = _host_cpus(reading)
    return {
        "kind": "domain",
        "name": reading.name,
        "uuid": reading.uuid,
        "running": reading.running,
        "vcpus": spec.vcpus,
        "vcpus_current": spec.vcpus_current,
        "cpu_policy": str(spec.cpu_policy),
        "memory_kib": spec.memory_kib,
        "page_kib": spec.page_kib,
        "kvm": spec.kvm,
        "cells": _cells(reading),
        "pins": {str(vcpu): format_cpuset(cpus) for vcpu, cpus in sorted(reading.pins.items())},
        "affinity": {str(vcpu): affinity_row(cpus, host_cpus) for vcpu, cpus in sorted(reading.pins.items())},
        "emulator": None if reading.emulator is None else format_cpuset(reading.emulator),
        "iothreads": {
            str(number): format_cpuset(reading.iothread_pins[number]) if number in reading.iothread_pins else None
            for number in spec.iothreads
        },
        "movable": str(reading.movable),
        "movable_why": list(reading.movable_why),
        "manager": reading.manager,
        "assumptions": list(reading.notes),
    }


def _host_cpus(reading: DomainReading) -> int:
    """Return how many CPUs the rows are about: the XML does not tell the host's, so as many as it names."""
    named = [*reading.pins.values(), *reading.iothread_pins.values(), reading.emulator or frozenset()]
    return max((cpu for cpus in named for cpu in cpus), default=0) + 1
