"""What kind of document of placer's own a file is, by the schema that it names."""

from __future__ import annotations

import re

from placer.errors import InputError

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
_HEAD_BYTES = 1 << 16
_SCHEMA = re.compile(rb"""^[\s{]*["']?schema["']?\s*:\s*["']?placer\.([a-z]{1,20})/v\d""", re.MULTILINE)


def refuse_other(data: bytes, wanted: str, file: str | None) -> None:
    """Refuse a document that names the schema of another kind, before anything else is said of it.

    Parameters
    ----------
    wanted : a key of `KINDS`.

    Raises
    ------
    InputError
        It is of another kind: what it is, what is taken here, and what makes one.
    """
    found = _SCHEMA.search(data[:_HEAD_BYTES]) or _SCHEMA.search(data[-_HEAD_BYTES:])
    kind = found[1].decode() if found else wanted
    if kind != wanted and kind in KINDS:
        raise InputError(
            f"is {KINDS[kind]}; {KINDS[wanted]} belongs here", file=file, field="schema", cure=MAKES.get(wanted)
        )
