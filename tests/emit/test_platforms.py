"""Plans in the words of platforms: golden scripts, run against stand-ins for the platforms' own commands."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from placer.emit.export import export_plan, formats
from placer.emit.platforms.openstack import openstack_script
from placer.emit.platforms.proxmox import proxmox_script
from placer.emit.platforms.terraform import resource_name, terraform_json
from placer.errors import InputError
from placer.model.plan import Change
from placer.model.rules import Rule, RuleKind
from tests.emit.drained import IDENTS, SCRIPTS, UUID, planned, script_of
from tests.emit.stand_ins import CURL, INCUS, KUBECTL, ONEVM, OPENSTACK, QM, SSH, run


@pytest.mark.parametrize("form", [*SCRIPTS, "terraform"])
def test_golden(form: str, snapshot: SnapshotAssertion) -> None:
    """The whole text of a plan with a live, a cold and an off-line move; the VM that stays is in none."""
    text = script_of(form)
    assert text == snapshot
    assert "104" not in text


@pytest.mark.parametrize("form", SCRIPTS)
def test_a_plan_of_no_change_says_so(form: str, tmp_path: Path) -> None:
    """A script that prints no command says that it has none."""
    plan, fleet = planned(IDENTS.get(form, "{}"))
    stays = replace(plan, vms=tuple(vm for vm in plan.vms if vm.name == "stays"))
    alone = replace(fleet, vms=tuple(vm for vm in fleet.vms if vm.name == "stays"), digest="")
    text = export_plan(stays, alone, form, None)
    assert isinstance(text, str)
    for words in ((), ("--apply",), ("--undo",)):
        code, shown, said, log = run("export OVIRT_URL=http://engine\n" + text, tmp_path, *words, tools={"curl": ""})
        assert (code, shown, log) == (0, "", "") and "there is nothing to do" in said


@pytest.mark.parametrize("form", SCRIPTS)
def test_shown_first_without_asking_the_platform(form: str, tmp_path: Path) -> None:
    """Without arguments, and with --undo alone, no command of the platform is run."""
    tools = dict.fromkeys(("ssh", "qm", "openstack", "kubectl", "curl", "onevm", "incus"), 'echo "$0 $*" >>"$LOG"\n')
    script = script_of(form)
    code, shown, said, log = run(script, tmp_path, tools=tools)
    assert (code, log) == (0, "")
    assert ("wave 1" in said and "101" in shown) or UUID.format(1) in shown
    code, shown, _, log = run(script, tmp_path, "--undo", tools=tools)
    assert (code, log) == (0, "") and shown
    code, _, said, _ = run(script, tmp_path, "--now", tools=tools)
    assert code == 2 and "usage" in said


def test_proxmox_is_changed_moved_and_taken_back(tmp_path: Path) -> None:
    """Every VM arrives, a second run finds all done, and --undo brings back the places and the configuration."""
    for node, vmids in {"n1": (101, 102, 103), "n2": (104,), "n3": ()}.items():
        (tmp_path / "pve/nodes" / node / "qemu-server").mkdir(parents=True)
        for vmid in vmids:
            (tmp_path / f"pve/nodes/{node}/qemu-server/{vmid}.conf").write_text("affinity: 6\nnuma: 1\ncores: 2\n")
    tools = {"qm": QM, "ssh": SSH, "hostname": "echo n2\n"}
    script = script_of("proxmox")
    code, _, said, log = run(script, tmp_path, "--apply", tools=tools)
    assert code == 0, said
    assert not list((tmp_path / "pve/nodes/n1/qemu-server").iterdir())
    assert "migrate 101" in log and "--online 1" in log and "shutdown 102" in log and "start 102" in log
    assert "shutdown 103" not in log
    code, _, said, again = run(script, tmp_path, "--apply", tools=tools)
    assert code == 0 and said.count("is there already") == 3 and again.count("migrate") == log.count("migrate")
    code, _, said, log = run(script, tmp_path, "--undo", "--apply", tools=tools)
    assert code == 0, said
    assert len(list((tmp_path / "pve/nodes/n1/qemu-server").iterdir())) == 3
    assert "set set 101 --affinity 6 --numa 1 --delete numa0,numa1,numa2,numa3,numa4,numa5,numa6,numa7" in log


def test_a_failure_stops_after_its_wave(tmp_path: Path) -> None:
    """A VM that is on another host than the plan found it on is not touched, and the exit code says so."""
    for node in ("n1", "n2", "n3"):
        (tmp_path / "pve/nodes" / node / "qemu-server").mkdir(parents=True)
    tools = {"qm": QM, "ssh": SSH, "hostname": "echo n2\n"}
    code, _, said, log = run(script_of("proxmox"), tmp_path, "--apply", tools=tools)
    assert code == 8 and "is not found" in said and "stopped in wave 1" in said and not log


def test_openstack_hosts_may_have_short_names(tmp_path: Path) -> None:
    """Nova's n2 is the plan's n2; a cold migration is confirmed; the second run does nothing."""
    code, _, said, log = run(script_of("openstack"), tmp_path, "--apply", tools={"openstack": OPENSTACK})
    assert code == 0, said
    assert f"server migration confirm {UUID.format(2)}" in log and "--live-migration --host=n" in log
    before = log.count("server migrate")
    code, _, said, log = run(script_of("openstack"), tmp_path, "--apply", tools={"openstack": OPENSTACK})
    assert code == 0 and log.count("server migrate") == before


def test_kubevirt_migrates_to_the_planned_node(tmp_path: Path) -> None:
    """The object that is created is JSON and names the VM and its node; a cold move starts it again."""
    tools = {"kubectl": KUBECTL, "virtctl": 'echo "virtctl $*" >>"$LOG"\n'}
    code, _, said, log = run(script_of("kubevirt"), tmp_path, "--apply", tools=tools)
    assert code == 0, said
    made = json.loads(log[log.index('{"apiVersion"') : log.index("--namespace", log.index('{"apiVersion"'))])
    assert made["kind"] == "VirtualMachineInstanceMigration" and made["spec"]["vmiName"] == "vm-101"
    assert made["spec"]["addedNodeSelector"]["kubernetes.io/hostname"] in ("n2", "n3")
    assert "virtctl --namespace shop restart vm-102" in log


HOSTILE = [
    "it's $(touch pwned) `touch pwned`",
    "two\nlines\ntouch pwned",
    "--config",
    "$HOME/*",
    "a\\",
    "größe \x1b[31m",
]


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("form", [*SCRIPTS, "terraform"])
def test_hostile_names_stay_words(form: str, name: str, tmp_path: Path) -> None:
    """No name of a VM leaves its quotes, in what is run or in a comment."""
    plan, fleet = planned(IDENTS.get(form, "{}"))
    plan = replace(plan, vms=tuple(replace(vm, name=name) if vm.name == "db" else vm for vm in plan.vms))
    fleet = replace(fleet, vms=tuple(replace(vm, name=name) if vm.name == "db" else vm for vm in fleet.vms), digest="")
    text = export_plan(plan, fleet, form, None)
    assert isinstance(text, str)
    if form == "terraform":
        assert resource_name(name) in json.loads(text)["resource"]["proxmox_virtual_environment_vm"]
        return
    (tmp_path / "it").mkdir()
    code, _, said, _ = run(text, tmp_path / "it")
    assert code == 0, said
    assert not list(tmp_path.rglob("pwned"))


@pytest.mark.parametrize("form", ["proxmox", "kubevirt", "opennebula", "incus"])
def test_names_that_cannot_be_are_refused(form: str) -> None:
    """What the platform could never call a VM is refused, every fault at once; nothing is written."""
    plan, fleet = planned("--x\n{}")
    with pytest.raises(InputError) as caught:
        export_plan(plan, fleet, form, None)
    assert len(caught.value.faults) == 3


def test_a_vm_without_its_platforms_name_is_refused() -> None:
    """All such VMs are one message, for there is one cure: it says where the name comes from."""
    plan, fleet = planned("{}")
    fleet = replace(fleet, vms=tuple(replace(vm, manager_id=None) for vm in fleet.vms), digest="")
    with pytest.raises(InputError, match="db") as caught:
        export_plan(plan, fleet, "proxmox", None)
    assert [fault.message for fault in caught.value.faults] == [
        "the platform's name of VMs 'db', 'idle', 'web' is not known"
    ]
    assert "VMID" in (caught.value.faults[0].cure or "")


def test_terraform_strings_hold_no_templates() -> None:
    """A host called like a template is a string, and two VMs of one resource name are refused."""
    plan, fleet = planned("{}")
    plan = replace(plan, vms=tuple(replace(vm, host="${file(1)}") for vm in plan.vms))
    made = json.loads(terraform_json(plan, fleet))["resource"]["proxmox_virtual_environment_vm"]
    assert made["db"]["node_name"] == "$${file(1)}" and made["db"]["numa"][0]["policy"] == "bind"
    twins = tuple(replace(vm, name=name) for vm, name in zip(plan.vms[:2], ("a b", "a_b"), strict=True))
    vms = tuple(replace(fleet.vms[0], name=vm.name) for vm in twins)
    with pytest.raises(InputError, match="a_b"):
        terraform_json(replace(plan, vms=twins), replace(fleet, vms=vms))


def test_terraform_restarts_whom_the_plan_restarts() -> None:
    """The provider restarts VMs whose CPUs change unless it is told not to, and moves only those that change host."""
    plan, fleet = planned("{}")
    plan = replace(plan, vms=tuple(replace(vm, change=Change.REPIN) if vm.name == "stays" else vm for vm in plan.vms))
    made = json.loads(terraform_json(plan, fleet))["resource"]["proxmox_virtual_environment_vm"]
    assert {name: vm.get("reboot_after_update") for name, vm in made.items()} == {
        "db": False,
        "web": None,
        "idle": False,
        "stays": False,
    }
    assert [name for name, vm in made.items() if "migrate" not in vm] == ["stays"]


def test_all_are_named() -> None:
    """The forms are offered by export."""
    assert {*SCRIPTS, "terraform"} <= set(formats())


def test_ovirt_is_told_json(tmp_path: Path) -> None:
    """Pins of vCPUs and of guest nodes are put before the move, and brought back with --undo."""
    script = "export OVIRT_URL=http://engine/api\n" + script_of("ovirt")
    code, _, said, log = run(script, tmp_path, "--apply", tools={"curl": CURL, "sleep": "exit 0\n"})
    assert code == 0, said
    assert f'PUT vms/{UUID.format(1)}/numanodes/b {{"numa_node_pins"' in log
    assert (tmp_path / "state" / UUID.format(1)).read_text().strip() == "n3"
    assert (tmp_path / "state" / UUID.format(2)).read_text().strip() == "n2"
    code, _, said, log = run(script, tmp_path, "--undo", "--apply", tools={"curl": CURL})
    assert code == 0, said
    assert (tmp_path / "state" / UUID.format(1)).read_text().strip() == "n1"
    assert '{"cpu":{"cpu_tune":{"vcpu_pins":{"vcpu_pin":[{"vcpu":"0","cpu_set":"9"}]}}}}' in log


def test_opennebula_migrates_by_number(tmp_path: Path) -> None:
    """The last record of its history says where a VM is; what is done is not done again."""
    code, _, said, log = run(script_of("opennebula"), tmp_path, "--apply", tools={"onevm": ONEVM})
    assert code == 0, said
    assert log.splitlines() == ["migrate --live 101 n3", "migrate --poff 103 n3", "migrate --poff 102 n2"]
    code, _, said, again = run(script_of("opennebula"), tmp_path, "--apply", tools={"onevm": ONEVM})
    assert (code, again) == (0, log), said


def test_incus_sets_limits_and_moves(tmp_path: Path) -> None:
    """One CPU is written as a range, lest it be taken for a number of CPUs; --undo sets what was set before."""
    code, _, said, log = run(script_of("incus"), tmp_path, "--apply", tools={"incus": INCUS})
    assert code == 0, said
    assert "config set vm103 limits.cpu=5-5 limits.cpu.nodes=1-1" in log and "move vm101 --target n3" in log
    # Its CPUs are those of the host that it comes to: they are set there, before it runs.
    assert "stop vm102\nmove vm102 --target n2\nconfig set vm102 limits.cpu=4-5\nstart vm102" in log
    assert log.index("move vm101") < log.index("config set vm101")
    code, _, said, log = run(script_of("incus"), tmp_path, "--undo", "--apply", tools={"incus": INCUS})
    assert code == 0, said
    assert "config set vm103 limits.cpu=old-limits.cpu limits.cpu.nodes=old-limits.cpu.nodes" in log


def test_rules_are_told_in_the_words_of_the_platform() -> None:
    """Rules over hosts come as commands in comments; those that came from the platform are there already."""
    plan, fleet = planned("{}")
    apart = Rule(kind=RuleKind.ANTI_AFFINITY, members={"name": frozenset(("db", "web"))})
    there = Rule(kind=RuleKind.AFFINITY, members={"name": frozenset(("idle", "web"))}, name="ha:kept")
    within = Rule(kind=RuleKind.WITHIN, members={"name": "db"}, hosts={"name": frozenset(("n2", "n3"))})
    fleet = replace(fleet, rules=(apart, there, within))
    proxmox = proxmox_script(plan, fleet).decode()
    command = "ha-manager rules add resource-affinity placer-1 --affinity negative --resources vm:101,vm:102"
    assert command in proxmox and "placer-2" not in proxmox
    # What a rule means for the order is said by its name all the same: the moves of this plan break it.
    (told,) = [line for line in proxmox.splitlines() if "ha:kept" in line]
    assert told.startswith("# rule 'ha:kept' is broken")
    assert "rules add node-affinity placer-3 --strict 1 --nodes n2,n3 --resources vm:101" in proxmox
    nova = openstack_script(plan, fleet).decode()
    assert "server group create --policy anti-affinity placer-1" in nova
    assert "openstack aggregate add host placer-3 n2; openstack aggregate add host placer-3 n3" in nova
