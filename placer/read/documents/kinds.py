"""What kind of document of placer's own a file is, by the schema that it names."""

from __future__ import annotations

import itertools
import os
import re
from pathlib import Path

from placer.errors import InputError, did_you_mean
from placer.read.recognise import name_of

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
    "journal": "placer apply PLAN --apply writes one",
}
_IN_A_LINE = re.compile(rb""",\s*"schema"\s*:\s*"placer\.([a-z]{1,20})/v\d""")
"""As JSON on one line has it behind other keys."""
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
            name = Path(path).name
            near = did_you_mean(name, (one.name for one in itertools.islice(beside, MOST_BESIDE) if one.name != name))
    except (OSError, ValueError):
        near = None
    return near or (None if wanted is None else MAKES.get(wanted))


def refuse_other(data: bytes, wanted: str, file: str | None, cure: str | None = None) -> None:
    """Refuse a document of another kind, by the schema that it names or by its content, before more is said of it.

    Parameters
    ----------
    wanted : a key of `KINDS`.
    cure : what to do where it is another document of placer's own; None: what makes one.

    Raises
    ------
    InputError
        It is of another kind: what it is, what is taken here, and what to do.
    """
    ends = (data[:_HEAD_BYTES], data[-_HEAD_BYTES:])
    found = next(filter(None, (pattern.search(end) for pattern in (_SCHEMA, _IN_A_LINE) for end in ends)), None)
    kind = found[1].decode() if found else wanted
    if kind != wanted and kind in KINDS:
        raise InputError(
            f"is {KINDS[kind]}; {KINDS[wanted]} belongs here", file=file, field="schema", cure=cure or MAKES.get(wanted)
        )
    if found is None and f"placer.{wanted}/".encode() not in data and (named := name_of(data)) is not None:
        what, reader = named
        cure = reader if wanted == "inventory" else MAKES.get(wanted)
        raise InputError(f"is {what}; {KINDS[wanted]} belongs here", file=file, cure=cure)


def refuse_directory(path: str | Path, wanted: str | None = None) -> None:
    """Refuse a directory where a file is read.

    Parameters
    ----------
    wanted : a key of `KINDS`; None where the file may be of any kind.

    Raises
    ------
    InputError
        It is one.
    """
    if Path(path).is_dir():
        what = "a file" if wanted is None else KINDS[wanted]
        raise InputError(f"is a directory; {what} belongs here", file=str(path), cure="name the file in it")
