"""What is done to a domain, and what is left for its next start."""

from __future__ import annotations

import pytest

from placer.errors import InputError
from placer.live.changes import change_of, memory_wanted
from placer.live.domain_state import DomainState
from placer.model.plan import PlanVm
from placer.model.vm import VmSpec
from tests.live.scene import ALL_CPUS, MIB, UUID, domain_xml, fleet_of, host, placed, running, shut_off, spec

PINS = {0: frozenset({4}), 1: frozenset({5})}
AS_PLANNED = """\
  <cputune><vcpupin vcpu='0' cpuset='4'/><vcpupin vcpu='1' cpuset='5'/><emulatorpin cpuset='4-5'/></cputune>
  <numatune><memory mode='strict' nodeset='1'/></numatune>
"""


def planned_xml(mode: str = "strict", node: str = "1") -> bytes:
    """Return the flat domain as the plan of these tests wants it, its memory bound in some way."""
    memory = f"mode='{mode}' nodeset='{node}'"
    xml = domain_xml(inside=AS_PLANNED.replace("mode='strict' nodeset='1'", memory))
    return xml.replace(b"<vcpu placement='static'>", b"<vcpu placement='static' cpuset='4-5'>")


def flat() -> tuple[VmSpec, PlanVm]:
    """Return a flat VM of two vCPUs, planned on node 1."""
    need = spec()
    return need, placed(need, (1,), PINS, emulator=frozenset({4, 5}))


def calls(state: DomainState, need: VmSpec, vm: PlanVm) -> list[str]:
    """Return the calls for a domain as text."""
    return [call.text for call in change_of(vm, fleet_of(need, vm), state, state.xml).calls]


def test_a_domain_that_is_shut_off_is_only_defined() -> None:
    """Pins and memory policy go into its XML; nothing of it runs."""
    need, vm = flat()
    change = change_of(vm, fleet_of(need, vm), shut_off(domain_xml()), domain_xml())
    assert [call.text for call in change.calls] == ["define"]
    assert change.calls[0].before == domain_xml().decode()
    assert change.calls[0].after == change.wanted_xml.decode()
    assert b"<vcpupin vcpu='1' cpuset='5'/>" in change.wanted_xml
    assert change.restart is None


def test_a_domain_that_runs_is_pinned_at_once() -> None:
    """Definition first, then each thread that is elsewhere; what is before is kept for the way back."""
    need, vm = flat()
    state = running(domain_xml(), planned_xml())
    assert calls(state, need, vm) == [
        "define",
        "vcpupin 0 4 --live",
        "vcpupin 1 5 --live",
        "emulatorpin 4-5 --live",
    ]
    last = change_of(vm, fleet_of(need, vm), state, state.xml).calls[-1]
    assert (last.before, last.reversed().after, last.reversed().text) == ("0-7", "0-7", "emulatorpin 0-7 --live")


def test_what_is_as_planned_needs_no_call() -> None:
    """Applied once, the second time there is nothing to do."""
    need, vm = flat()
    pinned = DomainState(
        name="vm", uuid=UUID, config=planned_xml(), live=planned_xml(), vcpus=PINS, emulator=frozenset({4, 5})
    )
    assert calls(pinned, need, vm) == []
    assert change_of(vm, fleet_of(need, vm), pinned, pinned.xml).restart is None


def test_vcpus_that_are_offline_are_pinned_for_later() -> None:
    """A vCPU without a thread has a pin too, and takes it when it comes online."""
    need, vm = flat()
    state = DomainState(
        name="vm", uuid=UUID, config=planned_xml(), live=planned_xml(),
        vcpus={0: frozenset({4})}, offline_vcpus={1: ALL_CPUS}, emulator=frozenset({4, 5}),
    )  # fmt: skip
    assert calls(state, need, vm) == ["vcpupin 1 5 --live"]


def test_iothreads_and_emulator_without_a_plan_get_the_vcpus_cpus() -> None:
    """That is where libvirt puts them at the next start; only IOThreads that are there are pinned."""
    need = spec(iothreads=2)
    vm = placed(need, (1,), PINS, iothreads={1: frozenset({0})})
    config = domain_xml(inside="<iothreads>2</iothreads>")
    state = running(config, config, iothreads=2)
    assert calls(state, need, vm)[3:] == [
        "emulatorpin 4-5 --live",
        "iothreadpin 1 0 --live",
        "iothreadpin 2 4-5 --live",
    ]


@pytest.mark.parametrize(
    ("live", "said"),
    [
        (domain_xml(), "memory is bound to no node"),
        (domain_xml(inside="<numatune><memory mode='strict' placement='auto'/></numatune>"), "numad put it"),
        (planned_xml(node="0"), "memory is strict on node 0, and libvirt changes the node set of a running domain in"),
        (planned_xml(mode="interleave"), "memory is interleave on node 1"),
        (planned_xml(mode="preferred"), "memory is preferred on node 1"),
        (planned_xml(node="0-1"), "memory is strict on node 0-1"),
    ],
)
def test_memory_that_cannot_move_wants_a_restart_and_says_why(live: bytes, said: str) -> None:
    """Strict memory stays where it is until the domain starts anew."""
    need, vm = flat()
    change = change_of(vm, fleet_of(need, vm), running(domain_xml(), live), domain_xml())
    assert change.restart is not None
    assert said in change.restart
    assert "restart it" in change.restart
    assert not any(call.text.startswith("numatune") for call in change.calls)


