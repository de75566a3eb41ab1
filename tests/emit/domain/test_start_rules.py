"""Each start-time rule passes a good domain and names the offence of a bad one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from placer.emit.domain.start_rules import RULES, start_faults
from placer.model.host import Topology

GOOD = """<domain type='kvm'>
<name>a</name><maxMemory slots='2'>65536</maxMemory><memory>24576</memory>
<memoryBacking><hugepages><page size='2048' nodeset='0'/><page size='4096' nodeset='1'/></hugepages></memoryBacking>
<vcpu cpuset='0-3'>4</vcpu>
<cputune><vcpupin vcpu='0' cpuset='0'/><vcpupin vcpu='1' cpuset='1'/></cputune>
<numatune><memory mode='strict' nodeset='0-1'/><memnode cellid='0' mode='strict' nodeset='0'/>
<memnode cellid='1' mode='strict' nodeset='1'/></numatune>
<cpu><topology sockets='2' dies='1' cores='1' threads='2'/><numa>
<cell id='0' cpus='0-1' memory='6144'><distances>
<sibling id='0' value='10'/><sibling id='1' value='21'/></distances></cell>
<cell id='1' cpus='2-3' memory='8192'/>
</numa></cpu>
<devices><controller type='pci' model='pcie-expander-bus'><target busNr='9'><node>1</node></target></controller>
<memory model='dimm'><target><size>4096</size><node>1</node></target></memory></devices>
</domain>"""

BAD = [
    ("cell_ids_count_from_zero", "id='1' cpus", "id='2' cpus", "numbered 0,2"),
    ("every_vcpu_is_in_one_cell", "cpus='2-3'", "cpus='3'", "vCPUs 2 are in no guest cell"),
    ("every_vcpu_is_in_one_cell", "cpus='2-3'", "cpus='1-3'", "vCPUs 1 are in another"),
    ("every_vcpu_is_in_one_cell", "cpus='2-3'", "cpus='2-4'", "vCPUs 4 are beyond"),
    ("topology_multiplies_to_vcpus", "cores='1'", "cores='2'", "8 threads, the domain 4 vCPUs"),
    ("no_core_straddles_cells", "sockets='2' dies='1' cores='1' threads='2'", "threads='4'", "vCPUs 0-3 straddles"),
    ("distances_are_sane", "value='10'", "value='11'", "distance 11 from cell 0 to cell 0"),
    ("distances_are_sane", "value='21'", "value='10'", "distance 10 from cell 0 to cell 1"),
    ("distances_are_sane", "value='21'", "value='256'", "distance 256"),
    ("distances_are_sane", "id='1' value", "id='7' value", "cell 7, which there is not"),
    ("pages_name_guest_cells", "nodeset='1'/></huge", "nodeset='1,4'/></huge", "guest cells 4"),
    ("memory_is_whole_pages", "memory='6144'", "memory='6145'", "cell 0 has 6145 KiB"),
    ("memory_is_whole_pages", "<size>4096", "<size>2048", "memory device has 2048 KiB"),
    ("memory_devices_have_a_cell", "<node>1</node></target></memory>", "<node>5</node></target></memory>", "cell 5"),
    ("memory_devices_have_a_cell", "<maxMemory slots='2'>65536</maxMemory>", "", "needs <maxMemory>"),
    (
        "expander_buses_have_a_cell",
        "<node>1</node></target></controller>",
        "<node>3</node></target></controller>",
        "cell 3",
    ),
    ("memnodes_have_a_cell", "cellid='1'", "cellid='4'", "guest cell 4"),
    ("memnodes_have_a_cell", "cellid='1'", "cellid='0'", "cell 0 is there twice"),
    ("memnodes_are_static", "<memory mode='strict' nodeset='0-1'/>", "<memory placement='auto'/>", "placement='auto'"),
    ("memnodes_are_static", "<memory mode='strict' nodeset='0-1'/>", "", "placement='auto'"),
    ("restrictive_modes_agree", "<memory mode='strict'", "<memory mode='restrictive'", "restrictive, strict"),
    ("pins_are_on_the_host", "cpuset='1'", "cpuset='77'", "no CPUs 77"),
    ("pins_are_on_the_host", "nodeset='0-1'", "nodeset='0-9'", "no NUMA nodes 2-9"),
    ("pins_name_threads", "vcpu='1'", "vcpu='9'", "vCPU 9, the domain has 4"),
    ("pins_name_threads", "vcpu='1'", "vcpu='0'", "vCPU 0 is there twice"),
    ("pins_name_threads", "cpuset='1'", "cpuset='1,^1'", "pinned to no CPU"),
]


def test_a_good_domain_has_no_fault(topology: Callable[..., Topology]) -> None:
    """All rules pass a domain that starts."""
    assert start_faults(GOOD.encode(), "good.xml", host=topology()) == []


@pytest.mark.parametrize(("rule", "old", "new", "message"), BAD)
def test_each_rule_names_its_offence(
    topology: Callable[..., Topology], rule: str, old: str, new: str, message: str
) -> None:
    """One change, one fault, with file and line."""
    assert GOOD.count(old) == 1 or rule in ("pins_are_on_the_host", "pins_name_threads")
    bad = GOOD.replace(old, new, 1)
    if rule == "memnodes_are_static" and not new:
        bad = bad.replace("<vcpu ", "<vcpu placement='auto' ")
    faults = start_faults(bad.encode(), "bad.xml", host=topology())
    matching = [fault for fault in faults if message in fault.message]
    assert len(matching) == 1, faults
    assert matching[0].file == "bad.xml"
    assert matching[0].line is not None


def test_every_rule_is_broken_by_a_case_above() -> None:
    """No rule is without a case that breaks it."""
    assert {rule.__name__ for rule in RULES} == {case[0] for case in BAD}


def test_flat_guests_have_rules_too() -> None:
    """A flat guest has no memnode, no expander bus in a cell, and memory in whole pages."""
    flat = (
        "<domain><memory>5000</memory><memoryBacking><hugepages><page size='2048'/></hugepages></memoryBacking>"
        "<numatune><memory mode='strict' nodeset='0'/><memnode cellid='0' mode='strict' nodeset='0'/></numatune>"
        "</domain>"
    )
    messages = [fault.message for fault in start_faults(flat.encode(), "flat.xml")]
    assert messages == [
        "the guest has 5000 KiB, no multiple of its page of 2048 KiB",
        "<memnode> names guest cell 0, which there is not",
    ]


def test_the_domains_made_for_tests_would_start(domains: Path) -> None:
    """None of the golden guests breaks a rule."""
    for path in sorted(domains.glob("*.xml")):
        assert start_faults(path.read_bytes(), path.name) == []
