"""The journal of an apply: JSON lines, each on the disk before what it announces is done, private to its owner.

``planned`` holds all calls of one domain, each with what was before. ``doing`` and ``done`` stand around every call,
and ``undoing`` and ``undone`` around every call taken back; where something else had changed the domain by then,
``left`` ends a call that was not made after all, and ``done`` one that was not taken back. Whatever a run is killed at,
the file tells what may have been done and how it was before. A line that a kill cut short announces nothing that was
begun.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from placer.errors import Fault, InputError
from placer.live.calls import Call, CallKind
from placer.read.documents.kinds import refuse_other

SCHEMA = "placer.journal/v1"
MODE = 0o600
"""It holds whole domains, graphics passwords included."""


class Progress(StrEnum):
    """How far a call has come; the values are the names of the records."""

    PLANNED = "planned"
    DOING = "doing"
    LEFT = "left"
    """Not made: something else had changed what it was planned on."""
    DONE = "done"
    UNDOING = "undoing"
    UNDONE = "undone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What run a journal is of: the fleet that was planned, with its digest, and the URI of each host."""

    fleet: str | None
    fleet_digest: str
    uris: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One domain's part of a run: its calls in order. `vm` is its name in the plan, `line` where it is planned."""

    number: int
    vm: str
    host: str
    uuid: str
    calls: tuple[Call, ...]
    line: int | None = None
    progress: list[Progress] = field(default_factory=list, compare=False)


class Journal:
    """An open journal. Use it as a context manager; it is locked against a second run as long as it is open."""

    def __init__(self, path: Path, handle: int, entries: int) -> None:
        self.path = path
        self._handle = handle
        self._entries = entries
        self._lock = threading.Lock()
        self._broken = False

    @classmethod
    def create(cls, path: Path, header: Header) -> Journal:
        """Start a journal; nothing is ever overwritten.

        Raises
        ------
        InputError
            The file is there already, or cannot be written.
        """
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, MODE)
        except FileExistsError:
            raise InputError(
                "this journal is there already", file=str(path), cure="name another one with --journal"
            ) from None
        except OSError as error:
            raise InputError(f"the journal cannot be written: {error.strerror}", file=str(path)) from None
        journal = cls(path, handle, 0)
        journal._take_lock()
        record = {
            "record": "journal",
            "schema": SCHEMA,
            "fleet": header.fleet,
            "fleet_digest": header.fleet_digest,
            "uris": dict(header.uris),
        }
        try:
            journal._write(record)
            _sync_folder(path.parent)
        except BaseException:
            os.close(handle)
            raise
        return journal

    @classmethod
    def reopen(cls, path: Path) -> Journal:
        """Open a journal in order to go on with it; a last line that a kill cut short is taken off.

        Raises
        ------
        InputError
            It cannot be opened, or another run has it open.
        """
        try:
            handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        except OSError as error:
            raise InputError(f"the journal cannot be opened: {error.strerror}", file=str(path)) from None
        journal = cls(path, handle, 0)
        journal._take_lock()
        try:
            _, entries, whole = _parse(path)
            os.ftruncate(handle, whole)
        except BaseException:
            os.close(handle)
            raise
        journal._entries = len(entries)
        return journal

    def __enter__(self) -> Journal:
        """Return the journal itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it, and with that its lock. A thread that was left behind can write nothing more."""
        with self._lock:
            self._broken = True
            os.close(self._handle)

    def plan(self, vm: str, host: str, uuid: str, calls: tuple[Call, ...]) -> Entry:
        """Write down what is going to be done to a domain, and return the entry."""
        with self._lock:
            number = self._entries
            self._write(
                {
                    "record": Progress.PLANNED.value,
                    "entry": number,
                    "vm": vm,
                    "host": host,
                    "uuid": uuid,
                    "calls": [_call_data(call) for call in calls],
                }
            )
            self._entries += 1
        return Entry(number=number, vm=vm, host=host, uuid=uuid, calls=calls, progress=[Progress.PLANNED] * len(calls))

    def note(self, entry: Entry, call: int, progress: Progress) -> None:
        """Write down how far a call has come; it is on the disk when this returns."""
        with self._lock:
            self._write({"record": progress.value, "entry": entry.number, "call": call})
        entry.progress[call] = progress

    def _take_lock(self) -> None:
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._handle)
            raise InputError(
                "another run of placer is writing this journal", file=str(self.path), cure="wait until it has ended"
            ) from None

    def _write(self, record: Mapping[str, Any]) -> None:
        if self._broken:
            raise InputError("the journal can no longer be written, so nothing more is changed", file=str(self.path))
        line = json.dumps(record, sort_keys=True, ensure_ascii=True).encode() + b"\n"
        start = os.fstat(self._handle).st_size
        try:
            written = 0
            while written < len(line):
                written += os.write(self._handle, line[written:])
            os.fsync(self._handle)
        except OSError as error:
            self._broken = True
            os.ftruncate(self._handle, start)
            raise InputError(
                f"the journal cannot be written, so nothing more is changed: {error.strerror}", file=str(self.path)
            ) from None


