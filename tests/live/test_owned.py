"""What a plan decides in a domain's XML, told apart from all the rest."""

from __future__ import annotations

import pytest

from placer.live.owned import differences, owned_values, same_domain
from tests.live.scene import domain_xml

TUNED = """\
  <cputune>
    <shares>7</shares>
    <vcpupin vcpu='1' cpuset='2,3'/>
    <vcpupin vcpu='0' cpuset='0-1'/>
    <emulatorpin cpuset='0-7,^1'/>
  </cputune>
  <numatune>
    <memory mode='strict' nodeset='0-1'/>
    <memnode cellid='1' mode='strict' nodeset='1'/>
    <memnode cellid='0' mode='strict' nodeset='0'/>
  </numatune>
"""
CELLS = (("0", 256 * 1024), ("1", 256 * 1024))


def test_values_are_named_and_in_one_form() -> None:
    """Sets come out in their shortest form, threads and cells in order, whatever order the XML has."""
    xml = domain_xml(inside=TUNED, cells=CELLS, backing="<memoryBacking><hugepages/></memoryBacking>")
    assert owned_values(xml, "x") == {
        "vCPU 0": "0-1",
        "vCPU 1": "2-3",
        "emulator threads": "0,2-7",
        "memory": "strict on node 0-1",
        "memory of cell 0": "strict on node 0",
        "memory of cell 1": "strict on node 1",
        "huge pages": "of the default size",
        "guest cell 0": "CPUs 0, 262144 KiB",
        "guest cell 1": "CPUs 1, 262144 KiB",
    }


def test_differences_name_both_sides() -> None:
    """What is missing, what is other and what nobody planned are three kinds of difference."""
    found = differences({"vCPU 0": "1", "memory": "strict on node 0"}, {"memory": "strict on node 1", "vCPU 1": "2"})
    assert [str(one) for one in found] == [
        "vCPU 0: not set, planned 1",
        "memory: strict on node 1, planned strict on node 0",
        "vCPU 1: 2, planned not set",
    ]


def test_one_domain_in_two_spellings_is_the_same() -> None:
    """Order of pins, spelling of sets, white space between elements and the number of a running domain do not count."""
    other = TUNED.replace("2,3", "2-3").replace("0-7,^1", "0,2-7").replace("\n", "\n   ")
    other = other.replace("<vcpupin vcpu='1' cpuset='2-3'/>", "").replace(
        "</cputune>", "<vcpupin cpuset='2-3' vcpu='1'/></cputune>"
    )
    assert same_domain(domain_xml(inside=TUNED), domain_xml(inside=other, number=4))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("cpuset='0-1'", "cpuset='0'"),
        ("nodeset='1'", "nodeset='0'"),
        ("mode='strict' nodeset='0-1'", "mode='restrictive' nodeset='0-1'"),
        ("<shares>7</shares>", "<shares>8</shares>"),
        ("<shares>7</shares>", ""),
        (">hvm<", ">xen<"),
        ("<name>vm</name>", "<name> vm</name>"),
        ("<vcpu placement='static'>2", "<vcpu placement='auto'>2"),
        ("<vcpu placement='static'>2", "<vcpu placement='static' cpuset='0-3'>2"),
        ("</domain>", "<devices><disk/></devices></domain>"),
    ],
)
def test_whatever_differs_in_meaning_is_another_domain(old: str, new: str) -> None:
    """Decided by a plan or not: a rollback must see each of these."""
    one = domain_xml(inside=TUNED)
    other = domain_xml(inside=TUNED).replace(old.encode(), new.encode())
    assert one != other
    assert not same_domain(one, other)


def test_an_empty_holder_is_as_good_as_none() -> None:
    """Pins taken out by hand may leave an empty <cputune>; libvirt drops it."""
    assert same_domain(domain_xml(inside="<cputune/>"), domain_xml())
