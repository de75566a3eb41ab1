"""Import, solve, apply and verify on a real NUMA host with real libvirt and QEMU; the host's kernel is the witness."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.domains import LabDomain
from tests.lab.machine.lab import Lab
from tests.lab.observe import look_at
from tests.lab.placer_run import PlacerRun
from tests.lab.scene import define, inventory, reserve_pages

pytestmark = pytest.mark.lab

DOMAINS = (
    LabDomain(name="two-cell", number=1, vcpus=4, cells=(("0-1", 96), ("2-3", 96))),
    LabDomain(name="huge", number=2, vcpus=2, memory_mib=128, huge=True),
    LabDomain(name="isolated", number=3, memory_mib=64),
    LabDomain(name="shared", number=4, vcpus=2, memory_mib=64),
    LabDomain(name="threads", number=5, memory_mib=64, iothreads=2, touched=False),
    LabDomain(name="far", number=6, memory_mib=900, touched=False),
    LabDomain(name="control", number=7, memory_mib=128),
)
SAID: dict[str, dict[str, object]] = {
    "two-cell": {"emulator_threads": "share"},
    "huge": {"emulator_threads": "share"},
    "isolated": {"thread_policy": "isolate", "emulator_threads": "share"},
    "shared": {"cpu_policy": "shared"},
    "threads": {},
    "far": {"memory_tier": "any"},
    "control": {"emulator_threads": "share"},
}
HOST: dict[str, object] = {
    # Small enough rooms that 900 MiB fit on the node of memory alone and nowhere else.
    "reserve": {"cpus": "0", "nodes": {node: {"memory": "700MiB"} for node in range(4)}},
    "shared_cpus": "1-3",
    "overcommit": 2,
}


@pytest.fixture(scope="module")
def job(module_lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Job]:
    """Do the whole job once: the tests look at what came of it."""
    yield Job(module_lab, tmp_path_factory.mktemp("job"))


class Job:
    """The steps of the job and what each printed."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab = lab
        self.folder = folder
        reserve_pages(lab, 3, 80)
        define(lab, folder, DOMAINS)
        inventory(lab, folder, SAID, HOST)
        self.solved = self.placer("solve", "fleet.yaml", "-o", "plan.json", "--max-moves", "7", "--time-limit", "30s")
        assert self.solved.code == 0, self.solved.err
        self.plan: dict[str, Any] = {vm["name"]: vm for vm in json.loads((folder / "plan.json").read_text())["vms"]}
        lab.virsh("start", "control")
        self.before = self.live("verify", "plan.json", "--json")
        self.dry = self.live("apply", "plan.json", "--json")
        self.untouched = lab.virsh("dumpxml", "--inactive", "two-cell")
        self.applied = self.live("apply", "plan.json", "--apply", "--limit", "6", "--json")
        for domain in DOMAINS[:6]:
            # QEMU with all its threads and memory is there; under emulation the guests' own work is only in the way.
            lab.virsh("start", domain.name, *(["--paused"] if domain.touched else []))
        self.verified = self.live("verify", "plan.json", "--json")

    def placer(self, *arguments: str) -> PlacerRun:
        """Run placer."""
        return PlacerRun.run(self.folder, *arguments)

    def live(self, *arguments: str) -> PlacerRun:
        """Run placer with the lab's files readable over ssh."""
        return self.placer(*arguments, "--ssh-config", str(self.lab.ssh_config))

    def nodes_used(self) -> set[int]:
        """Nodes that the plan puts memory on."""
        return {int(node) for vm in self.plan.values() for cell in vm["cells"] for node in cell["nodes"]}


