"""Verifying and discovering over real libvirt (its mock driver), read-only connections included."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from placer.errors import MissingToolError
from placer.live import apply as live_apply
from placer.live.apply import Limits, Status, carry_out, propose
from placer.live.connect import Link, open_link
from placer.live.discover import discover, thread_notes
from placer.live.host_files import Reach
from placer.live.survey import survey
from placer.live.targets import targets_of
from placer.read.documents.plan_file import read_plan
from placer.read.inventory.inventory import read_fleet
from tests.libvirt.mock_host import URI, MockHost, uuid_of

pytestmark = pytest.mark.libvirt

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def applied(mock: MockHost, run: Run) -> MockHost:
    """Return a host with one domain that runs and one that does not, as planned but for the memory of the first."""
    mock.define("db", runs=True, inside="<numatune><memory mode='strict' nodeset='0'/></numatune>")
    mock.define("web")
    mock.inventory()
    mock.plan({"db": (0, 1), "web": (2, 3)})
    assert run("apply", "plan.json", "--apply")[0] == 0
    return mock


def test_as_planned_is_exit_code_0(applied: MockHost, run: Run) -> None:
    """Each VM is without drift; what cannot be measured here is unknown and not 0."""
    code, out, err = run("verify", "plan.json", "--json")
    assert code == 0, err
    vms = json.loads(out)["result"]["vms"]
    assert [(vm["name"], vm["state"], vm["drifts"], vm["measured_remote_share"]) for vm in vms] == [
        ("db", "running", [], None),
        ("web", "shut off", [], None),
    ]
    code, out, _ = run("verify", "plan.json")
    assert code == 0
    assert "2 VMs: 0 with drift" in out


def test_drift_made_by_hand_is_found_and_named(applied: MockHost, run: Run) -> None:
    """A pin, the emulator, the node set and a definition: each by VM with what is and what was planned; exit code 6."""
    db = applied.raw.lookupByName("db")
    db.pinVcpu(1, (False, False, False, True))
    db.pinEmulator((False, False, True), 1)
    db.setNumaParameters({"numa_nodeset": "1"}, 1)
    applied.raw.defineXML(applied.xml("web").replace("<vcpupin vcpu='0' cpuset='2'/>", ""))
    code, out, err = run("verify", "plan.json")
    assert code == 6
    assert [line for line in err.splitlines() if line.startswith("placer: VM")] == [
        "placer: VM 'db' on host 'mock': running: vCPU 1: 3, planned 1",
        "placer: VM 'db' on host 'mock': running: emulator threads: 2, planned 0-1",
        "placer: VM 'db' on host 'mock': running: memory: strict on node 1, planned strict on node 0",
        "placer: VM 'web' on host 'mock': definition: vCPU 0: not set, planned 2",
    ]
    assert "2 VMs: 2 with drift" in out


def test_a_host_that_was_not_asked_is_told(applied: MockHost, run: Run) -> None:
    """No drift where nothing was seen, and no agreement either: exit code 8."""
    text = (applied.folder / "fleet.yaml").read_text()
    (applied.folder / "fleet.yaml").write_text(text.replace(f"  uri: {URI}\n", ""))
    applied.plan({"db": (0, 1), "web": (2, 3)})
    code, _, err = run("verify", "plan.json")
    assert code == 2
    assert "no host of the plan has a uri" in err
    assert run("verify", "plan.json", "--connect", f"mock={URI}")[0] == 0
    assert run("verify", "plan.json", "--connect", URI)[0] == 0


def test_verify_never_opens_a_connection_that_could_change(
    applied: MockHost, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does a dry run."""
    opened: list[bool] = []
    real = open_link

    def spy(host: str, uri: str, *, writable: bool) -> Link:
        opened.append(writable)
        return real(host, uri, writable=writable)

    monkeypatch.setattr("placer.live.connect.open_link", spy)
    monkeypatch.setattr(live_apply, "open_link", spy)
    run("verify", "plan.json")
    run("apply", "plan.json")
    assert opened == [False, False]


