"""Applying a plan to real libvirt (its mock driver): what is changed, what is refused, and what the journal holds."""

from __future__ import annotations

import _thread
import json
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from placer.live.journal import Entry, Journal, Progress
from placer.model.plan import Change
from tests.libvirt.mock_host import MockHost, uuid_of

pytestmark = pytest.mark.libvirt

Run = Callable[..., tuple[int, str, str]]
VNC = "<graphics type='vnc' port='5901' passwd='secret' passwdValidTo='2030-01-01T00:00:00'/>"
NOVA = "<metadata><nova:instance xmlns:nova='http://openstack.org/xmlns/libvirt/nova/1.1'/></metadata>"


@pytest.fixture
def two(mock: MockHost) -> MockHost:
    """Return a host with one domain that runs and one that does not, and a plan that pins both."""
    mock.define("db", runs=True, inside="<iothreads>1</iothreads>", devices=VNC)
    mock.define("web")
    mock.inventory()
    mock.plan({"db": (0, 1), "web": (2, 3)})
    return mock


def statuses(out: str) -> dict[str, str]:
    """Return the status of each VM of a JSON answer."""
    return {vm["name"]: vm["status"] for vm in json.loads(out)["result"]["vms"]}


def test_without_apply_nothing_is_changed(two: MockHost, run: Run) -> None:
    """The diff and the calls are shown, the definitions stay, and there is no journal."""
    before = [two.xml("db"), two.xml("web"), two.pins("db")]
    code, out, _ = run("apply", "plan.json")
    assert code == 0
    assert "+    <vcpupin vcpu='1' cpuset='1'/>" in out
    assert "call: define" in out
    assert "call: vcpupin 0 0 --live" in out
    assert "call: emulatorpin 0-1 --live" in out
    assert out.endswith("nothing was changed: this was a dry run; --apply does it\n")
    assert [two.xml("db"), two.xml("web"), two.pins("db")] == before
    assert list(two.folder.glob("*.jsonl")) == []


def test_a_dry_run_shows_no_password(two: MockHost, run: Run) -> None:
    """It reads the domains over a read-only connection, which never gets secrets."""
    _, out, err = run("apply", "plan.json")
    assert "secret" not in out + err


def test_apply_defines_and_pins(two: MockHost, run: Run) -> None:
    """Persistent XML and live pins are as planned; a graphics password is still there."""
    code, _, err = run("apply", "plan.json", "--apply")
    assert (code, err.splitlines()[0]) == (0, "journal: plan.journal-1.jsonl")
    assert "<vcpupin vcpu='0' cpuset='0'/>" in two.xml("db")
    assert "<memory mode='strict' nodeset='0'/>" in two.xml("web")
    assert "passwd='secret' passwdValidTo='2030-01-01T00:00:00'" in two.xml("db")
    assert two.pins("db") == [{0}, {1}]
    emulator = two.raw.lookupByName("db").emulatorPinInfo(1)
    assert [cpu for cpu, taken in enumerate(emulator) if taken] == [0, 1]
    assert "<iothreadpin iothread='1' cpuset='0-1'/>" in two.xml("db")


def test_the_journal_stands_before_every_change(two: MockHost, run: Run) -> None:
    """One planned record a domain with all it was before, then doing and done around each call; it is private."""
    before = two.xml("db")
    run("apply", "plan.json", "--apply")
    records = two.records()
    assert [record["record"] for record in records] == [
        "journal", "planned", *["doing", "done"] * 4, "planned", "doing", "done",
    ]  # fmt: skip
    assert (records[1]["vm"], records[1]["host"], records[1]["uuid"]) == ("db", "mock", uuid_of(1))
    assert records[1]["calls"][0]["before"] == before
    assert [(call["kind"], call["key"], call["before"], call["after"]) for call in records[1]["calls"][1:]] == [
        ("vcpu", 0, "0-7", "0"),
        ("vcpu", 1, "0-7", "1"),
        ("emulator", None, "0-7", "0-1"),
    ]
    assert "passwd='secret'" in records[1]["calls"][0]["after"]
    assert stat.S_IMODE((two.folder / "plan.journal-1.jsonl").stat().st_mode) == 0o600


