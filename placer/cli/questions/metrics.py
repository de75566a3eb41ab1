"""The forms of verbs whose figures are watched over time."""

from __future__ import annotations

from enum import StrEnum


class MetricsFormat(StrEnum):
    """How a verb with metrics prints its result."""

    TABLE = "table"
    JSON = "json"
    PROMETHEUS = "prometheus"
