"""What has to be done to one domain to bring it where the plan wants it, and what cannot be done while it runs."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from placer.live.calls import Call, CallKind, pin_calls
from placer.live.domain_state import DomainState
from placer.live.owned import owned_values
from placer.live.wanted import Wanted, wanted_of
from placer.measure.memory_use import memory_taken, pool_size
from placer.model.cpuset import format_cpuset
from placer.model.fleet import Fleet
from placer.model.host import Topology
from placer.model.memory_room import Pool
from placer.model.plan import PlanVm
from placer.model.vm import VmSpec
from placer.read.domains.domain_xml import read_domain
from placer.read.domains.memory import MemoryPolicy
from placer.read.domains.reading import DomainReading

_BINDING = ("strict", "restrictive")
_START_ONLY = ("huge pages", "guest cell", "vCPU placement", "nodes of memory device")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """The calls for one domain, in order, and what stays undone until it restarts (None: nothing).

    `stays` says that the plan leaves the VM as it is.
    """

    calls: tuple[Call, ...]
    wanted_xml: bytes
    restart: str | None = None
    stays: bool = False


def change_of(vm: PlanVm, fleet: Fleet, state: DomainState, config: bytes) -> Change:
    """Return what to do to a domain on its planned host.

    Parameters
    ----------
    config
        The persistent XML to patch: with its passwords (`secure_config`) where it will be given back to libvirt.

    Raises
    ------
    InputError
        The domain is not the one planned (size, cells, IOThreads), or refers to its host in a way that forbids it.
    """
    source = f"domain {state.name!r} on host {vm.host!r}"
    wanted = wanted_of(vm, fleet, config, source)
    calls: list[Call] = []
    if owned_values(config, source) != owned_values(wanted.xml, source):
        calls.append(Call(kind=CallKind.DEFINE, before=config.decode(), after=wanted.xml.decode()))
    restart = None
    if state.live is not None:
        calls += _pins(wanted, state)
        reading = read_domain(state.live, source)
        misplaced = list(_misplaced(vm, reading, wanted.kept))
        nodeset = _nodeset_call(vm, reading) if misplaced else None
        if nodeset is not None:
            calls.append(nodeset)
            misplaced = []
        restart = _restart(vm, misplaced, state, wanted.xml, source)
    return Change(calls=tuple(calls), wanted_xml=wanted.xml, restart=restart, stays=wanted.kept is not None)


def memory_wanted(
    vm: PlanVm, spec: VmSpec, topology: Topology, state: DomainState, pages_kib: Mapping[int, int] | None = None
) -> dict[Pool, int]:
    """Return the memory (KiB) that a domain will take where it has none of it now, by pool.

    A domain that is shut off takes all of it when it starts. One that runs takes, at its next start, what is to lie on
    other nodes than now; what it then leaves on these nodes itself is free by then.

    Parameters
    ----------
    pages_kib
        Where its pages lie now, by node, as far as known: of one that is bound to no node this tells what it leaves.
    """
    wanted: dict[Pool, int] = {}
    for pool, kib in memory_taken(spec, topology, vm):
        wanted[pool] = wanted.get(pool, 0) + kib
    if state.live is None:
        return wanted
    reading = read_domain(state.live, state.name)
    if not any(True for _ in _misplaced(vm, reading)):
        return {}
    size = pool_size(spec, topology)
    if not any(reading.numatune.of_cell(position) for position in range(len(vm.cells))):
        left = {(node, size): kib for node, kib in (pages_kib or {}).items()}
        return {pool: kib - left.get(pool, 0) for pool, kib in wanted.items() if kib > left.get(pool, 0)}
    for position, cell in enumerate(vm.cells):
        policy = reading.numatune.of_cell(position)
        nodes = policy.nodeset if policy is not None and policy.mode in _BINDING else None
        if nodes is not None and len(nodes) == 1:
            pool = (next(iter(nodes)), size)
            wanted[pool] = wanted.get(pool, 0) - cell.memory_kib
    # The overhead of a running domain is there already, wherever it is.
    parts = [node for cell in vm.cells for node in cell.nodes]
    for node in parts:
        if (node, None) in wanted:
            wanted[node, None] -= -(-spec.overhead_taken_kib // len(parts))
    return {pool: kib for pool, kib in wanted.items() if kib > 0}


def memory_name(vm: PlanVm, position: int) -> str:
    """Return what the memory of a cell is called; a flat guest has no cells."""
    return f"memory of cell {vm.cells[position].id}" if vm.shown else "memory"


def xml_diff(state: DomainState, host: str, wanted: bytes) -> str:
    """Return the unified diff from a domain's persistent XML to the one wanted; empty where they agree."""
    lines = difflib.unified_diff(
        state.xml.decode().splitlines(),
        wanted.decode().splitlines(),
        fromfile=f"{host}/{state.name} as it is",
        tofile=f"{host}/{state.name} as planned",
        lineterm="",
        n=1,
    )
    return "\n".join(lines)


