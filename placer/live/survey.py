"""The state of all hosts of a plan before anything is judged or changed, and where each planned VM really is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from placer.errors import Fault, PlacerError
from placer.live.connect import Link, load_libvirt, reading
from placer.live.discover import no_host_answers
from placer.live.domain_state import DomainState, read_states
from placer.live.free_memory import FreeMemory, read_free_memory
from placer.live.host_files import HostFiles, Reach, read_host_files
from placer.live.many_hosts import ANSWER_TIMEOUT_S, Beat, on_each_host
from placer.live.preconditions import Refusal, host_refusal, host_uuid
from placer.live.start_hazards import Versions
from placer.live.targets import Targets
from placer.model.fleet import Fleet
from placer.model.host import Host
from placer.model.plan import Plan, PlanVm
from placer.read.hosts.capabilities import parse_capabilities


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSurvey:
    """One host as it is. `refusal` says why it is not the planned one; `files_error` why its files are not read."""

    domains: tuple[DomainState, ...]
    free: FreeMemory
    versions: Versions
    refusal: Refusal | None = None
    files: HostFiles | None = None
    files_error: PlacerError | None = None

    def pages_kib(self, uuid: str) -> Mapping[int, int]:
        """Return where a running domain's pages lie (node -> KiB), empty where that is not known."""
        processes = () if self.files is None else self.files.processes.get(uuid, ())
        return processes[0].pages_kib if len(processes) == 1 else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """All hosts asked: those that answered, those that did not, and those of the plan that were not asked."""

    hosts: Mapping[str, HostSurvey]
    failures: Mapping[str, PlacerError]
    not_asked: tuple[str, ...] = ()


class Place(StrEnum):
    """Where a planned VM was found."""

    HERE = "here"
    ELSEWHERE = "elsewhere"
    """On another host, or it may still be there."""
    NOWHERE = "nowhere"
    NOT_YET = "not yet"
    """It is a new VM, and not defined so far."""
    ANOTHER = "another"
    """Its name belongs to another domain."""
    UNKNOWN = "unknown"
    """Its host was not asked."""
    SILENT = "silent"
    """Its host did not answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Where a planned VM is, in a word and in a sentence; `state` is its domain on its planned host."""

    vm: PlanVm
    place: Place
    state: DomainState | None = None
    note: str = ""


def survey(
    plan: Plan,
    fleet: Fleet,
    targets: Targets,
    reach: Reach,
    *,
    processes: bool = False,
    timeout_s: float = ANSWER_TIMEOUT_S,
) -> Survey:
    """Read all hosts at once over read-only connections.

    Parameters
    ----------
    processes
        Also read QEMU's threads and pages where a host's files can be read.

    Raises
    ------
    MissingToolError
        libvirt-python is missing, or no host at all answered.
    HostError
        Hosts answered, and none of them could be read.
    """
    load_libvirt()
    uuids: dict[str, list[str]] = {}
    for vm in plan.vms if processes else ():
        uuids.setdefault(vm.host, []).append(vm.uuid or "")
    jobs: dict[str, Callable[[Beat], HostSurvey]] = {
        name: _job(fleet.host_by_name[name], uri, reach, uuids.get(name, ())) for name, uri in targets.uris.items()
    }
    collected = on_each_host(jobs, timeout_s=timeout_s)
    if not collected.results:
        raise no_host_answers(collected.failures)
    return Survey(hosts=collected.results, failures=collected.failures, not_asked=targets.unknown)


def _job(host: Host, uri: str, reach: Reach, uuids: Sequence[str]) -> Callable[[Beat], HostSurvey]:
    def look(beat: Beat) -> HostSurvey:
        with reading(host.name, uri) as link:
            return _survey_host(link, host, reach, uuids, beat)

    return look


def _survey_host(link: Link, host: Host, reach: Reach, uuids: Sequence[str], beat: Beat) -> HostSurvey:
    beat()
    source = f"capabilities of {host.name!r}"
    capabilities = link.capabilities()
    topology = parse_capabilities(capabilities, source)
    beat()
    domains = tuple(read_states(link, beat))
    files, error = None, None
    if not link.is_test_driver:
        known = {uuid.lower() for uuid in uuids if uuid} | {state.uuid for state in domains if state.running}
        try:
            files = read_host_files(sorted(known), uri=link.uri, reach=reach, deep=bool(uuids))
        except PlacerError as failed:
            error = failed
    beat()
    libvirt, qemu = (None, None) if link.is_test_driver else link.versions()
    return HostSurvey(
        domains=domains,
        free=read_free_memory(link, topology, files),
        versions=Versions(libvirt=libvirt, qemu=qemu),
        refusal=host_refusal(host, topology, host_uuid(capabilities, source)),
        files=files,
        files_error=error,
    )


