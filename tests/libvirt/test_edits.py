"""Somebody else at the same domains: an edit between our reading and our call is seen, named and left as it is."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from placer.live.journal import Journal
from tests.libvirt.mock_host import MockHost, uuid_of

pytestmark = pytest.mark.libvirt

Run = Callable[..., tuple[int, str, str]]
VNC = "<graphics type='vnc' port='5901' passwd='{}'/>"
WATCHDOG = "<watchdog model='i6300esb' action='reset'/>"


@pytest.fixture
def two(mock: MockHost) -> MockHost:
    """Return a host with one domain that runs and one that does not, and a plan that pins both."""
    mock.define("db", runs=True, devices=VNC.format("first"))
    mock.define("web")
    mock.inventory()
    mock.plan({"db": (0, 1), "web": (2, 3)})
    return mock


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that lets something happen once the journal announces a call: between reading and the call."""

    def plan(happens: Callable[[], object], *, record: str = "doing", entry: int = 0, call: int = 0) -> None:
        write = Journal._write

        def wrapped(self: Journal, written: Mapping[str, Any]) -> None:
            write(self, written)
            if (written["record"], written.get("entry"), written.get("call")) == (record, entry, call):
                happens()

        monkeypatch.setattr(Journal, "_write", wrapped)

    return plan


def outcomes(out: str) -> dict[str, dict[str, Any]]:
    """Return the VMs of a JSON answer by name."""
    return {vm["name"]: vm for vm in json.loads(out)["result"]["vms"]}


def test_an_edit_between_reading_and_defining_is_not_overwritten(
    two: MockHost, run: Run, meanwhile: Callable[..., None]
) -> None:
    """Refused by name with what differs and the cure; the other goes on, and both ways out work."""
    meanwhile(lambda: two.define("db", devices=VNC.format("first") + WATCHDOG))
    code, out, err = run("apply", "plan.json", "--apply", "--json")
    assert code == 8
    assert "VM 'db' on host 'mock' refused: its definition was changed by something else while" in err
    assert "devices/watchdog is new; look at it, then apply again" in err
    assert {name: vm["status"] for name, vm in outcomes(out).items()} == {"db": "refused", "web": "changed"}
    assert "watchdog" in two.xml("db") and "vcpupin" not in two.xml("db")
    assert two.pins("db") == [set(range(8))] * 2
    assert [record["record"] for record in two.records()][1:4] == ["planned", "doing", "left"]
    code, out, _ = run("rollback", "plan.journal-1.jsonl", "--apply", "--json")
    assert (code, {name: vm["status"] for name, vm in outcomes(out).items()}) == (
        0, {"db": "as it was", "web": "rolled back"},
    )  # fmt: skip
    assert "watchdog" in two.xml("db")
    assert run("apply", "plan.json", "--apply")[0] == 0
    assert "watchdog" in two.xml("db") and "<vcpupin vcpu='0' cpuset='0'/>" in two.xml("db")


def test_a_changed_password_is_an_edit_and_is_not_told(two: MockHost, run: Run, meanwhile: Callable[..., None]) -> None:
    """Only the place of what differs is printed."""
    meanwhile(lambda: two.define("db", devices=VNC.format("second")))
    code, out, err = run("apply", "plan.json", "--apply", "--json")
    assert code == 8
    assert "devices/graphics is another" in err
    assert "first" not in out + err and "second" not in out + err
    assert "passwd='second'" in two.xml("db")


def test_other_pins_are_told_with_both_values(two: MockHost, run: Run, meanwhile: Callable[..., None]) -> None:
    """What a plan decides is no secret."""
    pins = "<cputune><vcpupin vcpu='0' cpuset='5'/></cputune>"
    meanwhile(lambda: two.define("web", inside=pins), entry=1)
    _, _, err = run("apply", "plan.json", "--apply")
    assert "VM 'web' on host 'mock' refused" in err
    assert "vCPU 0: not set before, 5 now" in err
    assert "cpuset='5'" in two.xml("web")


def test_a_rename_names_both(two: MockHost, run: Run, meanwhile: Callable[..., None]) -> None:
    """The domain of the UUID has another name: it keeps it, and no second domain comes."""

    def rename() -> None:
        renamed = two.xml("web").replace("<name>web</name>", "<name>shop</name>")
        two.raw.lookupByName("web").undefine()
        two.raw.defineXML(renamed)

    meanwhile(rename, entry=1)
    code, _, err = run("apply", "plan.json", "--apply")
    assert code == 8
    assert "VM 'web' on host 'mock' refused" in err and "it was 'web' and is 'shop' now" in err
    assert two.raw.lookupByUUIDString(uuid_of(2)).name() == "shop"
    assert "vcpupin" not in two.xml("shop")
    assert run("apply", "plan.json", "--apply")[0] == 0, "the UUID is the VM"
    assert "vcpupin" in two.xml("shop")


