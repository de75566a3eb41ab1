"""``placer solvers``: the engines, what each is for, and what it proves."""

from __future__ import annotations

import importlib.util
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from placer.cli.answer import Answer
from placer.cli.terminal import Terminal

if TYPE_CHECKING:
    from rich.console import Console

ENGINES = (
    {
        "name": "exact",
        "module": "solvers.exact.search",
        "for": "up to about ten hosts: every goal, every rule",
        "how": "CP-SAT on counts of VMs per host and placement, goals one after the other",
        "proves": "optimality of each goal, or a bound on it",
    },
    {
        "name": "columns",
        "module": "solvers.columns.engine",
        "for": "fleets of many hosts alike, empty or live",
        "how": "Dantzig-Wolfe over host states: GLOP master, exact pricing, then integers and a neighbourhood search",
        "proves": "a bound on each goal that a second solver can confirm (placer check --bound)",
    },
    {
        "name": "greedy",
        "module": "solvers.starts.best_fit",
        "for": "a first plan at once, and the start of the others",
        "how": "best fit, largest VMs first",
        "proves": "nothing, except where no cost is negative and nothing costs anything",
    },
)
"""`auto` takes ``exact`` for small problems and ``columns`` for large ones, as far as it knows what is asked."""


def solvers(terminal: Terminal) -> Answer:
    """List the engines and what each can do."""
    engines = [{**engine, "available": importlib.util.find_spec(engine["module"]) is not None} for engine in ENGINES]
    packages = {"ortools": version("ortools")}

    def draw(console: Console) -> None:
        from rich.table import Table

        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for engine in engines:
            missing = "" if engine["available"] else " (not in this build)"
            rows = [(label, str(engine[label])) for label in ("for", "how", "proves")]
            for number, (label, text) in enumerate(rows):
                table.add_row(
                    str(engine["name"]) if number == 0 else "", label, text + (missing if number == 0 else "")
                )
        console.print(table)
        console.print(f"auto picks by size. OR-Tools {packages['ortools']}.")

    def data() -> dict[str, Any]:
        return {
            "engines": [{key: value for key, value in engine.items() if key != "module"} for engine in engines],
            "packages": packages,
        }

    return Answer(data=data, text=draw)