def _pins(wanted: Wanted, state: DomainState) -> list[Call]:
    calls = [*pin_calls(CallKind.VCPU, {**state.offline_vcpus, **state.vcpus}, wanted.vcpus)]
    if state.emulator is not None and wanted.emulator is not None and state.emulator != wanted.emulator:
        before, after = format_cpuset(state.emulator), format_cpuset(wanted.emulator)
        calls.append(Call(kind=CallKind.EMULATOR, before=before, after=after))
    return [*calls, *pin_calls(CallKind.IOTHREAD, state.iothreads, wanted.iothreads)]


def _misplaced(
    vm: PlanVm, live: DomainReading, kept: DomainReading | None = None
) -> Iterator[tuple[int, MemoryPolicy | None]]:
    """Yield each cell of a running domain whose memory is not bound to its planned nodes, with what binds it now.

    `kept` is the definition of a VM that stays: how that binds its memory is how it is planned.
    """
    for position, cell in enumerate(vm.cells):
        if not cell.nodes:
            continue
        policy = live.numatune.of_cell(position)
        if kept is not None and policy == kept.numatune.of_cell(position):
            continue
        bound = policy is not None and (
            policy.mode in _BINDING if cell.mode == "strict" else policy.mode == "interleave"
        )
        if not bound or policy is None or policy.nodeset != frozenset(cell.nodes):
            yield position, policy


def _nodeset_call(vm: PlanVm, live: DomainReading) -> Call | None:
    """Return the call that moves a running domain's memory: libvirt has one for the restrictive mode alone."""
    policy = live.numatune.memory
    if policy is None or policy.mode != "restrictive" or not policy.nodeset:
        return None
    nodes = frozenset().union(*(cell.nodes for cell in vm.cells))
    one_for_all = all(frozenset(cell.nodes) == nodes and cell.mode == "strict" for cell in vm.cells if cell.nodes)
    if not one_for_all or any(node.mode != "restrictive" for node in live.numatune.memnodes.values()):
        return None
    return Call(kind=CallKind.NODESET, before=format_cpuset(policy.nodeset), after=format_cpuset(nodes))


def _restart(
    vm: PlanVm,
    misplaced: list[tuple[int, MemoryPolicy | None]],
    state: DomainState,
    wanted: bytes,
    source: str,
) -> str | None:
    reasons = [_why_not_live(vm, state, position, policy) for position, policy in misplaced]
    if state.live is not None:
        planned, now = owned_values(wanted, source), owned_values(state.live, source)
        for name in sorted({*planned, *now}):
            if name.startswith(_START_ONLY) and planned.get(name) != now.get(name):
                reasons.append(f"{name}: only a start takes it on")
    return "; ".join(reasons) or None


def _why_not_live(vm: PlanVm, state: DomainState, position: int, policy: MemoryPolicy | None) -> str:
    where = memory_name(vm, position)
    if policy is None:
        return f"{where} is bound to no node, and libvirt binds none while the domain runs: restart it"
    if policy.nodeset is None:
        return f"{where} is where numad put it, and libvirt does not move it while the domain runs: restart it"
    way_out = _migratepages(vm, state, position, policy.nodeset)
    return (
        f"{where} is {policy.mode} on node {format_cpuset(policy.nodeset)}, and libvirt changes the node set of a "
        f"running domain in restrictive mode only: restart it{way_out}"
    )


def _migratepages(vm: PlanVm, state: DomainState, position: int, now: frozenset[int]) -> str:
    """Return the command that moves a cell's pages in the host, where it moves nothing that is to stay."""
    planned = vm.cells[position].nodes
    if len(now) != 1 or len(planned) != 1 or any(now & set(cell.nodes) for cell in vm.cells):
        return ""
    process = shlex.quote(f"/run/libvirt/qemu/{state.name}.pid")
    return f", or in the host: migratepages $(cat {process}) {format_cpuset(now)} {format_cpuset(planned)}"
