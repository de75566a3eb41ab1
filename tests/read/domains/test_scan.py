"""Typed access to a domain's XML: figures, sets, faults and notes."""

from __future__ import annotations

import pytest

from placer.errors import InputError
from placer.read.domains.scan import MAX_COUNT, DomainScan
from placer.read.text.xml import parse_xml


def scan(xml: str) -> DomainScan:
    """Scan a piece of XML."""
    return DomainScan(parse_xml(xml.encode(), "a.xml"), "a.xml")


@pytest.mark.parametrize(
    ("text", "value"), [("0", 0), (" 7 ", 7), (str(MAX_COUNT), MAX_COUNT), (str(MAX_COUNT + 1), None)]
)
def test_numbers_are_bounded(text: str, value: int | None) -> None:
    """A count up to the bound is taken, one beyond it is a fault and never expanded."""
    found = scan("<a/>")
    assert found.number(found.root, text) == value
    assert len(found.faults) == (value is None)


@pytest.mark.parametrize("text", ["", "-1", "1.0", "1e3", "٣", "9" * 5000, "0x10", "1_0"])
def test_what_is_no_number_is_a_fault(text: str) -> None:
    """Only plain decimal digits are a number."""
    found = scan("<a/>")
    assert found.number(found.root, text) is None
    assert len(found.faults[0].message) < 120


def test_sets_and_sizes() -> None:
    """A missing attribute is None without a fault; an empty set is noted; a bad one is a fault."""
    found = scan("<a good='1-3,^2' empty='0,^0' bad='x' unit='MiB'/>")
    assert found.cpuset(found.root, "good") == {1, 3}
    assert found.cpuset(found.root, "missing") is None
    assert (found.cpuset(found.root, "empty"), len(found.notes)) == (None, 1)
    assert (found.cpuset(found.root, "bad"), len(found.faults)) == (None, 1)
    assert found.size_kib(found.root, "2") == 2048
    assert (found.size_kib(found.root, "two"), len(found.faults)) == (None, 2)
    with pytest.raises(InputError) as caught:
        found.raise_faults()
    assert len(caught.value.faults) == 2


def test_unknown_children_and_attributes_are_named_once() -> None:
    """Each kind of child is named once with how often it comes; comments are none; long values are cut."""
    found = scan(f"<a k='1' odd='{'v' * 500}'><!-- c --><known/><new/><new/></a>")
    found.name_unknown(found.root, ("known",), "<a>")
    found.name_unknown_attributes(found.root, ("k",), "<a>")
    found.name_unknown(None, (), "<b>")
    assert len(found.notes) == 2
    assert found.notes[0].startswith("line 1: <a> <new> (2 times) is not understood")
    assert "odd=" in found.notes[1] and len(found.notes[1]) < 180


def test_paths_are_found_below_every_parent_of_a_name() -> None:
    """In their order, comments left out; what is not there is None and an empty list, asked for twice as once."""
    found = scan("<a><b><c n='1'/><!-- c --></b><d/><b><c n='2'/></b></a>")
    for _ in range(2):
        assert [one.get("n") for one in found.all("b/c")] == ["1", "2"]
        first = found.find("b/c")
        assert first is not None and first.get("n") == "1"
        assert found.find("d/c") is None and found.all("x/y") == []
