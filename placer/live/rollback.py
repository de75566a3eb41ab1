"""Taking an apply back: whatever its journal says may have been done, and is still so, becomes as it was before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

from placer.errors import Fault, PlacerError
from placer.live.apply import CHANGE_TIMEOUT_S
from placer.live.calls import Call, CallKind, Standing, perform, standing
from placer.live.connect import HostError, Link, check_inventory_uri, load_libvirt, open_link
from placer.live.discover import no_host_answers
from placer.live.domain_state import find_domain, read_state
from placer.live.journal import Entry, Journal, Progress, read_journal
from placer.live.many_hosts import Beat, on_each_host
from placer.live.preconditions import domain_refusal


class Status(StrEnum):
    """What became of a domain."""

    UNTOUCHED = "as it was"
    PENDING = "would be rolled back"
    DONE = "rolled back"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What would be, or was, taken back of one domain: the calls that do it, and how many of them were made."""

    vm: str
    host: str
    uuid: str
    status: Status
    calls: tuple[Call, ...] = ()
    done: int = 0
    reason: str | None = None
    cure: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RolledBack:
    """A whole run, domains in the order of the journal."""

    outcomes: tuple[Outcome, ...]
    interrupted: bool = False

    def faults(self) -> list[Fault]:
        """Return a fault for each domain that is not as it was."""
        return [
            Fault(message=f"VM {one.vm!r} on host {one.host!r} {one.status.value}: {one.reason}", cure=one.cure)
            for one in self.outcomes
            if one.status in (Status.REFUSED, Status.FAILED)
        ]


def roll_back(path: Path, *, connect: Mapping[str, str], apply: bool) -> RolledBack:
    """Take back what a journal tells of.

    A domain is left alone where it is already as before, and where something else has changed it since: its XML and
    its pins must be as they were before the apply or as the apply made them. Every call is written into the same
    journal before it is made, so a rollback that was killed is ended by another one.

    Parameters
    ----------
    connect
        URI by host, in place of those in the journal.
    apply
        False only tells what would be done.

    Raises
    ------
    InputError
        The file is no journal, or another run has it open.
    MissingToolError
        libvirt-python is missing, or no host at all answered.
    """
    read_journal(path)  # what is no journal is told before what is missing to take one back
    load_libvirt()
    if not apply:
        return _each(path, connect, None)
    with Journal.reopen(path) as journal:
        return _each(path, connect, journal)


def _each(path: Path, connect: Mapping[str, str], journal: Journal | None) -> RolledBack:
    header, entries = read_journal(path)
    hosts: dict[str, list[Entry]] = {}
    for entry in reversed(entries):
        hosts.setdefault(entry.host, []).append(entry)
    uris = {host: connect.get(host) or _journal_uri(host, header.uris) for host in hosts}
    found: dict[int, Outcome] = {}
    jobs = {host: partial(_on_host, host, uris[host], entries, journal, path, found) for host, entries in hosts.items()}
    interrupted, failures = False, {}
    try:
        collected = on_each_host(jobs)
        failures = collected.failures
        if failures and not collected.results and not found:
            raise no_host_answers(failures)
    except KeyboardInterrupt:
        interrupted = True
    outcomes = []
    for entry in entries:
        outcome = found.get(entry.number)
        if outcome is None:
            failure = failures.get(entry.host)
            reason = "interrupted before its turn" if failure is None else failure.faults[0].message
            outcome = Outcome(vm=entry.vm, host=entry.host, uuid=entry.uuid, status=Status.FAILED, reason=reason)
        outcomes.append(outcome)
    return RolledBack(outcomes=tuple(outcomes), interrupted=interrupted)


def _on_host(
    host: str,
    uri: str,
    entries: Sequence[Entry],
    journal: Journal | None,
    path: Path,
    found: dict[int, Outcome],
    beat: Beat,
) -> None:
    link = open_link(host, uri, writable=True)
    beat.allow(CHANGE_TIMEOUT_S)
    try:
        for entry in entries:
            beat()
            found[entry.number] = _one(link, entry, journal, path, beat)
            if not link.is_alive():
                raise HostError(f"host {host!r}: the connection broke", cure="see that libvirtd runs there, then again")
    finally:
        link.close()


def _one(link: Link, entry: Entry, journal: Journal | None, path: Path, beat: Beat) -> Outcome:
    outcome = Outcome(vm=entry.vm, host=entry.host, uuid=entry.uuid, status=Status.UNTOUCHED)
    done = 0
    try:
        idle = (Progress.PLANNED, Progress.LEFT)
        begun = [number for number, progress in enumerate(entry.progress) if progress not in idle]
        if not begun:
            return outcome
        domain = find_domain(link, entry.uuid)
        state = None if domain is None else read_state(link, domain)
        if state is None:
            return replace(
                outcome,
                status=Status.FAILED,
                reason="the host has it no more; it may have been moved or removed on purpose",
                cure=f"its XML as it was is in {path} line {entry.line}",
            )
        todo = _todo(link, domain, entry, begun)
        if isinstance(todo, str):
            return replace(outcome, status=Status.REFUSED, reason=todo, cure=f"as it was: {path} line {entry.line}")
        calls = tuple(entry.calls[number].reversed() for number in todo)
        outcome = replace(outcome, calls=calls, status=Status.PENDING if calls else Status.UNTOUCHED)
        refusal = domain_refusal(state, force_managed=True) if calls else None
        if refusal is not None:
            return replace(outcome, status=Status.REFUSED, reason=refusal.reason, cure=refusal.cure)
        if journal is None or not calls:
            return outcome
        for number, call in zip(todo, calls, strict=True):
            journal.note(entry, number, Progress.UNDOING)
            where = standing(link, domain, entry.calls[number])
            if where is Standing.ELSEWHERE:
                journal.note(entry, number, Progress.DONE)
                return replace(
                    outcome,
                    status=Status.REFUSED,
                    done=done,
                    reason=_changed(call),
                    cure=f"as it was: {path} line {entry.line}",
                )
            if where is Standing.AFTER:
                perform(link, domain, call)
            journal.note(entry, number, Progress.UNDONE)
            done += 1
            beat.answered()
        left = _todo(link, domain, entry, begun)
        if left:
            raise HostError("libvirt took the calls, and the domain is still not as it was")
        return replace(outcome, status=Status.DONE, done=done)
    except PlacerError as error:
        reason = "; ".join(fault.message for fault in error.faults)
        return replace(outcome, status=Status.FAILED, done=done, reason=reason, cure=error.faults[0].cure)


def _todo(link: Link, domain: Any, entry: Entry, begun: Sequence[int]) -> list[int] | str:
    """Return which calls are still in force, the last first; or what forbids to take them back."""
    todo = []
    for number in reversed(begun):
        call = entry.calls[number]
        where = standing(link, domain, call)
        if where is Standing.ELSEWHERE:
            return _changed(call)
        if where is Standing.AFTER:
            todo.append(number)
    return todo


def _changed(call: Call) -> str:
    what = "its definition" if call.kind is CallKind.DEFINE else f"what `{call.text}` set"
    return f"{what} was changed since by something else"


def _journal_uri(host: str, uris: Mapping[str, str]) -> str:
    uri = uris.get(host)
    if uri is None:
        raise HostError(f"the journal has no URI of host {host!r}", cure=f"give --connect {host}=URI")
    check_inventory_uri(host, uri)
    return uri
