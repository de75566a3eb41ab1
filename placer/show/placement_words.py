"""Where VMs lie now, on a screen: the sum in two sentences, the worst VMs and hosts, pins that overlap."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from placer.explain.placement import PlacedVm, Placement
from placer.model.cpuset import format_cpuset
from placer.model.units import count
from placer.show.rows import draw_rows, say
from placer.show.words import counted, figure, listed, percent, visible

if TYPE_CHECKING:
    from rich.console import Console


def draw_placement(found: Placement, console: Console, most: int | None) -> None:
    """Draw it; `most` rows of a table, None for all."""
    for sentence in placement_sentences(found):
        say(console, sentence)
    far = [vm for vm in found.vms if vm.remote_access > 0]
    if far:
        say(console, "\nthe VMs that are farthest from their memory")
        titles = ("VM", "host", "CPUs", "memory", "vCPUs#", "remote access#", "leaves the node#")
        draw_rows(titles, [far_row(vm) for vm in far], console, most=most, rest="--all")
        hosts = [host for host in found.hosts if host.remote_access > 0]
        say(console, "\nthe hosts they are on")
        there = [
            (visible(host.host), figure(host.vms), figure(host.remote_access), figure(host.locality_score, 1))
            for host in hosts
        ]
        draw_rows(("host", "VMs#", "remote access#", "locality#"), there, console, most=most, rest="--all")
        say(console, "\nthe moves that would mend most: placer moves FLEET --best 10")
    if found.overlaps:
        say(console, "\nCPUs given to more than one dedicated vCPU")
        twice = [
            (visible(one.host), figure(one.cpu), listed([visible(name) for name in dict.fromkeys(one.vms)], 4))
            for one in found.overlaps
        ]
        draw_rows(("host", "CPU#", "VMs"), twice, console, most=most, rest="--all")


def far_row(vm: PlacedVm) -> tuple[str, ...]:
    """Return the row of a VM: where its CPUs and its memory are, how much of its memory access is remote."""
    return (
        visible(vm.vm),
        visible(vm.host),
        format_cpuset(vm.cpu_nodes),
        format_cpuset(vm.memory_nodes),
        figure(vm.vcpus),
        figure(vm.remote_access),
        percent(vm.remote_share),
    )


def placement_sentences(found: Placement) -> Iterator[str]:
    """Yield how many VMs are far from their memory and by how much, then what is not known, then pins."""
    if found.vms:
        are = "is" if found.far == 1 else "are"
        yield (
            f"{found.far:,} of {count(len(found.vms), 'VM')} on known nodes {are} away from memory: remote access "
            f"{counted(found.remote_access, 'vCPU')}, locality {figure(found.locality_score, 1)} of 100."
        )
    else:
        yield "No VM is on known nodes of its host."
    if found.floating:
        lie = "lies" if found.floating == 1 else "lie"
        of_them = f", {found.pinned_nowhere:,} of them pinned nowhere" if found.pinned_nowhere < found.floating else ""
        yield f"{count(found.floating, 'VM')} {lie} on no known node{of_them}: how far from the memory is not known."
    hosts = Counter(one.host for one in found.overlaps)
    told = f"{count(len(found.overlaps), 'CPU')} on {count(len(hosts), 'host')}" if hosts else "none"
    yield f"Pins that overlap: {told}."
