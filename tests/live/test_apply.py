"""What applying would do to each VM, from a survey alone: no daemon is needed to judge."""

from __future__ import annotations

import pytest

from placer.live.apply import Applied, Limits, Outcome, Status, propose
from placer.live.domain_state import DomainState
from placer.live.free_memory import Free, FreeMemory
from placer.live.preconditions import Refusal
from placer.live.start_hazards import Versions
from placer.live.survey import HostSurvey, Survey
from placer.model.fleet import Fleet
from placer.model.plan import PlanVm
from placer.model.vm import Current, Vm
from tests.live.scene import MIB, UUID, domain_xml, host, placed, plan_of, spec

NEED = spec()
PINS = {0: frozenset({0}), 1: frozenset({1})}


def uuid(number: int) -> str:
    """Return the UUID of the n-th VM."""
    return f"{number}{UUID[1:]}"


def planned(number: int, **said: object) -> PlanVm:
    """Return the n-th VM, planned on host h."""
    told: dict[str, object] = {"uuid": uuid(number), **said}
    return placed(NEED, (0,), PINS, name=f"vm{number}", **told)  # type: ignore[arg-type]


def domain(number: int) -> DomainState:
    """Return the n-th domain, shut off."""
    xml = domain_xml(name=f"vm{number}", uuid=uuid(number))
    return DomainState(name=f"vm{number}", uuid=uuid(number), config=xml)


def judge(
    vms: list[PlanVm], here: list[DomainState], *, there: tuple[DomainState, ...] = (), new: bool = False,
    limits: Limits | None = None, **said: object,
) -> Applied:  # fmt: skip
    """Propose a plan for hosts h and g."""
    known = tuple(
        Vm(name=vm.name, spec=NEED, uuid=vm.uuid, current=None if new else Current(host=vm.from_host or "h"))
        for vm in vms
    )
    told: dict[str, object] = {"free": FreeMemory(pools={}), "versions": Versions(), **said}
    hosts = {
        "h": HostSurvey(domains=tuple(here), **told),  # type: ignore[arg-type]
        "g": HostSurvey(domains=there, free=FreeMemory(pools={}), versions=Versions()),
    }
    fleet = Fleet(hosts=(host(), host("g")), vms=known)
    return propose(plan_of(*vms), fleet, Survey(hosts=hosts, failures={}), limits or Limits())


def only(applied: Applied) -> Outcome:
    """Return the one outcome."""
    [outcome] = applied.outcomes
    return outcome


def test_a_vm_planned_elsewhere_needs_migration() -> None:
    """It is on g, planned on h: told with the way, and no failure."""
    applied = judge([planned(1, from_host="g")], [], there=(domain(1),))
    assert only(applied).status is Status.MIGRATION
    assert only(applied).reason == "it is defined on host 'g', planned on 'h'"
    assert "placer export --to virsh" in str(only(applied).cure)
    assert (only(applied).calls, applied.faults()) == ((), [])


def test_a_new_vm_is_not_defined_by_apply() -> None:
    """Export makes its XML; a VM that was there and is gone is refused."""
    applied = judge([planned(1)], [], new=True)
    assert (only(applied).status, applied.faults()) == (Status.NOT_DEFINED, [])
    gone = judge([planned(1)], [])
    assert only(gone).status is Status.REFUSED
    assert [fault.message for fault in gone.faults()] == ["VM 'vm1' on host 'h' refused: no host asked has it any more"]


def test_a_host_that_changed_refuses_all_its_vms() -> None:
    """The reason is the host's."""
    applied = judge([planned(1)], [domain(1)], refusal=Refusal(reason="host 'h' has changed since the plan: x"))
    assert (only(applied).status, only(applied).reason) == (Status.REFUSED, "host 'h' has changed since the plan: x")


def test_domains_share_what_is_free() -> None:
    """Two fit, the third does not; what is refused takes nothing from those behind it."""
    free = FreeMemory(pools={(0, None): Free(sure_kib=1100 * MIB, most_kib=1100 * MIB)})
    applied = judge([planned(number) for number in (1, 2, 3)], [domain(number) for number in (1, 2, 3)], free=free)
    assert [outcome.status for outcome in applied.outcomes] == [Status.PENDING, Status.PENDING, Status.REFUSED]
    assert "after 1GiB for domains before it" in str(applied.outcomes[2].reason)
    assert applied.counts == {"would change": 2, "refused": 1}


@pytest.mark.parametrize("limit", [0, 1, 2, 3])
def test_a_limit_counts_only_what_is_to_be_changed(limit: int) -> None:
    """The first of the plan are taken; a refused one is not counted."""
    vms = [planned(number) for number in (1, 2, 3)]
    applied = judge(vms, [domain(1), domain(3)], limits=Limits(domains=limit))
    expected = [
        Status.PENDING if limit > 0 else Status.LEFT,
        Status.REFUSED,
        Status.PENDING if limit > 1 else Status.LEFT,
    ]
    assert [outcome.status for outcome in applied.outcomes] == expected