def host_faults(surveyed: Survey) -> list[Fault]:
    """Return a fault for each host of the plan that did not answer, or that nothing says how to reach."""
    faults = [fault for error in surveyed.failures.values() for fault in error.faults]
    faults += [
        Fault(message=f"host {host!r} was not asked: its inventory entry has no uri", cure=f"give --connect {host}=URI")
        for host in surveyed.not_asked
    ]
    return faults


class Whereabouts:
    """Finds planned VMs among all domains of all hosts asked: by UUID where the plan has it, else by name."""

    def __init__(self, fleet: Fleet, surveyed: Survey) -> None:
        self._fleet = fleet
        self._survey = surveyed
        self._by_uuid: dict[str, dict[str, DomainState]] = {}
        self._by_name: dict[tuple[str, str], DomainState] = {}
        for host, found in surveyed.hosts.items():
            for state in found.domains:
                self._by_uuid.setdefault(state.uuid.lower(), {})[host] = state
                self._by_name[host, state.name] = state

    def find_all(self, vms: Iterable[PlanVm]) -> list[Found]:
        """Return where each VM is, in the order given."""
        return [self.find(vm) for vm in vms]

    def find(self, vm: PlanVm) -> Found:
        """Return where a VM is. One that runs on another host is there, whatever is defined on its planned host."""
        if vm.host in self._survey.failures:
            return Found(vm=vm, place=Place.SILENT, note=str(self._survey.failures[vm.host].faults[0].message))
        if vm.host not in self._survey.hosts:
            return Found(vm=vm, place=Place.UNKNOWN, note=f"host {vm.host!r} was not asked: no URI for it was given")
        everywhere = self._everywhere(vm)
        here = everywhere.get(vm.host)
        others = {host: state for host, state in everywhere.items() if host != vm.host}
        runs_on = next((host for host, state in others.items() if state.running), None)
        if runs_on is not None and (here is None or not here.running):
            return Found(vm=vm, place=Place.ELSEWHERE, note=f"it runs on host {runs_on!r}, planned on {vm.host!r}")
        if here is None:
            return self._absent(vm, others)
        if not here.running and self._may_be_leftover(vm, others):
            return Found(
                vm=vm,
                place=Place.ELSEWHERE,
                note=f"it is to come from host {vm.from_host!r}; what is defined on {vm.host!r} may be a leftover",
            )
        return Found(vm=vm, place=Place.HERE, state=here)

    def _everywhere(self, vm: PlanVm) -> Mapping[str, DomainState]:
        if vm.uuid is not None:
            return self._by_uuid.get(vm.uuid.lower(), {})
        hosts = [vm.host, *([vm.from_host] if vm.from_host else [])]
        found = {host: self._by_name.get((host, _plain_name(vm, host))) for host in hosts}
        return {host: state for host, state in found.items() if state is not None}

    def _absent(self, vm: PlanVm, others: Mapping[str, DomainState]) -> Found:
        if others:
            where = next(iter(others))
            return Found(vm=vm, place=Place.ELSEWHERE, note=f"it is defined on host {where!r}, planned on {vm.host!r}")
        namesake = self._by_name.get((vm.host, _plain_name(vm, vm.host)))
        if namesake is not None:
            return Found(
                vm=vm,
                place=Place.ANOTHER,
                note=f"the domain of this name on host {vm.host!r} has UUID {namesake.uuid}, the planned one {vm.uuid}",
            )
        known = self._fleet.vm_by_name.get(vm.name)
        if known is None or known.current is None:
            return Found(vm=vm, place=Place.NOT_YET, note=f"it is not defined on host {vm.host!r} so far")
        if known.current.host != vm.host and known.current.host not in self._survey.hosts:
            return Found(
                vm=vm, place=Place.ELSEWHERE, note=f"it was on host {known.current.host!r}, which was not asked"
            )
        return Found(vm=vm, place=Place.NOWHERE, note="no host asked has it any more")

    def _may_be_leftover(self, vm: PlanVm, others: Mapping[str, DomainState]) -> bool:
        """Tell whether a VM that is shut off on its planned host may in truth still be on the one it comes from."""
        if vm.from_host is None or vm.from_host == vm.host:
            return False
        return vm.from_host in others or vm.from_host not in self._survey.hosts


def _plain_name(vm: PlanVm, host: str) -> str:
    """Return libvirt's name of a VM: equal names on two hosts are planned as ``host/name``."""
    return vm.name.removeprefix(f"{host}/")
