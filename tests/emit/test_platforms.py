"""Plans in the words of platforms: golden scripts, run against stand-ins for the platforms' own commands."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from placer.check.check import check
from placer.emit.export import export_plan, formats
from placer.emit.platforms.openstack import openstack_script
from placer.emit.platforms.proxmox import proxmox_script
from placer.emit.platforms.terraform import resource_name, terraform_json
from placer.errors import InputError
from placer.model.fleet import Fleet
from placer.model.plan import Change, Plan, PlanCell, PlanVm
from placer.model.rules import Rule, RuleKind
from placer.model.vm import CellMode
from placer.read.inventory.inventory import parse_fleet

SCRIPTS = ("proxmox", "openstack", "kubevirt", "ovirt", "opennebula", "incus")
UUID = "0b0c5a52-6f0e-4b6e-9c55-0d7e6a2f00{:02d}"
HOSTS = """\
schema: placer.inventory/v1
hosts:
  - {name: n1, state: drain, nodes: &nodes [{id: 0, cpus: "0-3", memory: 16GiB}, {id: 1, cpus: "4-7", memory: 16GiB}]}
  - {name: n2, nodes: [{id: 0, cpus: "0-3", memory: 16GiB}, {id: 1, cpus: "4-7", memory: 16GiB}]}
  - {name: n3, nodes: [{id: 0, cpus: "0-3", memory: 16GiB}, {id: 1, cpus: "4-7", memory: 16GiB}]}
vms:
""".replace("&nodes ", "")
VMS = """\
  - {name: db, uuid: UUID1, manager_id: ID1, vcpus: 4, memory: 8GiB, cells: 2, host: n1, nodes: [0, 1],
     pins: {0: "0", 1: "1", 2: "4", 3: "5"}, labels: {flavor: m4}}
  - {name: web, uuid: UUID2, manager_id: ID2, vcpus: 2, memory: 2GiB, cells: none, host: n1, nodes: [1],
     pins: {0: "6", 1: "7"}, movable: cold}
  - {name: idle, uuid: UUID3, manager_id: ID3, vcpus: 1, memory: 1GiB, cells: none, host: n1, running: false}
  - {name: stays, uuid: UUID4, manager_id: ID4, vcpus: 2, memory: 2GiB, cells: none, host: n2, nodes: [0],
     pins: {0: "0", 1: "1"}}
"""


def planned(ident: str) -> tuple[Plan, Fleet]:
    """Return the plan that empties n1: one VM moves live, one cold, one is shut off; the platform counts by `ident`."""
    text = HOSTS + VMS
    for number in range(1, 5):
        text = text.replace(f"UUID{number}", UUID.format(number)).replace(f"ID{number}", ident.format(100 + number))
    fleet = parse_fleet(text.encode(), "fleet.yaml", Path())
    places = {
        "db": ("n3", ((0, (2, 3)), (1, (6, 7))), Change.MIGRATE),
        "web": ("n2", ((1, (4, 5)),), Change.RESTART),
        "idle": ("n3", ((1, (5,)),), Change.MIGRATE),
        "stays": ("n2", ((0, (0, 1)),), Change.NONE),
    }
    vms = []
    for vm in fleet.vms:
        host, cells, change = places[vm.name]
        cpus = [cpu for _, mine in cells for cpu in mine]
        share = vm.spec.memory_kib // len(cells)
        made = tuple(
            PlanCell(
                id=number,
                vcpus=frozenset(cpus.index(cpu) for cpu in mine),
                memory_kib=share,
                mode="strict",
                nodes={node: share},
            )
            for number, (node, mine) in enumerate(cells)
        )
        pins = {vcpu: frozenset({cpu}) for vcpu, cpu in enumerate(cpus)}
        left = vm.current.host if vm.current is not None and vm.current.host != host else None
        vms.append(
            PlanVm(
                name=vm.name,
                host=host,
                cells=made,
                pins=pins,
                uuid=vm.uuid,
                shown=vm.spec.cell_mode is CellMode.GIVEN,
                change=change,
                from_host=left,
            )
        )
    plan = Plan(
        fleet_path=None,
        fleet_digest=fleet.digest,
        seed=0,
        rounds=1,
        status="optimal",
        goals=(),
        vms=tuple(vms),
        unplaced=(),
    )
    report = check(fleet, plan)
    assert report.ok, report.faults
    return plan, fleet


IDENTS = {"kubevirt": "shop/vm-{}", "incus": "shop/vm{}"}


def script_of(form: str) -> str:
    """Return the script of the plan in this form."""
    text = export_plan(*planned(IDENTS.get(form, "{}")), form, None)
    assert isinstance(text, str)
    return text


def run(script: str, folder: Path, *words: str, tools: Mapping[str, str] | None = None) -> tuple[int, str, str, str]:
    """Run a script with stand-ins; return exit code, output, messages and what the stand-ins noted."""
    folder.mkdir(exist_ok=True)
    (folder / "bin").mkdir(exist_ok=True)
    (folder / "log").touch()
    for name, body in (tools or {}).items():
        path = folder / "bin" / name
        path.write_text(f"#!/usr/bin/env bash\n{body}")
        path.chmod(0o755)
    (folder / "plan.sh").write_text(script)
    environment = {**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "LOG": str(folder / "log")}
    environment |= {"STATE": str(folder / "state"), "PLACER_PVE": str(folder / "pve")}
    done = subprocess.run(
        ["bash", str(folder / "plan.sh"), *words], env=environment, cwd=folder, capture_output=True, text=True
    )
    return done.returncode, done.stdout, done.stderr, (folder / "log").read_text()


@pytest.mark.parametrize("form", [*SCRIPTS, "terraform"])
def test_golden(form: str, snapshot: SnapshotAssertion) -> None:
    """The whole text of a plan with a live, a cold and an off-line move; the VM that stays is in none."""
    text = script_of(form)
    assert text == snapshot
    assert "104" not in text


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


QM = """\
here=$PLACER_PVE/nodes
case "$1" in
  config) cat "$here"/*/qemu-server/"$2.conf" ;;
  set) echo "set $*" >>"$LOG" ;;
  migrate) echo "$*" >>"$LOG"; mv "$here"/*/qemu-server/"$2.conf" "$here/$3/qemu-server/" ;;
  *) echo "$*" >>"$LOG" ;;
