"""Scenarios that options say: names, labels, copies of a host, VMs of a flavor, growth."""

from __future__ import annotations

from typing import Any

import pytest

from placer.errors import InputError
from placer.read.documents.scenario_file import parse_scenario
from placer.whatif.spoken import spoken_scenarios

HOSTS = ("h1", "h2", "odd=name")


def edits(**said: list[str]) -> list[Any]:
    """Return the edits as they were read, a scenario each."""
    return [dict(scenario.edits[0].tree) for scenario, _ in spoken_scenarios(HOSTS, **said)]


def test_what_is_said_becomes_an_edit() -> None:
    """Lists of names, labels with several values and several labels, counts and flavors; each named by its words."""
    assert edits(fail=["rack=a3"], drain=["h1,h2", "rack=a3,a4,gen=x", "odd=name"]) == [
        {"fail": {"rack": "a3"}},
        {"drain": ["h1", "h2"]},
        {"drain": {"rack": ["a3", "a4"], "gen": "x"}},
        {"drain": "odd=name"},
    ]
    assert edits(add_hosts=["h1*4", "h2"], add_vms=["40*4x8GiB"], grow=["20%"]) == [
        {"add_hosts": {"like": "h1", "count": "4"}},
        {"add_hosts": {"like": "h2"}},
        {"grow": {"4x8GiB": "40"}},
        {"grow": "20%"},
    ]
    names = [scenario.name for scenario, _ in spoken_scenarios(HOSTS, drain=["h1", "h2"])]
    assert names == ["drain h1", "drain h2"]


def test_the_text_of_a_hostile_name_reads_back_as_the_same() -> None:
    """Quotes, braces and line ends in a name change nothing else of the file."""
    name = "a'b\"c}\n- {fail: h1}"
    ((scenario, text),) = spoken_scenarios([name], drain=[name])
    again = parse_scenario(text.encode(), "x.yaml", scenario.base_dir)
    assert len(again.edits) == 1 and again.edits[0].tree["drain"] == name == scenario.edits[0].tree["drain"]


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"drain": ["h1,rack=a"]}, "--drain"),
        ({"fail": ["rack="]}, "--fail"),
        ({"add_vms": ["4x8GiB"]}, "--add-vms"),
        ({"grow": ["20%", "20%"]}, "--grow"),
    ],
)
def test_what_cannot_be_understood_names_its_option(said: dict[str, list[str]], field: str) -> None:
    """Names beside labels, an empty value, VMs without a number, the same thing twice."""
    with pytest.raises(InputError) as error:
        spoken_scenarios(HOSTS, **said)  # type: ignore[arg-type]
    assert error.value.faults[0].field == field
