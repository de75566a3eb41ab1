"""Which CPU topology a guest is shown: sockets that are its cells, threads that are threads of a host core."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from placer.emit.domain.elements import DOMAIN_ORDER
from placer.emit.domain.xml_tree import add_child, child_of
from placer.model.cpu_topology import LEVELS, CpuTopology, TopologyPolicy
from placer.model.host import Host
from placer.model.plan import PlanVm
from placer.model.vm import VmSpec
from placer.read.text.xml import parse_xml

if TYPE_CHECKING:
    from lxml.etree import _Element

_CPU_ORDER = ("model", "vendor", "topology", "cache", "maxphysaddr", "feature", "numa")
_ONE_THREAD = frozenset({"s390", "s390x"})
"""Machines whose guests have one thread a core, whatever the host has."""


def guest_topology(vm: PlanVm, spec: VmSpec, host: Host) -> CpuTopology:
    """Return the topology of a guest whose own XML does not tell one, or whose cells are new.

    What the inventory lists is taken as it is. Else a socket is the largest run of vCPUs that no guest cell cuts, so
    that equal cells are a socket each; with `max_sockets` runs are put together until they are few enough. Threads are
    those of the host where every guest core lies on all threads of one host core, and 1 elsewhere: a guest that takes
    siblings for cores shares what is not shared, and one that takes cores for siblings leaves them idle.
    """
    if isinstance(spec.cpu_topology, CpuTopology):
        return spec.cpu_topology
    socket = _uncut_run(vm, spec.vcpus)
    if spec.max_sockets is not None:
        socket = next(
            run
            for run in range(socket, spec.vcpus + 1, socket)
            if spec.vcpus % run == 0 and spec.vcpus // run <= spec.max_sockets
        )
    threads = _threads(vm, spec.vcpus, _uncut_run(vm, spec.vcpus), host)
    return CpuTopology(sockets=spec.vcpus // socket, cores=socket // threads, threads=threads)


def set_topology(root: _Element, topology: CpuTopology, host: Host) -> None:
    """Set ``<cpu><topology>``; a guest with the host's own CPU is told its threads too where AMD's need that said.

    Other models of AMD have ``topoext`` themselves, and without a model libvirt takes no features.
    """
    cpu = child_of(root, "cpu", DOMAIN_ORDER)
    element = child_of(cpu, "topology", _CPU_ORDER)
    told = dict(topology.told())
    for level in LEVELS:
        if level in told:
            element.set(level, str(told[level]))
        elif level in element.attrib:
            del element.attrib[level]
    model = (host.topology.model or "").lower()
    lacks = topology.threads > 1 and all(feature.get("name") != "topoext" for feature in cpu.findall("feature"))
    if lacks and ("amd" in model or "epyc" in model) and cpu.get("mode") == "host-passthrough":
        feature = add_child(cpu, "feature", _CPU_ORDER)
        feature.set("policy", "require")
        feature.set("name", "topoext")


def topology_shown(vm: PlanVm, spec: VmSpec, host: Host, xml: bytes | None) -> CpuTopology:
    """Return what a guest sees: the planned topology, or that of its own XML where it keeps it, which is a socket for
    every vCPU where it tells none.
    """
    if wants_topology(spec, has_xml=xml is not None, new_cells=vm.new_cells):
        return guest_topology(vm, spec, host)
    element = None if xml is None else parse_xml(xml, vm.name).find("cpu/topology")
    if element is None:
        return CpuTopology(sockets=spec.vcpus)
    said = {level: element.get(level, "") for level in LEVELS}
    counts = {level: int(text) for level, text in said.items() if re.fullmatch(r"[0-9]{1,6}", text)}
    return CpuTopology(**{level: max(1, min(number, spec.vcpus)) for level, number in counts.items()})


def wants_topology(spec: VmSpec, *, has_xml: bool, new_cells: bool) -> bool:
    """Tell whether a guest is given a topology: one that has none of its own, or may be given another.

    A guest sees its topology, so one that exists keeps it unless it may be reshaped; then new cells bring a new one.
    """
    if spec.cpu_topology is TopologyPolicy.KEEP:
        return False
    return not has_xml or (spec.reshape and (new_cells or spec.cpu_topology is not None))


def _uncut_run(vm: PlanVm, vcpus: int) -> int:
    """Return the length of the longest equal runs of vCPUs, from the first on, that lie in one cell each."""
    owner = {vcpu: cell.id for cell in vm.cells for vcpu in cell.vcpus}
    cuts = [vcpu for vcpu in range(1, vcpus) if owner.get(vcpu) != owner.get(vcpu - 1)]
    return next(run for run in range(vcpus, 0, -1) if vcpus % run == 0 and all(cut % run == 0 for cut in cuts))


def _threads(vm: PlanVm, vcpus: int, run: int, host: Host) -> int:
    """Return how many threads a guest core has: as many as each core of the host that it fills, one core after the
    other.
    """
    topology = host.topology
    first = vm.pins.get(0, frozenset())
    if topology.arch in _ONE_THREAD or len(first) != 1:
        return 1
    width = len(topology.cores[topology.core_of_cpu[min(first)]])
    if run % width:
        return 1
    for start in range(0, vcpus, width):
        own = [vm.pins.get(vcpu, frozenset()) for vcpu in range(start, start + width)]
        if any(len(cpus) != 1 for cpus in own):
            return 1
        cpus = frozenset().union(*own)
        if len(cpus) < width or cpus != topology.cores[topology.core_of_cpu[min(cpus)]]:
            return 1
    return width
