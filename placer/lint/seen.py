"""What lint looks at: a VM, the host where it is, the nodes it may meet, and its own XML."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from placer.errors import InputError
from placer.model.core_pairs import core_pairs
from placer.model.cpuset import parse_cpuset
from placer.model.host import Host, NodeKind, Topology
from placer.model.vm import CpuPolicy, Vm
from placer.read.domains.distances import told_distances

if TYPE_CHECKING:
    from lxml.etree import _Element


_BINDING = ("strict", "restrictive")
"""Memory modes that let no page lie elsewhere: QEMU's, and that of the cgroup."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSize:
    """The largest node that a guest may meet, each figure by itself: CPUs, cores and ordinary memory or pools (KiB)."""

    cpus: int
    cores: int
    memory_kib: int

    @classmethod
    def of(cls, topology: Topology) -> NodeSize:
        """Return the largest of a host."""
        nodes = [node for node in topology.nodes if node.kind is not NodeKind.DEVICE]
        return cls(
            cpus=max(len(node.cpus) for node in nodes),
            cores=max(len({topology.core_of_cpu[cpu] for cpu in node.cpus}) for node in nodes),
            memory_kib=max(node.memory_kib for node in nodes),
        )

    def with_larger(self, other: NodeSize) -> NodeSize:
        """Return the larger of both in each figure."""
        return NodeSize(
            cpus=max(self.cpus, other.cpus),
            cores=max(self.cores, other.cores),
            memory_kib=max(self.memory_kib, other.memory_kib),
        )


@dataclass(frozen=True, kw_only=True)
class Guest:
    """What guest rules look at: the VM, its host, the largest node it may meet, what nodes have beside other VMs, and
    its XML; host and XML where it has any.
    """

    vm: Vm
    host: Host | None
    node: NodeSize
    room: tuple[NodeSize, ...]
    root: _Element | None = None

    @cached_property
    def dedicated(self) -> dict[int, int]:
        """The CPU of each vCPU that has one of its own now."""
        if self.vm.current is None:
            return {}
        pins = self.vm.current.pins
        return {
            vcpu: next(iter(cpus)) for vcpu, cpus in pins.items() if len(cpus) == 1 and self.vm.spec.is_dedicated(vcpu)
        }

    @cached_property
    def held(self) -> frozenset[int]:
        """The CPUs of its dedicated vCPUs, pairs on the threads of a core included."""
        if self.vm.current is None:
            return frozenset()
        pairs = core_pairs(self.vm.current.pins)
        own = [cpus for vcpu, cpus in self.vm.current.pins.items() if vcpu in pairs and self.vm.spec.is_dedicated(vcpu)]
        return frozenset(self.dedicated.values()).union(*own)

    @cached_property
    def alone_on_cores(self) -> bool:
        """Whether all of its vCPUs are pinned to cores of their own, on a host with SMT."""
        if self.host is None or not self.dedicated:
            return False
        core_of, cores = self.host.topology.core_of_cpu, self.host.topology.cores
        mine = [core_of[cpu] for cpu in self.dedicated.values() if cpu in core_of]
        wide = all(len(cores[core]) > 1 for core in mine)
        return wide and len(set(mine)) == len(mine) == self.vm.spec.vcpus

    @property
    def strict(self) -> bool:
        """Whether the memory is bound to nodes: by the XML where there is one, else by placer itself."""
        if self.root is None:
            return True
        policies = [*self.root.findall("numatune/memory"), *self.root.findall("numatune/memnode")]
        return any(policy.get("mode", "strict") == "strict" for policy in policies)

    def topology(self, level: str, default: int = 1) -> int:
        """Return a figure of ``<cpu><topology>``."""
        element = None if self.root is None else self.root.find("cpu/topology")
        text = "" if element is None else (element.get(level) or "")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 7 else default

    @cached_property
    def default_cpus(self) -> frozenset[int] | None:
        """The CPUs of ``<vcpu cpuset>``, where threads without a pin run; None where the XML names none."""
        element = None if self.root is None else self.root.find("vcpu")
        try:
            return None if element is None else parse_cpuset(element.get("cpuset") or "") or None
        except InputError:
            return None

    @cached_property
    def distances(self) -> list[list[int]] | None:
        """The distances that the XML tells between its cells; see `told_distances`."""
        return None if self.root is None else told_distances(self.root)

    def bound_nodes(self, number: int) -> frozenset[int] | None:
        """Return the host nodes that the XML binds the memory of its cell of this rank to, -1 being the whole guest;
        None where it is neither strict nor restrictive, or has none.
        """
        ids = sorted(self._cell_ids())
        cell = None
        if self.root is not None and 0 <= number < len(ids):
            cell = self.root.find(f"numatune/memnode[@cellid='{ids[number]}']")
        policy = cell if cell is not None or self.root is None else self.root.find("numatune/memory")
        if policy is None or policy.get("mode", "strict") not in _BINDING or policy.get("placement") == "auto":
            return None
        try:
            return parse_cpuset(policy.get("nodeset") or "") or None
        except InputError:
            return None

    def _cell_ids(self) -> Iterator[int]:
        """Yield the ids of the guest's cells, which are their positions where they have none."""
        for position, cell in enumerate([] if self.root is None else self.root.findall("cpu/numa/cell")):
            text = cell.get("id") or ""
            yield int(text) if text.isascii() and text.isdigit() and len(text) < 7 else position


Said = tuple[str, str]


def pins_something(vm: Vm) -> bool:
    """Tell whether a VM has CPUs of its own, so that daemons that move threads work against it."""
    return vm.spec.cpu_policy is not CpuPolicy.SHARED
