"""What can go wrong on a real host: refused before it does harm, answered with the way out, or found afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from placer.model.plan import Change
from tests.lab.domains import LabDomain
from tests.lab.machine.lab import Lab
from tests.lab.observe import look_at
from tests.lab.placer_run import PlacerRun
from tests.lab.scene import Place, define, inventory, plan_by_hand, reserve_pages

pytestmark = pytest.mark.lab

MIB = 1024


@pytest.fixture
def lab(module_lab: Lab) -> Iterator[Lab]:
    """Return the lab without a domain, and give back afterwards what the test took of it."""
    yield module_lab
    for name in module_lab.virsh("list", "--name").split():
        module_lab.virsh("destroy", name)
    for name in module_lab.virsh("list", "--all", "--name").split():
        module_lab.virsh("undefine", name)
    module_lab.shell("rm -f /dev/shm/* /dev/hugepages/*; echo 3 > /proc/sys/vm/drop_caches")


class Scene:
    """One or more domains of the lab, planned on one node alone."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab = lab
        self.folder = folder

    def plan(self, said: dict[str, dict[str, object]], places: dict[str, Place], **host: object) -> None:
        """Import the lab and plan VMs where they are told to be."""
        inventory(self.lab, self.folder, said, host)
        plan_by_hand(self.folder, places)

    def placer(self, *arguments: str) -> PlacerRun:
        """Run placer."""
        return PlacerRun.run(self.folder, *arguments)

    def live(self, *arguments: str) -> PlacerRun:
        """Run placer with the lab's files readable over ssh."""
        return self.placer(*arguments, "--ssh-config", str(self.lab.ssh_config))


@pytest.fixture
def scene(lab: Lab, tmp_path: Path) -> Scene:
    """Return the scene of one test."""
    return Scene(lab, tmp_path)


_BEHIND_ITS_BACK = """
pid=$(cat /run/libvirt/qemu/d1.pid)
for task in /proc/$pid/task/*; do
    grep -q '^CPU 0/' $task/comm || continue
    echo 6-7 > /sys/fs/cgroup$(cut -d: -f3 $task/cgroup)/cpuset.cpus
    taskset -p -c 6,7 ${task##*/} >/dev/null
done
migratepages $pid 1 3
"""
SHARE: dict[str, object] = {"emulator_threads": "share"}


def test_strict_memory_larger_than_what_is_free_is_refused_beforehand(scene: Scene) -> None:
    """Half of the node was taken since the plan; defined by hand all the same, the domain does not start."""
    domain = LabDomain(name="big", number=11, memory_mib=900)
    define(scene.lab, scene.folder, [domain])
    scene.plan({"big": SHARE}, {"big": Place((4,), 1)})
    scene.lab.shell("numactl --membind=1 dd if=/dev/zero of=/dev/shm/taken bs=1M count=800 2>/dev/null", timeout_s=120)
    for run in (scene.live("apply", "plan.json"), scene.live("apply", "plan.json", "--apply")):
        assert run.code == 8
        assert "VM 'big' on host 'lab' refused: node 1 has" in run.err
        assert "with a strict policy the kernel would kill QEMU" in run.err
    assert "numatune" not in scene.lab.virsh("dumpxml", "big")
    strict = "<numatune><memory mode='strict' nodeset='1'/></numatune>"
    define(scene.lab, scene.folder, [LabDomain(name="big", number=11, memory_mib=900, tuning=strict)])
    assert "error: Failed to start domain" in scene.lab.virsh("start", "big", "--paused", check=False)


def test_page_cache_is_counted_as_free(scene: Scene) -> None:
    """A node full of page cache takes a domain that MemFree alone would refuse; without --ssh the cure is said."""
    domain = LabDomain(name="cached", number=12, memory_mib=1150)
    define(scene.lab, scene.folder, [domain])
    scene.plan({"cached": SHARE}, {"cached": Place((8,), 2)})
    scene.lab.shell("numactl --cpunodebind=2 --membind=2 cat /dev/vda >/dev/null", timeout_s=120)
    free = int(scene.lab.shell("awk '/MemFree/ {print $4}' /sys/devices/system/node/node2/meminfo"))
    assert free < 1150 * MIB, "the page cache did not fill the node"
    blind = scene.placer("apply", "plan.json", "--apply")
    assert blind.code == 8
    assert "page cache lies there is not known; give --ssh" in blind.err
    seeing = scene.live("apply", "plan.json", "--apply")
    assert seeing.code == 0, seeing.err
    scene.lab.virsh("start", "cached", "--paused")
    [mapping] = look_at(scene.lab, "cached").bound()
    assert (mapping.policy, mapping.nodes) == ("bind:2", {2: 1150 * MIB})


