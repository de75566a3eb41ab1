"""Lint of pins: guests against the CPUs and nodes of the host where they are."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator

from placer.lint.seen import Guest, Said
from placer.model.core_pairs import core_pairs
from placer.model.cpuset import format_cpuset
from placer.model.host import Topology
from placer.model.sets import known_nodes
from placer.model.units import count
from placer.model.vm import CellMode, CoreKind, ThreadPolicy
from placer.read.domains.pins import real_time_vcpus


def pins_over_siblings(guest: Guest) -> Iterator[Said]:
    """VCPUs pinned to SMT siblings that the guest takes for whole cores, where it could be shown threads.

    A guest whose vCPUs fill some cores and not others has no topology that tells: every guest core is alike.
    """
    if guest.host is None or guest.root is None or guest.topology("threads") > 1:
        return
    cores: dict[int, list[int]] = {}
    for vcpu, cpu in guest.dedicated.items():
        core = guest.host.topology.core_of_cpu.get(cpu)
        if core is not None:
            cores.setdefault(core, []).append(vcpu)
    shared = sorted(vcpu for vcpus in cores.values() if len(vcpus) > 1 for vcpu in vcpus)
    alike = {len(vcpus) for vcpus in cores.values()}
    if shared and len(alike) == 1 and len(shared) == guest.vm.spec.vcpus:
        yield (
            f"vCPUs {format_cpuset(shared)} are pinned to SMT siblings, and the guest sees whole cores",
            f"show it threads='{min(alike)}', vCPUs that follow each other on one core, or thread_policy: isolate",
        )


def pins_over_efficiency(guest: Guest) -> Iterator[Said]:
    """VCPUs of one guest on cores of both kinds: it takes them for alike, and waits for the slow ones."""
    if guest.host is None or guest.vm.spec.core_kind is not CoreKind.ANY:
        return
    slow = guest.host.topology.efficiency
    own = {vcpu for vcpu, cpu in guest.dedicated.items() if cpu in slow}
    if own and len(own) < len(guest.dedicated):
        yield (
            f"vCPUs {format_cpuset(own)} are pinned to efficiency cores, the others to performance cores",
            "core_kind: performance, or efficiency",
        )


def emulator_on_own_cpus(guest: Guest) -> Iterator[Said]:
    """Emulator threads on the CPUs of dedicated vCPUs steal their time.

    A pin to the set that ``<vcpu cpuset>`` names says no more than its absence: it gathers them on no vCPU.
    """
    emulator = None if guest.vm.current is None else guest.vm.current.emulator
    if emulator is not None and _is_default(guest, emulator):
        return
    both = (emulator or frozenset()) & guest.held
    if both:
        yield (
            f"emulator threads may run on CPUs {format_cpuset(both)} of its own vCPUs",
            "emulator_threads: housekeeping or isolate, and reserve CPUs for the host",
        )


def _is_default(guest: Guest, cpus: frozenset[int]) -> bool:
    """Tell whether a thread is pinned to what ``<vcpu cpuset>`` names, or to that less the CPUs of real-time vCPUs."""
    pins = {} if guest.vm.current is None else guest.vm.current.pins
    ruled = frozenset().union(*(pins.get(vcpu, frozenset()) for vcpu in guest.vm.spec.real_time))
    return guest.default_cpus is not None and cpus in (guest.default_cpus, guest.default_cpus - ruled)


def pins_over_isolated(guest: Guest) -> Iterator[Said]:
    """The kernel does not balance over isolated CPUs: all vCPUs of a wide cpuset stay on its first CPU."""
    if guest.host is None or guest.vm.current is None:
        return
    wide = {vcpu for vcpu, cpus in guest.vm.current.pins.items() if len(cpus) > 1 and cpus & guest.host.isolated_cpus}
    if wide:
        yield (
            f"vCPUs {format_cpuset(wide)} float over isolated CPUs, where the kernel balances nothing",
            "pin each to one CPU, or keep shared vCPUs off isolated_cpus",
        )


def vcpus_on_one_cpu(guest: Guest) -> Iterator[Said]:
    """Two vCPUs pinned to the same CPU wait for each other, and a spinning one for nothing.

    Not where the host's overcommit has it so, and dedicated vCPUs leave one CPU for the others to share.
    """
    if guest.vm.current is None:
        return
    alone = {vcpu: min(cpus) for vcpu, cpus in guest.vm.current.pins.items() if len(cpus) == 1}
    many = Counter(alone.values())
    allowed = 1.0 if guest.host is None or not guest.dedicated else guest.host.cpu_ratio
    twice = sorted(vcpu for vcpu, cpu in alone.items() if many[cpu] > 1 and many[cpu] > allowed)
    if twice:
        cpus = sorted({alone[vcpu] for vcpu in twice})
        named = f"CPU{'s' if len(cpus) > 1 else ''} {format_cpuset(cpus)}"
        yield f"vCPUs {format_cpuset(twice)} are pinned together to {named}", "give each a CPU of its own"


def iothread_on_vcpu(guest: Guest) -> Iterator[Said]:
    """An IOThread on the CPU of a dedicated vCPU takes that from it at every request."""
    pins = {} if guest.vm.current is None else guest.vm.current.iothread_pins
    for thread, cpus in sorted(pins.items()):
        both = cpus & guest.held
        if both and not _is_default(guest, cpus):
            yield (
                f"IOThread {thread} may run on CPUs {format_cpuset(both)} of its own vCPUs",
                "pin it to other CPUs near its device",
            )


def emulator_on_real_time(guest: Guest) -> Iterator[Said]:
    """Emulator threads starve on the CPU of a vCPU that runs under FIFO or RR, and the guest hangs with them."""
    if guest.root is None or guest.vm.current is None:
        return
    pins = guest.vm.current.pins
    ruled = frozenset[int]().union(*(pins.get(vcpu, frozenset()) for vcpu in real_time_vcpus(guest.root)))
    now = guest.vm.current
    helpers = {"emulator threads": now.emulator or frozenset()}
    helpers |= {f"IOThread {thread}": cpus for thread, cpus in sorted(now.iothread_pins.items())}
    for name, cpus in helpers.items():
        if cpus & ruled:
            yield (
                f"{name} may run on CPUs {format_cpuset(cpus & ruled)} of real-time vCPUs, where they starve",
                "pin them to the CPUs of the others, or of the host",
            )


def memory_far_from_pins(guest: Guest) -> Iterator[Said]:
    """Memory bound to a node where none of the cell's vCPUs may run: every access is remote.

    CPUs of nodes without memory are far from all of it, and a node without CPUs is far from all of them by intention.
    """
    if guest.host is None or guest.vm.current is None or guest.root is None:
        return
    node_of = guest.host.topology.node_of_cpu
    nodes = {node.id: node for node in guest.host.topology.nodes}
    flat = guest.vm.spec.cell_mode is CellMode.NONE
    for number, cell in enumerate(guest.vm.spec.cells):
        bound = guest.bound_nodes(-1 if flat else number)
        sets = [guest.vm.current.pins.get(vcpu, frozenset()) for vcpu in cell.vcpus if guest.vm.spec.is_online(vcpu)]
        if bound is None or not sets or not all(sets):
            continue
        near = {node_of[cpu] for cpus in sets for cpu in cpus if cpu in node_of}
        chosen = any(nodes[node].cpus for node in bound if node in nodes)
        could = any(nodes[node].memory_kib for node in near)
        if could and chosen and not near & bound:
            what = "its memory is" if flat else f"the memory of cell {number} is"
            yield (
                f"{what} bound to node {format_cpuset(bound)}, its vCPUs are pinned on node {format_cpuset(near)}",
                "bind both to one node",
            )


def threads_that_are_none(guest: Guest) -> Iterator[Said]:
    """Guest threads that do not lie on the threads of one core: the guest's scheduler shares what is not shared."""
    threads = guest.topology("threads")
    if guest.host is None or threads < 2:
        return
    topology = guest.host.topology
    if not topology.threads_told:
        return
    if all(len(core) == 1 for core in topology.cores):
        yield f"the guest sees {threads} threads a core, the host has one", "threads='1'"
        return
    if guest.vm.spec.thread_policy is ThreadPolicy.ISOLATE:
        yield (
            f"the guest sees {threads} threads a core, and thread_policy isolate leaves the siblings idle",
            "threads='1', or thread_policy: require",
        )
        return
    apart = [core for core in _guest_cores(guest, threads) if len(_host_cores(guest, core, topology)) > 1]
    if apart:
        vcpus = frozenset(vcpu for core in apart for vcpu in core)
        yield (
            f"vCPUs {format_cpuset(vcpus)} are threads of {count(len(apart), 'core')} to the guest, and pinned to "
            "other cores",
            "pin vCPUs 2k and 2k+1 to the siblings of one core, or show threads='1'",
        )


