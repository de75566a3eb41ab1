"""Commands for OpenNebula and Incus, of which no registry has a schema: held against what their manuals list.

Sources: onevm(1) and "Virtual Topology and CPU Pinning" of OpenNebula 6.8; the reference of Incus' client and options.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from placer.emit.export import export_plan
from tests.emit.drained import grown, planned
from tests.emit.stand_ins import INCUS, ONEVM, run, words_of

ONEVM_COMMANDS = {"migrate": (r"--live|--poff", r"\d+", r"\S+"), "show": (r"--json", r"\d+")}
SET = r"\d+(?:-\d+)?(?:,\d+(?:-\d+)?)*"
INCUS_COMMANDS = {
    "move": (r"\S+", r"--target", r"\S+"),
    "start": (r"\S+",),
    "stop": (r"\S+",),
    "query": (r"/1\.0/instances/\S+\?project=\S+",),
    "config get": (r"\S+", r"limits\.cpu(?:\.nodes)?"),
    "config set": (r"\S+", rf"limits\.cpu(?:\.nodes)?=(?:\d+-\d+|{SET}|old-\S+)"),
}
TOPOLOGY = {
    "PIN_POLICY": "NONE|THREAD|CORE|SHARED",
    "SOCKETS": r"\d+",
    "NODE_AFFINITY": r"\d+",
    "HUGEPAGE_SIZE": r"\d+",
}
NUMA_NODE = {"TOTAL_CPUS": r"\d+", "MEMORY": r"\d+"}


def ran(form: str, tool: str, body: str, folder: Path) -> list[list[str]]:
    """Return the commands of a tool that scripts of both plans run, forth and back."""
    for number, make in enumerate([planned, grown]):
        script = str(export_plan(*make("shop/vm{}" if form == "incus" else "{}"), form, None))
        for words in (("--apply",), ("--undo", "--apply")):
            code, _, said, _ = run(script, folder / str(number), *words, tools={tool: body})
            assert code == 0, said
    found = [words for number in range(2) for words in words_of(folder / str(number))]
    return [words[1:] for words in found if words[0] == tool]


def test_onevm(tmp_path: Path) -> None:
    """Each command has the words that its manual gives it."""
    commands = ran("opennebula", "onevm", ONEVM, tmp_path)
    assert {words[0] for words in commands} == set(ONEVM_COMMANDS)
    for name, *words in commands:
        forms = ONEVM_COMMANDS[name]
        assert len(words) == len(forms) and all(map(re.fullmatch, forms, words)), (name, words)


@pytest.mark.parametrize("make", [planned, grown])
def test_topology_of_opennebula(make: object) -> None:
    """The lines for a template are attributes of a TOPOLOGY or a NUMA_NODE with values that these take."""
    assert callable(make)
    text = str(export_plan(*make("{}"), "opennebula", None))
    blocks = re.findall(r"(TOPOLOGY|NUMA_NODE) = \[ ([^\]]*) \]", text)
    assert blocks
    for kind, inside in blocks:
        known = TOPOLOGY if kind == "TOPOLOGY" else NUMA_NODE
        pairs = re.findall(r'([A-Z_]+) = "([^"]*)"', inside)
        assert ", ".join(f'{key} = "{value}"' for key, value in pairs) == inside
        assert all(re.fullmatch(known[key], value) for key, value in pairs), inside


def test_incus(tmp_path: Path) -> None:
    """Each command has the words of its reference; one CPU or node is written as a range, for a number is a count."""
    commands = ran("incus", "incus", INCUS, tmp_path)
    seen = set()
    for words in commands:
        rest = words[2:] if words[0] == "--project" else words
        name = " ".join(rest[:2]) if rest[0] == "config" else rest[0]
        given = rest[2:] if rest[0] == "config" else rest[1:]
        forms = INCUS_COMMANDS[name]
        forms += forms[-1:] * (len(given) - len(forms)) if name == "config set" else ()
        assert len(given) == len(forms) and all(map(re.fullmatch, forms, given)), words
        assert not any(re.fullmatch(r"limits\.cpu=\d+", word) for word in given)
        seen.add(name)
    assert seen == set(INCUS_COMMANDS)
