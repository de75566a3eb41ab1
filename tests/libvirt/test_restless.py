"""Domains that start, stop, vanish or fail while their host is read: taken as what they are, and they fail alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from placer.errors import MissingToolError, PlacerError
from placer.live.connect import HostError, Link, UnreachableError
from placer.live.discover import no_host_answers
from placer.live.domain_state import read_state
from tests.libvirt.mock_host import URI, MockHost, uuid_of

pytestmark = pytest.mark.libvirt

Run = Callable[..., tuple[int, str, str]]
STARTING = "Requested operation is not valid: cpu affinity is not supported"


@pytest.fixture
def two(mock: MockHost) -> MockHost:
    """Return a host with one domain that runs and one that does not, and a plan that pins both."""
    mock.define("db", runs=True)
    mock.define("web")
    mock.inventory()
    mock.plan({"db": (0, 1), "web": (2, 3)})
    return mock


@pytest.fixture
def before(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that lets something happen before a method of a domain is called for the n-th time."""

    import libvirt

    def plan(method: str, name: str, happens: Callable[[], object], *, times: tuple[int, ...] = (1,)) -> None:
        real = getattr(libvirt.virDomain, method)
        count = 0

        def wrapped(domain: Any, *arguments: Any) -> Any:
            nonlocal count
            if domain.name() == name:
                count += 1
                if count in times:
                    happens()
            return real(domain, *arguments)

        monkeypatch.setattr(libvirt.virDomain, method, wrapped)

    return plan


def failing(message: str) -> Callable[[], object]:
    """Return a function that fails as libvirt does."""
    import libvirt

    def fail() -> None:
        error = libvirt.libvirtError("")
        error.err = (libvirt.VIR_ERR_OPERATION_INVALID, 10, message, 2, "", "", "", 0, 0)
        error.args = (message,)
        raise error

    return fail


def link(mock: MockHost) -> Link:
    """Return the link that a run would have."""
    return Link(host="mock", uri=URI, raw=mock.raw, writable=False)


@pytest.mark.parametrize("method", ["XMLDesc", "vcpus", "vcpuPinInfo", "emulatorPinInfo"])
def test_one_that_stops_is_read_again(two: MockHost, before: Callable[..., None], method: str) -> None:
    """Between any two questions: it is shut off, and nothing of the running one is left in what is told."""
    domain = two.raw.lookupByName("db")
    before(method, "db", domain.destroy)
    state = read_state(link(two), domain)
    assert state is not None and (state.running, state.trouble, state.vcpus, state.emulator) == (False, None, {}, None)
    assert state.config is not None


def test_one_that_starts_is_read_as_either(two: MockHost, before: Callable[..., None]) -> None:
    """It began after it was listed: its threads are those of the domain that runs."""
    domain = two.raw.lookupByName("web")
    before("XMLDesc", "web", two.raw.lookupByName("web").create)
    state = read_state(link(two), domain)
    assert state is not None and state.running and state.trouble is None
    assert state.vcpus.keys() == {0, 1}


def test_one_that_restarts_is_not_a_mixture(two: MockHost, before: Callable[..., None]) -> None:
    """Another run of it may have other pins: XML and threads are of one."""
    domain = two.raw.lookupByName("db")

    def restart() -> None:
        domain.destroy()
        pins = "<cputune><vcpupin vcpu='0' cpuset='6'/></cputune>"
        two.define("db", inside=pins, runs=True)

    before("vcpus", "db", restart)
    state = read_state(link(two), domain)
    assert state is not None and state.trouble is None
    assert state.vcpus[0] == {6} and b"cpuset='6'" in (state.live or b"")


def test_one_that_never_rests_is_named(two: MockHost, before: Callable[..., None]) -> None:
    """After a few readings it is given up, alone."""
    domain = two.raw.lookupByName("db")

    def restart() -> None:
        two.raw.lookupByName("db").destroy()
        two.raw.lookupByName("db").create()

    before("vcpus", "db", restart, times=tuple(range(1, 99)))
    state = read_state(link(two), domain)
    assert state is not None and state.trouble == "it stops and starts again while it is read"


def test_one_that_vanishes_is_left_out(two: MockHost, before: Callable[..., None]) -> None:
    """It is no domain of the host any more."""
    domain = two.raw.lookupByName("web")
    before("hasManagedSaveImage", "web", domain.undefine)
    assert read_state(link(two), domain) is None


def test_threads_that_are_there_at_the_second_reading(two: MockHost, before: Callable[..., None]) -> None:
    """A domain that is just starting has none at first."""
    before("vcpus", "db", failing(STARTING))
    state = read_state(link(two), two.raw.lookupByName("db"))
    assert state is not None and state.trouble is None and state.vcpus.keys() == {0, 1}


def test_only_a_domain_that_stays_unreadable_fails(two: MockHost, run: Run, before: Callable[..., None]) -> None:
    """By name, with exit code 8: the others of its host are seen and changed."""
    before("vcpus", "db", failing(STARTING), times=tuple(range(1, 99)))
    code, out, err = run("apply", "plan.json", "--apply", "--json")
    assert code == 8
    assert f"VM 'db' on host 'mock' refused: libvirt does not tell all of it: {STARTING}; it may be starting" in err
    assert {vm["name"]: vm["status"] for vm in json.loads(out)["result"]["vms"]} == {"db": "refused", "web": "changed"}
    code, out, err = run("verify", "plan.json", "--json")
    assert code == 8
    assert f"VM 'db' on host 'mock': libvirt does not tell all of it: {STARTING}; verify again" in err
    assert "web" not in err


def test_one_that_becomes_unreadable_while_it_is_applied_fails_alone(
    two: MockHost, run: Run, before: Callable[..., None]
) -> None:
    """The survey still read it; a rollback of it waits likewise."""
    before("vcpus", "db", failing(STARTING), times=(2, 3, 4, 5))
    code, _, err = run("apply", "plan.json", "--apply")
    assert code == 8 and "VM 'db' on host 'mock' refused: libvirt does not tell all of it" in err
    assert "vcpupin" in two.xml("web") and "vcpupin" not in two.xml("db")


def test_an_import_takes_what_it_can(two: MockHost, run: Run, before: Callable[..., None]) -> None:
    """One without threads is taken as its definition says, one without XML is left out; both are named, exit code 0."""
    before("vcpus", "db", failing(STARTING), times=tuple(range(1, 99)))
    before("isPersistent", "web", failing("internal error: no monitor"), times=tuple(range(1, 99)))
    code, _, err = run("import", "libvirt", "--connect", f"mock={URI}", "-o", "again.yaml")
    assert code == 0, err
    text = (two.folder / "again.yaml").read_text()
    assert uuid_of(1) in text and uuid_of(2) not in text
    assert "VM db: libvirt does not tell all of it, and it is taken as its definition says" in err
    assert "VM web: libvirt does not tell all of it, and it is left out: internal error: no monitor" in err


def test_exit_code_7_is_for_hosts_that_cannot_be_reached() -> None:
    """One that answered and could not be read is no missing tool."""
    silent, broken = UnreachableError("host 'a': no answer"), HostError("host 'b': its capabilities are broken")
    found: list[PlacerError] = [no_host_answers({"a": silent}), no_host_answers({"a": silent, "b": broken})]
    assert [type(error) for error in found] == [MissingToolError, HostError]
    assert [error.exit_code for error in found] == [7, 8]
    assert [len(error.faults) for error in found] == [1, 2]
