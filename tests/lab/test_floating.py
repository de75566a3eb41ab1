"""Domains that float in the lab: they stay unpinned, and are never bound to a node that is full."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from tests.lab.domains import LabDomain
from tests.lab.machine.lab import Lab
from tests.lab.observe import look_at
from tests.lab.placer_run import PlacerRun
from tests.lab.scene import Place, define, inventory, plan_by_hand

pytestmark = pytest.mark.lab

MIB = 1024
LOOSE = LabDomain(name="loose", number=51, vcpus=2, memory_mib=128)
SHARE: dict[str, object] = {"emulator_threads": "share"}
ALL = set(range(16))


@pytest.fixture
def lab(module_lab: Lab) -> Iterator[Lab]:
    """Return the lab without a domain, and give back afterwards what the test took of it."""
    yield module_lab
    for name in module_lab.virsh("list", "--name").split():
        module_lab.virsh("destroy", name)
    for name in module_lab.virsh("list", "--all", "--name").split():
        module_lab.virsh("undefine", name)
    module_lab.shell("rm -f /dev/shm/*; echo 3 > /proc/sys/vm/drop_caches")


def live(lab: Lab, folder: Path, *arguments: str, kill: str | None = None) -> PlacerRun:
    """Run placer with the lab's files readable over ssh."""
    return PlacerRun.run(folder, *arguments, "--ssh-config", str(lab.ssh_config), kill=kill)


def loosen(path: Path, **said: object) -> None:
    """Let the domain named loose float in an inventory, as it was imported."""
    tree = yaml.safe_load(path.read_text())
    loose = next(entry for entry in tree["vms"] if LOOSE.uuid in str(entry))
    del loose["cpu_policy"], loose["pin"]
    loose.update(said)
    path.write_text(yaml.safe_dump(tree, sort_keys=False))


def test_a_floating_domain_stays_as_it_is_while_others_are_changed(lab: Lab, tmp_path: Path) -> None:
    """Imported, planned, applied and verified beside one that gets its pins: byte for byte, on all CPUs."""
    define(lab, tmp_path, [LOOSE, LabDomain(name="must", number=52, memory_mib=64)])
    lab.virsh("start", "loose", "--paused")
    before = lab.virsh("dumpxml", "--inactive", "loose"), lab.virsh("dumpxml", "loose")
    path = inventory(lab, tmp_path, {"must": SHARE, "loose": {}})
    loosen(path)
    solved = PlacerRun.run(tmp_path, "solve", "fleet.yaml", "-o", "plan.json", "--time-limit", "20s")
    assert solved.code == 0, solved.err
    applied = live(lab, tmp_path, "apply", "plan.json", "--apply", "--json")
    assert applied.code == 0, applied.err
    assert {name: vm["status"] for name, vm in applied.vms().items()} == {"must": "changed", "loose": "unchanged"}
    assert (lab.virsh("dumpxml", "--inactive", "loose"), lab.virsh("dumpxml", "loose")) == before
    assert list(look_at(lab, "loose").vcpus().values()) == [ALL, ALL]
    assert live(lab, tmp_path, "verify", "plan.json").code == 0


def test_a_floating_domain_that_comes_from_another_host_floats(lab: Lab, tmp_path: Path) -> None:
    """Its host is emptied: what is exported for the lab has neither pins nor node sets, starts, and runs anywhere."""
    define(lab, tmp_path, [LOOSE])
    path = inventory(lab, tmp_path, {"loose": {}})
    loosen(path, host="other")
    tree = yaml.safe_load(path.read_text())
    other = deepcopy(tree["hosts"][0])
    del other["uri"]
    other.pop("uuid", None)
    tree["hosts"].append({**other, "name": "other", "state": "drain"})
    path.write_text(yaml.safe_dump(tree, sort_keys=False))
    solved = PlacerRun.run(tmp_path, "solve", "fleet.yaml", "-o", "plan.json", "--time-limit", "20s")
    assert solved.code == 0, solved.err
    exported = PlacerRun.run(tmp_path, "export", "plan.json", "--to", "libvirt", "-o", "xml")
    assert exported.code == 0, exported.err
    lab.virsh("undefine", "loose")
    [file] = (tmp_path / "xml" / "lab").rglob("*.xml")
    lab.virsh("define", str(file))
    lab.virsh("start", "loose", "--paused")
    evidence = look_at(lab, "loose")
    assert list(evidence.vcpus().values()) == [ALL, ALL] and evidence.bound() == []


_FILL = "numactl --membind=1 dd if=/dev/zero of=/dev/shm/taken bs=1M count={} 2>/dev/null"


def test_a_binding_to_a_full_node_is_refused_before_anything_is_done(lab: Lab, tmp_path: Path) -> None:
    """Full when it is looked at, or filled up between that and the domain's turn: no pin and no definition changes."""
    define(lab, tmp_path, [LabDomain(name="wide", number=53, memory_mib=900, touched=False)])
    lab.virsh("start", "wide", "--paused")
    inventory(lab, tmp_path, {"wide": SHARE})
    plan_by_hand(tmp_path, {"wide": Place((4,), 1)})
    before = lab.virsh("dumpxml", "--inactive", "wide"), look_at(lab, "wide").vcpus()
    fill = f"ssh -F {lab.ssh_config} 127.0.0.1 '{_FILL.format(1000)}'"
    late = live(lab, tmp_path, "apply", "plan.json", "--apply", kill=f"after:0:{fill}")
    early = live(lab, tmp_path, "apply", "plan.json", "--apply")
    for run in (late, early):
        assert run.code == 8, run.err
        assert "VM 'wide' on host 'lab' refused: node 1 has" in run.err
        assert (lab.virsh("dumpxml", "--inactive", "wide"), look_at(lab, "wide").vcpus()) == before
    assert [path.name for path in tmp_path.glob("*.jsonl")] == ["plan.journal-1.jsonl"], "the early one begins none"


def test_an_edit_made_meanwhile_is_not_lost(lab: Lab, tmp_path: Path) -> None:
    """A watchdog that somebody adds between our reading and our define stays, and is there after the next apply."""
    domain = LabDomain(name="edited", number=54, memory_mib=64)
    define(lab, tmp_path, [domain])
    inventory(lab, tmp_path, {"edited": SHARE})
    plan_by_hand(tmp_path, {"edited": Place((4,), 1)})
    watched = replace(domain, devices="<watchdog model='i6300esb' action='reset'/>")
    (tmp_path / "watched.xml").write_text(watched.xml())
    edit = f"virsh -q -c {lab.uri} define {tmp_path}/watched.xml >/dev/null"
    refused = live(lab, tmp_path, "apply", "plan.json", "--apply", kill=f"after:2:{edit}")
    assert refused.code == 8, refused.err
    assert "VM 'edited' on host 'lab' refused: its definition was changed by something else" in refused.err
    assert "devices/watchdog is new" in refused.err
    xml = lab.virsh("dumpxml", "--inactive", "edited")
    assert "i6300esb" in xml and "numatune" not in xml
    assert live(lab, tmp_path, "apply", "plan.json", "--apply").code == 0
    xml = lab.virsh("dumpxml", "--inactive", "edited")
    assert "i6300esb" in xml and "<memory mode='strict' nodeset='1'/>" in xml
