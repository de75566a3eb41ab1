"""The host must be the one planned for, and the domain placer's to change."""

from __future__ import annotations

from dataclasses import replace

import pytest

from placer.live.preconditions import domain_refusal, host_refusal
from placer.live.start_hazards import Versions, start_refusal
from placer.model.host import Node, Topology
from tests.live.scene import GIB, domain_xml, host, running, shut_off, topology


def with_node(number: int, **said: object) -> Topology:
    """Return the topology with something else said of one node."""
    base = topology(pages={2048: 10})
    nodes = [replace(node, **said) if node.id == number else node for node in base.nodes]  # type: ignore[arg-type]
    cpus = frozenset().union(*(node.cpus for node in nodes))
    cores = tuple(core & cpus for core in base.cores if core & cpus)
    return replace(base, nodes=tuple(nodes), cores=cores)


PLANNED = replace(host(), topology=topology(pages={2048: 10}), uuid="aaaaaaaa-0000-0000-0000-000000000000")


@pytest.mark.parametrize(
    ("live", "said"),
    [
        (with_node(1, cpus=frozenset({4, 5, 6})), "node 1 has CPUs 4-6, planned 4-7"),
        (with_node(0, memory_kib=3 * GIB), "node 0 has 3GiB of memory, planned 4GiB"),
        (with_node(1, pages={2048: 9}), "node 1 has 9 pages of 2MiB, planned 10"),
        (with_node(1, pages={}), "node 1 has 0 pages of 2MiB, planned 10"),
        (topology(pages={2048: 10}, memory_only=True), "NUMA nodes 0-2, planned 0-1"),
        (
            replace(topology(pages={2048: 10}), cores=tuple(frozenset({cpu}) for cpu in range(8))),
            "CPUs 0 are one core, the plan knows them otherwise",
        ),
    ],
)
def test_a_host_that_changed_is_refused(live: Topology, said: str) -> None:
    """Each way of having become another machine is named."""
    refusal = host_refusal(PLANNED, live, None)
    assert refusal is not None
    assert said in refusal.reason
    assert refusal.reason.startswith("host 'h' has changed since the plan")
    assert refusal.cure == "import it again and solve again"


@pytest.mark.parametrize(
    "live",
    [
        topology(pages={2048: 10}),
        with_node(0, memory_kib=5 * GIB),
        with_node(0, memory_kib=4 * GIB * 99 // 100),
        with_node(1, pages={2048: 20, 1048576: 1}),
        replace(topology(pages={2048: 10}), distances=((10.0, 40.0), (40.0, 10.0))),
    ],
)
def test_what_no_plan_minds_is_no_change(live: Topology) -> None:
    """More memory, more pages, a kernel that keeps a little more, other distances: the plan still holds."""
    assert host_refusal(PLANNED, live, "AAAAAAAA-0000-0000-0000-000000000000".lower()) is None


def test_another_machine_behind_the_uri_is_refused() -> None:
    """The UUID tells machines of one kind apart."""
    refusal = host_refusal(PLANNED, PLANNED.topology, "bbbbbbbb-0000-0000-0000-000000000000")
    assert refusal is not None
    assert "another machine" in refusal.reason


def test_a_node_is_compared_by_its_number() -> None:
    """A topology of the same size with other ids is another one."""
    live = replace(
        topology(pages={2048: 10}), nodes=tuple(Node(id=node.id + 1, cpus=node.cpus) for node in topology().nodes)
    )
    refusal = host_refusal(PLANNED, live, None)
    assert refusal is not None
    assert "NUMA nodes 1-2" in refusal.reason


def test_a_transient_domain_is_refused() -> None:
    """It has no configuration to change."""
    refusal = domain_refusal(running(None, domain_xml(number=1)), force_managed=False)
    assert refusal is not None
    assert "transient" in refusal.reason
    assert "virsh define" in str(refusal.cure)


def test_a_managed_save_image_is_refused() -> None:
    """It would bring the old configuration back."""
    refusal = domain_refusal(shut_off(domain_xml(), managed_save=True), force_managed=True)
    assert refusal is not None
    assert "managedsave-remove" in str(refusal.cure)


@pytest.mark.parametrize(
    ("namespace", "name"),
    [
        ("http://openstack.org/xmlns/libvirt/nova/1.1", "OpenStack Nova"),
        ("http://ovirt.org/vm/tune/1.0", "oVirt"),
        ("http://kubevirt.io", "KubeVirt"),
    ],
)
def test_managed_domains_are_refused_unless_forced(namespace: str, name: str) -> None:
    """The metadata names the manager; --force-managed lets the change through."""
    xml = domain_xml(inside=f"<metadata><m:x xmlns:m='{namespace}'/></metadata>")
    refusal = domain_refusal(shut_off(xml), force_managed=False)
    assert refusal is not None
    assert refusal.reason.startswith(name)
    assert "--force-managed" in str(refusal.cure)
    assert domain_refusal(shut_off(xml), force_managed=True) is None


def test_an_ordinary_domain_may_be_changed() -> None:
    """Nothing is in the way."""
    assert domain_refusal(shut_off(domain_xml()), force_managed=False) is None


TIED = Versions(libvirt=9_000_000, qemu=7_002_022)
MENDED = Versions(libvirt=9_003_000, qemu=7_002_022)
OLDER = Versions(libvirt=8_000_000, qemu=6_002_000)
IMMEDIATE = "<memoryBacking><allocation mode='immediate'/></memoryBacking>"
HUGE = "<memoryBacking><hugepages/></memoryBacking>"


def tuned(emulator: str | None, node: str, backing: str, mode: str = "strict") -> bytes:
    """Return a domain with its emulator threads on some CPUs and its memory on a node."""
    pin = "" if emulator is None else f"<cputune><emulatorpin cpuset='{emulator}'/></cputune>"
    return domain_xml(inside=f"{pin}<numatune><memory mode='{mode}' nodeset='{node}'/></numatune>", backing=backing)


@pytest.mark.parametrize(
    ("xml", "versions", "refused"),
    [
        (tuned("0", "1", IMMEDIATE), TIED, True),
        (tuned("0", "1", HUGE), TIED, True),
        (tuned("0", "1", IMMEDIATE, "restrictive"), TIED, False),
        (tuned("0", "1", ""), TIED, False),
        (tuned("0,4", "1", IMMEDIATE), TIED, False),
        (tuned("0", "0", IMMEDIATE), TIED, False),
        (tuned("0", "1", IMMEDIATE), MENDED, False),
        (tuned("0", "1", IMMEDIATE), OLDER, False),
        (tuned("0", "1", IMMEDIATE), Versions(), False),
        (tuned(None, "2", IMMEDIATE), MENDED, True),
        (tuned(None, "2", IMMEDIATE), OLDER, False),
        (tuned(None, "1", IMMEDIATE), TIED, False),
    ],
)
def test_definitions_that_would_not_start_are_refused(xml: bytes, versions: Versions, refused: bool) -> None:
    """Preallocated memory, emulator threads on CPUs of other nodes, and a libvirt that ties the two: only then."""
    assert (start_refusal(domain_xml(), xml, topology(memory_only=True), versions) is not None) is refused


def test_a_domain_that_already_is_so_proves_that_it_works() -> None:
    """A distribution may have mended its libvirt: what is defined so now may stay so."""
    old = tuned("0", "1", IMMEDIATE)
    assert start_refusal(old, tuned("1", "1", IMMEDIATE), topology(), TIED) is None
