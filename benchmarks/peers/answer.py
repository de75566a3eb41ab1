"""What every peer that works on the problem in numbers answers."""

from __future__ import annotations

from dataclasses import dataclass

from solvers.result import HostPattern


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerAnswer:
    """Value and bound of each objective in its integer unit (None: unknown), seconds, and what the hosts hold.

    `patterns` is empty where nothing was found. `integers` is the size of the model, where there is one.
    """

    values: tuple[int | None, ...]
    bounds: tuple[int | None, ...]
    status: str
    seconds: float
    patterns: tuple[HostPattern, ...] = ()
    integers: int | None = None
