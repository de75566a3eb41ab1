"""Rounds of import, apply, verify and rollback while domains start, stop, appear and vanish; nothing may be left.

A handful of rounds; ``PLACER_SOAK_ROUNDS=200`` for a soak.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable

import pytest

from tests.libvirt.churn import Churn, named
from tests.libvirt.mock_host import URI, MockHost

pytestmark = pytest.mark.libvirt

Run = Callable[..., tuple[int, str, str]]
ROUNDS = int(os.environ.get("PLACER_SOAK_ROUNDS", "5"))
FLEETING = {"fleeting-1", "fleeting-2"}
RESTLESS = {"restless-1", "restless-2", "restless-3", *FLEETING}
STRICT = "<numatune><memory mode='strict' nodeset='0'/></numatune>"


def test_nothing_is_left_after_rounds_among_restless_domains(mock: MockHost, run: Run) -> None:
    """Every round ends with each definition as it was, byte for byte; only restless domains are ever named."""
    names = ["calm-off", "calm-on", *sorted(RESTLESS)]
    for name in names:
        mock.define(name, vcpus=1, inside=STRICT, runs=name == "calm-on")
    original = {name: mock.xml(name) for name in names}
    pins = mock.pins("calm-on")
    codes: Counter[str] = Counter()

    def placer(*arguments: str, expected: tuple[int, ...]) -> str:
        code, _, err = run(*arguments)
        codes[f"{arguments[0]} {code}"] += 1
        assert code in expected, (arguments, code, err)
        return err

    churn = Churn(URI, {name: original[name] for name in sorted(RESTLESS)}, FLEETING, flags=0, seed=1)
    try:
        for number in range(ROUNDS):
            placer("import", "libvirt", "--connect", f"mock={URI}", "-o", "now.yaml", "--force", expected=(0,))
            with churn.at_rest():
                gone = [name for name in names if name not in {one.name() for one in mock.raw.listAllDomains()}]
                for name in gone:
                    mock.raw.defineXML(original[name])
                mock.inventory()
                mock.plan({name: (vcpu,) for vcpu, name in enumerate(names)})
            journal = f"round-{number}.jsonl"
            told = placer("apply", "plan.json", "--apply", "--journal", journal, expected=(0, 8))
            assert named(told) <= RESTLESS, told
            told = placer("verify", "plan.json", expected=(0, 6, 8))
            assert named(told) <= {*RESTLESS, "test"}, told
            assert named(placer("rollback", journal, "--apply", expected=(0, 8))) <= RESTLESS
            with churn.at_rest():
                # What was in the middle of something is taken back now; what was removed meanwhile is gone for good.
                assert named(placer("rollback", journal, "--apply", expected=(0, 8))) <= FLEETING
                there = [domain.name() for domain in mock.raw.listAllDomains() if domain.name() != "test"]
                assert {name: mock.xml(name) for name in there} == {name: original[name] for name in there}
                assert set(names) - FLEETING <= set(there)
                assert mock.pins("calm-on") == pins
            (mock.folder / journal).unlink()
    finally:
        churn.end()
    assert churn.unexpected == []
    print(dict(churn.done), dict(codes))
