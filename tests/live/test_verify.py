"""Drift is named where it is, once, and silence is not taken for agreement."""

from __future__ import annotations

from dataclasses import replace

import pytest

from placer.live.connect import HostError
from placer.live.domain_state import DomainState
from placer.live.free_memory import FreeMemory
from placer.live.host_files import HostFiles, MemoryArea, Process, Thread
from placer.live.preconditions import Refusal
from placer.live.start_hazards import Versions
from placer.live.survey import HostSurvey, Survey
from placer.live.verify import Verification, Where, verify
from tests.live.scene import ALL_CPUS, MIB, UUID, domain_xml, fleet_of, placed, plan_of, spec

PINS = {0: frozenset({0}), 1: frozenset({1})}
EMULATOR = frozenset({0, 1})
NEED = spec()
VM = placed(NEED, (0,), PINS, emulator=EMULATOR)
AS_PLANNED = domain_xml(
    inside="<cputune><vcpupin vcpu='0' cpuset='0'/><vcpupin vcpu='1' cpuset='1'/><emulatorpin cpuset='0-1'/></cputune>"
    "<numatune><memory mode='strict' nodeset='0'/></numatune>"
).replace(b"<vcpu placement='static'>", b"<vcpu placement='static' cpuset='0-1'>")
STATE = DomainState(name="vm", uuid=UUID, config=AS_PLANNED, live=AS_PLANNED, vcpus=PINS, emulator=EMULATOR)


def qemu(
    pins: dict[int, frozenset[int]], pages: dict[int, int], main: frozenset[int] = EMULATOR, size_kib: int = 512 * MIB
) -> Process:
    """Return QEMU as the kernel shows it."""
    threads = [Thread(id=7, name="qemu", cpus=main)]
    threads += [Thread(id=8 + vcpu, name=f"CPU {vcpu}/KVM", cpus=cpus) for vcpu, cpus in pins.items()]
    return Process(
        pid=7, threads=tuple(threads), areas=(MemoryArea(size_kib=size_kib, policy="bind:0", nodes_kib=pages),)
    )


def check(
    state: DomainState | None = STATE, processes: tuple[Process, ...] | None = None, **said: object
) -> Verification:
    """Verify the plan of one VM against one host."""
    files = None if processes is None else HostFiles(processes={UUID: processes})
    survey = HostSurvey(
        domains=() if state is None else (state,),
        free=FreeMemory(pools={}),
        versions=Versions(),
        files=files,
        **said,  # type: ignore[arg-type]
    )
    return verify(plan_of(VM), fleet_of(NEED, VM), Survey(hosts={"h": survey}, failures={}))


def drifts(found: Verification) -> list[str]:
    """Return the drifts of the one VM."""
    return [str(drift) for drift in found.vms[0].drifts]


def test_all_as_planned_is_no_drift_and_is_measured() -> None:
    """Definition, running domain, threads and pages agree: measured is what was planned."""
    found = check(processes=(qemu(PINS, {0: 512 * MIB}),))
    assert drifts(found) == []
    assert (found.vms[0].planned_share, found.vms[0].measured_share) == (0.0, 0.0)
    assert found.vms[0].cells_kib == {0: {0: 512 * MIB}}
    assert found.vms[0].unmeasured is None


def test_each_place_of_a_drift_is_told() -> None:
    """A changed definition, a pin set by hand, a node set, a thread moved by taskset and pages elsewhere."""
    config = AS_PLANNED.replace(b"vcpu='1' cpuset='1'", b"vcpu='1' cpuset='3'")
    live = AS_PLANNED.replace(b"nodeset='0'", b"nodeset='1'")
    state = replace(STATE, config=config, live=live, vcpus={0: frozenset({2}), 1: frozenset({1})})
    found = check(
        state,
        (qemu({0: frozenset({2}), 1: frozenset({6})}, {0: 500 * MIB, 1: 12 * MIB}, main=ALL_CPUS, size_kib=512 * MIB),),
    )
    assert drifts(found) == [
        "definition: vCPU 1: 3, planned 1",
        "running: vCPU 0: 2, planned 0",
        "running: memory: strict on node 1, planned strict on node 0",
        "kernel: vCPU 1: 6, planned 1",
        "kernel: main thread: 0-7, planned 0-1",
        "kernel: memory: 500MiB on node 0, 12MiB on node 1, planned on node 0",
    ]
    assert found.drift_faults()[0].message == "VM 'vm' on host 'h': definition: vCPU 1: 3, planned 1"