def distances_that_mislead(guest: Guest) -> Iterator[Said]:
    """Guest distances in another order than the host's: the guest takes far memory for near, and fills it first.

    Cells on one node, and distances that the guest takes for equal, mislead nobody into that.
    """
    places = None if guest.host is None else known_nodes(guest.vm)
    told = guest.distances
    if guest.host is None or places is None or told is None or len(told) != len(places[0]):
        return
    position = {node: number for number, node in enumerate(guest.host.topology.node_ids)}
    real = guest.host.topology.distances
    for own, cell in enumerate(guest.vm.spec.cells):
        if not cell.vcpus or places[0][own] not in position:
            continue
        others = [other for other, node in enumerate(places[1]) if other != own and node in position]
        away = {other: real[position[places[0][own]]][position[places[1][other]]] for other in others}
        for near, far in itertools.permutations(others, 2):
            if told[own][near] < told[own][far] and away[near] > away[far]:
                yield (
                    f"to cell {own} the guest has cell {near} at {told[own][near]} and cell {far} at {told[own][far]}, "
                    f"on the host they are at {away[near]:g} and {away[far]:g}",
                    "take <distances> out, or give it the host's: reshape, and export the plan",
                )
                return


def _guest_cores(guest: Guest, threads: int) -> Iterator[tuple[int, ...]]:
    """Yield the vCPUs of each guest core whose vCPUs all have a CPU or a pair of their own."""
    pairs = frozenset() if guest.vm.current is None else core_pairs(guest.vm.current.pins)
    for first in range(0, guest.vm.spec.vcpus - threads + 1, threads):
        core = tuple(range(first, first + threads))
        if all(vcpu in guest.dedicated or vcpu in pairs for vcpu in core):
            yield core


def _host_cores(guest: Guest, core: tuple[int, ...], topology: Topology) -> set[int | None]:
    pins = guest.vm.current.pins if guest.vm.current is not None else {}
    return {topology.core_of_cpu.get(cpu) for vcpu in core for cpu in pins[vcpu]}


RULES: tuple[tuple[str, Callable[[Guest], Iterator[Said]]], ...] = (
    ("pins-over-siblings", pins_over_siblings),
    ("threads-that-are-none", threads_that_are_none),
    ("vcpus-on-one-cpu", vcpus_on_one_cpu),
    ("emulator-on-own-cpus", emulator_on_own_cpus),
    ("emulator-on-real-time", emulator_on_real_time),
    ("iothread-on-vcpu", iothread_on_vcpu),
    ("pins-over-isolated", pins_over_isolated),
    ("pins-over-efficiency", pins_over_efficiency),
    ("memory-far-from-pins", memory_far_from_pins),
    ("distances-that-mislead", distances_that_mislead),
)
