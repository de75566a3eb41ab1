"""The report in a real Chromium: quiet, self-contained, reachable by keyboard, readable wide and narrow."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from placer.emit.report.report import report_html
from placer.model.fleet import Fleet
from placer.model.host import Host, Node, Reserve, Topology
from placer.model.plan import Change, GoalResult, Plan, PlanCell, PlanVm, Unplaced
from placer.model.vm import Cell, CellMode, Current, Vm, VmSpec
from placer.read.documents.comparison_file import Scenario

pytestmark = pytest.mark.browser

NASTY = "</script><img src=http://192.0.2.1/x onerror=alert(1)>&\"'"
SIZE = 8
SPEC = VmSpec(
    vcpus=SIZE,
    memory_kib=16 << 20,
    cell_mode=CellMode.NONE,
    cells=(Cell(vcpus=frozenset(range(SIZE)), memory_kib=16 << 20),),
)


def host_of_256(name: str) -> Host:
    """Return a host of 2 sockets, 8 nodes and 128 cores of two threads, an L3 domain every 4 cores."""
    cpus = [frozenset(range(n * 16, n * 16 + 16)) | frozenset(range(128 + n * 16, 144 + n * 16)) for n in range(8)]
    topology = Topology(
        nodes=tuple(Node(id=n, cpus=cpus[n], memory_kib=128 << 20) for n in range(8)),
        distances=tuple(
            tuple(10.0 if i == j else 12.0 if i // 4 == j // 4 else 32.0 for j in range(8)) for i in range(8)
        ),
        cores=tuple(frozenset({core, core + 128}) for core in range(128)),
        packages=tuple(frozenset().union(*cpus[half * 4 : half * 4 + 4]) for half in range(2)),
        l3=tuple(frozenset(c + 128 * t for c in range(g * 4, g * 4 + 4) for t in range(2)) for g in range(32)),
    )
    return Host(name=name, topology=topology, reserve=Reserve(cpus=frozenset({0, 128})))


def small_fleet(hosts: int = 3) -> tuple[Fleet, Plan]:
    """Return hosts alike of 256 CPUs, VMs on five nodes of each but the last; one VM moves, one has no place."""
    made = [host_of_256(f"kvm-{number}") for number in range(hosts - 1)] + [host_of_256(NASTY)]
    vms, placed = [], []
    for host in made[:-1]:
        for node in range(1, 6):
            for part in range(3):
                first = node * 16 + part * 4
                pins = {v: frozenset({first + v // 2 + 128 * (v % 2)}) for v in range(SIZE)}
                name = NASTY if not vms else f"vm-{len(vms)}"
                now = Current(host=host.name, nodes=(node,), memory_nodes=(7 if not vms else node,), pins=pins)
                vms.append(Vm(name=name, spec=SPEC, current=now))
                cell = PlanCell(
                    id=0,
                    vcpus=frozenset(range(SIZE)),
                    memory_kib=SPEC.memory_kib,
                    mode="strict",
                    nodes={node: 16 << 20},
                )
                change = Change.RENODE if name == NASTY else Change.NONE
                placed.append(
                    PlanVm(name=name, host=host.name, cells=(cell,), pins=pins, change=change, from_host=host.name)
                )
    vms.append(Vm(name="left out", spec=SPEC))
    goal = GoalResult(
        name="remote", value=1.5, bound=None, gap=None, source="", status="feasible", stopped="time limit"
    )
    plan = Plan(
        fleet_path="fleet.yaml",
        fleet_digest="",
        seed=0,
        rounds=1,
        status="feasible",
        goals=(goal,),
        vms=tuple(placed),
        unplaced=(Unplaced(name="left out", reason=f"no host has room {NASTY}"),),
        summary={"cpus": {"total": 768, "used": 240, "reserved": 6, "free": 522}},
        warnings=(NASTY,),
    )
    return Fleet(hosts=tuple(made), vms=tuple(vms)), plan


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the report of the small fleet."""
    fleet, plan = small_fleet()
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(report_html(plan, fleet, scenarios=scenarios()))
    return path


