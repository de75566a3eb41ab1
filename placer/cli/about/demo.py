"""``placer demo``: the main job on bundled data, each step with the command that does it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from placer.cli.answer import Answer
from placer.cli.terminal import Terminal
from placer.errors import InputError, RefusedPlanError
from placer.model.units import count
from placer.show.words import figure

if TYPE_CHECKING:
    from rich.console import Console

    from placer.model.fleet import Fleet
    from placer.model.plan import Plan

TIME_LIMIT_S = 60.0
HOST_FILE, FLEET_FILE, FULL_FILE = "hosts/two-node-40cpu.numactl.txt", "two-node.yaml", "full-load.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step: what it is for, the command that does it, what to draw, and the same as data."""

    name: str
    about: str
    command: str
    draw: Callable[[Console], None]
    data: Mapping[str, Any]


def demo(
    terminal: Terminal,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="DIR", help="Where files go; a new temporary folder by default."),
    ] = None,
) -> Answer:
    """Run the main job on bundled data."""
    folder = Path(output) if output is not None else Path(tempfile.mkdtemp(prefix="placer-demo-"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"the folder cannot be made: {error.strerror}", file=str(folder)) from None
    steps = _steps(bundled_data(), folder)

    def data() -> Mapping[str, Any]:
        return {"folder": str(folder), "steps": [{"step": step.name, "result": step.data} for step in steps]}

    def draw(console: Console) -> None:
        from rich.text import Text

        for number, step in enumerate(steps, start=1):
            console.print(Text(f"{number}. {step.about}", style="bold"))
            console.print(f"   $ {step.command}", soft_wrap=True)
            step.draw(console)
            console.print()
        console.print(f"The files are in {folder}", soft_wrap=True)

    return Answer(data=data, text=draw)


def bundled_data() -> Path:
    """Return the folder of the bundled inventories: inside the package where installed, else beside it in the checkout.

    Raises
    ------
    InputError
        It is in neither place.
    """
    package = Path(__file__).resolve().parents[2]
    for folder in (package / "data", package.parent / "data"):
        if (folder / FLEET_FILE).is_file():
            return folder
    raise InputError("the bundled inventories are not here", cure="install the wheel, or run in a checkout")


def _steps(data: Path, folder: Path) -> Iterator[Step]:
    """Do one step after the other; each is done when it is asked for, and printed before the next begins."""
    from placer.planner import solve_fleet
    from placer.read.inventory.inventory import read_fleet

    yield _show(data)
    fleet = read_fleet(data / FLEET_FILE)
    plan_file = folder / "plan.json"
    plan = solve_fleet(fleet, time_limit_s=TIME_LIMIT_S)
    yield _solve(fleet, plan, data / FLEET_FILE, plan_file)
    yield _check(fleet, plan, data / FLEET_FILE, plan_file)
    yield _pins(fleet, plan, plan_file)
    yield _export(fleet, plan, plan_file, folder / "libvirt")
    yield _compare(data / FULL_FILE)


def _show(data: Path) -> Step:
    from placer.read.hosts.host import read_topology
    from placer.show.hosts.data import host_data
    from placer.show.hosts.picture import draw_host

    path = data / HOST_FILE
    topology = read_topology(path)
    return Step(
        name="show",
        about="A host, read from the text of numactl --hardware",
        command=f"placer show {path}",
        draw=lambda console: draw_host(topology, path.name, console),
        data=host_data(topology, path.name),
    )


def _solve(fleet: Fleet, plan: Plan, fleet_file: Path, plan_file: Path) -> Step:
    from placer.cli.plans.plan_result import plan_outline
    from placer.emit.plan_file import write_plan
    from placer.show.plan_summary import draw_summary

    write_plan(plan, plan_file, force=True)
    return Step(
        name="solve",
        about=f"A plan for {count(len(fleet.vms), 'VM')} on it: no plan can be better than the bounds",
        command=f"placer solve {fleet_file} -o {plan_file}",
        draw=lambda console: draw_summary(plan, console),
        data=plan_outline(plan, str(plan_file)),
    )


def _check(fleet: Fleet, plan: Plan, fleet_file: Path, plan_file: Path) -> Step:
    from placer.check.check import check

    report = check(fleet, plan)
    if report.faults:
        raise RefusedPlanError(report.faults)
    score = figure(report.measured["locality_score"], 1)
    return Step(
        name="check",
        about="The plan checked by code that shares nothing with the solver",
        command=f"placer check {fleet_file} {plan_file}",
        draw=lambda console: console.print(f"   every constraint holds; locality score {score} of 100"),
        data={"ok": report.ok, "measured": dict(report.measured)},
    )


def _pins(fleet: Fleet, plan: Plan, plan_file: Path) -> Step:
    from placer.show.plan_picture import draw_plan, plan_host_data

    host = fleet.hosts[0].name
    return Step(
        name="map",
        about="Which VM has which CPUs",
        command=f"placer show {plan_file} {host}",
        draw=lambda console: draw_plan(plan, fleet, host, console),
        data=plan_host_data(plan, fleet, host),
    )


def _export(fleet: Fleet, plan: Plan, plan_file: Path, out: Path) -> Step:
    from placer.emit.export import export_plan

    written = export_plan(plan, fleet, "libvirt", out, force=True)
    files = [str(Path(path).relative_to(out)) for path in written]

    def draw(console: Console) -> None:
        for file in files:
            console.print(f"   {file}", soft_wrap=True)

    return Step(
        name="export",
        about="Domain XML for virsh define, patched where it refers to the host and left alone elsewhere",
        command=f"placer export {plan_file} --to libvirt -o {out}",
        draw=draw,
        data={"files": files},
    )


def _compare(path: Path) -> Step:
    from placer.planner import solve_fleet
    from placer.read.inventory.inventory import read_fleet

    fleet = read_fleet(path)
    goals = {
        name: {goal.name: goal.value for goal in solve_fleet(fleet, engine=name, time_limit_s=TIME_LIMIT_S).goals}
        for name in ("greedy", "exact")
    }

    def draw(console: Console) -> None:
        for name, values in goals.items():
            remote, unplaced = figure(values.get("remote")), figure(values.get("placed"))
            console.print(f"   {name:<7} {unplaced} vCPUs without a place, remote access {remote}")

    return Step(
        name="compare",
        about="Why prove it: hosts at 100 % load, one VM after the other against all at once",
        command=f"placer solve {path} --engine greedy -o greedy.json",
        draw=draw,
        data={"goals": goals},
    )
