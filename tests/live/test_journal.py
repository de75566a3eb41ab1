"""The journal: on the disk before what it announces, private, readable whatever cut it short."""

from __future__ import annotations

import json
import os
import stat
import threading
from pathlib import Path

import pytest

from placer.errors import InputError
from placer.live.calls import Call, CallKind
from placer.live.journal import Header, Journal, Progress, free_journal_path, read_journal

HEADER = Header(fleet="fleet.yaml", fleet_digest="d", uris={"h": "test:///default"})
DEFINE = Call(kind=CallKind.DEFINE, before="<domain>\n'old' <!-- ü -->\n</domain>", after="<domain/>")
PIN = Call(kind=CallKind.VCPU, key=0, before="0-7", after="2")


def start(path: Path) -> Journal:
    """Start a journal in a folder."""
    return Journal.create(path / "j.jsonl", HEADER)


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    """Header, calls with all their text, and how far each call has come survive the file."""
    with start(tmp_path) as journal:
        first = journal.plan("a\n<b>", "h", "u-1", (DEFINE, PIN))
        journal.plan("b", "h", "u-2", (PIN,))
        journal.note(first, 0, Progress.DOING)
        journal.note(first, 0, Progress.DONE)
        journal.note(first, 1, Progress.DOING)
    header, (one, two) = read_journal(tmp_path / "j.jsonl")
    assert header == HEADER
    assert (one.vm, one.host, one.uuid, one.calls, one.line) == ("a\n<b>", "h", "u-1", (DEFINE, PIN), 2)
    assert one.progress == [Progress.DONE, Progress.DOING] == first.progress
    assert two.progress == [Progress.PLANNED]


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    """It holds passwords: the mode is 0600 whatever the umask."""
    before = os.umask(0)
    try:
        start(tmp_path).__exit__()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "j.jsonl").stat().st_mode) == 0o600


def test_each_record_is_synced_before_the_next_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a record's method returns, fsync has been called after the last byte of it."""
    synced: list[bytes] = []
    real = os.fsync

    def fsync(handle: int) -> None:
        real(handle)
        path = Path(f"/proc/self/fd/{handle}").resolve()
        if path.is_file():
            synced.append(path.read_bytes())

    with start(tmp_path) as journal:
        monkeypatch.setattr(os, "fsync", fsync)
        entry = journal.plan("a", "h", "u", (PIN,))
        journal.note(entry, 0, Progress.DOING)
        assert synced[-1] == (tmp_path / "j.jsonl").read_bytes()
        assert len(synced) == 2
        assert synced[-1].endswith(b'"record": "doing"}\n')


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """A file of the journal's name stays as it is, and the message names it."""
    (tmp_path / "j.jsonl").write_text("mine")
    with pytest.raises(InputError, match=r"j\.jsonl: this journal is there already; name another one"):
        start(tmp_path)
    assert (tmp_path / "j.jsonl").read_text() == "mine"


def test_a_line_cut_short_is_no_record(tmp_path: Path) -> None:
    """Whatever byte a kill stopped at, the whole lines before it are read and nothing more."""
    path = tmp_path / "j.jsonl"
    with start(tmp_path) as journal:
        entry = journal.plan("a", "h", "u", (PIN,))
        journal.note(entry, 0, Progress.DOING)
    whole = path.read_bytes()
    header_end = whole.index(b"\n") + 1
    planned_end = whole.index(b"\n", header_end) + 1
    for length in range(header_end, len(whole)):
        path.write_bytes(whole[:length])
        _, entries = read_journal(path)
        assert len(entries) == (length >= planned_end), length
        assert all(one.progress == [Progress.PLANNED] for one in entries)


def test_reopened_it_goes_on_after_the_last_whole_line(tmp_path: Path) -> None:
    """The half line is taken off, so that the next record does not become a part of it."""
    path = tmp_path / "j.jsonl"
    with start(tmp_path) as journal:
        journal.plan("a", "h", "u", (PIN,))
    path.write_bytes(path.read_bytes() + b'{"record": "doi')
    _, (entry,) = read_journal(path)
    with Journal.reopen(path) as journal:
        journal.note(entry, 0, Progress.UNDOING)
        assert journal.plan("b", "h", "u", (PIN,)).number == 1
    _, entries = read_journal(path)
    assert [one.progress for one in entries] == [[Progress.UNDOING], [Progress.PLANNED]]


def test_two_runs_never_write_one_journal(tmp_path: Path) -> None:
    """While a run has it open, another one is told to wait."""
    with start(tmp_path), pytest.raises(InputError, match="another run of placer is writing this journal"):
        Journal.reopen(tmp_path / "j.jsonl")
    Journal.reopen(tmp_path / "j.jsonl").__exit__()