def test_too_few_free_pages_are_refused(scene: Scene) -> None:
    """The pool is as large as planned, but half of it is taken."""
    reserve_pages(scene.lab, 3, 80)
    define(scene.lab, scene.folder, [LabDomain(name="huge", number=13, memory_mib=128, huge=True)])
    scene.plan({"huge": SHARE}, {"huge": Place((12,), 3)})
    scene.lab.shell("numactl --membind=3 fallocate -l 64M /dev/hugepages/taken")
    run = scene.live("apply", "plan.json", "--apply")
    assert run.code == 8
    assert "node 3 has 96MiB of pages of 2MiB free, 128MiB are wanted: QEMU would not start" in run.err
    reserve_pages(scene.lab, 3, 40)
    smaller = scene.live("apply", "plan.json", "--apply")
    assert smaller.code == 8
    assert "has changed since the plan: node 3 has 40 pages of 2MiB, planned 80" in smaller.err
    assert "numatune" not in scene.lab.virsh("dumpxml", "huge")


def test_strict_memory_of_a_running_domain_stays_and_the_way_out_is_told(scene: Scene) -> None:
    """Pins move at once, pages wait; the command that placer names moves them, a restart makes all of it as planned."""
    strict = "<numatune><memory mode='strict' nodeset='1'/></numatune>"
    define(scene.lab, scene.folder, [LabDomain(name="move", number=14, memory_mib=64, tuning=strict)])
    scene.lab.virsh("start", "move", "--paused")
    scene.plan({"move": SHARE}, {"move": Place((8,), 2, Change.RENODE)})
    run = scene.live("apply", "plan.json", "--apply", "--json")
    assert run.code == 0, run.err
    vm = run.vms()["move"]
    assert vm["status"] == "changed"
    assert "restart it, or in the host: migratepages" in vm["restart"]
    evidence = look_at(scene.lab, "move")
    assert evidence.vcpus()[0] <= {8, 9, 10, 11}
    assert [mapping.nodes for mapping in evidence.bound()] == [{1: 64 * MIB}]
    before = scene.live("verify", "plan.json", "--json")
    assert before.code == 6
    assert before.vms()["move"]["measured_remote_share"] == 1.0
    scene.lab.shell(vm["restart"].partition("in the host: ")[2])
    assert [mapping.nodes for mapping in look_at(scene.lab, "move").bound()] == [{2: 64 * MIB}]
    after = scene.live("verify", "plan.json", "--json")
    assert after.vms()["move"]["measured_remote_share"] == 0.0
    assert [drift["what"] for drift in after.vms()["move"]["drifts"]] == ["memory"], (
        "the live policy is still the old one"
    )
    scene.lab.virsh("destroy", "move")
    scene.lab.virsh("start", "move", "--paused")
    assert scene.live("verify", "plan.json").code == 0


def test_restrictive_memory_moves_while_the_domain_runs(scene: Scene) -> None:
    """In that mode libvirt changes the node set, and the kernel moves the pages; a rollback moves them back."""
    loose = "<numatune><memory mode='restrictive' nodeset='1'/></numatune>"
    define(scene.lab, scene.folder, [LabDomain(name="loose", number=15, memory_mib=64, tuning=loose)])
    scene.lab.virsh("start", "loose", "--paused")
    scene.plan({"loose": SHARE}, {"loose": Place((8,), 2, Change.RENODE)})
    assert look_at(scene.lab, "loose").kib_on_nodes(32 * MIB).keys() == {1}
    run = scene.live("apply", "plan.json", "--apply", "--json")
    assert run.code == 0, run.err
    assert "numatune --nodeset 2 --live" in run.vms()["loose"]["calls"]
    assert run.vms()["loose"]["restart"] is None
    assert look_at(scene.lab, "loose").kib_on_nodes(32 * MIB).keys() == {2}
    verified = scene.live("verify", "plan.json", "--json")
    assert verified.code == 0, verified.err
    assert verified.vms()["loose"]["measured_remote_share"] == 0.0
    assert scene.placer("rollback", "plan.journal-1.jsonl", "--apply").code == 0
    assert look_at(scene.lab, "loose").kib_on_nodes(32 * MIB).keys() == {1}
    assert "<memory mode='restrictive' nodeset='1'/>" in scene.lab.virsh("dumpxml", "--inactive", "loose")


