"""Charts of a report: lengths that say the figures, unknown values without a bar, names that stay text."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from placer.emit.report.charts import Bar, chart
from placer.emit.report.compare import compared
from placer.read.documents.comparison_file import Scenario

NASTY = "</svg><script>x</script>\"'&\n"


def scenario(name: str, **planned: Any) -> Scenario:
    """Return a scenario; without anything planned it is impossible."""
    row: dict[str, Any] = {"name": name, "changes": ["grow"], "status": "optimal" if planned else "impossible"}
    base: dict[str, Any] = {
        "vms": 4,
        "placed": 4,
        "unplaced": {},
        "remote_access": 2.0,
        "locality_score": 90.0,
        "hosts_used": 1,
        "hosts": 2,
        "headroom": {},
        "migrations": 0,
        "node_changes": 0,
        "goals": [{"name": "remote", "value": 2.0, "bound": 1.0, "gap": 0.5, "status": "feasible"}],
    }
    return Scenario.model_validate({**row, "planned": {**base, **planned}} if planned else {**row, "reason": "no room"})


def test_bars_are_as_long_as_their_figures() -> None:
    """The largest value, whole or bound is the full width; others are in proportion; what is unknown has no bar."""
    bars = [
        Bar(label="a", value=4, text="4", of=8),
        Bar(label="b", value=2, text="2", mark=1.0),
        Bar(label="c", value=None, text="unknown"),
    ]
    made = chart("VMs", bars, number=7)
    assert made is not None
    root = ElementTree.fromstring(made.svg)
    shown = [(one.get("class"), one.get("width")) for one in root.findall("rect")]
    assert shown == [("behind", "100.00%"), ("bar first", "50.00%"), ("bar", "25.00%")]
    assert [one.get("x1") for one in root.findall("line")] == ["12.50%"]
    assert "unknown" in made.svg and root.get("aria-labelledby") == "chart7t chart7d"


def test_a_chart_that_would_say_nothing_is_none() -> None:
    """One row, or nothing above 0, is no chart."""
    assert chart("x", [Bar(label="a", value=1, text="1")]) is None
    assert chart("x", [Bar(label="a", value=0, text="0"), Bar(label="b", value=None, text="unknown")]) is None


def test_names_are_text() -> None:
    """A name cannot end the drawing; a long one is cut in the picture and whole in its description."""
    made = chart(NASTY, [Bar(label=NASTY, value=1, text="1"), Bar(label="x" * 90, value=2, text="2")])
    assert made is not None
    root = ElementTree.fromstring(made.svg)
    assert root.find("script") is None
    texts = [one.text or "" for one in root.findall("text")]
    assert any(text.startswith("xxx") and text.endswith("…") and len(text) <= 42 for text in texts)
    assert "x" * 90 in str(root.findtext("desc"))


def test_comparison_has_charts_and_the_same_figures_as_a_table() -> None:
    """Every scenario is a row in each chart and in the table; one without a plan says so and has no bar."""
    rows = [
        scenario("base", headroom={"2x2GiB": {"fit": 8, "runs_out_first": "memory"}}),
        scenario("more", placed=3, unplaced={"no room": 1}, remote_access=None, headroom={"2x2GiB": {"fit": 2}}),
        scenario("never"),
    ]
    found = compared(rows)
    titles = [one.title for one in found.charts]
    assert [title.partition(":")[0].partition(",")[0] for title in titles] == [
        "VMs placed",
        "Remote access in vCPU equivalents",
        "Hosts in use",
        "Headroom",
    ]
    assert all(one.svg.count("<text") == 6 and "impossible" in one.svg for one in found.charts)
    remote = ElementTree.fromstring(found.charts[1].svg)
    assert len(remote.findall("rect")) == 1 and len(remote.findall("line")) == 2
    table = [dict(zip([column.title for column in found.sheet.columns], row, strict=True)) for row in found.sheet.rows]
    assert [row["remote access"] for row in table] == ["2", "unknown", ""]
    assert [row["placed"] for row in table] == ["4/4", "3/4", ""] and table[0]["widest gap"] == "50 %"
    assert "more: 1 VM without a place: no room" in found.sheet.notes
    assert "never has no plan (impossible): no room" in found.sheet.notes and found.failures is None


def test_failures_are_told_with_what_they_cost() -> None:
    """Harmful failures are a table, unknown ones are unknown, and the worst of each scenario is a bar."""
    sweep = {"scope": "host", "at_once": 1, "combinations": 3, "harmful": [], "unknown": []}
    harm = {"domains": ["a", "b"], "vms": 4, "vms_lost": 2, "proven": True, "ways": 7}
    rows = [
        scenario("base", failures=sweep),
        scenario("more", failures={**sweep, "harmful": [harm], "unknown": [{"domains": ["c"], "why": "no time"}]}),
    ]
    found = compared(rows)
    assert found.failures is not None
    assert list(found.failures.rows) == [
        ("more", "a + b", "2", "4", "yes"),
        ("more", "c", "unknown", "", "no time"),
    ]
    worst = next(one for one in found.charts if one.title.startswith("Worst failure"))
    assert "more: 3 failures looked at, 7 leave VMs without a place, 1 not known" in found.failures.notes
    over = {"parts": {"KiB of memory": 1024}, "why": "a is too large"}
    kept = {"rule": "reserve", "proven": False, "value": 4, "bound": 2}
    notes = compared([scenario("base"), scenario("less", over=over, reserve=[kept])]).sheet.notes
    assert "less: VMs that run would take 1 MiB of memory more than their hosts have: a is too large" in notes
    assert "less: reserve is not proven to be kept: lacks 4, in any plan at least 2" in notes
    assert "2 of 4 on a, b" in worst.svg and "0: every VM finds a place" in worst.svg


def test_every_class_of_a_chart_has_a_style() -> None:
    """What a drawing names is styled for light and dark by variables, never by a colour of its own."""
    style = (Path(__file__).parents[3] / "placer/emit/report/templates/report.css").read_text()
    made = chart("x", [Bar(label="a", value=1, text="1", of=2, mark=1), Bar(label="b", value=2, text="2")])
    assert made is not None and "fill=" not in made.svg
    for part in {word for group in re.findall(r'class="([^"]+)"', made.svg) for word in group.split()}:
        assert f".{part}" in style
