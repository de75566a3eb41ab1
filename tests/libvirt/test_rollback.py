"""Whatever point a run ends at, applying again finishes it and rolling back undoes it: on libvirt's mock driver."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from placer.live.journal import Journal
from tests.libvirt.mock_host import MockHost

pytestmark = pytest.mark.libvirt

Run = Callable[..., tuple[int, str, str]]
RECORDS = 13
"""Records of the journal of `scene`: header, one domain planned with four calls, the other with one."""


class Death(BaseException):
    """Stands for SIGKILL: nothing of placer catches it, and nothing more is written."""


@pytest.fixture
def scene(mock: MockHost) -> MockHost:
    """Return one domain that runs and one that does not, each with pins that the plan changes."""
    pins = "<cputune><vcpupin vcpu='0' cpuset='5'/><emulatorpin cpuset='6-7'/></cputune>"
    mock.define("db", runs=True, inside=pins, devices="<graphics type='vnc' port='5901' passwd='secret'/>")
    mock.define("web", inside=pins)
    mock.inventory()
    mock.plan({"db": (0, 1), "web": (2, 3)})
    return mock


def state(mock: MockHost) -> tuple[str, str, list[set[int]], tuple[bool, ...]]:
    """Return all that an apply of the scene changes."""
    return mock.xml("db"), mock.xml("web"), mock.pins("db"), tuple(mock.raw.lookupByName("db").emulatorPinInfo(1))


def die_at(monkeypatch: pytest.MonkeyPatch, when: str, number: int) -> None:
    """Let placer die before, in the middle of, or after the writing of a record of its journal."""
    write, count = Journal._write, 0

    def dying(self: Journal, record: Mapping[str, Any]) -> None:
        nonlocal count
        here, count = count == number, count + 1
        if here and when == "before":
            raise Death
        if here and when == "torn":
            os.write(self._handle, b'{"record": "do')
            raise Death
        write(self, record)
        if here and when == "after":
            raise Death

    monkeypatch.setattr(Journal, "_write", dying)


def killed(run: Run, monkeypatch: pytest.MonkeyPatch, when: str, number: int, *arguments: str) -> None:
    """Run placer until it dies there."""
    with monkeypatch.context() as patch:
        die_at(patch, when, number)
        with pytest.raises(Death):
            run(*arguments)


def journal_of(mock: MockHost) -> str:
    """Return the name of the only journal."""
    [path] = mock.folder.glob("*.jsonl")
    return path.name


def test_a_rollback_restores_xml_pins_and_passwords(scene: MockHost, run: Run) -> None:
    """Dry first, then in earnest; after it all is byte for byte as it was, and a second one finds nothing to do."""
    before = state(scene)
    run("apply", "plan.json", "--apply")
    applied = state(scene)
    assert applied != before
    code, out, _ = run("rollback", journal_of(scene))
    assert code == 0
    assert "call: vcpupin 0 5 --live" in out
    assert state(scene) == applied
    code, out, _ = run("rollback", journal_of(scene), "--apply", "--json")
    assert code == 0
    assert {vm["status"] for vm in json.loads(out)["result"]["vms"]} == {"rolled back"}
    assert state(scene) == before
    assert "passwd='secret'" in before[0]
    code, out, _ = run("rollback", journal_of(scene), "--apply", "--json")
    assert code == 0
    assert {vm["status"] for vm in json.loads(out)["result"]["vms"]} == {"as it was"}


@pytest.mark.parametrize("number", range(RECORDS))
@pytest.mark.parametrize("when", ["before", "torn", "after"])
def test_killed_anywhere_a_rollback_restores(
    scene: MockHost, run: Run, monkeypatch: pytest.MonkeyPatch, when: str, number: int
) -> None:
    """At each record of the journal, before, in the middle of and after it."""
    before = state(scene)
    killed(run, monkeypatch, when, number, "apply", "plan.json", "--apply")
    if number == 0 and when != "after":
        assert state(scene) == before
        assert run("rollback", journal_of(scene), "--apply")[0] == 2, "no whole line: nothing was begun"
        return
    assert run("rollback", journal_of(scene), "--apply")[0] == 0
    assert state(scene) == before


@pytest.mark.parametrize("number", range(RECORDS))
@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_anywhere_another_apply_finishes(
    scene: MockHost, run: Run, monkeypatch: pytest.MonkeyPatch, when: str, number: int
) -> None:
    """The second run does what is left, and verify finds definitions and pins as planned; then both roll back."""
    before = state(scene)
    killed(run, monkeypatch, when, number, "apply", "plan.json", "--apply")
    first = journal_of(scene)
    assert run("apply", "plan.json", "--apply")[0] == 0
    _, out, _ = run("verify", "plan.json", "--json")
    drifts = [drift for vm in json.loads(out)["result"]["vms"] for drift in vm["drifts"]]
    assert [drift["what"] for drift in drifts] == ["memory"], "only the memory of the one that runs waits for a restart"
    journals = sorted((path.name for path in scene.folder.glob("*.jsonl")), reverse=True)
    for journal in journals:
        if journal == first and number == 0 and when == "before":
            continue
        assert run("rollback", journal, "--apply")[0] == 0
    assert state(scene) == before


@pytest.mark.parametrize("when", ["before", "torn", "after"])
@pytest.mark.parametrize("number", range(10))
def test_a_rollback_that_is_killed_is_ended_by_another(
    scene: MockHost, run: Run, monkeypatch: pytest.MonkeyPatch, when: str, number: int
) -> None:
    """It writes into the same journal; five calls are taken back, each with two records."""
    before = state(scene)
    run("apply", "plan.json", "--apply")
    killed(run, monkeypatch, when, number, "rollback", journal_of(scene), "--apply")
    assert run("rollback", journal_of(scene), "--apply")[0] == 0
    assert state(scene) == before


def test_the_number_of_records_is_what_these_tests_suppose(scene: MockHost, run: Run) -> None:
    """Should the journal get more records, the tests above must go through them too."""
    run("apply", "plan.json", "--apply")
    assert len(scene.records()) == RECORDS


def test_what_another_hand_changed_since_is_left_alone(scene: MockHost, run: Run) -> None:
    """A definition edited and a pin set since the apply are not overwritten; the other domain is rolled back."""
    web = scene.xml("web")
    run("apply", "plan.json", "--apply")
    scene.raw.defineXML(scene.xml("db").replace("<boot dev='hd'/>", "<boot dev='network'/>"))
    code, _, err = run("rollback", journal_of(scene), "--apply")
    assert code == 8
    assert "VM 'db' on host 'mock' refused: its definition was changed since by something else; as it was: " in err
    assert "plan.journal-1.jsonl line 2" in err
    assert "network" in scene.xml("db")
    assert scene.pins("db")[0] == {0}
    assert scene.xml("web") == web


def test_a_pin_set_by_hand_since_is_left_alone(scene: MockHost, run: Run) -> None:
    """Neither the pin from before nor the planned one: somebody meant it."""
    run("apply", "plan.json", "--apply")
    scene.raw.lookupByName("db").pinVcpu(0, (False, False, False, True))
    code, _, err = run("rollback", journal_of(scene), "--apply")
    assert code == 8
    assert "what `vcpupin 0 0 --live` set was changed since by something else" in err
    assert scene.pins("db")[0] == {3}
    assert "cpuset='0'" in scene.xml("db")


def test_a_domain_that_is_gone_is_not_brought_back(scene: MockHost, run: Run) -> None:
    """It may run on another host by now; the journal still has its XML, and the line is named."""
    run("apply", "plan.json", "--apply")
    scene.raw.lookupByName("web").undefine()
    code, _, err = run("rollback", journal_of(scene), "--apply")
    assert code == 8
    assert "the host has it no more" in err
    assert "plan.journal-1.jsonl line 11" in err
    assert [domain.name() for domain in scene.raw.listAllDomains() if domain.name() == "web"] == []
    assert "secret" in scene.xml("db")


def test_a_domain_shut_off_since_has_nothing_live_to_take_back(scene: MockHost, run: Run) -> None:
    """Its definition is restored; pins of threads that are gone are gone with them."""
    before = scene.xml("db")
    run("apply", "plan.json", "--apply")
    scene.raw.lookupByName("db").destroy()
    assert run("rollback", journal_of(scene), "--apply")[0] == 0
    assert scene.xml("db") == before


def test_a_journal_names_its_hosts(scene: MockHost, run: Run) -> None:
    """Another URI may be given; a host that does not answer is exit code 7."""
    before = state(scene)
    run("apply", "plan.json", "--apply")
    assert run("rollback", journal_of(scene), "--connect", "mock=qemu+tcp://127.0.0.1:1/system")[0] == 7
    path = scene.folder / journal_of(scene)
    path.write_text(path.read_text().replace("test:///default", "qemu+ext:///system?command=x", 1))
    code, _, err = run("rollback", path.name, "--apply")
    assert code == 2
    assert "names a program to run" in err
    assert run("rollback", path.name, "--apply", "--connect", "mock=test:///default")[0] == 0
    assert state(scene) == before


def test_other_files_are_no_journals(run: Run, tmp_path: Path) -> None:
    """A plan, a missing file: one line, exit code 2."""
    (tmp_path / "x.json").write_text("{}\n")
    for name in ("x.json", "missing"):
        code, _, err = run("rollback", name)
        assert code == 2
        assert err.startswith(f"{name}:") and len(err.splitlines()) == 1