esac
"""
SSH = 'while [ $# -gt 1 ]; do shift; done\neval "$1"\n'


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


OPENSTACK = """\
echo "$*" >>"$LOG"
last=${@: -1}
case "$*" in
  "server show"*) cat "$STATE/$last" 2>/dev/null || echo n1.cloud ;;
  "compute service list"*) printf '%s\\n' n1 n2 n3 ;;
  *"server migrate"*) for word; do case $word in --host=*) mkdir -p "$STATE"; echo "${word#*=}" >"$STATE/$last" ;; esac
    done ;;
esac
"""


def test_openstack_hosts_may_have_short_names(tmp_path: Path) -> None:
    """Nova's n2 is the plan's n2; a cold migration is confirmed; the second run does nothing."""
    code, _, said, log = run(script_of("openstack"), tmp_path, "--apply", tools={"openstack": OPENSTACK})
    assert code == 0, said
    assert f"server migration confirm {UUID.format(2)}" in log and "--live-migration --host=n" in log
    before = log.count("server migrate")
    code, _, said, log = run(script_of("openstack"), tmp_path, "--apply", tools={"openstack": OPENSTACK})
    assert code == 0 and log.count("server migrate") == before


KUBECTL = """\
echo "$*" >>"$LOG"
case "$*" in
  *"get virtualmachineinstance "*) echo n1 ;;
  *create*) cat >>"$LOG" ;;
esac
"""


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


def test_all_are_named() -> None:
    """The forms are offered by export."""
    assert {*SCRIPTS, "terraform"} <= set(formats())


CURL = """\
path=${@: -1}
path=${path#http://engine/api/}
body= verb=GET
while [ $# -gt 0 ]; do
  case $1 in --data) body=$2; jq -e . <<<"$2" >/dev/null || exit 3 ;; --request) verb=$2 ;; esac
  shift
done
mkdir -p "$STATE"
id=${path#vms/} id=${id%%[/?]*}
[ "$verb" = GET ] || echo "$verb $path $body" >>"$LOG"
case "$verb $path" in
  *"/migrate") jq -r .host.name <<<"$body" >"$STATE/$id" ;;
  *"/shutdown") touch "$STATE/$id.down" ;;
  *"/start") jq -r '.vm.placement_policy.hosts.host[0].name' <<<"$body" >"$STATE/$id"; rm "$STATE/$id.down" ;;
  "GET vms/"*/numanodes) echo '{"vm_numa_node": [{"index": "0", "id": "a"}, {"index": "1", "id": "b"}]}' ;;
  "GET vms/"*)
    host=$(cat "$STATE/$id" 2>/dev/null || echo n1) status=up
    [ ! -e "$STATE/$id.down" ] || status=down
    jq -n --arg host "$host" --arg status $status '{status: $status, host: {name: $host},
      cpu: {cpu_tune: {vcpu_pins: {vcpu_pin: [{vcpu: "0", cpu_set: "9"}]}}}}' ;;
esac
"""


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


ONEVM = """\
mkdir -p "$STATE"
case $1 in
  show) jq -n --arg host "$(cat "$STATE/$3" 2>/dev/null || echo n1)" '{VM: {STATE: "3", LCM_STATE: "3",
    HISTORY_RECORDS: {HISTORY: [{SEQ: "0", HOSTNAME: "elsewhere"}, {SEQ: "10", HOSTNAME: $host}]}}}' ;;
  migrate) echo "$*" >>"$LOG"; echo "$4" >"$STATE/$3" ;;
esac
"""


def test_opennebula_migrates_by_number(tmp_path: Path) -> None:
    """The last record of its history says where a VM is; what is done is not done again."""
    code, _, said, log = run(script_of("opennebula"), tmp_path, "--apply", tools={"onevm": ONEVM})
    assert code == 0, said
    assert log.splitlines() == ["migrate --live 101 n3", "migrate --poff 103 n3", "migrate --poff 102 n2"]
    code, _, said, again = run(script_of("opennebula"), tmp_path, "--apply", tools={"onevm": ONEVM})
    assert (code, again) == (0, log), said


INCUS = """\
[ "$1" != --project ] || shift 2
mkdir -p "$STATE"
case "$1 $2" in
  query*) name=${2##*/}; jq -n --arg host "$(cat "$STATE/${name%%\\?*}" 2>/dev/null || echo n1)" '{location: $host}' ;;
  "config get") echo "old-$4" ;;
  "move "*) echo "$*" >>"$LOG"; echo "$4" >"$STATE/$2" ;;
  *) echo "$*" >>"$LOG" ;;
esac
"""


def test_incus_sets_limits_and_moves(tmp_path: Path) -> None:
    """One CPU is written as a range, lest it be taken for a number of CPUs; --undo sets what was set before."""
    code, _, said, log = run(script_of("incus"), tmp_path, "--apply", tools={"incus": INCUS})
    assert code == 0, said
    assert "config set vm103 limits.cpu=5-5 limits.cpu.nodes=1-1" in log and "move vm101 --target n3" in log
    assert "stop vm102\nmove vm102 --target n2\nstart vm102" in log
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
