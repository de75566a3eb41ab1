"""The explorer: the page, a host, a VM with verdicts, search, a solve with edits, and what is taken away."""

from __future__ import annotations

import io
import re
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from placer.check.check import check
from placer.emit.export import export_plan
from placer.explain.explain import explain_vm
from placer.explain.states import State
from placer.measure.before import plan_before
from placer.model.fleet import Fleet
from placer.model.plan import Plan
from placer.planner import solve_fleet
from placer.read.documents.plan_file import read_plan
from placer.read.inventory.inventory import read_fleet
from placer.serve.app import MOST_BODY
from placer.serve.desk import Shown
from placer.serve.downloads import FORMS
from solvers.result import Interrupt
from tests.serve.conftest import NASTY, Explorer


class Tags(HTMLParser):
    """Gathers the tags of a page with their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep a tag."""
        self.found.append((tag, {name: value or "" for name, value in attrs}))


def boxes_in(inner: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield every box and core, the outer before the inner."""
    for one in inner:
        yield one
        yield from boxes_in(one.get("inner", []))


def unpacked(data: bytes, folder: Path) -> list[str]:
    """Unpack an archive into a folder and return the names in it."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        archive.extractall(folder)
        return archive.namelist()


def test_page_has_no_script_of_its_own_and_names_stay_text(explorer: Explorer) -> None:
    """Scripts and styles come from our files alone; a name that is markup is escaped wherever it stands."""
    text = explorer.ask("/").text
    tags = Tags()
    tags.feed(text)
    assert "img" not in {tag for tag, _ in tags.found} and "&lt;img" in text
    scripts = [said for tag, said in tags.found if tag == "script"]
    assert len(scripts) == 4 and all(said["src"].startswith("/assets/") for said in scripts)
    names = {name for _, said in tags.found for name in said}
    assert "style" not in names and not [name for name in names if name.startswith("on")]
    assert "style" not in {tag for tag, _ in tags.found}
    for path in re.findall(r'(?:src|href)="(/assets/[^"]+)"', text):
        assert explorer.ask(path, token=None).status_code == 200


def test_map_is_that_of_the_report(explorer: Explorer) -> None:
    """The columns say where the VMs are before and after."""
    found = explorer.ask("/api/fleet").json()
    assert found["names"] == ["h1", "h2", NASTY]
    assert found["before"]["locality"][0] == 0.0 and found["after"]["locality"][0] == 100.0
    assert found["changed"][0] == 1 and found["changed"][2] == 0


def test_a_host_is_opened_before_and_after(explorer: Explorer) -> None:
    """Boxes hold every CPU once; the VM's memory is on the other node before and on its own after."""
    found = explorer.ask("/api/host?at=0").json()
    assert found["changed"] and found["labels"] == {"rack": "r1"}
    drawn = list(boxes_in(found["after"]["boxes"]))
    assert [box["name"] for box in drawn if box.get("kind") == "node"] == ["node 0", "node 1"]
    cpus = [thread["cpu"] for core in drawn for thread in core.get("threads", [])]
    assert sorted(cpus) == list(range(8))
    before = {row["node"]: row["memory"] for row in found["before"]["vms"]}
    assert before == {"0": "0 KiB", "1": "4 GiB"}
    assert [row["memory"] for row in found["after"]["vms"]] == ["4 GiB"]
    assert found["after"]["vms"][0]["number"] == 0


def test_a_move_is_judged_as_explain_does(explorer: Explorer, fleet: Fleet, plan: Plan) -> None:
    """The verdicts are those of the verb: which goal gets worse by how much, and which rule blocks a place."""
    found = explorer.ask("/api/vm?at=0").json()
    said = explain_vm(fleet, plan, "db").alternatives.places
    assert [(place["verdict"], len(place["hosts"])) for place in found["places"]] == [
        (place.verdict.value, len(place.hosts)) for place in said
    ]
    verdicts = {
        fleet.hosts[host].name: place for place in found["places"] if not place["planned"] for host in place["hosts"]
    }
    assert verdicts["h2"]["verdict"] == "BLOCKED" and "rule" in verdicts["h2"]["because"]
    assert verdicts[NASTY]["verdict"] in ("WORSE", "BLOCKED")


def test_the_page_is_given_all_names_to_search(explorer: Explorer, fleet: Fleet) -> None:
    """Every VM by its number with the host it is on, -1 for none; the labels of hosts are in the map."""
    found = explorer.ask("/api/names").json()
    assert found["vms"] == [vm.name for vm in fleet.vms]
    assert len(found["at"]) == len(fleet.vms) and found["at"][0] == 0
    assert explorer.ask("/api/fleet").json()["labels"]["rack"]["values"][:2] == ["r1", "r2"]


def test_a_solve_with_a_drain_gives_a_plan_that_check_accepts(explorer: Explorer, fleet: Fleet, tmp_path: Path) -> None:
    """The host is emptied, the page shows it, and the archive holds a plan and its inventory that agree."""
    told = explorer.solved(edits={"drain": ["h1"]})
    assert told["state"] == "done" and told["faults"] == []
    page = explorer.ask("/").text
    assert "drain 1 host (h1)" in page and "Back to the file" in page
    assert explorer.ask("/api/fleet").json()["after"]["vms"][0] == 0
    names = unpacked(explorer.ask("/download/plan.zip").content, tmp_path / "out")
    assert "plan.json" in names and "fleet-edited.yaml" in names
    taken = read_fleet(tmp_path / "out/fleet-edited.yaml")
    plan = read_plan(tmp_path / "out/plan.json", certificate=True)
    assert plan.fleet_digest == taken.digest != fleet.digest
    assert check(taken, plan, bound=True).ok
    assert explorer.ask("/api/back", method="POST", data={}).status_code == 200
    assert explorer.ask("/api/fleet").json()["after"]["vms"][0] == 1


def test_a_solve_without_edits_is_of_the_file(of_fleet: Callable[[], Explorer], fleet: Fleet, tmp_path: Path) -> None:
    """A fleet without a plan gets one; what is taken away belongs to the inventory that was given."""
    explorer = of_fleet()
    assert explorer.ask("/api/fleet").json()["after"] is None
    assert explorer.ask("/download/plan.zip").status_code == 400
    assert "away from memory" in explorer.ask("/").text
    assert explorer.solved(max_moves=1)["state"] == "done"
    names = unpacked(explorer.ask("/download/plan.zip").content, tmp_path / "out")
    assert not [name for name in names if name.endswith(".yaml")]
    assert check(fleet, read_plan(tmp_path / "out/plan.json")).ok


def test_a_solve_binds_as_the_plan_of_the_file_does(fleet: Fleet) -> None:
    """Which VMs are bound, how many may be re-pinned and which were read is taken from the plan that was opened."""
    plan = solve_fleet(fleet, max_moves=1, max_repins=3, pin="all")
    plan = replace(plan, options={**plan.options, "running_only": True})
    explorer = Explorer(Shown(fleet=fleet, plan=plan))
    assert explorer.solved(max_moves=1)["state"] == "done"
    solved = explorer.desk.shown.plan
    assert solved is not None and solved is not plan
    asked = {"pin": "all", "max_repins": 3, "running_only": True}
    assert {name: solved.options[name] for name in asked} == asked


def test_a_move_is_judged_without_a_plan(of_fleet: Callable[[], Explorer]) -> None:
    """Where all VMs are known the verdict is beside what runs now; another host is judged too."""
    found = of_fleet().ask("/api/vm?at=0").json()
    assert found["host"] == "h1" and {place["verdict"] for place in found["places"]} >= {"BLOCKED"}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_taken_away_as_export_writes_it(
    explorer: Explorer, fleet: Fleet, plan: Plan, tmp_path: Path, form: str
) -> None:
    """An archive holds the files that the verb writes, by the same names and with the same bytes."""
    got = explorer.ask(f"/download/export.zip?to={form}")
    assert got.status_code == 200, got.text
    export_plan(plan, fleet, form, tmp_path / ("change.md" if form == "markdown" else "out"))
    written = {
        file.relative_to(tmp_path).as_posix(): file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()
    }
    with zipfile.ZipFile(io.BytesIO(got.content)) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == written != {}


def test_stop_keeps_the_best_plan(explorer: Explorer, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """A solve that is asked to stop ends, and the plan that it then has is shown; a second one can be begun."""
    best = replace(plan, warnings=("the best so far",))

    def until_stopped(*_: Any, interrupt: Interrupt, **__: Any) -> Plan:
        stopped = threading.Event()
        interrupt.stops.append(stopped.set)
        assert interrupt.requested or stopped.wait(60), "it was never asked to stop"
        return best

    with monkeypatch.context() as instead:
        instead.setattr("placer.serve.solving.solve_fleet", until_stopped)
        told = explorer.ask("/api/solve", method="POST", data={"time_limit_s": 600}).json()
        assert (told["state"], told["stopping"]) == ("running", False)
        assert "a solve is running" in explorer.ask("/api/solve", method="POST", data={}).json()["faults"][0]
        assert explorer.ask("/api/stop", method="POST", data={}).status_code == 200
        while (told := explorer.ask("/api/solve").json())["state"] == "running":
            assert told["stopping"]
    assert told["state"] == "done" and explorer.desk.shown.plan is best
    assert explorer.solved(max_moves=1)["state"] == "done"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/api/host?at=3", "no host 3"),
        ("/api/host?at=-1", "no number"),
        ("/api/host", "no number"),
        ("/api/vm?at=2", "no VM 2"),
        ("/download/export.zip?to=../../etc", "no form"),
    ],
)
def test_what_is_not_there_is_said(explorer: Explorer, path: str, words: str) -> None:
    """A number or a form that is not there is a fault in words."""
    got = explorer.ask(path)
    assert got.status_code == 400 and words in got.json()["faults"][0]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"[", "not JSON"),
        (b"[]", "no object"),
        (b'{"edits": {"drain": "h1"}}', "edits"),
        (b'{"time_limit_s": -1, "max_moves": true}', "max_moves"),
        (b'{"max_moves": 1000000001}', "max_moves: a whole number from 0 to 1,000,000,000"),
        (b'{"max_moves": 0, "max_migrations": 1' + b"0" * 400 + b"}", "max_migrations: a whole number from 0"),
        (b'{"time_limit_s": 86401}', "at most 86,400"),
        (b'{"goals": 3}', "goals"),
        (b" " * (MOST_BODY + 1), "at most"),
    ],
)
def test_a_request_that_cannot_be_understood_begins_nothing(explorer: Explorer, content: bytes, words: str) -> None:
    """All that is wrong with it is said, and no solve runs."""
    got = explorer.ask("/api/solve", method="POST", content=content)
    assert got.status_code == 400 and words in got.json()["faults"][0]
    assert explorer.ask("/api/solve").json()["state"] == "idle"


