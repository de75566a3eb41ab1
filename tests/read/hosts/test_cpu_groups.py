"""Sets of CPUs: cores by number, groups by key, overlaps, and the bounds on lists."""

from __future__ import annotations

import pytest

from placer.errors import InputError
from placer.read.hosts.cpu_groups import CpusetReader, distinct, group_by, overlap, siblings_by_rule


def test_siblings_by_rule() -> None:
    """Siblings stand half the CPUs apart, or are neighbours on POWER; a count that does not divide gives none."""
    assert siblings_by_rule(range(4), 2, adjacent=False) == [{0, 2}, {1, 3}]
    assert siblings_by_rule([0, 2, 4, 6], 2, adjacent=False) == [{0, 4}, {2, 6}]
    assert siblings_by_rule(range(8), 4, adjacent=True) == [{0, 1, 2, 3}, {4, 5, 6, 7}]
    assert siblings_by_rule(range(3), 2, adjacent=False) == []
    assert siblings_by_rule(range(3), 0, adjacent=False) == []


def test_group_by() -> None:
    """CPUs of one key are one group; None is no key."""
    assert group_by({0: "a", 1: "b", 2: "a", 3: None}) == [{0, 2}, {1}]


def test_distinct_and_overlap() -> None:
    """Groups come once, without offline CPUs, by their lowest CPU; two that share a CPU are found."""
    groups = [frozenset({4, 5}), frozenset({0, 9}), frozenset({0}), frozenset({9})]
    assert distinct(groups, {0, 4, 5}) == ({0}, {4, 5})
    assert overlap([frozenset({0, 1}), frozenset({2})]) is None
    assert overlap([frozenset({0, 1}), frozenset({1, 2})]) == (1, {0, 1}, {1, 2})


def test_reader_keeps_lists_and_masks_apart() -> None:
    """ "11" is CPU 11 as a list, and CPUs 0 and 4 as a mask, whichever is read first."""
    reader = CpusetReader("x")
    assert reader.parse("11") == {11}
    assert reader.parse_mask("11") == {0, 4}
    assert reader.parse("11") is reader.parse("11")


def test_reader_is_bounded() -> None:
    """Repeated lists cost nothing; ever new ones are refused by the name of the file."""
    reader = CpusetReader("bomb")
    for _ in range(1000):
        reader.parse("0-65535")
    with pytest.raises(InputError, match="bomb: the file lists more than"):
        for cpu in range(1000):
            reader.parse(f"0-65535,{cpu}")
