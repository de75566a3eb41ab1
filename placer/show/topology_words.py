"""What a CPU topology tells a guest, on a screen: a row a choice, and what the guest sees of its nodes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from placer.explain.guest_topology import Distances, GuestTopology, TopologyChoice
from placer.model.units import count
from placer.show.rows import draw_rows, say
from placer.show.words import figure, visible

if TYPE_CHECKING:
    from rich.console import Console

_DESKTOP_SOCKETS = 2
"""Desktop editions of Windows run the vCPUs of so many sockets and leave the others idle."""


def draw_guest_topology(found: GuestTopology, console: Console) -> None:
    """Draw the choices with what is wrong in each, and sentences on cells, licences and caches."""
    titles = ("sockets × cores × threads", "sockets#", "cut by cells#", "core pairs wrong#", "L3 pairs wrong#", "")
    draw_rows(titles, [_row(one) for one in found.choices], console, most=None)
    for sentence in topology_sentences(found):
        say(console, sentence)


def topology_sentences(found: GuestTopology) -> Iterator[str]:
    """Yield what the guest sees and what a choice means for it."""
    sees = f"{visible(found.name)} on {visible(found.host)} sees {count(found.cells, 'NUMA node')}"
    runs = f"its {count(found.vcpus, 'vCPU')} run on {count(found.nodes, 'node')} of the host"
    yield f"{sees}; {runs}{'' if found.cells >= found.nodes else ': it cannot place its own memory by them'}."
    if found.told is not None and found.real is not None:
        same = "as on the host" if found.told == found.real else f"on the host it is {_rows(found.real)}"
        yield f"It is told that the distances between its NUMA nodes are {_rows(found.told)}: {same}."
    parts = (("core", found.known_cores), ("L3 domain", found.known_l3))
    loose = [(what, found.vcpus - known) for what, known in parts if known < found.vcpus]
    if loose:
        told = ", ".join(
            f"{many:,} of {found.vcpus:,}{'' if number else ' vCPUs have'} no {what}{'' if number else ' of their own'}"
            for number, (what, many) in enumerate(loose)
        )
        yield f"{told}, or it is not known: pairs of these are not counted."
    best = next(one for one in found.choices if one.advised)
    shown = next(one for one in found.choices if one.shown)
    if best.shown:
        yield f"What it is shown is as true as any{_fewer_sockets(found, shown)}."
    else:
        name = ", ".join(f"{level}: {number}" for level, number in best.topology.told())
        what = " and ".join(_less(shown, best))
        yield f"cpu_topology: {{{name}}} has {what}; a guest that exists takes it with reshape: true, when it starts."
    if shown.sockets > _DESKTOP_SOCKETS:
        idle = found.vcpus - found.vcpus * _DESKTOP_SOCKETS // shown.sockets
        yield (
            f"Licences by socket count {shown.sockets:,}; desktop Windows runs two sockets and leaves "
            f"{count(idle, 'vCPU')} idle (max_sockets: 2)."
        )


def _fewer_sockets(found: GuestTopology, shown: TopologyChoice) -> str:
    """Say which choice that is as true has fewest sockets, where that is fewer than the guest is shown."""
    least = min((one for one in found.choices if one.wrong == shown.wrong), key=lambda one: one.sockets)
    if least.sockets >= shown.sockets:
        return ""
    return f"; with {_named(least)} it counts {count(least.sockets, 'socket')} where those are licensed"


def _named(one: TopologyChoice) -> str:
    at = one.topology
    return f"{at.sockets} × {at.cores} × {at.threads}"


def _rows(distances: Distances) -> str:
    return " / ".join(" ".join(map(str, row)) for row in distances)


def _less(shown: TopologyChoice, best: TopologyChoice) -> Iterator[str]:
    for name, old, new in (
        ("sockets cut by cells", shown.cut, best.cut),
        ("pairs of vCPUs wrong about their cores", *(one.core_false + one.core_missed for one in (shown, best))),
        ("pairs wrong about their L3", *(one.l3_false + one.l3_missed for one in (shown, best))),
    ):
        if old != new:
            yield f"{new:,} {name} in place of {old:,}"


def _row(one: TopologyChoice) -> tuple[str, ...]:
    at = one.topology
    dies = "" if at.dies == at.clusters == 1 else f" ({at.dies} dies, {at.clusters} clusters)"
    marks = [word for word, is_so in (("shown", one.shown), ("advised", one.advised)) if is_so]
    return (
        _named(one) + dies,
        figure(one.sockets),
        figure(one.cut),
        _wrong(one.core_false, one.core_missed),
        _wrong(one.l3_false, one.l3_missed),
        ", ".join(marks),
    )


def _wrong(false: int, missed: int) -> str:
    """Return pairs that are taken to share and do not, and those that share and are not seen to."""
    return figure(false + missed) if not (false and missed) else f"{figure(false)} + {figure(missed)}"
