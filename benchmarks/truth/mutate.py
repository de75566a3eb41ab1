"""Documents damaged at random: each is refused by a named error or taken, within 5 s and 1 GB.

Plans and certificates go through `check --bound`, scenarios and results files through `whatif`, comparisons through
the reader of `report`.
"""

from __future__ import annotations

import contextlib
import copy
import gc
import json
import random
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import placer
from placer.errors import PlacerError

MOST_SECONDS = 5.0
MOST_BYTES = 1 << 30
_INVENTORY = {
    "schema": "placer.inventory/v1",
    "hosts": [
        {
            "name": f"h{number}",
            "nodes": [
                {"id": 0, "cpus": "0-3", "memory": "8GiB", "pages": {"2MiB": 512}},
                {"id": 1, "cpus": "4-7", "memory": "8GiB"},
            ],
            "siblings": ["0-1", "2-3", "4-5", "6-7"],
            "devices": [{"address": "0000:01:00.0", "kind": "nic", "node": 1}],
            "reserve": {"memory": "512MiB"},
        }
        for number in range(3)
    ],
    "vms": [
        {"name": "wide", "vcpus": 6, "memory": "4GiB", "thread_policy": "require"},
        {"name": "paged", "vcpus": 2, "memory": "512MiB", "page_size": "2MiB", "devices": [{"kind": "nic"}]},
        {"name": "floats", "vcpus": 2, "memory": "1GiB", "cpu_policy": "shared", "host": "h1", "nodes": []},
        {"name": "runs", "vcpus": 2, "memory": "1GiB", "host": "h1", "nodes": [0], "pins": {"0": "0", "1": "1"}},
        {"name": "never", "vcpus": 9, "memory": "1GiB", "cells": "none"},
    ],
    "rules": [{"anti_affinity": {"name": "wide"}, "scope": "host"}],
}
_SCENARIO = {
    "schema": "placer.scenario/v1",
    "name": "a host more",
    "edits": [
        {"add_hosts": {"like": "h0", "count": 1, "labels": {"rack": "r2"}}},
        {"fail": "h2"},
        {"overcommit": {"cpu": 2}, "hosts": "h1"},
        {"pages": {"2MiB": "10%"}, "hosts": "h1"},
        {"grow": {"2x1GiB": 1}},
        {"change_vms": {"vcpus": 3}, "vms": "runs"},
    ],
}
_ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    10**30,
    1e308,
    0.5,
    "",
    "0-65535",
    "9" * 400,
    "NaN",
    "\x00",
    "é\u202e",
    [],
    {},
    [[]],
    {"": {"": []}},
    ["h0", None, 3],
    {"schema": "placer.plan/v1"},
)


class TooLong(BaseException):
    """A document takes longer than it may; no handler of errors swallows it."""


def kinds() -> dict[str, Callable[[random.Random, Path], Callable[[], None]]]:
    """Return what is damaged: each makes a damaged document in a folder and returns who reads it."""
    return {
        "plan": _plan,
        "certificate": _certificate,
        "columns certificate": _columns_certificate,
        "scenario": _scenario,
        "comparison": _comparison,
        "results": _results,
    }


def mutated(kind: str, seed: int) -> tuple[str | None, float, str]:
    """Damage one document and read it.

    Returns
    -------
    What is wrong with how it was taken, None where nothing is; seconds; and whether it was refused.
    """
    rng = random.Random(f"{kind} {seed}")
    with tempfile.TemporaryDirectory() as folder:
        read = kinds()[kind](rng, Path(folder))
        _forget_peak()
        began, wrong, how, held = time.monotonic(), None, "taken", _bytes_of("VmRSS")
        try:
            with _at_most(MOST_SECONDS):
                read()
        except PlacerError:
            how = "refused"
        except TooLong:
            wrong = f"SLOW more than {MOST_SECONDS:g} s"
        except Exception as error:
            import traceback

            where = traceback.extract_tb(error.__traceback__)[-1]
            wrong = f"CRASH {type(error).__name__} {str(error)[:200]} at {Path(where.filename).name}:{where.lineno}"
        seconds = time.monotonic() - began
    grown = _bytes_of("VmHWM") - held
    if wrong is None and grown > MOST_BYTES:
        wrong = f"LARGE {grown >> 20} MiB"
    return wrong, seconds, how


