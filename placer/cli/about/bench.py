"""``placer bench``: run benchmarks, print medians, keep every run as CSV."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from placer.cli.answer import Answer
from placer.cli.inputs import refuse_existing
from placer.cli.terminal import Terminal
from placer.errors import MissingToolError
from placer.model.units import count

if TYPE_CHECKING:
    from rich.console import Console

    from benchmarks.registry import Row, Spec

ALL = "all"


def bench(
    terminal: Terminal,
    specs: Annotated[
        list[str] | None,
        typer.Argument(metavar="SPEC", help="Names of benchmarks, or all; without one they are listed."),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option("--size", metavar="NAME", help="A size of the benchmark, such as smoke; its first by default."),
    ] = None,
    seeds: Annotated[int | None, typer.Option("--seeds", min=1, max=1000, help="How many seeds.")] = None,
    data: Annotated[
        Path | None, typer.Option("--data", metavar="FILE", help="A file of instances, for benchmarks that read one.")
    ] = None,
    output: Annotated[str | None, typer.Option("--output", "-o", metavar="FILE", help="Every run, as CSV.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
) -> Answer:
    """Run benchmarks."""
    try:
        from benchmarks import registry, runner
    except ImportError:
        raise MissingToolError("this build has no benchmarks", cure="run it from a checkout or the wheel") from None
    if not specs:
        known = registry.specs()
        text = "\n".join(f"{name}: {each.about} Sizes: {', '.join(each.sizes)}." for name, each in known.items())
        return Answer(data=lambda: {"specs": {name: each.about for name, each in known.items()}}, text=text)
    if output is not None:
        refuse_existing(output, force)
    chosen = [registry.spec(name) for name in (registry.names() if specs == [ALL] else specs)]
    rows: list[Row] = []
    summaries: list[tuple[Spec, list[Row]]] = []
    for each in chosen:
        own = runner.run(each, size, seeds, lambda row: terminal.note(_progress(row)), data)
        summaries.append((each, runner.summary(each, own)))
        rows += own
    if output is not None:
        runner.write_csv(rows, Path(output), force=force)
        terminal.note(f"wrote {output}")

    def result() -> dict[str, Any]:
        return {"summary": {each.name: entries for each, entries in summaries}, "rows": rows}

    return Answer(data=result, text=lambda console: _draw(summaries, runner.machine(), console))


def _progress(row: Row) -> str:
    return (
        f"{row['spec']} {row['instance']}, seed {row['seed']}: {row['method']}: {row['status']}{_took(row['seconds'])}"
    )


def _took(seconds: float | None) -> str:
    return "" if seconds is None else f" in {seconds:.2f} s"


def _draw(summaries: list[tuple[Spec, list[Row]]], machine: Row, console: Console) -> None:
    from rich.table import Table

    console.print(f"commit {machine['commit']}, OR-Tools {machine['ortools']}, Python {machine['python']}")
    console.print(f"{count(machine['cores'], 'core')}, {machine['cpu']}")
    for each, entries in summaries:
        console.print()
        console.print(f"{each.name}: {each.about}")
        for entry in entries:
            statuses = ", ".join(f"{number} {status}" for status, number in entry["statuses"].items())
            console.print(f"  {entry['method']}: {entry['runs']} runs: {statuses}")
            table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
            for column in ("", "median", "worst"):
                table.add_column(column, justify="right" if column else "left")
            for column, form in each.columns.items():
                told = entry[column]
                texts = ["unknown" if told[key] is None else form.format(told[key]) for key in ("median", "worst")]
                missing = f" ({told['unknown']} unknown)" if told["unknown"] else ""
                table.add_row(f"    {column}{missing}", *texts)
            console.print(table)
