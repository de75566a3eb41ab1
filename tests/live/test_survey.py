"""Where each planned VM really is: on its host, on another one, or nowhere; doubt is never taken for its host."""

from __future__ import annotations

import pytest

from placer.errors import InputError
from placer.live.connect import HostError, check_inventory_uri
from placer.live.domain_state import DomainState
from placer.live.free_memory import FreeMemory
from placer.live.start_hazards import Versions
from placer.live.survey import Found, HostSurvey, Place, Survey, Whereabouts, host_faults
from placer.live.targets import parse_connections, targets_of
from placer.model.host import Host
from placer.model.plan import PlanVm
from tests.live.scene import UUID, domain_xml, fleet_of, host, placed, plan_of, spec

PINS = {0: frozenset({0}), 1: frozenset({1})}


def surveyed(hosts: dict[str, list[DomainState]], **said: object) -> Survey:
    """Return what a survey of these hosts found."""
    made = {
        name: HostSurvey(domains=tuple(domains), free=FreeMemory(pools={}), versions=Versions())
        for name, domains in hosts.items()
    }
    told: dict[str, object] = {"failures": {}, **said}
    return Survey(hosts=made, **told)  # type: ignore[arg-type]


def domain(*, runs: bool = False, name: str = "vm", uuid: str = UUID) -> DomainState:
    """Return a domain's state."""
    return DomainState(name=name, uuid=uuid, config=domain_xml(), live=domain_xml(number=1) if runs else None)


def find(survey: Survey, vm: PlanVm, *, current: str | None = "h") -> Found:
    """Look for the one VM of a plan."""
    fleet = fleet_of(spec(), vm, host(), host("g"), current=current)
    [found] = Whereabouts(fleet, survey).find_all([vm])
    return found


VM = placed(spec(), (0,), PINS)
ARRIVING = placed(spec(), (0,), PINS, from_host="g")
NAMED = placed(spec(), (0,), PINS, uuid=None, name="h/vm")


@pytest.mark.parametrize(
    ("hosts", "vm", "current", "place"),
    [
        ({"h": [domain()]}, VM, "h", Place.HERE),
        ({"h": [domain(runs=True)], "g": []}, VM, "h", Place.HERE),
        ({"h": [domain()], "g": [domain(runs=True)]}, VM, "h", Place.ELSEWHERE),
        ({"h": [domain(runs=True)], "g": [domain(runs=True)]}, VM, "h", Place.HERE),
        ({"h": [], "g": [domain()]}, VM, "g", Place.ELSEWHERE),
        ({"h": []}, VM, "g", Place.ELSEWHERE),
        ({"h": []}, VM, "h", Place.NOWHERE),
        ({"h": []}, VM, None, Place.NOT_YET),
        ({"h": [domain(uuid="2" + UUID[1:])]}, VM, "h", Place.ANOTHER),
        ({"g": []}, VM, "h", Place.UNKNOWN),
        ({"h": [domain()]}, ARRIVING, "g", Place.ELSEWHERE),
        ({"h": [domain()], "g": [domain()]}, ARRIVING, "g", Place.ELSEWHERE),
        ({"h": [domain()], "g": []}, ARRIVING, "g", Place.HERE),
        ({"h": [domain(runs=True)]}, ARRIVING, "g", Place.HERE),
        ({"h": [domain()]}, NAMED, "h", Place.HERE),
        ({"h": [domain(name="other")]}, NAMED, "h", Place.NOWHERE),
    ],
)
def test_where_a_vm_is(hosts: dict[str, list[DomainState]], vm: PlanVm, current: str | None, place: Place) -> None:
    """Running wins over defined; a definition that may be a leftover is not taken for the VM; the UUID decides."""
    found = find(surveyed(hosts), vm, current=current)
    assert found.place is place
    assert (found.state is not None) is (place is Place.HERE)
    assert place is Place.HERE or found.note


def test_a_silent_host_is_told_once() -> None:
    """Its VMs are not looked at; the host's own error says why."""
    survey = surveyed({"g": []}, failures={"h": HostError("no answer")}, not_asked=("f",))
    assert find(survey, VM).place is Place.SILENT
    assert [fault.message for fault in host_faults(survey)] == [
        "no answer",
        "host 'f' was not asked: its inventory entry has no uri",
    ]


