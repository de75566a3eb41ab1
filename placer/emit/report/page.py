"""What a report and the page of `placer serve` share: the head, the parts as tables and charts, the map in columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from placer.emit.report.charts import Chart
from placer.emit.report.columns import fleet_columns
from placer.emit.report.compare import compared
from placer.emit.report.course import Point, course_charts
from placer.emit.report.lead import facts, locality_chart
from placer.emit.report.sections import (
    LISTED,
    Sheet,
    before_after,
    capacity_bars,
    change_sheet,
    columns,
    common_sizes,
    goal_sheet,
    headroom_sheet,
    move_sheet,
    now_and_planned,
    soft_sheet,
    unplaced_sheet,
    usage_sheet,
)
from placer.emit.report.since import since_counts, since_sheet
from placer.emit.report.timeline import wave_chart
from placer.explain.diff import Comparison
from placer.explain.states import State, between
from placer.measure.before import goals_before
from placer.model.fleet import Fleet
from placer.model.goals import HeadroomFlavor
from placer.model.plan import Change, Plan
from placer.model.units import count
from placer.moves.changes import Changes, plan_changes
from placer.moves.schedule import schedule_moves
from placer.read.documents.comparison_file import Scenario
from placer.show.plan_sentences import sentences
from placer.show.words import visible
from placer.whatif.headroom import Headroom, headroom

if TYPE_CHECKING:
    from jinja2 import Environment, Template


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of the page: its short title in the contents, its charts, its table; `brief` stands in the summary."""

    title: str
    sheet: Sheet
    charts: tuple[Chart, ...] = ()
    brief: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The page of a fleet: `facts` are its figures in words, `lead` its sentences, `map` the columns of its map."""

    title: str
    facts: Sequence[tuple[str, str]]
    lead: Sequence[str]
    bars: Sequence[dict[str, Any]]
    warnings: Sheet | None
    parts: Sequence[Section]
    map: dict[str, Any]

    @property
    def context(self) -> dict[str, Any]:
        """What the templates ask for, but for the map."""
        names = ("title", "facts", "lead", "bars", "warnings", "parts")
        return {name: getattr(self, name) for name in names}


def plan_page(
    fleet: Fleet,
    plan: Plan,
    *,
    flavors: Sequence[HeadroomFlavor] = (),
    scenarios: Sequence[Scenario] = (),
    patterns: Sequence[int] | None = None,
    since: Since | None = None,
    course: Mapping[str, Sequence[Point]] | None = None,
) -> Page:
    """Return the page of a plan; see `placer.emit.report.report.report_html`."""
    compare = compared(scenarios) if scenarios else None
    now = now_and_planned(fleet, plan)
    room = counted(fleet, plan, flavors)
    changes = plan_changes(fleet, plan)
    found = [
        titled("Goals", goal_sheet(plan, goals_before(fleet, plan)), course_charts(course or {}), brief=True),
        titled("Without a place", unplaced_sheet(plan)),
        titled("Soft rules", soft_sheet(plan)),
        titled("Before and after", before_after(fleet, plan, now), [locality_chart(plan, now)], brief=True),
        since.section if since else None,
        titled("What if", compare.sheet if compare else None, compare.charts if compare else ()),
        titled("Failures", compare.failures if compare else None),
        titled("Changes", change_sheet(changes)),
        _schedule(fleet, plan, changes),
        titled("Headroom", headroom_sheet(room)),
        titled("Little used", usage_sheet(fleet)),
    ]
    return Page(
        title=f"Placement of {visible(plan.fleet_path or 'fleet')}",
        facts=facts(plan, fleet),
        lead=sentences(plan, fleet),
        bars=capacity_bars(plan.summary),
        warnings=warning_sheet([*plan.warnings, *fleet.warnings]),
        parts=[part for part in found if part is not None],
        map=fleet_columns(fleet, plan, room=room, patterns=patterns, since=since.counts(fleet) if since else None),
    )


def _schedule(fleet: Fleet, plan: Plan, changes: Changes) -> Section | None:
    """Return the waves; None where no VM that is on a host changes."""
    if all(vm.change is Change.NONE for vm in plan.vms):
        return None
    schedule = schedule_moves(fleet, plan)
    return titled("Schedule", move_sheet(schedule, changes), [wave_chart(schedule)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Since:
    """An earlier state of the fleet beside the one that is shown: what it is called, and what differs."""

    name: str
    compared: Comparison

    @classmethod
    def of(cls, earlier: State, fleet: Fleet, plan: Plan | None) -> Since:
        """Return what differs from an earlier state."""
        return cls(name=earlier.name, compared=between(earlier, State(fleet=fleet, plan=plan)))

    @property
    def section(self) -> Section | None:
        """Return what differs as a part of the page."""
        return titled("Since then", since_sheet(self.compared, self.name))

    def counts(self, fleet: Fleet) -> Sequence[int]:
        """Return how many VMs differ a host, for the map."""
        return since_counts(self.compared, fleet)


def counted(fleet: Fleet, plan: Plan | None, flavors: Sequence[HeadroomFlavor] = ()) -> tuple[Headroom, ...]:
    """Return the headroom beside a plan, or beside what is there now: of the flavors, or of the commonest sizes."""
    chosen = list(flavors) or common_sizes(fleet)
    return headroom(fleet, chosen, plan=plan) if chosen and fleet.hosts else ()


def titled(
    title: str, sheet: Sheet | None, charts: Sequence[Chart | None] = (), *, brief: bool = False
) -> Section | None:
    """Return a part of the page; None where there is nothing to tell."""
    drawn = tuple(one for one in charts if one is not None)
    return None if sheet is None else Section(title=title, sheet=sheet, charts=drawn, brief=brief)


def warning_sheet(said: Sequence[str]) -> Sheet | None:
    """Return warnings, each once; None where there are none."""
    told = list(dict.fromkeys(said))
    if not told:
        return None
    more = f"and {len(told) - LISTED:,} more" if len(told) > LISTED else ""
    caption = count(len(told), "warning")
    return Sheet(
        caption=caption, columns=columns("warning"), rows=[(visible(one),) for one in told[:LISTED]], more=more
    )


@lru_cache(maxsize=1)
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("placer.emit.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def template(name: str) -> Template:
    """Return a template by the name of its file."""
    return _environment().get_template(name)


def source(name: str) -> str:
    """Return a style sheet or script as it stands in its file."""
    loader = _environment().loader
    assert loader is not None
    return loader.get_source(_environment(), name)[0].strip()
