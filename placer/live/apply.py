"""Applying a plan: first what would be done, then, if told so, doing it domain by domain, journal first."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from pathlib import Path

from placer.errors import Fault, InputError, PlacerError
from placer.live.calls import Call, CallKind, perform
from placer.live.changes import change_of, memory_wanted, xml_diff
from placer.live.connect import HostError, Link, open_link
from placer.live.domain_state import find_domain, read_state, secure_config
from placer.live.edits import edit_since, still_runs
from placer.live.free_memory import full_node
from placer.live.host_files import LIBVIRT_ALONE, Reach
from placer.live.journal import Header, Journal, Progress
from placer.live.many_hosts import Beat, on_each_host
from placer.live.preconditions import domain_refusal, trouble_refusal
from placer.live.start_hazards import start_refusal
from placer.live.survey import Found, Place, Survey, Whereabouts
from placer.model.fleet import Fleet
from placer.model.memory_room import Pool
from placer.model.plan import Plan

CHANGE_TIMEOUT_S = 900.0
"""How long one call may take: moving a large VM's memory to another node takes minutes."""


class Status(StrEnum):
    """What became of a VM."""

    UNCHANGED = "unchanged"
    PENDING = "would change"
    CHANGED = "changed"
    MIGRATION = "needs migration"
    NOT_DEFINED = "not defined yet"
    LEFT = "left"
    REFUSED = "refused"
    FAILED = "failed"


