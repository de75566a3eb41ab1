"""Durations on the command line: ``90s``, ``5m``, ``1h30m``."""

from __future__ import annotations

import re

from placer.errors import InputError

_DURATION = re.compile(r"(?:([0-9]{1,4})h)?(?:([0-9]{1,5})m)?(?:([0-9]{1,7}(?:\.[0-9]{1,3})?)s?)?")


def parse_duration_s(text: str, field: str) -> float:
    """Return the seconds of a duration; a bare number is seconds, as every tool's time limit is.

    Raises
    ------
    InputError
        It is no duration, or not above zero.
    """
    match = _DURATION.fullmatch(text.strip())
    seconds = 0.0
    if match is not None and any(match.groups()):
        hours, minutes, rest = (float(part) if part else 0.0 for part in match.groups())
        seconds = 3600 * hours + 60 * minutes + rest
    if seconds <= 0:
        raise InputError(f"{text[:40]!r} is no duration", field=field, cure='write it like "90s", "5m" or "1h30m"')
    return seconds
