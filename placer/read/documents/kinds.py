"""What kind of document of placer's own a file is, by the schema that it names."""

from __future__ import annotations

import itertools
import os
import re
from pathlib import Path

from placer.errors import InputError, did_you_mean

KINDS = {
    "inventory": "an inventory",
    "plan": "a plan",
    "scenario": "a scenario",
    "whatif": "a comparison",
    "certificate": "a certificate",
    "moves": "an order of moves",
    "map": "a map of tables",
    "sweep": "a results file of a sweep",
    "journal": "a journal of apply",
}
MAKES = {
    "inventory": "write one, or placer import makes it",
    "plan": "placer solve FLEET -o plan.json makes one",
    "scenario": "its first line is: schema: placer.scenario/v1",
    "whatif": "placer whatif FLEET SCENARIO… -o compare.json makes one",
}
MOST_BESIDE = 1_000
"""Files of a folder that a name is compared with."""
_HEAD_BYTES = 1 << 16
_SCHEMA = re.compile(rb"""^[\s{]*["']?schema["']?\s*:\s*["']?placer\.([a-z]{1,20})/v\d""", re.MULTILINE)


def cure_of_missing(path: str | Path, wanted: str | None = None) -> str | None:
    """Return what to do where a file is not there: a file beside it of nearly this name, else what makes one.

    Parameters
    ----------
    wanted : a key of `KINDS`; None where the file may be of any kind.
    """
    try:
        with os.scandir(Path(path).parent) as beside:
            near = did_you_mean(Path(path).name, (one.name for one in itertools.islice(beside, MOST_BESIDE)))
    except (OSError, ValueError):
        near = None
    return near or (None if wanted is None else MAKES.get(wanted))


def refuse_other(data: bytes, wanted: str, file: str | None, cure: str | None = None) -> None:
    """Refuse a document that names the schema of another kind, before anything else is said of it.

    Parameters
    ----------
    wanted : a key of `KINDS`.
    cure : what to do then; None: what makes one.

    Raises
    ------
    InputError
        It is of another kind: what it is, what is taken here, and what to do.
    """
    found = _SCHEMA.search(data[:_HEAD_BYTES]) or _SCHEMA.search(data[-_HEAD_BYTES:])
    kind = found[1].decode() if found else wanted
    if kind != wanted and kind in KINDS:
        raise InputError(
            f"is {KINDS[kind]}; {KINDS[wanted]} belongs here", file=file, field="schema", cure=cure or MAKES.get(wanted)
        )