def test_the_second_time_nothing_is_done(two: MockHost, run: Run) -> None:
    """All is unchanged, and no journal is begun."""
    run("apply", "plan.json", "--apply")
    code, out, _ = run("apply", "plan.json", "--apply", "--json")
    assert code == 0
    assert statuses(out) == {"db": "unchanged", "web": "unchanged"}
    assert json.loads(out)["result"]["journal"] is None
    assert [path.name for path in two.folder.glob("*.jsonl")] == ["plan.journal-1.jsonl"]


def test_what_only_a_restart_brings_is_said(two: MockHost, run: Run) -> None:
    """The memory of the one that runs stays where it is until then."""
    _, out, _ = run("apply", "plan.json", "--json")
    restarts = {vm["name"]: vm["restart"] for vm in json.loads(out)["result"]["vms"]}
    assert restarts["web"] is None
    assert "restart it" in restarts["db"]


def test_a_limit_leaves_the_rest_for_later(two: MockHost, run: Run) -> None:
    """The first of the plan is changed; a second run takes the next; being left is no failure."""
    code, out, _ = run("apply", "plan.json", "--apply", "--json", "--limit", "1")
    assert (code, statuses(out)) == (0, {"db": "changed", "web": "left"})
    code, out, _ = run("apply", "plan.json", "--apply", "--json", "--limit", "1")
    assert (code, statuses(out)) == (0, {"db": "unchanged", "web": "changed"})


@pytest.mark.parametrize(
    ("inside", "save", "said"),
    [
        (NOVA, False, "OpenStack Nova manages the domain"),
        ("", True, "managed save image"),
    ],
)
def test_what_is_not_placers_to_change_is_refused(mock: MockHost, run: Run, inside: str, save: bool, said: str) -> None:
    """Refused with the cure and exit code 8; the others go on."""
    domain = mock.define("db", inside=inside, runs=save)
    mock.define("web")
    mock.inventory()
    mock.plan({"db": (0, 1), "web": (2, 3)})
    if save:
        domain.managedSave()
    before = mock.xml("db")
    code, out, err = run("apply", "plan.json", "--apply", "--json")
    assert code == 8
    assert statuses(out) == {"db": "refused", "web": "changed"}
    assert said in err
    assert mock.xml("db") == before


def test_a_manager_can_be_overruled(mock: MockHost, run: Run) -> None:
    """With --force-managed the domain is changed, its metadata kept."""
    mock.define("db", inside=NOVA)
    mock.inventory()
    mock.plan({"db": (0, 1)})
    code, _, _ = run("apply", "plan.json", "--apply", "--force-managed")
    assert code == 0
    assert "nova:instance" in mock.xml("db")
    assert "vcpupin" in mock.xml("db")


def test_a_transient_domain_is_refused(mock: MockHost, run: Run) -> None:
    """It has no configuration; it runs on as it was."""
    domain = mock.define("db", runs=True)
    mock.inventory()
    mock.plan({"db": (0, 1)})
    domain.undefine()
    code, _, err = run("apply", "plan.json", "--apply")
    assert code == 8
    assert "VM 'db' on host 'mock' refused: the domain is transient" in err
    assert mock.pins("db") == [set(range(8)), set(range(8))]


def test_a_domain_that_changed_since_the_plan_is_refused(two: MockHost, run: Run) -> None:
    """It has three vCPUs now: it is not the VM that was planned. The other goes on."""
    two.define("web", vcpus=3)
    code, out, err = run("apply", "plan.json", "--apply", "--json")
    assert (code, statuses(out)) == (8, {"db": "changed", "web": "refused"})
    assert "3 vCPUs" in err


