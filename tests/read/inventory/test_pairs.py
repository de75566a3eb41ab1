"""Limits between groups of VMs from a table: a rule a row, every fault of the table at once."""

from __future__ import annotations

from pathlib import Path

import pytest

import placer
from placer.errors import InputError
from placer.model.fleet import Fleet
from placer.model.rules import RuleKind
from placer.read.inventory.inventory import parse_fleet

FLEET = """
schema: placer.inventory/v1
hosts:
  - {name: h, count: 3, nodes: [{id: 0, cpus: 0-3, memory: 8GiB}]}
vms:
  - {name: a, count: 2, vcpus: 1, memory: 1GiB, labels: {app: a}}
  - {name: b, count: 2, vcpus: 1, memory: 1GiB, labels: {app: b}}
rules:
  - {pairs: %s, label: app, name: limits}
"""


def read(folder: Path, said: str) -> Fleet:
    """Return the fleet with pairs as said."""
    return parse_fleet((FLEET % said).encode(), "fleet.yaml", folder)


@pytest.mark.parametrize("sign", [",", "\t"])
def test_a_row_of_a_file_is_a_rule(tmp_path: Path, sign: str) -> None:
    """Of two groups it keeps the second off the first's hosts, of one group it is a limit; others are left out."""
    rows = ["second,first,max_together", "b,a,1", "a,a,1", "a,gone,3"]
    (tmp_path / "limits.csv").write_text("\n".join(rows).replace(",", sign))
    fleet = read(tmp_path, "limits.csv")
    assert [(rule.kind, rule.members, rule.others, rule.max_per, rule.name) for rule in fleet.rules] == [
        (RuleKind.APART, {"app": "a"}, {"app": "b"}, 1, "limits limits.csv line 2"),
        (RuleKind.ANTI_AFFINITY, {"app": "a"}, None, 1, "limits limits.csv line 3"),
    ]
    assert fleet.warnings == ("1 of 3 pairs of a rule name VMs that are not there",)


def test_the_file_is_part_of_the_digest(tmp_path: Path) -> None:
    """A plan is not taken for one of a fleet whose table was edited since."""
    digests = []
    for most in (1, 2):
        (tmp_path / "limits.csv").write_text(f"first,second,max_together\na,b,{most}\n")
        digests.append(read(tmp_path, "limits.csv").digest)
    assert digests[0] != digests[1]


def test_pairs_in_the_inventory_hold_in_a_plan(tmp_path: Path) -> None:
    """Two a and two b, never beside each other and no two a on a host, need all three hosts."""
    fleet = read(tmp_path, "[[a, b], [a, a, 1]]")
    plan = placer.solve(fleet, goals="placed,rules,hosts", rounds=20)
    assert not plan.unplaced
    by_host: dict[str, set[str]] = {}
    for vm in plan.vms:
        by_host.setdefault(vm.host, set()).add(vm.name[0])
    assert sorted(map(sorted, by_host.values())) == [["a"], ["a"], ["b"]]
    assert placer.check(fleet, plan).ok


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("first,second,max_together\na,b,many\na,,1\na,a,0\n", "limits.csv line 2 'many' is no number of VMs"),
        (
            f"first,second,max_together\na,b,{'9' * 5000}\n",
            "limits.csv line 2 '99999999999999999999' is no number of VMs",
        ),
        ("first,second,max_together\na,b,1\na,,1\n", "limits.csv line 3 says no two groups"),
        ("first,second,max_together\na,b,1,9\n", "limits.csv line 2 says no two groups"),
        ("first,second\nb,b\n", "limits.csv line 2 lets no VM of 'b' be anywhere"),
        ("one,two\na,b\n", "file 'limits.csv' has the columns one, two"),
        ("", "file 'limits.csv' has the columns"),
        ("first,second\nx,y\n", "no pair names two values of the label 'app' that VMs have"),
        ("\x00\xff", "file 'limits.csv' cannot be read"),
    ],
)
def test_faults_of_a_table_name_its_line(tmp_path: Path, text: str, message: str) -> None:
    """Each names the file and the line; nothing is taken for a rule that is none."""
    (tmp_path / "limits.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"fleet\.yaml") as found:
        read(tmp_path, "limits.csv")
    assert message in str(found.value)


def test_a_table_without_a_label_or_file_is_refused(tmp_path: Path) -> None:
    """Which label its columns are of nobody can guess, and a file that is not there limits nothing."""
    with pytest.raises(InputError, match="say which label"):
        parse_fleet((FLEET % "[[a, b]]").replace("label: app, ", "").encode(), "fleet.yaml", tmp_path)
    with pytest.raises(InputError, match="is not there"):
        read(tmp_path, "none.csv")