def test_connections_are_host_and_uri() -> None:
    """A URI may hold the sign itself."""
    assert parse_connections(["a=qemu:///system", "b=qemu+tls://b/system?no_verify=1"]) == {
        "a": "qemu:///system",
        "b": "qemu+tls://b/system?no_verify=1",
    }


@pytest.mark.parametrize("word", ["qemu:///system", "a=", "=qemu:///system", "a", "qemu+ssh://a/system?x=1", "a=b"])
def test_other_words_are_refused(word: str) -> None:
    """With what they should look like."""
    with pytest.raises(InputError, match="is not HOST=URI; write it like"):
        parse_connections([word])


def test_all_wrong_connections_are_named_at_once() -> None:
    """A person mends them in one go."""
    with pytest.raises(InputError) as caught:
        parse_connections(["a=qemu:///system", "a=qemu:///system", "x"])
    assert len(caught.value.faults) == 2


def targets(*hosts: Host, connect: tuple[str, ...] = (), vm: PlanVm = VM) -> dict[str, str]:
    """Return the URIs that a run on a plan of one VM asks."""
    return targets_of(plan_of(vm), fleet_of(spec(), vm, *hosts), connect).uris


def test_the_inventorys_uris_are_asked_where_none_is_given() -> None:
    """The planned host and the one a VM comes from, no others; a host without a URI is told."""
    hosts = (host(uri="qemu://h/system"), host("g", uri="qemu://g/system"), host("f", uri="qemu://f/system"))
    assert targets(*hosts) == {"h": "qemu://h/system"}
    assert targets(*hosts, vm=ARRIVING) == {"g": "qemu://g/system", "h": "qemu://h/system"}
    found = targets_of(plan_of(ARRIVING), fleet_of(spec(), ARRIVING, hosts[0], host("g")), ())
    assert found.unknown == ("g",)


def test_given_connections_are_the_only_ones() -> None:
    """What is given by hand says which hosts the run is about; a bare URI does where the plan has one host."""
    hosts = (host(uri="qemu://h/system"), host("g", uri="qemu://g/system"))
    assert targets(*hosts, connect=("g=test:///default",)) == {"g": "test:///default"}
    assert targets(*hosts, connect=("test:///default",)) == {"h": "test:///default"}
    with pytest.raises(InputError, match=r"a bare URI does not say which; write g=test:///default"):
        targets(*hosts, connect=("test:///default",), vm=ARRIVING)
    with pytest.raises(InputError, match="the fleet has no host 'x'"):
        targets(*hosts, connect=("x=test:///default",))


def test_no_uri_at_all_is_an_error_with_the_cure() -> None:
    """There is nobody to ask."""
    with pytest.raises(InputError, match="no host of the plan has a uri in the inventory; give --connect HOST=URI"):
        targets(host())


def test_two_hosts_at_one_uri_are_refused() -> None:
    """What runs there would be found on both."""
    hosts = (host(uri="qemu://h/system"), host("g", uri="qemu://h/system"))
    with pytest.raises(InputError, match="hosts 'g' and 'h' have one uri, qemu://h/system"):
        targets(*hosts, vm=ARRIVING)


@pytest.mark.parametrize(
    "uri", ["qemu+ext:///system", "qemu+ssh://h/system?command=/tmp/x", "qemu+ssh://h/system?NETCAT=x&a=b"]
)
def test_an_inventory_cannot_make_libvirt_run_a_program(uri: str) -> None:
    """Given by hand it is a person's own doing; in a file that came from elsewhere it is refused."""
    with pytest.raises(InputError, match="names a program to run; give it by hand"):
        targets(host(uri=uri))
    assert targets(host(), connect=(f"h={uri}",)) == {"h": uri}


def test_ordinary_uris_pass() -> None:
    """Parameters that run nothing are taken."""
    check_inventory_uri("h", "qemu+ssh://root@h:22/system?keyfile=/etc/ssh/id&no_verify=1")