def test_restrictive_is_as_good_as_strict_while_it_runs() -> None:
    """The kernel keeps both on their nodes, and a definition keeps the mode that it has."""
    loose = AS_PLANNED.replace(b"mode='strict'", b"mode='restrictive'")
    assert drifts(check(replace(STATE, live=loose))) == []
    assert drifts(check(replace(STATE, config=loose))) == []


def test_the_measured_share_follows_the_kernel() -> None:
    """Half of the pages and half of the threads elsewhere, whatever libvirt believes."""
    found = check(processes=(qemu({0: frozenset({0}), 1: frozenset({4})}, {0: 300, 1: 100}),))
    assert found.vms[0].measured_share == pytest.approx((0.25 + 0.75) / 2)
    assert found.vms[0].planned_share == 0


@pytest.mark.parametrize(
    ("processes", "why"),
    [
        (None, "the host's files are not read: give --ssh"),
        ((), "0 processes of the host say that they are its QEMU"),
        ((qemu(PINS, {0: 1}), qemu(PINS, {0: 1})), "2 processes of the host say that they are its QEMU"),
        ((Process(pid=7),), "not all of its memory and threads were found"),
    ],
)
def test_what_cannot_be_measured_is_unknown_with_the_reason(processes: tuple[Process, ...] | None, why: str) -> None:
    """Never 0."""
    [vm] = check(processes=processes).vms
    assert vm.measured_share is None
    assert vm.unmeasured is not None
    assert why in vm.unmeasured


def test_a_domain_that_is_shut_off_has_its_definition_checked() -> None:
    """Nothing runs that could be measured."""
    [vm] = check(replace(STATE, live=None, vcpus={}, emulator=None)).vms
    assert (vm.state, vm.drifts, vm.unmeasured) == ("shut off", (), "it is shut off")


def test_a_vm_that_is_gone_is_a_drift() -> None:
    """So are one of other size, and a host that is not the planned one."""
    [gone] = check(None).vms
    assert [drift.where for drift in gone.drifts] == [Where.PLACE]
    [other] = check(replace(STATE, config=AS_PLANNED.replace(b">2</vcpu>", b">3</vcpu>"))).vms
    assert other.drifts[0].where is Where.DEFINITION
    assert "3 vCPUs" in other.drifts[0].what
    [moved] = check(refusal=Refusal(reason="host 'h' has changed since the plan: x")).vms
    assert [str(drift) for drift in moved.drifts] == ["host: host 'h' has changed since the plan: x"]


def test_a_host_that_was_not_seen_is_no_agreement() -> None:
    """Its VMs are not looked at, and the run is not complete."""
    survey = Survey(hosts={}, failures={"h": HostError("no answer")})
    found = verify(plan_of(VM), fleet_of(NEED, VM), survey)
    assert [vm.looked_at for vm in found.vms] == [False]
    assert [fault.message for fault in found.failures] == ["no answer"]


def test_files_that_were_asked_for_and_not_read_are_a_failure() -> None:
    """What libvirt says is still compared."""
    found = check(files_error=HostError("ssh: no route"))
    assert drifts(found) == []
    assert [fault.message for fault in found.failures] == ["ssh: no route"]


def test_strangers_on_the_host_are_named() -> None:
    """A running domain that the plan does not know may sit on what the plan gave away."""
    other = DomainState(name="guest", uuid="2" + UUID[1:], config=domain_xml(), live=domain_xml(number=3))
    idle = DomainState(name="idle", uuid="3" + UUID[1:], config=domain_xml())
    survey = HostSurvey(domains=(STATE, other, idle), free=FreeMemory(pools={}), versions=Versions())
    found = verify(plan_of(VM), fleet_of(NEED, VM), Survey(hosts={"h": survey}, failures={}))
    assert found.strangers == ("domain 'guest' runs on host 'h' and is not in the plan",)