@contextlib.contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    """Let CPU time run out, not time that others take."""

    def late(_signal: int, _frame: FrameType | None) -> None:
        raise TooLong

    before = signal.signal(signal.SIGVTALRM, late)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _forget_peak() -> None:
    """Have the kernel count the most memory held anew: what ran before in this process is not the document's.

    Nor is what ran before given back while the document is read, which would hide as much.
    """
    gc.collect()
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _bytes_of(field: str) -> int:
    """Return memory held now (``VmRSS``) or at most (``VmHWM``); elsewhere than on Linux at most in both cases."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    line = next(line for line in status.read_text().splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1]) * 1024


def damage_json(rng: random.Random, text: str) -> bytes:
    """Return a JSON document with one to three things wrong: values, keys, nesting, or bytes."""
    if rng.random() < 0.2:
        return _damage_bytes(rng, text.encode())
    tree = json.loads(text)
    for _ in range(rng.choice((1, 1, 2, 3))):
        at, key = rng.choice(list(_places(tree)))
        _damage_at(rng, at, key)
    return json.dumps(tree).encode()


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every (object or list, key or index) of a tree."""
    items = list(tree.items()) if isinstance(tree, dict) else list(enumerate(tree)) if isinstance(tree, list) else []
    for key, value in items:
        yield tree, key
        yield from _places(value)


def _damage_at(rng: random.Random, at: Any, key: Any) -> None:
    if key not in (at if isinstance(at, dict) else range(len(at))):
        return
    value = at[key]
    how = rng.choice(("odd", "odd", "odd", "gone", "twice", "deep", "number", "rename"))
    if how == "gone":
        del at[key]
    elif how == "twice" and isinstance(at, list):
        at.insert(key, copy.deepcopy(value))
    elif how == "deep":
        for _ in range(rng.choice((1, 3, 40, 200))):
            value = [value]
        at[key] = value
    elif how == "number" and isinstance(value, (int, float)):
        at[key] = rng.choice((value + 1, -value, value * 2**40, value / 3, 65536, float(value)))
    elif how == "rename" and isinstance(at, dict):
        at[rng.choice(("name", "nodes", "x", "-1", "65536", f"{key} "))] = at.pop(key)
    else:
        at[key] = copy.deepcopy(rng.choice(_ODD))


def _damage_bytes(rng: random.Random, data: bytes) -> bytes:
    cut = rng.randrange(len(data))
    how = rng.choice(("cut", "flip", "hole", "insert", "deep"))
    if how == "cut":
        return data[:cut]
    if how == "flip":
        return data[:cut] + bytes((data[cut] ^ (1 << rng.randrange(8)),)) + data[cut + 1 :]
    if how == "hole":
        return data[:cut] + data[cut + rng.randint(1, 40) :]
    if how == "insert":
        return data[:cut] + rng.choice((b"\x00", b"NaN", b"1e999", b'"', b"}", b"\xff", b",", b"[[")) + data[cut:]
    return data[:cut] + b"[" * rng.choice((30, 5_000, 100_000)) + data[cut:]


_MADE: dict[str, Any] = {}
"""What is damaged, made once a process."""


def _fleet(folder: Path) -> Any:
    path = folder / "fleet.json"
    path.write_text(json.dumps(_INVENTORY))
    return placer.read_fleet(path)


