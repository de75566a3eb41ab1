"""Damaged inventories: whatever happens to the bytes, the answer is a fleet or a fault, never a traceback."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from placer.errors import InputError
from placer.read.inventory.inventory import parse_fleet
from placer.read.text.located import FaultLog
from placer.read.text.yaml_events import load_yaml_lines

PIECES = [
    *(b"{", b"}", b"[", b"]", b":", b"-", b'"', b"'", b"#", b"|", b"?", b"%", b"@", b">", b",", b"\n", b"  ", b"\t"),
    *(
        b"&a ",
        b"*a",
        b"!t ",
        b"0",
        b"-1",
        b"0x",
        b"99999999999",
        b"null",
        b"true",
        b"1GiB",
        b"0-3",
        b"\xff",
        b"\xc3\xa9",
    ),
    *(
        b"name: x",
        b"nodes: []",
        b"count: 2",
        b"host: duo-r1-1",
        b"vcpus: 3",
        b"cells: 2",
        b"auto",
        b"none",
        b"pins: fixed",
    ),
]


def damaged(text: bytes, chance: random.Random) -> bytes:
    """Return the text with one to four accidents: bytes changed, put in, left out, lines swapped, doubled, cut off."""
    data = bytearray(text)
    for _ in range(chance.randint(1, 4)):
        kind = chance.random()
        at = chance.randrange(len(data) + 1)
        if kind < 0.25:
            data[at : at + 1] = bytes([chance.randrange(256)])
        elif kind < 0.5:
            data[at:at] = chance.choice(PIECES)
        elif kind < 0.65:
            del data[at : at + chance.randint(1, 30)]
        elif kind < 0.9:
            lines = bytes(data).split(b"\n")
            one, other = chance.randrange(len(lines)), chance.randrange(len(lines))
            if kind < 0.8:
                lines[one], lines[other] = lines[other], lines[one]
            else:
                lines.insert(one, lines[other])
            data = bytearray(b"\n".join(lines))
        else:
            del data[at:]
    return bytes(data)


@pytest.mark.parametrize("form", ["yaml", "json"])
@pytest.mark.parametrize("name", ["two-node", "epyc-nps4", "four-socket", "mixed-racks"])
def test_damage_is_a_fault_and_nothing_else(repository: Path, name: str, form: str) -> None:
    """Hundreds of accidents to each inventory: faults have a file and fit on a line, and some fleets stay sound."""
    text = (repository / "data" / f"{name}.yaml").read_bytes()
    if form == "json":
        text = json.dumps(load_yaml_lines(text.decode(), FaultLog(None)), indent=1).encode()
    chance = random.Random(f"{name} {form}")
    refused = 0
    for _ in range(200):
        try:
            parse_fleet(damaged(text, chance), "fleet.yaml", repository / "data")
        except InputError as error:
            refused += 1
            for fault in error.faults:
                assert fault.file and "\n" not in str(fault)
    assert 100 < refused <= 200
