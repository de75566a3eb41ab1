"""Tasks for the tests of sweeps: functions that a worker process can import."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Place:
    """A file that tells workers apart from each other in time."""

    path: str


def square(factor: int, number: int) -> dict[str, int]:
    """Return the square times the factor, after a moment."""
    time.sleep(0.05)
    return {"square": factor * number * number}


def die_once(place: Place, number: int) -> int:
    """Kill the worker the first time that anybody comes to task 4."""
    if number == 4 and not Path(place.path).exists():
        Path(place.path).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def die_on(guilty: int, number: int) -> int:
    """Kill the worker on every visit of one task."""
    if number == guilty:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def fail_on(guilty: Any, number: int) -> int:
    """Fail on one task; None fails on all."""
    if guilty is None or number == guilty:
        raise RuntimeError(f"no {number}")
    return number
