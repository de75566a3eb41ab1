"""VMs that no host of the fleet could hold even if it were empty, and why: a spec against all kinds of host at once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from placer.check.cells import SMALLEST_PAGE_KIB
from placer.measure.moved import is_present
from placer.measure.rule_excess import CONFINING, RuleIndex, rule_index
from placer.measure.spec_numbers import SpecNumbers
from placer.model import units
from placer.model.fleet import Fleet
from placer.model.host import Host, NodeKind
from placer.model.memory_room import memory_room
from placer.model.rules import RuleKind
from placer.model.units import format_kib
from placer.model.vm import MAX_AUTO_CELLS, CellMode, CpuPolicy, EmulatorPolicy, ThreadPolicy, VmSpec

Numbers = NDArray[np.float64]
Truths = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Part:
    """What lies on one node: dedicated and shared vCPUs, CPUs for emulator threads, memory in whole pages, overhead."""

    dedicated: int
    shared: int
    emulator: int
    memory_kib: int
    overhead_kib: int
    page_kib: int | None = None

    @property
    def vcpus(self) -> int:
        """All vCPUs of the part."""
        return self.dedicated + self.shared


def impossible_vms(fleet: Fleet, index: RuleIndex | None = None) -> dict[str, str]:
    """Return name -> reason for every VM that is nowhere and that no host could hold even if it were empty.

    Every VM named is truly impossible; one not named may still find no place, beside others or for a reason that only a
    solve sees. Hosts that failed or are drained hold none; rules within and outside are kept. `index` is the fleet's
    `rule_index` where it is known already.
    """
    kinds = _HostKinds(fleet.hosts)
    allowed = _Allowed(fleet, kinds, index or rule_index(fleet))
    known: dict[Hashable, str | None] = {}
    specs = SpecNumbers()
    out: dict[str, str] = {}
    for number, vm in enumerate(fleet.vms):
        if is_present(fleet, vm):
            continue
        where = allowed.of(number, vm.spec)
        key = (specs.of(vm.spec), where)
        if key not in known:
            most = allowed.too_wide.get(where)
            known[key] = (
                allowed.closed.get(where) or kinds.reason(vm.spec, allowed.masks[where])
                if most is None
                else f"has {units.count(vm.spec.width, 'vCPU')}, no host that it may be on has more than "
                f"{units.count(most, 'usable CPU')} (wide_vms)"
            )
        reason = known[key]
        if reason is not None:
            out[vm.name] = reason
    return out


class _Allowed:
    """On which kinds of host a VM may be at all; VMs in the same rules share the answer."""

    def __init__(self, fleet: Fleet, kinds: _HostKinds, index: RuleIndex) -> None:
        names = [host.name for host in fleet.hosts]
        self._kinds = kinds
        self._open = np.array([not host.failed for host in fleet.hosts], dtype=bool)
        self._kvm = np.array([host.kvm for host in fleet.hosts], dtype=bool)
        self._smt = np.array([host.smt for host in fleet.hosts], dtype=bool)
        self._widest = np.array([host.widest_vm for host in fleet.hosts], dtype=np.float64)
        self._any_takes = self._widest.min(initial=np.inf)
        self._hosts: dict[int, Truths] = {}
        self._rules: dict[int, list[int]] = {}
        self._labels = [rule.label for rule in fleet.rules]
        for number, rule in enumerate(fleet.rules):
            if rule.kind not in CONFINING or rule.is_soft:
                continue
            inside = np.array([name in index.hosts[number] for name in names], dtype=bool)
            if rule.kind is RuleKind.DRAIN and not rule.members:
                self._open &= ~inside
            else:
                only = rule.kind in (RuleKind.WITHIN, RuleKind.DEDICATED)
                self._hosts[number], self._hosts[-1 - number] = (inside, ~inside) if only else (~inside, inside)
                for vm in index.vms[number]:
                    self._rules.setdefault(vm, []).append(number)
                for vm in index.others[number]:
                    self._rules.setdefault(vm, []).append(-1 - number)
        self.masks: dict[Hashable, Truths] = {}
        self.too_wide: dict[Hashable, int] = {}
        """The most usable CPUs of the hosts that a VM may be on, where it has more vCPUs than any of them."""
        self.closed: dict[Hashable, str] = {}
        """What leaves no host, where a VM may be on none."""

    def of(self, vm: int, spec: VmSpec) -> Hashable:
        """Return the key in `masks` of the kinds of host that the VM with this index may be on."""
        rules = tuple(self._rules.get(vm, ()))
        # A dedicated vCPU takes a CPU: of those too few are what its nodes say.
        width = 0 if spec.cpu_policy is CpuPolicy.DEDICATED else spec.width
        key = (spec.kvm, spec.needs_smt, rules, width if width > self._any_takes else 0)
        if key not in self.masks:
            hosts = np.ones(len(self._open), dtype=bool)
            for takes, why in self._steps(spec, rules):
                hosts = hosts & takes
                if not hosts.any():
                    self.closed.setdefault(key, f"no host may take it: {why}")
            wide = hosts & (self._widest >= width)
            if hosts.any() and not wide.any():
                self.too_wide[key] = int(self._widest[hosts].max())
            hosts = wide
            self.masks[key] = self._kinds.with_any(hosts)
        return key

    def _steps(self, spec: VmSpec, rules: Sequence[int]) -> Iterator[tuple[Truths, str]]:
        """Yield which hosts take a VM for each thing that may keep it out, and how that is said where none is left."""
        yield self._open, "all have failed or are to be emptied"
        if spec.kvm:
            yield self._kvm, "KVM is on none that is left"
        if spec.needs_smt:
            yield (
                self._smt,
                f"thread_policy {spec.thread_policy.value} wants thread siblings, and none that is left has any",
            )
        for number in rules:
            label = self._labels[number if number >= 0 else -1 - number]
            yield self._hosts[number], f"the rule {label} leaves none"


class _HostKinds:
    """The distinct kinds of host, and what each node of each kind offers, as arrays over all their nodes."""

    def __init__(self, hosts: Sequence[Host]) -> None:
        index: dict[Hashable, int] = {}
        self.of_host = np.array([index.setdefault(_host_key(host), len(index)) for host in hosts], dtype=np.int64)
        first: dict[int, Host] = {}
        for host, kind in zip(hosts, self.of_host.tolist(), strict=True):
            first.setdefault(kind, host)
        self.kinds = [first[kind] for kind in range(len(first))]
        rows: list[tuple[float, ...]] = []
        pools: list[dict[int | None, int]] = []
        for number, host in enumerate(self.kinds):
            for row, room in _node_rows(host):
                rows.append((number, *row))
                pools.append(room)
        table = np.array(rows, dtype=np.float64).reshape(len(rows), 6)
        self.kind: NDArray[np.int64] = table[:, 0].astype(np.int64)
        self.dedicated, self.cores, self.whole, self.shared, self.carries = (table[:, n] for n in range(1, 6))
        self.sizes = {size for room in pools for size in room}
        self.room = {
            size: np.array([room.get(size, 0) for room in pools], dtype=np.float64) for size in self.sizes | {None}
        }
        # Where CPUs and memory need not be on one node, a cell takes the largest memory that its host has.
        self.far = {size: self._largest(room)[self.kind] for size, room in self.room.items()}
        bare = np.zeros(len(self.kinds), dtype=bool)
        np.logical_or.at(bare, self.kind, (self.dedicated + self.shared > 0) & (self.room[None] + self._pooled() == 0))
        self.bare = bare[self.kind]
        self.untold = np.array([not host.topology.pages_told for host in self.kinds], dtype=bool)[self.kind]

    def with_any(self, hosts: Truths) -> Truths:
        """Return which kinds have any of the hosts."""
        return np.bincount(self.of_host[hosts], minlength=len(self.kinds)) > 0

    def _largest(self, room: Numbers) -> Numbers:
        out = np.zeros(len(self.kinds))
        np.maximum.at(out, self.kind, room)
        return out

    def _pooled(self) -> Numbers:
        return (
            np.sum([room for size, room in self.room.items() if size is not None], axis=0)
            if len(self.room) > 1
            else np.zeros(len(self.kind))
        )

    def reason(self, spec: VmSpec, kinds: Truths) -> str | None:
        """Return why a VM fits on no host of these kinds, None where it may fit on one."""
        short = self._host_level(spec, kinds)
        if isinstance(short, str):
            return short
        reasons = []
        for parts in _options(spec):
            reason = self._why(spec, parts, short)
            if reason is None:
                return None
            reasons.append(reason)
        return (
            reasons[0]
            if len(reasons) == 1
            else f"{reasons[0]}; cut into up to {MAX_AUTO_CELLS} equal cells it does not fit either"
        )

    def _host_level(self, spec: VmSpec, kinds: Truths) -> Truths | str:
        """Return the kinds that have the devices and free resources of a VM, or what all of them lack."""
        left = kinds.copy()
        wanted: list[tuple[str, int, list[int]]] = [
            (f"{request.kind} devices", request.count, [_devices(host, request.kind) for host in self.kinds])
            for request in spec.devices
        ]
        wanted += [
            (name, amount, [_resource(host, name) for host in self.kinds])
            for name, amount in sorted(spec.resources.items())
        ]
        for name, amount, has in wanted:
            most = max(np.array(has)[kinds].tolist())
            if amount > most:
                return f"needs {amount} {name}, the host with the most has {most}"
            left &= np.array(has) >= amount
        return left if left.any() else "no host has all its devices and free resources together"

    def _why(self, spec: VmSpec, parts: Sequence[Part], kinds: Truths) -> str | None:
        nodes = kinds[self.kind]
        fits = np.ones(len(self.kind), dtype=bool)
        every = nodes.copy()
        for part in dict.fromkeys(parts):
            for what, need, has, words in self._needs(spec, part):
                most = float(has[nodes].max(initial=0.0))
                if need > most:
                    return f"needs {words(need)} {what} on one node, the largest has {words(most)}"
            fits = self._fits(spec, part)
            if not (fits & nodes).any():
                return f"no node has {part.vcpus} vCPUs and {format_kib(part.memory_kib)} for VMs at once"
            every &= fits
        # A cell of nothing lies wherever the VM does.
        parts = [part for part in parts if part.vcpus or part.memory_kib]
        if spec.share_node or len(parts) == 1:
            return None
        if len(set(parts)) > 1:
            # Unequal cells: each takes a node that fits at least the smallest in everything.
            names = ("dedicated", "shared", "emulator", "memory_kib", "overhead_kib")
            least = replace(parts[0], **{name: min(getattr(part, name) for part in parts) for name in names})
            if len({part.page_kib for part in parts}) > 1:
                least = replace(least, memory_kib=0, page_kib=None)
            every = self._fits(spec, least) & nodes
        vcpus, kib = min(part.vcpus for part in parts), min(part.memory_kib for part in parts)
        # Parts of interleaved memory that lie on memory-only nodes run beside others.
        beside = spec.cell_mode is CellMode.NONE and spec.memory_tier == "any"
        if beside:
            every = (self._memory(parts[0].page_kib, np.zeros(len(self.kind), dtype=bool)) >= kib) & nodes
        count = np.bincount(self.kind[every], minlength=len(self.kinds))
        if count.max(initial=0) >= len(parts):
            return None
        most = count.max(initial=0)
        sizes = {part.page_kib for part in parts} - {None}
        pages = f" in pages of {format_kib(min(size for size in sizes if size))}" if len(sizes) == 1 else ""
        own = "" if beside else f"{units.count(vcpus, 'vCPU')} and "
        return (
            f"needs {units.count(len(parts), 'node')} with {own}{format_kib(kib)}{pages} each, "
            f"no host has more than {most}"
        )

    def _needs(self, spec: VmSpec, part: Part) -> Iterator[tuple[str, float, Numbers, Callable[[float], str]]]:
        """Yield (what, how much a part needs, how much each node has, how to say an amount)."""
        if part.dedicated and spec.thread_policy is ThreadPolicy.ISOLATE:
            yield "whole cores", part.dedicated, self.cores, _count
        elif part.dedicated and spec.thread_policy.fills_cores:
            yield "CPUs of whole cores", part.dedicated, self.whole, _count
        if part.dedicated + part.emulator:
            yield (
                "vCPUs" if not part.emulator else "CPUs, its emulator threads' included,",
                part.dedicated + part.emulator,
                self.dedicated,
                _count,
            )
        if part.shared:
            yield "shared vCPUs", part.shared, self.carries, _count
        far = self._far(spec)
        size = part.page_kib
        if size is not None:
            yield f"in pages of {format_kib(size)}", part.memory_kib, self._memory(size, far), _kib
            yield "of overhead", part.overhead_kib, self._memory(None, far), _kib
        else:
            yield "with its overhead", part.memory_kib + part.overhead_kib, self._memory(None, far), _kib

    def _far(self, spec: VmSpec) -> Truths:
        return self.bare | (spec.memory_tier == "any")

    def _memory(self, size: int | None, far: Truths) -> Numbers:
        zeros = np.zeros(len(self.kind))
        near, far_away = self.room.get(size, zeros), self.far.get(size, zeros)
        if size is not None:  # pools that a host does not tell are made of its memory
            near = np.where(self.untold, self.room[None], near)
            far_away = np.where(self.untold, self.far[None], far_away)
        return np.where(far, far_away, near)

    def _fits(self, spec: VmSpec, part: Part) -> Truths:
        fits = self.dedicated + self.shared >= (1 if part.vcpus else 0)
        for _, need, has, _ in self._needs(spec, part):
            fits &= has >= need
        return fits


def _host_key(host: Host) -> Hashable:
    reserve = host.reserve
    return (
        id(host.topology),
        reserve.cpus,
        frozenset(reserve.memory_kib.items()),
        frozenset((node, frozenset(pages.items())) for node, pages in reserve.pages.items()),
        host.dedicated_cpus,
        host.shared_cpus,
        host.isolated_cpus,
        host.cpu_ratio,
        host.memory_ratio,
        frozenset(host.resources.items()),
    )


def _node_rows(host: Host) -> Iterator[tuple[tuple[float, ...], dict[int | None, int]]]:
    """Yield a node: dedicated CPUs, cores for isolate, CPUs for require, shared CPUs and vCPUs; and its memory."""
    topology, room = host.topology, memory_room(host)
    page = topology.page_kib
    for node in topology.nodes:
        if node.kind is NodeKind.DEVICE:
            continue
        memory: dict[int | None, int] = {size: room.get((node.id, size), 0) for size in node.pages}
        memory[None] = memory[page] = room.get((node.id, None), 0)
        cpus = node.cpus if node.kind is NodeKind.NORMAL else frozenset()
        dedicated, shared = cpus & host.dedicated_pool, cpus & host.shared_pool
        cores = {topology.core_of_cpu[cpu] for cpu in dedicated}
        unreserved = [topology.cores[core] for core in cores if not topology.cores[core] & host.reserve.cpus]
        whole = sum(len(core & dedicated) for core in unreserved)
        yield (len(dedicated), len(unreserved), whole, len(shared), host.cpu_ratio * len(shared)), memory


def _devices(host: Host, kind: str) -> int:
    return sum(device.count for device in host.topology.devices if device.kind == kind)


def _resource(host: Host, name: str) -> int:
    on_nodes = [node.resources[name] for node in host.topology.nodes if name in node.resources]
    return sum(on_nodes) if on_nodes else host.resources.get(name, 0)


def _options(spec: VmSpec) -> Iterator[tuple[Part, ...]]:
    """Yield the ways to cut a VM into parts, each of which lies on one node."""
    if spec.cell_mode is CellMode.GIVEN:
        yield tuple(
            _part(
                spec,
                sum(map(spec.is_dedicated, cell.vcpus)),
                sum(spec.is_dedicated(vcpu) or spec.is_online(vcpu) for vcpu in cell.vcpus),
                cell.memory_kib,
                len(spec.cells),
                not number,
                spec.page_of(number),
            )
            for number, cell in enumerate(spec.cells)
        )
        return
    counts = [spec.interleave] if spec.cell_mode is CellMode.NONE else range(1, MAX_AUTO_CELLS + 1)
    pages = -(-spec.memory_kib // (spec.page_kib or SMALLEST_PAGE_KIB))
    for count in counts:
        if spec.cell_mode is CellMode.AUTO and (spec.vcpus % count or (count > 1 and pages % count)):
            continue
        # Only the least that any part must hold: what is left over is dealt out one by one, and a part may hold all
        # shared vCPUs that are not online.
        away = sum(not spec.is_dedicated(vcpu) and not spec.is_online(vcpu) for vcpu in range(spec.vcpus))
        vcpus = max(0, spec.vcpus // count - away)
        dedicated = {CpuPolicy.DEDICATED: vcpus, CpuPolicy.SHARED: 0, CpuPolicy.MIXED: 0}[spec.cpu_policy]
        if spec.cpu_policy is CpuPolicy.MIXED and count == 1:
            dedicated = len(spec.dedicated_vcpus)
        yield tuple(
            _part(spec, dedicated, vcpus, spec.memory_kib // count, count, not number, spec.page_kib)
            for number in range(count)
        )


def _part(spec: VmSpec, dedicated: int, vcpus: int, memory_kib: int, parts: int, first: bool, size: int | None) -> Part:
    page = size or 1
    emulator = 1 if first and spec.emulator_threads is EmulatorPolicy.ISOLATE else 0
    mixed = spec.cpu_policy is CpuPolicy.MIXED and parts > 1
    return Part(
        dedicated=dedicated,
        shared=0 if mixed else vcpus - dedicated,
        emulator=emulator,
        memory_kib=-(-memory_kib // page) * page,
        overhead_kib=-(-spec.overhead_taken_kib // parts),
        page_kib=size,
    )


def _count(number: float) -> str:
    return f"{number:g}"


def _kib(kib: float) -> str:
    return format_kib(int(kib))
