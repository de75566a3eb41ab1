"""A schedule as text, Markdown, data and script; the script is run against a stand-in for virsh."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
from dataclasses import replace
from pathlib import Path

from placer.emit.moves.json import schedule_data
from placer.emit.moves.markdown import schedule_markdown, schedule_text
from placer.emit.moves.script import schedule_script
from placer.model.fleet import Fleet
from placer.model.host import Host, Node, Topology
from placer.model.plan import PlanCell
from placer.model.vm import Cell, CellMode, DomainSource, Vm, VmSpec
from placer.moves.model import Blocked, Place, Schedule, Step, StepKind, Wave

NAME = "it's $(touch hurt) | `x`\n"
UUID = "11111111-2222-3333-4444-555555555555"
LIVE = """\
<domain type='kvm'>
  <name>x</name>
  <vcpu placement='static' cpuset='0-3'>2</vcpu>
  <cputune>
    <shares>100</shares>
    <vcpupin vcpu='0' cpuset='9'/>
    <emulatorpin cpuset='9'/>
  </cputune>
  <numatune>
    <memory mode='strict' nodeset='1'/>
  </numatune>
  <os>
  </os>
</domain>
"""
VIRSH = """\
#!/usr/bin/env bash
printf '%s\\n' "$*" >>"$LOG"
case "$*" in
  "-c qemu:///b domstate"*) exit 1 ;;
  *domstate*) echo running ;;
  *dumpxml*) cat "$XML" ;;
  *" migrate "*) while [ $# -gt 0 ]; do case $1 in --xml | --persistent-xml) cat "$2" >>"$LOG" ;; esac; shift; done ;;
esac
"""


def fleet_and_schedule() -> tuple[Fleet, Schedule]:
    """Return a migration of one VM with a hostile name from a to b, and a VM that is blocked."""
    topology = Topology(
        nodes=(Node(id=0, cpus=frozenset(range(4)), memory_kib=2**23),),
        distances=((10.0,),),
        cores=tuple(frozenset({cpu}) for cpu in range(4)),
    )
    hosts = tuple(Host(name=name, topology=topology, uri=f"qemu:///{name}") for name in "ab")
    spec = VmSpec(
        vcpus=2, memory_kib=2**20, cell_mode=CellMode.NONE, cells=(Cell(vcpus=frozenset({0, 1}), memory_kib=2**20),)
    )
    vm = Vm(name=NAME, uuid=UUID, spec=spec)
    cell = PlanCell(id=0, vcpus=frozenset({0, 1}), memory_kib=2**20, mode="strict", nodes={0: 2**20})
    source = Place(host="a", nodes=(0,), cells=(cell,))
    target = Place(
        host="b",
        nodes=(0,),
        cells=(cell,),
        pins={0: frozenset({1}), 1: frozenset({2})},
        emulator=frozenset({1, 2}),
    )
    step = Step(vm=NAME, uuid=UUID, kind=StepKind.MIGRATE, source=source, target=target, memory_gib=1.0)
    blocked = Blocked(vm="b|ad", target="b", reason="no room", by=("x",))
    return Fleet(hosts=hosts, vms=(vm,)), Schedule(waves=(Wave(steps=(step,), minutes=0.5),), blocked=(blocked,))


def run(folder: Path, xml: str) -> tuple[subprocess.CompletedProcess[str], str]:
    """Run the script beside a stand-in virsh; return what it did and the stand-in's log."""
    fleet, schedule = fleet_and_schedule()
    virsh = folder / "virsh"
    virsh.write_text(VIRSH)
    virsh.chmod(virsh.stat().st_mode | stat.S_IXUSR)
    (folder / "domain.xml").write_text(xml)
    (folder / "moves.sh").write_text(schedule_script(schedule, fleet))
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "LOG": str(folder / "log"), "XML": str(folder / "domain.xml")}
    done = subprocess.run(
        ["bash", "moves.sh"], cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=1800
    )
    return done, (folder / "log").read_text()


def test_the_script_migrates_with_both_xmls_patched(tmp_path: Path) -> None:
    """Flags as libvirt wants them, pins and nodes of the target in both XMLs, the rest kept, a hostile name
    harmless.
    """
    done, log = run(tmp_path, LIVE)
    assert done.returncode == 0, done.stderr
    (command,) = [line for line in log.splitlines() if " migrate " in line]
    for flag in ("--live", "--persistent", "--undefinesource", "--abort-on-error", f"--domain {UUID}"):
        assert flag in command
    assert command.startswith("-c qemu:///a") and command.endswith("--desturi qemu:///b")
    assert log.count("<vcpupin vcpu='0' cpuset='1'/>") == log.count("<memory mode='strict' nodeset='0'/>") == 2
    assert log.count("<shares>100</shares>") == 2 and "cpuset='9'" not in log and "cpuset='0-3'" not in log
    assert not (tmp_path / "hurt").exists()


def test_the_script_refuses_what_names_its_host(tmp_path: Path) -> None:
    """A host device stops the wave by the VM's name, with exit code 8."""
    done, log = run(tmp_path, LIVE.replace("  <os>", "  <devices><hostdev type='pci'/></devices>\n  <os>"))
    assert done.returncode == 8
    assert "move it by hand" in done.stderr and " migrate " not in log


def test_text_markdown_and_data_tell_the_same(tmp_path: Path) -> None:
    """The hostile name cannot break a table, and what is blocked is in every form."""
    _, schedule = fleet_and_schedule()
    text, ticket, data = schedule_text(schedule), schedule_markdown(schedule), schedule_data(schedule)
    assert r"it's $(touch hurt) | `x`\n" in text and "no room" in text and "1 live migration" in text
    (row,) = [line for line in ticket.splitlines() if "☐" in line]
    assert row.startswith("| 1: 1 step, 1 GiB, 0.5 min | ☐ | ")
    assert row.count(" | ") == 8 and r"\|" in row and "\n" not in row
    assert data["complete"] is False and data["blocked"][0]["by"] == ["x"]
    assert data["waves"][0]["steps"][0]["to"]["pins"] == {"0": "1", "1": "2"}
    assert data["waves"][0]["minutes"] == 0.5


def test_memory_is_bound_as_the_domain_has_it(tmp_path: Path) -> None:
    """A VM whose memory prefers a node, or is bound by the cgroup, comes to its next host no more strictly bound."""
    fleet, schedule = fleet_and_schedule()
    for mode in ("preferred", "restrictive", "strict"):
        xml = LIVE.replace("strict", mode).encode()
        (tmp_path / "x.xml").write_bytes(xml)
        source = DomainSource(path="x.xml", sha256=hashlib.sha256(xml).hexdigest())
        known = replace(fleet, vms=(replace(fleet.vms[0], domain=source),), base_dir=str(tmp_path))
        script = schedule_script(schedule, known).replace("'\"'\"'", "'")
        assert f"<memory mode='{mode}' nodeset='0'/>" in script