@pytest.mark.parametrize(
    ("edits", "words"),
    [({"drain": ["h9"]}, "no host"), ({"melt": ["h1"]}, "no edit"), ({"add_vms": ["many"]}, "no number of VMs")],
)
def test_an_edit_that_cannot_be_made_is_told(explorer: Explorer, edits: dict[str, list[str]], words: str) -> None:
    """A solve fails with the faults of the edit, and the page shows what it showed before."""
    told = explorer.solved(edits=edits)
    assert told["state"] == "failed" and words in told["faults"][0]
    assert explorer.desk.shown is explorer.desk.files


def test_where_not_all_is_known_a_plan_comes_first(fleet: Fleet) -> None:
    """Without a plan, and a VM whose cells cannot be told, a move cannot be judged: that is said with its cure."""
    db = fleet.vms[0]
    assert db.current is not None
    lost = replace(db, current=replace(db.current, pins={0: frozenset({0})}, memory_nodes=()))
    unknown = replace(fleet, vms=(lost, *fleet.vms[1:]))
    assert plan_before(unknown) is None
    asked = Explorer(Shown(fleet=unknown, plan=None)).ask("/api/vm?at=1")
    assert asked.status_code == 400 and "solve" in asked.json()["faults"][0]


def test_last_week_and_the_course_of_a_solve_stand_on_the_page(fleet: Fleet, plan: Plan) -> None:
    """An earlier state is told beside what is shown, after a solve too, which says how its goals went."""
    explorer = Explorer(Shown(fleet=fleet, plan=plan, earlier=State(fleet=fleet, plan=None, name=NASTY)))
    page = explorer.ask("/").text
    assert "Since &lt;/script&gt;" in page and NASTY not in page
    assert explorer.ask("/api/fleet").json()["since"] == [1, 0, 0]
    assert explorer.solved(max_moves=1)["state"] == "done"
    assert "Since &lt;/script&gt;" in explorer.ask("/").text
    course = explorer.desk.shown.course
    assert course["remote"][-1].value == course["remote"][-1].bound is not None
    assert all(one.seconds <= other.seconds for one, other in pairwise(course["remote"]))