def test_a_definition_that_this_libvirt_would_not_start_is_refused(scene: Scene) -> None:
    """Preallocated memory away from the emulator's CPUs: refused; by hand it does not start, and shared it does."""
    define(scene.lab, scene.folder, [LabDomain(name="pre", number=16, memory_mib=64)])
    housekeeping: dict[str, object] = {"emulator_threads": "housekeeping"}
    scene.plan({"pre": housekeeping}, {"pre": Place((4,), 1)}, reserve={"cpus": "0"})
    run = scene.live("apply", "plan.json", "--apply")
    assert run.code == 8
    assert "this libvirt would not start it (Setting CPU affinity failed); say emulator_threads: share" in run.err
    tuning = "<cputune><emulatorpin cpuset='0'/></cputune><numatune><memory mode='strict' nodeset='1'/></numatune>"
    define(scene.lab, scene.folder, [LabDomain(name="pre", number=16, memory_mib=64, tuning=tuning)])
    assert "Setting CPU affinity failed" in scene.lab.virsh("start", "pre", "--paused", check=False)
    define(scene.lab, scene.folder, [LabDomain(name="pre", number=16, memory_mib=64)])
    scene.plan({"pre": SHARE}, {"pre": Place((4,), 1)})
    assert scene.live("apply", "plan.json", "--apply").code == 0
    scene.lab.virsh("start", "pre", "--paused")
    assert scene.live("verify", "plan.json").code == 0


def test_a_transient_domain_is_refused(scene: Scene) -> None:
    """It runs on, unpinned; what to do is said."""
    domain = LabDomain(name="passing", number=17, memory_mib=64)
    file = scene.folder / "passing.define.xml"
    file.write_text(domain.xml())
    scene.lab.virsh("create", str(file), "--paused")
    scene.plan({"passing": SHARE}, {"passing": Place((4,), 1)})
    run = scene.live("apply", "plan.json", "--apply")
    assert run.code == 8
    assert "the domain is transient: it has no configuration that could be changed; make it persistent" in run.err
    assert look_at(scene.lab, "passing").vcpus() == {0: set(range(16))}


def test_drift_made_by_hand_is_found_and_named(scene: Scene) -> None:
    """virsh vcpupin, taskset behind libvirt's back, a node set and a definition changed: each is named by VM."""
    domains = [LabDomain(name=f"d{number}", number=20 + number, memory_mib=64) for number in range(2)]
    define(scene.lab, scene.folder, domains)
    scene.plan({"d0": SHARE, "d1": SHARE}, {"d0": Place((4,), 1), "d1": Place((5,), 1)})
    assert scene.live("apply", "plan.json", "--apply").code == 0
    for domain in domains:
        scene.lab.virsh("start", domain.name, "--paused")
    assert scene.live("verify", "plan.json").code == 0
    scene.lab.virsh("vcpupin", "d0", "0", "9")
    scene.lab.virsh("emulatorpin", "d0", "10")
    scene.lab.virsh("numatune", "d1", "--nodeset", "3", "--config")
    scene.lab.shell(_BEHIND_ITS_BACK)
    run = scene.live("verify", "plan.json", "--json")
    assert run.code == 6
    found = {name: {(d["where"], d["what"], d["found"]) for d in vm["drifts"]} for name, vm in run.vms().items()}
    assert found["d0"] >= {("running", "vCPU 0", "9"), ("running", "emulator threads", "10")}
    assert found["d1"] >= {
        ("definition", "memory", "strict on node 3"),
        ("running", "vCPU 0", "6-7"),
        ("kernel", "memory", "64MiB on node 3"),
    }
    assert run.vms()["d0"]["measured_remote_share"] == 1.0
    assert run.vms()["d1"]["measured_remote_share"] == 1.0
    again = scene.live("apply", "plan.json", "--apply", "--json")
    assert {vm["status"] for vm in again.vms().values()} == {"changed"}
    left = scene.live("verify", "plan.json", "--json").vms()
    assert left["d0"]["drifts"] == []
    assert {(drift["where"], drift["what"]) for drift in left["d1"]["drifts"]} == {("kernel", "memory")}


def test_a_read_only_connection_verifies_and_does_not_apply(scene: Scene) -> None:
    """Over libvirt's read-only socket: the comparison works, a change is refused by libvirt, and the cure is said."""
    define(scene.lab, scene.folder, [LabDomain(name="looked-at", number=30, memory_mib=64)])
    scene.plan({"looked-at": SHARE}, {"looked-at": Place((4,), 1)})
    command = scene.folder / "read-only"
    command.write_text(f"#!/bin/sh\nexec ssh -F {scene.lab.ssh_config} 127.0.0.1 virt-ssh-helper -r qemu:///system\n")
    command.chmod(0o700)
    uri = f"lab=qemu+ext:///system?command={command}"
    verified = scene.placer("verify", "plan.json", "--connect", uri, "--json")
    assert verified.code == 6, verified.err
    assert verified.vms()["looked-at"]["state"] == "shut off"
    applied = scene.placer("apply", "plan.json", "--apply", "--connect", uri)
    assert applied.code == 8, applied.err
    assert "this connection can only read" in applied.err
    assert "numatune" not in scene.lab.virsh("dumpxml", "looked-at")
