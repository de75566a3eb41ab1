"""Domains that float in the lab: they stay unpinned, are bound where it is worth it, never to a node that is full."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from placer.read.domains.pages import pages_by_node
from placer.read.imports.collect import shell_function
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
    return PlacerRun.forked(folder, *arguments, "--ssh-config", str(lab.ssh_config), kill=kill)


def memory_on(lab: Lab, name: str) -> dict[int, int]:
    """Return where a domain's pages lie (KiB by node) as the collect script and its reader have it."""
    script = f"{shell_function('pages')}pages $(cat /run/libvirt/qemu/{name}.pid)"
    return pages_by_node(lab.shell(script))


def loosen(path: Path, **said: object) -> None:
    """Let the domain named loose float in an inventory, as it was imported."""
    tree = yaml.safe_load(path.read_text())
    loose = next(entry for entry in tree["vms"] if LOOSE.uuid in str(entry))
    del loose["cpu_policy"], loose["pin"]
    loose.update(said)
    path.write_text(yaml.safe_dump(tree, sort_keys=False))


def numastat_mib(lab: Lab, name: str) -> dict[int, float]:
    """Return what numastat says of a domain's process, by node."""
    total = lab.shell(f"numastat -p $(cat /run/libvirt/qemu/{name}.pid) | grep ^Total").split()
    return {node: float(mib) for node, mib in enumerate(total[1:-1])}


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


def test_a_binding_that_is_worth_it_is_applied(lab: Lab, tmp_path: Path) -> None:
    """memory_on as gathered agrees with numastat; its threads are bound at once, and after a start its pages are."""
    define(lab, tmp_path, [LOOSE])
    lab.virsh("start", "loose", "--paused")
    lab.shell("migratepages $(cat /run/libvirt/qemu/loose.pid) 0,1,3,4 2")
    pages_kib = memory_on(lab, "loose")
    said = {node: kib / MIB for node, kib in pages_kib.items()}
    told = numastat_mib(lab, "loose")
    assert said[2] >= 128
    # The process maps libraries too, which other processes brought into memory wherever they ran.
    assert all(abs(told[node] - said.get(node, 0.0)) <= 24 for node in told), (said, told)
    path = inventory(lab, tmp_path, {"loose": {}})
    loosen(path, memory_on={node: f"{kib}KiB" for node, kib in pages_kib.items()})
    solved = PlacerRun.run(tmp_path, "solve", "fleet.yaml", "-o", "plan.json", "--pin", "worth", "--time-limit", "20s")
    assert solved.code == 0, solved.err
    [planned] = json.loads((tmp_path / "plan.json").read_text())["vms"]
    [node] = map(int, planned["cells"][0]["nodes"])
    applied = live(lab, tmp_path, "apply", "plan.json", "--apply", "--json")
    assert applied.code == 0, applied.err
    assert all(cpus <= set(range(4 * node, 4 * node + 4)) for cpus in look_at(lab, "loose").vcpus().values())
    lab.virsh("destroy", "loose")
    lab.virsh("start", "loose", "--paused")
    assert [mapping.nodes for mapping in look_at(lab, "loose").bound()] == [{node: 128 * MIB}]
    assert numastat_mib(lab, "loose")[node] >= 128
    assert live(lab, tmp_path, "verify", "plan.json").code == 0


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