def scenarios() -> tuple[Scenario, ...]:
    """Return three scenarios with nasty names: as it is, with more VMs and a bound, and one without a plan."""
    planned = {
        "vms": 31,
        "placed": 30,
        "unplaced": {NASTY: 1},
        "remote_access": 4.5,
        "locality_score": 95.0,
        "hosts_used": 2,
        "hosts": 3,
        "headroom": {"8x16GiB": {"fit": 12, "runs_out_first": "memory"}},
        "migrations": 1,
        "node_changes": 2,
        "goals": [{"name": "remote", "value": 4.5, "bound": 3.0, "gap": 1 / 3, "status": "feasible"}],
    }
    rows = [("base", planned), (NASTY, {**planned, "placed": 20, "remote_access": None}), ("never", None)]
    return tuple(
        Scenario.model_validate({"name": name, "changes": [NASTY], "status": "feasible", "planned": at})
        for name, at in rows
    )


@pytest.mark.parametrize("dark", [False, True])
def test_report_is_quiet_and_asks_for_nothing(page: Any, file: Path, dark: bool) -> None:
    """Nothing comes on the console, the page asks for itself alone, and names stay text."""
    page.open(file, dark=dark)
    assert page.run("document.querySelector('#p1 h3').textContent") == "kvm-0"
    assert page.run("document.querySelectorAll('main img, body > img').length") == 0
    assert NASTY in page.run("document.body.innerText")
    assert page.complaints() == []
    assert page.requests() == [file.as_uri()]


def test_the_browser_would_have_told(page: Any, tmp_path: Path) -> None:
    """The same looks find an error and a request where there are some."""
    path = tmp_path / "bad.html"
    path.write_text("<img src='other.png'><script>console.error('x')</script>")
    page.open(path)
    assert page.complaints()
    assert len(page.requests()) == 2


@pytest.mark.parametrize("width", [1280, 400])
def test_map_of_256_cpus_is_readable(page: Any, file: Path, tmp_path: Path, width: int) -> None:
    """Every CPU has its number in legible type inside the window, VMs and free CPUs differ, nothing is cut off."""
    page.open(file, width=width)
    page.run("location.hash = '#p1'")
    found = json.loads(
        page.run(
            """(() => {
              const all = [...document.querySelectorAll('#p1 > .map b')];
              const inside = all.every((one) => {
                const box = one.getBoundingClientRect();
                const wide = document.documentElement.clientWidth;
                return box.left >= 0 && box.right <= wide && one.scrollWidth <= box.width;
              });
              const colour = (mark) => getComputedStyle(all.find((b) => b.firstChild.data === mark)).backgroundColor;
              return JSON.stringify({
                number: new Set(all.map((one) => one.querySelector('i').textContent)).size,
                inside,
                type: Math.min(...all.map((one) => parseFloat(getComputedStyle(one.querySelector('i')).fontSize))),
                colours: new Set(['a', 'b', '.', '0'].map(colour)).size,
                wide: document.documentElement.scrollWidth <= innerWidth,
              });
            })()"""
        )
    )
    assert found["number"] == 256
    assert found["inside"] and found["wide"]
    assert found["type"] >= 10
    assert found["colours"] >= 3
    page.screenshot(tmp_path / "map.png")
    assert (tmp_path / "map.png").stat().st_size > 10_000


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("dark", [False, True])
def test_charts_are_readable_at_any_width(page: Any, file: Path, width: int, dark: bool) -> None:
    """Bars have the lengths of their figures, labels and figures do not overlap, and nothing leaves the window."""
    page.open(file, width=width, dark=dark)
    found = json.loads(
        page.run(
            """(() => {
              const charts = [...document.querySelectorAll('svg.chart')];
              const box = (one) => one.getBoundingClientRect();
              const pairs = charts.flatMap((chart) => {
                const texts = [...chart.querySelectorAll('text')].map(box);
                return texts.filter((_, n) => n % 2 === 0).map((label, n) => [label, texts[2 * n + 1]]);
              });
              const placed = charts.find((one) => one.querySelector('title').textContent.startsWith('VMs placed'));
              const bars = [...placed.querySelectorAll('rect.bar')].map((one) => box(one).width);
              const colour = (one, what) => getComputedStyle(one)[what];
              return JSON.stringify({
                charts: charts.length,
                apart: pairs.every(([label, figure]) => label.right <= figure.left),
                inside: charts.every((one) => box(one).right <= document.documentElement.clientWidth),
                ratio: bars[1] / bars[0],
                bars: bars.length,
                type: Math.min(...charts.map((one) => parseFloat(colour(one.querySelector('text'), 'fontSize')))),
                seen: colour(placed.querySelector('text'), 'fill') !== colour(document.body, 'backgroundColor'),
                wide: document.documentElement.scrollWidth <= innerWidth,
              });
            })()"""
        )
    )
    assert found["charts"] >= 5 and found["bars"] == 2
    assert found["apart"] and found["inside"] and found["wide"] and found["seen"]
    assert found["ratio"] == pytest.approx(20 / 30, abs=0.01)
    assert found["type"] >= 12


