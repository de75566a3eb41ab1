"""``placer bench``: specs listed and run, every run as CSV."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

Placer = Callable[..., Any]


def test_specs_are_listed(placer: Placer) -> None:
    """Without a name the benchmarks are listed with what each is about."""
    run = placer("bench")
    assert run.code == 0 and "single-host: " in run.out
    assert "single-host" in placer("bench", "--json").envelope["result"]["specs"]


def test_smoke_run_to_csv(placer: Placer, tmp_path: Path) -> None:
    """A smoke run prints a median a method and writes a row a run with commit, versions and machine."""
    path = tmp_path / "runs.csv"
    run = placer("bench", "single-host", "--size", "smoke", "--seeds", "2", "-o", path)
    assert run.code == 0 and "median" in run.out
    rows = list(csv.DictReader(path.open()))
    assert len(rows) == 4
    assert {row["status"] for row in rows} == {"optimal"}
    assert all(row["ortools"] and row["python"] and row["cores"] for row in rows)
    again = placer("bench", "single-host", "--size", "smoke", "--seeds", "1", "-o", path)
    assert again.code == 2 and "--force" in again.err


def test_unknown_names(placer: Placer) -> None:
    """An unknown benchmark or size is refused with those there are."""
    assert "single-host" in placer("bench", "nope").err
    run = placer("bench", "single-host", "--size", "gigantic")
    assert run.code == 2 and "smoke" in run.err