def read_journal(path: Path) -> tuple[Header, tuple[Entry, ...]]:
    """Return what a journal tells: the run, and every domain with how far each of its calls has come.

    Raises
    ------
    InputError
        It is no journal, or is damaged in another place than its last line.
    """
    header, entries, _ = _parse(path)
    return header, tuple(entries)


def free_journal_path(plan: Path) -> Path:
    """Return the first name beside a plan that no journal has yet: ``plan.journal-1.jsonl`` and on."""
    number = 1
    while True:
        path = plan.with_name(f"{plan.name.removesuffix('.json')}.journal-{number}.jsonl")
        if not os.path.lexists(path):
            return path
        number += 1


def _parse(path: Path) -> tuple[Header, list[Entry], int]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"the journal cannot be read: {error.strerror}", file=str(path)) from None
    refuse_other(data, "journal", str(path))
    whole = data.rfind(b"\n") + 1
    faults: list[Fault] = []
    header: Header | None = None
    entries: list[Entry] = []
    for number, line in enumerate(data[:whole].splitlines(), start=1):
        try:
            record = json.loads(line)
            if number == 1:
                header = _header(record)
            elif record["record"] == Progress.PLANNED.value:
                entries.append(_entry(record, len(entries), number))
            else:
                entry = entries[_index(record["entry"], len(entries))]
                entry.progress[_index(record["call"], len(entry.calls))] = Progress(record["record"])
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            faults.append(Fault(message="this is no line of a journal of placer apply", file=str(path), line=number))
            break
    if header is None and not faults:
        faults.append(
            Fault(
                message="this is no journal of placer apply: it has no whole line, so nothing was begun", file=str(path)
            )
        )
    if header is None or faults:
        raise InputError(faults)
    return header, entries, whole


def _header(record: Mapping[str, Any]) -> Header:
    if record["record"] != "journal" or record["schema"] != SCHEMA:
        raise ValueError
    uris = {_text(host): _text(uri) for host, uri in record["uris"].items()}
    fleet = record["fleet"]
    return Header(fleet=None if fleet is None else _text(fleet), fleet_digest=_text(record["fleet_digest"]), uris=uris)


def _entry(record: Mapping[str, Any], number: int, line: int) -> Entry:
    if record["entry"] != number:
        raise ValueError
    calls = tuple(
        Call(
            kind=CallKind(call["kind"]),
            key=call["key"] if call["key"] is None else _index(call["key"], 1 << 20),
            before=_text(call["before"]),
            after=_text(call["after"]),
        )
        for call in record["calls"]
    )
    return Entry(
        number=number,
        vm=_text(record["vm"]),
        host=_text(record["host"]),
        uuid=_text(record["uuid"]),
        calls=calls,
        line=line,
        progress=[Progress.PLANNED] * len(calls),
    )


def _call_data(call: Call) -> dict[str, Any]:
    return {"kind": call.kind.value, "key": call.key, "before": call.before, "after": call.after}


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _index(value: Any, size: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < size:
        raise ValueError
    return value


def _sync_folder(folder: Path) -> None:
    """Make the file's name last through a crash, too."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