def _texts(engine: str) -> tuple[str, str]:
    """Return a plan of the fleet and its certificate as they are written."""
    from placer.emit.plan_file import write_plan
    from placer.read.documents.plan_file import certificate_path

    if engine not in _MADE:
        with tempfile.TemporaryDirectory() as name:
            fleet = _fleet(Path(name))
            plan = placer.solve(fleet, goals="placed,excess,rules,remote,moves", engine=engine, max_moves=1)  # type: ignore[arg-type]
            write_plan(plan, Path(name) / "plan.json")
            beside = certificate_path(Path(name) / "plan.json")
            _MADE[engine] = (Path(name) / "plan.json").read_text(), beside.read_text()
    found: tuple[str, str] = _MADE[engine]
    return found


def _checker(folder: Path, *, bound: bool) -> Callable[[], None]:
    def read() -> None:
        from placer.check.check import check
        from placer.read.documents.plan_file import read_plan

        check(_fleet(folder), read_plan(folder / "plan.json", certificate=bound), bound=bound)

    return read


def _plan(rng: random.Random, folder: Path) -> Callable[[], None]:
    (folder / "plan.json").write_bytes(damage_json(rng, _texts("exact")[0]))
    return _checker(folder, bound=False)


def _certificate(rng: random.Random, folder: Path, engine: str = "exact") -> Callable[[], None]:
    from placer.read.documents.plan_file import certificate_path

    plan, certificate = _texts(engine)
    (folder / "plan.json").write_text(plan)
    certificate_path(folder / "plan.json").write_bytes(damage_json(rng, certificate))
    return _checker(folder, bound=True)


def _columns_certificate(rng: random.Random, folder: Path) -> Callable[[], None]:
    return _certificate(rng, folder, "columns")


def _options() -> Any:
    from placer.options import SweepOptions

    return SweepOptions(time_limit_s=20.0, rounds=1, max_moves=1)


def _scenario(rng: random.Random, folder: Path) -> Callable[[], None]:
    (folder / "scenario.yaml").write_bytes(damage_json(rng, json.dumps(_SCENARIO)))

    def read() -> None:
        from placer.read.documents.scenario_file import read_scenarios
        from placer.whatif.scenario import variants

        variants(_fleet(folder), read_scenarios([folder / "scenario.yaml"]))

    return read


def _compared(folder: Path) -> str:
    """Return the comparison of the fleet with the scenario, as `whatif -o` writes it."""
    from placer.cli.questions.whatif import write_rows
    from placer.whatif.compare import compare

    if "comparison" not in _MADE:
        rows = compare(_variants(folder), _options(), results=folder / "made.jsonl")
        write_rows(rows, str(folder / "compare.json"))
        _MADE["comparison"] = (folder / "compare.json").read_text()
        _MADE["results"] = (folder / "made.jsonl").read_text()
    found: str = _MADE["comparison"]
    return found


def _variants(folder: Path) -> Any:
    from placer.read.documents.scenario_file import read_scenarios
    from placer.whatif.scenario import variants

    (folder / "scenario.yaml").write_text(json.dumps(_SCENARIO))
    return variants(_fleet(folder), read_scenarios([folder / "scenario.yaml"]))


def _comparison(rng: random.Random, folder: Path) -> Callable[[], None]:
    (folder / "damaged.json").write_bytes(damage_json(rng, _compared(folder)))

    def read() -> None:
        from io import StringIO

        from rich.console import Console

        from placer.read.documents.comparison_file import read_comparison

        Console(file=StringIO()).print(read_comparison(str(folder / "damaged.json")))

    return read


def _results(rng: random.Random, folder: Path) -> Callable[[], None]:
    _compared(folder)
    head, *lines = _MADE["results"].splitlines()
    number = rng.randrange(len(lines))
    if rng.random() < 0.1:
        head = damage_json(rng, head).decode("utf-8", "replace").replace("\n", " ")
    else:
        lines[number] = damage_json(rng, lines[number]).decode("utf-8", "replace").replace("\n", " ")
    (folder / "damaged.jsonl").write_text("".join(f"{line}\n" for line in (head, *lines)))

    def read() -> None:
        from placer.whatif.compare import compare

        compare(_variants(folder), _options(), results=folder / "damaged.jsonl")

    return read
