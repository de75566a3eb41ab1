"""Pages of VMs that float, moved out of the way first where it is known on which nodes of their host they lie."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from placer.measure.memory_use import pool_size
from placer.model.host import Host, NodeKind
from placer.model.vm import Vm
from placer.moves.model import PageMove
from placer.moves.places import Key
from placer.moves.state import Board


@dataclass(slots=True)
class Pages:
    """Where pages of VMs that float lie while a schedule is made, by host, VM and node (KiB), as far as it is known."""

    board: Board
    _on: dict[str, dict[str, Counter[int]]] = field(default_factory=dict)

    def make_room(self, host: str, name: str, wanted: Mapping[int, int]) -> tuple[PageMove, ...]:
        """Return which pages go to which other node so that a VM's memory is free where it wants it (node -> KiB).

        The largest first, all that a VM has on the node, for so `migratepages` moves them. Nothing where enough is free
        as far as is known, and nothing where that does not make enough room: then the want alone is told.
        """
        on = {vm: Counter(nodes) for vm, nodes in self._of(host).items() if vm in self.board.state(host).members}
        found: list[PageMove] = []
        for node, kib in wanted.items():
            lack = kib - self._free(host, node, on)
            for vm in sorted(on, key=lambda vm: (-on[vm][node], vm)):
                amount = on[vm][node]
                if lack <= 0 or vm == name or not amount or not _is_file_name(_bare(vm, host)):
                    continue
                target = self._target(host, vm, amount, wanted, on)
                if target is None:
                    continue
                found.append(PageMove(vm=vm, host=host, source=node, target=target, memory_kib=amount))
                on[vm][target] += amount
                on[vm][node] = 0
                lack -= amount
            if lack > 0:
                return ()
        self._on[host] = on
        return tuple(found)

    def _of(self, host: str) -> dict[str, Counter[int]]:
        if host not in self._on:
            topology = self.board.fleet.host_by_name[host].topology
            found = self._on[host] = {}
            for name, place in self.board.residents.get(host, ()):
                vm = self.board.fleet.vm_by_name[name]
                known = {} if vm.current is None else vm.current.memory_on
                floats = not any(cell.nodes for cell in place.cells)
                if known and floats and vm.running and pool_size(vm.spec, topology) is None:
                    found[name] = Counter(known)
        return self._on[host]

    def _free(self, host: str, node: int, on: Mapping[str, Counter[int]]) -> int:
        """Return what is free on a node (KiB) as far as it is known who has what of it.

        Memory that floats is counted on all nodes in proportion to what they have; that of `on` where it lies.
        """
        state, key = self.board.state(host), Key("memory", node)
        spread = 0
        for (what, nodes, size), kib in state.sets.items():
            if what == "memory" and size is None and node in nodes:
                known = sum(state.members[vm].sets.get((what, nodes, size), 0) for vm in on)
                whole = sum(state.has.get(Key("memory", one), 0) for one in nodes)
                spread += (kib - known) * state.has.get(key, 0) // max(1, whole)
        return state.has.get(key, 0) - state.used[key] - spread - sum(pages[node] for pages in on.values())

    def _target(
        self, host: str, name: str, amount: int, wanted: Mapping[int, int], on: Mapping[str, Counter[int]]
    ) -> int | None:
        """Return the node with most room for pages of a VM; None where none that it may use has enough."""
        place = self.board.fleet.host_by_name[host]
        free = {
            node: self._free(host, node, on)
            for node in _allowed(self.board.fleet.vm_by_name[name], place)
            if node not in wanted
        }
        best = max(free, key=lambda node: (free[node], -node), default=None)
        return best if best is not None and free[best] >= amount else None


def page_command(move: PageMove) -> str:
    """Return the command that moves pages, for a shell of root on the host."""
    process = shlex.quote(f"/run/libvirt/qemu/{_bare(move.vm, move.host)}.pid")
    return f'migratepages "$(cat {process})" {move.source} {move.target}'


def _bare(vm: str, host: str) -> str:
    return vm.removeprefix(f"{host}/")


def _is_file_name(name: str) -> bool:
    """Tell whether a name stands for a file of libvirt's own: its commands are run by root."""
    return "/" not in name and name.isprintable()


def _allowed(vm: Vm, host: Host) -> list[int]:
    """Return the nodes on which a VM's memory may lie where it is."""
    nodes = {node.id for node in host.topology.nodes if node.memory_kib and node.kind is not NodeKind.DEVICE}
    for bound in () if vm.current is None else vm.current.bound:
        nodes &= nodes if bound.memory is None else bound.memory
    return sorted(nodes)
