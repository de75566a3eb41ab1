"""``placer check``: valid or not, with exit codes that tell a bad fleet from a refused plan."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Placer = Callable[..., Any]


def test_valid_fleet(placer: Placer, fleet_file: Path) -> None:
    """A valid fleet alone is exit 0 with its totals."""
    run = placer("check", fleet_file)
    assert run.code == 0 and "valid" in run.out
    result = placer("check", fleet_file, "--json").envelope["result"]
    assert result["valid"] is True
    assert result["measured"]["vms"] == 3 and result["measured"]["usable_cpus"] == 6


def test_invalid_fleet(placer: Placer, fleet_file: Path) -> None:
    """A fleet with a fault is exit 2 with file and line."""
    fleet_file.write_text(fleet_file.read_text().replace('"0-3"', '"0-4"'))
    run = placer("check", fleet_file)
    assert run.code == 2 and str(fleet_file) in run.err


def test_sound_plan(placer: Placer, fleet_file: Path, plan_file: Path) -> None:
    """A sound plan is exit 0, its measure printed and its goals measured beside their bounds."""
    run = placer("check", fleet_file, plan_file)
    assert run.code == 0 and "locality score" in run.out and "every constraint holds" in run.out
    measured = placer("check", fleet_file, plan_file, "--json").envelope["result"]["measured"]
    assert measured["placed_vms"] == 3 and measured["goals"]["remote"] == 0


def test_damaged_plan(placer: Placer, fleet_file: Path, plan_file: Path) -> None:
    """A plan that breaks a constraint is refused with exit 6, by name, and the envelope has result and error."""
    plan = json.loads(plan_file.read_text())
    for vm in plan["vms"]:
        vm["pins"] = dict.fromkeys(vm["pins"], "1")
    plan_file.write_text(json.dumps(plan))
    run = placer("check", fleet_file, plan_file)
    assert run.code == 6 and "refused" in run.out and f"{plan_file}: " in run.err
    envelope = placer("check", fleet_file, plan_file, "--json").envelope
    assert envelope["ok"] is False and envelope["error"]["code"] == "difference"
    assert envelope["result"]["valid"] is False


def test_plan_of_another_fleet(placer: Placer, fleet_file: Path, plan_file: Path) -> None:
    """A plan whose fleet has changed is bad input: exit 2."""
    fleet_file.write_text(fleet_file.read_text().replace("memory: 1GiB, ", "") + "# changed\n")
    run = placer("check", fleet_file, plan_file)
    assert run.code == 2


def test_bound_needs_a_plan_and_its_certificate(placer: Placer, fleet_file: Path, plan_file: Path) -> None:
    """--bound without a plan is refused; of a plan without its side file it says which bounds no certificate holds."""
    assert placer("check", fleet_file, "--bound").code == 2
    plan_file.with_name("plan.cert.json").unlink(missing_ok=True)
    run = placer("check", fleet_file, plan_file, "--bound")
    assert run.code == 6 and "no certificate holds it; solve again with -o" in run.err


def test_a_confirmed_bound_is_no_warning(placer: Placer, fleet_file: Path, plan_file: Path) -> None:
    """What is proven in a second way is told, by whom, and not as a warning."""
    lines = [line for line in placer("check", fleet_file, plan_file, "--bound").err.splitlines() if "bound" in line]
    assert lines and all(line.endswith(("confirmed by HiGHS", "confirmed by prices of moves")) for line in lines)
    assert not any(line.startswith("warning") for line in lines)


def test_both_from_standard_input(placer: Placer) -> None:
    """Standard input cannot be both the fleet and the plan."""
    assert placer("check", "-", "-").code == 2


def test_lint_says_what_is_unwise(placer: Placer, fleet_file: Path) -> None:
    """--lint names the rule, the object and a cure, is exit 0, and refuses a plan beside it."""
    text = fleet_file.read_text().replace("    distances:", "    settings: {numad: yes, swap: 1GiB}\n    distances:")
    fleet_file.write_text(text.replace("numad: yes", "numad: true"))
    run = placer("check", fleet_file, "--lint")
    assert run.code == 0 and "numad: host 'kvm-a'" in run.out and "disable numad" in run.out
    said = placer("check", fleet_file, "--lint", "--json").envelope["result"]["lint"]
    assert {remark["rule"] for remark in said} == {"numad"}
    assert placer("check", fleet_file, "plan.json", "--lint").code == 2


def test_lint_says_what_many_share_once(placer: Placer, tmp_path: Path) -> None:
    """Remarks of one rule on many hosts are one line that names some and counts the others; --all tells each."""
    nodes = '[{{id: 0, cpus: "0-3", memory: 8GiB}}, {{id: 1, cpus: "4-7", memory: 8GiB}}]'
    host = f"  - {{{{name: h{{}}, nodes: {nodes}, settings: {{{{numad: true}}}}}}}}"
    file = tmp_path / "many.yaml"
    file.write_text(
        "\n".join(
            [
                "schema: placer.inventory/v1",
                "hosts:",
                *map(host.format, range(9)),
                "vms: [{name: v, vcpus: 1, memory: 1GiB}]",
                "",
            ]
        )
    )
    folded = placer("check", file, "--lint").out.splitlines()
    assert next(line for line in folded if "numad:" in line).startswith("numad: host 'h0', host 'h1', host 'h2' and 6 ")
    assert "9 remarks in all" in folded[-1]
    assert sum("numad: host" in line for line in placer("check", file, "--lint", "--all").out.splitlines()) == 9


def test_conflicts_name_the_cause_and_a_cure(placer: Placer, fleet_file: Path) -> None:
    """--conflicts names the VM that fits nowhere with its verified cures, before the totals; that none is proven of a
    fleet that fits is said.
    """
    said = placer("check", fleet_file, "--conflicts").out.splitlines()[0]
    assert said.endswith("fleet.yaml: valid; no conflict of VMs and rules is proven")
    assert placer("check", fleet_file, "--conflicts", "--json").envelope["result"]["conflict"] is None
    fleet_file.write_text(fleet_file.read_text() + "  - {name: big, vcpus: 2, memory: 20GiB, cells: none}\n")
    run = placer("check", fleet_file, "--conflicts")
    assert run.code == 0 and run.out.splitlines()[1].startswith("conflict: VM big has no place")
    assert "cure: let this VM (big) use 2 nodes: cells: 2" in run.out
    conflict = placer("check", fleet_file, "--conflicts", "--json").envelope["result"]["conflict"]
    assert conflict["vms"] == ["big"] and conflict["rules"] == [] and all(c["cures_all"] for c in conflict["cures"])