INCOMPLETE = frozenset({Status.REFUSED, Status.FAILED})
_STATUS_OF_PLACE = {
    Place.ELSEWHERE: Status.MIGRATION,
    Place.NOT_YET: Status.NOT_DEFINED,
    Place.UNKNOWN: Status.LEFT,
    Place.SILENT: Status.LEFT,
    Place.NOWHERE: Status.REFUSED,
    Place.ANOTHER: Status.REFUSED,
}
_CURES = {
    Place.NOWHERE: "import the fleet again and solve again",
    Place.ANOTHER: "import the fleet again and solve again",
    Place.ELSEWHERE: "move it with what `placer export --to virsh` writes, then apply again",
    Place.NOT_YET: "define it with what `placer export --to libvirt` writes, then apply again",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much one run may do; None: no limit. `force_managed` also changes what Nova, oVirt or KubeVirt manage."""

    domains: int | None = None
    failures: int | None = None
    force_managed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What would be, or was, done to one VM.

    `calls` are the changes, `done` how many of them were made. `restart` says what only a restart brings. `reason` and
    `cure` are of a VM that is not where the plan wants it. `wanted_kib` is the memory that must be free for it.
    """

    vm: str
    host: str
    status: Status
    uuid: str | None = None
    calls: tuple[Call, ...] = ()
    done: int = 0
    diff: str = ""
    restart: str | None = None
    reason: str | None = None
    cure: str | None = None
    wanted_kib: Mapping[Pool, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """A whole run, VMs in the order of the plan."""

    outcomes: tuple[Outcome, ...]
    journal: Path | None = None
    interrupted: bool = False

    @property
    def counts(self) -> dict[str, int]:
        """How many VMs ended how."""
        found = Counter(outcome.status.value for outcome in self.outcomes)
        return {status.value: found[status.value] for status in Status if found[status.value]}

    def faults(self) -> list[Fault]:
        """Return a fault for each VM that was refused or failed; hosts that did not answer have their own."""
        return [
            Fault(message=f"VM {one.vm!r} on host {one.host!r} {one.status.value}: {one.reason}", cure=one.cure)
            for one in self.outcomes
            if one.status in INCOMPLETE
        ]


def propose(plan: Plan, fleet: Fleet, surveyed: Survey, limits: Limits) -> Applied:
    """Return what applying a plan would do, and what it would refuse; nothing is changed and nothing asked."""
    whereabouts = Whereabouts(fleet, surveyed)
    outcomes = [_propose_one(found, fleet, surveyed, limits) for found in whereabouts.find_all(plan.vms)]
    left = limits.domains
    for number, outcome in enumerate(outcomes):
        if outcome.status is Status.PENDING and left is not None:
            if left == 0:
                outcomes[number] = replace(
                    outcome, status=Status.LEFT, reason=f"the limit of {limits.domains} domains is reached"
                )
            else:
                left -= 1
    return Applied(outcomes=tuple(outcomes))


def _propose_one(found: Found, fleet: Fleet, surveyed: Survey, limits: Limits) -> Outcome:
    vm, state = found.vm, found.state
    outcome = Outcome(vm=vm.name, host=vm.host, uuid=vm.uuid, status=Status.REFUSED)
    if state is None:
        return replace(outcome, status=_STATUS_OF_PLACE[found.place], reason=found.note, cure=_CURES.get(found.place))
    host, survey = fleet.host_by_name[vm.host], surveyed.hosts[vm.host]
    outcome = replace(outcome, uuid=state.uuid)
    hindrance = survey.refusal or (None if state.trouble is None else trouble_refusal(state.trouble))
    if hindrance is not None:
        return replace(outcome, reason=hindrance.reason, cure=hindrance.cure)
    spec = fleet.vm_by_name[vm.name].spec
    try:
        change = change_of(vm, fleet, state, state.xml)
    except InputError as error:
        return replace(outcome, reason=_messages(error), cure=error.faults[0].cure)
    wanted: dict[Pool, int] = {}
    if not (change.stays and state.running):
        wanted = memory_wanted(vm, spec, host.topology, state, survey.pages_kib(state.uuid))
    outcome = replace(outcome, calls=change.calls, restart=change.restart, wanted_kib=wanted)
    if change.calls:
        outcome = replace(outcome, diff=xml_diff(state, vm.host, change.wanted_xml))
        refusal = (
            domain_refusal(state, force_managed=limits.force_managed)
            or survey.free.shortage(wanted)
            or start_refusal(state.xml, change.wanted_xml, host.topology, survey.versions)
        )
        if refusal is not None:
            return replace(outcome, reason=refusal.reason, cure=refusal.cure)
    survey.free.promise(wanted)
    return replace(outcome, status=Status.PENDING if change.calls else Status.UNCHANGED)


class _Run:
    """One run that changes domains: what all its host threads share."""

    def __init__(self, plan: Plan, fleet: Fleet, journal: Journal, limits: Limits, reach: Reach) -> None:
        self.reach = reach
        self.vms = plan.vm_by_name
        self.fleet = fleet
        self.journal = journal
        self.limits = limits
        self.outcomes: dict[str, Outcome] = {}
        self._lock = threading.Lock()
        self._failures = 0

    def record(self, outcome: Outcome) -> None:
        """Keep how a VM ended."""
        with self._lock:
            self.outcomes[outcome.vm] = outcome
            self._failures += outcome.status in INCOMPLETE

    @property
    def may_go_on(self) -> bool:
        """Tell whether fewer domains have failed than may."""
        with self._lock:
            return self.limits.failures is None or self._failures < self.limits.failures


def carry_out(
    plan: Plan,
    fleet: Fleet,
    proposed: Applied,
    uris: Mapping[str, str],
    journal: Path,
    limits: Limits,
    reach: Reach = LIBVIRT_ALONE,
) -> Applied:
    """Make the changes that `propose` found pending, hosts side by side, a host's domains one after the other.

    Every domain is read again first, and what is done is what is then necessary. Each call is in the journal, on the
    disk, before it is made, and what it was planned on is compared with what is there right before it is made.

    Raises
    ------
    InputError
        The journal cannot be started.
    """
    pending: dict[str, list[Outcome]] = {}
    for outcome in proposed.outcomes:
        if outcome.status is Status.PENDING:
            pending.setdefault(outcome.host, []).append(outcome)
    if not pending:
        return proposed
    header = Header(fleet=plan.fleet_path, fleet_digest=plan.fleet_digest, uris={host: uris[host] for host in pending})
    with Journal.create(journal, header) as opened:
        run = _Run(plan, fleet, opened, limits, reach)
        jobs = {host: partial(_change_host, run, host, uris[host], todo) for host, todo in pending.items()}
        interrupted = False
        try:
            failures = on_each_host(jobs).failures
        except KeyboardInterrupt:
            interrupted, failures = True, {}
    outcomes = tuple(
        run.outcomes.get(outcome.vm) or _never_reached(outcome, failures.get(outcome.host), interrupted)
        if outcome.status is Status.PENDING
        else outcome
        for outcome in proposed.outcomes
    )
    return Applied(outcomes=outcomes, journal=journal, interrupted=interrupted)


def _never_reached(outcome: Outcome, failure: PlacerError | None, interrupted: bool) -> Outcome:
    if failure is not None:
        fault = failure.faults[0]
        return replace(outcome, status=Status.FAILED, reason=fault.message, cure=fault.cure)
    why = "interrupted before its turn" if interrupted else "not reached: too many domains had failed"
    return replace(outcome, status=Status.LEFT, reason=why)


def _change_host(run: _Run, host: str, uri: str, todo: Sequence[Outcome], beat: Beat) -> None:
    link = open_link(host, uri, writable=True)
    beat.allow(CHANGE_TIMEOUT_S)
    try:
        for outcome in todo:
            beat()
            if not run.may_go_on:
                return
            run.record(_change_domain(run, link, outcome, beat))
            if not link.is_alive():
                raise HostError(
                    f"host {host!r}: the connection broke while its domains were changed",
                    cure="see that libvirtd runs there, then apply again, or roll back",
                )
    finally:
        link.close()


def _change_domain(run: _Run, link: Link, outcome: Outcome, beat: Beat) -> Outcome:
    """Change one domain; whatever fails is its own outcome."""
    outcome = replace(outcome, calls=())
    entry = None
    try:
        domain = None if outcome.uuid is None else find_domain(link, outcome.uuid)
        state = None if domain is None else read_state(link, domain)
        if state is None:
            return replace(outcome, status=Status.FAILED, reason="it went away while the plan was being applied")
        refusal = domain_refusal(state, force_managed=run.limits.force_managed)
        if refusal is not None:
            return replace(outcome, status=Status.REFUSED, reason=refusal.reason, cure=refusal.cure)
        vm = run.vms[outcome.vm]
        topology = run.fleet.host_by_name[vm.host].topology
        change = change_of(vm, run.fleet, state, secure_config(link, domain))
        outcome = replace(outcome, calls=change.calls, restart=change.restart)
        if not change.calls:
            return replace(outcome, status=Status.UNCHANGED)
        full = full_node(link, topology, outcome.wanted_kib, run.reach)
        if full is not None:
            return replace(outcome, status=Status.REFUSED, reason=full.reason, cure=full.cure)
        entry = run.journal.plan(vm.name, vm.host, state.uuid, change.calls)
        for number, call in enumerate(change.calls):
            if call.kind is not CallKind.DEFINE and not still_runs(link, domain):
                break  # it stopped: its next start is as defined, and below it is read as what it is
            run.journal.note(entry, number, Progress.DOING)
            edit = edit_since(link, state, call)
            if edit is not None:
                run.journal.note(entry, number, Progress.LEFT)
                return replace(outcome, status=Status.REFUSED, done=number, reason=edit.reason, cure=edit.cure)
            perform(link, domain, call)
            run.journal.note(entry, number, Progress.DONE)
            beat.answered()
        now = read_state(link, domain)
        again = None if now is None or now.config is None else change_of(vm, run.fleet, now, now.config)
        if again is not None and again.calls and now is not None and now.running and not state.running:
            raise HostError("it started while it was being defined", cure="apply again: what runs is then pinned, too")
        if again is None or again.calls:
            raise HostError(
                "libvirt took the changes and shows something else: "
                + ("it went away" if again is None else ", ".join(call.text for call in again.calls)),
                cure="roll back, and look at what libvirt makes of the domain",
            )
        return replace(outcome, status=Status.CHANGED, done=entry.progress.count(Progress.DONE))
    except PlacerError as error:
        done = 0 if entry is None else entry.progress.count(Progress.DONE)
        return replace(outcome, status=Status.FAILED, done=done, reason=_messages(error), cure=error.faults[0].cure)


def _messages(error: PlacerError) -> str:
    return "; ".join(fault.message for fault in error.faults)