def test_paper_is_light_and_holds_every_table(page: Any, file: Path) -> None:
    """Printed from a dark screen the page is light, nothing is wider than the paper, search and contents are gone."""
    page.open(file, width=780, dark=True)
    scheme = {"name": "prefers-color-scheme", "value": "dark"}
    page.send("Emulation.setEmulatedMedia", media="print", features=[scheme])
    found = json.loads(
        page.run(
            """JSON.stringify({
              paper: getComputedStyle(document.body).backgroundColor,
              left: getComputedStyle(document.documentElement).getPropertyValue('--left'),
              wide: [...document.querySelectorAll('table')].map((one) => one.getBoundingClientRect().right),
              hidden: ['nav', '#search'].every((one) =>
                getComputedStyle(document.querySelector(one)).display === 'none'),
            })"""
        )
    )
    page.send("Emulation.setEmulatedMedia", media="", features=[])
    assert found["paper"] == "rgb(255, 255, 255)" and found["left"].strip() == "#d8e0e8"
    assert max(found["wide"]) <= 780 and found["hidden"]


def test_keyboard_sorts_and_searches(page: Any, file: Path) -> None:
    """Tab alone reaches a sort button, the search and a host; Enter sorts; a VM's name finds its host."""
    page.open(file)
    reached = set()
    for _ in range(60):
        page.press("Tab", 9)
        reached.add(page.run("document.activeElement.id || document.activeElement.tagName"))
    assert {"find", "BUTTON", "SUMMARY", "A"} <= reached
    page.run("document.querySelectorAll('#hosttable thead button')[3].focus()")
    page.press("Enter", 13, "\r")
    assert page.run("document.querySelectorAll('#hosttable th')[3].getAttribute('aria-sort')") == "ascending"
    order = page.run("[...document.querySelectorAll('#hosttable tbody tr')].map((r) => Number(r.cells[3].textContent))")
    assert order == sorted(order)
    assert len(set(order)) > 1
    page.run("document.getElementById('find').focus()")
    page.send("Input.insertText", text="vm-20")
    page.run("new Promise((done) => setTimeout(done, 400))")
    shown = page.run("[...document.querySelectorAll('#hosttable tbody tr')].map((r) => r.cells[0].innerText)")
    assert shown == ["kvm-1"]


def test_report_works_without_script(page: Any, file: Path) -> None:
    """Without JavaScript all is there: hosts, maps and legends, and parts open by themselves."""
    page.open(file, script=False)
    document = page.send("DOM.getDocument", depth=-1)["root"]["nodeId"]

    def number(selector: str) -> int:
        return len(page.send("DOM.querySelectorAll", nodeId=document, selector=selector)["nodeIds"])

    assert number("#hosttable tbody tr") == 3
    assert number("#p1 > .map b") == 256
    assert number("#p1 .legend tbody tr") == 15
    assert number("button") == number("[hidden] button"), "no button that does nothing is seen"
    assert number("#search[hidden]") == 1
    assert number("svg.chart") >= 5


@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_nothing_serious(page: Any, file: Path, axe: str, dark: bool) -> None:
    """axe-core finds no serious or critical fault, light or dark."""
    page.open(file, dark=dark)
    page.run(axe + ";0")
    found = page.run("axe.run().then((got) => JSON.stringify(got.violations))")
    serious = [
        (one["id"], [node["html"][:200] for node in one["nodes"]][:5])
        for one in json.loads(found)
        if one["impact"] in ("serious", "critical")
    ]
    assert serious == []
    page.run("document.body.insertAdjacentHTML('beforeend', '<input><a href=#hosts></a>')")
    worse = page.run("axe.run().then((got) => got.violations.length)")
    assert worse >= 2, "axe sees what is wrong"


def typed(words: str) -> str:
    """Return the script that puts words into the search."""
    field = "document.getElementById('find')"
    return f"{field}.value = {json.dumps(words)}; {field}.dispatchEvent(new Event('input'))"


