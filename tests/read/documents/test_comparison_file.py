"""The comparison of scenarios is read from both its forms, and what is none is refused with file and field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from placer.errors import InputError
from placer.read.documents.comparison_file import read_comparison

PLANNED: dict[str, Any] = {
    "vms": 3,
    "placed": 2,
    "unplaced": {"no room": 1},
    "remote_access": 1.5,
    "locality_score": None,
    "hosts_used": 1,
    "hosts": 2,
    "headroom": {"2x2GiB": {"fit": 4, "runs_out_first": "memory"}},
    "migrations": 1,
    "node_changes": 0,
    "goals": [{"name": "remote", "value": 1.5, "bound": None, "gap": None, "status": "feasible"}],
}
ROWS = [
    {"name": "base", "changes": [], "status": "feasible", **PLANNED, "rounds": 3},
    {"name": "worse", "changes": ["fail 1 host"], "status": "impossible", "reason": "VM x has no place"},
]


def write(path: Path, document: Any) -> str:
    """Write a document as JSON and return its path."""
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return str(path)


def test_both_forms_are_the_same(tmp_path: Path) -> None:
    """The file of -o and the envelope of --json give the same scenarios; a row without a plan keeps its reason."""
    plain = read_comparison(write(tmp_path / "a.json", {"schema": "placer.whatif/v1", "scenarios": ROWS}))
    envelope = {"schema": "placer.whatif/v1", "ok": True, "result": {"scenarios": ROWS}}
    assert read_comparison(write(tmp_path / "b.json", envelope)) == plain
    base, worse = plain
    assert base.planned is not None and base.planned.placed == 2 and base.planned.goals[0].bound is None
    assert worse.planned is None and worse.reason == "VM x has no place"


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("{", "is not JSON"),
        ('{"schema": "placer.whatif/v1", "scenarios": NaN}', "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ({"schema": "placer.plan/v1"}, "is a plan; a comparison belongs here"),
        ([1], "is not a comparison"),
        ({"schema": "placer.whatif/v1", "scenarios": []}, "scenarios"),
        ({"schema": "placer.whatif/v1", "scenarios": [{"name": "x"}]}, r"scenarios\[0\].changes"),
        (
            {"schema": "placer.whatif/v1", "scenarios": [{**ROWS[0], "placed": "2"}]},
            r"scenarios\[0\].placed",
        ),
    ],
    ids=["cut off", "not finite", "deep", "a plan", "a list", "empty", "fields missing", "text for a number"],
)
def test_what_is_no_comparison(tmp_path: Path, document: Any, message: str) -> None:
    """Each kind of damage is named, with the file and, where there is one, the field."""
    file = write(tmp_path / "bad.json", document)
    with pytest.raises(InputError, match=message) as caught:
        read_comparison(file)
    assert all(fault.file == file for fault in caught.value.faults)


def test_missing_file(tmp_path: Path) -> None:
    """A file that is not there is bad input."""
    with pytest.raises(InputError, match="cannot be read"):
        read_comparison(str(tmp_path / "none.json"))
