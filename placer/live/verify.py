"""Plan against reality: definition, live pins, and, where the host can be read, threads and pages. Drift is named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from placer.errors import Fault, InputError
from placer.live.changes import memory_name
from placer.live.domain_state import DomainState
from placer.live.host_files import HostFiles
from placer.live.measured import Measured, measure
from placer.live.owned import differences, owned_values
from placer.live.survey import Found, HostSurvey, Place, Survey, Whereabouts, host_faults
from placer.live.wanted import Wanted, wanted_of
from placer.measure.measure import ScoreCache
from placer.model.cpuset import format_cpuset
from placer.model.fleet import Fleet
from placer.model.host import Host
from placer.model.plan import Plan, PlanVm
from placer.model.units import format_kib
from placer.model.vm import VmSpec

_PINNED = ("vCPU ", "IOThread ", "emulator threads", "default CPUs")


class Where(StrEnum):
    """Where a drift was found."""

    PLACE = "place"
    HOST = "host"
    DEFINITION = "definition"
    """The persistent XML: it is in force after the next start."""
    RUNNING = "running"
    """What libvirt says of the running domain."""
    KERNEL = "kernel"
    """What the host's kernel says of QEMU's threads and pages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """One thing that is not as planned: where it was looked at, what it is, what was planned and what was found."""

    where: Where
    what: str
    planned: str | None = None
    found: str | None = None

    def __str__(self) -> str:
        """Return the drift as a phrase."""
        if self.planned is None and self.found is None:
            return f"{self.where.value}: {self.what}"
        return f"{self.where.value}: {self.what}: {self.found or 'not set'}, planned {self.planned or 'not set'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """One VM. `state` is its domain's state in a word; shares are of accesses that leave their node, 0 to 1.

    `measured_share` is None where the VM does not run or its host's files tell nothing; `unmeasured` says why.
    `cells_kib` are the pages found, by cell and node.
    """

    vm: str
    host: str
    state: str
    looked_at: bool = True
    drifts: tuple[Drift, ...] = ()
    planned_share: float | None = None
    measured_share: float | None = None
    unmeasured: str | None = None
    cells_kib: Mapping[int, Mapping[int, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """A whole run, VMs in the order of the plan. `strangers` run on hosts asked and are not in the plan.

    `failures` are hosts that did not answer, or whose files were to be read and were not.
    """

    vms: tuple[Verified, ...]
    strangers: tuple[str, ...] = ()
    failures: tuple[Fault, ...] = ()

    def drift_faults(self) -> list[Fault]:
        """Return a fault for every drift, VM by VM."""
        return [Fault(message=f"VM {vm.vm!r} on host {vm.host!r}: {drift}") for vm in self.vms for drift in vm.drifts]


def verify(plan: Plan, fleet: Fleet, surveyed: Survey) -> Verification:
    """Compare a plan with what a survey found; the survey is to have read processes too, where it may."""
    scores = ScoreCache()
    vms = []
    for found in Whereabouts(fleet, surveyed).find_all(plan.vms):
        spec, host = fleet.vm_by_name[found.vm.name].spec, fleet.host_by_name[found.vm.host]
        share = scores.score(spec, host.topology, found.vm).remote_share
        result = Verified(vm=found.vm.name, host=host.name, state=found.place.value, planned_share=share)
        vms.append(_verify_one(found, fleet, surveyed.hosts.get(host.name), result))
    failures = host_faults(surveyed)
    for survey in surveyed.hosts.values():
        failures += [] if survey.files_error is None else survey.files_error.faults
    failures += [
        Fault(message=f"VM {one.vm!r} on host {one.host!r}: {one.unmeasured}", cure="verify again")
        for one in vms
        if not one.looked_at and one.host in surveyed.hosts
    ]
    return Verification(vms=tuple(vms), strangers=tuple(_strangers(plan, surveyed)), failures=tuple(failures))


def _verify_one(found: Found, fleet: Fleet, survey: HostSurvey | None, result: Verified) -> Verified:
    vm, state = found.vm, found.state
    spec, host = fleet.vm_by_name[vm.name].spec, fleet.host_by_name[vm.host]
    if survey is None or found.place in (Place.SILENT, Place.UNKNOWN):
        return replace(result, looked_at=False, unmeasured=found.note)
    if state is None:
        return replace(result, drifts=(Drift(where=Where.PLACE, what=found.note),), unmeasured=found.note)
    if state.trouble is not None:
        return replace(result, looked_at=False, unmeasured=f"libvirt does not tell all of it: {state.trouble}")
    if survey.refusal is not None:
        drift = Drift(where=Where.HOST, what=survey.refusal.reason)
        return replace(result, drifts=(drift,), unmeasured="its host is not the one planned")
    source = f"domain {state.name!r} on host {host.name!r}"
    try:
        planned = wanted_of(vm, fleet, state.xml, source)
    except InputError as error:
        other = tuple(Drift(where=Where.DEFINITION, what=fault.message) for fault in error.faults)
        return replace(result, drifts=other, unmeasured="it is not the VM planned")
    wanted = owned_values(planned.xml, source)
    drifts = [
        Drift(where=Where.DEFINITION, what=one.what, planned=one.planned, found=one.found)
        for one in (differences(wanted, owned_values(state.xml, source)) if state.persistent else ())
    ]
    if state.live is None:
        return replace(result, state="shut off", drifts=tuple(drifts), unmeasured="it is shut off")
    drifts += [*_running_pins(planned, state), *_running_memory(wanted, owned_values(state.live, source))]
    measured, why = _measure(vm, spec, host, state, survey.files)
    result = replace(result, state="running", unmeasured=why)
    if measured is not None:
        drifts += [*_threads(planned, measured, drifts), *_pages(vm, planned, measured)]
        result = replace(result, measured_share=measured.remote_share, cells_kib=measured.cells_kib)
    return replace(result, drifts=tuple(drifts))


def _running_pins(planned: Wanted, state: DomainState) -> Iterator[Drift]:
    yield from _compare(Where.RUNNING, "vCPU", planned.vcpus, {**state.offline_vcpus, **state.vcpus})
    if state.emulator is not None and planned.emulator is not None and state.emulator != planned.emulator:
        yield _threads_drift(Where.RUNNING, "emulator threads", planned.emulator, state.emulator)
    yield from _compare(Where.RUNNING, "IOThread", planned.iothreads, state.iothreads)


def _compare(
    where: Where, what: str, planned: Mapping[int, frozenset[int]], found: Mapping[int, frozenset[int]]
) -> Iterator[Drift]:
    for number, cpus in planned.items():
        if number in found and found[number] != cpus:
            yield _threads_drift(where, f"{what} {number}", cpus, found[number])


def _threads_drift(where: Where, what: str, planned: frozenset[int], found: frozenset[int]) -> Drift:
    return Drift(where=where, what=what, planned=format_cpuset(planned), found=format_cpuset(found))


def _running_memory(wanted: Mapping[str, str], live: Mapping[str, str]) -> Iterator[Drift]:
    """Yield what of the running domain's memory policy, pages and cells is not as planned; pins are compared apart.

    Restrictive is as good as strict: the kernel keeps both on their nodes.
    """

    def bound(said: Mapping[str, str]) -> dict[str, str]:
        return {
            name: text.replace("restrictive on", "strict on")
            for name, text in said.items()
            if not name.startswith(_PINNED)
        }

    planned, found = bound(wanted), bound(live)
    for one in differences(planned, found):
        yield Drift(where=Where.RUNNING, what=one.what, planned=one.planned, found=one.found)


def _measure(
    vm: PlanVm, spec: VmSpec, host: Host, state: DomainState, files: HostFiles | None
) -> tuple[Measured | None, str | None]:
    """Return what the kernel says of a running VM, or why that is not known."""
    if files is None:
        return None, "the host's files are not read: give --ssh"
    processes = files.processes.get(state.uuid, ())
    if len(processes) != 1:
        return None, f"{len(processes)} processes of the host say that they are its QEMU"
    measured = measure(vm, spec, host.topology, state.live or b"", processes[0])
    if measured.remote_share is None:
        return measured, "not all of its memory and threads were found: QEMU's files are readable for root only"
    return measured, None


def _threads(planned: Wanted, measured: Measured, told: list[Drift]) -> Iterator[Drift]:
    """Yield threads whose allowed CPUs are not as planned, those left out that libvirt told of in the same words."""
    known = {(drift.what, drift.found) for drift in told if drift.where is Where.RUNNING}
    for drift in (
        *_compare(Where.KERNEL, "vCPU", planned.vcpus, measured.vcpus),
        *_compare(Where.KERNEL, "IOThread", planned.iothreads, measured.iothreads),
    ):
        if (drift.what, drift.found) not in known:
            yield drift
    for name, cpus in measured.emulator.items() if planned.emulator is not None else ():
        if cpus != planned.emulator and ("emulator threads", format_cpuset(cpus)) not in known:
            yield _threads_drift(Where.KERNEL, name, planned.emulator or frozenset(), cpus)


def _pages(vm: PlanVm, wanted: Wanted, measured: Measured) -> Iterator[Drift]:
    """Yield cells with pages on nodes where they were not planned. Fewer pages are no drift: RAM is lazy.

    Nor are pages of memory that may lie anywhere: of a VM that floats, or that stays and only prefers its nodes.
    """
    for position, nodes_kib in sorted(measured.cells_kib.items()):
        planned = vm.cells[position].nodes
        policy = None if wanted.kept is None else wanted.kept.numatune.of_cell(position)
        if not planned or (wanted.kept is not None and (policy is None or policy.mode == "preferred")):
            continue
        away = {node: kib for node, kib in nodes_kib.items() if kib and node not in planned}
        if away:
            found = ", ".join(f"{format_kib(kib)} on node {node}" for node, kib in sorted(nodes_kib.items()) if kib)
            yield Drift(
                where=Where.KERNEL,
                what=memory_name(vm, position),
                planned=f"on node {format_cpuset(planned)}",
                found=found,
            )


def _strangers(plan: Plan, surveyed: Survey) -> Iterator[str]:
    """Yield running domains that the plan does not know: they may sit on CPUs and memory that it gave away."""
    uuids = {vm.uuid.lower() for vm in plan.vms if vm.uuid is not None}
    names = {(vm.host, vm.name.removeprefix(f"{vm.host}/")) for vm in plan.vms if vm.uuid is None}
    for host, survey in surveyed.hosts.items():
        for state in survey.domains:
            if state.running and state.uuid not in uuids and (host, state.name) not in names:
                yield f"domain {state.name!r} runs on host {host!r} and is not in the plan"