def test_search_is_on_top_and_narrows_map_and_table(page: Any, file: Path) -> None:
    """The search is in sight when the page opens; a VM's name leaves its host alone, with the key itself."""
    page.open(file, width=400, height=800)
    box = "document.getElementById('find').getBoundingClientRect()"
    assert page.run(f"{box}.bottom < innerHeight && {box}.height > 10")
    assert page.run("document.getElementById('shown').textContent") == "3 of 3 hosts"
    shown = "; document.getElementById('shown').textContent"
    assert page.run(typed("vm-20") + shown) == "1 of 3 hosts"
    assert page.run(typed("nobody") + shown) == "0 of 3 hosts"
    assert page.run(typed("") + shown) == "3 of 3 hosts"


def test_rows_and_parts_out_of_sight_follow_a_search(page: Any, tmp_path: Path) -> None:
    """Of 70 hosts the table has those in sight at once and all soon after, in order; parts that do not fit are gone."""
    made, plan = small_fleet(2)
    hosts = [made.hosts[0], *(replace(made.hosts[0], name=f"more-{n:02}") for n in range(69))]
    (tmp_path / "many.html").write_text(report_html(plan, replace(made, hosts=tuple(hosts))))
    page.open(tmp_path / "many.html")
    rows = "[...document.querySelectorAll('#hosttable tbody tr')].map((row) => row.cells[0].innerText)"
    after = "new Promise((done) => setTimeout(done, 200))"
    seen = "[...document.querySelectorAll('details.host')].filter((part) => !part.hidden).length"
    page.run(typed("more-0"))
    page.run(after)
    assert page.run(rows) == [f"more-{n:02}" for n in range(10)] and page.run(seen) == 1
    page.run(typed(""))
    page.run(after)
    assert page.run(rows) == [host.name for host in hosts] and page.run(seen) == 2


def test_map_goes_by_keyboard_to_a_host(page: Any, file: Path) -> None:
    """Arrow keys tell each host in words, Enter leads to its part; colours change with what is asked for."""
    page.open(file)
    page.run("document.getElementById('mapbox').focus()")
    page.press("ArrowRight", 39)
    page.press("ArrowRight", 39)
    said = page.run("document.getElementById('said').textContent")
    assert said.startswith("kvm-0; before: 15 VMs, CPUs ") and "after: 15 VMs" in said and "1 VM changes" in said
    page.press("Enter", 13, "\r")
    assert page.run("location.hash") == "#p1" and page.run("document.getElementById('p1').open")
    pixels = "document.querySelector('#mapbox canvas').toDataURL()"
    looks = set()
    for paint in ("cpu", "memory", "locality", "change", "hardware"):
        page.run(f"document.getElementById('paint').value = '{paint}'")
        page.run("document.getElementById('paint').dispatchEvent(new Event('change'))")
        looks.add(page.run(pixels))
    for side in ("before", "difference"):
        page.run(f"document.querySelector('input[value={side}]').click()")
        page.run("document.getElementById('paint').value = 'locality'")
        page.run("document.getElementById('paint').dispatchEvent(new Event('change'))")
        looks.add(page.run(pixels))
    assert len(looks) >= 6


def test_tables_and_map_are_given_as_csv(page: Any, file: Path) -> None:
    """What is shown comes as text; a name that begins like a formula is quoted, one with quotes doubles them."""
    page.open(file)
    got = page.run("tables.csv([['=1+1', 'a\"b', '-3', '1,024']]).text()")
    assert got == '\'=1+1,"a""b",-3,"1,024"\r\n'
    page.run("window.saved = []; URL.createObjectURL = (blob) => { saved.push(blob); return 'data:,'; }")
    page.run("document.getElementById('mapcsv').click()")
    rows = page.run("saved[0].text()").splitlines()
    assert len(rows) == 4 and rows[0].startswith("host,hardware,VMs before,CPUs before")
    assert page.run("document.querySelectorAll('main .csv').length") >= 5


def test_the_summary_prints_on_one_page(page: Any, file: Path) -> None:
    """The button leaves figures, sentences, goals, before and after: one sheet of paper; printing it all takes more."""
    page.open(file)
    assert page.run("Boolean(document.getElementById('briefly').offsetParent)")
    sheets = []
    for brief in (False, True):
        page.run(f"document.body.classList.toggle('briefly', {json.dumps(brief)})")
        drawn = base64.b64decode(page.send("Page.printToPDF", paperWidth=8.27, paperHeight=11.69)["data"])
        sheets.append(len(re.findall(rb"/Type\s*/Page\b", drawn)))
    page.run("document.body.classList.remove('briefly')")
    assert sheets[0] > 1 and sheets[1] == 1
