"""Meta's Rebalancer on vector packing.

It assigns each object to exactly one container, so it can state packing of one-node VMs, not a VM whose cells lie on
several nodes, nor the rows of SMT cores: it takes no part in the NUMA benchmarks. Its MIP by HiGHS ends in an error in
this version (``"" is not a valid int``), so its local search runs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from benchmarks.peers.environment import ask, python_of

VERSION = "1.0.4"
METHOD = f"Rebalancer {VERSION}, local search"
GRACE_S = 60.0
"""The library is large: loading it from a cold disk takes long."""


def pack(
    capacity: Sequence[int],
    items: Sequence[Sequence[int]],
    *,
    time_limit_s: float,
    seed: int,
    install: bool = True,
) -> tuple[int, float]:
    """Return bins used and seconds of the search alone, after a check that no bin is over capacity.

    Raises
    ------
    PeerMissingError
        It cannot be had here: it needs Python 3.12 or newer.
    """
    python = python_of("rebalancer", VERSION, oldest=(3, 12), install=install)
    question = {
        "capacity": list(capacity),
        "items": [list(item) for item in items],
        "time_limit_s": max(1, round(time_limit_s)),
        "seed": seed,
    }
    script = Path(__file__).with_name("rebalancer_child.py")
    told = ask(python, script, question, time_limit_s=time_limit_s + GRACE_S)
    loads: dict[str, list[int]] = defaultdict(lambda: [0] * len(capacity))
    for item, chosen in zip(items, told["bins"], strict=True):
        loads[chosen] = [load + amount for load, amount in zip(loads[chosen], item, strict=True)]
    if any(load > most for taken in loads.values() for load, most in zip(taken, capacity, strict=True)):
        raise AssertionError("Rebalancer filled a bin over its capacity")
    return len(loads), float(told["seconds"])
