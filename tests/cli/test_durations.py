"""Durations on the command line."""

from __future__ import annotations

import pytest

from placer.cli.durations import parse_duration_s
from placer.errors import InputError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("1.5s", 1.5), ("5m", 300), ("1h30m", 5400), ("1h1s", 3601), (" 2m ", 120)],
)
def test_durations(text: str, seconds: float) -> None:
    """Hours, minutes and seconds add up; a bare number is seconds."""
    assert parse_duration_s(text, "--time-limit") == seconds


@pytest.mark.parametrize("text", ["", "0", "0s", "-5", "soon", "5d", "1m1h", "1e9", "٣s", "nan", "5m5m"])
def test_what_is_no_duration(text: str) -> None:
    """Anything else is refused and named with its option."""
    with pytest.raises(InputError, match="--time-limit"):
        parse_duration_s(text, "--time-limit")
