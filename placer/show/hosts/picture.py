"""A host for the terminal: a tree of its parts, its memory and pools, distances, devices, and what was assumed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from placer.model.cpuset import format_cpuset
from placer.model.host import Device, Node, NodeKind, Topology
from placer.model.units import count
from placer.show.heat import distance_lines
from placer.show.items import draw_items
from placer.show.words import amount, figure, listed, page, visible
from placer.topology.parts import Kind, Part, part_tree

if TYPE_CHECKING:
    from rich.console import Console
    from rich.tree import Tree

_DEVICES_SHOWN = 12
_KVM = {True: "yes", False: "no", None: "unknown: the source does not tell"}


def draw_host(topology: Topology, name: str, console: Console) -> None:
    """Draw a host on `console`: readable without colour and in 80 columns."""
    from rich.text import Text

    console.print(Text(f"host {visible(name)}", style="bold"))
    for label, value in _facts(topology):
        console.print(Text(f"  {label:<9}{value}"), soft_wrap=False)
    console.print(_tree(topology))
    if len(topology.nodes) > 1:
        console.print("distances: memory of the column seen from the CPUs of the row, 10 = local")
        console.print(distance_lines(topology.node_ids, topology.distances, console.width))
    _draw_bandwidth(topology, console)
    draw_items("assumed:", topology.assumptions, console)


def _facts(topology: Topology) -> list[tuple[str, str]]:
    cpus, memory = len(topology.cpus), sum(node.memory_kib for node in topology.nodes)
    threads = sorted({len(core) for core in topology.cores})
    width = (
        "no cores told" if not threads else f"{threads[0]}" if len(threads) == 1 else f"{threads[0]} to {threads[-1]}"
    )
    parts = [
        count(len(topology.packages), "package") if topology.packages else "",
        count(len(topology.nodes), "node"),
        count(len(topology.l3), "L3 domain") if topology.l3 else "L3 domains unknown",
    ]
    facts = [
        ("KVM", _KVM[topology.kvm]),
        ("CPUs", f"{cpus:,} online in {count(len(topology.cores), 'core')}, {width} to a core"),
        ("parts", ", ".join(part for part in parts if part)),
        ("memory", amount(memory) if memory else "not told"),
    ]
    if topology.efficiency:
        facts.insert(2, ("kinds", f"efficiency cores on CPUs {format_cpuset(topology.efficiency)}"))
    if topology.offline:
        facts.insert(2, ("offline", f"CPUs {format_cpuset(topology.offline)}"))
    named = [visible(text) for text in (topology.model, topology.arch) if text]
    return ([("model", ", ".join(named))] if named else []) + facts


def _tree(topology: Topology) -> Tree:
    from rich.text import Text
    from rich.tree import Tree

    near: dict[int | None, list[Device]] = {}
    for device in topology.devices:
        near.setdefault(device.node if device.node in topology.node_ids else None, []).append(device)

    def grow(branch: Tree, part: Part) -> None:
        for inner in _drawn(part, part):
            drawn_inside = _drawn(inner, inner)
            cores = _loose_cores(inner)
            label = _label(inner, topology)
            if cores and not drawn_inside and inner.kind is not Kind.NODE:
                branch.add(Text(f"{label}: {_core_text(cores)}"))
                continue
            below = branch.add(Text(label))
            grow(below, inner)
            if cores:
                below.add(Text(_core_text(cores)))
            if inner.kind is Kind.NODE:
                _add_devices(below, near.get(inner.number, []))

    tree = Tree("", hide_root=True)
    root = part_tree(topology)
    grow(tree, root)
    _add_devices(tree, near.get(None, []))
    return tree


def _drawn(part: Part, holder: Part) -> list[Part]:
    """Return the parts inside that get a branch: dies and clusters only where they tell more than what holds them."""
    found: list[Part] = []
    for inner in part.parts:
        if inner.kind in (Kind.CORE, Kind.CPU):
            continue
        tells = inner.kind not in (Kind.DIE, Kind.CLUSTER) or inner.cpus != holder.cpus
        if inner.kind is Kind.CLUSTER:
            tells = tells and sum(1 for below in inner.walk() if below.kind is Kind.CORE) > 1
        found += [inner] if tells else _drawn(inner, holder)
    return found


def _loose_cores(part: Part) -> list[frozenset[int]]:
    """Return the cores of a part that lie in no branch drawn below it."""
    inside = frozenset().union(*(inner.cpus for inner in _drawn(part, part)))
    return [below.cpus for below in part.walk() if below.kind is Kind.CORE and not below.cpus <= inside]


def _core_text(cores: Sequence[frozenset[int]]) -> str:
    if all(len(core) == 1 for core in cores):
        return f"{'CPUs' if len(cores) > 1 else 'CPU'} {format_cpuset(frozenset().union(*cores))}"
    return f"{count(len(cores), 'core')} " + "  ".join(",".join(map(str, sorted(core))) for core in cores)


def _label(part: Part, topology: Topology) -> str:
    if part.kind is not Kind.NODE:
        return f"{part.kind} {part.number}"
    told = any(node.memory_kib for node in topology.nodes)
    return f"node {part.number}: {node_text(topology.node(part.number), told=told)}"


def node_text(node: Node, *, told: bool = True) -> str:
    """Return what a node holds: memory, what was free, page pools, and what kind of node it is; `told` says whether
    any memory of its host is told.
    """
    if node.kind is NodeKind.DEVICE:
        return f"{amount(node.memory_kib)} of a device, never planned for"
    words = [amount(node.memory_kib) if node.memory_kib else "no memory" if told else "memory not told"]
    if node.free_kib is not None:
        words.append(f"{amount(node.free_kib)} free when read")
    for size, pages in sorted(node.pages.items()):
        free = f", {node.free_pages[size]:,} free" if size in node.free_pages else ""
        words.append(f"{count(pages, 'page')} of {page(size)}{free}")
    if node.kind is NodeKind.MEMORY_ONLY and node.memory_kib:
        words.append("memory only")
    elif not node.cpus:
        words.append("no CPUs")
    return "; ".join(words)


def _add_devices(branch: Tree, devices: Sequence[Device]) -> None:
    from rich.text import Text

    texts = [
        visible(f"{each.kind} {each.address}") + (f" × {each.count}" if each.count > 1 else "") for each in devices
    ]
    if texts:
        branch.add(Text(f"devices: {listed(texts, _DEVICES_SHOWN)}"))


def _draw_bandwidth(topology: Topology, console: Console) -> None:
    if topology.bandwidth_mib_s is None:
        return
    console.print("bandwidth in GiB/s, from the CPUs of the first node to the memory of the second")
    for node, row in zip(topology.node_ids, topology.bandwidth_mib_s, strict=True):
        told = [
            f"{other}: {figure(value / 1024, 1)}" for other, value in zip(topology.node_ids, row, strict=True) if value
        ]
        if told:
            console.print(f"  {node} to " + "  ".join(told))
