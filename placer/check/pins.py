"""Check the CPUs of one host: every policy on dedicated and shared vCPUs, emulator threads and IOThreads."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator

from placer.check.findings import Findings
from placer.measure.cpu_use import NOBODY, CpuUse
from placer.measure.moved import has_fixed_pins, left_as_it_is
from placer.measure.sets_taken import own_vcpus
from placer.model.core_pairs import core_pairs, one_each
from placer.model.cpuset import format_cpuset
from placer.model.host import Host
from placer.model.plan import PlanVm
from placer.model.vm import CoreKind, CpuPolicy, EmulatorPolicy, Vm, VmSpec


def check_pins(use: CpuUse, arrivals: set[str], found: Findings) -> None:
    """Note every CPU of a host that a plan gives away wrongly; VMs that keep the CPUs that they have are facts.

    `arrivals` names the VMs that are not on their planned nodes now.
    """
    _exclusive(use, found)
    floors = _Floors(use)
    for (vm, planned), own in zip(use.placed, use.own, strict=True):
        if has_fixed_pins(vm, planned):
            for where, message in _fixed(vm, planned):
                found.vm(planned, message, where=where)
            for cpus in {pin for vcpu, pin in planned.pins.items() if not vm.spec.is_dedicated(vcpu)}:
                if cpus & use.taken:
                    taken = format_cpuset(cpus & use.taken)
                    found.warn(
                        f"VM {vm.name!r} on host {planned.host!r} floats by fixed pins over CPUs {taken} of others"
                    )
            continue
        if left_as_it_is(vm, planned):
            continue
        if planned.bound:
            # Where it comes with CPUs of its own they are as those of any other.
            wide = frozenset(vcpu for vcpu, pin in planned.pins.items() if len(pin) > 1) - core_pairs(planned.pins)
            comes = vm.current is None or vm.current.host != planned.host
            for where, message in _own_cpus(use.host, vm, planned, own, wide) if comes else ():
                found.vm(planned, message, where=where)
            continue
        unnamed = _unnamed(use.host, vm, planned)
        for where, message in _own_cpus(use.host, vm, planned, own, unnamed):
            found.vm(planned, message, where=where)
        for where, message in floors.wrong(vm, planned, arrives=vm.name in arrivals):
            found.vm(planned, message, where=where)
        stays = vm.name not in arrivals and planned.change.stays
        if stays and vm.current is not None and planned.emulator == vm.current.emulator:
            continue
        # Where CPUs are too few those that nobody knows stay so, emulator threads' too, whatever its other parts get.
        left = vm.name not in arrivals and vm.current is not None and vm.current.emulator is None and unnamed
        if left and planned.emulator is None:
            continue
        for where, message in _helpers(use.host, vm.spec, planned):
            found.vm(planned, message, where=where)


def _exclusive(use: CpuUse, found: Findings) -> None:
    """A CPU has one holder, none where a thread policy keeps it empty. Pins fixed on both sides are as they were."""

    def left(position: int, cpu: int) -> bool:
        return _keeps(use.host, *use.placed[position], cpu)

    def clash(cpu: int, one: int, other: int, how: str) -> None:
        planned, second = use.placed[one][1], use.placed[other][1]
        message = f"CPU {cpu} {how} VM {second.name!r}"
        if left(one, cpu) and left(other, cpu):
            found.warn(f"VM {planned.name!r} on host {planned.host!r}: {message}; both are as they are now")
        else:
            found.vm(planned, message, where="pins")

    for cpu, holders in use.holders.items():
        if len(holders) > 1:
            for one, other in itertools.pairwise(sorted(holders, key=lambda n: left(n, cpu))):
                clash(cpu, one, other, "is also pinned for")
    for cpu in use.holders.keys() & use.idle.keys():
        for one, other in itertools.product(use.holders[cpu], use.idle[cpu]):
            policy = use.placed[other][0].spec.thread_policy.value
            clash(cpu, one, other, f"must stay idle: it is a sibling under thread policy {policy} of")
    reserved = use.host.reserve.cpus
    if reserved:
        for cpu in sorted(use.idle.keys() & reserved):
            for position in use.idle[cpu]:
                vm, planned = use.placed[position]
                if not (has_fixed_pins(vm, planned) or left_as_it_is(vm, planned)):
                    policy = vm.spec.thread_policy.value
                    found.vm(planned, f"its thread policy is {policy}, and sibling {cpu} is reserved", where="pins")


def _unnamed(host: Host, vm: Vm, planned: PlanVm) -> frozenset[int]:
    """Return the dedicated vCPUs whose CPUs are not known and stay so: none is given one of its own."""
    now, topology = vm.current, host.topology
    if now is None or now.host != planned.host or planned.bound:
        return frozenset()
    on = frozenset(now.nodes or ())
    unknown = [vcpu for vcpu in planned.pins if vcpu not in now.pins and vm.spec.is_dedicated(vcpu)]
    if not on or not unknown:
        return frozenset()
    usable = host.usable_cpus
    cpus = {node.id: (node.cpus, node.cpus & usable or node.cpus) for node in topology.nodes if node.id in on}
    found = set()
    for vcpu in unknown:
        pin = planned.pins[vcpu]
        node, wide = cpus.get(topology.node_of_cpu[min(pin)], (NOBODY, NOBODY))
        if node and ((len(pin) > 1 and pin <= node) or pin == wide):
            found.add(vcpu)
    return frozenset(found)


def _keeps(host: Host, vm: Vm, planned: PlanVm, cpu: int) -> bool:
    """Tell whether a VM has a CPU for nothing but what it is there for now: whose sharing it is a fact."""
    now = vm.current
    if now is None or now.host != planned.host:
        return False
    unnamed = _unnamed(host, vm, planned)
    holds = [vcpu for vcpu, pin in planned.pins.items() if cpu in pin and vm.spec.is_dedicated(vcpu)]
    if any(vcpu not in unnamed and now.pins.get(vcpu) != planned.pins[vcpu] for vcpu in holds):
        return False
    return bool(holds) or planned.emulator == now.emulator


def _own_cpus(host: Host, vm: Vm, planned: PlanVm, own: set[int], unnamed: frozenset[int]) -> Iterator[tuple[str, str]]:
    """Each dedicated vCPU has exactly one CPU of the dedicated pool, or keeps the one that it has; with ``require`` and
    ``pairs`` it fills cores. Those that share the threads of a core now may share those of one.
    """
    spec = vm.spec
    if spec.cpu_policy is CpuPolicy.SHARED:
        return
    dedicated = {vcpu: pin for vcpu, pin in planned.pins.items() if vcpu not in unnamed and spec.is_dedicated(vcpu)}
    if vm.current is not None and (pairs := core_pairs(vm.current.pins) & core_pairs(planned.pins)):
        cores = set(host.topology.cores)
        each = one_each(planned.pins)
        dedicated |= {vcpu: each[vcpu] for vcpu in pairs & dedicated.keys() if planned.pins[vcpu] in cores}
    if unnamed:
        own = set().union(*dedicated.values())
    if len(own) != len(dedicated) or any(len(pin) != 1 for pin in dedicated.values()):
        taken: Counter[int] = Counter(cpu for pin in dedicated.values() for cpu in pin)
        for vcpu, pin in sorted(dedicated.items()):
            if len(pin) != 1:
                yield f"pins.{vcpu}", f"dedicated vCPU {vcpu} has the CPUs {format_cpuset(pin)}, not one of its own"
            elif taken[min(pin)] > 1:
                yield f"pins.{vcpu}", f"dedicated vCPU {vcpu} shares CPU {min(pin)} with another vCPU"
    has = vm.current.pins if vm.current is not None and vm.current.host == planned.host else {}
    kept = frozenset[int]().union(*(pin for vcpu, pin in dedicated.items() if has.get(vcpu) == planned.pins[vcpu]))
    outside = own - host.dedicated_pool - kept
    if outside:
        yield "pins", f"CPUs {format_cpuset(outside)} are not for dedicated vCPUs: {_why_not(host, min(outside))}"
    if spec.core_kind is not CoreKind.ANY:
        slow = own & host.topology.efficiency
        wrong = own - slow if spec.core_kind is CoreKind.EFFICIENCY else slow
        if wrong:
            yield "pins", f"CPUs {format_cpuset(wrong)} are of no {spec.core_kind.value} core, as its core_kind wants"
    if spec.thread_policy.fills_cores:
        yield from _filled_cores(host, vm, planned)


def _filled_cores(host: Host, vm: Vm, planned: PlanVm) -> Iterator[tuple[str, str]]:
    """The vCPUs of a cell fill cores that no other cell has, but for one core on each node that they are on."""
    topology, policy = host.topology, vm.spec.thread_policy.value
    owner: dict[int, int] = {}
    held = own_vcpus(vm, planned)
    for cell in planned.cells:
        own = {cpu for vcpu in cell.vcpus & held for cpu in planned.pins[vcpu]}
        partly: Counter[int] = Counter()
        for core in sorted({topology.core_of_cpu[cpu] for cpu in own}):
            if owner.setdefault(core, cell.id) != cell.id:
                cpus = format_cpuset(topology.cores[core])
                yield (
                    "pins",
                    f"thread policy {policy}: cells {owner[core]} and {cell.id} are on the core of CPUs {cpus}",
                )
            if not topology.cores[core] <= own:
                partly[topology.node_of_cpu[min(topology.cores[core] & own)]] += 1
        for node, cores in sorted(partly.items()):
            if cores > 1:
                partial = f"cell {cell.id} leaves {cores} cores of node {node} partly empty; one may be"
                yield "pins", f"thread policy {policy}: {partial}"


def _why_not(host: Host, cpu: int) -> str:
    return f"CPU {cpu} is reserved" if cpu in host.reserve.cpus else f"CPU {cpu} is for shared vCPUs"


class _Floors:
    """The CPUs that shared vCPUs float over: on each node all of the shared pool that nobody holds."""

    def __init__(self, use: CpuUse) -> None:
        self.use = use
        self._sets: dict[int, frozenset[int]] = {}

    def on(self, node: int) -> frozenset[int]:
        """Return the CPUs for shared vCPUs on a node."""
        found = self._sets.get(node)
        if found is None:
            host = self.use.host
            found = (host.topology.node(node).cpus & host.shared_pool) - self.use.taken
            self._sets[node] = found
        return found

    def wrong(self, vm: Vm, planned: PlanVm, *, arrives: bool) -> Iterator[tuple[str, str]]:
        """Yield the shared vCPUs whose cpuset is not that of their node, nor what they have less what others took.

        Where a node has no CPU left for them, those that are there already run on any of it: what they lack is excess.
        """
        spec = vm.spec
        current = vm.current if vm.current is not None and vm.current.host == planned.host else None
        now = {} if current is None else current.pins
        if spec.cpu_policy is CpuPolicy.DEDICATED:
            return
        # Where its memory alone changes node, its vCPUs are there already.
        there = set() if current is None else {*(current.nodes or ())}.union(*(one.cpus or () for one in current.bound))
        node_of = self.use.host.topology.node_of_cpu
        checked: set[frozenset[int]] = set()
        for vcpu, pin in planned.pins.items():
            if pin in checked or spec.is_dedicated(vcpu):
                continue
            checked.add(pin)
            node = node_of[min(pin)]
            free = self.on(node)
            if not free and (not arrives or node in there) and len({node_of[cpu] for cpu in pin}) == 1:
                continue
            known = now.get(vcpu, NOBODY)
            if pin != free and not (pin <= known and known - pin <= self.use.taken):
                want = format_cpuset(free) or "none: all its CPUs are taken"
                yield (
                    f"pins.{vcpu}",
                    f"shared vCPU {vcpu} floats over {format_cpuset(pin)}; the node's free shared CPUs are {want}",
                )


def _helpers(host: Host, spec: VmSpec, planned: PlanVm) -> Iterator[tuple[str, str]]:
    """Emulator threads are where their policy says, and IOThreads with them."""
    node_of = host.topology.node_of_cpu
    # Shared vCPUs may have no CPU left beside emulators that are isolated now: then they float over these too.
    own = frozenset().union(*(cpus for vcpu, cpus in planned.pins.items() if spec.is_dedicated(vcpu)))
    emulator = planned.emulator
    if spec.emulator_threads is EmulatorPolicy.ISOLATE:
        allowed = emulator
        if emulator is None or len(emulator) != 1 or emulator & own:
            yield "emulator", f"emulator threads are isolated and have {_words(emulator)}, not one CPU of their own"
        elif not emulator <= host.dedicated_pool:
            yield (
                "emulator",
                f"isolated emulator threads may not be there: {_why_not(host, min(emulator))}",
            )
        elif planned.cells[0].vcpus:
            home = {node_of[cpu] for cpu in planned.pins[min(planned.cells[0].vcpus)]}
            if node_of[min(emulator)] not in home:
                yield (
                    "emulator",
                    f"isolated emulator threads are on node {node_of[min(emulator)]}, cell 0 on node {min(home)}",
                )
    elif spec.emulator_threads is not EmulatorPolicy.SHARE and host.housekeeping_cpus:
        allowed = host.housekeeping_cpus
        if emulator != allowed:
            yield (
                "emulator",
                f"emulator threads have {_words(emulator)}, not the housekeeping CPUs {format_cpuset(allowed)}",
            )
    else:
        beside = _beside_real_time(spec, planned) or own
        allowed = emulator if emulator is not None else own
        if emulator is not None and emulator != beside:
            yield "emulator", f"emulator threads have {_words(emulator)}, not the VM's own CPUs {format_cpuset(beside)}"
    if planned.iothreads.keys() != set(spec.iothreads) and (planned.iothreads or emulator is not None):
        yield "iothreads", f"names the IOThreads {sorted(planned.iothreads)}, and the VM has {sorted(spec.iothreads)}"
    for thread, pin in planned.iothreads.items():
        if pin != allowed:
            yield (
                f"iothreads.{thread}",
                f"IOThread {thread} has {_words(pin)}, not the CPUs of the emulator threads {_words(allowed)}",
            )


def _beside_real_time(spec: VmSpec, planned: PlanVm) -> frozenset[int]:
    """Return the CPUs of vCPUs that no vCPU under FIFO or RR may run on."""
    found = set().union(*planned.pins.values())
    for vcpu in spec.real_time:
        found -= planned.pins[vcpu]
    return frozenset(found)


def _words(cpus: frozenset[int] | None) -> str:
    return "none" if cpus is None else f"CPUs {format_cpuset(cpus)}"


def _fixed(vm: Vm, planned: PlanVm) -> Iterator[tuple[str, str]]:
    """Fixed pins are as they are now."""
    now = vm.current
    if now is None:
        return
    for vcpu, pin in sorted(now.pins.items()):
        if planned.pins.get(vcpu) != pin:
            yield (
                f"pins.{vcpu}",
                f"its pins are fixed, and vCPU {vcpu} goes from {_words(pin)} to {_words(planned.pins.get(vcpu))}",
            )
    if now.emulator is not None and planned.emulator not in (None, now.emulator):
        yield (
            "emulator",
            f"its pins are fixed, and emulator threads go from {_words(now.emulator)} to {_words(planned.emulator)}",
        )
    for thread, pin in sorted(now.iothread_pins.items()):
        if planned.iothreads.get(thread, pin) != pin:
            yield f"iothreads.{thread}", f"its pins are fixed, and IOThread {thread} leaves {_words(pin)}"