def test_a_domain_of_the_name_with_another_uuid_is_refused(two: MockHost, run: Run) -> None:
    """The UUID is the VM, the name is not."""
    two.raw.lookupByName("web").undefine()
    two.raw.defineXML(
        f"<domain type='test'><name>web</name><uuid>{uuid_of(99)}</uuid><memory unit='MiB'>64</memory><vcpu>2</vcpu>"
        "<os><type>hvm</type></os></domain>"
    )
    code, out, err = run("apply", "plan.json", "--apply", "--json")
    assert (code, statuses(out)) == (8, {"db": "changed", "web": "refused"})
    assert f"has UUID {uuid_of(99)}" in err
    assert "vcpupin" not in two.xml("web")


def test_a_host_that_changed_is_refused_as_a_whole(mock: MockHost, run: Run) -> None:
    """The inventory's host has a CPU less: nothing on it is touched."""
    mock.define("db")
    mock.inventory()
    capabilities = (mock.folder / "mock.xml").read_text()
    line = next(line for line in capabilities.splitlines() if "cpu id='15'" in line)
    (mock.folder / "mock.xml").write_text(capabilities.replace(line + "\n", ""))
    mock.plan({"db": (0, 1)})
    code, _, err = run("apply", "plan.json", "--apply")
    assert code == 8
    assert "host 'mock' has changed since the plan: node 1 has CPUs 8-15, planned 8-14; import it again" in err
    assert "vcpupin" not in mock.xml("db")


def test_a_fleet_that_changed_is_refused(two: MockHost, run: Run) -> None:
    """The plan belongs to the inventory it was made for, and to every file that names."""
    (two.folder / "d1.xml").write_text((two.folder / "d1.xml").read_text() + "\n")
    code, _, err = run("apply", "plan.json", "--apply")
    assert code == 2
    assert "this is not the fleet that was planned" in err


def test_a_plan_that_the_checker_refuses_is_not_applied(two: MockHost, run: Run) -> None:
    """Two VMs on one dedicated CPU: somebody wrote that by hand."""
    two.plan({"db": (0, 1), "web": (1, 2)})
    code, _, err = run("apply", "plan.json", "--apply")
    assert code == 2
    assert "plan.json" in err
    assert "vcpupin" not in two.xml("db")


def test_a_vm_planned_elsewhere_needs_migration_and_is_not_defined_there(mock: MockHost, run: Run) -> None:
    """It stays where it is; the report says so, and that is no failure."""
    mock.define("db", runs=True)
    mock.inventory()
    tree = (mock.folder / "fleet.yaml").read_text()
    other = "- {name: other, topology: mock.xml}\n"
    (mock.folder / "fleet.yaml").write_text(tree.replace("hosts:\n", "hosts:\n" + other))
    mock.plan({"db": (0, 1)}, host="other", from_host="mock", change=Change.MIGRATE)
    # The mock driver's own memory is shared: a connection to "other" shows the same domains, so it must not be asked.
    code, out, _ = run("apply", "plan.json", "--apply", "--json", "--connect", "mock=test:///default")
    assert code == 0
    assert statuses(out) == {"db": "left"}
    assert "vcpupin" not in mock.xml("db")


def test_hosts_side_by_side_and_one_that_does_not_answer(mock: MockHost, run: Run) -> None:
    """The host that answers is done, the other one is reported once, exit code 8."""
    mock.define("db")
    mock.define("web")
    mock.inventory()
    tree = (mock.folder / "fleet.yaml").read_text()
    gone = "- {name: gone, topology: mock.xml, uri: 'qemu+tcp://127.0.0.1:1/system'}\n"
    tree = tree.replace("hosts:\n", "hosts:\n" + gone)
    head, _, tail = tree.rpartition("host: mock")
    (mock.folder / "fleet.yaml").write_text(f"{head}host: gone{tail}")
    plan = json.loads(mock.plan({"web": (2, 3)}, host="gone").read_text())
    path = mock.plan({"db": (0, 1)})
    plan["vms"] += json.loads(path.read_text())["vms"]
    path.write_text(json.dumps(plan))
    code, out, err = run("apply", "plan.json", "--apply", "--json")
    assert code == 8, err
    assert statuses(out) == {"db": "changed", "web": "left"}
    assert [line for line in err.splitlines() if "gone" in line] == [
        "placer: host 'gone': no libvirt at qemu+tcp://127.0.0.1:1/system: unable to connect to server at "
        "'127.0.0.1:1': Connection refused; see that libvirtd (or virtqemud) runs there and that the URI is right: "
        "virsh -c URI uri"
    ]