def test_a_read_only_connection_cannot_apply(mock: MockHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """Libvirt refuses it at the first secret; nothing is changed and the cure is said."""
    mock.define("db")
    mock.inventory()
    plan = read_plan(mock.plan({"db": (0, 1)}))
    fleet = read_fleet(mock.folder / "fleet.yaml")
    targets = targets_of(plan, fleet, ())
    proposed = propose(plan, fleet, survey(plan, fleet, targets, Reach()), Limits())
    assert [outcome.status for outcome in proposed.outcomes] == [Status.PENDING]
    monkeypatch.setattr(live_apply, "open_link", lambda host, uri, *, writable: open_link(host, uri, writable=False))
    done = carry_out(plan, fleet, proposed, targets.uris, mock.folder / "j.jsonl", Limits())
    [outcome] = done.outcomes
    assert outcome.status is Status.FAILED
    assert "operation forbidden" in str(outcome.reason)
    assert "this connection can only read" in str(outcome.cure)
    assert "vcpupin" not in mock.xml("db")


def test_a_domain_that_goes_away_meanwhile_fails_alone(mock: MockHost) -> None:
    """Between the survey and its turn it was undefined; the next one is changed."""
    mock.define("db")
    mock.define("web")
    mock.inventory()
    plan = read_plan(mock.plan({"db": (0, 1), "web": (2, 3)}))
    fleet = read_fleet(mock.folder / "fleet.yaml")
    targets = targets_of(plan, fleet, ())
    proposed = propose(plan, fleet, survey(plan, fleet, targets, Reach()), Limits())
    mock.raw.lookupByName("db").undefine()
    done = carry_out(plan, fleet, proposed, targets.uris, mock.folder / "j.jsonl", Limits())
    assert [outcome.status for outcome in done.outcomes] == [Status.FAILED, Status.CHANGED]


def test_what_became_true_meanwhile_is_not_done_again(mock: MockHost) -> None:
    """Each domain is read again at its turn: changed by another run since, it is left as it is."""
    mock.define("db")
    mock.inventory()
    plan = read_plan(mock.plan({"db": (0, 1)}))
    fleet = read_fleet(mock.folder / "fleet.yaml")
    targets = targets_of(plan, fleet, ())
    proposed = propose(plan, fleet, survey(plan, fleet, targets, Reach()), Limits())
    first = carry_out(plan, fleet, proposed, targets.uris, mock.folder / "1.jsonl", Limits())
    second = carry_out(plan, fleet, proposed, targets.uris, mock.folder / "2.jsonl", Limits())
    assert [first.outcomes[0].status, second.outcomes[0].status] == [Status.CHANGED, Status.UNCHANGED]
    assert len(mock.records("2.jsonl")) == 1


def test_discovery_reads_whole_hosts(mock: MockHost) -> None:
    """Capabilities, domains as defined and as they run, pins: two hosts at once, a third that does not answer."""
    db = mock.define("db", runs=True, inside="<iothreads>2</iothreads>")
    mock.define("web")
    db.pinVcpu(0, (True, False, True))
    found = discover({"a": URI, "b": URI, "gone": "qemu+tcp://127.0.0.1:1/system"})
    assert [host.name for host in found.hosts] == ["a", "b"]
    assert list(found.failures) == ["gone"]
    reading = found.hosts[0]
    assert reading.capabilities == mock.raw.getCapabilities().encode()
    states = {state.name: state for state in reading.domains}
    assert list(states) == ["db", "test", "web"]
    assert (states["db"].uuid, states["db"].running, states["db"].persistent) == (uuid_of(1), True, True)
    assert states["db"].vcpus == {0: {0, 2}, 1: set(range(8))}
    assert list(states["db"].iothreads) == [1, 2]
    assert b"<vcpupin" in (states["db"].live or b"") and b"<vcpupin" not in (states["db"].config or b"")
    assert (states["web"].running, states["web"].vcpus) == (False, {})
    assert replace(states["web"]) == states["web"]


def test_an_update_asks_the_hosts_of_the_inventory(mock: MockHost, run: Run) -> None:
    """Without --connect the uris in it are asked; a VM that came since is added, what a person wrote stays."""
    mock.define("db")
    assert run("import", "libvirt", "--connect", f"mock={URI}", "-o", "live.yaml")[0] == 0
    path = mock.folder / "live.yaml"
    path.write_text(path.read_text().replace("- name: mock", "- name: mock\n    labels: {rack: r1}"))
    mock.define("web")
    code, out, err = run("import", "libvirt", "-o", "live.yaml", "--update")
    assert (code, out) == (0, "live.yaml: 1 host, 3 VMs\n"), err
    fleet = read_fleet(path)
    assert {vm.name for vm in fleet.vms} == {"db", "web", "test"}
    assert fleet.hosts[0].labels == {"rack": "r1"}
    path.write_text(path.read_text().replace(URI, "qemu+ext:///system?command=x"))
    code, _, err = run("import", "libvirt", "-o", "live.yaml", "--update")
    assert code == 2
    assert "names a program to run" in err


def test_threads_that_somebody_moved_are_told(mock: MockHost) -> None:
    """The XML has what libvirt set; where a thread may run in truth is another thing."""
    mock.define("db", runs=True, inside="<cputune><vcpupin vcpu='0' cpuset='3'/></cputune>")
    [state] = [state for state in discover({"mock": URI}).hosts[0].domains if state.name == "db"]
    assert thread_notes(state) == []
    moved = replace(state, vcpus={0: frozenset({1, 2}), 1: frozenset(range(8))})
    assert thread_notes(moved) == ["VM db: vCPU 0 is set to CPUs 3 and runs on 1-2"]
    assert thread_notes(replace(moved, live=None)) == []


def test_no_host_at_all_is_exit_code_7() -> None:
    """The error carries the line of each host."""
    with pytest.raises(MissingToolError, match="no libvirt at qemu") as caught:
        discover({"gone": "qemu+tcp://127.0.0.1:1/system"})
    assert caught.value.exit_code == 7


def test_without_the_binding_there_is_one_line_with_the_cure(applied: MockHost, tmp_path: Path) -> None:
    """Exit code 7 for every verb that needs it."""
    program = textwrap.dedent("""
        import sys
        sys.modules["libvirt"] = None
        from placer.cli.app import main
        sys.exit(main(sys.argv[1:]))
    """)
    for arguments in (["apply", "plan.json"], ["verify", "plan.json"], ["rollback", "plan.journal-1.jsonl"]):
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=1800
        )
        assert done.returncode == 7, done.stderr
        assert done.stdout == ""
        assert len(done.stderr.splitlines()) == 1
        assert 'pip install "numa-placer[libvirt]"' in done.stderr
