"""Run specs: rows to CSV with commit, versions and machine, and medians for people."""

from __future__ import annotations

import csv
import os
import platform
import statistics
import subprocess
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.registry import Row, Spec
from placer.errors import InputError

PACKAGES = ("numa-placer", "ortools", "numpy")


def machine() -> Row:
    """Return what a result depends on beside the code: commit, versions, processor, cores, load at the start."""
    row: Row = {"commit": _commit(), "python": platform.python_version(), "cpu": _cpu(), "cores": os.cpu_count()}
    for package in PACKAGES:
        try:
            row[package] = version(package)
        except PackageNotFoundError:
            row[package] = None
    row["load"] = round(os.getloadavg()[0], 2)
    return row


def run(
    spec: Spec, size: str | None, seeds: int | None, out: Callable[[Row], None], data: Path | None = None
) -> list[Row]:
    """Run one spec at a size (its first by default) and return its rows, the machine's columns added to each."""
    about = machine()
    size = size or next(iter(spec.sizes))
    rows = spec.run(size, range(seeds or spec.seeds), out, data)
    return [{**row, **about} for row in rows]


def write_csv(rows: Sequence[Row], path: Path, *, force: bool = False) -> None:
    """Write rows as CSV, every column that any of them has; what a row does not have stays empty.

    Raises
    ------
    InputError
        Something is there and `force` is not given, or it cannot be written.
    """
    columns = list(dict.fromkeys(column for row in rows for column in row))
    try:
        with path.open("w" if force else "x", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=columns, restval="", lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    except FileExistsError:
        raise InputError("is there already", file=str(path), cure="give --force to overwrite it") from None
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror or error}", file=str(path)) from None


def summary(spec: Spec, rows: Sequence[Row]) -> list[Row]:
    """Return one row a method: runs, median and worst of each of the spec's columns, and how many ended how.

    A row without a figure (a run that found nothing) counts among the runs, not in the median, and under `unknown`.
    """
    methods = dict.fromkeys(str(row["method"]) for row in rows)
    found: list[Row] = []
    for method in methods:
        own = [row for row in rows if row["method"] == method]
        entry: Row = {"method": method, "runs": len(own)}
        for column in spec.columns:
            figures = [row[column] for row in own if row.get(column) is not None]
            entry[column] = {
                "median": statistics.median(figures) if figures else None,
                "worst": max(figures) if figures else None,
                "unknown": len(own) - len(figures),
            }
        statuses = dict.fromkeys(str(row["status"]) for row in own)
        entry["statuses"] = {status: sum(1 for row in own if str(row["status"]) == status) for status in statuses}
        found.append(entry)
    return found


def _commit() -> str | None:
    """Return the commit of the checkout that runs, with a mark where it has been changed; None outside one."""
    folder = Path(__file__).resolve().parent
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() or None


def _cpu() -> str | None:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), None)
