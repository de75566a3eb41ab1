"""``placer solve``: plan a fleet, say how good the plan is, write it."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from placer.cli.answer import Answer
from placer.cli.durations import parse_duration_s
from placer.cli.executor import opened_executor
from placer.cli.inputs import STDIN, MaxHosts, MaxVms, Reading, read_fleet, refuse_existing_plan
from placer.cli.interrupts import run_interruptible
from placer.cli.plans.plan_result import plan_document, plan_outline
from placer.cli.plans.requirements import parse_requirements, unmet
from placer.cli.progress import ProgressPrinter
from placer.cli.terminal import INTERRUPTED, Terminal
from placer.errors import InputError
from placer.model.goals import parse_goals

if TYPE_CHECKING:
    from rich.console import Console

    from placer.model.fleet import Fleet
    from placer.model.plan import Plan
    from solvers.result import Interrupt


class PinChoice(StrEnum):
    """Which VMs that float ``--pin`` binds."""

    NONE = "none"
    WORTH = "worth"
    ALL = "all"


class EngineChoice(StrEnum):
    """The engines that ``--engine`` names."""

    AUTO = "auto"
    EXACT = "exact"
    COLUMNS = "columns"
    STATES = "states"  # the older name of ``columns``
    GREEDY = "greedy"


def solve(
    terminal: Terminal,
    fleet: Annotated[str, typer.Argument(metavar="FLEET", help="The inventory; - reads standard input.")],
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="Where the plan goes; - prints it.")],
    goals: Annotated[
        str | None,
        typer.Option("--goals", metavar="LIST", help="Goals in order, such as placed,rules,remote~1%,hosts."),
    ] = None,
    time_limit: Annotated[str, typer.Option("--time-limit", metavar="TIME", help="Such as 90s, 5m, 1h30m.")] = "60s",
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**31 - 1, help="The same seed gives the same plan.")] = 0,
    max_moves: Annotated[
        int | None,
        typer.Option(
            "--max-moves", min=0, help="Most VMs that change host or node. Where VMs run: 0, but to empty hosts."
        ),
    ] = None,
    max_migrations: Annotated[
        int | None, typer.Option("--max-migrations", min=0, help="Most VMs that change host.")
    ] = None,
    max_repins: Annotated[
        int | None,
        typer.Option("--max-repins", min=0, help="Most VMs that stay and get other CPUs or sets; no limit."),
    ] = None,
    pin: Annotated[
        PinChoice, typer.Option("--pin", help="Which VMs that float are bound to nodes, beside those that must.")
    ] = PinChoice.NONE,
    require: Annotated[
        str | None,
        typer.Option("--require", metavar="LIST", help="placed, rules, gap=0.5%: exit 3 or 5 where not reached."),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 3 where anything is proven to have no place.")] = False,
    engine: Annotated[
        EngineChoice, typer.Option("--engine", help="Which engine; auto picks by size.")
    ] = EngineChoice.AUTO,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, max=1024, help="Threads that search; as many as cores if not said."),
    ] = None,
    executor: Annotated[
        str | None, typer.Option("--executor", metavar="WHERE", help="A Dask cluster: dask:tcp://SCHEDULER:8786.")
    ] = None,
    rounds: Annotated[
        int | None, typer.Option("--rounds", min=1, help="Replay as many rounds as a plan records.")
    ] = None,
    running_only: Annotated[bool, typer.Option("--running-only", help="Leave out VMs that are shut off.")] = False,
    max_hosts: MaxHosts = None,
    max_vms: MaxVms = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the plan.")] = False,
) -> Answer:
    """Plan a fleet and prove how good the plan is."""
    from placer.model.units import count

    requirements = replace(parse_requirements(require), strict=strict)
    time_limit_s = parse_duration_s(time_limit, "--time-limit")
    refuse_existing_plan(output, force)
    reading = Reading(running_only=running_only, max_hosts=max_hosts, max_vms=max_vms)
    model = read_fleet(fleet, terminal, reading)
    if strict and model.is_live and "excess" not in (goal.name for goal in parse_goals(goals, model)):
        raise InputError("it asks for the goal excess", field="--strict", cure="add excess to --goals, after placed")
    started_s = time.monotonic()
    printer = ProgressPrinter(terminal)

    with opened_executor(executor) as pool:

        def work(interrupt: Interrupt) -> Plan:
            from placer.planner import solve_fleet
            from placer.sweeps.executors import cores
            from solvers.choice import UnsupportedError

            interrupt.preparing = True
            try:
                return solve_fleet(
                    model,
                    goals=goals,
                    time_limit_s=time_limit_s,
                    seed=seed,
                    max_moves=max_moves,
                    max_migrations=max_migrations,
                    max_repins=max_repins,
                    pin=pin.value,
                    engine=engine.value,
                    workers=workers or cores(),
                    executor=pool,
                    rounds=rounds,
                    on_progress=printer,
                    interrupt=interrupt,
                )
            except UnsupportedError as error:
                raise InputError(str(error), field="--engine") from None

        try:
            plan, interrupted = run_interruptible(work, terminal)
        finally:
            printer.finish()
    # Whoever reads the fleet for this plan must read the same.
    plan = replace(plan, options={**plan.options, **reading.options})
    terminal.warn(plan.warnings)
    if max_moves is None and max_migrations is None and plan.options.get("max_moves") == 0:
        terminal.note("VMs that run were not allowed to move: --max-moves N lets N of them")
    # The same steps give the same plan, wherever the clock cut them.
    terminal.note(f"solved in {time.monotonic() - started_s:.1f} s and {count(plan.rounds, 'round')}{_steps(plan)}")
    return Answer(
        data=lambda: {
            **(plan_document(plan) if output == STDIN else plan_outline(plan, output)),
            "interrupted": interrupted,
        },
        text=_written(plan, model, output, force, terminal),
        failure=unmet(requirements, plan),
        exit_code=INTERRUPTED if interrupted else 0,
    )


def _written(plan: Plan, fleet: Fleet, output: str, force: bool, terminal: Terminal) -> Callable[[Console], None]:
    """Write the plan to its file now; return what draws the summary, and prints the plan where that is the result."""
    from placer.emit.plan_file import plan_text, write_plan
    from placer.show.plan_summary import draw_summary

    if output != STDIN:
        write_plan(plan, output, force=force)
        terminal.note(f"wrote {output}")
        return lambda console: draw_summary(plan, console, fleet)

    def print_plan(_console: Console) -> None:
        sys.stdout.writelines(plan_text(plan))
        if not terminal.quiet:
            draw_summary(plan, terminal.console(terminal.err), fleet)

    return print_plan


def _steps(plan: Plan) -> str:
    """Return how many steps each stage of the work took."""
    steps: Counter[str] = Counter()
    for part in plan.work:
        steps[part.stage] += part.steps
    told = ", ".join(f"{stage} {many:,}" for stage, many in steps.items() if many)
    return f" (steps: {told})" if told else ""
