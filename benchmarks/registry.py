"""The table of benchmarks, and what one of them is.

A spec is one file that makes its instances from a size and a seed, runs every method on each, and yields one row a
method and instance as it goes. The runner adds commit, versions and machine, writes CSV and prints the summary.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from placer.errors import InputError

Row = dict[str, Any]
"""One result: `method`, `instance`, `seed`, `seconds`, `status`, and what else the spec measures; unknown is None."""

SMOKE = "smoke"
"""Every spec has this size: seconds, for CI."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a spec is asked to measure: one of its sizes, for these seeds; `data` is a file of instances in place of
    its own.
    """

    size: str
    seeds: Sequence[int]
    data: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """One benchmark.

    Attributes
    ----------
    about
        One sentence: which question it answers.
    sizes
        Name of a size -> what it means; `SMOKE` is one of them, and the first is run unless another is asked for.
    seeds
        How many seeds are run unless another number is asked for.
    measure
        Yields the rows of one size for the given seeds.
    reads
        What a file of instances holds, where the spec can read one.
    columns
        Numeric columns that the summary gives median and worst of, with how to write them (``seconds``: ``{:.3f}``).
    """

    name: str
    about: str
    sizes: Mapping[str, str]
    measure: Callable[[Job], Iterator[Row]]
    seeds: int = 5
    reads: str | None = None
    columns: Mapping[str, str] = field(default_factory=lambda: {"seconds": "{:.3f}"})

    def run(self, size: str, seeds: Sequence[int], out: Callable[[Row], None], data: Path | None = None) -> list[Row]:
        """Run the benchmark, hand every row to `out` as it comes, and return all of them.

        Raises
        ------
        InputError
            The spec has no such size, or reads no file of instances.
        """
        if size not in self.sizes:
            raise InputError(f"benchmark {self.name} has no size {size!r}", cure=f"it has {', '.join(self.sizes)}")
        if data is not None and self.reads is None:
            raise InputError(f"benchmark {self.name} makes its own instances", field="data", cure="leave out --data")
        rows: list[Row] = []
        for row in self.measure(Job(size=size, seeds=seeds, data=data)):
            whole = {"spec": self.name, "size": size, **row}
            rows.append(whole)
            out(whole)
        return rows


_MODULES = {
    "single-host": "benchmarks.single_host",
    "greenfield": "benchmarks.greenfield",
    "exact-fit": "benchmarks.exact_fit",
    "vector-packing": "benchmarks.vector_packing",
    "many-sizes": "benchmarks.many_sizes",
    "small-fleets": "benchmarks.small_fleets",
    "live": "benchmarks.live",
    "rules": "benchmarks.rules",
    "live-rules": "benchmarks.live_rules",
    "pairs": "benchmarks.pairs",
    "balance": "benchmarks.balance",
    "move-orders": "benchmarks.move_orders",
    "reserves": "benchmarks.reserves",
    "headroom": "benchmarks.headroom",
    "maintenance": "benchmarks.maintenance",
    "truth": "benchmarks.truth.spec",
}
"""Specs by name and the module each is in; a module keeps its spec under the name ``SPEC``."""


def names() -> tuple[str, ...]:
    """Return the names of all specs."""
    return tuple(_MODULES)


def spec(name: str) -> Spec:
    """Return a spec by its name.

    Raises
    ------
    InputError
        There is none of this name.
    """
    if name not in _MODULES:
        raise InputError(f"there is no benchmark {name!r}", cure=f"there are {', '.join(_MODULES)}")
    found: Spec = importlib.import_module(_MODULES[name]).SPEC
    return found


def specs() -> dict[str, Spec]:
    """Return all specs by name; this imports every one of them."""
    return {name: spec(name) for name in _MODULES}