def test_the_way_out_in_the_host_is_named_where_there_is_one() -> None:
    """One node to one node, and nothing of the VM to stay there: migratepages does it; names are quoted."""
    need, vm = flat()
    state = running(domain_xml(), planned_xml(node="0"))
    restart = change_of(vm, fleet_of(need, vm), state, domain_xml()).restart
    assert str(restart).endswith("migratepages $(cat /run/libvirt/qemu/vm.pid) 0 1")
    odd = DomainState(name="a b;c", uuid=state.uuid, config=state.config, live=state.live)
    assert "$(cat '/run/libvirt/qemu/a b;c.pid')" in str(change_of(vm, fleet_of(need, vm), odd, domain_xml()).restart)
    two = spec(cells=2)
    swapped = placed(two, (1, 0), {vcpu: frozenset({vcpu}) for vcpu in range(4)})
    cells = (("0-1", 256 * MIB), ("2-3", 256 * MIB))
    nodes = (
        "<numatune><memory mode='strict' nodeset='0-1'/><memnode cellid='0' mode='strict' nodeset='0'/>"
        "<memnode cellid='1' mode='strict' nodeset='1'/></numatune>"
    )
    xml = domain_xml(vcpus=4, cells=cells, inside=nodes)
    restart = change_of(swapped, fleet_of(two, swapped), running(xml, xml, vcpus=4), xml).restart
    assert "memory of cell 0" in str(restart) and "memory of cell 1" in str(restart)
    assert "migratepages" not in str(restart)


def test_restrictive_memory_moves_while_the_domain_runs() -> None:
    """It is the one mode in which libvirt changes the node set of a running domain."""
    need, vm = flat()
    change = change_of(vm, fleet_of(need, vm), running(planned_xml(), planned_xml("restrictive", "0")), planned_xml())
    assert change.calls[-1].text == "numatune --nodeset 1 --live"
    assert change.calls[-1].before == "0"
    assert change.restart is None


def test_restrictive_memory_on_its_node_is_as_good_as_strict() -> None:
    """Both keep it there: nothing to move and nothing to restart."""
    need, vm = flat()
    change = change_of(vm, fleet_of(need, vm), running(planned_xml(), planned_xml("restrictive")), planned_xml())
    assert not any(call.text.startswith("numatune") for call in change.calls)
    assert change.restart is None


def test_another_domain_than_planned_is_refused() -> None:
    """A VM that has other vCPUs by now is not the one that was planned."""
    need, vm = flat()
    with pytest.raises(InputError, match="vCPU"):
        change_of(vm, fleet_of(need, vm), shut_off(domain_xml(vcpus=3)), domain_xml(vcpus=3))


def test_a_domain_that_is_shut_off_wants_all_of_its_memory() -> None:
    """RAM and overhead on its nodes, from the pool its pages are of."""
    need, vm = flat()
    assert memory_wanted(vm, need, host().topology, shut_off(domain_xml())) == {(1, None): 512 * MIB}


def test_a_domain_that_runs_where_it_should_wants_nothing() -> None:
    """Its memory is there already."""
    need, vm = flat()
    assert memory_wanted(vm, need, host().topology, running(domain_xml(), planned_xml())) == {}


def test_a_domain_that_changes_node_wants_only_what_is_new_there() -> None:
    """Two cells that swap nodes free for each other what they take."""
    two = spec(cells=2)
    vm = placed(two, (1, 0), {vcpu: frozenset({vcpu}) for vcpu in range(4)})
    cells = (("0-1", 256 * MIB), ("2-3", 256 * MIB))
    nodes = (
        "<numatune><memory mode='strict' nodeset='0-1'/><memnode cellid='0' mode='strict' nodeset='0'/>"
        "<memnode cellid='1' mode='strict' nodeset='1'/></numatune>"
    )
    xml = domain_xml(vcpus=4, cells=cells, inside=nodes)
    assert memory_wanted(vm, two, host().topology, running(xml, xml, vcpus=4)) == {}
    unbound = domain_xml(vcpus=4, cells=cells)
    assert memory_wanted(vm, two, host().topology, running(unbound, unbound, vcpus=4)) == {
        (0, None): 256 * MIB,
        (1, None): 256 * MIB,
    }


def test_a_domain_that_floats_leaves_what_it_has_on_the_node() -> None:
    """Bound where its pages lie it wants only what it has not touched yet; without that figure, all."""
    need, vm = flat()
    floats = running(domain_xml(), domain_xml())
    for pages_kib, wanted in (({}, 512), ({0: 40 * MIB, 1: 500 * MIB}, 12), ({1: 600 * MIB}, 0)):
        found = memory_wanted(vm, need, host().topology, floats, pages_kib)
        assert found == ({(1, None): wanted * MIB} if wanted else {})
