"""Rounds of import, solve, apply, verify and rollback while domains start, stop, appear and vanish.

One round by default, for emulation is slow; ``PLACER_SOAK_ROUNDS=200`` for a soak. Nothing may be left that was not
before, no round may end otherwise than it should, and only domains that are restless may be named.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from tests.lab.domains import LabDomain
from tests.lab.machine.lab import Lab
from tests.lab.observe import look_at
from tests.lab.scene import define, inventory
from tests.libvirt.churn import Churn, named

pytestmark = pytest.mark.lab

ROUNDS = int(os.environ.get("PLACER_SOAK_ROUNDS", "1"))
SHARE: dict[str, object] = {"emulator_threads": "share"}
CALM = (
    LabDomain(
        name="calm-on", number=61, touched=False, tuning="<numatune><memory mode='strict' nodeset='1'/></numatune>"
    ),
    LabDomain(name="calm-off", number=62, tuning="<cputune><vcpupin vcpu='0' cpuset='7'/></cputune>"),
)
RESTLESS = (
    LabDomain(name="restless-1", number=63, touched=False),
    LabDomain(name="restless-2", number=64, touched=False),
)
FLEETING = (
    LabDomain(name="fleeting-1", number=65, touched=False),
    LabDomain(name="fleeting-2", number=66, touched=False),
)


PAUSED = 1
"""VIR_DOMAIN_START_PAUSED: under emulation the guests' own work is only in the way."""


def definitions(lab: Lab) -> dict[str, str]:
    """Return all persistent definitions by name."""
    names = lab.virsh("list", "--all", "--name").split()
    return {name: lab.virsh("dumpxml", "--inactive", "--security-info", name) for name in sorted(names)}


def test_nothing_is_left_after_rounds_among_restless_domains(
    module_lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Every round ends with each definition as it was, byte for byte, and the calm domain's threads where they were."""
    from placer.cli.app import main

    lab, codes, whole = module_lab, Counter[str](), 0
    restless = {domain.name for domain in (*RESTLESS, *FLEETING)}
    define(lab, tmp_path, [*CALM, *RESTLESS, *FLEETING])
    lab.virsh("start", "calm-on", "--paused")
    monkeypatch.chdir(tmp_path)
    files = {"fleet.yaml", "domains", "plan.json", "plan.cert.json"}

    def placer(*arguments: str, expected: tuple[int, ...]) -> str:
        capfd.readouterr()
        code = main(list(arguments))
        err = capfd.readouterr().err
        codes[f"{arguments[0]} {code}"] += 1
        assert code in expected, (arguments, code, err)
        return err

    original = definitions(lab)
    vcpus = look_at(lab, "calm-on").vcpus()
    domains = {domain.name: original[domain.name] for domain in (*RESTLESS, *FLEETING)}
    churn = Churn(lab.uri, domains, {domain.name for domain in FLEETING}, flags=PAUSED, seed=1)
    live = ("--ssh-config", str(lab.ssh_config))
    try:
        while whole < ROUNDS:
            present = [domain for domain in (*CALM, *RESTLESS, *FLEETING) if _is_there(churn, domain)]
            try:
                inventory(lab, tmp_path, {domain.name: SHARE for domain in present})
            except KeyError as gone:
                assert gone.args[0] in restless
                codes["vanished before the import"] += 1
                assert codes["vanished before the import"] < 20 * ROUNDS
                continue
            placer(
                "solve",
                "fleet.yaml",
                "-o",
                "plan.json",
                "--force",
                "--max-moves",
                "9",
                "--time-limit",
                "20s",
                expected=(0,),
            )
            assert named(placer("apply", "plan.json", "--apply", *live, expected=(0, 8))) <= restless
            assert "calm-off" not in named(placer("verify", "plan.json", *live, expected=(0, 6, 8)))
            [journal] = tmp_path.glob("*.jsonl")
            assert named(placer("rollback", journal.name, "--apply", expected=(0, 8))) <= restless
            with churn.at_rest():
                # What was in the middle of a start or gone for a moment is taken back now, or was removed for good.
                placer("rollback", journal.name, "--apply", expected=(0, 8))
                now = definitions(lab)
                assert now == {name: xml for name, xml in original.items() if name in now}
                assert now.keys() >= original.keys() - {domain.name for domain in FLEETING}
                assert look_at(lab, "calm-on").vcpus() == vcpus
            journal.unlink()
            for file in tmp_path.glob("*.define.xml"):
                file.unlink()
            left = {path.name for path in tmp_path.iterdir()}
            assert left <= files | {"fleet.domains"}, left
            whole += 1
    finally:
        churn.end()
    assert churn.unexpected == []
    print(dict(churn.done), dict(codes))


def _is_there(churn: Churn, domain: LabDomain) -> bool:
    with churn.at_rest():
        return any(one.name() == domain.name for one in churn.raw.listAllDomains())
