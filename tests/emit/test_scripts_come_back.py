"""Scripts for KubeVirt, OpenNebula, oVirt and Incus, run on what these platforms print, and that imported again.

A stand-in for each platform's client reads and writes one small state: where VMs are and what they are pinned to.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from placer.emit.export import export_plan
from placer.model.plan import Change
from placer.planner import solve_fleet
from tests.read.imports.test_platforms import NODES, PLATFORMS, START, UUID

CLIENT = """\
import json, pathlib, re, sys
tool, *words = sys.argv[1:]
path = pathlib.Path("@state@")
state = json.loads(path.read_text())
names = list(state)
if words[:1] == ["--project"]:
    words = words[2:]
match tool, words:
    case "kubectl", ["--namespace", "shop", "get", "virtualmachineinstance", name, *_]:
        print(state[name][0])
    case "kubectl", ["--namespace", "shop", "create", "--filename", "-"]:
        spec = json.load(sys.stdin)["spec"]
        state[spec["vmiName"]][0] = spec["addedNodeSelector"]["kubernetes.io/hostname"]
    case "kubectl", ["--namespace", "shop", "wait", *_]:
        pass
    case "onevm", ["show", "--json", ident]:
        record = {"SEQ": "1", "HOSTNAME": state[names[int(ident) - 41]][0]}
        print(json.dumps({"VM": {"STATE": "3", "LCM_STATE": "3", "HISTORY_RECORDS": {"HISTORY": record}}}))
    case "onevm", ["migrate", "--live", ident, host]:
        state[names[int(ident) - 41]][0] = host
    case "incus", ["query", where]:
        print(json.dumps({"location": state[re.findall("/instances/(.*)[?]", where)[0]][0], "status": "Running"}))
    case "incus", ["move", name, "--target", host]:
        state[name][0] = host
    case "incus", ["config", "get", name, key]:
        print(",".join(map(str, state[name][1])) if key == "limits.cpu" else "")
    case "incus", ["config", "set", name, *settings]:
        given = dict(word.split("=") for word in settings)
        if "limits.cpu" in given:
            ends = [part.split("-") for part in given["limits.cpu"].split(",")]
            state[name][1] = [cpu for one in ends for cpu in range(int(one[0]), int(one[-1]) + 1)]
    case "curl", _:
        url = words[-1].partition("/api/vms/")[2]
        name = names[int(url[35]) - 1]
        verb = words[words.index("--request") + 1] if "--request" in words else "GET"
        body = json.loads(words[words.index("--data") + 1]) if "--data" in words else {}
        pins = [{"vcpu": str(vcpu), "cpu_set": str(cpu)} for vcpu, cpu in enumerate(state[name][1])]
        match verb, url[36:].partition("?")[0]:
            case "GET", "/numanodes":
                print(json.dumps({"vm_numa_node": [{"index": "0", "id": "a"}]}))
            case "GET", "":
                cpu = {"cpu_tune": {"vcpu_pins": {"vcpu_pin": pins}}}
                print(json.dumps({"status": "up", "host": {"name": state[name][0]}, "cpu": cpu}))
            case "PUT", "":
                state[name][1] = [int(pin["cpu_set"]) for pin in body["cpu"]["cpu_tune"]["vcpu_pins"]["vcpu_pin"]]
            case "PUT", "/numanodes/a":
                pass
            case "POST", "/migrate":
                state[name][0] = body["host"]["name"]
            case other:
                sys.exit(f"no such call: {other}")
    case other:
        sys.exit(f"no such command: {other}")
path.write_text(json.dumps(state))
"""
TOOLS = {"kubevirt": "kubectl", "opennebula": "onevm", "ovirt": "curl", "incus": "incus"}


def carry_out(script: str, form: str, folder: Path, *words: str) -> dict[str, tuple[str, list[int]]]:
    """Run a script against the state in a folder; return the state after it."""
    (folder / "client.py").write_text(CLIENT.replace("@state@", str(folder / "state.json")))
    (folder / "bin").mkdir(exist_ok=True)
    tool = folder / "bin" / TOOLS[form]
    tool.write_text(f'#!/bin/sh\nexec {sys.executable} {folder}/client.py {tool.name} "$@"\n')
    tool.chmod(0o755)
    (folder / "plan.sh").write_text(script)
    environment = {**os.environ, "PATH": f"{folder}/bin:{os.environ['PATH']}", "OVIRT_URL": "http://engine/api"}
    done = subprocess.run(["bash", "plan.sh", *words], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {name: (host, cpus) for name, (host, cpus) in json.loads((folder / "state.json").read_text()).items()}


@pytest.mark.parametrize("form", TOOLS)
def test_a_script_makes_the_plan(form: str, tmp_path: Path) -> None:
    """Hosts, and CPUs where the platform is told them, are as planned, nothing is left to do; --undo goes back."""
    take = PLATFORMS[form]
    fleet = take(START, tmp_path / "before").fleet
    plan = solve_fleet(fleet, goals="placed,rules,remote", max_moves=4, rounds=2)
    assert {vm.host for vm in plan.vms} == {"n2"}
    script = export_plan(plan, fleet, form, None)
    assert isinstance(script, str)
    (tmp_path / "state.json").write_text(json.dumps(START))
    state = carry_out(script, form, tmp_path, "--apply")
    after = take(state, tmp_path / "after").fleet
    for vm in after.vms:
        planned = plan.vm_by_name[vm.name]
        assert vm.current is not None and vm.current.host == planned.host
        if form in ("ovirt", "incus"):
            assert dict(vm.current.pins) == dict(planned.pins)
    again = solve_fleet(after, goals="placed,rules,moves", max_moves=4, rounds=2)
    assert {vm.change for vm in again.vms} == {Change.NONE}
    assert carry_out(script, form, tmp_path, "--undo", "--apply") == START


def test_the_state_has_cpus_of_its_nodes() -> None:
    """What the stand-ins rely on: VMs are called by number from 1 on, and their CPUs are the host's."""
    assert len(UUID.format(1)) == 36
    assert {cpu for _, cpus in START.values() for cpu in cpus} <= {cpu for cpus in NODES.values() for cpu in cpus}