def test_the_plan_uses_all_five_nodes(job: Job) -> None:
    """Six domains and a control are spread over four nodes with CPUs and the one without."""
    assert len(job.plan) == 7
    assert job.nodes_used() >= {0, 3, 4}
    assert job.plan["far"]["cells"][0]["nodes"].keys() == {"4"}
    cpus = {cpu for vm in job.plan.values() for pin in vm["pins"].values() for cpu in _cpus(pin)}
    assert {cpu // 4 for cpu in cpus} == {0, 1, 2, 3}


def test_the_dry_run_changes_nothing_and_shows_everything(job: Job) -> None:
    """Without --apply there is a diff and calls for each domain, no journal, and the definition stays."""
    assert job.dry.code == 0, job.dry.err
    for name, vm in job.dry.vms().items():
        assert vm["status"] == "would change", name
        assert "+" in vm["diff"] and "numatune" in vm["diff"]
        assert vm["calls"][0] == "define"
    assert job.dry.result["journal"] is None
    assert "vcpupin" not in job.untouched


def test_apply_reports_each_domain_and_leaves_what_is_over_the_limit(job: Job) -> None:
    """Six are changed, the seventh is left for a later run, and that is no failure."""
    assert job.applied.code == 0, job.applied.err
    status = {name: vm["status"] for name, vm in job.applied.vms().items()}
    assert status.pop("control") == "left"
    assert set(status.values()) == {"changed"}


@pytest.mark.parametrize("name", [domain.name for domain in DOMAINS[:6]])
def test_the_kernel_has_every_thread_where_it_was_planned(job: Job, name: str) -> None:
    """Cpus_allowed_list of each vCPU thread, of the IOThreads and of QEMU itself is exactly the planned set."""
    evidence, vm = look_at(job.lab, name), job.plan[name]
    assert evidence.vcpus() == {int(number): _cpus(pin) for number, pin in vm["pins"].items()}
    assert evidence.iothreads() == {int(number): _cpus(pin) for number, pin in vm["iothreads"].items()}
    assert evidence.main_thread() == _cpus(vm["emulator"])


@pytest.mark.parametrize("name", [domain.name for domain in DOMAINS[:6] if domain.touched])
def test_the_kernel_has_every_page_where_it_was_planned(job: Job, name: str) -> None:
    """Each cell is bound to its node and has all of its memory there and none elsewhere."""
    found = [(mapping.policy, mapping.nodes) for mapping in look_at(job.lab, name).bound()]
    planned = [
        (f"bind:{node}", {int(node): mib * 1024})
        for cell in job.plan[name]["cells"]
        for node, mib in cell["nodes"].items()
    ]
    assert found == sorted(planned, key=lambda item: item[0])


def test_memory_on_the_node_without_cpus_is_nowhere_else(job: Job) -> None:
    """The VM planned on the memory-only node has only pages of it."""
    [mapping] = look_at(job.lab, "far").bound()
    assert mapping.policy == "bind:4"
    assert set(mapping.nodes) == {4}


def test_the_control_that_nobody_pinned_is_everywhere(job: Job) -> None:
    """The same QEMU without a plan runs on all CPUs and is bound to no node: the rest is the plan's doing."""
    evidence = look_at(job.lab, "control")
    assert evidence.vcpus() == {0: set(range(16))}
    assert evidence.bound() == []
    assert sum(evidence.kib_on_nodes(64 * 1024).values()) >= 128 * 1024


def test_verify_says_the_same_of_the_control_before_and_after(job: Job) -> None:
    """Unpinned over four nodes, three quarters of its accesses leave the node; planned was none. Exit code 6."""
    for run in (job.before, job.verified):
        assert run.code == 6, run.err
        control = run.vms()["control"]
        assert control["planned_remote_share"] == 0
        assert control["measured_remote_share"] == pytest.approx(0.75)
        assert {drift["what"] for drift in control["drifts"]} >= {"vCPU 0", "memory", "emulator threads"}


def test_verify_finds_no_drift_in_what_was_applied(job: Job) -> None:
    """Every other VM is as planned, and its measured remote share is the planned one."""
    for name, vm in job.verified.vms().items():
        if name == "control":
            continue
        assert vm["drifts"] == [], name
        assert vm["state"] == "running"
        assert vm["measured_remote_share"] == pytest.approx(vm["planned_remote_share"]), name
    assert job.verified.vms()["far"]["measured_remote_share"] == 1.0


def test_applying_again_changes_nothing(job: Job) -> None:
    """The second apply finds the six as planned, makes no call and writes no journal."""
    again = job.live("apply", "plan.json", "--json", "--apply", "--limit", "1", "--max-failures", "1")
    assert again.code == 0, again.err
    status = {name: vm["status"] for name, vm in again.vms().items()}
    assert status.pop("control") == "changed"
    assert set(status.values()) == {"unchanged"}
    third = job.live("apply", "plan.json", "--json", "--apply")
    assert {vm["status"] for vm in third.vms().values()} == {"unchanged"}
    assert third.result["journal"] is None
    assert "restart" in third.vms()["control"]["restart"]
    assert look_at(job.lab, "control").vcpus() == {0: _cpus(job.plan["control"]["pins"]["0"])}


def _cpus(text: str) -> set[int]:
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return found