def test_a_full_disk_stops_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record that cannot be written leaves no half line, raises, and no later record is written either."""
    with start(tmp_path) as journal:
        before = (tmp_path / "j.jsonl").read_bytes()
        real = os.write

        def full(handle: int, data: bytes) -> int:
            if len(data) < 20:
                raise OSError(28, "No space left on device")
            return real(handle, data[:10])

        monkeypatch.setattr(os, "write", full)
        with pytest.raises(InputError, match="nothing more is changed: No space left"):
            journal.plan("a", "h", "u", (PIN,))
        monkeypatch.undo()
        assert (tmp_path / "j.jsonl").read_bytes() == before
        with pytest.raises(InputError, match="nothing more is changed"):
            journal.plan("a", "h", "u", (PIN,))
    assert (tmp_path / "j.jsonl").read_bytes() == before


def test_a_thread_left_behind_writes_nothing_after_the_end(tmp_path: Path) -> None:
    """Once closed, its file number may be another file's."""
    journal = start(tmp_path)
    entry = journal.plan("a", "h", "u", (PIN,))
    journal.__exit__()
    with (tmp_path / "other").open("w+b") as other, pytest.raises(InputError):
        journal.note(entry, 0, Progress.DOING)
    assert other.name and (tmp_path / "other").read_bytes() == b""


def test_many_threads_share_it(tmp_path: Path) -> None:
    """Hosts are changed side by side: their records stay whole and the entries numbered."""
    with start(tmp_path) as journal:

        def work(host: str) -> None:
            for number in range(20):
                entry = journal.plan(f"{host}-{number}", host, "u", (PIN,))
                journal.note(entry, 0, Progress.DONE)

        threads = [threading.Thread(target=work, args=(f"h{number}",)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    _, entries = read_journal(tmp_path / "j.jsonl")
    assert [entry.number for entry in entries] == list(range(80))
    assert all(entry.progress == [Progress.DONE] for entry in entries)


@pytest.mark.parametrize(
    ("line", "where"),
    [
        ("", "no whole line"),
        ("{}", "line of a journal"),
        ("[1]", "line of a journal"),
        ('{"record": "journal", "schema": "placer.journal/v2", "fleet": null, "fleet_digest": "", "uris": {}}', "line"),
        ('{"record": "journal", "schema": "placer.journal/v1", "fleet": 3, "fleet_digest": "", "uris": {}}', "line"),
    ],
)
def test_other_files_are_no_journals(tmp_path: Path, line: str, where: str) -> None:
    """An empty file, other JSON and another schema are refused by name."""
    path = tmp_path / "j.jsonl"
    path.write_text(f"{line}\n" if line else "")
    with pytest.raises(InputError, match=where) as caught:
        read_journal(path)
    assert caught.value.faults[0].file == str(path)


@pytest.mark.parametrize(
    "damage",
    [
        {"record": "done", "entry": 1, "call": 0},
        {"record": "done", "entry": 0, "call": 1},
        {"record": "done", "entry": -1, "call": 0},
        {"record": "done", "entry": True, "call": 0},
        {"record": "sung", "entry": 0, "call": 0},
        {"record": "planned", "entry": 5, "vm": "a", "host": "h", "uuid": "u", "calls": []},
        {"record": "planned", "entry": 1, "vm": "a", "host": "h", "uuid": "u", "calls": [{"kind": "erase"}]},
    ],
)
def test_damage_in_the_middle_is_named_with_its_line(tmp_path: Path, damage: dict[str, object]) -> None:
    """A whole line that no apply wrote makes the journal unfit: guessing at it could change the wrong domain."""
    path = tmp_path / "j.jsonl"
    with start(tmp_path) as journal:
        journal.plan("a", "h", "u", (PIN,))
    with path.open("a") as file:
        file.write(json.dumps(damage) + "\n" + '{"record": "done", "entry": 0, "call": 0}\n')
    with pytest.raises(InputError) as caught:
        read_journal(path)
    assert caught.value.faults[0].line == 3


def test_the_first_free_name_beside_the_plan_is_taken(tmp_path: Path) -> None:
    """Each run has a journal of its own."""
    plan = tmp_path / "plan.json"
    assert free_journal_path(plan) == tmp_path / "plan.journal-1.jsonl"
    (tmp_path / "plan.journal-1.jsonl").symlink_to("nowhere")
    assert free_journal_path(plan) == tmp_path / "plan.journal-2.jsonl"