def test_no_host_that_answers_is_one_line_and_exit_7(two: MockHost, run: Run) -> None:
    """Without a daemon there is nothing to do but to say how to get one."""
    for verb in ("apply", "verify"):
        code, out, err = run(verb, "plan.json", "--connect", "mock=qemu+tcp://127.0.0.1:1/system")
        assert (code, out) == (7, "")
        assert len(err.splitlines()) == 1
        assert "see that libvirtd (or virtqemud) runs there" in err


def test_failures_can_end_a_run(mock: MockHost, run: Run) -> None:
    """With --max-failures 1 the second domain is not begun after the first was refused by libvirt."""
    mock.define("db", runs=True)
    mock.define("web")
    mock.inventory()
    # CPUs 9 and 10 exist, but the mock driver's CPU maps end at 7: pinning the running domain to them fails.
    mock.plan({"db": (9, 10), "web": (2, 3)})
    code, out, err = run("apply", "plan.json", "--apply", "--json", "--max-failures", "1")
    assert code == 8, out
    assert statuses(out) == {"db": "failed", "web": "left"}
    assert "host 'mock' has 8 CPUs and no CPU 9" in err
    [db, web] = json.loads(out)["result"]["vms"]
    assert (db["done"], len(db["calls"])) == (1, 4)
    assert web["reason"] == "not reached: too many domains had failed"
    code, out, _ = run("apply", "plan.json", "--apply", "--json")
    assert (code, statuses(out)) == (8, {"db": "failed", "web": "changed"})


@pytest.mark.parametrize("name", ["a/b", "-rf", "7", "x'; reboot; '", "über & <co>", "tab\tin it"])
def test_names_are_only_names(mock: MockHost, run: Run, name: str) -> None:
    """Whatever a domain is called, it is found by its UUID and printed without moving the cursor."""
    try:
        mock.define(name)
    except Exception as error:  # libvirt itself refuses some
        assert "name" in str(error)
        return
    mock.inventory()
    mock.plan({name: (0, 1)})
    code, out, _ = run("apply", "plan.json", "--apply")
    assert code == 0
    assert "\t" not in out
    assert "cpuset='0'" in mock.xml(name)


def test_a_journal_has_its_place(two: MockHost, run: Run, tmp_path: Path) -> None:
    """Named by hand it goes there, and one that is there already is not touched."""
    (tmp_path / "mine").write_text("precious")
    code, _, err = run("apply", "plan.json", "--apply", "--journal", "mine")
    assert code == 2
    assert "mine: this journal is there already" in err
    assert (tmp_path / "mine").read_text() == "precious"
    assert "vcpupin" not in two.xml("db")


def test_an_interrupt_ends_the_domain_at_hand(two: MockHost, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the middle of a domain: all its calls are made, the next one is left, exit code 130."""
    note = Journal.note
    pressed = False

    def press(self: Journal, entry: Entry, call: int, progress: Progress) -> None:
        nonlocal pressed
        note(self, entry, call, progress)
        if not pressed:
            pressed = True
            _thread.interrupt_main()
            time.sleep(0.5)

    monkeypatch.setattr(Journal, "note", press)
    code, out, _ = run("apply", "plan.json", "--apply", "--json")
    assert code == 130
    assert statuses(out) == {"db": "changed", "web": "left"}
    assert json.loads(out)["result"]["interrupted"] is True
    assert two.pins("db") == [{0}, {1}]
    assert "vcpupin" not in two.xml("web")