def test_a_domain_that_vanishes_is_not_defined_anew(two: MockHost, run: Run, meanwhile: Callable[..., None]) -> None:
    """Somebody removed it, or moved it to another host."""
    meanwhile(lambda: two.raw.lookupByName("web").undefine(), entry=1)
    code, out, err = run("apply", "plan.json", "--apply", "--json")
    assert (code, outcomes(out)["web"]["status"]) == (8, "refused")
    assert "VM 'web' on host 'mock' refused: it went away while the plan was being applied" in err
    assert {domain.name() for domain in two.raw.listAllDomains()} == {"test", "db"}


def test_a_domain_that_becomes_transient_is_left(two: MockHost, run: Run, meanwhile: Callable[..., None]) -> None:
    """Defining it would give it back the definition that somebody removed."""
    meanwhile(lambda: two.raw.lookupByName("db").undefine())
    code, _, err = run("apply", "plan.json", "--apply")
    assert code == 8
    assert "VM 'db' on host 'mock' refused: its definition was removed while the plan was being applied" in err
    assert not two.raw.lookupByName("db").isPersistent()


def test_a_pin_set_meanwhile_is_left(two: MockHost, run: Run, meanwhile: Callable[..., None]) -> None:
    """The first vCPU is done, the second one somebody has put elsewhere: the rollback takes back ours alone."""
    others = (False, False, False, False, False, True, False, False)
    before = two.xml("db")
    meanwhile(lambda: two.raw.lookupByName("db").pinVcpu(1, others), call=2)
    code, out, err = run("apply", "plan.json", "--apply", "--json")
    db = outcomes(out)["db"]
    assert (code, db["status"], db["done"]) == (8, "refused", 2)
    assert "what `vcpupin 1 1 --live` sets was changed by something else" in err and "0-7 before, 5 now" in err
    assert two.pins("db") == [{0}, {5}]
    assert run("rollback", "plan.journal-1.jsonl", "--apply")[0] == 0
    assert two.pins("db") == [set(range(8)), {5}]
    assert two.xml("db") == before


def test_live_pins_are_looked_at_before_the_definition(two: MockHost, run: Run, meanwhile: Callable[..., None]) -> None:
    """The definition would not say what the running domain's new pins were made for."""
    others = (False, False, False, False, False, True, False, False)
    meanwhile(lambda: two.raw.lookupByName("db").pinVcpu(1, others))
    code, _, err = run("apply", "plan.json", "--apply")
    assert code == 8
    assert "the running domain was changed by something else" in err and "vCPU 1: not set before, 5 now" in err
    assert "vcpupin vcpu='0'" not in two.xml("db")


def test_a_domain_that_starts_meanwhile_is_left_for_another_run(
    two: MockHost, run: Run, meanwhile: Callable[..., None]
) -> None:
    """Its threads were not planned on; applied again they are pinned."""
    meanwhile(lambda: two.raw.lookupByName("web").create(), entry=1)
    code, _, err = run("apply", "plan.json", "--apply")
    assert code == 8
    assert "VM 'web' on host 'mock' refused: it started while the plan was being applied; apply again" in err
    assert "vcpupin" not in two.xml("web")
    assert run("apply", "plan.json", "--apply")[0] == 0
    assert two.pins("web") == [{2}, {3}]


@pytest.mark.parametrize("call", [0, 1])
def test_a_domain_that_stops_meanwhile_is_defined_and_no_failure(
    two: MockHost, run: Run, meanwhile: Callable[..., None], call: int
) -> None:
    """What was to be pinned is gone; its next start is as planned."""
    meanwhile(lambda: two.raw.lookupByName("db").destroy(), record="done" if call else "doing")
    code, out, err = run("apply", "plan.json", "--apply", "--json")
    assert code == 0, err
    assert (outcomes(out)["db"]["status"], outcomes(out)["db"]["done"]) == ("changed", 1)
    assert "<vcpupin vcpu='0' cpuset='0'/>" in two.xml("db")


def test_a_rollback_overwrites_no_edit_either(two: MockHost, run: Run, meanwhile: Callable[..., None]) -> None:
    """Looked at right before each call, like an apply; the next rollback says the same."""
    run("apply", "plan.json", "--apply")
    now = two.xml("web")
    meanwhile(lambda: two.raw.defineXML(now.replace("<devices>", "<devices>" + WATCHDOG)), record="undoing", entry=1)
    for _ in range(2):
        code, out, err = run("rollback", "plan.journal-1.jsonl", "--apply", "--json")
        assert (code, outcomes(out)["web"]["status"]) == (8, "refused")
        assert "its definition was changed since by something else" in err
        assert "watchdog" in two.xml("web") and "vcpupin" in two.xml("web")
