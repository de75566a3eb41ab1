"""Placer killed with SIGKILL, libvirtd killed by its pid: then both applying again and rolling back come out right.

What the domains are is asked of virsh and of the lab's kernel, not of placer.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.domains import LabDomain
from tests.lab.machine.lab import Lab
from tests.lab.observe import look_at
from tests.lab.placer_run import PlacerRun
from tests.lab.scene import Place, define, inventory, plan_by_hand

pytestmark = pytest.mark.lab

STRICT = "<numatune><memory mode='strict' nodeset='1'/></numatune>"
PINNED = "<cputune><vcpupin vcpu='0' cpuset='7'/></cputune>"
DOMAINS = (
    LabDomain(name="runs", number=41, touched=False, tuning=STRICT),
    LabDomain(name="rests", number=42, tuning=PINNED),
    LabDomain(name="sleeps", number=43),
)
PLACES = {"runs": Place((4,), 1), "rests": Place((5,), 1), "sleeps": Place((6,), 1)}
SHARE: dict[str, object] = {"emulator_threads": "share"}

# header · runs: planned, (doing, done) × define, vcpupin, emulatorpin · rests: planned, doing, done · sleeps: the same
RECORDS = 14
DONE = (3, 5, 7, 10, 13)
POINTS = [
    *(("after", number) for number in range(RECORDS)),
    # Before "done" the call is made and nobody wrote it down; elsewhere "before" is "after" of the record before.
    *(("before", number) for number in DONE),
    *(("torn", number) for number in (0, 1, 4, 7)),
]


class Scene:
    """Three domains, a plan that pins them, and what they were before."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab = lab
        self.folder = folder
        define(lab, folder, DOMAINS)
        lab.virsh("start", "runs", "--paused")
        inventory(lab, folder, {domain.name: SHARE for domain in DOMAINS})
        plan_by_hand(folder, PLACES)
        self.before = self.state()

    def placer(self, *arguments: str, kill: str | None = None) -> PlacerRun:
        """Run placer, perhaps with an accident."""
        return PlacerRun.forked(self.folder, *arguments, kill=kill)

    def state(self) -> dict[str, object]:
        """Return all definitions as virsh shows them, and the CPUs of the threads that run."""
        names = self.lab.virsh("list", "--all", "--name").split()
        state: dict[str, object] = {
            name: self.lab.virsh("dumpxml", "--inactive", "--security-info", name) for name in sorted(names)
        }
        evidence = look_at(self.lab, "runs")
        return {**state, "vcpus": evidence.vcpus(), "emulator": evidence.main_thread()}

    def is_as_planned(self) -> bool:
        """Tell whether every domain is there and as planned, in the eyes of virsh and of the kernel."""
        state = self.state()
        pins = {name: f"<vcpupin vcpu='0' cpuset='{place.cpus[0]}'/>" for name, place in PLACES.items()}
        return (
            all(pin in str(state[name]) and STRICT[10:-11] in str(state[name]) for name, pin in pins.items())
            and (state["vcpus"], state["emulator"]) == ({0: {4}}, {4})
            and state.keys() == self.before.keys()
        )

    def journals(self) -> list[str]:
        """Return the journals, the newest first."""
        found = sorted(self.folder.glob("*.jsonl"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
        return [path.name for path in found]

    def roll_back_all(self) -> None:
        """Take back all that was applied, the newest run first, and forget the journals."""
        for journal in self.journals():
            run = self.placer("rollback", journal, "--apply")
            assert run.code == 0 or "no whole line, so nothing was begun" in run.err, run.err
            (self.folder / journal).unlink()


@pytest.fixture(scope="module")
def scene(module_lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Return one scene for all tests: each ends with all as it was."""
    yield Scene(module_lab, tmp_path_factory.mktemp("crashes"))


@pytest.mark.parametrize(("when", "number"), POINTS)
def test_killed_at_a_point_of_the_journal(scene: Scene, when: str, number: int) -> None:
    """After SIGKILL a rollback restores everything; after another SIGKILL there another apply ends as planned."""
    killed = scene.placer("apply", "plan.json", "--apply", kill=f"{when}:{number}")
    assert killed.code == -signal.SIGKILL
    scene.roll_back_all()
    assert scene.state() == scene.before
    killed = scene.placer("apply", "plan.json", "--apply", kill=f"{when}:{number}")
    assert killed.code == -signal.SIGKILL
    again = scene.placer("apply", "plan.json", "--apply")
    assert again.code == 0, again.err
    assert scene.is_as_planned()
    verified = scene.placer("verify", "plan.json")
    assert verified.code == 0, verified.err
    scene.roll_back_all()
    assert scene.state() == scene.before


def test_a_half_changed_domain_is_not_unnoticed(scene: Scene) -> None:
    """Killed between two calls of one domain: verify names what is not as planned, and so does the next dry run."""
    scene.placer("apply", "plan.json", "--apply", kill="after:4")
    verified = scene.placer("verify", "plan.json")
    assert verified.code == 6
    assert "VM 'runs' on host 'lab': running: vCPU 0: 0-15, planned 4" in verified.err
    dry = scene.placer("apply", "plan.json", "--json")
    assert dry.vms()["runs"]["calls"] == ["vcpupin 0 4 --live", "emulatorpin 4 --live"]
    scene.roll_back_all()
    assert scene.state() == scene.before


def test_the_points_are_all_points(scene: Scene) -> None:
    """Should the journal get more records, the tests above must be killed at them too."""
    assert scene.placer("apply", "plan.json", "--apply").code == 0
    [journal] = scene.journals()
    lines = (scene.folder / journal).read_text().splitlines()
    assert len(lines) == RECORDS
    assert tuple(number for number, line in enumerate(lines) if '"done"' in line) == DONE
    assert (scene.folder / journal).stat().st_mode & 0o777 == 0o600
    scene.roll_back_all()
    assert scene.state() == scene.before


@pytest.mark.parametrize("number", [2, 4, 9, 12])
def test_libvirtd_dies_in_the_middle(scene: Scene, number: int) -> None:
    """Killed by its pid between a record and its call: told, exit code 8; once it is back, both ways end well."""
    kill = f"ssh -F {scene.lab.ssh_config} 127.0.0.1 'kill -9 $(cat /run/libvirtd.pid)'"
    for way in ("apply", "rollback"):
        run = scene.placer("apply", "plan.json", "--apply", "--json", kill=f"after:{number}:{kill}")
        assert run.code == 8, run.err
        status = [vm["status"] for vm in run.result["vms"]]
        assert "failed" in status and "changed" not in status[status.index("failed") :]
        _revive(scene.lab)
        if way == "apply":
            again = scene.placer("apply", "plan.json", "--apply")
            assert again.code == 0, again.err
            assert scene.is_as_planned()
            assert scene.placer("verify", "plan.json").code == 0
        scene.roll_back_all()
        assert scene.state() == scene.before


def test_a_dead_libvirtd_is_one_line_and_exit_code_7(scene: Scene) -> None:
    """Nothing is asked twice and nothing hangs."""
    scene.lab.shell("kill -9 $(cat /run/libvirtd.pid)")
    try:
        for arguments in (("apply", "plan.json", "--apply"), ("verify", "plan.json")):
            run = scene.placer(*arguments)
            assert run.code == 7
            assert len(run.err.splitlines()) == 1
            assert "see that libvirtd (or virtqemud) runs there" in run.err
    finally:
        _revive(scene.lab)
    assert scene.state() == scene.before


def test_a_libvirtd_that_hangs_is_given_up(scene: Scene) -> None:
    """Stopped, not dead: its port takes connections and nobody answers. The run ends all the same."""
    scene.lab.shell("kill -STOP $(cat /run/libvirtd.pid)")
    started = time.monotonic()
    try:
        run = scene.placer("verify", "plan.json")
    finally:
        scene.lab.shell("kill -CONT $(cat /run/libvirtd.pid)")
    assert run.code == 7
    assert len(run.err.splitlines()) == 1
    assert time.monotonic() - started < 120
    assert scene.state() == scene.before


def _revive(lab: Lab) -> None:
    """Start libvirtd again and wait until it answers and knows its running domain."""
    lab.shell("libvirtd -d -l")
    deadline = time.monotonic() + 60
    while "runs" not in lab.virsh("list", "--name", check=False):
        assert time.monotonic() < deadline, "libvirtd did not come back"
        time.sleep(0.2)
